/* SPDX-License-Identifier: Apache-2.0 */
/* http_check: the component's state, its run, and what the worker's components share. All of it belongs to the
 * worker's main thread. */
#ifndef HTTP_CHECK_H
#define HTTP_CHECK_H

#include <curl/curl.h>
#include <skymon/http.h>
#include <skymon/loop.h>

#include "http_expect.h"

#define HTTP_REDIRECTS_MAX 10
#define HTTP_HEADERS_MAX (256u * 1024) /* bytes of all headers and trailers of a run's answers */

enum http_redirects { HTTP_REDIRECTS_NONE, HTTP_REDIRECTS_SAME_HOST, HTTP_REDIRECTS_FOLLOW };
enum http_version { HTTP_VERSION_1_1, HTTP_VERSION_2 };

struct http_secret_header { /* an entry of secret_headers */
	const char *name;
	struct skymon_secret value;
};

/* A URL, taken apart. Texts are libcurl's. */
struct http_url {
	CURLU *url; /* without user info */
	char *host, *port;
	bool tls;
};

struct http { /* the component's state */
	const char *target, *method, *request_body, *username, *proxy;
	struct skymon_secret token, password;
	struct skymon_map headers;
	struct skymon_list secret_headers; /* of struct http_secret_header */
	struct skymon_texts status;
	struct http_body body;
	struct skymon_choice redirects, version;
	struct skymon_bytes body_max;
	struct skymon_duration reconnect;
	struct skymon_tls tls;

	/* of start */
	struct skymon *sm;
	struct http_shared *shared;
	struct http_statuses statuses;
	struct http_patterns *patterns;
	struct http_url url;
	struct http_url by; /* the proxy; empty without one */
	char *proxy_url;    /* for libcurl: with the alias in place of its host, but for an https:// proxy */
	struct curl_slist *lines, *connect_to;
	const char *encoding; /* value of a configured Accept-Encoding */
	bool has_secret;
	size_t slot;
	char alias[24]; /* of the slot: the host's name in libcurl's caches of addresses and connections */

	int fd;               /* of the kept connection, which libcurl owns; -1 if there is none */
	int64_t opened_ms;    /* when it was opened, on the monotonic clock */
	struct http_run *run; /* NULL between runs */
};

/* One run, with its easy handle; it returns to the pool when it ends. */
struct http_run {
	struct http_run *next; /* in the pool */
	CURL *easy;
	bool plain; /* the handle has the options of a plain request */
	struct http *http;

	/* the request that is out */
	struct http_url hop;       /* of a redirect; empty for the configured URL */
	struct skymon_tls hop_tls; /* to another host: without our certificate */
	const char *method;
	bool with_body;
	bool same_host;  /* the configured one */
	bool own;        /* to the configured scheme, host and port: the connection may be kept */
	bool trusted;    /* headers, secrets and our certificate may be sent there */
	char place[300]; /* of the server, for messages */
	struct curl_slist *resolve;
	bool out;      /* added to the multi handle */
	bool may_open; /* the name has been looked up */
	bool denied;   /* libcurl wanted a new connection before that */
	bool opened;
	bool looked_up; /* a name, not an address */

	/* the answer */
	bool answered, headed, too_large;
	size_t header_size, received, size, room;
	char *bytes; /* of the body, if it is compared */
	struct skymon_tls_days days;

	/* the whole run */
	int64_t began_us, asked_us;
	int64_t resolve_us; /* of the last request; -1 if no name was looked up */
	unsigned redirects;
	char words[CURL_ERROR_SIZE];
};

struct http_socket {        /* of libcurl */
	struct http *owner; /* whose kept connection it is, or is to be; NULL if there is none */
	uint8_t watched;    /* SKYMON_READ and SKYMON_WRITE, as the loop watches it */
	bool wanted;        /* libcurl waits for it */
};

struct http_shared {                /* of the process */
	struct skymon *sm;          /* load's handle */
	struct http_shard **shards; /* libcurl's multi handles */
	size_t shard_count;
	int64_t armed_us; /* when the timer is due; -1: not */
	struct http_run *pool;
	size_t pooled;
	struct http **slots;
	size_t slot_room;
	struct http_socket *sockets; /* by descriptor */
	size_t socket_room;
};

/* ---- http_loop.c: libcurl's multi handles on the worker's loop, the pool of runs, sockets and their owners ---- */

bool http_loop_load(struct skymon *sm, struct http_shared *shared);
void http_loop_unload(struct http_shared *shared);
int64_t http_clock_us(void); /* monotonic */

bool http_slot_take(struct http *http); /* false: out of memory */
void http_slot_give(struct http *http);

struct http_run *http_run_take(struct http_shared *shared); /* NULL: out of memory */
void http_run_give(struct http_shared *shared, struct http_run *run);

bool http_loop_add(struct http_run *run);    /* starts the transfer: http_run_ended is called later */
void http_loop_remove(struct http_run *run); /* also one that has not ended: its connection is closed */
/* Notes which socket the component's connection has, after a run that opened one. */
void http_loop_adopt(struct http *http);
/* Closes the kept connection: libcurl finds it dead, and so does the server at once. */
void http_loop_drop(struct http *http);
/* For libcurl, with the run as data. */
curl_socket_t http_on_open(void *arg, curlsocktype purpose, struct curl_sockaddr *address);
int http_on_close(void *shared, curl_socket_t fd);

/* ---- http_run.c ---- */

void http_run_begin(struct http *http);
enum skymon_status http_run_cancel(struct http *http);
void http_run_ended(struct http_run *run, CURLcode code);

/* ---- http_request.c: what is sent, and where ---- */

/* Takes a URL apart; false if it is not valid, or memory is out. */
bool http_url_read(struct http_url *to, const char *text);
void http_url_free(struct http_url *url);
/* Makes the component's lines of headers, and the names for libcurl. Returns false with the reason in *why. */
bool http_request_prepare(struct http *http, const char **why);
void http_request_free(struct http *http);
/* Returns the name under which libcurl finds the peer's addresses. */
const char *http_alias(const struct http *http);
/* Sets the handle's options for the request that is next. */
void http_request_set(struct http_run *run);
/* Goes on to where the answer redirects. Returns false with *fault set if that is not followed. */
bool http_request_redirect(struct http_run *run, int code, const char *location, struct skymon_fault *fault);
const char *http_name_fault(const char *name); /* of a header, as in "the header … %s"; NULL if it is valid */

/* ---- http_report.c: what a run reports ---- */

enum skymon_status http_report_answer(struct http_run *run);
enum skymon_status http_report_fault(struct http_run *run, CURLcode code);

#endif
