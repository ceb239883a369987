/* SPDX-License-Identifier: Apache-2.0 */
/* grafana_budget: reserves memory for large texts and JSON trees, so that 64 requests at once stay below the
 * limit of the worker. Called by all files of the plugin, on the threads of the requests. Owns the
 * thread-local count of each thread's reservations; the budget itself is the plugin's shared memory. */
#include <stdio.h>
#include <sys/resource.h>
#include <time.h>

#include "grafana.h"

#define BUDGET_DEFAULT (256u << 20) /* for a worker without a limit: as for one with the default limit */
#define SPARE_MS 500                /* before the deadline, so that the reply is still skymon's */
#define SLICE_MS 250                /* interval of looking whether the client has disconnected */

static _Thread_local struct {
	struct grafana_budget *budget;
	size_t reserved,
		waited_for; /* bytes: all; those that were reserved by waiting, without grafana_count */
} usage;

/* Three fifths of the worker's limit. The rest is for the uncounted memory of 64 requests (threads,
 * connections, small trees), for libraries, and for fragmentation. */
bool grafana_budget_init(struct grafana_budget *budget)
{
	struct rlimit limit;
	bool limited = getrlimit(RLIMIT_DATA, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY;
	/* the data limit is twice limits.worker_memory */
	budget->all = (limited ? (size_t)limit.rlim_cur / 2 : BUDGET_DEFAULT) / 5 * 3;
	budget->answer_max = budget->all / 4 < GRAFANA_REPLY_MAX ? budget->all / 4 : GRAFANA_REPLY_MAX;
	pthread_condattr_t monotonic;
	return pthread_condattr_init(&monotonic) == 0 &&
	       pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC) == 0 &&
	       pthread_cond_init(&budget->released, &monotonic) == 0 &&
	       pthread_mutex_init(&budget->lock, NULL) == 0;
}

void grafana_budget_end(struct grafana_budget *budget)
{
	pthread_mutex_destroy(&budget->lock);
	pthread_cond_destroy(&budget->released);
}

static struct grafana_budget *budget_of(struct grafana_ctx *ctx)
{
	return usage.budget = skymon_shared(ctx->sm);
}

/* The last sixth is for threads that hold a reservation already, and not for new ones: so some request can
 * always finish and release its memory. */
static bool fits(const struct grafana_budget *budget, size_t bytes)
{
	size_t all = usage.waited_for > 0 ? budget->all : budget->all / 6 * 5;
	return budget->used == usage.reserved || (bytes <= all && budget->used <= all - bytes);
}

static void wait_for_release(struct grafana_budget *budget, int64_t left_ms)
{
	int64_t ms = left_ms < SLICE_MS ? left_ms : SLICE_MS;
	struct timespec until;
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += ms * 1000000;
	until.tv_sec += until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	pthread_cond_timedwait(&budget->released, &budget->lock, &until);
}

static void add_reserved(struct grafana_budget *budget, size_t bytes)
{
	budget->used += bytes;
	usage.reserved += bytes;
}

bool grafana_reserve(struct grafana_ctx *ctx, size_t bytes, int never, size_t *taken)
{
	*taken = 0;
	if (bytes <= GRAFANA_SMALL)
		return true;
	struct grafana_budget *budget = budget_of(ctx);
	if (bytes > budget->all - (usage.reserved < budget->all ? usage.reserved : budget->all))
		return grafana_fail(
			ctx, never,
			"this needs about %zu MiB of memory, more than the budget: send fewer or smaller "
			"values, or set a larger limits.worker_memory",
			(bytes >> 20) + 1);
	pthread_mutex_lock(&budget->lock);
	int64_t left_ms;
	bool good;
	while (!(good = fits(budget, bytes)) && (left_ms = skymon_ms_left(ctx->sm) - SPARE_MS) > 0)
		wait_for_release(budget, left_ms);
	if (good)
		add_reserved(budget, bytes);
	pthread_mutex_unlock(&budget->lock);
	if (!good) {
		grafana_fail(ctx, 503, "too many large requests to Grafana at the moment: try again");
		ctx->fault.reason = SKYMON_RESOURCE;
		snprintf(ctx->fault.retry_after, sizeof(ctx->fault.retry_after), "2");
		return false;
	}
	usage.waited_for += bytes;
	*taken = bytes;
	return true;
}

void grafana_count(struct grafana_ctx *ctx, size_t bytes)
{
	struct grafana_budget *budget = bytes > GRAFANA_SMALL ? budget_of(ctx) : NULL;
	if (budget == NULL)
		return;
	pthread_mutex_lock(&budget->lock);
	add_reserved(budget, bytes);
	pthread_mutex_unlock(&budget->lock);
}

bool grafana_reserve_large(struct grafana_ctx *ctx)
{
	size_t taken;
	ctx->large = ctx->large || grafana_reserve(ctx, 3 * budget_of(ctx)->answer_max, 502, &taken);
	return ctx->large;
}

static void release(size_t bytes)
{
	if (bytes == 0)
		return;
	pthread_mutex_lock(&usage.budget->lock);
	usage.budget->used -= bytes;
	usage.reserved -= bytes;
	pthread_cond_broadcast(&usage.budget->released);
	pthread_mutex_unlock(&usage.budget->lock);
}

void grafana_release(size_t *taken)
{
	release(*taken);
	usage.waited_for -= *taken;
	*taken = 0;
}

void grafana_release_all(void)
{
	release(usage.reserved);
	usage.waited_for = 0;
}
