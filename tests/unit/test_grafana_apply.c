/* SPDX-License-Identifier: Apache-2.0 */
/* grafana_apply: what an apply would overwrite, where the two differ, and which titles Grafana treats as
 * equal. */
#include "unit.h"

#include "../../plugins/grafana/grafana_apply.h"
#include "../../plugins/grafana/grafana_search.h"

static json_t *load(const char *text)
{
	json_t *value = text != NULL ? json_loads(text, JSON_DECODE_ANY, NULL) : NULL;
	CU_ASSERT_FATAL(text == NULL || value != NULL);
	return value;
}

static void ours_are_merged(void)
{
	static const struct {
		const char *ours, *theirs;
		bool choices;
		const char *wanted, *pointers;
	} rows[] = {
		{"{\"a\":1}", "{\"a\":1,\"b\":2}", false, "{\"a\":1,\"b\":2}", "[]"},
		{"{\"a\":1.0}", "{\"a\":1}", false, "{\"a\":1}", "[]"},
		{"{\"a\":[]}", "{}", false, "{}", "[]"},
		{"{\"a\":\"\"}", "{\"a\":\"x\"}", false, "{\"a\":\"\"}", "[\"/a\"]"},
		{"{\"a\":{\"b\":1}}", "{\"a\":{\"c\":2}}", false, "{\"a\":{\"c\":2,\"b\":1}}", "[\"/a/b\"]"},
		{"{\"a\":1}", "{\"a\":null}", false, "{\"a\":1}", "[\"/a\"]"},
		{"{\"a\":[1,2]}", "{\"a\":[1]}", false, "{\"a\":[1,2]}", "[\"/a\"]"},
		{"{\"a/b\":{\"~\":1}}", "{\"a/b\":{\"~\":2}}", false, "{\"a/b\":{\"~\":1}}",
		 "[\"/a~1b/~0\"]"},
		/* items of arrays: by id, name or refId, else by their index */
		{"[{\"id\":2,\"t\":\"x\"}]", "[{\"id\":1,\"m\":1},{\"id\":2,\"m\":2}]", false,
		 "[{\"id\":2,\"m\":2,\"t\":\"x\"}]", "[\"\"]"},
		{"[{\"name\":\"a\"},{\"name\":\"b\"}]", "[{\"name\":\"b\",\"m\":2},{\"name\":\"a\",\"m\":1}]",
		 false, "[{\"name\":\"a\",\"m\":1},{\"name\":\"b\",\"m\":2}]",
		 "[\"/0/name\",\"/0/m\",\"/1/name\",\"/1/m\"]"},
		{"[{\"t\":1}]", "[{\"t\":2,\"m\":1}]", false, "[{\"t\":1,\"m\":1}]", "[\"/0/t\"]"},
		/* the choice of a data source */
		{"{\"datasource\":{\"uid\":\"a\"}}", "{\"datasource\":{\"uid\":\"b\"}}", true,
		 "{\"datasource\":{\"uid\":\"b\"}}", "[]"},
		{"{\"datasource\":{\"uid\":\"a\"}}", "{\"datasource\":{\"uid\":\"b\"}}", false,
		 "{\"datasource\":{\"uid\":\"a\"}}", "[\"/datasource/uid\"]"},
		{"{\"datasource\":\"a\"}", "{\"datasource\":null}", true, "{\"datasource\":\"a\"}",
		 "[\"/datasource\"]"},
		{"{\"type\":\"datasource\",\"current\":{\"value\":\"a\"}}",
		 "{\"type\":\"datasource\",\"current\":{\"value\":\"b\"}}", true,
		 "{\"type\":\"datasource\",\"current\":{\"value\":\"b\"}}", "[]"},
		{"{\"type\":\"query\",\"current\":{\"value\":\"a\"}}",
		 "{\"type\":\"query\",\"current\":{\"value\":\"b\"}}", true,
		 "{\"type\":\"query\",\"current\":{\"value\":\"a\"}}", "[\"/current/value\"]"},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		json_t *ours = load(rows[i].ours), *theirs = load(rows[i].theirs), *pointers = json_array(),
		       *expected = load(rows[i].wanted), *places = load(rows[i].pointers);
		json_t *wanted = apply_merge(ours, theirs, rows[i].choices);
		apply_compare(wanted, theirs, pointers);
		if (!json_equal(wanted, expected) || !json_equal(pointers, places)) {
			char *text = json_dumps(wanted, 0), *found = json_dumps(pointers, 0);
			fprintf(stderr, "\n%s: %s %s\n", rows[i].ours, text, found);
			free(text);
			free(found);
			CU_FAIL();
		}
		json_decref(ours);
		json_decref(theirs);
		json_decref(pointers);
		json_decref(expected);
		json_decref(places);
		json_decref(wanted);
	}
}

static void fields_of_theirs_are_differences(void)
{
	json_t *wanted = load("{\"a\":1,\"e\":null}"),
	       *there = load("{\"a\":1,\"b\":2,\"c\":[],\"d\":false}"), *pointers = json_array(),
	       *expected = load("[\"/b\",\"/d\"]");
	apply_compare(wanted, there, pointers);
	CU_ASSERT(json_equal(pointers, expected));
	json_decref(wanted);
	json_decref(there);
	json_decref(pointers);
	json_decref(expected);
}

static void titles_have_slugs(void)
{
	static const char *const rows[][2] = {{"Beta", "beta"},
					      {"BETA?", "beta"},
					      {" - A  (b)/c - ", "a-b-c"},
					      {"Größe", "grosse"},
					      {"GRÖSSE", "grosse"},
					      {"Æon œuvre", "aeon-oeuvre"},
					      {"Łódź Žižkov ſ", "lodz-zizkov-s"},
					      {"数据库 1", "1"},
					      {"日志", ""},
					      {"a_b", "a-b"},
					      {"\xc3", ""},
					      {"", ""}};
	char out[30];
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		search_slug(rows[i][0], out, sizeof(out));
		UNIT_TEXT(out, rows[i][1]);
	}
	char small[5];
	search_slug("abcdefgh", small, sizeof(small));
	CU_ASSERT(strlen(small) < sizeof(small) && strncmp(small, "abc", 3) == 0);
}

int main(void)
{
	return unit_run("grafana_apply", (const struct unit_test[]){{"ours are merged", ours_are_merged},
								    {"fields of theirs are differences",
								     fields_of_theirs_are_differences},
								    {"titles have slugs", titles_have_slugs},
								    {0}});
}
