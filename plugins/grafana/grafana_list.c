/* SPDX-License-Identifier: Apache-2.0 */
/* grafana_list: the handlers of GET and DELETE, which list, read and delete dashboards, each on the thread of
 * its request. Lists and dashboards are passed on byte for byte. A handler owns the text of its list. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "grafana_search.h"
#include <skymon/json.h>

/* ---- Parameters of the list ---- */

#define LIMIT_MAX 5000 /* Grafana's own */

/* The caller's parameters, which have the same names in Grafana: "&query=…&tag=…", encoded as received. */
struct filter {
	char query[GRAFANA_PATH_MAX - 100];
	size_t size;
	bool one_page; /* limit or page was given */
};

static bool wrong_parameter(struct grafana_ctx *ctx, const char *name, size_t size, const char *sentence)
{
	char text[80];
	snprintf(text, sizeof(text), "%.*s", size < 60 ? (int)size : 60, name);
	char shown[60];
	grafana_clean(text, shown, sizeof(shown));
	return grafana_fail(ctx, 400, "the parameter %s %s", shown, sentence);
}

static bool is_count(const char *text, size_t size)
{
	if (size == 0 || size > 5)
		return false;
	char number[8];
	snprintf(number, sizeof(number), "%.*s", (int)size, text);
	return strspn(number, "0123456789") == size && atoi(number) >= 1 && atoi(number) <= LIMIT_MAX;
}

/* Reads one "name=value" of the query. */
static bool read_parameter(struct grafana_ctx *ctx, const char *text, size_t size, struct filter *filter)
{
	static const char *const names[] = {"limit", "page", "query", "tag"};
	const char *equals = memchr(text, '=', size);
	size_t length = equals != NULL ? (size_t)(equals - text) : size, known = 0;
	while (known < 4 && (strlen(names[known]) != length || strncmp(names[known], text, length) != 0))
		known++;
	if (known == 4)
		return wrong_parameter(ctx, text, length,
				       "is unknown: the list takes query, tag, limit and page");
	if (known < 2 && (equals == NULL || !is_count(equals + 1, size - length - 1)))
		return wrong_parameter(ctx, text, length, "must be a number from 1 to 5000");
	filter->one_page |= known < 2;
	if (filter->size + size + 2 > sizeof(filter->query))
		return wrong_parameter(ctx, text, length, "is too long");
	filter->size += (size_t)snprintf(filter->query + filter->size, sizeof(filter->query) - filter->size,
					 "&%.*s", (int)size, text);
	return true;
}

static bool read_filter(struct grafana_ctx *ctx, struct filter *filter)
{
	const char *query = skymon_query(ctx->sm, ctx->rq, NULL);
	for (size_t size; query != NULL && *query != '\0'; query += size + (query[size] == '&')) {
		size = strcspn(query, "&");
		if (size > 0 && !read_parameter(ctx, query, size, filter))
			return false;
	}
	return true;
}

/* ---- The list ---- */

/* The items of all pages, as received. */
struct list {
	char *bytes;
	size_t size, capacity;
};

static void add_page(struct list *list, struct grafana_span items)
{
	if (list->size + items.size + 3 > list->capacity) {
		list->capacity = (list->size + items.size + 3) * 3 / 2;
		if (list->capacity > GRAFANA_REPLY_MAX + 3)
			list->capacity = GRAFANA_REPLY_MAX + 3;
		char *larger = grafana_alloc(list->capacity);
		if (list->size > 0)
			memcpy(larger, list->bytes, list->size);
		free(list->bytes);
		list->bytes = larger;
	}
	list->bytes[list->size] = list->size == 0 ? '[' : ',';
	list->size++;
	memcpy(list->bytes + list->size, items.text, items.size);
	list->size += items.size;
}

/* Finds the text between the brackets, and counts its items. Returns false if it is not a list of objects. */
static bool read_page(const struct grafana_text *page, struct grafana_span *items, size_t *count)
{
	struct grafana_span rest = {page->bytes, page->size}, value;
	const char *start = NULL, *end = NULL;
	for (*count = 0; grafana_walk(&rest, NULL, &value); ++*count) {
		if (*value.text != '{')
			return false;
		start = start != NULL ? start : value.text;
		end = value.text + value.size;
	}
	*items = (struct grafana_span){start, (size_t)(end - start)};
	return page->bytes[strspn(page->bytes, " \t\r\n")] == '[';
}

static bool too_long(struct grafana_ctx *ctx)
{
	return grafana_fail(ctx, 502,
			    "Grafana's list of dashboards is larger than the limit of %u MiB for an answer",
			    GRAFANA_REPLY_MAX >> 20);
}

/* Reads all pages, unless the caller asks for one. */
static bool list_all(struct grafana_ctx *ctx, const struct filter *filter, struct list *list)
{
	char path[GRAFANA_PATH_MAX];
	struct grafana_text page;
	struct grafana_span items;
	size_t count = SEARCH_PAGE_SIZE;
	bool good = true, fits = true;
	for (int number = 1; good && count == SEARCH_PAGE_SIZE && (number == 1 || !filter->one_page);
	     number++) {
		if (filter->one_page)
			snprintf(path, sizeof(path), "/api/search?type=dash-db%s", filter->query);
		else
			snprintf(path, sizeof(path), "/api/search?type=dash-db%s&limit=%d&page=%d",
				 filter->query, SEARCH_PAGE_SIZE, number);
		if (number > 1 && !grafana_reserve_large(ctx))
			return false;
		if (!grafana_ask_text(ctx, "GET", path, (struct grafana_span){NULL, 0}, 0, &page))
			return false;
		good = read_page(&page, &items, &count);
		fits = list->size + items.size + 3 <= GRAFANA_REPLY_MAX;
		if (good && fits && count > 0)
			add_page(list, items);
		grafana_text_free(&page);
		if (!fits)
			return too_long(ctx);
	}
	if (!good)
		return grafana_fail(ctx, 502, "Grafana's answer to a search is not a list");
	if (list->size == 0)
		add_page(list, (struct grafana_span){"", 0});
	list->bytes[list->size++] = ']';
	return true;
}

void grafana_list_dashboards(struct skymon *sm, void *state, struct skymon_request *rq)
{
	struct grafana_ctx ctx = {.sm = sm, .grafana = state, .rq = rq};
	struct filter filter = {0};
	struct list list = {0};
	if (!grafana_authorize(&ctx, false))
		return;
	if (read_filter(&ctx, &filter) && list_all(&ctx, &filter, &list))
		skymon_reply(sm, rq, 200, "application/json", list.bytes, list.size);
	else
		grafana_reply_fault(&ctx);
	free(list.bytes);
}

/* ---- One dashboard ---- */

void grafana_get_dashboard(struct skymon *sm, void *state, struct skymon_request *rq)
{
	struct grafana_ctx ctx = {.sm = sm, .grafana = state, .rq = rq};
	if (!grafana_authorize(&ctx, false))
		return;
	struct grafana_text answer;
	if (search_get(&ctx, skymon_param(sm, rq, "uid"), &answer))
		grafana_reply_text(&ctx, &answer);
	else
		grafana_reply_fault(&ctx);
	grafana_text_free(&answer);
}

static void add_time(json_t *object)
{
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	struct tm tm;
	char text[32];
	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", gmtime_r(&now.tv_sec, &tm));
	char whole[40];
	snprintf(whole, sizeof(whole), "%s.%03dZ", text, (int)(now.tv_nsec / 1000000));
	json_object_set_new(object, "timestamp", json_string(whole));
}

/* The answer to a DELETE does not show whether Grafana acted on it: looks for the dashboard. */
static void verify_deleted(struct grafana_ctx *ctx, const char *uid)
{
	struct grafana_fault was = grafana_set_aside(&ctx->fault);
	enum grafana_done done = GRAFANA_MAYBE_DONE;
	struct grafana_text found;
	if (search_get(ctx, uid, &found))
		done = GRAFANA_NOT_DONE;
	else if (ctx->fault.code == 404)
		done = GRAFANA_DONE;
	grafana_text_free(&found);
	grafana_put_back(&ctx->fault, &was);
	grafana_add_outcome(&ctx->fault, done, "deleted");
}

/* A 404 to the second attempt is a success: the first one, whose connection broke, has deleted it. */
static bool delete_dashboard(struct grafana_ctx *ctx, const char *uid, const char *title, json_t **reply)
{
	char path[GRAFANA_PATH_MAX];
	if (!grafana_path(path, sizeof(path), "/api/dashboards/uid/", uid, ""))
		return grafana_fail(ctx, 404, "invalid uid of a dashboard: it is too long");
	struct grafana_answer answer;
	if (!grafana_ask(ctx, "DELETE", path, NULL, &answer) &&
	    (ctx->fault.upstream_status != 404 || !ctx->fault.repeated)) {
		if (grafana_is_open(&ctx->fault))
			verify_deleted(ctx, uid);
		return false;
	}
	grafana_forget(&ctx->fault);
	*reply = json_is_object(answer.json) ? json_copy(answer.json) : json_object();
	if (skymon_json_text(*reply, "message") == NULL)
		json_object_set_new(*reply, "message", json_sprintf("Dashboard %s deleted", title));
	json_object_set_new(*reply, "title", json_string(title));
	add_time(*reply);
	grafana_answer_free(&answer);
	return true;
}

void grafana_delete_dashboard(struct skymon *sm, void *state, struct skymon_request *rq)
{
	struct grafana_ctx ctx = {.sm = sm, .grafana = state, .rq = rq};
	const char *uid = skymon_param(sm, rq, "uid");
	json_t *reply = NULL;
	if (!grafana_authorize(&ctx, true))
		return;
	struct search_found there;
	bool done =
		search_uid(&ctx, uid, &there) && delete_dashboard(&ctx, uid, search_title(&there), &reply);

	char result[60];
	grafana_audit(&ctx, "dashboard", uid, json_string_value(there.title),
		      grafana_result(&ctx.fault, done, "deleted", result));
	if (done)
		grafana_reply(&ctx, 200, reply);
	else
		grafana_reply_fault(&ctx);
	json_decref(reply);
	search_free(&there);
}
