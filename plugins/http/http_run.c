/* SPDX-License-Identifier: Apache-2.0 */
/* http_run: one run of a component, from its begin to its end: looks the name up if a connection has to be opened,
 * sends the request, follows its redirects. Called by http.c (begin, cancel) and by http_loop.c (the end of a transfer),
 * on the worker's main thread; owns the run until it returns to the pool. */
#include <arpa/inet.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "http_check.h"

static void release(struct http_run *run)
{
	struct http *http = run->http;
	http_loop_remove(run);
	http_url_free(&run->hop);
	curl_slist_free_all(run->resolve);
	free(run->bytes);
	http->run = NULL;
	http_run_give(http->shared, run);
}

static void finish(struct http_run *run, enum skymon_status status)
{
	struct skymon *sm = run->http->sm;
	release(run);
	skymon_done(sm, status);
}

static enum skymon_status out_of_memory(struct skymon *sm)
{
	skymon_reason(sm, SKYMON_RESOURCE);
	return skymon_unknown(sm, "out of memory for the request");
}

static void send_request(struct http_run *run)
{
	run->denied = run->opened = run->answered = run->headed = run->too_large = false;
	run->header_size = run->received = run->size = 0;
	run->days = (struct skymon_tls_days){NAN, NAN};
	run->words[0] = '\0';
	http_request_set(run);
	if (!http_loop_add(run))
		finish(run, out_of_memory(run->http->sm));
}

/* ---- Names ---- */

struct peer {
	const char *host, *port;
};

/* Returns what to connect to. Of the component's own host the configured name counts, not that in its certificate. */
static struct peer peer_of(const struct http_run *run)
{
	const struct http *http = run->http;
	if (http->by.url != NULL)
		return (struct peer){http->by.host, http->by.port};
	if (run->hop.url == NULL)
		return (struct peer){http->url.host, http->url.port};
	return (struct peer){run->same_host ? http->url.host : run->hop.host, run->hop.port};
}

static void on_resolved(struct skymon *sm, void *arg, const char *addresses)
{
	struct http_run *run = arg;
	char entry[1024];
	if (addresses == NULL) { /* message and reason are set */
		finish(run, SKYMON_UNHEALTHY);
		return;
	}
	if (run->looked_up)
		run->resolve_us = http_clock_us() - run->asked_us;
	snprintf(entry, sizeof(entry), "%s:%s:%s", http_alias(run->http), peer_of(run).port, addresses);
	curl_slist_free_all(run->resolve);
	run->resolve = curl_slist_append(NULL, entry);
	if (run->resolve == NULL) {
		finish(run, out_of_memory(sm));
		return;
	}
	run->may_open = true;
	send_request(run);
}

static void look_up(struct http_run *run)
{
	struct in6_addr address;
	char host[256];
	snprintf(host, sizeof(host), "%s", peer_of(run).host);
	size_t length = strlen(host);
	if (host[0] == '[' && length > 2) {
		memmove(host, host + 1, length - 2);
		host[length - 2] = '\0';
	}
	run->looked_up = inet_pton(AF_INET, host, &address) != 1 && inet_pton(AF_INET6, host, &address) != 1;
	run->asked_us = http_clock_us();
	skymon_step(run->http->sm, "resolving the name");
	skymon_resolve_later(run->http->sm, host, on_resolved, run);
}

/* ---- A run ---- */

void http_run_begin(struct http *http)
{
	struct http_run *run = http_run_take(http->shared);
	if (run == NULL) {
		skymon_done(http->sm, out_of_memory(http->sm));
		return;
	}
	http->run = run;
	run->http = http;
	run->began_us = http_clock_us();
	run->resolve_us = -1;
	run->method = http->method;
	run->with_body = http->request_body != NULL;
	run->own = run->trusted = run->same_host = true;
	snprintf(run->place, sizeof(run->place), "%.253s:%s", http->url.host, http->url.port);
	if (run->began_us / 1000 - http->opened_ms >= http->reconnect.ms)
		http_loop_drop(http);
	if (http->fd >= 0)
		send_request(run);
	else
		look_up(run);
}

enum skymon_status http_run_cancel(struct http *http)
{
	struct http_run *run = http->run;
	enum skymon_status status = SKYMON_UNHEALTHY;
	if (run == NULL)
		return skymon_unknown(http->sm, "was cancelled");
	if (run->out) {
		status = http_report_fault(run, CURLE_OPERATION_TIMEDOUT);
	} else {
		skymon_reason(http->sm, SKYMON_TIMEOUT);
		skymon_unhealthy(http->sm, "%s: its name cannot be resolved in time", run->place);
	}
	release(run);
	return status;
}

static bool is_redirect(int code)
{
	return code == 301 || code == 302 || code == 303 || code == 307 || code == 308;
}

/* Returns the place that the answer redirects to, if that is to be followed; NULL otherwise. It lives in the handle. */
static const char *redirect_of(const struct http_run *run)
{
	const char *location = NULL;
	long code = 0;
	if (run->http->redirects.index == HTTP_REDIRECTS_NONE)
		return NULL;
	curl_easy_getinfo(run->easy, CURLINFO_RESPONSE_CODE, &code);
	if (is_redirect((int)code))
		curl_easy_getinfo(run->easy, CURLINFO_REDIRECT_URL, &location);
	return location;
}

static void follow(struct http_run *run, const char *location)
{
	struct skymon_fault fault;
	long code = 0;
	curl_easy_getinfo(run->easy, CURLINFO_RESPONSE_CODE, &code);
	if (!http_request_redirect(run, (int)code, location, &fault)) {
		finish(run, skymon_report(run->http->sm, NULL, &fault));
		return;
	}
	run->resolve_us = -1;
	run->may_open = false;
	if (run->own && run->http->fd >= 0)
		send_request(run);
	else
		look_up(run);
}

void http_run_ended(struct http_run *run, CURLcode code)
{
	if (run->opened && run->own)
		http_loop_adopt(run->http);
	http_loop_remove(run);
	if (run->denied) { /* the kept connection was lost */
		look_up(run);
		return;
	}
	if (code == CURLE_OK && !run->headed)
		code = CURLE_PARTIAL_FILE; /* libcurl takes a head without its empty line for a whole answer */
	const char *location = code == CURLE_OK ? redirect_of(run) : NULL;
	if (location != NULL)
		follow(run, location);
	else
		finish(run, code == CURLE_OK ? http_report_answer(run) : http_report_fault(run, code));
}
