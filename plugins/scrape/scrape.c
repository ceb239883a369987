/* SPDX-License-Identifier: Apache-2.0 */
/* scrape: reads another program's metrics endpoint and makes numbers of some of its series, for warn, crit
 * and the seed's metrics. Called by the worker: start and stop on its main thread, check on a thread per
 * component. Owns the kept connection through struct skymon_http, and the series of the last check. */
#include <stdio.h>
#include <string.h>

#include <skymon/http.h>

#include "scrape_text.h"

#define BODY_MAX (16 << 20)

struct scrape {
	const char *url, *proxy;
	struct skymon_secret token;
	struct skymon_list numbers; /* of struct item */
	struct skymon_duration reconnect;
	struct skymon_tls tls;
	struct skymon_http *http;
	char place[300];
	struct series *series;
};

static const struct skymon_option options[] = {
	SKYMON_OPT(struct scrape, url, NULL, "the endpoint: http://host:port/metrics",
		   .flags = SKYMON_TARGET),
	SKYMON_OPT(struct scrape, token, NULL, "sent as Authorization: Bearer"),
	SERIES_OPTION(struct scrape, numbers, "what to make of which series"),
	SKYMON_OPT(struct scrape, reconnect, "1m",
		   "age from which the kept connection is replaced by a new one; 0: a new one in each check",
		   .min = 0, .max = 366.0 * 24 * 3600 * 1000),
	SKYMON_OPT(struct scrape, tls, NULL,
		   "verification of the server, and a client certificate; insecure: any certificate, or with "
		   "http:// the token without TLS to another machine"),
	SKYMON_OPT(struct scrape, proxy, "none", "URL of a proxy, or none"),
	{0}};

static const struct skymon_number numbers[] = {
	SERIES_NUMBERS,
	{"samples", "", "samples in the answer"},
	{"malformed_lines", "", "lines of the answer that cannot be read as a sample; they are skipped"},
	{"request_time", "s", "duration of the request"},
	SKYMON_TLS_NUMBERS,
	{0}};

static void validate(struct skymon *sm, const void *state)
{
	const struct scrape *scrape = state;
	skymon_http_validate(sm, "url", scrape->url, scrape->proxy, &scrape->tls,
			     scrape->token.bytes != NULL);
	series_validate(sm, &scrape->numbers);
}

/* ---- Start ---- */

static bool start(struct skymon *sm, void *state)
{
	struct scrape *scrape = state;
	skymon_http_place(scrape->url, scrape->place, sizeof(scrape->place));
	scrape->series = series_new(&scrape->numbers, true);
	if (scrape->series != NULL)
		return true;
	skymon_unknown(sm, "out of memory");
	return false;
}

static void stop(struct skymon *sm, void *state)
{
	struct scrape *scrape = state;
	(void)sm;
	skymon_http_free(scrape->http);
	series_free(scrape->series);
}

/* ---- The check ---- */

static enum skymon_status report_answer(struct skymon *sm, const struct scrape *scrape,
					const struct skymon_http_answer *answer)
{
	struct scrape_facts facts;
	series_begin(scrape->series);
	scrape_text_read(answer->body, answer->size, scrape->series, &facts);
	skymon_number(sm, "samples", (double)facts.samples);
	skymon_number(sm, "malformed_lines", (double)facts.malformed);
	if (facts.samples == 0) {
		skymon_reason(sm, SKYMON_PROTOCOL);
		return skymon_unhealthy(sm, "%s: the answer holds no sample%s", scrape->place,
					facts.malformed > 0 ? ", but lines that are none" : "");
	}
	const char *missing = series_report(sm, scrape->series);
	if (facts.malformed > 0)
		skymon_detail_number(sm, "first_malformed_line", (double)facts.first_malformed);
	if (missing != NULL) {
		skymon_reason(sm, SKYMON_MISSING);
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
	static const struct skymon_label accept = {
		"Accept", "application/openmetrics-text;version=1.0.0;q=0.8,text/plain;version=0.0.4"};
	const struct skymon_http_request request = {.url = scrape->url,
						    .headers = &accept,
						    .header_count = 1,
						    .bearer = &scrape->token,
						    .body_max = BODY_MAX,
						    .reconnect_ms = scrape->reconnect.ms,
						    .tls = &scrape->tls,
						    .proxy = scrape->proxy};
	struct skymon_http_answer answer;
	skymon_step(sm, "scrape");
	enum skymon_status status = skymon_http_check(sm, &scrape->http, &request, &answer);
	if (status != SKYMON_HEALTHY)
		return status;
	skymon_number(sm, "request_time", answer.seconds);
	status = report_answer(sm, scrape, &answer);
	skymon_http_answer_free(&answer);
	return status;
}

SKYMON_PLUGIN(scrape, "1.0", "Numbers from another program's metrics endpoint",
	      .state_size = sizeof(struct scrape), .options = options, .numbers = numbers, .start = start,
	      .stop = stop, .check = check, .validate = validate);
