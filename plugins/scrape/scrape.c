/* SPDX-License-Identifier: Apache-2.0 */
/* scrape: reads another program's metrics endpoint and makes numbers of some of its series, for warn, crit
 * and the seed's metrics. Called by the worker: start and stop on its main thread, check on a thread per
 * component. Owns the kept connection through struct skymon_http, and the values of the last check, from which a
 * counter's increase is computed. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <skymon/http.h>

#include "scrape_text.h"

#define NUMBERS_MAX 100
#define NAME_MAX_SIZE 48
#define BODY_MAX (16 << 20)

enum fold { FOLD_SUM, FOLD_MIN, FOLD_MAX, FOLD_MEAN, FOLD_COUNT };
static const char *const fold_words[] = {"sum", "min", "max", "mean", "count", NULL};

struct item { /* one of the option `numbers` */
	const char *name, *metric, *over;
	struct skymon_map labels, over_labels;
	struct skymon_choice fold;
	bool change;
	double scale;
};

/* The values of a counter at the last check that had them. */
struct before {
	bool known, over_known;
	double value, over;
};

struct scrape {
	const char *url, *proxy;
	struct skymon_secret token;
	struct skymon_list numbers; /* of struct item */
	struct skymon_duration reconnect;
	struct skymon_tls tls;
	struct skymon_http *http;
	char place[300];
	struct before *before;             /* one for each item, with the next two */
	struct scrape_selector *selectors; /* of each item its metric and its `over` */
	struct scrape_tally *tallies;
};

static const struct skymon_option item_options[] = {
	SKYMON_OPT(struct item, name, NULL,
		   "one of the eight of service.metrics (total_requests, memory_usage_mb, ...), which is the "
		   "number's name then; or another word, and the number is value_NAME",
		   .flags = SKYMON_REQUIRED),
	SKYMON_OPT(struct item, metric, NULL, "name of the series to read", .flags = SKYMON_REQUIRED),
	SKYMON_OPT(struct item, over, NULL, "name of the series that the value is divided by"),
	SKYMON_OPT(struct item, labels, NULL,
		   "labels that the series of `metric` must have; \"5*\" stands for all that begin with 5"),
	SKYMON_OPT(struct item, over_labels, NULL, "the same for the series of `over`"),
	SKYMON_OPT(struct item, fold, "sum", "what several series become", .words = fold_words),
	SKYMON_OPT(struct item, change, "false",
		   "of counters: what was added since the last check, for `metric` and `over`"),
	SKYMON_OPT(struct item, scale, "1", "factor, as in 1000 to make milliseconds of seconds"),
	{0}};

static const struct skymon_option options[] = {
	SKYMON_OPT(struct scrape, url, NULL, "the endpoint: http://host:port/metrics",
		   .flags = SKYMON_TARGET),
	SKYMON_OPT(struct scrape, token, NULL, "sent as Authorization: Bearer"),
	SKYMON_OPT(struct scrape, numbers, NULL, "what to make of which series", .item = item_options,
		   .item_size = sizeof(struct item)),
	SKYMON_OPT(struct scrape, reconnect, "1m",
		   "age from which the kept connection is replaced by a new one; 0: a new one in each check",
		   .min = 0, .max = 366.0 * 24 * 3600 * 1000),
	SKYMON_OPT(struct scrape, tls, NULL,
		   "verification of the server, and a client certificate; insecure: any certificate, or with "
		   "http:// the token without TLS to another machine"),
	SKYMON_OPT(struct scrape, proxy, "none", "URL of a proxy, or none"),
	{0}};

static const struct skymon_number numbers[] = {
	{"active_connections", "", "as `numbers` maps it, for service.metrics"},
	{"total_requests", "", "as `numbers` maps it, for service.metrics; a counter's value"},
	{"error_rate_percent", "", "as `numbers` maps it, for service.metrics"},
	{"average_response_time_ms", "ms", "as `numbers` maps it, for service.metrics"},
	{"memory_usage_mb", "MB", "as `numbers` maps it, for service.metrics"},
	{"cpu_usage_percent", "", "as `numbers` maps it, for service.metrics"},
	{"database_connections", "", "as `numbers` maps it, for service.metrics"},
	{"cache_hit_rate_percent", "", "as `numbers` maps it, for service.metrics"},
	{"value_", "", "value_NAME: the number NAME of `numbers`"},
	{"samples", "", "samples in the answer"},
	{"malformed_lines", "", "lines of the answer that cannot be read as a sample; they are skipped"},
	{"request_time", "s", "duration of the request"},
	SKYMON_TLS_NUMBERS,
	{0}};
#define SEED_NUMBERS 8 /* the first of them */

/* ---- Validation ---- */

static bool is_seed_number(const char *name)
{
	for (size_t i = 0; i < SEED_NUMBERS; i++)
		if (strcmp(name, numbers[i].name) == 0)
			return true;
	return false;
}

static bool is_word(const char *name)
{
	size_t size = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_");
	return size > 0 && size <= NAME_MAX_SIZE && name[size] == '\0';
}

static bool has_text(const char *text)
{
	return text != NULL && text[0] != '\0';
}

static void validate_labels(struct skymon *sm, size_t nth, const char *option,
			    const struct skymon_map *labels)
{
	char place[60];
	snprintf(place, sizeof(place), "numbers[%zu].%s", nth, option);
	for (size_t i = 0; i < labels->count; i++)
		if (!scrape_text_is_label(labels->items[i].name))
			skymon_invalid(sm, place, "has `%s`, which is not the name of a label",
				       labels->items[i].name);
}

static void validate_item(struct skymon *sm, const struct item *items, size_t nth)
{
	const struct item *item = &items[nth];
	char place[60];
	snprintf(place, sizeof(place), "numbers[%zu].name", nth);
	if (!is_word(item->name))
		skymon_invalid(sm, place, "must consist of at most %d of a-z, 0-9 and _", NAME_MAX_SIZE);
	for (size_t i = 0; i < nth; i++)
		if (strcmp(items[i].name, item->name) == 0)
			skymon_invalid(sm, place, "is `%s`, which is used twice", item->name);
	snprintf(place, sizeof(place), "numbers[%zu].metric", nth);
	if (!scrape_text_is_metric(item->metric))
		skymon_invalid(sm, place, "must be the name of a metric, and its labels go into `labels`");
	snprintf(place, sizeof(place), "numbers[%zu].over", nth);
	if (has_text(item->over) && !scrape_text_is_metric(item->over))
		skymon_invalid(sm, place,
			       "must be the name of a metric, and its labels go into `over_labels`");
	if (!has_text(item->over) && item->over_labels.count > 0)
		skymon_invalid(sm, place, "is missing, and `over_labels` has labels for it");
	validate_labels(sm, nth, "labels", &item->labels);
	validate_labels(sm, nth, "over_labels", &item->over_labels);
}

static void validate(struct skymon *sm, const void *state)
{
	const struct scrape *scrape = state;
	const char *proxy = skymon_http_proxy_fault(scrape->proxy), *url = skymon_http_url_fault(scrape->url);
	if (url == NULL)
		url = skymon_http_secret_fault(scrape->url, &scrape->tls, scrape->token.bytes != NULL);
	if (url != NULL)
		skymon_invalid(sm, "url", "%s", url);
	if (proxy != NULL)
		skymon_invalid(sm, "proxy", "%s", proxy);
	if (scrape->numbers.count > NUMBERS_MAX)
		skymon_invalid(sm, "numbers", "has %zu items; at most %d are allowed", scrape->numbers.count,
			       NUMBERS_MAX);
	for (size_t i = 0; i < scrape->numbers.count; i++)
		validate_item(sm, scrape->numbers.items, i);
}

/* ---- Start ---- */

static bool start(struct skymon *sm, void *state)
{
	struct scrape *scrape = state;
	const struct item *items = scrape->numbers.items;
	size_t count = scrape->numbers.count;
	skymon_http_place(scrape->url, scrape->place, sizeof(scrape->place));
	scrape->http = skymon_http_new();
	scrape->before = calloc(count + 1, sizeof(*scrape->before));
	scrape->selectors = calloc(2 * count + 1, sizeof(*scrape->selectors));
	scrape->tallies = calloc(2 * count + 1, sizeof(*scrape->tallies));
	if (scrape->http == NULL || scrape->before == NULL || scrape->selectors == NULL ||
	    scrape->tallies == NULL) {
		skymon_unknown(sm, "out of memory");
		return false;
	}
	for (size_t i = 0; i < count; i++) {
		scrape->selectors[2 * i] = (struct scrape_selector){items[i].metric, items[i].labels.items,
								    items[i].labels.count};
		scrape->selectors[2 * i + 1] =
			(struct scrape_selector){has_text(items[i].over) ? items[i].over : "",
						 items[i].over_labels.items, items[i].over_labels.count};
	}
	return true;
}

static void stop(struct skymon *sm, void *state)
{
	struct scrape *scrape = state;
	(void)sm;
	skymon_http_free(scrape->http);
	free(scrape->before);
	free(scrape->selectors);
	free(scrape->tallies);
}

/* ---- Numbers ---- */

/* NaN if the value cannot be known. Of no matching series the sum is 0 if the metric is there with other
 * labels: a counter of errors appears with the first error. */
static double fold(const struct scrape_tally *tally, enum fold how)
{
	if (!tally->named || (tally->samples == 0 && tally->nan > 0))
		return NAN;
	switch (how) {
	case FOLD_COUNT:
		return (double)tally->samples;
	case FOLD_SUM:
		return tally->sum;
	case FOLD_MIN:
		return tally->samples > 0 ? tally->min : NAN;
	case FOLD_MAX:
		return tally->samples > 0 ? tally->max : NAN;
	case FOLD_MEAN:
		return tally->samples > 0 ? tally->sum / (double)tally->samples : NAN;
	}
	return NAN;
}

/* Returns the increase of a counter; a counter that became smaller began again at 0. NaN in the first check. */
static double take_change(double now, bool *known, double *before)
{
	double added = !*known || isnan(now) ? NAN : now >= *before ? now - *before : now;
	*known = !isnan(now);
	*before = now;
	return added;
}

static double value_of(const struct scrape *scrape, size_t nth)
{
	const struct item *item = &((const struct item *)scrape->numbers.items)[nth];
	struct before *before = &scrape->before[nth];
	double value = fold(&scrape->tallies[2 * nth], (enum fold)item->fold.index);
	if (item->change)
		value = take_change(value, &before->known, &before->value);
	if (!has_text(item->over))
		return item->scale * value;
	double over = fold(&scrape->tallies[2 * nth + 1], (enum fold)item->fold.index);
	if (item->change)
		over = take_change(over, &before->over_known, &before->over);
	if (over == 0) /* nothing happened in this interval, so none of it was an error */
		return item->change && value == 0 ? 0 : NAN;
	return item->scale * value / over;
}

/* Returns the first item whose metric, or that of its `over`, is not in the answer; NULL if all are. */
static const char *missing_metric(const struct scrape *scrape)
{
	for (size_t i = 0; i < 2 * scrape->numbers.count; i++)
		if (scrape->selectors[i].metric[0] != '\0' && !scrape->tallies[i].named)
			return scrape->selectors[i].metric;
	return NULL;
}

static void report_numbers(struct skymon *sm, const struct scrape *scrape)
{
	const struct item *items = scrape->numbers.items;
	for (size_t i = 0; i < scrape->numbers.count; i++) {
		char name[NAME_MAX_SIZE + 16];
		double value = value_of(scrape, i);
		if (!isfinite(value))
			continue;
		snprintf(name, sizeof(name), "%s%s", is_seed_number(items[i].name) ? "" : "value_",
			 items[i].name);
		skymon_number(sm, name, value);
	}
}

/* ---- The check ---- */

static enum skymon_status report_answer(struct skymon *sm, const struct scrape *scrape,
					const struct skymon_http_answer *answer)
{
	struct scrape_facts facts;
	if (answer->code != 200) {
		bool refused = answer->code == 401 || answer->code == 403;
		if (refused)
			skymon_secret_refused(sm);
		skymon_reason(sm, refused ? SKYMON_AUTH_FAILED : SKYMON_HTTP_STATUS);
		return skymon_unhealthy(sm, "%s answers HTTP %d", scrape->place, answer->code);
	}
	scrape_text_read(answer->body, answer->size, scrape->selectors, scrape->tallies,
			 2 * scrape->numbers.count, &facts);
	skymon_number(sm, "samples", (double)facts.samples);
	skymon_number(sm, "malformed_lines", (double)facts.malformed);
	if (facts.samples == 0) {
		skymon_reason(sm, SKYMON_PROTOCOL);
		return skymon_unhealthy(sm, "%s: the answer holds no sample%s", scrape->place,
					facts.malformed > 0 ? ", but lines that are none" : "");
	}
	report_numbers(sm, scrape);
	if (facts.malformed > 0)
		skymon_detail_number(sm, "first_malformed_line", (double)facts.first_malformed);
	const char *missing = missing_metric(scrape);
	if (missing != NULL) {
		skymon_reason(sm, SKYMON_BODY_MISMATCH);
		return skymon_degraded(sm, "%s: no series of %.100s among %llu samples", scrape->place,
				       missing, (unsigned long long)facts.samples);
	}
	return skymon_healthy(sm, "%s: %llu samples, %zu number%s", scrape->place,
			      (unsigned long long)facts.samples, scrape->numbers.count,
			      scrape->numbers.count == 1 ? "" : "s");
}

static enum skymon_status check(struct skymon *sm, void *state)
{
	struct scrape *scrape = state;
	char bearer[4200] = "";
	const struct skymon_label headers[] = {
		{"Accept", "application/openmetrics-text;version=1.0.0;q=0.8,text/plain;version=0.0.4"},
		{"Authorization", scrape->token.bytes != NULL ? bearer : NULL}};
	struct skymon_http_request request = {.url = scrape->url,
					      .headers = headers,
					      .header_count = 2,
					      .body_max = BODY_MAX,
					      .tls = &scrape->tls,
					      .proxy = scrape->proxy};
	struct skymon_http_answer answer;
	struct skymon_fault fault;
	enum skymon_status status;
	if (scrape->token.bytes != NULL)
		snprintf(bearer, sizeof(bearer), "Bearer %s", scrape->token.bytes);
	skymon_step(sm, "scrape");
	skymon_http_begin(scrape->http, scrape->reconnect.ms);
	if (skymon_http_do(sm, scrape->http, &request, &answer, &fault)) {
		skymon_number(sm, "request_time", answer.seconds);
		skymon_tls_report(sm, answer.trust, answer.local);
		skymon_tls_report_days(sm, answer.certificate_days);
		status = report_answer(sm, scrape, &answer);
		skymon_http_answer_free(&answer);
	} else {
		status = skymon_report(sm, NULL, &fault);
	}
	skymon_http_end(scrape->http);
	explicit_bzero(bearer, sizeof(bearer));
	return status;
}

SKYMON_PLUGIN(scrape, "1.0", "Numbers from another program's metrics endpoint",
	      .state_size = sizeof(struct scrape), .options = options, .numbers = numbers, .start = start,
	      .stop = stop, .check = check, .validate = validate);
