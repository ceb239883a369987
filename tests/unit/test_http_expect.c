/* SPDX-License-Identifier: Apache-2.0 */
/* http_expect: what the options of the plugin http expect of an answer, and what `validate` refuses. With servers:
 * tests/live/test_http_check.py. */
#include <string.h>

#include "unit.h"

#include "../../plugins/http/http_expect.h"

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))

/* ---- Status ---- */

static void statuses(void)
{
	static const struct {
		const char *text;
		int in[4], out[4];
	} rows[] = {
		{"200-299", {200, 204, 299}, {199, 300, 404, 100}},
		{"200", {200}, {199, 201, 100, 599}},
		{"200-299, 401", {200, 299, 401}, {300, 400, 402}},
		{" 301 , 500 - 503 ", {301, 500, 503}, {302, 499, 504}},
		{"100-599", {100, 200, 404, 599}, {99, 600, 0, -1}},
		{"599", {599}, {598, 600, 100}},
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct skymon_texts texts = {&rows[i].text, 1};
		struct http_statuses set;
		UNIT_TEXT(http_statuses_read(&texts, &set), NULL);
		for (size_t at = 0; at < 4; at++) {
			CU_ASSERT(rows[i].in[at] == 0 || http_statuses_hold(&set, rows[i].in[at]));
			CU_ASSERT(!http_statuses_hold(&set, rows[i].out[at]));
		}
	}
	const char *const list[] = {"200", "301-302"};
	struct http_statuses set;
	CU_ASSERT(http_statuses_read(&(struct skymon_texts){list, 2}, &set) == NULL);
	CU_ASSERT(http_statuses_hold(&set, 200) && http_statuses_hold(&set, 302) &&
		  !http_statuses_hold(&set, 303));
}

static void wrong_statuses(void)
{
	static const char *const rows[] = {"",
					   "2xx",
					   "99",
					   "600",
					   "200-",
					   "-299",
					   "299-200",
					   "200,",
					   ",200",
					   "200 201",
					   "0200",
					   "20",
					   "2000",
					   "200-299-300",
					   "200;201",
					   "+200",
					   "200-99999999999999999999"};
	struct http_statuses set;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct skymon_texts texts = {&rows[i], 1};
		if (http_statuses_read(&texts, &set) == NULL)
			fprintf(stderr, "\naccepted: `%s`\n", rows[i]);
		CU_ASSERT(http_statuses_read(&texts, &set) != NULL);
	}
	CU_ASSERT(http_statuses_read(&(struct skymon_texts){NULL, 0}, &set) != NULL);
}

/* ---- The body ---- */

static struct http_mismatch mismatch;

static bool fits(const struct http_body *body, const char *text)
{
	mismatch = (struct http_mismatch){0};
	return http_body_fits(body, text, strlen(text), &mismatch);
}

static bool fits_json(const struct http_json *json, const char *text)
{
	return fits(&(struct http_body){.json = {json, 1}}, text);
}

static void texts(void)
{
	const char *const words[] = {"ready", "v2"};
	struct http_body contains = {.contains = {words, 2}}, not_contains = {.not_contains = {words, 2}};
	CU_ASSERT(fits(&contains, "v2 is ready") && http_body_is_asked(&contains));
	CU_ASSERT(!fits(&contains, "ready, v3"));
	CU_ASSERT_EQUAL(mismatch.reason, SKYMON_BODY_MISMATCH);
	UNIT_TEXT(mismatch.text, "the answer does not contain v2");
	CU_ASSERT(!fits(&contains, "") && !fits(&contains, "READY V2"));
	CU_ASSERT(fits(&not_contains, "") && fits(&not_contains, "all well"));
	CU_ASSERT(!fits(&not_contains, "now v2") && mismatch.status == SKYMON_UNHEALTHY);
	CU_ASSERT(http_body_fits(&contains, "ready\0v2", 8, &mismatch)); /* a body may hold any byte */
	CU_ASSERT(!http_body_is_asked(&(struct http_body){0}) && fits(&(struct http_body){0}, "anything"));
}

static bool matches(const char *pattern, const char *bytes, size_t size)
{
	char why[HTTP_WHY];
	struct http_body body = {.matches = {&pattern, 1}};
	struct http_patterns *patterns = http_patterns_read(&body.matches, why);
	CU_ASSERT_PTR_NOT_NULL_FATAL(patterns);
	body.patterns = patterns;
	mismatch = (struct http_mismatch){0};
	bool fit = http_body_fits(&body, bytes, size, &mismatch);
	http_patterns_free(patterns);
	return fit;
}

static void patterns(void)
{
	static const struct {
		const char *pattern, *body;
		bool fits;
	} rows[] = {
		{"^ok$", "ok", true},
		{"^ok$", "not ok", false},
		{"(?m)^ok$", "first\nok\nlast", true},
		{"(?i)READY", "ready", true},
		{"version 2\\.\\d+", "version 2.11", true},
		{"gr\xC3\xBC\xC3\x9F.", "gr\xC3\xBC\xC3\x9F\xC3\xBC", true},
		{"^$", "", true},
		{"a.c", "a\nc", false},
		{"a(?s:.)c", "a\nc", true},
		{"\\p{Lu}", "\xC3\x84", true},
	};
	char why[HTTP_WHY];
	for (size_t i = 0; i < COUNT(rows); i++)
		CU_ASSERT_EQUAL(matches(rows[i].pattern, rows[i].body, strlen(rows[i].body)), rows[i].fits);
	CU_ASSERT(matches("end", "\xFF\xFE\0end", 6)); /* what is not UTF-8 is skipped */
	CU_ASSERT(!matches("ok", "bad", 3) && mismatch.reason == SKYMON_BODY_MISMATCH);
	static const char *const wrong[] = {"(", "[a", "a**", "(?<n>a", "\\C", "\xFF"};
	for (size_t i = 0; i < COUNT(wrong); i++) {
		CU_ASSERT_PTR_NULL(http_patterns_read(&(struct skymon_texts){&wrong[i], 1}, why));
		CU_ASSERT(strncmp(why, "is not a valid pattern (entry 1, character ", 43) == 0);
	}
}

/* A pattern that never ends, and one whose depth would take all memory, cost a bounded time. */
static void costly_patterns(void)
{
	static char body[1 << 20];
	memset(body, 'a', sizeof(body));
	body[sizeof(body) - 1] = 'b';
	CU_ASSERT(!matches("^(a+)+$", body, sizeof(body)));
	CU_ASSERT(mismatch.status == SKYMON_UNKNOWN && mismatch.reason == SKYMON_RESOURCE);
	CU_ASSERT(!matches("^(a|b|ab)*c", body, sizeof(body)));
	CU_ASSERT(mismatch.status == SKYMON_UNKNOWN && mismatch.reason == SKYMON_RESOURCE);
}

/* ---- JSON ---- */

/* RFC 6901, chapter 5, and places that do not exist. */
static void pointers(void)
{
	static const char document[] =
		"{\"foo\": [\"bar\", \"baz\"], \"\": 0, \"a/b\": 1, \"c%d\": 2, \"e^f\": 3, \"g|h\": 4,"
		"\"i\\\\j\": 5, \"k\\\"l\": 6, \" \": 7, \"m~n\": 8, \"deep\": {\"list\": [[], [10, {\"x\": null}]]}}";
	static const struct {
		const char *pointer, *value; /* NULL: missing */
	} rows[] = {
		{"/foo/0", "bar"},
		{"/foo/1", "baz"},
		{"/", "0"},
		{"/a~1b", "1"},
		{"/c%d", "2"},
		{"/e^f", "3"},
		{"/g|h", "4"},
		{"/i\\j", "5"},
		{"/k\"l", "6"},
		{"/ ", "7"},
		{"/m~0n", "8"},
		{"/deep/list/1/0", "10"},
		{"/deep/list/1/1/x", "null"},
		{"/foo/2", NULL},
		{"/foo/-", NULL},
		{"/foo/00", NULL},
		{"/foo/01", NULL},
		{"/foo/1e0", NULL},
		{"/foo/+1", NULL},
		{"/foo/0/0", NULL},
		{"/bar", NULL},
		{"/foo/bar", NULL},
		{"/deep/list/0/0", NULL},
		{"/foo/99999999999999999999", NULL},
		{"/deep//", NULL},
		{"/FOO", NULL},
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct http_json there = {.pointer = rows[i].pointer};
		struct http_json json = {.pointer = rows[i].pointer, .equals = rows[i].value};
		const char *member;
		UNIT_TEXT(http_json_fault(&json, &member), NULL);
		CU_ASSERT_EQUAL(fits_json(&there, document), rows[i].value != NULL);
		CU_ASSERT_EQUAL(mismatch.reason, rows[i].value != NULL ? 0 : SKYMON_MISSING);
		if (rows[i].value != NULL && !fits_json(&json, document))
			fprintf(stderr, "\n%s is not %s\n", rows[i].pointer, rows[i].value);
		CU_ASSERT(rows[i].value == NULL || fits_json(&json, document));
	}
}

static void values(void)
{
	static const struct {
		const char *json, *equals, *above, *below;
		enum skymon_reason reason; /* NONE: it fits */
	} rows[] = {
		{"\"ok\"", "ok", NULL, NULL, SKYMON_NONE},
		{"\"OK\"", "ok", NULL, NULL, SKYMON_WRONG_VALUE},
		{"\"ok\\u0000\"", "ok", NULL, NULL, SKYMON_WRONG_VALUE},
		{"5", "5", NULL, NULL, SKYMON_NONE},
		{"5", "5.0", NULL, NULL, SKYMON_NONE},
		{"5.0", "5", NULL, NULL, SKYMON_NONE},
		{"\"5\"", "5", NULL, NULL, SKYMON_NONE},
		{"9007199254740993", "9007199254740992", NULL, NULL, SKYMON_WRONG_VALUE},
		{"true", "true", NULL, NULL, SKYMON_NONE},
		{"\"true\"", "true", NULL, NULL, SKYMON_NONE},
		{"true", "1", NULL, NULL, SKYMON_WRONG_VALUE},
		{"false", "true", NULL, NULL, SKYMON_WRONG_VALUE},
		{"null", "null", NULL, NULL, SKYMON_NONE},
		{"null", "", NULL, NULL, SKYMON_WRONG_VALUE},
		{"[]", "", NULL, NULL, SKYMON_WRONG_VALUE},
		{"{}", "null", NULL, NULL, SKYMON_WRONG_VALUE},
		{"101", NULL, "100", NULL, SKYMON_NONE},
		{"100", NULL, "100", NULL, SKYMON_WRONG_VALUE},
		{"99.9", NULL, NULL, "100", SKYMON_NONE},
		{"100", NULL, NULL, "100", SKYMON_WRONG_VALUE},
		{"5", NULL, "1", "10", SKYMON_NONE},
		{"11", NULL, "1", "10", SKYMON_WRONG_VALUE},
		{"-1", NULL, "-2", "0", SKYMON_NONE},
		{"\"5\"", NULL, "1", NULL, SKYMON_WRONG_VALUE},
		{"null", NULL, NULL, "10", SKYMON_WRONG_VALUE},
		{"true", NULL, "0", NULL, SKYMON_WRONG_VALUE},
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct http_json json = {"/v", rows[i].equals, rows[i].above, rows[i].below};
		const char *member;
		char text[100];
		snprintf(text, sizeof(text), "{\"v\": %s}", rows[i].json);
		UNIT_TEXT(http_json_fault(&json, &member), NULL);
		bool fit = fits_json(&json, text);
		if (fit != (rows[i].reason == 0) || mismatch.reason != rows[i].reason)
			fprintf(stderr, "\nrow %zu: %s\n", i, text);
		CU_ASSERT(fit == (rows[i].reason == 0) && mismatch.reason == rows[i].reason);
	}
	struct http_json json = {.pointer = "/state/db", .equals = "up"};
	CU_ASSERT(!fits_json(&json, "{\"state\": {\"db\": \"a secret\"}}"));
	UNIT_TEXT(mismatch.text, "/state/db is not up");
}

/* Answers that are not JSON, or hardly. */
static void odd_documents(void)
{
	static const char *const rows[] = {"",    "<html>",    "{\"v\": 1", "{\"v\": 1}}",
					   "not", "{\"v\" 1}", "\xFF\xFE",  "{\"v\": 1, \"v\": 2}"};
	struct http_json json = {.pointer = "/v", .equals = "1"};
	for (size_t i = 0; i < COUNT(rows); i++) {
		CU_ASSERT(!fits_json(&json, rows[i]));
		CU_ASSERT(mismatch.status == SKYMON_UNHEALTHY &&
			  (mismatch.reason == SKYMON_BODY_MISMATCH || mismatch.reason == SKYMON_WRONG_VALUE));
	}
	CU_ASSERT(fits_json(&json, "{\"w\": 1, \"w\": 2, \"v\": 1}"));
	static char deep[200001];
	memset(deep, '[', 200000);
	CU_ASSERT(!fits_json(&json, deep));
}

static void wrong_comparisons(void)
{
	static const struct {
		struct http_json json;
		const char *member;
	} rows[] = {
		{{"v", "1", NULL, NULL}, "pointer"},      {{"$.v", NULL, NULL, NULL}, "pointer"},
		{{"/a~2b", NULL, NULL, NULL}, "pointer"}, {{"/a~", NULL, NULL, NULL}, "pointer"},
		{{"/v", NULL, "many", NULL}, "above"},    {{"/v", NULL, NULL, "10s"}, "below"},
		{{"/v", NULL, NULL, ""}, "below"},        {{"/v", NULL, "nan", NULL}, "above"},
		{{"/v", NULL, "1e999", NULL}, "above"},   {{"/v/\001", NULL, NULL, NULL}, "pointer"},
		{{"/v", "1", "0", NULL}, "equals"},       {{"/v", "1", NULL, "2"}, "equals"},
		{{"/v", NULL, "0x10", NULL}, "above"},
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		const char *member = NULL;
		CU_ASSERT_PTR_NOT_NULL(http_json_fault(&rows[i].json, &member));
		UNIT_TEXT(member, rows[i].member);
	}
}

int main(void)
{
	return unit_run("http_expect", (const struct unit_test[]){{"statuses", statuses},
								  {"wrong statuses", wrong_statuses},
								  {"texts", texts},
								  {"patterns", patterns},
								  {"costly patterns", costly_patterns},
								  {"pointers", pointers},
								  {"values", values},
								  {"odd documents", odd_documents},
								  {"wrong comparisons", wrong_comparisons},
								  {0}});
}
