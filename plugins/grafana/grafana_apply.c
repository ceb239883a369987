/* SPDX-License-Identifier: Apache-2.0 */
/* grafana_apply: POST /api/v1/grafana/apply writes the shipped content to Grafana, GET /api/v1/grafana/diff
 * shows the changes that apply would make. Both handlers run on the thread of their request, which owns the
 * list of items. A failed item does not stop the others, unless Grafana does not answer, limits requests or
 * refuses the key: then the others would fail alike. */
#include "grafana_apply.h"

#include <stdio.h>
#include <string.h>

static const char *const kinds[] = {"folder", "datasource", "dashboard", "rule"};

/* The first failed item, and Grafana's fault of it, for the reply. */
struct outcome {
	const struct apply_item *first;
	struct grafana_fault fault;
	int stopped; /* the code at which the remaining items were given up, or 0 */
};

/* ---- All items, one after the other ---- */

static void try_item(struct apply_run *run, struct apply_item *item, struct outcome *outcome)
{
	struct grafana_fault *fault = &run->ctx->fault;
	if (item->result != NULL) /* its file is bad */
		return;
	if (outcome->stopped != 0) {
		apply_failed(item, outcome->stopped, "not tried, because an item before it failed");
		return;
	}
	if (apply_item(run, item))
		return;
	apply_failed(item, fault->code, "%s", fault->detail);
	if (fault->code == 503 || fault->code == 504 || fault->key_refused)
		outcome->stopped = fault->code;
	if (outcome->first == NULL) {
		outcome->fault = *fault;
		fault->members = NULL;
	}
	outcome->fault.key_refused |= fault->key_refused;
	if (fault->retry_after[0] != '\0')
		snprintf(outcome->fault.retry_after, sizeof(outcome->fault.retry_after), "%.15s",
			 fault->retry_after);
}

static void try_all(struct apply_run *run, struct apply_list *list, struct outcome *outcome)
{
	for (size_t i = 0; i < list->count; i++) {
		struct apply_item *item = &list->items[i];
		try_item(run, item, outcome);
		if (outcome->first == NULL && item->code != 0)
			outcome->first = item;
		grafana_forget(&run->ctx->fault);
	}
}

/* ---- The answer ---- */

static size_t count_results(const struct apply_list *list, const char *result)
{
	size_t found = 0;
	for (size_t i = 0; i < list->count; i++)
		found += strcmp(list->items[i].result, result) == 0;
	return found;
}

static json_t *items_of(const struct apply_list *list, bool with_differences)
{
	json_t *items = json_array();
	for (size_t i = 0; i < list->count; i++) {
		const struct apply_item *item = &list->items[i];
		json_t *line =
			json_pack("{s:s, s:s, s:s, s:s, s:s}", "kind", kinds[item->kind], "uid", item->uid,
				  "title", item->title, "result", item->result, "message", item->message);
		if (with_differences && item->differences != NULL)
			json_object_set(line, "differences", item->differences);
		else if (with_differences)
			json_object_set_new(line, "differences", json_array());
		json_array_append_new(items, line);
	}
	return items;
}

/* Replies with a problem, with the code that the first failure would have by itself, and with the results of
 * all items. */
static void reply_failure(struct grafana_ctx *ctx, const struct apply_list *list, size_t changed,
			  json_t *items, struct outcome *outcome)
{
	const struct apply_item *first = outcome->first;
	size_t failed = count_results(list, "failed");
	ctx->fault = outcome->fault;
	outcome->fault = (struct grafana_fault){0};
	ctx->fault.code = first->code;
	char text[1200];
	snprintf(text, sizeof(text), "%zu of %zu items failed; the first is the %s %s: %s", failed,
		 list->count, kinds[first->kind], first->title, first->message);
	grafana_clean(text, ctx->fault.detail, sizeof(ctx->fault.detail));
	grafana_member(&ctx->fault, "changed", json_integer((json_int_t)changed));
	grafana_member(&ctx->fault, "failed", json_integer((json_int_t)failed));
	grafana_member(&ctx->fault, "items", items);
	grafana_reply_fault(ctx);
}

static void reply_outcome(struct grafana_ctx *ctx, const struct apply_list *list, bool writes,
			  struct outcome *outcome)
{
	size_t changed = writes ? count_results(list, "created") + count_results(list, "updated")
				: count_results(list, "missing") + count_results(list, "different");
	json_t *items = items_of(list, !writes);
	if (writes) {
		char counts[120];
		snprintf(counts, sizeof(counts), "%zu created, %zu updated, %zu unchanged, %zu failed",
			 count_results(list, "created"), count_results(list, "updated"),
			 count_results(list, "unchanged"), count_results(list, "failed"));
		grafana_audit(ctx, "content", NULL, ctx->grafana->content, counts);
	}
	if (outcome->first != NULL) {
		reply_failure(ctx, list, changed, items, outcome);
		return;
	}
	json_t *body = json_pack("{s:I, s:o}", "changed", (json_int_t)changed, "items", items);
	grafana_reply(ctx, 200, body);
	json_decref(body);
}

static void run_apply(struct grafana_ctx *ctx, bool writes, bool force)
{
	struct apply_run run = {.ctx = ctx, .writes = writes, .force = force};
	struct outcome outcome = {0};
	snprintf(run.folder, sizeof(run.folder), "%s", GRAFANA_FOLDER);
	struct apply_list list;
	char why[600];
	if (apply_read(ctx->grafana->content, ctx->grafana->prometheus_url, &list, why, sizeof(why))) {
		try_all(&run, &list, &outcome);
		reply_outcome(ctx, &list, writes, &outcome);
	} else {
		grafana_fail(ctx, 500, "%s", why);
		grafana_reply_fault(ctx);
	}
	json_decref(run.sources);
	grafana_text_free(&run.rules);
	grafana_forget(&outcome.fault);
	apply_list_free(&list);
}

/* ---- Routes ---- */

/* Accepts the parameter `force` only: a misspelt one must not pass as if it were honoured. */
static bool read_force(struct grafana_ctx *ctx, bool *force)
{
	static const char *const words[] = {"", "force", "force=true", "force=1", "force=false", "force=0"};
	const char *query = skymon_query(ctx->sm, ctx->rq, NULL);
	size_t i = 0;
	while (query != NULL && i < sizeof(words) / sizeof(words[0]) && strcmp(words[i], query) != 0)
		i++;
	*force = query != NULL && i >= 1 && i <= 3;
	return i < sizeof(words) / sizeof(words[0]) ||
	       grafana_fail(ctx, 400,
			    "unknown parameter: this route takes only force, which is true or false");
}

/* One at a time: two concurrent runs would find the same items missing. */
void grafana_post_apply(struct skymon *sm, void *state, struct skymon_request *rq)
{
	struct grafana_ctx ctx = {.sm = sm, .grafana = state, .rq = rq};
	if (!grafana_authorize(&ctx, true))
		return;
	bool force;
	if (!read_force(&ctx, &force) || !grafana_take_lock(&ctx, "apply", "", "")) {
		grafana_reply_fault(&ctx);
		return;
	}
	run_apply(&ctx, true, force);
	grafana_release_lock(&ctx);
}

void grafana_get_diff(struct skymon *sm, void *state, struct skymon_request *rq)
{
	struct grafana_ctx ctx = {.sm = sm, .grafana = state, .rq = rq};
	if (!grafana_authorize(&ctx, false))
		return;
	bool force;
	if (read_force(&ctx, &force))
		run_apply(&ctx, false, force);
	else
		grafana_reply_fault(&ctx);
}
