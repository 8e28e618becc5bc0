/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A step's way to its workspace: a unix socket (0600) in the run's folder, served by the supervisor, so
 * that the step needs no credentials and no configuration.  The protocol is dataset/broker_client.h's:
 * requests must carry the run's token and come from this user.  Views opened through it live as long
 * as the step.
 */
#ifndef SLU_JOB_BROKER_H
#define SLU_JOB_BROKER_H

#include "job/run.h"

#define SLU_BROKER_SOCKET "broker.sock"
#define SLU_BROKER_TOKEN 65 /* hex digits and NUL */

struct slu_broker;

/* Binds and serves from a thread of its own.  token: written. */
int slu_broker_start(struct slu_run *r, char token[SLU_BROKER_TOKEN], struct slu_broker **ret,
		     struct slu_err *e);
/* Ends connections, closes views, removes the socket.  NULL fine.  A view that is being opened is waited
 * for. */
void slu_broker_stop(struct slu_broker *b);

#endif
