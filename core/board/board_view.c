/* SPDX-License-Identifier: Apache-2.0 */
/* board_view: what readers see of one component: a copy that never changes, made when it is first read after
 * a change. Called by board.c and board_related.c, on the loop's thread; owns the views. */
#include <stdint.h>
#include <stdlib.h>

#include "board_private.h"

void board_view_unref(struct view *view)
{
	if (view == NULL || --view->references > 0)
		return;
	result_unref(view->shown);
	result_unref(view->latest);
	for (size_t i = 0; i < sizeof(view->texts) / sizeof(*view->texts); i++)
		free(view->texts[i]);
	for (size_t i = 0; i < view->limit_count; i++) {
		free((char *)(uintptr_t)view->limits[i].number);
		free((char *)(uintptr_t)view->limits[i].text);
	}
	free(view->limits);
	free(view->limit_list);
	free(view);
}

static struct result *ref_or_null(struct result *result)
{
	return result != NULL ? result_ref(result) : NULL;
}

static const char *why_unmeasured(const struct board_item *item, const struct verdict_limit *limit)
{
	if (item->traits.not_configured != NULL)
		return "the component is not configured";
	if (item->latest == NULL || item->restored)
		return "not checked yet";
	if (item->stale)
		return "the newest result is too old";
	if (verdict_limit_unmeasured(limit, &item->latest->view))
		return "the check does not report this number";
	return "the check could not measure it";
}

static void view_limits(struct view *view, const struct board_item *item)
{
	view->limits = x_alloc((item->limit_count + 1) * sizeof(*view->limits));
	view->limit_list = x_alloc((item->limit_count + 1) * sizeof(*view->limit_list));
	for (; view->limit_count < item->limit_count; view->limit_count++) {
		const struct verdict_limit *limit = &item->limits[view->limit_count];
		struct skymon_limit *out = &view->limits[view->limit_count];
		bool looked = item->latest != NULL && !item->restored;
		const struct skymon_result *latest = looked ? &item->latest->view : NULL;
		view->limit_list[view->limit_count] = out;
		out->size = sizeof(*out);
		out->number = x_strdup(limit->name);
		out->text = x_strdup(limit->text);
		out->critical = limit->critical;
		if (latest == NULL || !verdict_limit_value(limit, latest, &out->value))
			out->why = why_unmeasured(item, limit);
		out->unmeasured = latest != NULL && verdict_limit_unmeasured(limit, latest);
	}
	view->component.limits = view->limit_list;
	view->component.limit_count = view->limit_count;
}

static struct view *view_new(const struct board_item *item)
{
	struct view *view = x_alloc(sizeof(*view));
	view->references = 1;
	view->shown = ref_or_null(item->shown);
	view->latest = ref_or_null(item->latest);
	view->texts[0] = x_strdup(item->traits.name);
	view->texts[1] = x_strdup(item->traits.plugin);
	view->texts[2] = x_strdup(item->traits.labels);
	view->texts[3] = x_strdup(item->message);
	view->texts[4] = x_strdup(item->traits.group != NULL ? item->traits.group : "");
	view->texts[5] = x_strdup(item->cause != NULL ? item->cause->traits.name : "");
	view->component = (struct skymon_component){
		.size = sizeof(view->component),
		.status = item->status,
		.reason = item->reason,
		.reason_word = skymon_reason_word(item->reason),
		.impact = (int32_t)item->traits.impact,
		.configured = item->traits.not_configured == NULL,
		.stale = item->stale,
		.starting = item->starting,
		.consecutive_failures = item->consecutive_failures,
		.name = view->texts[0],
		.plugin = view->texts[1],
		.labels = view->texts[2],
		.message = view->texts[3],
		.since_ms = item->since_ms,
		.last_success_ms = item->last_success_ms,
		.next_check_ms = item->next_check_ms,
		.interval_ms = item->traits.interval_ms,
		.checks_total = item->checks_total,
		.failures_total = item->failures_total,
		.series_dropped_total = item->series_dropped_total,
		.shown = view->shown != NULL ? &view->shown->view : NULL,
		.latest = view->latest != NULL ? &view->latest->view : NULL,
		.group = view->texts[4],
		.because_of = view->texts[5],
	};
	if (item->maintenance.size > 0) {
		view->texts[6] = x_strdup(item->maintenance.why);
		view->texts[7] = x_strdup(item->maintenance.by);
		view->maintenance = item->maintenance;
		view->maintenance.why = view->texts[6];
		view->maintenance.by = view->texts[7];
		view->component.maintenance = &view->maintenance;
	}
	view_limits(view, item);
	return view;
}

const struct skymon_component *board_item_view(struct board_item *item)
{
	if (item->view == NULL)
		item->view = view_new(item);
	return &item->view->component;
}

void board_drop_view(struct board_item *item)
{
	board_view_unref(item->view);
	item->view = NULL;
}
