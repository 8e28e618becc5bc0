/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The log.  A line is put together on the stack and written with one write(2), so lines of several
 * threads or processes never mix; nothing is allocated and no lock is held while writing.  A line
 * that cannot be written is lost silently: there is nobody to tell.
 */
#include "common/log.h"
#include "common/cleanup.h"
#include "common/fault.h"
#include "common/redact.h"
#include "common/str.h"
#include "common/time.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <unistd.h>

enum { RAW_MAX = 4096, LINE_MAX_LEN = 4096, MODULES_MAX = 16, MODULE_LEN = 24 };

static const char *const level_names[] = {"error", "warning", "info", "debug"};

static atomic_int log_level = SLU_LOG_WARNING;

/* Written by the constructor only. */
static struct {
	char name[MODULE_LEN];
	bool on;
} modules[MODULES_MAX];
static size_t modules_n;

/* Guards the sink: who gets lines, and the file when it is nobody else. */
static pthread_mutex_t sink_lock = PTHREAD_MUTEX_INITIALIZER;
static slu_log_fn *sink_fn;
static void *sink_user;
static int sink_fd = STDERR_FILENO;
static int file_fd = -1; /* kept open for ever once opened: another thread may be writing to it */

/* "io" or "io=2" (0 turns it off). */
static void add_module(const char *s, size_t n)
{
	size_t name = 0;

	while (name < n && s[name] != '=')
		name++;
	if (name == 0 || name >= MODULE_LEN || modules_n == MODULES_MAX)
		return;
	memcpy(modules[modules_n].name, s, name);
	modules[modules_n].on = !(n - name == 2 && s[name + 1] == '0');
	modules_n++;
}

/* Whoever had it locked is not in the child. */
static void after_fork(void)
{
	pthread_mutex_init(&sink_lock, NULL);
}

static __attribute__((constructor)) void read_env(void)
{
	const char *level = getenv("SLUICE_LOG"), *s = getenv("SLUICE_DEBUG");

	(void)pthread_atfork(NULL, NULL, after_fork);
	for (int i = 0; level && i <= SLU_LOG_DEBUG; i++) {
		if (slu_streq(level, level_names[i]))
			atomic_store(&log_level, i);
	}
	while (s && *s) {
		size_t n = strcspn(s, ", ");

		add_module(s, n);
		s += n;
		s += *s != '\0';
	}
}

void slu_log_set(slu_log_fn *fn, void *user)
{
	pthread_mutex_lock(&sink_lock);
	sink_fn = fn;
	sink_user = user;
	sink_fd = STDERR_FILENO;
	pthread_mutex_unlock(&sink_lock);
}

int slu_log_to_file(const char *path)
{
	int fd = SLU_IO(open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0600));
	int r = 0;

	if (fd < 0)
		return -errno;
	pthread_mutex_lock(&sink_lock);
	if (file_fd < 0)
		file_fd = slu_take_fd(fd);
	else if (dup3(fd, file_fd, O_CLOEXEC) < 0)
		r = -errno;
	if (r == 0) {
		sink_fn = NULL;
		sink_fd = file_fd;
	}
	pthread_mutex_unlock(&sink_lock);
	if (fd >= 0)
		close(fd);
	return r;
}

void slu_log_level(enum slu_log_level max)
{
	atomic_store(&log_level, (int)max);
}

static bool module_on(const char *module)
{
	for (size_t i = modules_n; i-- > 0;) {
		if (slu_streq(modules[i].name, module) || slu_streq(modules[i].name, "all"))
			return modules[i].on;
	}
	return false;
}

bool slu_log_wants(enum slu_log_level level, const char *module)
{
	if ((int)level <= atomic_load_explicit(&log_level, memory_order_relaxed))
		return true;
	return __builtin_expect(modules_n > 0, 0) && module_on(module);
}

static void write_line(int fd, enum slu_log_level level, const char *module, const char *text)
{
	char line[LINE_MAX_LEN + 128], when[SLU_TIME_LEN];
	ssize_t r;
	int n;

	slu_time_fmt(when, slu_wall());
	n = snprintf(line, sizeof(line), "%s %s %.32s: %s\n", when, level_names[level], module,
		     text);
	do
		r = SLU_IO(write(fd, line, (size_t)n));
	while (r < 0 && errno == EINTR);
}

void slu_log_line(enum slu_log_level level, const char *module, const char *fmt, ...)
{
	char raw[RAW_MAX], text[LINE_MAX_LEN];
	int saved = errno, n, fd;
	slu_log_fn *fn;
	void *user;
	va_list ap;

	va_start(ap, fmt);
	n = vsnprintf(raw, sizeof(raw), fmt, ap);
	va_end(ap);
	if (n < 0)
		raw[0] = '\0';
	slu_safe_line(text, sizeof(text), raw, strnlen(raw, sizeof(raw)), n >= RAW_MAX);
	pthread_mutex_lock(&sink_lock);
	fn = sink_fn;
	user = sink_user;
	fd = sink_fd;
	pthread_mutex_unlock(&sink_lock);
	if (fn)
		fn(user, level, module, text);
	else
		write_line(fd, level, module, text);
	errno = saved;
}
