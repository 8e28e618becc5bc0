/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The error value.  A function returns 0 or -errno; the reason goes into a plain struct that the
 * caller owns and passes last (NULL: not wanted).  Not thread-local: completions run on other
 * threads.  A message is one line, names the object in single quotes, says what to do when the
 * user can do something, and never holds a secret.  A function returns an error or logs, not both.
 */
#ifndef SLU_COMMON_ERR_H
#define SLU_COMMON_ERR_H

#define SLU_ERR_MSG 640

struct slu_err {
	int code;              /* errno value, 0 = no error */
	int http;              /* HTTP status that caused it, 0 = none */
	char svc[40];          /* the service's own code ("BlobNotFound"), "" = none */
	char msg[SLU_ERR_MSG]; /* one line, no newline; control bytes are shown as \xNN */
};

/* Fills *e (when not NULL; http and svc are emptied, set them afterwards) and returns -code.  code
 * is a positive errno.  The text goes through the redactor (log.h); what is too long ends in "...".
 * Arguments may point into *e. */
int slu_fail(struct slu_err *e, int code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4), cold));

/* As slu_fail, with ": <strerror(code)>" added, which is kept when the text has to be cut. */
int slu_fail_sys(struct slu_err *e, int code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4), cold));

/* Puts "text: " in front of e->msg, keeps code, http and svc; returns -e->code.  e may be NULL: -EIO. */
int slu_fail_more(struct slu_err *e, const char *fmt, ...)
	__attribute__((format(printf, 2, 3), cold));

/* "out of memory" as slu_fail(e, ENOMEM, ...). */
int slu_fail_oom(struct slu_err *e) __attribute__((cold));

/* The process exit code for a result: table in sluice(1), EXIT STATUS.  rc is 0 or -errno. */
int slu_exit_code(int rc);

#endif
