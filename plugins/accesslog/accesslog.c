/* SPDX-License-Identifier: Apache-2.0 */
/* accesslog: follows the access log of a web server (nginx, Apache, JSON lines): requests, share of 5xx, response times. Called by the
 * worker, on the component's thread; owns the open files, the totals and the sliding window.
 *
 * Positions and totals are saved together after each check, so that a restart counts each line once. The window is of the time at which
 * lines are read, and begins empty after a restart. */
#include "accesslog.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct accesslog {
	const char *path, *format;
	struct skymon_map fields;
	struct skymon_duration window;
	struct accesslog_format parsed;
	struct accesslog_follow follow;
	struct accesslog_window sliding;
	int64_t now_ms;
	uint64_t read, malformed; /* lines of this check */
	bool complained;          /* that the positions cannot be saved */
};

static const struct skymon_option options[] = {
	SKYMON_OPT(struct accesslog, path, NULL,
		   "the log file; its folder is read too, for files that were rotated",
		   .flags = SKYMON_TARGET | SKYMON_PATH_FOLLOW),
	SKYMON_OPT(
		struct accesslog, format, "combined",
		"common, combined, timed (combined and $request_time), json, or a template with $status and perhaps $request_time (s), "
		"$request_time_ms or $request_time_us"),
	SKYMON_OPT(
		struct accesslog, fields, NULL,
		"json: the keys of status and request_time (or request_time_ms, request_time_us), where they have other names"),
	SKYMON_OPT(struct accesslog, window, "1m",
		   "time over which shares, rates and response times are computed", .min = 1000,
		   .max = 86400.0 * 1000),
	{0}};

static const struct skymon_number numbers[] = {
	{"total_requests", "", "requests since the file was first followed"},
	{"error_rate_percent", "%",
	 "share of requests of the window that were answered with a 5xx, in percent; 0 without requests"},
	{"average_response_time_ms", "ms",
	 "mean response time of the window; absent if the log has no times; 0 without requests"},
	{"errors", "ratio", "the same share"},
	{"request_rate", "1/s", "requests for each second of the window"},
	{"time_mean", "s",
	 "mean response time of the window; absent without timed requests, as the next ones"},
	{"time_p50", "s", "response time that half of the requests did not exceed (within 3 %)"},
	{"time_p95", "s", "response time that 95 % of the requests did not exceed"},
	{"time_p99", "s", "response time that 99 % of the requests did not exceed"},
	{"malformed_lines", "", "lines of this check that do not have the format"},
	{"backlog", "bytes", "what was written and is not read yet"},
	{0}};

static void validate(struct skymon *sm, const void *state)
{
	const struct accesslog *log = state;
	struct accesslog_format format;
	char why[ACCESSLOG_WHY];
	if (log->path != NULL && log->path[0] != '\0' && log->path[0] != '/')
		skymon_invalid(sm, "path", "must be an absolute path");
	if (!accesslog_format_parse(log->format, &log->fields, &format, why))
		skymon_invalid(sm, strcmp(log->format, "json") == 0 ? "fields" : "format", "%s", why);
	else if (log->fields.count > 0 && !format.json)
		skymon_invalid(sm, "fields", "are given with format: json only");
}

static bool start(struct skymon *sm, void *state)
{
	struct accesslog *log = state;
	const char *folder = skymon_state_dir(sm);
	char why[ACCESSLOG_WHY];
	log->follow.path = log->path;
	log->follow.block = malloc(ACCESSLOG_LINE_MAX);
	log->sliding.slot_ms = log->window.ms / ACCESSLOG_SLOTS > 0 ? log->window.ms / ACCESSLOG_SLOTS : 1;
	bool good = log->follow.block != NULL &&
		    accesslog_format_parse(log->format, &log->fields, &log->parsed, why);
	good = good && (folder[0] == '\0' || asprintf(&log->follow.state, "%s/position", folder) > 0);
	if (!good)
		(void)skymon_unknown(sm, "out of memory");
	return good;
}

static void stop(struct skymon *sm, void *state)
{
	struct accesslog *log = state;
	(void)sm;
	accesslog_follow_close(&log->follow);
}

static void take_line(void *arg, char *text, size_t size)
{
	struct accesslog *log = arg;
	struct accesslog_totals *totals = &log->follow.totals;
	struct accesslog_line line;
	log->read++;
	if (!accesslog_line_parse(&log->parsed, text, size, &line)) {
		totals->malformed++;
		log->malformed++;
		return;
	}
	totals->classes[line.status / 100]++;
	if (line.seconds >= 0) {
		totals->timed++;
		totals->seconds += line.seconds;
	}
	accesslog_window_add(&log->sliding, log->now_ms, &line);
}

static uint64_t report_totals(struct skymon *sm, const struct accesslog_totals *totals)
{
	static const char *const classes[] = {"0xx", "1xx", "2xx", "3xx", "4xx", "5xx"};
	uint64_t requests = 0;
	for (size_t i = 0; i < 6; i++) {
		requests += totals->classes[i];
		if (i >= 2 || totals->classes[i] > 0)
			skymon_metric(sm, SKYMON_COUNTER, "skymon_accesslog_requests_total",
				      "Requests in the log, by class of the status",
				      (double)totals->classes[i], &(struct skymon_label){"code", classes[i]},
				      1);
	}
	skymon_counter(sm, "skymon_accesslog_response_seconds_total", "Sum of the response times in the log",
		       totals->seconds);
	skymon_counter(sm, "skymon_accesslog_timed_requests_total",
		       "Requests in the log that have a response time", (double)totals->timed);
	skymon_counter(sm, "skymon_accesslog_malformed_lines_total", "Lines that do not have the format",
		       (double)totals->malformed);
	skymon_counter(sm, "skymon_accesslog_gaps_total",
		       "Files that were gone before they were seen to be read to their end",
		       (double)totals->gaps);
	skymon_number(sm, "total_requests", (double)requests);
	return requests;
}

static void report_window(struct skymon *sm, const struct accesslog *log, const struct accesslog_sums *sums)
{
	double errors = sums->requests > 0 ? (double)sums->errors / (double)sums->requests : 0;
	skymon_number(sm, "errors", errors);
	skymon_number(sm, "error_rate_percent", 100 * errors);
	skymon_number(sm, "request_rate", (double)sums->requests * 1000 / (double)log->window.ms);
	skymon_gauge(sm, "skymon_accesslog_errors_ratio",
		     "Share of requests of the window that were answered with a 5xx", errors);
	if (sums->timed > 0) {
		double mean = sums->seconds / (double)sums->timed;
		skymon_number(sm, "time_mean", mean);
		skymon_number(sm, "time_p50", sums->p50);
		skymon_number(sm, "time_p95", sums->p95);
		skymon_number(sm, "time_p99", sums->p99);
		skymon_number(sm, "average_response_time_ms", 1000 * mean);
	} else if (log->follow.totals.timed > 0) {
		skymon_number(sm, "average_response_time_ms", 0);
	}
}

static enum skymon_status check(struct skymon *sm, void *state)
{
	struct accesslog *log = state;
	struct timespec now;
	struct accesslog_sums sums;
	uint64_t behind;
	clock_gettime(CLOCK_MONOTONIC, &now);
	log->now_ms = (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
	log->read = log->malformed = 0;
	skymon_step(sm, "reading the log");
	bool there = accesslog_follow_read(sm, &log->follow, take_line, log, &behind);
	int error = errno;
	if (!accesslog_follow_save(&log->follow) && !log->complained) {
		skymon_warn(sm, "cannot save the position in %s: %s; a restart loses lines",
			    log->follow.state, strerror(errno));
		log->complained = true;
	}
	uint64_t requests = report_totals(sm, &log->follow.totals);
	accesslog_window_sum(&log->sliding, log->now_ms, &sums);
	report_window(sm, log, &sums);
	skymon_number(sm, "malformed_lines", (double)log->malformed);
	skymon_number(sm, "backlog", (double)behind);
	skymon_detail_number(sm, "requests", (double)requests);
	if (!there) {
		skymon_reason(sm, error == ENOENT   ? SKYMON_MISSING
				  : error == EACCES ? SKYMON_DENIED
						    : SKYMON_OTHER);
		return skymon_unknown(sm, "cannot read %s: %s", log->path, strerror(error));
	}
	if (log->read > 0 && log->malformed == log->read) {
		skymon_reason(sm, SKYMON_PROTOCOL);
		return skymon_unknown(sm, "none of the %llu new lines of %s has the format",
				      (unsigned long long)log->read, log->path);
	}
	if (sums.timed == 0)
		return skymon_healthy(sm, "%llu requests in %.0f s, %.2f %% errors",
				      (unsigned long long)sums.requests, (double)log->window.ms / 1000,
				      sums.requests > 0 ? 100.0 * (double)sums.errors / (double)sums.requests
							: 0);
	return skymon_healthy(sm, "%llu requests in %.0f s, %.2f %% errors, p95 %.3g ms",
			      (unsigned long long)sums.requests, (double)log->window.ms / 1000,
			      100.0 * (double)sums.errors / (double)sums.requests, 1000 * sums.p95);
}

SKYMON_PLUGIN(accesslog, "1.0", "Requests, errors and response times of an access log",
	      .state_size = sizeof(struct accesslog), .options = options, .numbers = numbers, .start = start,
	      .stop = stop, .check = check, .validate = validate);
