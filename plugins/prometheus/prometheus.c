/* SPDX-License-Identifier: Apache-2.0 */
/* prometheus: serves all metrics of the daemon in Prometheus' text format 0.0.4 or OpenMetrics 1.0, from
 * memory. Runs in the daemon; the HTTP thread calls the route. Owns the plan in force and its texts. */
#include "prometheus.h"

#include <stdlib.h>
#include <time.h>

struct state {
	struct records records;
	struct plan *plan; /* of the newest generation that was scraped */
	uint64_t dropped_total;
	double scrape_seconds;
	size_t live_room; /* size of the last live text */
};

/* Memory that a reply in flight refers to. */
struct reply {
	struct plan *plan;
	struct text live;
};

static void finish(void *argument)
{
	struct reply *reply = argument;
	plan_unref(reply->plan);
	free(reply->live.data);
	free(reply);
}

/* Prints the families that change with each scrape; ends[i] is the end of family i. A family without samples
 * has no head. */
static void print_live(struct text *out, size_t *ends, enum format format, const struct live *live)
{
	for (size_t i = 0; i < own_count; i++) {
		const struct own *own = &own_families[i];
		size_t before = out->size;
		if (own->print != NULL) {
			text_head(out, format, own->name, own->type, own->help);
			size_t head = out->size;
			own->print(out, own->name, live);
			if (out->size == head)
				out->size = before;
		}
		ends[i] = out->size;
	}
}

static void make_plan(struct skymon *sm, struct state *state)
{
	const struct skymon_snapshot *snapshot = skymon_snapshot(sm);
	if (state->plan == NULL || state->plan->generation != snapshot->generation) {
		plan_unref(state->plan); /* first, so that old texts are freed before new ones are made */
		state->plan = NULL;
		state->plan = plan_new(sm, &state->records, snapshot, &state->dropped_total);
	}
	skymon_release(sm, snapshot);
}

static double seconds_between(const struct timespec *from, const struct timespec *to)
{
	return (double)(to->tv_sec - from->tv_sec) + (double)(to->tv_nsec - from->tv_nsec) / 1e9;
}

static void handle(struct skymon *sm, void *argument, struct skymon_request *rq)
{
	struct state *state = argument;
	struct timespec began;
	clock_gettime(CLOCK_MONOTONIC, &began);
	enum format format = accept_format(skymon_header(sm, rq, "Accept"));
	make_plan(sm, state);
	struct layout *layout = plan_layout(state->plan, format);
	struct reply *reply = make(sizeof(*reply));
	reply->plan = state->plan;
	reply->plan->references++;
	reply->live.data = grow(NULL, &reply->live.room, state->live_room + 1024, 1);
	struct live live = {.sm = sm,
			    .self = skymon_self(sm),
			    .status = state->plan->status,
			    .dropped_total = state->dropped_total,
			    .scrape_seconds = state->scrape_seconds};
	size_t *ends = make(own_count * sizeof(*ends));
	print_live(&reply->live, ends, format, &live);
	state->live_room = reply->live.size;
	size_t count = layout_parts(layout, reply->live.data, ends);
	free(ends);
	struct timespec ended;
	clock_gettime(CLOCK_MONOTONIC, &ended);
	state->scrape_seconds = seconds_between(&began, &ended);
	/* Concurrent scrapes may share the compressed body: only the daemon's own numbers are older by that
	 * time. */
	uint64_t generation = state->plan->generation * FORMAT_COUNT + format;
	skymon_reply_parts(sm, rq, 200, format_content_type(format), layout->parts, count, generation, finish,
			   reply);
}

static bool start(struct skymon *sm, void *argument)
{
	(void)sm;
	struct state *state = argument;
	state->scrape_seconds = -1;
	return true;
}

static void stop(struct skymon *sm, void *argument)
{
	(void)sm;
	struct state *state = argument;
	plan_unref(state->plan);
	state->plan = NULL;
	records_free(&state->records);
}

static const struct skymon_route prometheus = {
	.size = sizeof(struct skymon_route),
	.method = "GET",
	.path = "/api/v1/metrics/prometheus",
	.name = "prometheus",
	.summary = "all metrics, for Prometheus (text 0.0.4 or OpenMetrics 1.0)",
	.handle = handle,
};
static const struct skymon_route metrics = {
	.size = sizeof(struct skymon_route),
	.method = "GET",
	.path = "/metrics",
	.name = "metrics",
	.summary = "the same, where Prometheus looks by itself",
	.handle = handle,
};
static const struct skymon_route *const routes[] = {&prometheus, &metrics, NULL};

SKYMON_PLUGIN(prometheus, "1.0", "Metrics for Prometheus", .flags = SKYMON_IN_DAEMON,
	      .state_size = sizeof(struct state), .start = start, .stop = stop, .routes = routes);
