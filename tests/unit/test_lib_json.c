/* SPDX-License-Identifier: Apache-2.0 */
/* json: tables of values that are read next to invalid ones, of odd values and why, and of invalid
 * JSON; and randomly changed bytes, for the sanitizers. */
#include <stdlib.h>
#include <string.h>

#include "fake_host.h"
#include "unit.h"

#include "../../sdk/lib/json.c"
#include "../../sdk/lib/json_check.c"
#include "../../sdk/lib/json_loose.c"

static void reads(void)
{
	static const struct {
		const char *text, *expected; /* as json_dumps prints it; odd values as {"\u0001":"why"} */
	} rows[] = {
		{"{}", "{}"},
		{" [ ] ", "[]"},
		{"\xEF\xBB\xBF{\"a\":1}", "{\"a\":1}"},
		{"{\"a\":[1,-2,0.5,1e3,true,false,null,\"x\"]}",
		 "{\"a\":[1,-2,0.5,1000.0,true,false,null,\"x\"]}"},
		{"\"\\u00e4\\ud83d\\ude00\\n\\/\"", "\"\xC3\xA4\xF0\x9F\x98\x80\\n/\""},
		/* numbers beyond a double or int64: their digits */
		{"[123456789012345678901234567890,1e999,-1e999]",
		 "[\"123456789012345678901234567890\",\"1e999\",\"-1e999\"]"},
		/* odd values, and their siblings */
		{"{\"a\":1,\"a\":2,\"b\":3}",
		 "{\"a\":{\"\\u0001\":\"is there twice, with different values\"},\"b\":3}"},
		{"{\"a\":1,\"a\":1}", "{\"a\":1}"},
		{"{\"a\":1,\"a\":2,\"a\":1}",
		 "{\"a\":{\"\\u0001\":\"is there twice, with different values\"}}"},
		{"{\"a\":\"\\u0000x\",\"b\":3}", "{\"a\":\"\\u0000x\",\"b\":3}"},
		{"{\"a\":\"\\ud800\",\"b\":3}",
		 "{\"a\":{\"\\u0001\":\"is text that is not Unicode\"},\"b\":3}"},
		{"{\"a\":\"\\ude00\\ud83d\",\"b\":3}",
		 "{\"a\":{\"\\u0001\":\"is text that is not Unicode\"},\"b\":3}"},
		{"{\"a\":\"\xFF\",\"b\":3}", "{\"a\":{\"\\u0001\":\"is text that is not Unicode\"},\"b\":3}"},
		{"{\"a\":\"\xED\xA0\x80\",\"b\":3}",
		 "{\"a\":{\"\\u0001\":\"is text that is not Unicode\"},\"b\":3}"},
		{"{\"a\":\"\n\",\"b\":3}", "{\"a\":{\"\\u0001\":\"is text that is not Unicode\"},\"b\":3}"},
		{"{\"a\":\"\\x\",\"b\":3}", "{\"a\":{\"\\u0001\":\"is text that is not Unicode\"},\"b\":3}"},
		{"{\"a\":\"\\u12\",\"b\":3}",
		 "{\"a\":{\"\\u0001\":\"is text that is not Unicode\"},\"b\":3}"},
		{"{\"a\":NaN,\"b\":3}", "{\"a\":{\"\\u0001\":\"is nothing that JSON has\"},\"b\":3}"},
		{"{\"a\":-Infinity,\"b\":3}", "{\"a\":{\"\\u0001\":\"is nothing that JSON has\"},\"b\":3}"},
		{"{\"a\":01,\"b\":+1,\"c\":1.,\"d\":.5,\"e\":3}",
		 "{\"a\":{\"\\u0001\":\"is nothing that JSON has\"},\"b\":{\"\\u0001\":\"is nothing that "
		 "JSON has\"},"
		 "\"c\":{\"\\u0001\":\"is nothing that JSON has\"},\"d\":{\"\\u0001\":\"is nothing that JSON "
		 "has\"},\"e\":3}"},
		/* a key that is never read */
		{"{\"a\\u0000\":1,\"\\u0001\":\"x\",\"\\ud800\":2,\"\xFF\":4,\"b\":3}", "{\"b\":3}"},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char why[SKYMON_JSON_WHY] = "";
		json_t *value = skymon_json_read_loose(rows[i].text, strlen(rows[i].text), why);
		char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY | JSON_SORT_KEYS);
		if (value == NULL)
			fprintf(stderr, "\n%s: %s\n", rows[i].text, why);
		UNIT_TEXT(text, rows[i].expected);
		free(text);
		json_decref(value);
	}
}

static void refused(void)
{
	static const struct {
		const char *text, *why;
	} rows[] = {
		{"", "is empty"},
		{" \n ", "is empty"},
		{"<html>", "is HTML or XML, not JSON"},
		{"  <?xml?>", "is HTML or XML, not JSON"},
		{"up", "is not JSON (line 1, column 1)"},
		{"{\"a\":1", "is JSON that breaks off, or is not JSON"},
		{"{\"a\"", "is JSON that breaks off, or is not JSON"},
		{"\"a", "is JSON that breaks off, or is not JSON"},
		{"\"a\\", "is JSON that breaks off, or is not JSON"},
		{"[1,", "is JSON that breaks off, or is not JSON"},
		{"{\"a\":1}x", "is not JSON (line 1, column 8)"},
		{"{\"a\":\n1 1}", "is not JSON (line 2, column 3)"},
		{"{\"a\" 1}", "is not JSON (line 1, column 6)"},
		{"{a:1}", "is not JSON (line 1, column 2)"},
		{"[1,]", "is not JSON (line 1, column 4)"},
		{"{\"a\":1,}", "is not JSON (line 1, column 8)"},
		{"[1}", "is not JSON (line 1, column 3)"},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char why[SKYMON_JSON_WHY] = "";
		CU_ASSERT(skymon_json_read_loose(rows[i].text, strlen(rows[i].text), why) == NULL);
		UNIT_TEXT(why, rows[i].why);
	}
}

static void asked(void)
{
	static const char text[] = "{\"a\":\"x\\u0000y\",\"b\":\"x\",\"c\":1,\"d\":NaN}";
	char why[SKYMON_JSON_WHY];
	json_t *value = skymon_json_read_loose(text, sizeof(text) - 1, why);
	CU_ASSERT(skymon_json_text(value, "a") == NULL &&
		  json_string_length(json_object_get(value, "a")) == 3);
	UNIT_TEXT(skymon_json_text(value, "b"), "x");
	CU_ASSERT(skymon_json_text(value, "c") == NULL && skymon_json_text(value, "none") == NULL);
	CU_ASSERT(skymon_json_odd(json_object_get(value, "c")) == NULL && skymon_json_odd(NULL) == NULL);
	UNIT_TEXT(skymon_json_odd(json_object_get(value, "d")), "is nothing that JSON has");
	json_decref(value);
}

/* Deep nesting affects neither the stack nor siblings. */
static void deep(void)
{
	enum { DEEP = 200000 };
	char *text = malloc(2 * DEEP + 40);
	size_t size = (size_t)sprintf(text, "{\"a\":");
	memset(text + size, '[', DEEP);
	memset(text + size + DEEP, ']', DEEP);
	size += 2 * DEEP;
	size += (size_t)sprintf(text + size, ",\"b\":3}");
	char why[SKYMON_JSON_WHY];
	json_t *value = skymon_json_read_loose(text, size, why);
	CU_ASSERT(value != NULL && json_integer_value(json_object_get(value, "b")) == 3);
	json_decref(value);
	CU_ASSERT(skymon_json_read_loose(text, size - 10, why) == NULL);
	free(text);
}

/* Each row after so many open lists that two more levels are allowed. */
static void depth(void)
{
	static const struct {
		const char *text;
		bool deep;
	} rows[] = {{"", false},
		    {"{}", false},
		    {"[[1], [2], {\"a\": 3}]", false},
		    {"[[[1]]]", true},
		    {"{\"a\": {\"b\": {}}}", true},
		    {"[\"[[[[{{{\", \"\\\"[[[\"]", false},
		    {"[\"\\\\\", [[", true},
		    {"]]]]]", false},
		    {"\"[[[[", false}};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char text[SKYMON_JSON_DEPTH + 80];
		memset(text, '[', SKYMON_JSON_DEPTH - 2);
		strcpy(text + SKYMON_JSON_DEPTH - 2, rows[i].text);
		CU_ASSERT(skymon_json_is_deep(text, strlen(text)) == rows[i].deep);
	}
}

static void strict(void)
{
	static const char *const refused[] = {"{\"a\":1,\"a\":2}", "{\"a\":\"x\\u0000\"}", "[1,]", "{} x",
					      ""};
	static const char text[] = "{\"a\": [\"x\", 0.1]}";
	json_t *value = skymon_json_read(text, sizeof(text) - 1);
	char *dump = json_dumps(value, skymon_json_digits(value));
	UNIT_TEXT(dump, text);
	free(dump);
	json_decref(value);
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
		CU_ASSERT(skymon_json_read(refused[i], strlen(refused[i])) == NULL);
}

/* RFC 6901, 5: its own examples, and pointers that lead nowhere. */
static void pointers(void)
{
	static const char text[] =
		"{\"foo\": [\"bar\", \"baz\"], \"\": 0, \"a/b\": 1, \"c%d\": 2, \"e^f\": 3, \"g|h\": 4, "
		"\"i\\\\j\": 5, \"k\\\"l\": 6, \" \": 7, \"m~n\": 8, \"o\": {\"p\": [9]}}";
	static const struct {
		const char *pointer;
		int number; /* -1: none */
	} rows[] = {{"/", 0},         {"/a~1b", 1},   {"/c%d", 2},
		    {"/e^f", 3},      {"/g|h", 4},    {"/i\\j", 5},
		    {"/k\"l", 6},     {"/ ", 7},      {"/m~0n", 8},
		    {"/o/p/0", 9},    {"/o/p/1", -1}, {"/o/p/00", -1},
		    {"/o/p/-", -1},   {"/o/p/", -1},  {"/o/p/0x", -1},
		    {"/o/p/0/x", -1}, {"/m~2n", -1},  {"/m~", -1},
		    {"/nothing", -1}, {"o", -1},      {"/o/p/99999999999", -1}};
	json_t *json = skymon_json_read(text, sizeof(text) - 1);

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const json_t *value = skymon_json_at(json, rows[i].pointer);
		CU_ASSERT((value != NULL && json_is_integer(value) ? json_integer_value(value) : -1) ==
			  rows[i].number);
	}
	CU_ASSERT(skymon_json_at(json, "") == json && skymon_json_at(NULL, "/a") == NULL);
	UNIT_TEXT(json_string_value(skymon_json_at(json, "/foo/0")), "bar");
	json_decref(json);
}

static void expectations(void)
{
	static const struct {
		const char *text, *pointer, *expected;
		enum skymon_status status;
		enum skymon_reason reason;
		const char *message;
	} rows[] = {
		{"{\"a\": \"open\"}", "/a", "open", SKYMON_HEALTHY, SKYMON_NONE, "/a is open"},
		{"{\"a\": \"shut\"}", "/a", "open", SKYMON_UNHEALTHY, SKYMON_WRONG_VALUE,
		 "/a is shut, not open"},
		{"{\"a\": \"1\"}", "/a", "1.0", SKYMON_UNHEALTHY, SKYMON_WRONG_VALUE, "/a is 1, not 1.0"},
		{"{\"a\": 1}", "/a", "1.0", SKYMON_HEALTHY, SKYMON_NONE, "/a is 1"},
		{"{\"a\": 0.1}", "/a", "1e-1", SKYMON_HEALTHY, SKYMON_NONE, "/a is 0.1"},
		{"{\"a\": 1}", "/a", "1 or so", SKYMON_UNHEALTHY, SKYMON_WRONG_VALUE, "/a is 1, not 1 or so"},
		{"{\"a\": 0}", "/a", "", SKYMON_UNHEALTHY, SKYMON_WRONG_VALUE, "/a is 0, not "},
		{"{\"a\": true}", "/a", "true", SKYMON_HEALTHY, SKYMON_NONE, "/a is true"},
		{"{\"a\": null}", "/a", "true", SKYMON_UNHEALTHY, SKYMON_WRONG_VALUE, "/a is null, not true"},
		{"{\"a\": \"x\\u0000y\"}", "/a", "x", SKYMON_UNHEALTHY, SKYMON_WRONG_VALUE, "/a is x, not x"},
		{"{\"a\": NaN}", "/a", "NaN", SKYMON_UNHEALTHY, SKYMON_BODY_MISMATCH,
		 "/a of the answer is nothing that JSON has"},
		{"{\"a\": [1]}", "/a", "1", SKYMON_UNHEALTHY, SKYMON_BODY_MISMATCH,
		 "/a of the answer is not a single value"},
		{"{}", "/a", "1", SKYMON_UNHEALTHY, SKYMON_BODY_MISMATCH, "/a of the answer is missing"},
		{"<html>", "/a", "1", SKYMON_UNHEALTHY, SKYMON_BODY_MISMATCH,
		 "the answer is HTML or XML, not JSON"},
		{"", "/a", "1", SKYMON_UNHEALTHY, SKYMON_BODY_MISMATCH, "the answer is empty"},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct skymon *sm = fake_new_run();
		json_t *json = skymon_json_answer(sm, rows[i].text, strlen(rows[i].text));
		CU_ASSERT(skymon_json_expect(sm, json, rows[i].pointer, rows[i].expected) == rows[i].status);
		CU_ASSERT(fake.reason == (int)rows[i].reason);
		UNIT_TEXT(fake.message, rows[i].message);
		json_decref(json);
	}
}

static void changed_at_random(void)
{
	static const char seed[] = "{\"a\":[1,2.5e3,true,null,\"x\\u00e4\\ud83d\\ude00\"],\"b\":{\"c\":{"
				   "\"d\":[[[]]]}},\"a\":NaN}";
	unsigned state = 1, read_count = 0;
	for (int round = 0; round < 200000; round++) {
		size_t size = sizeof(seed) - 1;
		char *text = malloc(size);
		memcpy(text, seed, size);
		for (unsigned i = 0; i < 1 + round % 4u; i++) {
			state = state * 1103515245 + 12345;
			text[state / 65536 % size] = "\"\\{}[],:u0\x80 e-"[state / 256 % 14];
		}
		size -= state / 4096 % 8;
		char why[SKYMON_JSON_WHY];
		json_t *value = skymon_json_read_loose(text, size, why);
		read_count += value != NULL;
		json_decref(value);
		free(text);
	}
	CU_ASSERT(read_count > 1000);
}

int main(void)
{
	return unit_run("json", (const struct unit_test[]){{"read", reads},
							   {"depth", depth},
							   {"strict", strict},
							   {"pointers", pointers},
							   {"expectations", expectations},
							   {"refused", refused},
							   {"asked", asked},
							   {"deep", deep},
							   {"changed at random", changed_at_random},
							   {0}});
}
