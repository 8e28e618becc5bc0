/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Preloaded by tests of Kerberos: a clock that is LIAR_SECONDS off, and reverse look-ups that all lead to LIAR_NAME.
 */
#include <dlfcn.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>

static long off(void)
{
	const char *s = getenv("LIAR_SECONDS");

	return s ? strtol(s, NULL, 10) : 0;
}

static void *next(const char *name)
{
	return dlsym(RTLD_NEXT, name);
}

time_t time(time_t *ret)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	if (ret)
		*ret = t.tv_sec;
	return t.tv_sec;
}

int gettimeofday(struct timeval *restrict tv, void *restrict zone)
{
	struct timespec t;

	(void)zone;
	clock_gettime(CLOCK_REALTIME, &t);
	tv->tv_sec = t.tv_sec;
	tv->tv_usec = t.tv_nsec / 1000;
	return 0;
}

int clock_gettime(clockid_t clock, struct timespec *ret)
{
	static int (*real)(clockid_t, struct timespec *);
	int r;

	if (!real)
		*(void **)&real = next("clock_gettime");
	r = real(clock, ret);
	if (clock == CLOCK_REALTIME)
		ret->tv_sec += off();
	return r;
}

int getnameinfo(const struct sockaddr *restrict sa, socklen_t salen, char *restrict host,
		socklen_t hostlen, char *restrict serv, socklen_t servlen, int flags)
{
	static int (*real)(const struct sockaddr *, socklen_t, char *, socklen_t, char *, socklen_t,
			   int);
	const char *name = getenv("LIAR_NAME");

	if (!real)
		*(void **)&real = next("getnameinfo");
	if (!name || flags & NI_NUMERICHOST)
		return real(sa, salen, host, hostlen, serv, servlen, flags);
	if (hostlen)
		snprintf(host, hostlen, "%s", name);
	return 0;
}
