/* SPDX-License-Identifier: Apache-2.0 */
/* route: matching of methods and paths, decoding of URLs and queries, invalid routes. */
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "http/route.h"
#include "wire/http_message.h"

static const struct skymon_route routes[] = {
	{sizeof(struct skymon_route), "GET", "/", "index", "", NULL, 0},
	{sizeof(struct skymon_route), "GET", "/api/v1/health", "health", "", NULL, 0},
	{sizeof(struct skymon_route), "GET", "/api/v1/health/{component}", "component", "", NULL, 0},
	{sizeof(struct skymon_route), "GET", "/d/{uid}", "get", "", NULL, 0},
	{sizeof(struct skymon_route), "PUT", "/d/{id}", "put", "", NULL, 0},
	{sizeof(struct skymon_route), "DELETE", "/d/{uid}", "delete", "", NULL, 0},
	{sizeof(struct skymon_route), "POST", "/d/new", "new", "", NULL, 0},
	{sizeof(struct skymon_route), "GET", "/a/{x}/c", "axc", "", NULL, 0},
	{sizeof(struct skymon_route), "GET", "/a/b/d", "abd", "", NULL, 0},
	{sizeof(struct skymon_route), "GET", "/m/prometheus", "prometheus", "", NULL, 0},
	{sizeof(struct skymon_route), "POST", "/m/prometheus/api/{query...}", "query", "", NULL, 0},
	{sizeof(struct skymon_route), "GET", "/m/prometheus/api/{query}/{part}", "part", "", NULL, 0},
	{sizeof(struct skymon_route), "GET", "/s/{one}", "one", "", NULL, 0},
	{sizeof(struct skymon_route), "GET", "/s/literal", "literal", "", NULL, 0},
	{sizeof(struct skymon_route), "GET", "/s/{all...}", "all", "", NULL, 0},
	{sizeof(struct skymon_route), "GET", "/s/{one}/end", "end", "", NULL, 0},
};
#define COUNT (sizeof(routes) / sizeof(routes[0]))

static struct route_table *table_of(void)
{
	struct route_table *table = route_table_new();
	struct err err = {""};
	for (size_t i = 0; i < COUNT; i++) {
		struct route_entry entry = {.route = &routes[i], .plugin = "test"};
		CU_ASSERT(route_add(table, &entry, &err));
		UNIT_TEXT(err.text, "");
	}
	return table;
}

static void finds(void)
{
	/* what: "name param=value …", or "404", or "405 allow" */
	static const struct {
		const char *method, *path, *what;
	} cases[] = {
		{"GET", "/", "index"},
		{"HEAD", "/", "index"},
		{"GET", "/api/v1/health", "health"},
		{"GET", "/api/v1/health/", "health"},
		{"GET", "/api/v1/health//", "404"},
		{"GET", "//api/v1/health", "404"},
		{"GET", "/api//v1/health", "404"},
		{"GET", "/api/v1/Health", "404"},
		{"GET", "/api/v1/%68ealth", "health"},
		{"GET", "/api/v1/%68%65%61%6C%74%68/", "health"},
		{"GET", "/api/v1%2fhealth", "404"},
		{"GET", "/api/v1", "404"},
		{"GET", "/api/v1/healthy", "404"},
		{"GET", "/api/v1/health/vault", "component component=vault"},
		{"HEAD", "/api/v1/health/vault/", "component component=vault"},
		{"GET", "/api/v1/health/a%2Fb", "component component=a%2Fb"},
		{"GET", "/api/v1/health/vault/x", "404"},
		{"POST", "/api/v1/health", "405 GET, HEAD, OPTIONS"},
		{"OPTIONS", "/api/v1/health", "405 GET, HEAD, OPTIONS"},
		{"get", "/api/v1/health", "405 GET, HEAD, OPTIONS"},
		{"BREW", "/api/v1/nothing", "404"},
		{"GET", "/d/1", "get uid=1"},
		{"PUT", "/d/1", "put id=1"},
		{"DELETE", "/d/1", "delete uid=1"},
		{"POST", "/d/1", "405 GET, HEAD, PUT, DELETE, OPTIONS"},
		{"POST", "/d/new", "new"},
		{"GET", "/d/new", "get uid=new"},
		{"PATCH", "/d/new", "405 GET, HEAD, POST, PUT, DELETE, OPTIONS"},
		{"GET", "/a/b/c", "axc x=b"},
		{"GET", "/a/b/d", "abd"},
		{"GET", "/a/b/e", "404"},
		{"GET", "/m/prometheus/api", "404"},
		{"POST", "/m/prometheus/api", "404"},
		{"POST", "/m/prometheus/api/label/job/values", "query query=label/job/values"},
		{"POST", "/m/prometheus/api/query", "query query=query"},
		{"GET", "/m/prometheus/api/label/job", "part query=label part=job"},
		{"GET", "/m/prometheus/api/label", "405 POST, OPTIONS"},
		/* several templates match: the most specific one wins, whether added before or after */
		{"GET", "/s/literal", "literal"},
		{"GET", "/s/x", "one one=x"},
		{"GET", "/s/x/end", "end one=x"},
		{"GET", "/s/literal/end", "end one=literal"},
		{"GET", "/s/x/y", "all all=x/y"},
		{"GET", "/s/x/end/y", "all all=x/end/y"},
		{"GET", "", "404"},
	};
	struct route_table *table = table_of();
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct route_match match;
		char got[256] = "404";
		route_find(table, http_method_of(cases[i].method, strlen(cases[i].method)), cases[i].path,
			   &match);
		if (match.entry != NULL)
			snprintf(got, sizeof(got), "%s", match.entry->route->name);
		else if (match.path_known)
			snprintf(got, sizeof(got), "405 %s", match.allow);
		for (size_t p = 0; match.entry != NULL && p < match.param_count; p++)
			snprintf(got + strlen(got), sizeof(got) - strlen(got), " %s=%.*s",
				 match.params[p].name, (int)match.params[p].size, match.params[p].value);
		if (strcmp(got, cases[i].what) != 0)
			fprintf(stderr, "%s %s\n", cases[i].method, cases[i].path);
		UNIT_TEXT(got, cases[i].what);
	}
	route_table_unref(table);
}

static void counts(void)
{
	struct route_table *table = table_of();
	CU_ASSERT_EQUAL(route_count(table), COUNT);
	for (size_t i = 0; i < COUNT; i++) {
		CU_ASSERT_PTR_EQUAL(route_at(table, i)->route, &routes[i]);
		CU_ASSERT_EQUAL(route_at(table, i)->index, i);
	}
	CU_ASSERT_PTR_NULL(route_at(table, COUNT));
	route_table_ref(table);
	route_table_unref(table);
	CU_ASSERT_EQUAL(route_count(table), COUNT);
	route_table_unref(table);
}

static void refuses(void)
{
	static const struct {
		const char *method, *path, *error;
	} cases[] = {
		{"GET", "/d/{name}",
		 "plugins test and other both have the route GET /d/{uid}, which is also /d/{name}"},
		{"GET", "/", "plugins test and other both have the route GET /"},
		{"PATCH", "/x",
		 "plugin other: the route /x has the method PATCH; a route's method is GET, POST, PUT or "
		 "DELETE"},
		{NULL, NULL,
		 "plugin other: the route without a path has the method NULL; a route's method is GET, POST, "
		 "PUT or DELETE"},
		{"GET", NULL, "plugin other: a route has no path"},
		{"GET", "", "plugin other: the route GET : a path begins with / and does not end with it"},
		{"GET", "x", "plugin other: the route GET x: a path begins with / and does not end with it"},
		{"GET", "/x/",
		 "plugin other: the route GET /x/: a path begins with / and does not end with it"},
		{"GET", "/x//y",
		 "plugin other: the route GET /x//y: the segment \"\" is empty or has a character other than "
		 "A-Z a-z 0-9 - . _ ~"},
		{"GET", "/x y",
		 "plugin other: the route GET /x y: the segment \"x y\" is empty or has a character other "
		 "than A-Z a-z 0-9 - . _ ~"},
		{"GET", "/{",
		 "plugin other: the route GET /{: the segment \"{\" is not {name} with a-z, 0-9 and _"},
		{"GET", "/{}",
		 "plugin other: the route GET /{}: the segment \"{}\" is not {name} with a-z, 0-9 and _"},
		{"GET", "/{...}",
		 "plugin other: the route GET /{...}: the segment \"{...}\" is not {name} with a-z, 0-9 and "
		 "_"},
		{"GET", "/{a}b",
		 "plugin other: the route GET /{a}b: the segment \"{a}b\" is not {name} with a-z, 0-9 and _"},
		{"GET", "/{a}/{a}",
		 "plugin other: the route GET /{a}/{a}: the segment \"{a}\" stands there twice"},
		{"GET", "/{a}/{ab}/{a...}",
		 "plugin other: the route GET /{a}/{ab}/{a...}: the segment \"{a...}\" stands there twice"},
		{"GET", "/{a...}/b",
		 "plugin other: the route GET /{a...}/b: nothing may follow a segment {name...}"},
		{"GET", "/{a}/{b}/{c}/{d}/{e}",
		 "plugin other: the route GET /{a}/{b}/{c}/{d}/{e}: there are more than 4 segments in "
		 "braces"},
	};
	struct route_table *table = table_of();
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct skymon_route route = {.method = cases[i].method, .path = cases[i].path, .name = "x"};
		struct route_entry entry = {.route = &route, .plugin = "other"};
		struct err err = {""};
		CU_ASSERT_FALSE(route_add(table, &entry, &err));
		UNIT_TEXT(err.text, cases[i].error);
	}
	CU_ASSERT_EQUAL(route_count(table), COUNT);
	route_table_unref(table);
}

static void decodes(void)
{
	static const struct {
		const char *text;
		bool plus;
		const char *out; /* NULL if refused */
	} cases[] = {
		{"", false, ""},
		{"abc", false, "abc"},
		{"a%20b", false, "a b"},
		{"a+b", false, "a+b"},
		{"a+b", true, "a b"},
		{"%2B", true, "+"},
		{"%c3%A4", false, "\xc3\xa4"},
		{"%2F", false, "/"},
		{"%00", false, NULL},
		{"a%0", false, NULL},
		{"a%", false, NULL},
		{"%zz", false, NULL},
		{"%%20", false, NULL},
		{"%2g", false, NULL},
		{"1234567", false, "1234567"},
		{"12345678", false, NULL},
		{"%31%32%33%34%35%36%37", false, "1234567"},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		size_t length = strlen(cases[i].text);
		char *exact =
			malloc(length + 1); /* without '\0': the sanitizer reports reading past the length */
		char out[8] = "";
		memcpy(exact, cases[i].text, length);
		exact = realloc(exact, length > 0 ? length : 1);
		bool ok = http_message_decode(exact, length, cases[i].plus, out, sizeof(out));
		CU_ASSERT_EQUAL(ok, cases[i].out != NULL);
		if (ok && cases[i].out != NULL)
			UNIT_TEXT(out, cases[i].out);
		free(exact);
	}
	char none[1];
	CU_ASSERT_FALSE(http_message_decode("", 0, false, none, 0));
}

static void queries(void)
{
	static const struct {
		const char *query, *name, *value; /* NULL if missing */
	} cases[] = {
		{"", "a", NULL},         {"a", "a", ""},          {"a=", "a", ""},
		{"a=1", "a", "1"},       {"ab=1", "a", NULL},     {"a=1", "ab", NULL},
		{"ab=1&a=2", "a", "2"},  {"a=1&a=2", "a", "1"},   {"a=b=c&d", "a", "b=c"},
		{"a=b=c&d", "d", ""},    {"&&a=1&&", "a", "1"},   {"a=1;b=2", "b", NULL},
		{"%61=1", "a", NULL},    {"a=%26b=2", "b", NULL}, {"=x&a=1", "a", "1"},
		{"a=%20+", "a", "%20+"}, {"A=1", "a", NULL},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		size_t length = 99;
		const char *value = http_message_query(cases[i].query, cases[i].name, &length);
		CU_ASSERT_EQUAL(value != NULL, cases[i].value != NULL);
		if (value == NULL || cases[i].value == NULL)
			continue;
		char text[64];
		snprintf(text, sizeof(text), "%.*s", (int)length, value);
		UNIT_TEXT(text, cases[i].value);
		CU_ASSERT(value >= cases[i].query &&
			  value + length <= cases[i].query + strlen(cases[i].query));
	}
}

int main(void)
{
	return unit_run("route", (const struct unit_test[]){{"finds", finds},
							    {"counts", counts},
							    {"refuses", refuses},
							    {"decodes", decodes},
							    {"queries", queries},
							    {0}});
}
