/* SPDX-License-Identifier: Apache-2.0 */
/* http_report: reports what a run found: the verdict, numbers and details. Called by http_run.c at the end of a run, on
 * the worker's main thread, while the handle still has the run's times. Owns nothing.
 *
 * No message quotes an answer's body, nor a URL beyond its host and port. */
#include <math.h>
#include <skymon/net.h>
#include <stdio.h>
#include <string.h>

#include "http_check.h"
#include "http_private.h"

static const struct http_url *url_of(const struct http_run *run)
{
	return run->hop.url != NULL ? &run->hop : &run->http->url;
}

/* ---- Numbers and details ---- */

static const char *version_word(long version)
{
	return version == CURL_HTTP_VERSION_1_0   ? "1.0"
	       : version == CURL_HTTP_VERSION_1_1 ? "1.1"
	       : version == CURL_HTTP_VERSION_2_0 ? "2"
						  : "other";
}

static void report_times(struct skymon *sm, const struct http_run *run, double whole)
{
	CURL *easy = run->easy;
	double connect = skymon_http_seconds(easy, CURLINFO_CONNECT_TIME_T);
	double ready = skymon_http_seconds(easy, CURLINFO_PRETRANSFER_TIME_T);
	if (run->resolve_us >= 0)
		skymon_number(sm, "resolve_time", (double)run->resolve_us / 1e6);
	if (run->opened) {
		skymon_number(sm, "connect_time", connect);
		if (url_of(run)->tls)
			skymon_number(sm, "tls_time",
				      skymon_http_seconds(easy, CURLINFO_APPCONNECT_TIME_T) - connect);
	}
	skymon_number(sm, "first_byte_time",
		      skymon_http_seconds(easy, CURLINFO_STARTTRANSFER_TIME_T) - ready);
	skymon_number(sm, "request_time", whole);
}

static void report_connection(struct skymon *sm, const struct http_run *run)
{
	const struct http *http = run->http;
	bool tls = url_of(run)->tls;
	const char *address = NULL;
	curl_easy_getinfo(run->easy, CURLINFO_PRIMARY_IP, &address);
	if (address != NULL && address[0] != '\0')
		skymon_detail(sm, http->by.url != NULL ? "proxy_address" : "address", "%s", address);
	skymon_detail(sm, "http_version", "%s",
		      version_word(skymon_http_number(run->easy, CURLINFO_HTTP_VERSION)));
	skymon_detail_boolean(sm, "kept_connection", !run->opened);
	if (run->redirects > 0) {
		skymon_detail_number(sm, "redirects", run->redirects);
		skymon_detail(sm, "final_place", "%s://%s", tls ? "https" : "http", run->place);
	}
	skymon_tls_report(sm,
			  !tls                 ? SKYMON_TLS_NONE
			  : http->tls.insecure ? SKYMON_TLS_UNVERIFIED
					       : SKYMON_TLS_VERIFIED,
			  http->by.url == NULL && address != NULL && skymon_net_host_is_local(address));
	skymon_tls_report_days(sm, run->days);
}

/* ---- The verdict ---- */

static enum skymon_status refuse(const struct http_run *run, enum skymon_reason reason, const char *words)
{
	skymon_reason(run->http->sm, reason);
	return skymon_unhealthy(run->http->sm, "%s: %s", run->place, words);
}

static enum skymon_status refuse_login(const struct http_run *run, long code)
{
	bool sent = run->http->has_secret && run->trusted;
	char words[120];
	if (sent)
		skymon_secret_refused(run->http->sm);
	snprintf(words, sizeof(words), "%s (HTTP %ld)",
		 sent ? "refuses the credentials"
		 : run->http->has_secret
			 ? "asks for a login; credentials are sent to the configured host only"
		 : code == 401 ? "asks for a login"
			       : "forbids the request",
		 code);
	return refuse(run, SKYMON_AUTH_FAILED, words);
}

static enum skymon_status refuse_status(const struct http_run *run, long code)
{
	const struct skymon_texts *wanted = &run->http->status;
	char words[200];
	if (code == 401 || code == 403)
		return refuse_login(run, code);
	if (code == 407)
		return refuse(run, SKYMON_AUTH_FAILED,
			      "the proxy asks for a login, or refuses ours (HTTP 407)");
	snprintf(words, sizeof(words), "HTTP %ld instead of %.60s%s%s", code, wanted->items[0],
		 wanted->count > 1 ? ", …" : "",
		 code >= 300 && code <= 308 && code != 304 &&
				 run->http->redirects.index == HTTP_REDIRECTS_NONE
			 ? " (`redirects` is none)"
			 : "");
	return refuse(run, SKYMON_HTTP_STATUS, words);
}

enum skymon_status http_report_answer(struct http_run *run)
{
	const struct http *http = run->http;
	struct skymon *sm = http->sm;
	struct http_mismatch mismatch;
	double whole = (double)(http_clock_us() - run->began_us) / 1e6;
	long code = skymon_http_number(run->easy, CURLINFO_RESPONSE_CODE);
	report_connection(sm, run);
	report_times(sm, run, whole);
	skymon_number(sm, "status_code", (double)code);
	skymon_number(sm, "body_size", (double)run->received);
	if (!http_statuses_hold(&http->statuses, (int)code))
		return refuse_status(run, code);
	if (http->version.index == HTTP_VERSION_2 &&
	    skymon_http_number(run->easy, CURLINFO_HTTP_VERSION) != CURL_HTTP_VERSION_2_0)
		return refuse(run, SKYMON_PROTOCOL, "answers with HTTP/1, not HTTP/2");
	if (http_body_is_asked(&http->body) &&
	    !http_body_fits(&http->body, run->bytes != NULL ? run->bytes : "", run->size, &mismatch)) {
		skymon_reason(sm, mismatch.reason);
		return mismatch.status == SKYMON_UNKNOWN
			       ? skymon_unknown(sm, "%s: %s", run->place, mismatch.text)
			       : skymon_unhealthy(sm, "%s: %s", run->place, mismatch.text);
	}
	return skymon_healthy(sm, "%s: HTTP %ld after %.3g ms", run->place, code, whole * 1000);
}

enum skymon_status http_report_fault(struct http_run *run, CURLcode code)
{
	const struct http *http = run->http;
	const struct http_url *url = url_of(run);
	CURL *easy = run->easy;
	char proxy[300];
	struct skymon_fault fault = {.status = SKYMON_UNKNOWN, .reason = SKYMON_OTHER};
	struct skymon_http_failure failure = {
		.code = (int)code,
		.words = run->words,
		.os_errno = (int)skymon_http_number(easy, CURLINFO_OS_ERRNO),
		.verify = skymon_http_number(easy, CURLINFO_SSL_VERIFYRESULT),
		.connect_code = skymon_http_number(easy, CURLINFO_HTTP_CONNECTCODE),
		.by_proxy = http->by.url != NULL,
		.tls = url->tls,
		.reused = !run->opened,
		.connected = skymon_http_seconds(easy, CURLINFO_CONNECT_TIME_T) > 0,
		.secured = skymon_http_seconds(easy, CURLINFO_APPCONNECT_TIME_T) > 0,
		.asked = skymon_http_seconds(easy, CURLINFO_PRETRANSFER_TIME_T) > 0,
		.answered = run->answered,
		.received = run->received,
		.body_max =
			run->header_size > HTTP_HEADERS_MAX ? HTTP_HEADERS_MAX : (size_t)http->body_max.count,
		.too_large = run->too_large,
		.place = run->place,
		.name = run->trusted && http->tls.server_name != NULL ? http->tls.server_name : url->host,
	};
	if (failure.by_proxy) {
		snprintf(proxy, sizeof(proxy), "%.253s:%s", http->by.host, http->by.port);
		failure.place = proxy;
	}
	skymon_http_explain(&failure, &fault);
	return skymon_report(http->sm, NULL, &fault);
}
