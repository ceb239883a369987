/* SPDX-License-Identifier: Apache-2.0 */
/* http: checks what an HTTP server answers: status, body, values in its JSON, certificate, times. Called by the worker on its
 * main thread: runs begin there and end later (skymon/loop.h), so that thousands wait at once without a thread each. Owns the
 * option tables and each component's state; http_run.c has the run, http_loop.c libcurl's multi handle. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "http_check.h"
#include "http_private.h"

static const char *const redirect_words[] = {"none", "same_host", "follow", NULL};
static const char *const version_words[] = {"1.1", "2", NULL};

static const struct skymon_option json_options[] = {
	SKYMON_OPT(struct http_json, pointer, NULL,
		   "JSON pointer (RFC 6901) of a value that must be there: /items/0/name",
		   .flags = SKYMON_REQUIRED),
	SKYMON_OPT(struct http_json, equals, NULL, "the value: a text, a number, true, false or null"),
	SKYMON_OPT(struct http_json, above, NULL, "the value is a number above this one"),
	SKYMON_OPT(struct http_json, below, NULL, "the value is a number below this one"),
	{0}};

static const struct skymon_option secret_header_options[] = {
	SKYMON_OPT(struct http_secret_header, name, NULL, "name of the header", .flags = SKYMON_REQUIRED),
	SKYMON_OPT(struct http_secret_header, value, NULL, "its value", .flags = SKYMON_REQUIRED),
	{0}};

static const struct skymon_option options[] = {
	SKYMON_OPT_NAMED(struct http, target, "url", NULL, "http:// or https:// URL to ask",
			 .flags = SKYMON_TARGET),
	SKYMON_OPT(struct http, method, "GET", "method of the request"),
	SKYMON_OPT(
		struct http, headers, NULL,
		"further headers of the request. Host replaces the URL's; Accept-Encoding (gzip) also decodes the answer"),
	SKYMON_OPT(struct http, secret_headers, NULL,
		   "headers whose values are secrets: a list of {name, value}", .item = secret_header_options,
		   .item_size = sizeof(struct http_secret_header)),
	SKYMON_OPT_NAMED(struct http, request_body, "body", NULL,
			 "body of the request; set a Content-Type in `headers`"),
	SKYMON_OPT(struct http, token, NULL, "sent as Authorization: Bearer"),
	SKYMON_OPT(struct http, username, NULL,
		   "sent with `password` as Authorization: Basic; overrides user info in the URL"),
	SKYMON_OPT(struct http, password, NULL, "of `username`"),
	SKYMON_OPT(struct http, status, "200-299",
		   "status codes that are healthy: codes and ranges, as in \"200-299, 401\""),
	SKYMON_OPT_NAMED(struct http, body.contains, "contains", NULL,
			 "text that the answer's body must contain (case counts), or a list: all of them"),
	SKYMON_OPT_NAMED(struct http, body.not_contains, "not_contains", NULL,
			 "text that the answer's body must not contain, or a list: none of them"),
	SKYMON_OPT_NAMED(
		struct http, body.matches, "matches", NULL,
		"regular expression (PCRE2, UTF-8; (?i) ignores case) that must match somewhere in the body, or a list: all of them"),
	SKYMON_OPT_NAMED(struct http, body.json, "json", NULL,
			 "values that the answer's JSON must have: a list of {pointer, equals, above, below}",
			 .item = json_options, .item_size = sizeof(struct http_json)),
	SKYMON_OPT(
		struct http, redirects, "none",
		"follow redirects (at most 10): none, same_host, or follow to any host. Another host gets no headers, secrets, body or certificate of ours",
		.words = redirect_words),
	SKYMON_OPT_NAMED(
		struct http, version, "http_version", "1.1",
		"1.1; or 2: the answer must be HTTP/2 (over http://, without TLS, by prior knowledge)",
		.words = version_words),
	SKYMON_OPT(struct http, body_max, "1MiB",
		   "largest body of an answer that is read; a larger one is unhealthy/protocol", .min = 0,
		   .max = 64.0 * 1024 * 1024),
	SKYMON_OPT(struct http, reconnect, "1m",
		   "age from which a kept connection is replaced by a new one; 0: a new one in each check",
		   .min = 0, .max = 366.0 * 24 * 3600 * 1000),
	SKYMON_OPT(
		struct http, tls, NULL,
		"how https:// verifies the server; insecure: any certificate, or with http:// a secret without TLS to another machine"),
	SKYMON_OPT(struct http, proxy, NULL, "http://, https:// or socks5h:// URL of a proxy, or none"),
	{0}};

static const struct skymon_number numbers[] = {
	{"request_time", "s", "the whole run: name, connection, request, answer, redirects"},
	{"resolve_time", "s", "to look the name up; when a connection was opened to a name"},
	{"connect_time", "s",
	 "to connect by TCP, a race of its addresses included; when a connection was opened"},
	{"tls_time", "s", "TLS's handshake, through a proxy with its CONNECT; when a connection was opened"},
	{"first_byte_time", "s", "from the request to the answer's first byte"},
	{"body_size", "bytes", "of the answer's body, decoded"},
	{"status_code", "", "of the answer"},
	SKYMON_TLS_NUMBERS,
	{0}};

/* ---- Validate ---- */

static void validate_url(struct skymon *sm, const struct http *http)
{
	bool secret =
		http->token.bytes != NULL || http->password.bytes != NULL || http->secret_headers.count > 0;
	skymon_http_validate(sm, "url", http->target, http->proxy, &http->tls, secret);
	if (http->version.index == HTTP_VERSION_2 && skymon_http_given_proxy(http->proxy) != NULL &&
	    strncasecmp(http->target, "http:", 5) == 0)
		skymon_invalid(sm, "http_version", "cannot be 2 for http:// through a proxy");
}

static bool has_header(const struct http *http, const char *name)
{
	const struct http_secret_header *items = http->secret_headers.items;
	for (size_t i = 0; i < http->headers.count; i++)
		if (strcasecmp(http->headers.items[i].name, name) == 0)
			return true;
	for (size_t i = 0; i < http->secret_headers.count; i++)
		if (strcasecmp(items[i].name, name) == 0)
			return true;
	return false;
}

static void validate_login(struct skymon *sm, const struct http *http)
{
	if (http->token.bytes != NULL && (http->username != NULL || http->password.bytes != NULL))
		skymon_invalid(sm, "token", "cannot be combined with username and password");
	else if (http->password.bytes != NULL && http->username == NULL)
		skymon_invalid(sm, "password", "needs username");
	if ((http->token.bytes != NULL || http->username != NULL) && has_header(http, "Authorization"))
		skymon_invalid(sm, http->token.bytes != NULL ? "token" : "username",
			       "cannot be combined with a header Authorization");
	if (http->username != NULL && strchr(http->username, ':') != NULL)
		skymon_invalid(sm, "username", "must not contain a colon");
}

/* Returns whether a text has no control character, which could end its line. */
static bool is_one_line(const char *text)
{
	for (; *text != '\0'; text++)
		if (((unsigned char)*text < ' ' && *text != '\t') || *text == '\x7f')
			return false;
	return true;
}

static void validate_headers(struct skymon *sm, const struct http *http)
{
	const struct http_secret_header *items = http->secret_headers.items;
	for (size_t i = 0; i < http->headers.count; i++) {
		const char *name = http->headers.items[i].name, *why = http_name_fault(name);
		if (why != NULL)
			skymon_invalid(sm, "headers", "has the key `%.63s`, which %s", name, why);
		else if (!is_one_line(http->headers.items[i].value))
			skymon_invalid(sm, "headers", "has a control character in the value of `%.63s`",
				       name);
	}
	for (size_t i = 0; i < http->secret_headers.count; i++) {
		const char *why = http_name_fault(items[i].name);
		char option[64];
		snprintf(option, sizeof(option), "secret_headers[%zu].name", i + 1);
		if (why != NULL)
			skymon_invalid(sm, option, "%s", why);
	}
}

static void validate_texts(struct skymon *sm, const char *option, const struct skymon_texts *texts)
{
	for (size_t i = 0; i < texts->count; i++)
		if (texts->items[i][0] == '\0')
			skymon_invalid(sm, option, "must not hold an empty text");
}

static void validate_body(struct skymon *sm, const struct http *http)
{
	const struct http_json *items = http->body.json.items;
	char why[HTTP_WHY];
	validate_texts(sm, "contains", &http->body.contains);
	validate_texts(sm, "not_contains", &http->body.not_contains);
	struct http_patterns *patterns = http_patterns_read(&http->body.matches, why);
	if (patterns == NULL)
		skymon_invalid(sm, "matches", "%s", why);
	http_patterns_free(patterns);
	for (size_t i = 0; i < http->body.json.count; i++) {
		const char *member, *fault = http_json_fault(&items[i], &member);
		char option[64];
		snprintf(option, sizeof(option), "json[%zu].%s", i + 1, member);
		if (fault != NULL)
			skymon_invalid(sm, option, "%s", fault);
	}
	if (strcmp(http->method, "HEAD") == 0 && http_body_is_asked(&http->body))
		skymon_invalid(sm, "method", "cannot be HEAD, whose answer has no body to compare");
}

static void validate(struct skymon *sm, const void *state)
{
	const struct http *http = state;
	struct http_statuses statuses;
	validate_url(sm, http);
	validate_login(sm, http);
	validate_headers(sm, http);
	const char *why = http_statuses_read(&http->status, &statuses);
	if (why != NULL)
		skymon_invalid(sm, "status", "%s", why);
	if (http->method[0] == '\0' ||
	    http->method[strspn(http->method, "ABCDEFGHIJKLMNOPQRSTUVWXYZ-")] != '\0' ||
	    strcmp(http->method, "CONNECT") == 0)
		skymon_invalid(sm, "method",
			       "must be a method in capital letters, such as GET, and not CONNECT");
	validate_body(sm, http);
}

/* ---- Life ---- */

static bool load(struct skymon *sm, void *shared)
{
	return http_loop_load(sm, shared);
}

static void unload(struct skymon *sm, void *shared)
{
	(void)sm;
	http_loop_unload(shared);
}

static void stop(struct skymon *sm, void *state)
{
	struct http *http = state;
	(void)sm;
	http_loop_drop(http);
	http_request_free(http);
	http_patterns_free(http->patterns);
	http->patterns = NULL;
}

static bool start(struct skymon *sm, void *state)
{
	struct http *http = state;
	char why[HTTP_WHY];
	const char *words = why;
	http->sm = sm;
	http->shared = skymon_shared(sm);
	http->fd = -1;
	http_statuses_read(&http->status, &http->statuses); /* validated */
	http->patterns = http_patterns_read(&http->body.matches, why);
	http->body.patterns = http->patterns;
	if (http->patterns != NULL && http_request_prepare(http, &words))
		return true;
	skymon_unknown(sm, "%s", words);
	stop(sm, state);
	return false;
}

static void begin(struct skymon *sm, void *state)
{
	(void)sm;
	http_run_begin(state);
}

static enum skymon_status cancel(struct skymon *sm, void *state)
{
	(void)sm;
	return http_run_cancel(state);
}

SKYMON_PLUGIN(http, "1.0", "HTTP: status, body, values in JSON, redirects, certificate and times of a URL",
	      .state_size = sizeof(struct http), .shared_size = sizeof(struct http_shared),
	      .options = options, .numbers = numbers, .load = load, .unload = unload, .start = start,
	      .stop = stop, .begin = begin, .cancel = cancel, .validate = validate);
