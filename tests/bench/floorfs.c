/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The floor: a FUSE server that answers everything from memory at once, with the settings that
 * sluice's mount uses.  What it reaches on a machine is what any mount there could reach; the bench
 * prints sluice's figures as ratios to it.
 *   floorfs MOUNTPOINT BIG_BYTES NFILES SMALL_BYTES [OPTION=N...]
 * Options, to measure what each is worth (tests/bench/floor does): see `opts`.  Shows big, dir/f000000.. (empty) and small/f000000.. (SMALL_BYTES each).  Writes "R" to fd 3.
 */
#define FUSE_USE_VERSION 312
#include <errno.h>
#include <fuse_lowlevel.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

enum { ROOT = 1, BIG, DIR_MANY, DIR_SMALL, FIRST_MANY = 1 << 24, FIRST_SMALL = 1 << 25 };
#define SOURCE (256u << 20) /* data comes from real memory, not from a cache-sized buffer */
#define LONG_TIME 3600.0

static struct {
	const char *name;
	int value;
} opts[] = {
	{"opens", 0},         /* 1: OPEN and RELEASE are answered */
	{"keep_cache", 1},    /* with opens */
	{"direct", 0},        /* with opens: past the page cache */
	{"flush", 0},         /* 0: ENOSYS, 1: answered at every close */
	{"readdirplus", 1},   /* 0: never, 1: always, 2: as the kernel likes */
	{"cache_readdir", 1}, /* the kernel keeps listings */
	{"timeouts", 1},      /* 0: names and attributes are asked for each time */
	{"threads", 4},       /* 1: a single loop */
	{"background", 64},   /* requests of read-ahead under way */
	{"ro", 1},            /* mounted read-only */
};
enum { OPENS, KEEP, DIRECT, FLUSH, PLUS, CACHE_DIR, TIMEOUTS, THREADS, BACKGROUND, RO, NOPTS };

static char *source;
static unsigned long big_bytes, nfiles, small_bytes;

static int attr(fuse_ino_t ino, struct stat *st)
{
	*st = (struct stat){.st_ino = ino, .st_nlink = 1, .st_mode = S_IFREG | 0444, .st_mtime = 1};
	if (ino == ROOT || ino == DIR_MANY || ino == DIR_SMALL) {
		st->st_mode = S_IFDIR | 0555;
		st->st_nlink = 2;
	} else if (ino == BIG) {
		st->st_size = (long)big_bytes;
	} else if (ino >= FIRST_SMALL) {
		st->st_size = (long)small_bytes;
	} else if (ino < FIRST_MANY) {
		return -ENOENT;
	}
	return 0;
}

static void entry(fuse_ino_t ino, struct fuse_entry_param *e)
{
	double valid = opts[TIMEOUTS].value ? LONG_TIME : 0;

	*e = (struct fuse_entry_param){.ino = ino, .attr_timeout = valid, .entry_timeout = valid};
	attr(ino, &e->attr);
}

static fuse_ino_t find(fuse_ino_t parent, const char *name)
{
	if (parent == ROOT)
		return strcmp(name, "big") == 0     ? BIG
		       : strcmp(name, "dir") == 0   ? DIR_MANY
		       : strcmp(name, "small") == 0 ? DIR_SMALL
						    : 0;
	unsigned long i = name[0] == 'f' ? strtoul(name + 1, NULL, 10) : nfiles;
	if (i >= nfiles)
		return 0;
	return (parent == DIR_MANY ? FIRST_MANY : FIRST_SMALL) + i;
}

static void do_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct fuse_entry_param e = {.entry_timeout = opts[TIMEOUTS].value ? LONG_TIME : 0};
	fuse_ino_t ino = find(parent, name);

	if (ino)
		entry(ino, &e);
	fuse_reply_entry(req, &e);
}

static void do_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct stat st;

	(void)fi;
	if (attr(ino, &st) < 0)
		fuse_reply_err(req, ENOENT);
	else
		fuse_reply_attr(req, &st, opts[TIMEOUTS].value ? LONG_TIME : 0);
}

static void do_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)ino;
	if (!opts[OPENS].value) {
		fuse_reply_err(req, ENOSYS);
		return;
	}
	fi->keep_cache = opts[KEEP].value & 1;
	fi->direct_io = opts[DIRECT].value & 1;
	fuse_reply_open(req, fi);
}

static void do_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)ino;
	(void)fi;
	fuse_reply_err(req, 0);
}

static void do_read(fuse_req_t req, fuse_ino_t ino, size_t n, off_t off, struct fuse_file_info *fi)
{
	unsigned long size = ino == BIG ? big_bytes : small_bytes, at = (unsigned long)off;

	(void)fi;
	if (at >= size)
		n = 0;
	else if (n > size - at)
		n = size - at;
	at %= SOURCE;
	fuse_reply_buf(req, source + (at + n > SOURCE ? 0 : at), n);
}

static void do_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)ino;
	(void)fi;
	fuse_reply_err(req, opts[FLUSH].value ? 0 : ENOSYS);
}

static void do_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)ino;
	fi->cache_readdir = opts[CACHE_DIR].value & 1;
	fi->keep_cache = 1;
	fuse_reply_open(req, fi);
}

static size_t add(fuse_req_t req, char *p, size_t room, fuse_ino_t dir, unsigned long i, bool plus)
{
	static const char *const top[] = {"big", "dir", "small"};
	struct fuse_entry_param e;
	char name[32];

	if (dir == ROOT) {
		snprintf(name, sizeof name, "%s", top[i]);
		entry(BIG + i, &e);
	} else {
		snprintf(name, sizeof name, "f%06lu", i);
		entry((dir == DIR_MANY ? FIRST_MANY : FIRST_SMALL) + i, &e);
	}
	return plus ? fuse_add_direntry_plus(req, p, room, name, &e, (off_t)i + 1)
		    : fuse_add_direntry(req, p, room, name, &e.attr, (off_t)i + 1);
}

static void list(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, bool plus)
{
	static __thread char page[1 << 20];
	unsigned long total = ino == ROOT ? 3 : nfiles;
	size_t used = 0;

	if (size > sizeof page)
		size = sizeof page;
	for (unsigned long i = (unsigned long)off; i < total; i++) {
		size_t n = add(req, page + used, size - used, ino, i, plus);

		if (n > size - used)
			break;
		used += n;
	}
	fuse_reply_buf(req, page, used);
}

static void do_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
			   struct fuse_file_info *fi)
{
	(void)fi;
	list(req, ino, size, off, true);
}

static void do_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
		       struct fuse_file_info *fi)
{
	(void)fi;
	list(req, ino, size, off, false);
}

static void do_init(void *user, struct fuse_conn_info *c)
{
	(void)user;
	c->want |= c->capable & FUSE_CAP_ASYNC_READ;
	if (opts[PLUS].value)
		c->want |= c->capable & FUSE_CAP_READDIRPLUS;
	else
		c->want &= ~(unsigned)FUSE_CAP_READDIRPLUS;
	if (!opts[OPENS].value)
		c->want |= c->capable & FUSE_CAP_NO_OPEN_SUPPORT;
	if (opts[PLUS].value != 2)
		c->want &= ~(unsigned)FUSE_CAP_READDIRPLUS_AUTO;
	c->want &= ~(unsigned)(FUSE_CAP_SPLICE_READ | FUSE_CAP_SPLICE_WRITE | FUSE_CAP_SPLICE_MOVE);
	c->max_write = 1 << 20;
	c->max_read = 1 << 20;
	c->max_background = (unsigned)opts[BACKGROUND].value;
	c->congestion_threshold = c->max_background * 3 / 4;
}

static const struct fuse_lowlevel_ops ops = {
	.init = do_init,
	.lookup = do_lookup,
	.getattr = do_getattr,
	.open = do_open,
	.read = do_read,
	.release = do_release,
	.flush = do_flush,
	.opendir = do_opendir,
	.readdir = do_readdir,
	.readdirplus = do_readdirplus,
};

static bool set_option(const char *text)
{
	for (unsigned i = 0; i < NOPTS; i++) {
		size_t n = strlen(opts[i].name);

		if (strncmp(text, opts[i].name, n) == 0 && text[n] == '=') {
			opts[i].value = (int)strtol(text + n + 1, NULL, 10);
			return true;
		}
	}
	fprintf(stderr, "floorfs: no option '%s'\n", text);
	return false;
}

static bool make_source(void)
{
	source = malloc(SOURCE);
	for (size_t i = 0; source && i < SOURCE; i += sizeof(size_t))
		*(size_t *)(void *)(source + i) = i * 0x9e3779b97f4a7c15u;
	return source;
}

/* Mounted, and said so. */
static struct fuse_session *mounted(char *name, const char *point)
{
	struct fuse_args fa = FUSE_ARGS_INIT(0, NULL);

	if (fuse_opt_add_arg(&fa, name) || fuse_opt_add_arg(&fa, "-o") ||
	    fuse_opt_add_arg(&fa, "fsname=floorfs,max_read=1048576") ||
	    (opts[RO].value && fuse_opt_add_arg(&fa, "-oro")))
		return NULL;
	struct fuse_session *se = fuse_session_new(&fa, &ops, sizeof ops, NULL);

	if (!se || fuse_set_signal_handlers(se) || fuse_session_mount(se, point))
		return NULL;
	if (write(3, "R", 1) != 1)
		return NULL;
	close(3);
	return se;
}

int main(int argc, char **argv)
{
	if (argc < 5)
		return 2;
	for (int i = 5; i < argc; i++)
		if (!set_option(argv[i]))
			return 2;
	big_bytes = strtoul(argv[2], NULL, 10);
	nfiles = strtoul(argv[3], NULL, 10);
	small_bytes = strtoul(argv[4], NULL, 10);
	if (!make_source())
		return 1;
	struct fuse_loop_config *conf = fuse_loop_cfg_create();
	struct fuse_session *se = mounted(argv[0], argv[1]);

	if (!se || !conf)
		return 1;
	fuse_loop_cfg_set_clone_fd(conf, 0);
	fuse_loop_cfg_set_max_threads(conf, (unsigned)opts[THREADS].value);
	int r = opts[THREADS].value > 1 ? fuse_session_loop_mt(se, conf) : fuse_session_loop(se);

	fuse_session_unmount(se);
	fuse_session_destroy(se);
	return r ? 1 : 0;
}
