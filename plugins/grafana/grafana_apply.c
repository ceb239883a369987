/* SPDX-License-Identifier: Apache-2.0 */
/* grafana_apply: POST /api/v1/grafana/apply brings the shipped content to Grafana, GET /api/v1/grafana/diff
 * shows what that would do. Both handlers run on the thread of their request. An item that fails keeps none
 * of the others from being tried, but for a Grafana that does not answer, takes no more requests or refuses
 * the key: then the rest would only meet the same. */
#include "grafana_apply.h"

#include <stdio.h>
#include <string.h>

static const char *const kinds[] = {"folder", "datasource", "dashboard", "rule"};

/* Grafana's fault of the first item that failed, for the answer. */
struct outcome {
	const struct apply_item *first;
	struct grafana_fault fault;
	int stopped; /* the code with which the rest was given up; 0: it was not */
};

/* ---- All items, one after the other ---- */

static void try_item(struct apply_run *run, struct apply_item *item, struct outcome *outcome)
{
	struct grafana_fault *fault = &run->ctx->fault;
	if (item->result != NULL) /* its file is bad */
		return;
	if (outcome->stopped != 0) {
		apply_failed(item, outcome->stopped, "not tried, because of what failed before");
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

static size_t count(const struct apply_list *list, const char *result)
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

/* A problem, with the code that the first failure would have had by itself, and what came of everything. */
static void tell_failure(struct grafana_ctx *ctx, const struct apply_list *list, size_t changed,
			 json_t *items, struct outcome *outcome)
{
	const struct apply_item *first = outcome->first;
	size_t failed = count(list, "failed");
	char text[1200];
	ctx->fault = outcome->fault;
	outcome->fault = (struct grafana_fault){0};
	ctx->fault.code = first->code;
	snprintf(text, sizeof(text), "%zu of %zu items failed; the first is the %s %s: %s", failed,
		 list->count, kinds[first->kind], first->title, first->message);
	grafana_clean(text, ctx->fault.detail, sizeof(ctx->fault.detail));
	grafana_member(&ctx->fault, "changed", json_integer((json_int_t)changed));
	grafana_member(&ctx->fault, "failed", json_integer((json_int_t)failed));
	grafana_member(&ctx->fault, "items", items);
	grafana_tell(ctx);
}

static void answer(struct grafana_ctx *ctx, const struct apply_list *list, bool writes,
		   struct outcome *outcome)
{
	size_t changed = writes ? count(list, "created") + count(list, "updated")
				: count(list, "missing") + count(list, "different");
	json_t *items = items_of(list, !writes);
	if (writes) {
		char counts[120];
		snprintf(counts, sizeof(counts), "%zu created, %zu updated, %zu unchanged, %zu failed",
			 count(list, "created"), count(list, "updated"), count(list, "unchanged"),
			 count(list, "failed"));
		grafana_audit(ctx, "content", NULL, ctx->grafana->content, counts);
	}
	if (outcome->first != NULL) {
		tell_failure(ctx, list, changed, items, outcome);
		return;
	}
	json_t *body = json_pack("{s:I, s:o}", "changed", (json_int_t)changed, "items", items);
	grafana_reply(ctx, 200, body);
	json_decref(body);
}

static void run(struct grafana_ctx *ctx, bool writes, bool force)
{
	struct apply_run run = {.ctx = ctx, .writes = writes, .force = force};
	struct apply_list list;
	struct outcome outcome = {0};
	char why[600];
	snprintf(run.folder, sizeof(run.folder), "%s", GRAFANA_FOLDER);
	if (apply_read(ctx->grafana->content, ctx->grafana->prometheus_url, &list, why, sizeof(why))) {
		try_all(&run, &list, &outcome);
		answer(ctx, &list, writes, &outcome);
	} else {
		grafana_fail(ctx, 500, "%s", why);
		grafana_tell(ctx);
	}
	json_decref(run.sources);
	grafana_text_free(&run.rules);
	grafana_forget(&outcome.fault);
	apply_list_free(&list);
}

/* ---- Routes ---- */

/* The parameter `force`, and nothing else: a misspelt one would be taken for a wish that was heard. */
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
			    "the only parameter that is known here is force, which is true or false");
}

/* One at a time: two at once would find the same things missing. */
void grafana_post_apply(struct skymon *sm, void *state, struct skymon_request *rq)
{
	struct grafana_ctx ctx = {.sm = sm, .grafana = state, .rq = rq};
	bool force;

	if (!grafana_enter(&ctx, true))
		return;
	if (!read_force(&ctx, &force) || !grafana_take_turn(&ctx, "apply", "", "")) {
		grafana_tell(&ctx);
		return;
	}
	run(&ctx, true, force);
	grafana_give_turn(&ctx);
}

void grafana_get_diff(struct skymon *sm, void *state, struct skymon_request *rq)
{
	struct grafana_ctx ctx = {.sm = sm, .grafana = state, .rq = rq};
	bool force;

	if (!grafana_enter(&ctx, false))
		return;
	if (read_force(&ctx, &force))
		run(&ctx, false, force);
	else
		grafana_tell(&ctx);
}
