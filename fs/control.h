/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control socket of a mount: a Unix socket (0600, in a folder 0700 of the user) that speaks lines of
 * JSON, version 1; docs/control.md has the requests.  One request, one answer, any number on a
 * connection:
 *     {"v":1,"do":"stats"}                    {"v":1,"ok":true,...}
 *     {"v":1,"do":"nonsense"}                 {"v":1,"ok":false,"error":{"code":"EINVAL","message":"..."}}
 * Only the user that the server runs as, and root, are heard (SO_PEERCRED).  The server is one thread
 * that never waits for a client: who is silent in the middle of a line, does not take its answer, sends
 * too much or comes when too many are there is disconnected.
 */
#ifndef SLU_FS_CONTROL_H
#define SLU_FS_CONTROL_H

#include "common/err.h"
#include "fs/op.h"

#include <stdbool.h>
#include <stdint.h>

struct json_t;
struct slu_buf;

#define SLU_CONTROL_VERSION 1
#define SLU_CONTROL_LINE (256u << 10) /* one request */
#define SLU_CONTROL_ANSWER (1u << 20)
#define SLU_CONTROL_CLIENTS 16

/* --- where --- */

/* The folders in which sockets of this user may be, best first; the caller frees each.  For a server:
 * the first that can be made. */
#define SLU_CONTROL_DIRS 3
int slu_control_dirs(uint32_t uid, char *ret[SLU_CONTROL_DIRS]);
/* "mount-MAJOR-MINOR.sock" */
#define SLU_CONTROL_NAME 40
void slu_control_name(uint32_t major, uint32_t minor, char out[SLU_CONTROL_NAME]);

/* A listening socket under that name, in place of what a dead server left there; names that no server
 * answers under any more are removed from the folder. */
int slu_control_listen(const char *name, int *ret_fd, struct slu_err *e);
/* Removes the name of the socket fd, before it is closed; not that of another one which has it by now: a
 * device number, and so a name, is free as soon as a mount is gone. */
void slu_control_forget(const char *name, int fd);

/* --- serving --- */

struct slu_control;

struct slu_control_conf {
	/* Answers: fills the object `answer` ("v" and "ok" are set), or returns -errno with *e.  conn: of
	 * the connection, never used again.  On the server's thread; waits for nothing. */
	int (*handle)(void *user, uint64_t conn, const struct json_t *request,
		      struct json_t *answer, struct slu_err *e);
	void *user;
	int64_t patience; /* of a client in the middle of something; 0: 10 s */
	uint32_t uid;     /* beside root: who is heard */
};
/* fd: a listening socket, the caller's, used until slu_control_stop. */
int slu_control_start(const struct slu_control_conf *conf, int fd, struct slu_control **ret,
		      struct slu_err *e);
void slu_control_stop(struct slu_control *c); /* joins its thread, frees; NULL fine */

/* One request line (without its newline) into one answer line: what the server does with it.  -EMSGSIZE: the
 * answer is too long, -ENOMEM. */
int slu_control_answer(const struct slu_control_conf *conf, uint64_t conn, const char *line,
		       size_t n, struct slu_buf *out);

/* --- asking --- */

/* A connection to the server of a mount (by its device number) of any of the user's folders, or of
 * those of `uid`; -ENOENT: none answers.  The descriptor. */
int slu_control_connect(uint32_t major, uint32_t minor, uint32_t uid, struct slu_err *e);
/* Sends the object, waits for the answer at most timeout_ns.  An answer that is not ok is the error that
 * it tells. */
int slu_control_ask(int fd, const struct json_t *request, int64_t timeout_ns, struct json_t **ret,
		    struct slu_err *e);

#endif
