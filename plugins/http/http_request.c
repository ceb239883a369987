/* SPDX-License-Identifier: Apache-2.0 */
/* http_request: what a request sends and where: URLs, headers, libcurl's options, redirects. Called by http.c in
 * `start` and by http_run.c, on the worker's main thread. Owns a component's prepared lists, with its secrets in them.
 *
 * libcurl follows no redirect itself: each place is looked at here, and headers, secrets, the request's body and our
 * certificate are sent to the configured host only. */
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "http_check.h"
#include "http_private.h"

#define RECEIVE_SIZE 4096L /* of each transfer, of which thousands may be out */

/* ---- URLs ---- */

void http_url_free(struct http_url *url)
{
	curl_free(url->port);
	curl_free(url->host);
	curl_url_cleanup(url->url);
	*url = (struct http_url){0};
}

bool http_url_read(struct http_url *to, const char *text)
{
	*to = (struct http_url){.url = skymon_http_parse(text)};
	if (to->url == NULL)
		return false;
	char *scheme = skymon_http_part(to->url, CURLUPART_SCHEME);
	to->tls = scheme != NULL && strcmp(scheme, "https") == 0;
	curl_free(scheme);
	to->host = skymon_http_part(to->url, CURLUPART_HOST);
	to->port = skymon_http_part(to->url, CURLUPART_PORT);
	if (to->host != NULL && to->port != NULL)
		return true;
	http_url_free(to);
	return false;
}

static bool is_default_port(const struct http_url *url)
{
	return strcmp(url->port, url->tls ? "443" : "80") == 0;
}

/* ---- Headers ---- */

const char *http_name_fault(const char *name)
{
	if (name[0] == '\0' || name[strspn(name, "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"
						 "ABCDEFGHIJKLMNOPQRSTUVWXYZ")] != '\0')
		return "is not a valid name of a header";
	if (strcasecmp(name, "Content-Length") == 0 || strcasecmp(name, "Transfer-Encoding") == 0)
		return "is set by the request itself";
	return NULL;
}

/* Adds "Authorization: Basic …". */
static bool add_basic(struct http *http, const char *user, const char *password)
{
	size_t size = strlen(user) + strlen(password) + 1;
	char *pair = malloc(size + 1), *value = malloc(size * 4 / 3 + 8);
	bool ok = pair != NULL && value != NULL;
	if (ok) {
		snprintf(pair, size + 1, "%s:%s", user, password);
		EVP_EncodeBlock((unsigned char *)value, (const unsigned char *)pair, (int)size);
		ok = skymon_http_add_line(&http->lines, "Authorization", "Basic ", value);
		explicit_bzero(value, strlen(value));
	}
	skymon_http_wipe(pair, pair != NULL ? size : 0);
	free(value);
	return ok;
}

/* Moves the URL's user info into a header, so that it goes where the other secrets go. */
static bool add_user_info(struct http *http)
{
	char *user = NULL, *password = NULL;
	bool ok = true;
	curl_url_get(http->url.url, CURLUPART_USER, &user, CURLU_URLDECODE);
	curl_url_get(http->url.url, CURLUPART_PASSWORD, &password, CURLU_URLDECODE);
	if (user != NULL || password != NULL) {
		ok = add_basic(http, user != NULL ? user : "", password != NULL ? password : "");
		http->has_secret = true;
		curl_url_set(http->url.url, CURLUPART_USER, NULL, 0);
		curl_url_set(http->url.url, CURLUPART_PASSWORD, NULL, 0);
	}
	if (password != NULL)
		explicit_bzero(password, strlen(password));
	curl_free(password);
	curl_free(user);
	return ok;
}

/* Returns whether the secret can be the value of a header. */
static bool is_sendable(const struct skymon_secret *secret, const char *option, const char **why)
{
	for (size_t i = 0; i < secret->size; i++)
		if ((unsigned char)secret->bytes[i] < ' ' && secret->bytes[i] != '\t') {
			*why = option;
			return false;
		}
	return true;
}

static bool add_secrets(struct http *http, const char **why)
{
	const struct http_secret_header *items = http->secret_headers.items;
	if (!is_sendable(&http->token, "token holds a line break or another control character", why) ||
	    !is_sendable(&http->password, "password holds a line break or another control character", why))
		return false;
	http->has_secret =
		http->token.bytes != NULL || http->password.bytes != NULL || http->secret_headers.count > 0;
	for (size_t i = 0; i < http->secret_headers.count; i++)
		if (!is_sendable(&items[i].value,
				 "secret_headers: a value holds a line break or another control character",
				 why) ||
		    !skymon_http_add_line(&http->lines, items[i].name, "", items[i].value.bytes))
			return false;
	if (http->token.bytes != NULL)
		return skymon_http_add_line(&http->lines, "Authorization", "Bearer ", http->token.bytes);
	if (http->username != NULL)
		return add_basic(http, http->username,
				 http->password.bytes != NULL ? http->password.bytes : "");
	return add_user_info(http);
}

/* A certificate's name that differs from the host takes the host's place in the URL; the server still gets the host. */
static bool add_headers(struct http *http)
{
	http->lines = curl_slist_append(NULL, "Expect:"); /* no 100-continue */
	bool has_host = false, ok = http->lines != NULL;
	for (size_t i = 0; ok && i < http->headers.count; i++) {
		const struct skymon_label *header = &http->headers.items[i];
		has_host |= strcasecmp(header->name, "Host") == 0;
		if (strcasecmp(header->name, "Accept-Encoding") == 0)
			http->encoding = header->value; /* libcurl sends it, and decodes the answer */
		else
			ok = skymon_http_add_line(&http->lines, header->name, "", header->value);
	}
	if (ok && http->url.tls && http->tls.server_name != NULL && !has_host) {
		char host[300];
		bool usual = is_default_port(&http->url);
		snprintf(host, sizeof(host), "%.253s%s%s", http->url.host, usual ? "" : ":",
			 usual ? "" : http->url.port);
		ok = skymon_http_add_line(&http->lines, "Host", "", host);
	}
	return ok;
}

/* ---- The component's own connection ---- */

/* Returns whether the proxy's certificate has to name it, so that it cannot have an alias. */
static bool is_named_proxy(const struct http *http)
{
	return http->by.url != NULL && http->by.tls;
}

const char *http_alias(const struct http *http)
{
	return is_named_proxy(http) ? http->by.host : http->alias;
}

/* Gives libcurl an alias for the host that it connects to. */
static bool add_alias(struct http *http)
{
	char entry[64];
	if (http->by.url == NULL) {
		snprintf(entry, sizeof(entry), "::%s:", http->alias);
		http->connect_to = curl_slist_append(NULL, entry);
		return http->connect_to != NULL;
	}
	return curl_url_set(http->by.url, CURLUPART_HOST, http_alias(http), 0) == CURLUE_OK &&
	       curl_url_get(http->by.url, CURLUPART_URL, &http->proxy_url, 0) == CURLUE_OK;
}

static bool read_urls(struct http *http)
{
	const char *proxy = skymon_http_given_proxy(http->proxy);
	if (!http_url_read(&http->url, http->target))
		return false;
	if (proxy == NULL)
		return true;
	http->by.url = skymon_http_parse(proxy);
	if (http->by.url == NULL)
		return false;
	http->by.tls = strncasecmp(proxy, "https:", 6) == 0;
	http->by.host = skymon_http_part(http->by.url, CURLUPART_HOST);
	http->by.port = skymon_http_part(http->by.url, CURLUPART_PORT);
	if (http->by.port == NULL) { /* SOCKS has no default in libcurl's parser */
		curl_url_set(http->by.url, CURLUPART_PORT, "1080", 0);
		http->by.port = skymon_http_part(http->by.url, CURLUPART_PORT);
	}
	return http->by.host != NULL && http->by.port != NULL;
}

bool http_request_prepare(struct http *http, const char **why)
{
	*why = "out of memory";
	if (!read_urls(http) || !add_headers(http) || !add_secrets(http, why) || !http_slot_take(http))
		return false;
	if (http->url.tls && http->tls.server_name != NULL &&
	    curl_url_set(http->url.url, CURLUPART_HOST, http->tls.server_name, 0) != CURLUE_OK) {
		*why = "tls.server_name is not a valid name of a host";
		return false;
	}
	return add_alias(http);
}

void http_request_free(struct http *http)
{
	skymon_http_free_lines(http->lines);
	curl_slist_free_all(http->connect_to);
	curl_free(http->proxy_url);
	http_url_free(&http->by);
	http_url_free(&http->url);
	http->lines = http->connect_to = NULL;
	http->proxy_url = NULL;
	http_slot_give(http);
}

/* ---- A request ---- */

static void set_method(const struct http_run *run)
{
	CURL *easy = run->easy;
	const char *body = run->with_body ? run->http->request_body : NULL;
	if (strcmp(run->method, "HEAD") == 0) {
		curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
		return;
	}
	if (body != NULL || strcmp(run->method, "POST") == 0) {
		curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE,
				 body != NULL ? (curl_off_t)strlen(body) : (curl_off_t)0);
		curl_easy_setopt(easy, CURLOPT_POSTFIELDS, body != NULL ? body : "");
	}
	if (body != NULL || strcmp(run->method, "GET") != 0)
		curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, run->method);
}

/* A proxy of https:// is shared by name, so its connections are not kept. */
static void set_connection(const struct http_run *run)
{
	const struct http *http = run->http;
	CURL *easy = run->easy;
	bool kept = run->own && http->reconnect.ms > 0 && !is_named_proxy(http);
	curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, kept ? 0L : 1L);
	curl_easy_setopt(easy, CURLOPT_FORBID_REUSE, kept ? 0L : 1L);
	curl_easy_setopt(easy, CURLOPT_RESOLVE, run->resolve);
	curl_easy_setopt(easy, CURLOPT_CONNECT_TO, http->connect_to);
	curl_easy_setopt(easy, CURLOPT_PROXY,
			 http->proxy_url != NULL ? http->proxy_url
						 : ""); /* "" also overrides the environment */
	if (http->proxy_url != NULL)
		curl_easy_setopt(easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
	/* With several addresses each gets its part of this time. */
	int64_t left = skymon_ms_left(http->sm);
	curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, left < 1 ? 1L : (long)left);
}

static void set_version(const struct http_run *run, bool tls)
{
	long version = run->http->version.index == HTTP_VERSION_1_1 ? CURL_HTTP_VERSION_1_1
		       : tls                                        ? CURL_HTTP_VERSION_2TLS
								    : CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE;
	curl_easy_setopt(run->easy, CURLOPT_HTTP_VERSION, version);
}

static size_t on_body(char *bytes, size_t one, size_t count, void *arg)
{
	struct http_run *run = arg;
	size_t size = one * count, max = (size_t)run->http->body_max.count;
	if (size > max - run->received) {
		run->too_large = true;
		return size + 1; /* an error for libcurl, for an empty piece too */
	}
	run->received += size;
	if (!http_body_is_asked(&run->http->body))
		return size;
	if (run->size + size > run->room) {
		size_t room = run->room == 0 ? 4096 : run->room;
		while (room < run->size + size)
			room *= 2;
		char *larger = realloc(run->bytes, room);
		if (larger == NULL)
			return size + 1;
		run->bytes = larger;
		run->room = room;
	}
	memcpy(run->bytes + run->size, bytes, size);
	run->size += size;
	return size;
}

static size_t on_header(char *line, size_t one, size_t count, void *arg)
{
	struct http_run *run = arg;
	size_t size = one * count;
	if (!run->answered)
		run->days = skymon_http_tls_days(run->easy);
	run->answered = true;
	run->header_size += size;
	if (run->header_size > HTTP_HEADERS_MAX) { /* libcurl stores all of them, endless trailers too */
		run->too_large = true;
		return 0;
	}
	if (size >= 5 && memcmp(line, "HTTP/", 5) == 0) /* another answer follows, as after 100 Continue */
		run->headed = false;
	else if (line[0] == '\r' || line[0] == '\n')
		run->headed = true;
	return size;
}

/* Options that are the same for all requests of a run: a handle keeps its run. */
static void set_defaults(struct http_run *run)
{
	CURL *easy = run->easy;
	curl_easy_setopt(easy, CURLOPT_PRIVATE, run);
	curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, run->words);
	curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(easy, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
	curl_easy_setopt(easy, CURLOPT_HTTP09_ALLOWED, 0L);
	curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);
	curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(easy, CURLOPT_NOPROXY, "");
	curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, RECEIVE_SIZE);
	curl_easy_setopt(easy, CURLOPT_MAXAGE_CONN, 86400L); /* `reconnect` decides */
	/* Otherwise the end of each transfer walks through the addresses of all components. */
	curl_easy_setopt(easy, CURLOPT_DNS_CACHE_TIMEOUT, -1L);
	curl_easy_setopt(easy, CURLOPT_USERAGENT, "skymon");
	curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, http_on_open);
	curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, run);
	curl_easy_setopt(easy, CURLOPT_CLOSESOCKETFUNCTION, http_on_close);
	curl_easy_setopt(easy, CURLOPT_CLOSESOCKETDATA, run->http->shared);
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(easy, CURLOPT_WRITEDATA, run);
	curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(easy, CURLOPT_HEADERDATA, run);
}

/* Returns whether the request is a GET of http:// without options of its own that http_request_set leaves set. */
static bool is_plain(const struct http_run *run, const struct http_url *url)
{
	const struct http *http = run->http;
	return !url->tls && http->proxy_url == NULL && http->encoding == NULL && !run->with_body &&
	       strcmp(run->method, "GET") == 0;
}

void http_request_set(struct http_run *run)
{
	const struct http *http = run->http;
	const struct http_url *url = run->hop.url != NULL ? &run->hop : &http->url;
	bool plain = is_plain(run, url);
	/* Most requests differ from the one before by what is set below: the others begin with a handle as new, and
	 * leave one that must be. The reset keeps libcurl's connections. */
	if (!plain || !run->plain) {
		curl_easy_reset(run->easy);
		set_defaults(run);
	}
	run->plain = plain;
	curl_easy_setopt(run->easy, CURLOPT_URL, NULL); /* else libcurl keeps the text of the one before */
	curl_easy_setopt(run->easy, CURLOPT_CURLU, url->url);
	curl_easy_setopt(run->easy, CURLOPT_HTTPHEADER, run->trusted ? http->lines : NULL);
	if (run->trusted && http->encoding != NULL)
		curl_easy_setopt(run->easy, CURLOPT_ACCEPT_ENCODING, http->encoding);
	if (!plain)
		set_method(run);
	set_connection(run);
	set_version(run, url->tls);
	if (url->tls || http->proxy_url != NULL)
		skymon_http_tls_set(run->easy, run->trusted ? &http->tls : &run->hop_tls, http->proxy_url);
}

/* ---- Redirects ---- */

static bool is_same_text(const char *a, const char *b)
{
	return strcasecmp(a, b) == 0;
}

/* Returns whether a place's host is the configured one, by its name in the URL or in the certificate. */
static bool is_same_host(const struct http *http, const struct http_url *to)
{
	return is_same_text(to->host, http->url.host) ||
	       (http->tls.server_name != NULL && is_same_text(to->host, http->tls.server_name));
}

/* From http to https on the usual ports is the same server; other ports may be another's. */
static bool is_upgrade(const struct http_url *from, const struct http_url *to)
{
	return !from->tls && to->tls && is_default_port(from) && is_default_port(to);
}

static bool refuse(struct skymon_fault *fault, const struct http_run *run, const char *words)
{
	skymon_fault_set(fault, SKYMON_UNHEALTHY, SKYMON_HTTP_STATUS, "%s: %s", run->place, words);
	return false;
}

static void set_next_method(struct http_run *run, int code)
{
	bool get = code == 303 ? strcmp(run->method, "HEAD") != 0
			       : (code == 301 || code == 302) && strcmp(run->method, "POST") == 0;
	if (get) {
		run->method = "GET";
		run->with_body = false;
	}
}

bool http_request_redirect(struct http_run *run, int code, const char *location, struct skymon_fault *fault)
{
	const struct http *http = run->http;
	struct http_url to;
	if (++run->redirects > HTTP_REDIRECTS_MAX)
		return refuse(fault, run, "redirects more than 10 times");
	if (skymon_http_url_fault(location) != NULL || !http_url_read(&to, location))
		return refuse(fault, run, "redirects to what is not a URL of http:// or https://");
	bool same = is_same_host(http, &to);
	if (!same && http->redirects.index == HTTP_REDIRECTS_SAME_HOST) {
		http_url_free(&to);
		return refuse(fault, run,
			      "redirects to another host, which `redirects: same_host` does not follow");
	}
	http_url_free(&run->hop);
	run->hop = to;
	set_next_method(run, code);
	curl_url_set(to.url, CURLUPART_USER, NULL, 0);
	curl_url_set(to.url, CURLUPART_PASSWORD, NULL, 0);
	run->same_host = same;
	run->own = same && to.tls == http->url.tls && is_same_text(to.port, http->url.port);
	run->trusted = run->own || (same && is_upgrade(&http->url, &to));
	run->hop_tls = (struct skymon_tls){.ca_file = http->tls.ca_file, .insecure = http->tls.insecure};
	if (!run->trusted && strcmp(run->method, "GET") != 0 && strcmp(run->method, "HEAD") != 0)
		return refuse(fault, run,
			      "redirects the request with its body to another host, which is not followed");
	if (run->trusted && to.tls && http->tls.server_name != NULL)
		curl_url_set(to.url, CURLUPART_HOST, http->tls.server_name, 0);
	snprintf(run->place, sizeof(run->place), "%.253s:%s", same ? http->url.host : to.host, to.port);
	return true;
}
