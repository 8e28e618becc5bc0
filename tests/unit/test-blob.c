/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of the Blob driver that talk to nobody: signatures, endpoints, credentials, XML, errors. */
#include "tests/unit/unit.h"

#include "blob/call.h"
#include "blob/cred.h"
#include "blob/endpoint.h"
#include "blob/errors.h"
#include "blob/list.h"
#include "blob/sign.h"
#include "common/str.h"
#include "common/time.h"
#include "io/crypt.h"
#include "io/pool.h"
#include "tests/unit/blob-vectors.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <semaphore.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/fuzz/fuzz-bloblist.c"

static size_t pairs(const struct slu_blob_pair *p, size_t max)
{
	size_t n = 0;

	while (n < max && p[n].name)
		n++;
	return n;
}

static void signatures_are_those_of_the_sdk(void **state)
{
	uint8_t key[SLU_BLOB_KEY_MAX];
	size_t key_len;

	(void)state;
	assert_true(slu_base64_decode(VECTOR_KEY, key, sizeof(key), &key_len));
	for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
		const struct vector *v = &vectors[i];
		struct slu_blob_req q = {.method = v->method,
					 .path = v->path,
					 .param = v->param,
					 .params = pairs(v->param, 8),
					 .header = v->header,
					 .headers = pairs(v->header, 12),
					 .body_len = v->body_len};
		SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(1 << 20);
		char *value = NULL;

		slu_blob_signed_text(&q, v->account, &b);
		assert_string_equal(b.p, v->text);
		assert_int_equal(slu_blob_sign(&q, v->account, key, key_len, &value, NULL), 0);
		assert_string_equal(value, v->authorization);
		free(value);
	}
}

/* In the order of the SDK, which is that of the service. */
static void headers_are_sorted_as_by_the_service(void **state)
{
	static const struct slu_blob_pair h[] = {
		{"x-ms-meta-b", "9"},   {"x-ms-meta-a-b", "8"}, {"x-ms-meta-ab", "7"},
		{"x-ms-meta-aa", "6"},  {"x-ms-meta-a11", "5"}, {"x-ms-meta-A1", "4"},
		{"x-ms-meta-a_1", "3"}, {"x-ms-meta-a", "2"},   {"x-ms-meta-_z", "1"}};
	struct slu_blob_req q = {.method = "PUT", .path = "/c/b", .header = h, .headers = 9};
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(4096);

	(void)state;
	slu_blob_signed_text(&q, "acct", &b);
	assert_non_null(strstr(b.p, "\nx-ms-meta-_z:1\nx-ms-meta-a:2\nx-ms-meta-a_1:3\n"
				    "x-ms-meta-a1:4\nx-ms-meta-a11:5\nx-ms-meta-aa:6\n"
				    "x-ms-meta-ab:7\nx-ms-meta-a-b:8\nx-ms-meta-b:9\n"));
}

/* Those of generate_blob_sas() for the same blob, key, right and end. */
static void a_source_is_signed_as_by_the_sdk(void **state)
{
	static const struct {
		const char *path, *sig;
	} want[] = {
		{"in/a b.csv", "sig=oN61EayX%2FJtT5JQD03evfNcTOqpzVf9Du8wMpNVet4s%3D"},
		{"sp\xc3\xa4"
		 "ce #1%25",
		 "sig=2O39xQJvt6bEr0lzrugGZgyqRfQWcYH%2FHdkky5XQQRE%3D"},
	};
	struct slu_blob b = {.at = {.account = (char *)"acct",
				    .container = (char *)"data",
				    .base = (char *)"https://acct.blob.core.windows.net"}};
	struct slu_blob_secret s = {.kind = SLU_BLOB_KEY};
	int64_t end;

	(void)state;
	assert_true(slu_base64_decode(VECTOR_KEY, s.key, sizeof(s.key), &s.key_len));
	assert_true(slu_time_parse("2026-11-21T08:00:00Z", &end));
	for (size_t i = 0; i < 2; i++) {
		char *sas = slu_blob_read_sas(&b, want[i].path, &s, end);

		assert_contains(sas, want[i].sig);
		assert_contains(sas, "sp=r&");
		free(sas);
	}
}

static void endpoints(void **state)
{
	static const struct {
		const char *endpoint, *protocol, *base, *path, *suffix;
	} good[] = {
		{NULL, NULL, "https://acct.blob.core.windows.net", "", "core.windows.net"},
		{"core.usgovcloudapi.net", NULL, "https://acct.blob.core.usgovcloudapi.net", "",
		 "core.usgovcloudapi.net"},
		{"blob.core.chinacloudapi.cn", "https", "https://acct.blob.core.chinacloudapi.cn",
		 "", "core.chinacloudapi.cn"},
		{"http://127.0.0.1:10000", NULL, "http://127.0.0.1:10000/acct", "/acct", NULL},
		{"http://127.0.0.1:10000/acct/", NULL, "http://127.0.0.1:10000/acct", "/acct",
		 NULL},
		{"127.0.0.1:10000", "http", "http://127.0.0.1:10000/acct", "/acct", NULL},
		{"http://[::1]:10000", NULL, "http://[::1]:10000/acct", "/acct", NULL},
		{"http://localhost:10000", NULL, "http://localhost:10000/acct", "/acct", NULL},
		{"https://10.0.0.4", NULL, "https://10.0.0.4/acct", "/acct", NULL},
		{"https://data.example.org", NULL, "https://data.example.org", "", NULL},
		{"acct.privatelink.blob.core.windows.net", NULL,
		 "https://acct.privatelink.blob.core.windows.net", "", NULL},
		{"acct-secondary.blob.core.windows.net", NULL,
		 "https://acct-secondary.blob.core.windows.net", "", NULL},
		{"http://127.0.0.1:10000/acct-secondary", NULL,
		 "http://127.0.0.1:10000/acct-secondary", "/acct-secondary", NULL},
		{"blob.storage.example.org", NULL, "https://acct.blob.storage.example.org", "",
		 "storage.example.org"},
	};
	struct slu_blob_place p;

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		assert_int_equal(slu_blob_place_init(&p, "acct", "data", good[i].endpoint,
						     good[i].protocol, false, NULL),
				 0);
		assert_string_equal(p.base, good[i].base);
		assert_string_equal(p.path, good[i].path);
		if (good[i].suffix)
			assert_string_equal(p.suffix, good[i].suffix);
		else
			assert_null(p.suffix);
		slu_blob_place_done(&p);
	}
}

/* Where the Data Lake service is: beside the Blob service, or where the entry says. */
static void endpoints_of_data_lakes(void **state)
{
	static const struct {
		const char *endpoint, *dfs, *want; /* want NULL: none is known */
	} in[] = {
		{NULL, NULL, "https://acct.dfs.core.windows.net"},
		{"core.chinacloudapi.cn", NULL, "https://acct.dfs.core.chinacloudapi.cn"},
		{"acct.privatelink.blob.core.windows.net", NULL,
		 "https://acct.privatelink.dfs.core.windows.net"},
		{"http://127.0.0.1:10000", NULL, NULL},
		{"https://data.example.org", NULL, NULL},
		{"https://data.example.org", "https://lake.example.org/",
		 "https://lake.example.org"},
		{"http://127.0.0.1:1", "http://127.0.0.1:1/acct.dfs",
		 "http://127.0.0.1:1/acct.dfs"},
	};
	struct slu_blob_place p;
	struct slu_err e = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(in) / sizeof(in[0]); i++) {
		assert_int_equal(
			slu_blob_place_init(&p, "acct", "data", in[i].endpoint, NULL, false, NULL),
			0);
		assert_int_equal(slu_blob_place_dfs(&p, in[i].dfs, NULL), 0);
		if (in[i].want)
			assert_string_equal(p.dfs, in[i].want);
		else
			assert_null(p.dfs);
		slu_blob_place_done(&p);
	}
	assert_int_equal(slu_blob_place_init(&p, "acct", "data", NULL, NULL, false, NULL), 0);
	assert_failed(slu_blob_place_dfs(&p, "lake.example.org", &e), e, EINVAL, "URL");
	slu_blob_place_done(&p);
}

static void plain_http_has_to_be_allowed(void **state)
{
	static const struct {
		const char *endpoint, *protocol;
	} plain[] = {{"http://data.example.org", NULL},
		     {NULL, "http"},
		     {"10.0.0.4:80", "http"},
		     {"http://localhost.example.org", NULL},
		     {"http://127.0.0.1.example.org", NULL}};
	struct slu_blob_place p;

	(void)state;
	for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]); i++) {
		struct slu_err e = {0};
		int r = slu_blob_place_init(&p, "acct", "data", plain[i].endpoint,
					    plain[i].protocol, false, &e);

		assert_failed(r, e, EACCES, "allow_plain_http");
		assert_int_equal(slu_blob_place_init(&p, "acct", "data", plain[i].endpoint,
						     plain[i].protocol, true, NULL),
				 0);
		slu_blob_place_done(&p);
	}
}

static void secrets(void **state)
{
	static const char connection[] =
		"DefaultEndpointsProtocol=https;AccountName=acct;AccountKey=" VECTOR_KEY
		";EndpointSuffix=core.windows.net;QueueEndpoint=https://q";
	static const char *const bad[] = {"",
					  " \n",
					  "CANARY not a key",
					  "CANA",
					  "?sv=1&sig=CANARY x",
					  "BlobEndpoint=",
					  "UseDevelopmentStorage=CANARY",
					  "AccountName=a;AccountKey=CANARY!"};
	struct slu_blob_secret s;

	(void)state;
	assert_int_equal(slu_blob_secret_parse("\n" VECTOR_KEY "\r\n", "'k'", &s, NULL), 0);
	assert_int_equal(s.kind, SLU_BLOB_KEY);
	assert_int_equal(s.key_len, 64);
	slu_blob_secret_done(&s);
	assert_int_equal(slu_blob_secret_parse("?sv=1&sig=a%2Fb ", "'k'", &s, NULL), 0);
	assert_int_equal(s.kind, SLU_BLOB_SAS);
	assert_string_equal(s.sas, "sv=1&sig=a%2Fb");
	slu_blob_secret_done(&s);
	assert_int_equal(slu_blob_secret_parse(connection, "'k'", &s, NULL), 0);
	assert_int_equal(s.kind, SLU_BLOB_KEY);
	assert_string_equal(s.account, "acct");
	assert_string_equal(s.suffix, "core.windows.net");
	assert_string_equal(s.protocol, "https");
	slu_blob_secret_done(&s);
	assert_int_equal(slu_blob_secret_parse("UseDevelopmentStorage=true;", "'k'", &s, NULL), 0);
	assert_string_equal(s.account, "devstoreaccount1");
	assert_string_equal(s.endpoint, "http://127.0.0.1:10000/devstoreaccount1");
	assert_int_equal(s.key_len, 64);
	slu_blob_secret_done(&s);
	assert_int_equal(slu_blob_secret_parse("UseDevelopmentStorage=true;"
					       "DevelopmentStorageProxyUri=http://azurite/",
					       "'k'", &s, NULL),
			 0);
	assert_string_equal(s.endpoint, "http://azurite:10000/devstoreaccount1");
	slu_blob_secret_done(&s);
	assert_int_equal(slu_blob_secret_parse("BlobEndpoint=https://x.example.org;"
					       "BlobSecondaryEndpoint=https://y.example.org;"
					       "SharedAccessSignature=?sv=1&sig=a%2Fb",
					       "'k'", &s, NULL),
			 0);
	assert_int_equal(s.kind, SLU_BLOB_SAS);
	assert_string_equal(s.endpoint, "https://x.example.org");
	assert_string_equal(s.sas, "sv=1&sig=a%2Fb");
	slu_blob_secret_done(&s);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct slu_err e = {0};

		assert_failed(slu_blob_secret_parse(bad[i], "'k' of 'x'", &s, &e), e, EINVAL,
			      "'k' of 'x'");
		assert_lacks(e.msg, "CANARY");
	}
}

static void write_file(const struct unit_dir *d, const char *name, const char *text, mode_t mode)
{
	assert_int_equal(slu_path_write_atomic(d->fd, name, text, strlen(text)), 0);
	assert_int_equal(fchmodat(d->fd, name, mode, 0), 0);
}

static void a_file_that_changed_is_read_again(void **state)
{
	SLU_AUTO(slu_blob_cred_freep) struct slu_blob_cred *c = NULL;
	struct slu_blob_secret s;
	struct unit_dir d;
	char ref[100];

	(void)state;
	unit_dir_make(&d);
	write_file(&d, "sas", "sv=1&sig=one\n", 0600);
	snprintf(ref, sizeof(ref), "file:%s/sas", d.path);
	assert_int_equal(slu_blob_cred_new(ref, "'s'", &c, NULL), 0);
	assert_int_equal(slu_blob_cred_get(c, &s, NULL), 0);
	assert_string_equal(s.sas, "sv=1&sig=one");
	slu_blob_secret_done(&s);
	write_file(&d, "sas", "sv=1&sig=another\n", 0600);
	assert_int_equal(slu_blob_cred_get(c, &s, NULL), 0);
	assert_string_equal(s.sas, "sv=1&sig=another");
	slu_blob_secret_done(&s);
	/* what is being written, or nothing, is no reason to forget what holds */
	write_file(&d, "sas", "", 0600);
	assert_int_equal(slu_blob_cred_get(c, &s, NULL), 0);
	assert_string_equal(s.sas, "sv=1&sig=another");
	slu_blob_secret_done(&s);
	unit_dir_done(&d);
}

static void references(void **state)
{
	SLU_AUTO(slu_blob_cred_freep) struct slu_blob_cred *c = NULL;
	struct slu_blob_secret s;
	struct slu_err e = {0};
	struct unit_dir d;
	char ref[100];

	(void)state;
	unit_dir_make(&d);
	unsetenv("SLU_TEST_SECRET");
	assert_failed(slu_blob_cred_new("env:SLU_TEST_SECRET", "'k'", &c, &e), e, ENOENT,
		      "SLU_TEST_SECRET");
	assert_failed(slu_blob_cred_new("file:/none", "'k'", &c, &e), e, ENOENT, "none");
	write_file(&d, "open", VECTOR_KEY, 0644);
	snprintf(ref, sizeof(ref), "file:%s/open", d.path);
	assert_failed(slu_blob_cred_new(ref, "'k'", &c, &e), e, EACCES, "chmod 600");
	assert_failed(slu_blob_cred_new("managed_identity", "'k'", &c, &e), e, ENOTSUP,
		      "account key");
	assert_failed(slu_blob_cred_new("cmd:exit 3", "'k'", &c, &e), e, EIO, "failed");
	assert_failed(slu_blob_cred_new("cmd:yes", "'k'", &c, &e), e, EFBIG, "'k'");
	assert_int_equal(slu_blob_cred_new("cmd:echo 'sv=1&sig=x'", "'k'", &c, NULL), 0);
	assert_int_equal(slu_blob_cred_get(c, &s, NULL), 0);
	assert_string_equal(s.sas, "sv=1&sig=x");
	slu_blob_secret_done(&s);
	unit_dir_done(&d);
}

static void ends_of_a_sas(void **state)
{
	static const struct {
		const char *sas;
		int64_t sec;
	} in[] = {
		{"sv=1&se=2026-11-21T08%3A00%3A00Z&sig=x", 1795248000},
		{"se=2026-11-21T08:00:00Z", 1795248000},
		{"sv=1&se=2026-11-21T08%3a00Z", 1795248000},
		{"se=2026-11-21", 1795219200},
		{"sv=1&si=policy&sig=x", 0},
		{"sse=2026-11-21&sig=se=", 0},
		{"se=&sig=x", 0},
		{"se=2026-13-41T99%3A00%3A00Z", 0},
		{"se=%3A%3A%3A%3A%3A%3A%3A%3A%3A%3A%3A%3A%3A%3A%3A%3A%3A%3A%3A%3A%3A%3A%3A%3A%3A%3A%3A%3A%3A%3A%3A%3A%3A%3A",
		 0},
		{"", 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(in) / sizeof(in[0]); i++)
		assert_int_equal(slu_blob_sas_ends(in[i].sas), in[i].sec * SLU_SEC);
}

struct woken {
	struct slu_token_wait w;
	sem_t sem;
};

static void wake(struct slu_token_wait *w)
{
	sem_post(&((struct woken *)w)->sem);
}

/* A SAS that has ended is not sent: the command runs again, once for all who ask. */
static void a_command_is_run_again(void **state)
{
	SLU_AUTO(slu_blob_cred_freep) struct slu_blob_cred *c = NULL;
	struct slu_pool *pool = NULL;
	struct slu_blob_secret s;
	struct unit_dir d;
	struct woken a = {.w.fn = wake}, b = {.w.fn = wake};
	char ref[400], text[8];

	(void)state;
	unit_dir_make(&d);
	sem_init(&a.sem, 0, 0);
	sem_init(&b.sem, 0, 0);
	assert_int_equal(slu_pool_new(1, &pool, NULL), 0);
	snprintf(ref, sizeof(ref),
		 "cmd:cd %s; echo >>n; if test $(wc -l <n) = "
		 "1; then echo 'se=2006-11-21&sig=old'; else mkfifo p; read x <p; echo "
		 "'se=2126-11-21&sig=new'; fi",
		 d.path);
	assert_int_equal(slu_blob_cred_new(ref, "'s'", &c, NULL), 0);
	assert_int_equal(slu_blob_cred_renew(c, pool), 0);
	assert_int_equal(slu_blob_cred_ask(c, &a.w, &s, NULL), -EINPROGRESS);
	assert_int_equal(slu_blob_cred_ask(c, &b.w, &s, NULL), -EINPROGRESS);
	snprintf(ref, sizeof(ref), "%s/p", d.path);
	while (access(ref, F_OK) < 0)
		sched_yield();
	SLU_AUTO(slu_closep) int fd = open(ref, O_WRONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, "\n", 1), 1);
	sem_wait(&a.sem);
	sem_wait(&b.sem);
	assert_int_equal(slu_blob_cred_ask(c, &a.w, &s, NULL), 0);
	assert_string_equal(s.sas, "se=2126-11-21&sig=new");
	slu_blob_secret_done(&s);
	snprintf(ref, sizeof(ref), "%s/n", d.path);
	SLU_AUTO(slu_closep) int n = open(ref, O_RDONLY | O_CLOEXEC);

	assert_int_equal(read(n, text, sizeof(text)), 2);
	slu_blob_cred_free(slu_take(c));
	slu_pool_free(pool);
	unit_dir_done(&d);
}

/* --- XML --- */

static char *corpus_file(const char *name, size_t *ret_len)
{
	const char *slash = strrchr(__FILE__, '/');
	SLU_AUTO(slu_buf_done) struct slu_buf b = SLU_BUF(1 << 20);
	char path[4096];

	snprintf(path, sizeof(path), "%.*s/../corpus/bloblist/%s", (int)(slash - __FILE__),
		 __FILE__, name);
	assert_int_equal(slu_buf_read_at(&b, AT_FDCWD, path), 0);
	*ret_len = b.len;
	return slu_buf_take(&b);
}

static int parse(const char *name, struct slu_blob_page *page, struct slu_list *list,
		 struct slu_err *e)
{
	SLU_AUTO(slu_freep) char *xml = NULL;
	size_t n;

	xml = corpus_file(name, &n);
	return slu_blob_list_parse(xml, n, page, list, e);
}

static void a_page_of_a_folder(void **state)
{
	SLU_AUTO(slu_list_done) struct slu_list list = {0};
	struct slu_blob_page page = {.prefix = "in/"};

	(void)state;
	assert_int_equal(parse("page", &page, &list, NULL), 0);
	assert_int_equal(list.n, 3);
	assert_string_equal(list.p[0].name, "a.csv");
	assert_int_equal(list.p[0].attr.kind, SLU_KIND_FILE);
	assert_int_equal(list.p[0].attr.size, 12);
	assert_int_equal(list.p[0].attr.mtime_ns, 1795219200000000000);
	assert_string_equal(list.p[0].attr.id, "0x8DABC");
	assert_string_equal(list.p[0].attr.sum, "md5:098f6bcd4621d373cade4e832627b4f6");
	assert_string_equal(list.p[1].name, "stub");
	assert_int_equal(list.p[1].attr.kind, SLU_KIND_DIR);
	assert_string_equal(list.p[2].name, "sub");
	assert_int_equal(list.p[2].attr.kind, SLU_KIND_DIR);
	assert_string_equal(list.next, "2!8!in");
	assert_false(page.marks);
}

static void markers_are_no_files(void **state)
{
	SLU_AUTO(slu_list_done) struct slu_list list = {0}, all = {0};
	struct slu_blob_page page = {.prefix = "in/", .flat = true};

	(void)state;
	assert_int_equal(parse("markers", &page, &list, NULL), 0);
	assert_true(page.marks);
	assert_int_equal(list.n, 1);
	assert_string_equal(list.p[0].name, "sub/x");
	assert_null(list.next);
	page.all = true;
	assert_int_equal(parse("markers", &page, &all, NULL), 0);
	assert_int_equal(all.n, 3);
	assert_string_equal(all.p[0].name, "");
	assert_string_equal(all.p[1].name, "sub/");
}

static void other_pages(void **state)
{
	SLU_AUTO(slu_list_done) struct slu_list list = {0}, none = {0};
	struct slu_blob_page page = {.prefix = "in/"};
	struct slu_err e = {0};

	(void)state;
	assert_int_equal(parse("encoded", &page, &list, NULL), 0);
	assert_string_equal(list.p[0].name, "\xef\xbf\xbe\nx");
	assert_failed(parse("outside", &page, &none, &e), e, EPROTO, "out/a");
	assert_failed(parse("size", &page, &none, &e), e, EPROTO, "size");
	assert_failed(parse("error", &page, &none, &e), e, EPROTO, "no listing");
	assert_int_equal(parse("empty", &page, &none, &e), 0);
	assert_int_equal(none.n, 0);
}

static void block_lists(void **state)
{
	SLU_AUTO(slu_freep) char *xml = NULL;
	bool same;
	size_t n;

	(void)state;
	xml = corpus_file("blocks", &n);
	assert_int_equal(slu_blob_blocks_parse(xml, n, fuzz_block_id, NULL, 2, &same, NULL), 0);
	assert_true(same);
	for (uint64_t i = 0; i < 4; i += i ? 2 : 1) {
		assert_int_equal(slu_blob_blocks_parse(xml, n, fuzz_block_id, NULL, i, &same, NULL),
				 0);
		assert_false(same);
	}
}

static void error_bodies(void **state)
{
	SLU_AUTO(slu_freep) char *xml = NULL;
	char code[80], text[80];
	size_t n;

	(void)state;
	xml = corpus_file("error", &n);
	slu_blob_error_parse(xml, n, code, sizeof(code), text, sizeof(text));
	assert_string_equal(code, "BlobNotFound");
	assert_string_equal(text, "The specified blob does not exist.");
	slu_blob_error_parse("<html>", 6, code, sizeof(code), text, sizeof(text));
	assert_string_equal(code, "");
}

static void corpus(void **state)
{
	static const char *const names[] = {"page", "markers", "encoded", "outside",
					    "size", "empty",   "error",   "blocks"};

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		SLU_AUTO(slu_freep) char *xml = NULL;
		size_t n;

		xml = corpus_file(names[i], &n);
		for (size_t cut = 0; cut <= n; cut += 3)
			LLVMFuzzerTestOneInput((const uint8_t *)xml, cut);
		for (size_t at = 0; at < n; at += 2) {
			char was = xml[at];

			xml[at] = "<>&/\"0\n\xff"[at % 8];
			LLVMFuzzerTestOneInput((const uint8_t *)xml, n);
			xml[at] = was;
		}
	}
}

/* --- errors --- */

static void errnos(void **state)
{
	static const struct {
		enum slu_op_type type;
		unsigned flags;
		const char *if_match;
		int status;
		const char *code;
		int want;
	} cases[] = {
		{SLU_OP_READ, 0, NULL, 404, "BlobNotFound", ENOENT},
		{SLU_OP_READ, 0, "x", 404, "BlobNotFound", ESTALE},
		{SLU_OP_READ, 0, "x", 404, "ContainerNotFound", ENOENT},
		{SLU_OP_READ, 0, "x", 412, "ConditionNotMet", ESTALE},
		{SLU_OP_READ, 0, NULL, 416, "InvalidRange", EIO},
		{SLU_OP_READ, 0, NULL, 409, "BlobArchived", EBUSY},
		{SLU_OP_PUT_BLOCK, 0, NULL, 500, "FeatureNotSupported", ENOTSUP},
		{SLU_OP_READ, 0, NULL, 500, "InternalError", EIO},
		{SLU_OP_READ, 0, NULL, 503, "ServerBusy", EAGAIN},
		{SLU_OP_READ, 0, NULL, 429, "", EAGAIN},
		{SLU_OP_PUT, SLU_OPF_ABSENT, NULL, 409, "BlobAlreadyExists", EEXIST},
		{SLU_OP_PUT, SLU_OPF_ABSENT, NULL, 412, "ConditionNotMet", EEXIST},
		{SLU_OP_PUT, 0, "x", 412, "ConditionNotMet", ESTALE},
		{SLU_OP_PUT, 0, NULL, 412, "LeaseIdMissing", EBUSY},
		{SLU_OP_PUT, 0, NULL, 500, "InternalError", ECONNABORTED},
		{SLU_OP_PUT, 0, NULL, 403, "AuthenticationFailed", EACCES},
		{SLU_OP_PUT, 0, NULL, 400, "OutOfRangeInput", EINVAL},
		{SLU_OP_PUT, 0, NULL, 302, "", EPROTO},
		{SLU_OP_PUT_BLOCK, 0, NULL, 400, "Crc64Mismatch", EAGAIN},
		{SLU_OP_COMMIT, 0, NULL, 400, "InvalidBlockList", ESTALE},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct slu_op op = {.type = cases[i].type,
				    .flags = cases[i].flags,
				    .if_match = cases[i].if_match};
		struct slu_blob_fault f = {.status = cases[i].status};

		snprintf(f.code, sizeof(f.code), "%s", cases[i].code);
		assert_int_equal(slu_blob_errno(&op, &f), cases[i].want);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(signatures_are_those_of_the_sdk),
		cmocka_unit_test(headers_are_sorted_as_by_the_service),
		cmocka_unit_test(a_source_is_signed_as_by_the_sdk),
		cmocka_unit_test(endpoints),
		cmocka_unit_test(endpoints_of_data_lakes),
		cmocka_unit_test(plain_http_has_to_be_allowed),
		cmocka_unit_test(secrets),
		cmocka_unit_test(a_file_that_changed_is_read_again),
		cmocka_unit_test(references),
		cmocka_unit_test(ends_of_a_sas),
		cmocka_unit_test(a_command_is_run_again),
		cmocka_unit_test(a_page_of_a_folder),
		cmocka_unit_test(markers_are_no_files),
		cmocka_unit_test(other_pages),
		cmocka_unit_test(block_lists),
		cmocka_unit_test(error_bodies),
		cmocka_unit_test(corpus),
		cmocka_unit_test(errnos),
	};
	return cmocka_run_group_tests_name("blob", tests, NULL, NULL);
}
