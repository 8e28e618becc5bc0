/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The blob test server: what its files share.  main.c says what it is and how it is used.
 *
 * Threads: one per connection.  `lock` (names.c) guards every name, blob and list of blocks; contents
 * do not change once made, and are counted.  A program that has no memory left ends.
 */
#ifndef TESTS_BLOBD_BLOBD_H
#define TESTS_BLOBD_BLOBD_H

#include "common/buf.h"

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#define BLOBD_VERSION "2026-02-06"
#define BLOBD_PAIRS 96
#define BLOBD_BODY_MAX (64u << 20) /* of bodies that are held: XML, JSON */

struct pair {
	char *name, *value; /* names of headers in lower case, but for x-ms-meta-NAME */
};

struct pairs {
	struct pair *p;
	size_t n;
};

const char *pairs_get(const struct pairs *l, const char *name); /* NULL: none */
void pairs_add(struct pairs *l, const char *name, const char *value);
void pairs_copy(struct pairs *to, const struct pairs *from);
void pairs_done(struct pairs *l);

/* --- options (main.c) --- */

struct options {
	const char *account, *key; /* key: base64, as given */
	void *secret;              /* decoded */
	size_t secret_len;
	bool anonymous; /* nothing is checked */
	bool bearer;    /* any bearer token is taken */
	bool versions;  /* each write makes a version */
	bool hns;       /* a hierarchical namespace: dfs.c */
	bool lax;       /* digests of what comes are not checked: for the bench */
	bool old;       /* copies from URLs and startFrom are not known, as on an older service */
	size_t page;    /* entries of a page at most */
	int64_t skew;   /* seconds that its clock is ahead */
	bool tls;
};
extern struct options opt;

/* --- contents and names (names.c) --- */

struct piece {
	int fd;     /* of the arena, or -1: `path` is opened for each read */
	char *path; /* a served file; NULL otherwise */
	uint64_t off, len;
};

struct content {
	unsigned refs;
	uint64_t size;
	struct piece *piece;
	size_t pieces;
};

struct block {
	char *id; /* base64, as given */
	uint64_t size;
	struct content *c;
};

struct blob {
	struct blob *next; /* older versions and snapshots of the name, youngest first */
	struct content *c;
	uint64_t etag;
	int64_t created, modified; /* ns of the wall clock */
	char version[40], snapshot[40];
	bool is_snapshot;
	char kind;            /* 'B'lock, 'A'ppend, 'P'age */
	struct pairs headers; /* content-type, content-md5 and so on; x-ms-access-tier */
	struct pairs meta;    /* without x-ms-meta- */
	struct pairs tags;
	struct block *blocks; /* committed */
	size_t nblocks;
	bool leased, folder;
	char owner[64], group[64], mode[16];
	char *acl;
};

struct name {
	char *text;
	struct blob *now;    /* NULL: none, or only older ones */
	struct blob *old;    /* versions, snapshots */
	struct block *block; /* uncommitted */
	size_t nblock;
};

struct container {
	struct container *next;
	char *name;
	struct name **v; /* sorted by bytes */
	size_t n, cap;
	uint64_t synthetic; /* so many names that are computed */
	uint64_t etag;
	bool open; /* anybody reads */
};

extern pthread_mutex_t lock;

struct container *container_find(const char *name);
struct container *container_make(const char *name);
void container_drop(struct container *c);
size_t name_lower(const struct container *c, const char *text); /* the first that is not less */
struct name *name_find(const struct container *c, const char *text);
struct name *name_make(struct container *c, const char *text);
void name_drop(struct container *c, struct name *n); /* when nothing is left of it */
/* The name at *at*, synthetic ones too: into room of 32 bytes or the name itself. */
const char *name_at(const struct container *c, size_t at, char room[32]);
size_t name_count(const struct container *c);
void name_blocks_drop(struct name *n); /* those that are not committed */
struct blob *blob_new(struct content *c);
struct blob *blob_clone(const struct blob *b);
void blob_free(struct blob *b);
void blob_touch(struct blob *b); /* another ETag and time */
/* Takes b in as what the name is now; what was becomes an older version when those are kept. */
void blob_publish(struct name *n, struct blob *b);
struct blob *synthetic_blob(uint64_t at); /* a new one, the caller's */

struct content *content_ref(struct content *c);
void content_unref(struct content *c);
struct content *content_bytes(const void *p, size_t n);
struct content *content_file(const char *path, uint64_t size);
struct content *content_sparse(uint64_t size);
struct content *content_join(struct content *const *v, size_t n);
/* A part of another: shares its bytes. */
struct content *content_slice(const struct content *c, uint64_t off, uint64_t len);
int content_read(const struct content *c, uint64_t off, void *p, size_t n);
/* Room of n bytes in the arena: its offset. */
uint64_t arena_take(uint64_t n);
int arena_fd(void);
const char *arena_dir(void); /* main.c */
struct content *content_arena(uint64_t off, uint64_t n);
void time_text(char out[40], int64_t ns); /* 2026-11-21T06:11:14.1234567Z */
void http_date(char out[40], int64_t sec);
int64_t now_ns(void);

/* --- one request (http.c) --- */

struct conn;

enum fault_kind {
	FAULT_NONE,
	FAULT_STATUS,
	FAULT_CUT,
	FAULT_RESET,
	FAULT_STALL,
	FAULT_DELAY,
	FAULT_DRIP,
	FAULT_FLIP,
	FAULT_ETAG,
	FAULT_CHANGE,
	FAULT_LOST,
	FAULT_EXTRA,
	FAULT_NO_LENGTH,
	FAULT_TWO_LENGTHS,
	FAULT_NO_RANGE,
	FAULT_OTHER_RANGE,
	FAULT_TOTAL,
	FAULT_EMPTY_RANGE,
	FAULT_SHORTEN,
	FAULT_MARKER_SAME,
	FAULT_MARKER_CYCLE,
	FAULT_MARKER_ENDLESS,
	FAULT_HTML,
	FAULT_GZIP,
	FAULT_DATE,
	FAULT_REDIRECT,
	FAULT_BIG_HEADER,
	FAULT_UNORDERED,
	FAULT_TWICE,
	FAULT_HOSTILE,
	FAULT_WRONG_SIZE,
	FAULT_REFUSE_BODY,
	FAULT_KINDS
};

struct fault {
	enum fault_kind kind;
	int64_t n;           /* bytes, ms, seconds, a status: as the kind has it */
	char text[256];      /* an error code, a URL */
	int64_t retry_after; /* seconds; -1: none */
};

struct request {
	struct conn *conn;
	char method[16];
	char *target;           /* as sent */
	char *raw_path;         /* encoded, without the query */
	char *container, *name; /* decoded; "" when the request is not of one */
	struct pairs query;     /* names in lower case, decoded */
	struct pairs header;
	uint64_t body_len, body_read;
	const char *op; /* "get", "put", "list" ...: what rules and the log call it */
	bool dfs;       /* came to the dfs endpoint */
	struct fault fault;
	unsigned released;     /* how often, when the rules were looked at */
	bool expected, logged; /* in the log, by who asks for it; it is there */
	/* the answer */
	int status;
	uint64_t sent;
	struct slu_buf out; /* headers */
	bool close;
};

const char *header(const struct request *q, const char *name);  /* NULL: none */
const char *query(const struct request *q, const char *name);   /* NULL: none */
void query_read(struct pairs *l, const char *text, bool lower); /* lower: the names */
void out_header(struct request *q, const char *name, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* The whole body, NUL behind, the caller's; NULL: too long or cut. */
char *body_text(struct request *q, size_t *ret_len);
/* The body into the arena; NULL: cut. */
struct content *body_content(struct request *q);
void answer(struct request *q, int status, const void *body, size_t n, const char *type);
void answer_empty(struct request *q, int status);
void answer_error(struct request *q, int status, const char *code, const char *message);
/* Bytes of a content: status is 200 or 206. */
void answer_content(struct request *q, int status, const struct content *c, uint64_t off,
		    uint64_t len);
void serve(int fd);
int conn_fd(const struct conn *c);
int tls_start(const char *cert, const char *key, const char *lowest);

/* --- what requests do --- */

void handle(struct request *q);  /* main.c */
bool auth_ok(struct request *q); /* auth.c; false: answered */

void blob_headers(struct request *q, const struct blob *b, bool current);
/* Answers when a condition does not hold; prefix "" or "x-ms-source-". */
bool conditions_ok(struct request *q, const struct blob *b, const char *prefix, bool reading);
struct blob *blob_asked(struct request *q, struct container *c, struct name **ret_n);

void do_get(struct request *q, struct container *c); /* read.c */
void do_head(struct request *q, struct container *c);
void do_get_blocks(struct request *q, struct container *c);
void do_get_tags(struct request *q, struct container *c);
void do_put(struct request *q, struct container *c); /* write.c */
void do_put_block(struct request *q, struct container *c);
void do_put_list(struct request *q, struct container *c);
void do_append(struct request *q, struct container *c);
void do_delete(struct request *q, struct container *c);
void do_set(struct request *q, struct container *c, const char *what);
void do_snapshot(struct request *q, struct container *c);
void do_lease(struct request *q, struct container *c);
void put_block(struct request *q, struct container *c, const char *id, struct content *bytes);
void put_blob(struct request *q, struct container *c, struct blob *b, int status); /* takes b */
bool check_body(struct request *q, const struct content *c);                       /* MD5, CRC64 */
void take_properties(struct request *q, struct blob *b);
void do_copy(struct request *q, struct container *c); /* copy.c */
void do_block_from_url(struct request *q, struct container *c);
void do_put_from_url(struct request *q, struct container *c);
void do_list(struct request *q, struct container *c); /* list.c */
void do_list_containers(struct request *q);
void xml_text(struct slu_buf *b, const char *s);
void do_dfs(struct request *q, struct container *c); /* dfs.c */
/* Under the lock: the folders above a path, made where they are missing; is one of them a file? */
void dfs_parents(struct container *c, const char *path);
bool dfs_is_file_above(const struct container *c, const char *path);
bool dfs_has_children(const struct container *c, const char *folder);

/* --- faults and the log (fault.c) --- */

int rules_set(const char *text, const char **why); /* replaces them; 0 or -EINVAL */
void rules_match(struct request *q);
void rules_release(void);      /* all that stall go on to their end */
void stall(struct request *q); /* is in the log before */
void log_expect(struct request *q);
void log_request(struct request *q); /* once */
void log_text(struct slu_buf *b);
void log_clear(void);

/* --- digests (auth.c) --- */

void md5_of(const struct content *c, uint64_t off, uint64_t len, unsigned char out[16]);
uint64_t crc64_of(const struct content *c, uint64_t off, uint64_t len);
void base64(char *out /* 4 * ((n + 2) / 3) + 1 */, const void *p, size_t n);
/* Into room of n; -1: not base64. */
long unbase64(void *out, size_t n, const char *text);

void *must(void *p); /* ends the program when there is no memory */

#endif
