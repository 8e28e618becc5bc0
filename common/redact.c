/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The redactor.  It knows shapes, not values: key=value and "key": "value" with a key that names a
 * secret, credentials after an authentication scheme, headers that carry keys, and the password in
 * a URL.  It would rather hide a harmless word than show a secret.  A secret that stands alone,
 * without any of these around it, is not found: messages must not print one.
 */
#include "common/redact.h"
#include "common/buf.h"
#include "common/log.h"
#include "common/str.h"

struct span {
	size_t start, end;
};

struct text {
	const char *p;
	size_t n;
};

/* Whole keys, lower case. */
static const char *const secret_keys[] = {
	"sig", "delegation", "accountkey",       "account_key", "sharedaccesskey",
	"sas", "assertion",  "client_assertion", "pwd",         "passphrase",
	NULL,
};

/* Keys that end in one of these: access_token, client_secret, X-Amz-Signature, ... */
static const char *const secret_endings[] = {
	"token",       "secret", "password", "passwd",  "signature",
	"account-key", "apikey", "api_key",  "api-key", NULL,
};

/* Hadoop properties that hold a key of an account in the middle of their names. */
static const char *const secret_middles[] = {"account.key.", "client.secret.", ".sas.", NULL};

/* Schemes whose next word is the credential.  Those that are also English words need a long one. */
static const struct {
	const char *name;
	size_t min;
} schemes[] = {
	{"bearer", 1}, {"sharedkey", 1}, {"sharedkeylite", 1}, {"basic", 16}, {"negotiate", 16},
};

static bool key_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '_' || c == '-' || c == '.';
}

static bool blank(char c)
{
	return c == ' ' || c == '\t';
}

static char at(const struct text *t, size_t i)
{
	return i < t->n ? t->p[i] : '\0';
}

static bool hex_char(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static bool escape_at(const struct text *t, size_t i)
{
	return at(t, i) == '%' && hex_char(at(t, i + 1)) && hex_char(at(t, i + 2));
}

/* Is the escape at i the given byte ("3d")? */
static bool escape_is(const struct text *t, size_t i, const char *hex)
{
	return escape_at(t, i) && (t->p[i + 1] | 32) == (hex[0] | 32) &&
	       (t->p[i + 2] | 32) == (hex[1] | 32);
}

/* The key in lower case; one too long to be ours is cut at the front, where its ending matters. */
static void lower_key(char *out, size_t size, const char *p, size_t n)
{
	size_t skip = n >= size ? n - size + 1 : 0, k = 0;

	for (size_t i = skip; i < n; i++)
		out[k++] = p[i] >= 'A' && p[i] <= 'Z' ? (char)(p[i] + 32) : p[i];
	out[k] = '\0';
}

static bool names_secret(const char *key)
{
	for (const char *const *s = secret_keys; *s; s++) {
		if (slu_streq(key, *s))
			return true;
	}
	for (const char *const *s = secret_endings; *s; s++) {
		if (slu_ends(key, *s))
			return true;
	}
	for (const char *const *s = secret_middles; *s; s++) {
		if (strstr(key, *s))
			return true;
	}
	return false;
}

/* Headers whose whole value is secret. */
static bool names_header(const char *key)
{
	return slu_ends(key, "authorization") || slu_streq(key, "cookie") ||
	       slu_streq(key, "set-cookie") || (slu_starts(key, "x-ms-") && strstr(key, "key"));
}

/* Where a value without quotes ends.  A SAS after its own name holds '&', others end there. */
static size_t value_end(const struct text *t, size_t i, bool whole_query)
{
	for (; i < t->n; i++) {
		if ((unsigned char)t->p[i] <= ' ' || strchr("\"'`;,<>()[]{}", t->p[i]))
			break;
		if (!whole_query && (t->p[i] == '&' || escape_is(t, i, "26")))
			break;
	}
	return i;
}

static size_t find_any(const struct text *t, size_t i, char a, char b)
{
	while (i < t->n && t->p[i] != a && t->p[i] != b)
		i++;
	return i;
}

/* The value at i, in quotes or not. */
static struct span value_at(const struct text *t, size_t i, bool whole_query)
{
	char q = at(t, i);

	if (q == '"' || q == '\'')
		return (struct span){i + 1, find_any(t, i + 1, q, '\n')};
	return (struct span){i, value_end(t, i, whole_query)};
}

static size_t skip_blanks(const struct text *t, size_t i)
{
	while (blank(at(t, i)))
		i++;
	return i;
}

/* Where the value begins after a key (its closing quote included) and a colon, or 0.  After a key in
 * quotes a value has quotes too, or is a number: "cannot read 'token': No such file" is a sentence. */
static size_t after_colon(const struct text *t, size_t i, bool quoted)
{
	i = skip_blanks(t, i);
	if (at(t, i) != ':')
		return 0;
	i = skip_blanks(t, i + 1);
	if (quoted && at(t, i) != '"' && at(t, i) != '\'' && !(at(t, i) >= '0' && at(t, i) <= '9'))
		return 0;
	return i;
}

/* After a key that ended at `end`: `=`, `%3D`, or, for JSON and YAML, `"?: `. */
static bool key_value(const struct text *t, size_t end, const char *key, struct span *ret)
{
	bool whole = slu_streq(key, "sharedaccesssignature");
	bool quoted = at(t, end) == '"' || at(t, end) == '\'';
	size_t i = end + quoted;

	if (escape_is(t, i, "3d")) {
		i += 3;
	} else if (at(t, i) == '=') {
		i++;
	} else {
		/* "token: expired" is a sentence, `access_token: x` is not */
		if (!quoted && !strpbrk(key, "_-") && !slu_starts(key, "account"))
			return false;
		i = after_colon(t, i, quoted);
		if (i == 0)
			return false;
	}
	*ret = value_at(t, i, whole);
	return ret->end > ret->start;
}

/* "Authorization: anything", to the end of the line or of the quotes that the header stands in. */
static bool header_value(const struct text *t, size_t start, size_t end, struct span *ret)
{
	char q = start ? t->p[start - 1] : '\0';
	bool in_quotes = q == '"' || q == '\'';
	bool quoted = in_quotes && at(t, end) == q;
	size_t i = at(t, end) == '=' ? end + 1 : after_colon(t, end + quoted, quoted);

	if (i == 0)
		return false;
	if (at(t, i) == '"' || at(t, i) == '\'')
		*ret = value_at(t, i, true);
	else if (in_quotes)
		*ret = (struct span){i, find_any(t, i, q, '\n')};
	else
		*ret = (struct span){i, find_any(t, i, '\r', '\n')};
	return ret->end > ret->start;
}

/* "Bearer X", "SharedKey account:X". */
static bool scheme_value(const struct text *t, size_t end, const char *key, struct span *ret)
{
	size_t i = end, colon;

	for (size_t k = 0; k < sizeof(schemes) / sizeof(schemes[0]); k++) {
		if (!slu_streq(key, schemes[k].name))
			continue;
		while (blank(at(t, i)))
			i++;
		*ret = (struct span){i, value_end(t, i, true)};
		if (i == end || ret->end - i < schemes[k].min)
			return false;
		colon = find_any(t, i, ':', ':');
		if (slu_starts(key, "sharedkey") && colon < ret->end)
			ret->start = colon + 1;
		return ret->end > ret->start;
	}
	return false;
}

/* "://user:password@host": the password; also behind a container, "://c@user:password@host". */
static bool url_password(const struct text *t, size_t i, struct span *ret)
{
	size_t colon = 0, sign = 0;

	if (at(t, i) != ':' || at(t, i + 1) != '/' || at(t, i + 2) != '/')
		return false;
	for (i += 3; i < t->n && !strchr("/?# \t\r\n\"'", t->p[i]); i++) {
		if (t->p[i] == ':' && !colon)
			colon = i;
		if (t->p[i] == '@')
			sign = i;
	}
	if (!colon || sign <= colon + 1)
		return false;
	*ret = (struct span){colon + 1, sign};
	return true;
}

/* Is there a secret whose introduction starts at i?  *ret_skip: where to look next if not. */
static bool secret_at(const struct text *t, size_t i, struct span *ret, size_t *ret_skip)
{
	size_t end = i;
	char key[96];

	*ret_skip = i + (escape_at(t, i) ? 3 : 1);
	if (url_password(t, i, ret))
		return true;
	while (key_char(at(t, end)))
		end++;
	if (end == i)
		return false;
	*ret_skip = end;
	lower_key(key, sizeof(key), t->p + i, end - i);
	if (names_header(key) && header_value(t, i, end, ret))
		return true;
	if ((names_secret(key) || slu_streq(key, "sharedaccesssignature")) &&
	    key_value(t, end, key, ret))
		return true;
	return scheme_value(t, end, key, ret);
}

bool slu_secret_next(const char *text, size_t n, size_t from, size_t *ret_start, size_t *ret_end)
{
	struct text t = {text, n};
	struct span s;

	while (from < n) {
		if (secret_at(&t, from, &s, &from)) {
			*ret_start = s.start;
			*ret_end = s.end;
			return true;
		}
	}
	return false;
}

void slu_redact(struct slu_buf *b, const char *text)
{
	size_t n = strlen(text), i = 0, start, end;

	while (slu_secret_next(text, n, i, &start, &end)) {
		slu_buf_add(b, text + i, start - i);
		slu_buf_str(b, "***");
		i = end;
	}
	slu_buf_add(b, text + i, n - i);
}

size_t slu_safe_line(char *out, size_t size, const char *text, size_t n, bool cut)
{
	size_t i = 0, len = 0, fits = 0, start = 0, end = 0, used, k;
	char unit[SLU_SHOW_UNIT];
	bool secret = slu_secret_next(text, n, 0, &start, &end);

	while (i < n) {
		if (secret && i == start) {
			memcpy(unit, "***", k = 3);
			used = end - start;
			secret = slu_secret_next(text, n, end, &start, &end);
		} else {
			used = slu_show_unit(text + i, n - i, unit, &k);
		}
		if (len + k > size - 1) {
			cut = true;
			break;
		}
		memcpy(out + len, unit, k);
		len += k;
		i += used;
		if (len <= size - 4)
			fits = len;
	}
	if (cut) {
		memcpy(out + fits, "...", 3);
		len = fits + 3;
	}
	out[len] = '\0';
	return len;
}
