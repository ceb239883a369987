/* SPDX-License-Identifier: Apache-2.0 */
/* grafana_tool: prints skymond's answers as lines, and returns the exit code. Called by grafana_tool.c, on
 * its only thread; owns nothing. */
#include "grafana_tool.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <skymon/json.h>

static const char *text_at(const json_t *object, const char *key)
{
	const char *text = skymon_json_text(object, key);
	return text != NULL ? text : "";
}

/* Bytes that could control a terminal become spaces: titles and messages come from Grafana. */
static void print(const char *text)
{
	for (const unsigned char *at = (const unsigned char *)text; *at != '\0'; at++)
		putchar(*at < ' ' || *at == 0x7F ? ' ' : *at);
}

static void column(const char *text, int width)
{
	print(text);
	printf("%*s", (int)strlen(text) < width ? width - (int)strlen(text) + 1 : 1, "");
}

void tool_show_problem(const struct tool_place *place, const struct tool_answer *answer)
{
	const char *detail = text_at(answer->body, "detail");
	if (answer->code == 404 && json_object_get(answer->body, "upstream_status") == NULL)
		tool_fail("skymond at %s has no such route: %s (is grafana listed under plugins: in its "
			  "config?)",
			  place->url, detail);
	else if (detail[0] != '\0')
		tool_fail("%s", detail);
	else
		tool_fail("%s answered %ld without a reason", place->url, answer->code);
}

/* ---- check ---- */

int tool_show_checks(const struct tool_place *place, const struct tool_answer *answer)
{
	const json_t *checks = json_object_get(answer->body, "checks");
	if (answer->code != 200 || !json_is_array(checks)) {
		tool_show_problem(place, answer);
		return TOOL_BAD;
	}
	size_t i;
	json_t *check;
	json_array_foreach(checks, i, check) {
		printf("%-7s", json_is_true(json_object_get(check, "ok")) ? "ok" : "FAILED");
		print(text_at(check, "name"));
		if (text_at(check, "message")[0] != '\0') {
			printf(": ");
			print(text_at(check, "message"));
		}
		printf("\n");
	}
	return json_is_true(json_object_get(answer->body, "ok")) ? TOOL_GOOD : TOOL_BAD;
}

/* ---- apply and diff: a list of items, in a good answer and in a problem ---- */

static void print_item(const json_t *item)
{
	const json_t *differences = json_object_get(item, "differences");
	const char *title = text_at(item, "title"), *message = text_at(item, "message");
	column(text_at(item, "result"), 9);
	column(text_at(item, "kind"), 10);
	print(text_at(item, "uid"));
	if (title[0] != '\0') {
		printf(" (");
		print(title);
		printf(")");
	}
	if (message[0] != '\0') {
		printf(": ");
		print(message);
	}
	size_t i;
	json_t *pointer;
	json_array_foreach(differences, i, pointer) {
		printf(i == 0 ? ": " : " ");
		print(json_string_value(pointer) != NULL ? json_string_value(pointer) : "");
	}
	printf("\n");
}

static int count(const json_t *items, const char *result)
{
	size_t i;
	json_t *item;
	int found = 0;
	json_array_foreach(items, i, item) {
		found += strcmp(text_at(item, "result"), result) == 0;
	}
	return found;
}

/* Prints the items. Returns NULL after an error message if the answer has none. */
static const json_t *print_items(const struct tool_place *place, const struct tool_answer *answer)
{
	const json_t *items = json_object_get(answer->body, "items");
	if (!json_is_array(items)) {
		tool_show_problem(place, answer);
		return NULL;
	}
	size_t i;
	json_t *item;
	json_array_foreach(items, i, item) {
		print_item(item);
	}
	return items;
}

int tool_show_apply(const struct tool_place *place, const struct tool_answer *answer)
{
	const json_t *items = print_items(place, answer);
	if (items == NULL)
		return TOOL_BAD;
	int created = count(items, "created"), updated = count(items, "updated"),
	    failed = count(items, "failed");
	printf("%s%d created, %d updated, %d unchanged, %d failed\n",
	       created + updated == 0 ? "nothing changed: " : "", created, updated, count(items, "unchanged"),
	       failed);
	return answer->code == 200 && failed == 0 ? TOOL_GOOD : TOOL_BAD;
}

int tool_show_diff(const struct tool_place *place, const struct tool_answer *answer)
{
	const json_t *items = print_items(place, answer);
	if (items == NULL)
		return TOOL_TROUBLE;
	int same = count(items, "unchanged"), differing = count(items, "missing") + count(items, "different");
	if (answer->code != 200 || same + differing != (int)json_array_size(items))
		return TOOL_TROUBLE;
	return differing == 0 ? TOOL_GOOD : TOOL_BAD;
}

/* ---- export ---- */

int tool_show_export(const struct tool_place *place, const struct tool_answer *answer)
{
	json_t *dashboard = json_object_get(answer->body, "dashboard");
	if (answer->code != 200 || !json_is_object(dashboard)) {
		tool_show_problem(place, answer);
		return TOOL_BAD;
	}
	/* Both are specific to that Grafana: an import would take them for an existing dashboard of its
	 * own. */
	json_object_del(dashboard, "id");
	json_object_del(dashboard, "version");
	char *text = json_dumps(dashboard, JSON_INDENT(2) | skymon_json_digits(dashboard));
	if (text == NULL) {
		tool_fail("out of memory for printing the dashboard");
		return TOOL_BAD;
	}
	puts(text);
	free(text);
	return TOOL_GOOD;
}
