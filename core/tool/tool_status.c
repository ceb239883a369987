/* SPDX-License-Identifier: Apache-2.0 */
/* skymon status and skymon reload: print what a running skymond answers. Called by main; own nothing. */
#include "tool.h"

#include <curl/curl.h>
#include <getopt.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *text_at(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));
	return text != NULL ? text : "";
}

/* Prints a text in a column. */
static void column(const char *text, int width)
{
	tool_print(text);
	printf("%*s ", (int)strlen(text) < width ? width - (int)strlen(text) : 0, "");
}

static int print_all(const json_t *body)
{
	const json_t *health = json_object_get(body, "health");
	const json_t *components = json_object_get(health, "components");
	int width = 9;
	size_t i;
	json_t *component;
	json_array_foreach(components, i, component) {
		int size = (int)strlen(text_at(component, "name"));
		width = size > width ? size : width;
	}
	printf("%-*s %-9s %-14s %-24s %s\n", width, "NAME", "STATUS", "REASON", "SINCE", "MESSAGE");
	json_array_foreach(components, i, component) {
		column(text_at(component, "name"), width);
		column(text_at(component, "status"), 9);
		column(text_at(component, "reason"), 14);
		column(text_at(component, "since"), 24);
		tool_print(text_at(component, "message"));
		printf("\n");
	}
	column(text_at(body, "service"), width);
	printf("%s\n", text_at(health, "overall_status"));
	return tool_exit_of(text_at(health, "overall_status"));
}

static int print_one(const json_t *body)
{
	const char *key;
	json_t *value;
	json_object_foreach((json_t *)(uintptr_t)body, key, value) {
		printf("%-21s", key);
		if (json_is_string(value)) {
			tool_print(json_string_value(value));
		} else {
			char *text =
				json_dumps(value, JSON_ENCODE_ANY | JSON_INDENT(2) | JSON_REAL_PRECISION(15));
			fputs(text != NULL ? text : "",
			      stdout); /* JSON escapes what could steer a terminal */
			free(text);
		}
		printf("\n");
	}
	return tool_exit_of(text_at(body, "status"));
}

static int show(struct tool_ask *ask, bool one)
{
	json_t *body = json_loadb(ask->answer.data != NULL ? ask->answer.data : "", ask->answer.size,
				  JSON_REJECT_DUPLICATES, NULL);
	int code = TOOL_UNKNOWN;
	bool expected = one ? json_is_string(json_object_get(body, "status"))
			    : json_is_object(json_object_get(body, "health"));
	ask->answered = expected;
	if (!expected) {
		const char *detail = text_at(body, "detail");
		tool_ask_fail(ask, detail);
	} else if (ask->json) {
		fwrite(ask->answer.data, 1, ask->answer.size, stdout);
		putchar('\n');
		code = tool_exit_of(text_at(one ? body : json_object_get(body, "health"),
					    one ? "status" : "overall_status"));
	} else {
		code = one ? print_one(body) : print_all(body);
	}
	json_decref(body);
	return code;
}

/* For --fail-on: 1 for that status and worse ones, and without a status. In the order of the roll-up unknown is better than
 * unhealthy. */
static int pass_or_fail(const struct tool_ask *ask, int code)
{
	static const int rank[] = {0, 1, 3, 2};
	return !ask->answered || rank[code] >= rank[tool_exit_of(ask->fail_on)];
}

int tool_status(int argc, char **argv)
{
	struct tool_ask ask;
	if (!tool_ask_options(&ask, argc, argv))
		return TOOL_UNKNOWN;
	if (optind + 1 < argc)
		return tool_fail("status takes one name");
	if (ask.fail_on != NULL &&
	    (tool_exit_of(ask.fail_on) == 0 ||
	     (tool_exit_of(ask.fail_on) == TOOL_UNKNOWN && strcmp(ask.fail_on, "unknown") != 0)))
		return tool_fail("--fail-on takes degraded, unknown or unhealthy");
	bool one = optind < argc;
	curl_global_init(CURL_GLOBAL_DEFAULT);
	char *name = one ? curl_easy_escape(NULL, argv[optind], 0) : NULL;
	char *path = one ? x_printf("/api/v1/health/%s", name) : x_strdup("/api/v1/status");
	int code = tool_ask(&ask, path) ? show(&ask, one) : TOOL_UNKNOWN;
	curl_free(name);
	free(path);
	buf_free(&ask.answer);
	curl_global_cleanup();
	return ask.fail_on != NULL ? pass_or_fail(&ask, code) : code;
}

/* ---- reload ---- */

enum { RELOADED = 0, REFUSED = 1, BAD_USAGE = 2, NOT_ASKED = 3 };

static void print_list(const json_t *body, const char *key, const char *word)
{
	const json_t *list = json_object_get(body, key);
	size_t i;
	json_t *item;
	json_array_foreach(list, i, item) {
		printf("%-9s", word);
		tool_print(json_string_value(item) != NULL ? json_string_value(item) : "");
		printf("\n");
	}
}

/* Prints a line for each thing that the reload changed, or for each error. */
static int show_reload(const struct tool_ask *ask)
{
	json_t *body = json_loadb(ask->answer.data != NULL ? ask->answer.data : "", ask->answer.size,
				  JSON_REJECT_DUPLICATES, NULL);
	bool reloaded = json_is_true(json_object_get(body, "ok"));
	bool refused = ask->code == 422 && json_is_array(json_object_get(body, "errors"));
	if (!reloaded && !refused) {
		tool_ask_fail(ask, text_at(body, "detail"));
	} else if (ask->json) {
		fwrite(ask->answer.data, 1, ask->answer.size, stdout);
		putchar('\n');
	} else if (refused) {
		print_list(body, "errors", "error");
		tool_fail("%s", text_at(body, "detail"));
	} else {
		print_list(body, "added", "added");
		print_list(body, "removed", "removed");
		print_list(body, "changed", "changed");
		print_list(body, "restart", "restart");
		printf("reloaded\n");
	}
	json_decref(body);
	return reloaded ? RELOADED : refused ? REFUSED : NOT_ASKED;
}

int tool_reload(int argc, char **argv)
{
	struct tool_ask ask;
	if (!tool_ask_options(&ask, argc, argv))
		return BAD_USAGE;
	if (optind < argc || ask.fail_on != NULL) {
		tool_fail("reload takes no names, and no --fail-on");
		return BAD_USAGE;
	}
	ask.post = true;
	curl_global_init(CURL_GLOBAL_DEFAULT);
	int code = tool_ask(&ask, "/-/reload") ? show_reload(&ask) : NOT_ASKED;
	buf_free(&ask.answer);
	curl_global_cleanup();
	return code;
}
