/* SPDX-License-Identifier: Apache-2.0 */
/* Indexers in a mount (mount_guard.h).  Only their names are known here: a scan by find(1) or du(1) was
 * asked for by somebody. */
#include "fs/mount_guard.h"

#include "common/log.h"
#include "common/str.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>

/* 15 bytes are all that the kernel keeps of a name. */
static const char *const scanners[] = {
	"updatedb",        "updatedb.mlocat",
	"updatedb.plocat", "updatedb.findut",
	"mlocate",         "plocate",
	"slocate",         "locate",
	"tracker-miner-f", "tracker-extract",
	"tracker-store",   "localsearch-3",
	"localsearch-ext", "baloo_file",
	"baloo_file_extr", "recollindex",
	"beagled",         "strigidaemon",
	"zeitgeist-daemo", "clamscan",
	"clamdscan",       "aide",
};
#define NSCANNERS (sizeof scanners / sizeof scanners[0])

static size_t find(const char *comm)
{
	size_t i = 0;

	while (i < NSCANNERS && !slu_streq(scanners[i], comm))
		i++;
	return i;
}

bool slu_mguard_is_scanner(const char *comm)
{
	return find(comm) < NSCANNERS;
}

/* False: it cannot be known (gone, or of another process id namespace). */
static bool comm_of(pid_t pid, char out[32])
{
	char path[48];
	ssize_t n;
	int fd;

	if (pid <= 0)
		return false;
	snprintf(path, sizeof path, "/proc/%d/comm", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	n = read(fd, out, 31);
	close(fd);
	if (n <= 0)
		return false;
	out[n] = '\0';
	out[strcspn(out, "\n")] = '\0';
	return true;
}

bool slu_mguard_refuses(struct slu_mount *m, fuse_req_t req)
{
	static atomic_uint told;
	const char *how = m->set->scanners;
	bool refuse = slu_streq(how, "refuse");
	char comm[32];
	size_t i;

	if (slu_streq(how, "allow") || !comm_of(fuse_req_ctx(req)->pid, comm))
		return false;
	i = find(comm);
	if (i == NSCANNERS)
		return false;
	if (!(atomic_fetch_or(&told, 1u << i) & 1u << i))
		slu_warn(
			"mount",
			"'%s' (process %d) %s '%s': keep it out by adding fuse.sluice to PRUNEFS in "
			"/etc/updatedb.conf or to its own list; see 'scanners' in sluice(1)",
			comm, (int)fuse_req_ctx(req)->pid, refuse ? "was refused to list" : "walks",
			m->where);
	return refuse;
}
