/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The broker, from inside a step: AZUREML_SERVICE_ENDPOINT=unix:PATH and AZUREML_RUN_TOKEN.  JSON, one
 * object a line, at most SLU_BROKER_LINE bytes:
 *
 *   -> {"token": T, "op": "ping"}                              <- {"ok": true, "run": ID}
 *   -> {"token": T, "op": "show", "ref": REF}                  <- {"ok": true, "data": {...}}
 *   -> {"token": T, "op": "open", "ref": REF, "mode": M, "name"?: N}
 *                                    <- {"ok": true, "value": PATH or URI, "props"?: {...}}
 *   -> {"token": T, "op": "call", "name": one of job/broker.c, "arg"?: TEXT} <- {"ok": true, "data": ...}
 *   <- {"ok": false, "code": ERRNO, "message": "..."}
 *
 * Any thread; every call is a connection of its own.
 */
#ifndef SLU_DATASET_BROKER_CLIENT_H
#define SLU_DATASET_BROKER_CLIENT_H

#include "common/err.h"
#include "common/json.h"

#define SLU_BROKER_LINE (1u << 20)

bool slu_broker_here(void); /* is this process part of a step? */
/* Is it the broker that knows what ref means?  Local paths need nobody. */
bool slu_broker_for(const char *ref);
/* request: without token, taken.  *ret: the answer; the broker's error becomes this call's. */
int slu_broker_call(struct json_t *request, struct json_t **ret, struct slu_err *e);
/* {"op", "ref", "mode"?} as a request; NULL: no memory. */
struct json_t *slu_broker_request(const char *op, const char *ref, const char *mode);

struct slu_view;
/* A view that the broker opened for this step: it lives as long as the step; closing it does nothing. */
int slu_broker_view(const char *ref, const char *mode, struct slu_view **ret, struct slu_err *e);

/* Connects to (bind false) or binds a stream socket at any path, however long.  -errno. */
int slu_unix_socket(const char *path, bool bind_it);
/* A line (without '\n', NUL-terminated) from fd: 1, 0 at the end of file, -errno.  Bounded. */
struct slu_buf;
int slu_line_read(int fd, struct slu_buf *line);
int slu_line_write(int fd, const char *text); /* adds the '\n' */

#endif
