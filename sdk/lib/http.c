/* SPDX-License-Identifier: Apache-2.0 */
/* http: performs HTTP requests with libcurl within the check's deadline. Called by the checks that speak
 * HTTP, on the check's thread; a struct skymon_http owns its easy handles and their kept connections. See
 * http.h.
 */
#include "http_private.h"

#include <errno.h>
#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <skymon/net.h>
#include <skymon/tls.h>

struct skymon_http {
	CURL *easy, *old;          /* they hold the kept connections; old is being replaced. NULL if unused */
	double opened, old_opened; /* when the oldest connection of each was opened, in s of the monotonic
				      clock; 0 if none */
	int64_t reconnect_ms;
};

/* State of one skymon_http_do(). */
struct call {
	struct skymon *sm;
	struct skymon_http *http;
	const struct skymon_http_request *request;
	CURLU *url;
	char *scheme, *host, *port; /* of the URL, allocated by libcurl */
	char *proxy_host, *proxy_port;
	const char *proxy; /* NULL if there is none */
	const char *name;  /* that the server's certificate must have */
	const char *peer_host, *peer_port;
	char place[300], host_header[300];
	bool tls;
	bool unresolved, connected; /* of this attempt */
	int connect_error;
	double began, tried; /* s: the call, this attempt */
	struct curl_slist *headers, *resolve, *connect_to;
	struct skymon_http_sink sink;
	long timeout_ms; /* of this attempt */
	char words[CURL_ERROR_SIZE];
};

/* How many structs there are in the process: the last one frees what all share. */
static atomic_uint users;

struct skymon_http *skymon_http_new(void)
{
	struct skymon_http *http = calloc(1, sizeof(*http));
	if (http == NULL)
		return NULL;
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) { /* it counts its calls */
		free(http);
		return NULL;
	}
	users++;
	http->reconnect_ms = INT64_MAX; /* until skymon_http_begin sets it */
	return http;
}

void skymon_http_free(struct skymon_http *http)
{
	if (http == NULL)
		return;
	curl_easy_cleanup(http->old);
	curl_easy_cleanup(http->easy);
	free(http);
	if (--users == 0)
		skymon_tls_unload();
	curl_global_cleanup();
}

static double clock_now(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

void skymon_http_begin(struct skymon_http *http, int64_t reconnect_ms)
{
	http->reconnect_ms = reconnect_ms;
	if (http->opened == 0 || (clock_now() - http->opened) * 1000 < (double)reconnect_ms)
		return;
	http->old = http->easy;
	http->old_opened = http->opened;
	http->easy = NULL;
	http->opened = 0;
}

void skymon_http_end(struct skymon_http *http)
{
	if (http->reconnect_ms > 0)
		return;
	curl_easy_cleanup(http->old);
	curl_easy_cleanup(http->easy);
	http->easy = http->old = NULL;
	http->opened = 0;
}

/* Ends a request over new connections: on success they replace the old ones, otherwise the old ones stay. */
static void replace(struct skymon_http *http, bool good)
{
	CURL *gone = good ? http->old : http->easy;
	if (http->old == NULL)
		return;
	if (!good) {
		http->easy = http->old;
		http->opened = http->old_opened;
	}
	http->old = NULL;
	curl_easy_cleanup(gone);
}

void skymon_http_answer_free(struct skymon_http_answer *answer)
{
	skymon_http_wipe(answer->body, answer->size);
	for (size_t i = 0; i < SKYMON_HTTP_WANTED_MAX; i++)
		free(answer->wanted[i]);
	*answer = (struct skymon_http_answer){0};
}

/* ---- The URL ---- */

static bool read_proxy(struct call *call)
{
	CURLU *url = skymon_http_parse(call->proxy);
	if (url == NULL)
		return false;
	call->proxy_host = skymon_http_part(url, CURLUPART_HOST);
	call->proxy_port = skymon_http_part(url, CURLUPART_PORT);
	curl_url_cleanup(url);
	call->peer_host = call->proxy_host;
	call->peer_port = call->proxy_port != NULL ? call->proxy_port : "1080"; /* SOCKS */
	return call->proxy_host != NULL;
}

/* Splits the URL. A URL that skymon_http_accepts() has accepted passes. */
static bool read_url(struct call *call, struct skymon_fault *fault)
{
	const struct skymon_tls *tls = call->request->tls;
	call->proxy = skymon_http_given_proxy(call->request->proxy);
	if (!skymon_http_accepts("the URL", call->request->url, call->proxy, fault))
		return false;
	call->url = skymon_http_parse(call->request->url);
	if (call->url != NULL) {
		call->scheme = skymon_http_part(call->url, CURLUPART_SCHEME);
		call->host = skymon_http_part(call->url, CURLUPART_HOST);
		call->port = skymon_http_part(call->url, CURLUPART_PORT);
	}
	call->peer_host = call->host;
	call->peer_port = call->port;
	if (call->scheme == NULL || call->host == NULL || call->port == NULL ||
	    (call->proxy != NULL && !read_proxy(call))) {
		skymon_fault_set(fault, SKYMON_UNKNOWN, SKYMON_RESOURCE, "out of memory for the request");
		return false;
	}
	call->tls = strcmp(call->scheme, "https") == 0;
	call->name = call->tls && tls != NULL && tls->server_name != NULL ? tls->server_name : call->host;
	snprintf(call->place, sizeof(call->place), "%.253s:%s", call->peer_host, call->peer_port);
	return true;
}

/* ---- Connecting ---- */

/* Gives libcurl a placeholder for the address: only if it opens a connection does on_open resolve the name
 * and connect; over a kept connection no name is resolved. */
static bool set_resolve(struct call *call)
{
	if (call->peer_host[0] == '[') /* libcurl uses an IPv6 address as it is */
		return true;
	char entry[400];
	snprintf(entry, sizeof(entry), "%s:127.0.0.1", call->place);
	call->resolve = curl_slist_append(NULL, entry);
	return call->resolve != NULL;
}

/* Returns how long this attempt may take to connect, in ms. */
static long connect_ms(const struct call *call)
{
	int64_t most = call->request->connect_ms;
	return most > 0 && most < call->timeout_ms ? (long)most : call->timeout_ms;
}

static curl_socket_t on_open(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
	struct call *call = arg;
	size_t length = strlen(call->peer_host);
	(void)purpose, (void)address;
	char host[256];
	snprintf(host, sizeof(host), "%s", call->peer_host);
	if (length > 2 && host[0] == '[' && length < sizeof(host)) {
		memmove(host, host + 1, length - 2);
		host[length - 2] = '\0';
	}
	char addresses[SKYMON_NET_ADDRESSES_SIZE];
	call->unresolved = !skymon_resolve(call->sm, host, addresses, sizeof(addresses));
	if (call->unresolved)
		return CURL_SOCKET_BAD;
	int fd = skymon_net_race(call->sm, addresses, (uint16_t)strtoul(call->peer_port, NULL, 10),
				 connect_ms(call) - (int64_t)((clock_now() - call->tried) * 1000),
				 &call->connect_error);
	call->connected = fd >= 0;
	if (fd >= 0 && call->http->opened == 0)
		call->http->opened = clock_now();
	return fd;
}

static int on_opened(void *arg, curl_socket_t fd, curlsocktype purpose)
{
	(void)arg, (void)fd, (void)purpose;
	return CURL_SOCKOPT_ALREADY_CONNECTED;
}

/* ---- The request ---- */

static bool is_clean(const char *name, const char *value, struct skymon_fault *fault)
{
	if (strpbrk(name, "\r\n:") == NULL && strpbrk(value, "\r\n") == NULL)
		return true;
	skymon_fault_set(fault, SKYMON_UNKNOWN, SKYMON_OTHER,
			 "the header %.60s has a line break in its value", name);
	return false;
}

static bool fill_headers(struct call *call, struct skymon_fault *fault)
{
	const struct skymon_http_request *request = call->request;
	const char *token = request->bearer != NULL ? request->bearer->bytes : NULL;
	bool ok = true;
	call->headers = curl_slist_append(NULL, "Expect:"); /* no 100-continue */
	ok = call->headers != NULL;
	if (ok && call->name != call->host) { /* the URL's host becomes the certificate's name */
		bool usual = strcmp(call->port, "443") == 0;
		snprintf(call->host_header, sizeof(call->host_header), "%.253s%s%s", call->host,
			 usual ? "" : ":", usual ? "" : call->port);
		ok = skymon_http_add_line(&call->headers, "Host", "", call->host_header);
	}
	if (token != NULL) {
		if (!is_clean("Authorization", token, fault))
			return false;
		ok = ok && skymon_http_add_line(&call->headers, "Authorization", "Bearer ", token);
	}
	for (size_t i = 0; ok && i < request->header_count; i++) {
		const struct skymon_label *header = &request->headers[i];
		if (header->value == NULL)
			continue;
		if (!is_clean(header->name, header->value, fault))
			return false;
		ok = skymon_http_add_line(&call->headers, header->name, "", header->value);
	}
	if (!ok)
		skymon_fault_set(fault, SKYMON_UNKNOWN, SKYMON_RESOURCE, "out of memory for the request");
	return ok;
}

static void set_method(CURL *easy, const struct skymon_http_request *request)
{
	const char *method = request->method != NULL ? request->method : "GET";
	if (strcmp(method, "HEAD") == 0) {
		curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
		return;
	}
	if (request->body != NULL || strcmp(method, "POST") == 0) {
		curl_easy_setopt(easy, CURLOPT_POSTFIELDS, request->body != NULL ? request->body : "");
		curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE,
				 request->body != NULL ? (curl_off_t)request->body_size : 0);
	}
	curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, method);
}

/* Sets the certificate's name if it differs from the URL's host. */
static void set_name(struct call *call, CURL *easy)
{
	if (call->name == call->host)
		return;
	curl_url_set(call->url, CURLUPART_HOST, call->name, 0);
	char entry[800];
	snprintf(entry, sizeof(entry), "%.253s:%s:%.253s:%s", call->name, call->port, call->host, call->port);
	call->connect_to = curl_slist_append(NULL, entry);
	curl_easy_setopt(easy, CURLOPT_CONNECT_TO, call->connect_to);
}

static void set_protocols(CURL *easy)
{
#if LIBCURL_VERSION_NUM >= 0x075500
	curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
#else
	curl_easy_setopt(easy, CURLOPT_PROTOCOLS, (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS));
#endif
	curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(easy, CURLOPT_HTTP09_ALLOWED, 0L);
}

/* Called by libcurl at least once a second, also while no bytes arrive: the client that waits for the result
 * may have closed its connection. */
static int on_progress(void *arg, curl_off_t total, curl_off_t now, curl_off_t up_total, curl_off_t up_now)
{
	const struct call *call = arg;
	(void)total, (void)now, (void)up_total, (void)up_now;
	return skymon_ms_left(call->sm) <= 0;
}

/* The time that `grow` waits does not count as the server's. */
static size_t on_body(char *bytes, size_t one, size_t count, void *arg)
{
	struct call *call = arg;
	bool grown = call->sink.grown;
	double before = clock_now();
	size_t taken = skymon_http_sink_body(bytes, one, count, &call->sink);
	if (call->sink.grown != grown) {
		call->timeout_ms += (long)((clock_now() - before) * 1000);
		curl_easy_setopt(call->http->easy, CURLOPT_TIMEOUT_MS, call->timeout_ms);
	}
	return taken;
}

static size_t on_header(char *line, size_t one, size_t count, void *arg)
{
	struct call *call = arg;
	if (!call->sink.answered && call->tls)
		call->sink.answer->days = skymon_http_tls_days(call->http->easy);
	return skymon_http_sink_header(line, one, count, &call->sink);
}

static void set_options(struct call *call, CURL *easy)
{
	curl_easy_reset(easy); /* keeps connections and addresses */
	curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, call->words);
	curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(easy, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
#if LIBCURL_VERSION_NUM >= 0x075700
	curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);
#endif
	curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, call->timeout_ms);
	curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, connect_ms(call));
	curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, call->request->once ? 1L : 0L);
	curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, on_open);
	curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, call);
	curl_easy_setopt(easy, CURLOPT_SOCKOPTFUNCTION, on_opened);
	curl_easy_setopt(easy, CURLOPT_MAXAGE_CONN, 86400L); /* skymon_http_begin() decides on reconnecting */
	curl_easy_setopt(easy, CURLOPT_PROXY,
			 call->proxy != NULL ? call->proxy : ""); /* "" also overrides the environment */
	curl_easy_setopt(easy, CURLOPT_NOPROXY, "");
	if (call->proxy != NULL) {
		curl_easy_setopt(easy, CURLOPT_PROXYPORT, strtol(call->peer_port, NULL, 10));
		curl_easy_setopt(easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
	}
	set_protocols(easy);
	if (call->tls || call->proxy != NULL)
		skymon_http_tls_set(easy, call->request->tls, call->proxy);
	set_name(call, easy);
	curl_easy_setopt(easy, CURLOPT_CURLU, call->url);
	curl_easy_setopt(easy, CURLOPT_RESOLVE, call->resolve);
	curl_easy_setopt(easy, CURLOPT_USERAGENT, "skymon");
	curl_easy_setopt(easy, CURLOPT_HTTPHEADER, call->headers);
	set_method(easy, call->request);
	curl_easy_setopt(easy, CURLOPT_NOPROGRESS, 0L);
	curl_easy_setopt(easy, CURLOPT_XFERINFOFUNCTION, on_progress);
	curl_easy_setopt(easy, CURLOPT_XFERINFODATA, call);
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(easy, CURLOPT_WRITEDATA, call);
	curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(easy, CURLOPT_HEADERDATA, call);
}

/* ---- Performing ---- */

static void take_answer(struct call *call, CURL *easy)
{
	struct skymon_http_answer *answer = call->sink.answer;
	const char *address = NULL;
	double connect = skymon_http_seconds(easy, CURLINFO_CONNECT_TIME_T);
	double ready = skymon_http_seconds(easy, CURLINFO_PRETRANSFER_TIME_T);
	answer->code = (int)skymon_http_number(easy, CURLINFO_RESPONSE_CODE);
	answer->reused = skymon_http_number(easy, CURLINFO_NUM_CONNECTS) == 0;
	answer->seconds = skymon_http_seconds(easy, CURLINFO_TOTAL_TIME_T);
	answer->wait_seconds = skymon_http_seconds(easy, CURLINFO_STARTTRANSFER_TIME_T) - ready;
	answer->trust = !call->tls                                                   ? SKYMON_TLS_NONE
			: call->request->tls != NULL && call->request->tls->insecure ? SKYMON_TLS_UNVERIFIED
										     : SKYMON_TLS_VERIFIED;
	answer->local = call->proxy == NULL &&
			curl_easy_getinfo(easy, CURLINFO_PRIMARY_IP, &address) == CURLE_OK &&
			address != NULL && skymon_net_host_is_local(address);
	if (!answer->reused) {
		answer->connect_seconds = connect;
		if (call->tls)
			answer->tls_seconds = skymon_http_seconds(easy, CURLINFO_APPCONNECT_TIME_T) - connect;
	}
	if (answer->body == NULL)
		answer->body = calloc(1, 1);
}

static void explain(struct call *call, CURL *easy, CURLcode code, struct skymon_fault *fault)
{
	struct skymon_http_failure failure = {
		.code = (int)code,
		.words = call->words,
		.os_errno = call->connect_error,
		.verify = skymon_http_number(easy, CURLINFO_SSL_VERIFYRESULT),
		.connect_code = skymon_http_number(easy, CURLINFO_HTTP_CONNECTCODE),
		.by_proxy = call->proxy != NULL,
		.tls = call->tls,
		.reused = skymon_http_number(easy, CURLINFO_NUM_CONNECTS) == 0,
		.connected = call->connected || skymon_http_seconds(easy, CURLINFO_CONNECT_TIME_T) > 0,
		.secured = skymon_http_seconds(easy, CURLINFO_APPCONNECT_TIME_T) > 0,
		.asked = skymon_http_seconds(easy, CURLINFO_PRETRANSFER_TIME_T) > 0,
		.answered = call->sink.answered,
		.received = call->sink.answer->size,
		.body_max = call->sink.max,
		.too_large = call->sink.too_large,
		.place = call->place,
		.name = call->name,
	};
	if (!failure.connected)
		failure.reused = false; /* no connection was opened */
	skymon_http_explain(&failure, fault);
}

/* Returns the time for this attempt, in ms. */
static long time_for(const struct call *call)
{
	int64_t left = skymon_ms_left(call->sm);
	if (call->request->timeout_ms > 0) {
		int64_t own = call->request->timeout_ms - (int64_t)((clock_now() - call->began) * 1000);
		left = own < left ? own : left;
	}
	return left < 0 ? 0 : left > 86400000 ? 86400000 : (long)left;
}

static void trace(const struct call *call, CURL *easy)
{
	bool reused = skymon_http_number(easy, CURLINFO_NUM_CONNECTS) == 0;
	skymon_trace(call->sm,
		     "http %s: %s after %.3f ms, TLS %.3f ms, request %.3f ms, answer began %.3f ms, "
		     "%ld after %.3f ms",
		     call->place, reused ? "kept connection" : "connected",
		     1e3 * skymon_http_seconds(easy, CURLINFO_CONNECT_TIME_T),
		     1e3 * skymon_http_seconds(easy, CURLINFO_APPCONNECT_TIME_T),
		     1e3 * skymon_http_seconds(easy, CURLINFO_PRETRANSFER_TIME_T),
		     1e3 * skymon_http_seconds(easy, CURLINFO_STARTTRANSFER_TIME_T),
		     skymon_http_number(easy, CURLINFO_RESPONSE_CODE),
		     1e3 * skymon_http_seconds(easy, CURLINFO_TOTAL_TIME_T));
}

static CURLcode attempt(struct call *call)
{
	CURL *easy = call->http->easy;
	long timeout_ms = time_for(call);
	call->timeout_ms = timeout_ms > 0 ? timeout_ms : 1;
	call->tried = clock_now();
	set_options(call, easy);
	CURLcode code = curl_easy_perform(easy);
	if (call->sm->host->trace != NULL)
		trace(call, easy);
	return code;
}

static bool prepare(struct call *call, struct skymon_fault *fault)
{
	struct skymon_http *http = call->http;
	if (http->easy == NULL)
		http->easy = curl_easy_init();
	if (http->easy != NULL && set_resolve(call))
		return true;
	skymon_fault_set(fault, SKYMON_UNKNOWN, SKYMON_RESOURCE, "out of memory for the request");
	return false;
}

static bool ask(struct call *call, struct skymon_fault *fault)
{
	CURLcode code = attempt(call);
	if (call->unresolved) {
		skymon_fault_set(fault, SKYMON_UNHEALTHY,
				 skymon_ms_left(call->sm) > 0 ? SKYMON_DNS : SKYMON_TIMEOUT,
				 "%s: its name cannot be resolved", call->place);
		fault->reported = true;
		skymon_http_answer_free(call->sink.answer);
		return false;
	}
	if (code == CURLE_OK && !call->sink.headed)
		code = CURLE_PARTIAL_FILE; /* libcurl accepts a head without its final empty line as a whole
					      answer */
	if (code == CURLE_OK) {
		take_answer(call, call->http->easy);
		if (call->sink.answer->body != NULL)
			return true;
		code = CURLE_OUT_OF_MEMORY;
	}
	explain(call, call->http->easy, code, fault);
	skymon_http_answer_free(call->sink.answer);
	return false;
}

/* Clears what the handle still points to before it is freed. */
static void end_call(struct call *call)
{
	CURL *easy = call->http->easy;
	if (easy != NULL) {
		curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, NULL);
		curl_easy_setopt(easy, CURLOPT_CURLU, NULL);
		curl_easy_setopt(easy, CURLOPT_RESOLVE, NULL);
		curl_easy_setopt(easy, CURLOPT_CONNECT_TO, NULL);
		curl_easy_setopt(easy, CURLOPT_HTTPHEADER, NULL);
		curl_easy_setopt(easy, CURLOPT_POSTFIELDS, NULL);
	}
	skymon_http_free_lines(call->headers);
	curl_slist_free_all(call->resolve);
	curl_slist_free_all(call->connect_to);
	curl_free(call->proxy_port);
	curl_free(call->proxy_host);
	curl_free(call->port);
	curl_free(call->host);
	curl_free(call->scheme);
	curl_url_cleanup(call->url);
}

bool skymon_http_do(struct skymon *sm, struct skymon_http *http, const struct skymon_http_request *request,
		    struct skymon_http_answer *answer, struct skymon_fault *fault)
{
	struct call call = {.sm = sm, .http = http, .request = request, .began = clock_now()};
	*answer = (struct skymon_http_answer){.days = {NAN, NAN}};
	*fault = (struct skymon_fault){.status = SKYMON_UNKNOWN, .reason = SKYMON_OTHER};
	call.sink.request = request;
	call.sink.answer = answer;
	call.sink.max = request->body_max > 0 ? request->body_max : SKYMON_HTTP_BODY_MAX;
	bool ok = read_url(&call, fault) &&
		  (!call.tls || skymon_http_files_are_readable(request->tls, fault)) &&
		  fill_headers(&call, fault) && prepare(&call, fault) && ask(&call, fault);
	end_call(&call);
	replace(http, ok);
	return ok;
}
