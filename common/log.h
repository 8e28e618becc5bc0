/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The log: one line a call to stderr or a file or a callback, with wall time, level, module.
 * SLUICE_LOG=debug|info|warning|error sets the level (default warning), SLUICE_DEBUG=io,fs=2
 * turns on debug of modules.  Every line passes the redactor (secrets in query strings, account
 * keys, bearer tokens, `sig=`, `delegation=`); control bytes are escaped.  The library logs what
 * no caller can be told (a background failure, a changed object); everything else is returned.
 * Any thread.
 */
#ifndef SLU_COMMON_LOG_H
#define SLU_COMMON_LOG_H

#include <stdbool.h>
#include <stddef.h>

struct slu_buf;

enum slu_log_level { SLU_LOG_ERROR, SLU_LOG_WARNING, SLU_LOG_INFO, SLU_LOG_DEBUG };

typedef void slu_log_fn(void *user, enum slu_log_level level, const char *module, const char *line);

/* fn gets lines without time and newline, on any thread, also while slu_log_set replaces it; it may
 * log.  NULL: stderr again. */
void slu_log_set(slu_log_fn *fn, void *user);
int slu_log_to_file(const char *path); /* appends, 0600; 0 or -errno */
void slu_log_level(enum slu_log_level max);
bool slu_log_wants(enum slu_log_level level, const char *module); /* cheap when off */
void slu_log_line(enum slu_log_level level, const char *module, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

#define slu_log(level, module, ...)                                                                \
	(slu_log_wants(level, module) ? slu_log_line(level, module, __VA_ARGS__) : (void)0)
#define slu_debug(module, ...) slu_log(SLU_LOG_DEBUG, module, __VA_ARGS__)
#define slu_warn(module, ...) slu_log(SLU_LOG_WARNING, module, __VA_ARGS__)

/* text with every secret replaced by "***", appended to b.  Also used on error messages. */
void slu_redact(struct slu_buf *b, const char *text);

#endif
