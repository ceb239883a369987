/* SPDX-License-Identifier: Apache-2.0 */
/* encoder: what the Prometheus plugin itself costs, in process, with a host that only takes the parts.
 *	encoder SERIES ROUNDS -> one line of JSON
 * steady: nothing changed since the last scrape. fresh: every value is a new result's. Allocations are
 *counted by wrapping malloc and its family. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <skymon/routes.h>

extern const struct skymon_plugin skymon_plugin;

static size_t allocations;
void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);
void *__wrap_malloc(size_t size)
{
	allocations++;
	return __real_malloc(size);
}
void *__wrap_calloc(size_t count, size_t size)
{
	allocations++;
	return __real_calloc(count, size);
}
void *__wrap_realloc(void *old, size_t size)
{
	allocations++;
	return __real_realloc(old, size);
}

struct skymon_request {
	size_t bytes, parts;
	void (*done)(void *);
	void *argument;
};

static struct skymon_snapshot snapshot = {.size = sizeof(snapshot), .status = SKYMON_HEALTHY};
static struct skymon_self self;

static const char *no_header(struct skymon_request *rq, const char *name)
{
	(void)rq, (void)name;
	return NULL;
}

static void take_parts(struct skymon_request *rq, int code, const char *type, const struct skymon_part *parts,
		       size_t count, uint64_t generation, void (*done)(void *), void *argument)
{
	(void)code, (void)type, (void)generation;
	*rq = (struct skymon_request){.parts = count, .done = done, .argument = argument};
	for (size_t i = 0; i < count; i++)
		rq->bytes += parts[i].size;
}

static const struct skymon_snapshot *get_snapshot(struct skymon *sm)
{
	(void)sm;
	return &snapshot;
}

static void release(struct skymon *sm, const struct skymon_snapshot *taken)
{
	(void)sm, (void)taken;
}

static const struct skymon_self *get_self(struct skymon *sm)
{
	(void)sm;
	return &self;
}

static size_t print(double value, char *text, size_t size)
{
	return (size_t)snprintf(text, size, "%.15g", value);
}

static const struct skymon_host host = {.size = sizeof(host),
					.print = print,
					.request_header = no_header,
					.reply_parts = take_parts,
					.snapshot = get_snapshot,
					.release = release,
					.self = get_self};

/* The series that peers.md measures: three labels (one is ours) and a value of 17 digits. */
static size_t fill(unsigned char *out, size_t count)
{
	unsigned char *at = out;
	for (size_t i = 0; i < count; i++) {
		char text[128];
		int labels = snprintf(text, sizeof(text), "kind=\"tcp\",target=\"c%06zu\"", i);
		int value = snprintf(text + labels, sizeof(text) - (size_t)labels, "%.17g",
				     sqrt((double)i + 0.5) / 1000);
		*at++ = (unsigned char)labels;
		*at++ = 0;
		*at++ = (unsigned char)value;
		memcpy(at, text, (size_t)(labels + value));
		at += labels + value;
	}
	return (size_t)(at - out);
}

static double now_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static double scrape(struct skymon *sm, void *state, struct skymon_request *rq)
{
	double began = now_ns();
	skymon_plugin.routes[0]->handle(sm, state, rq);
	rq->done(rq->argument);
	return now_ns() - began;
}

static int compare(const void *a, const void *b)
{
	double one = *(const double *)a, other = *(const double *)b;
	return one < other ? -1 : one > other;
}

static double median(double *values, size_t count)
{
	qsort(values, count, sizeof(*values), compare);
	return values[count / 2];
}

int main(int argc, char **argv)
{
	size_t series = argc > 1 ? strtoul(argv[1], NULL, 10) : 10000,
	       rounds = argc > 2 ? strtoul(argv[2], NULL, 10) : 21;
	unsigned char *records = malloc(series * 80 + 1);
	struct skymon_family family = {.size = sizeof(family),
				       .type = SKYMON_GAUGE,
				       .name = "skymon_check_seconds",
				       .help = "h",
				       .series = records,
				       .series_size = fill(records, series),
				       .series_count = (uint32_t)series};
	const struct skymon_family *const families[] = {&family};
	struct skymon_result result = {.size = sizeof(result),
				       .status = SKYMON_HEALTHY,
				       .id = 1,
				       .time_ms = 1,
				       .families = families,
				       .family_count = 1};
	struct skymon_component component = {.size = sizeof(component),
					     .status = SKYMON_HEALTHY,
					     .configured = true,
					     .reason_word = "ok",
					     .name = "series",
					     .plugin = "t_series",
					     .labels = "",
					     .group = "",
					     .because_of = "",
					     .shown = &result,
					     .latest = &result};
	const struct skymon_component *const components[] = {&component};
	struct skymon sm = {&host};
	double *steady = malloc(rounds * sizeof(*steady)), *fresh = malloc(rounds * sizeof(*fresh));
	void *state = calloc(1, skymon_plugin.state_size);
	snapshot.components = components;
	snapshot.count = 1;
	self = (struct skymon_self){.size = sizeof(self),
				    .version = "",
				    .compiler = "",
				    .service = "api",
				    .service_version = "",
				    .title = ""};
	if (!skymon_plugin.start(&sm, state))
		return 1;
	struct skymon_request rq;
	for (size_t i = 0; i < rounds; i++) {
		snapshot.generation++;
		result.id++;
		fresh[i] = scrape(&sm, state, &rq);
	}
	scrape(&sm, state, &rq);
	size_t before = allocations;
	for (size_t i = 0; i < rounds; i++)
		steady[i] = scrape(&sm, state, &rq);
	size_t made = (allocations - before) / rounds;
	printf("{\"series\":%zu,\"bytes\":%zu,\"parts\":%zu,\"allocations\":%zu,\"steady_ns_per_series\":%."
	       "3f,"
	       "\"fresh_ns_per_series\":%.1f}\n",
	       series, rq.bytes, rq.parts, made, median(steady, rounds) / (double)series,
	       median(fresh, rounds) / (double)series);
	skymon_plugin.stop(&sm, state);
	free(state);
	free(steady);
	free(fresh);
	free(records);
	return 0;
}
