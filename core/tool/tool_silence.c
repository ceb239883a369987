/* SPDX-License-Identifier: Apache-2.0 */
/* skymon silence: makes, lists and ends silences of a running skymond over HTTP. Called by tool.c; owns what it
 * asks and the answers. */
#include "tool.h"

#include <curl/curl.h>
#include <getopt.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROUTE "/api/v1/maintenance"

/* Prints why the daemon refused. */
static void report_refusal(const struct tool_ask *ask)
{
	json_t *body =
		json_loadb(ask->answer.data != NULL ? ask->answer.data : "", ask->answer.size, 0, NULL);
	const char *detail = json_string_value(json_object_get(body, "detail"));
	tool_ask_fail(ask, detail != NULL ? detail : "");
	json_decref(body);
}

/* Asks, and returns the answer if it has the code; NULL after printing why. */
static json_t *ask_json(struct tool_ask *ask, const char *method, const char *path, const char *sent,
			long code)
{
	ask->method = method;
	ask->sent = sent;
	buf_free(&ask->answer);
	if (!tool_ask(ask, path))
		return NULL;
	json_t *body = ask->code == code ? json_loadb(ask->answer.data != NULL ? ask->answer.data : "{}",
						      ask->answer.data != NULL ? ask->answer.size : 2,
						      JSON_REJECT_DUPLICATES, NULL)
					 : NULL;
	if (body == NULL)
		report_refusal(ask);
	return body;
}

static void print_names(const json_t *silence)
{
	size_t shown = 0;
	for (size_t list = 0; list < 2; list++) {
		size_t i;
		json_t *name;
		json_array_foreach(json_object_get(silence, list == 0 ? "components" : "groups"), i, name) {
			fputs(shown++ > 0 ? ", " : "", stdout);
			fputs(list == 0 ? "" : "group ", stdout);
			tool_print(json_string_value(name) != NULL ? json_string_value(name) : "");
		}
	}
}

static void print_text(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));
	tool_print(text != NULL ? text : "");
}

static void print_silence(const json_t *one)
{
	const char *id = json_string_value(json_object_get(one, "id"));
	printf("%-6s ", id != NULL ? id : json_is_true(json_object_get(one, "open")) ? "open" : "window");
	print_text(one, "since");
	fputs(" to ", stdout);
	print_text(one, "until");
	fputs("  ", stdout);
	print_names(one);
	fputs(": ", stdout);
	print_text(one, "why");
	fputs(" (", stdout);
	print_text(one, id != NULL ? "by" : "every");
	fputs(")\n", stdout);
}

static int list(struct tool_ask *ask)
{
	json_t *body = ask_json(ask, NULL, ROUTE, NULL, 200), *one;
	size_t i;
	if (body == NULL)
		return TOOL_UNKNOWN;
	json_array_foreach(json_object_get(body, "silences"), i, one)
		print_silence(one);
	json_array_foreach(json_object_get(body, "windows"), i, one)
		print_silence(one);
	json_decref(body);
	return 0;
}

/* Returns "components", "groups", or NULL after printing that there is neither of that name. */
static const char *kind_of(struct tool_ask *ask, const char *name)
{
	const char *kind = NULL;
	json_t *body = ask_json(ask, NULL, "/api/v1/status", NULL, 200), *one;
	size_t i;
	if (body == NULL)
		return NULL;
	json_array_foreach(json_object_get(json_object_get(body, "health"), "components"), i, one) {
		const char *have = json_string_value(json_object_get(one, "name"));
		const char *group = json_string_value(json_object_get(one, "group"));
		if (have != NULL && strcmp(have, name) == 0)
			kind = "components";
		else if (kind == NULL && group != NULL && strcmp(group, name) == 0)
			kind = "groups";
	}
	if (kind == NULL)
		tool_fail("%s has neither a component nor a group of the name %s", ask->url, name);
	json_decref(body);
	return kind;
}

static int make(struct tool_ask *ask, const char *name, const char *length, const char *why)
{
	const char *kind = kind_of(ask, name);
	if (kind == NULL)
		return TOOL_UNKNOWN;
	json_t *wish = json_pack("{s:[s], s:s, s:s}", kind, name, "for", length, "why", why);
	char *sent = wish != NULL ? json_dumps(wish, 0) : NULL;
	json_decref(wish);
	if (sent == NULL)
		return tool_fail("the name and --why must be UTF-8");
	json_t *made = ask_json(ask, "POST", ROUTE, sent, 201);
	free(sent);
	if (made == NULL)
		return TOOL_UNKNOWN;
	print_silence(made);
	json_decref(made);
	return 0;
}

static int end(struct tool_ask *ask, const char *id)
{
	char *path = x_printf(ROUTE "/%s", id);
	json_t *body = strspn(id, "s0123456789") == strlen(id) && id[0] != '\0'
			       ? ask_json(ask, "DELETE", path, NULL, 204)
			       : NULL;
	free(path);
	if (body == NULL)
		return ask->code != 0 ? TOOL_UNKNOWN : tool_fail("--end takes an id of --list, such as s1");
	json_decref(body);
	return 0;
}

int tool_silence(int argc, char **argv)
{
	static const struct option longs[] = {{"for", required_argument, NULL, 'f'},
					      {"why", required_argument, NULL, 'w'},
					      {"list", no_argument, NULL, 'l'},
					      {"end", required_argument, NULL, 'e'},
					      TOOL_ASK_ROWS,
					      {0}};
	struct tool_ask ask = {.url = "http://127.0.0.1:8080"};
	const char *length = NULL, *why = NULL, *id = NULL;
	bool lists = false;
	for (int option; (option = getopt_long(argc, argv, "u:t:", longs, NULL)) != -1;) {
		if (option == 'f')
			length = optarg;
		else if (option == 'w')
			why = optarg;
		else if (option == 'l')
			lists = true;
		else if (option == 'e')
			id = optarg;
		else if (!tool_ask_option(&ask, option))
			return TOOL_UNKNOWN;
	}
	bool named = optind + 1 == argc;
	int ways = lists + (id != NULL) + named;
	if (ways != 1 || optind + 1 < argc || named != (length != NULL) || named != (why != NULL))
		return tool_fail(
			"silence takes NAME --for 2h --why TEXT, or --list, or --end ID; try skymon silence --help");
	curl_global_init(CURL_GLOBAL_DEFAULT);
	int code = lists ? list(&ask) : id != NULL ? end(&ask, id) : make(&ask, argv[optind], length, why);
	buf_free(&ask.answer);
	curl_global_cleanup();
	return code;
}
