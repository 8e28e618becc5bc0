/* SPDX-License-Identifier: Apache-2.0 */
/* The sockets that curl opened for one loop: which one an exchange uses, and whether it is clean. */
#ifndef SLU_IO_SOCK_H
#define SLU_IO_SOCK_H

#include "common/vec.h"

#include <curl/curl.h>
#include <stdbool.h>
#include <stdint.h>

struct slu_sock {
	int fd;
	int local_port, port; /* 0: not connected when last looked at */
	char ip[46];          /* of the peer */
};

struct slu_socks {
	SLU_VEC(struct slu_sock) v;
};

/* For CURLOPT_OPENSOCKETFUNCTION and CURLOPT_CLOSESOCKETFUNCTION; arg: struct slu_socks. */
curl_socket_t slu_sock_open(void *arg, curlsocktype purpose, struct curl_sockaddr *a);
int slu_sock_close(void *arg, curl_socket_t fd);
/* The descriptor of a connection as CURLOPT_PREREQFUNCTION describes it, or -1. */
int slu_sock_find(struct slu_socks *s, const char *ip, int port, int local_port);
/* True when nothing can be read from it, not even an end: good for another request. */
bool slu_sock_clean(int fd);
/* Bytes written to it that the peer has not acknowledged; 0 when it is not open any more. */
uint64_t slu_sock_queued(const struct slu_socks *s, int fd);

#endif
