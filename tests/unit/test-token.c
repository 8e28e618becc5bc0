/* SPDX-License-Identifier: Apache-2.0 */
/* Tokens: one fetch for all who wait, renewal before the end, and what the endpoints answer. */
#include "tests/unit/unit.h"

#include "blob/identity.h"
#include "blob/token.h"
#include "common/json.h"
#include "common/mem.h"
#include "common/time.h"
#include "io/pool.h"

#include <errno.h>
#include <pthread.h>

/* A source that answers when it is let. */
static struct {
	pthread_mutex_t lock;
	pthread_cond_t cond;
	int begun, ended, allowed, woken;
	int64_t life;
	int fail;
} src = {.lock = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER};

static void change(int *n, int by)
{
	pthread_mutex_lock(&src.lock);
	*n += by;
	pthread_cond_broadcast(&src.cond);
	pthread_mutex_unlock(&src.lock);
}

static void await(const int *n, int at_least)
{
	pthread_mutex_lock(&src.lock);
	while (*n < at_least)
		pthread_cond_wait(&src.cond, &src.lock);
	pthread_mutex_unlock(&src.lock);
}

static int begun(void)
{
	int n;

	pthread_mutex_lock(&src.lock);
	n = src.begun;
	pthread_mutex_unlock(&src.lock);
	return n;
}

/* How the answers from now on are: *life* from the fetch, or the errno *fail*. */
static void answers(int64_t life, int fail)
{
	pthread_mutex_lock(&src.lock);
	src.life = life;
	src.fail = fail;
	pthread_mutex_unlock(&src.lock);
}

static int answer(void *arg, struct slu_token *ret, struct slu_err *e)
{
	int n, fail;
	int64_t life;

	(void)arg;
	pthread_mutex_lock(&src.lock);
	n = ++src.begun;
	pthread_cond_broadcast(&src.cond);
	while (src.allowed < n)
		pthread_cond_wait(&src.cond, &src.lock);
	src.ended++;
	pthread_cond_broadcast(&src.cond);
	fail = src.fail;
	life = src.life;
	pthread_mutex_unlock(&src.lock);
	if (fail)
		return slu_fail(e, fail, "no token today");
	ret->text = slu_asprintf("T%d", n);
	ret->ends = slu_wall() + life;
	return 0;
}

static void woken(struct slu_token_wait *w)
{
	(void)w;
	change(&src.woken, 1);
}

static struct slu_pool *pool;
static struct slu_tokens *tokens;

static int setup(void **state)
{
	(void)state;
	src.begun = src.ended = src.allowed = src.woken = src.fail = 0;
	src.life = 3600 * SLU_SEC;
	assert_int_equal(slu_pool_new(2, &pool, NULL), 0);
	assert_int_equal(slu_tokens_new(pool, answer, NULL, &tokens), 0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	slu_tokens_free(tokens);
	slu_pool_free(pool);
	return 0;
}

static void expect(const char *text)
{
	struct slu_token_wait w = {.fn = woken};
	char *got = NULL;

	assert_int_equal(slu_tokens_get(tokens, &w, &got, NULL), 0);
	assert_string_equal(got, text);
	free(got);
}

static void all_wait_for_one(void **state)
{
	struct slu_token_wait w[16];
	char *got = NULL;

	(void)state;
	for (int i = 0; i < 16; i++) {
		w[i].fn = woken;
		assert_int_equal(slu_tokens_get(tokens, &w[i], &got, NULL), -EINPROGRESS);
	}
	change(&src.allowed, 1);
	await(&src.woken, 16);
	assert_int_equal(begun(), 1);
	expect("T1");
	assert_int_equal(begun(), 1);
}

/* At half of a short life the next is fetched, and the old one serves meanwhile. */
static void it_is_renewed_while_the_old_one_serves(void **state)
{
	struct slu_token_wait w = {.fn = woken};
	char *got = NULL;

	(void)state;
	answers(600 * SLU_MS, 0);
	assert_int_equal(slu_tokens_get(tokens, &w, &got, NULL), -EINPROGRESS);
	change(&src.allowed, 1);
	await(&src.woken, 1);
	answers(3600 * SLU_SEC, 0);
	while (begun() < 2) {
		int r = slu_tokens_get(tokens, &w, &got, NULL);

		if (r == -EINPROGRESS)
			break; /* a slow machine: it ended before we looked */
		assert_int_equal(r, 0);
		assert_string_equal(got, "T1");
		free(got);
		sched_yield();
	}
	change(&src.allowed, 1);
	await(&src.ended, 2);
	slu_pool_free(pool); /* what is queued has run */
	assert_int_equal(slu_pool_new(2, &pool, NULL), 0);
	expect("T2");
}

/* Our clock may be wrong: it is sent, and not fetched again and again. */
static void one_that_has_ended_already_is_left_to_the_service(void **state)
{
	struct slu_token_wait w = {.fn = woken};
	char *got = NULL;

	(void)state;
	answers(-3600 * SLU_SEC, 0);
	change(&src.allowed, 1);
	assert_int_equal(slu_tokens_get(tokens, &w, &got, NULL), -EINPROGRESS);
	await(&src.woken, 1);
	expect("T1");
	expect("T1");
	assert_int_equal(begun(), 1);
}

static void a_failure_is_told_and_not_repeated_at_once(void **state)
{
	struct slu_token_wait w = {.fn = woken};
	struct slu_err e = {0};
	char *got = NULL;

	(void)state;
	answers(0, EACCES);
	int64_t from = slu_now();

	assert_int_equal(slu_tokens_get(tokens, &w, &got, NULL), -EINPROGRESS);
	change(&src.allowed, 10);
	await(&src.woken, 1);
	for (int i = 0; i < 3; i++) {
		int r = slu_tokens_get(tokens, &w, &got, &e);

		if (r == -EINPROGRESS) { /* we were stopped until it was time */
			assert_true(slu_now() - from >= 2 * SLU_SEC);
			await(&src.woken, 2);
			return;
		}
		assert_failed(r, e, EACCES, "no token today");
	}
	assert_true(begun() == 1 || slu_now() - from >= 2 * SLU_SEC);
}

static void one_that_is_refused_is_replaced(void **state)
{
	struct slu_token_wait w = {.fn = woken};
	char *got = NULL;

	(void)state;
	change(&src.allowed, 2);
	assert_int_equal(slu_tokens_get(tokens, &w, &got, NULL), -EINPROGRESS);
	await(&src.woken, 1);
	slu_tokens_refused(tokens, "T0"); /* an older one: no news */
	expect("T1");
	slu_tokens_refused(tokens, "T1");
	assert_int_equal(slu_tokens_get(tokens, &w, &got, NULL), -EINPROGRESS);
	await(&src.woken, 2);
	expect("T2");
}

static void answers_of_endpoints(void **state)
{
	static const struct {
		const char *json;
		int64_t sec; /* from now; 0: no token */
	} in[] = {
		{"{\"access_token\": \"a.b-c\", \"expires_in\": 3599}", 3599},
		{"{\"access_token\": \"a\", \"expires_in\": \"600\"}", 600},
		{"{\"accessToken\": \"a\", \"expiresOn\": \"2026-11-21 08:00:00.000000\"}", 300},
		{"{\"access_token\": \"a\\r\\nX: y\", \"expires_in\": 1}", 0},
		{"{\"access_token\": \"\"}", 0},
		{"{\"access_token\": 7}", 0},
		{"[]", 0},
		{"<html>", 0},
		{"", 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(in) / sizeof(in[0]); i++) {
		struct slu_token t = {0};
		struct slu_err e = {0};
		int64_t from = slu_wall(), life = in[i].sec * SLU_SEC;
		int r = slu_identity_read(in[i].json, strlen(in[i].json), "x", &t, &e);

		assert_int_equal(r, in[i].sec ? 0 : -EPROTO);
		if (r == 0)
			assert_true(t.ends >= from + life - SLU_SEC && t.ends <= slu_wall() + life);
		slu_token_done(&t);
	}
}

/* The authorities that the clouds' documentation names. */
static void authorities_of_clouds(void **state)
{
	static const struct {
		const char *suffix, *url;
	} in[] = {
		{NULL, "https://login.microsoftonline.com"},
		{"core.windows.net", "https://login.microsoftonline.com"},
		{"core.usgovcloudapi.net", "https://login.microsoftonline.us"},
		{"core.chinacloudapi.cn", "https://login.chinacloudapi.cn"},
		{"storage.example.org", "https://login.microsoftonline.com"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(in) / sizeof(in[0]); i++)
		assert_string_equal(slu_identity_authority_of(in[i].suffix), in[i].url);
}

static void custom_authority(void **state)
{
	struct json_t *o = NULL;
	struct slu_identity *id = NULL;
	static const char text[] = "{\"type\": \"service_principal\", \"tenant_id\": \"t\", "
				   "\"client_id\": \"c\", \"client_secret\": \"file:s\", "
				   "\"authority_url\": \"https://login.example.org\"}";

	(void)state;
	assert_int_equal(slu_json_parse(text, strlen(text), "x", &o, NULL), 0);
	assert_true(slu_identity_is(o));
	assert_int_equal(slu_identity_new(o, "/d", "core.chinacloudapi.cn", NULL, NULL, &id, NULL),
			 0);
	SLU_AUTO(slu_freep) char *authority = slu_identity_authority(id);

	assert_string_equal(authority, "https://login.example.org");
	assert_string_equal(slu_identity_secret_ref(id), "file:/d/s");
	slu_identity_free(id);
	slu_json_free(o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(all_wait_for_one, setup, teardown),
		cmocka_unit_test_setup_teardown(it_is_renewed_while_the_old_one_serves, setup,
						teardown),
		cmocka_unit_test_setup_teardown(one_that_has_ended_already_is_left_to_the_service,
						setup, teardown),
		cmocka_unit_test_setup_teardown(a_failure_is_told_and_not_repeated_at_once, setup,
						teardown),
		cmocka_unit_test_setup_teardown(one_that_is_refused_is_replaced, setup, teardown),
		cmocka_unit_test(answers_of_endpoints),
		cmocka_unit_test(authorities_of_clouds),
		cmocka_unit_test(custom_authority),
	};

	return cmocka_run_group_tests_name("token", tests, NULL, NULL);
}
