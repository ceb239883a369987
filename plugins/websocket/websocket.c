/* SPDX-License-Identifier: Apache-2.0 */
/* websocket: checks that a server speaks WebSocket (RFC 6455), answers a ping and, if configured, a message.
 * Called by the worker, each component on its own thread; owns the kept connection. Frames and handshake are
 * our own code (websocket_frame.h has the reasons), the socket is skymon_net's (websocket_link.c).
 *
 * Close codes of a new connection: 3000 and 3003 (unauthorized, forbidden) are auth_failed; 1013 (try again
 * later) is resource; 1002, 1003, 1007, 1009 and 1010, which blame the client, and an end without a close
 * frame are protocol; all others, 1011 (internal error) included, are other: such a server obeys the
 * protocol. A kept connection may be closed with any code: the next connection decides. */
#include <linux/sockios.h>
#include <math.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/random.h>

#include "websocket.h"

static const struct skymon_option options[] = {
	SKYMON_OPT(struct websocket, url, "${WEBSOCKET_URL:-}", "ws://host:port/path or wss://host:port/path",
		   .flags = SKYMON_TARGET),
	SKYMON_OPT(struct websocket, headers, NULL,
		   "further headers of the handshake; Host here replaces the URL's"),
	SKYMON_OPT(struct websocket, authorization, NULL,
		   "the handshake's Authorization, whole: \"Bearer …\"; overrides user info in the URL"),
	SKYMON_OPT(struct websocket, origin, NULL,
		   "the handshake's Origin, as a browser sends it: https://example.com"),
	SKYMON_OPT(struct websocket, subprotocol, NULL,
		   "sub-protocol to ask for, or a list: the server must agree to one"),
	SKYMON_OPT(struct websocket, send, NULL, "text message to send in each check"),
	SKYMON_OPT(struct websocket, expect, NULL,
		   "text that a following message must contain (anywhere in it; case counts). Without "
		   "`send` the "
		   "server must send it by itself after the handshake, which is then made in each check"),
	SKYMON_OPT(struct websocket, reconnect, "1m",
		   "age from which a kept connection is replaced by a new one; 0: a new one in each check",
		   .min = 0, .max = 366.0 * 24 * 3600 * 1000),
	SKYMON_OPT(struct websocket, tls, NULL,
		   "how wss:// verifies the server; insecure: any certificate, or with ws:// a login without "
		   "TLS to "
		   "another machine"),
	SKYMON_OPT(struct websocket, proxy, NULL, "http://host:port of a proxy to CONNECT through, or none"),
	{0}};

static const struct skymon_number numbers[] = {
	{"pong_time", "s", "from a ping to its pong"},
	{"handshake_time", "s",
	 "to open a connection: name, TCP, proxy, TLS and handshake; when one was opened"},
	SKYMON_TLS_NUMBERS,
	{"message_time", "s",
	 "from `send` (without it: from the handshake) to the message that `expect` wants"},
	{0}};

struct run { /* one check; times are -1 when they were not measured */
	bool kept, parted;
	bool stays; /* the kept connection, as no new one could take its place */
	const char *subprotocol;
	double pong_seconds, handshake_seconds, message_seconds, age_seconds;
};

/* ---- Start ---- */

/* Returns what is wrong with the URL, as in "url %s"; NULL if it is valid. *url is for skymon_net_url_free() in
 * both cases. */
static const char *url_fault(const char *text, struct skymon_net_url *url)
{
	const char *why;
	if (!skymon_net_url_parse(text, url, &why))
		return why;
	if (strcmp(url->scheme, "wss") != 0 && strcmp(url->scheme, "ws") != 0)
		return "must begin with ws:// or wss://";
	if (!websocket_is_sendable(url->path) || !websocket_is_sendable(url->query) ||
	    strchr(url->path, ' ') != NULL || strchr(url->query, ' ') != NULL)
		return "has characters in its path or query that must be written as %XX";
	return NULL;
}

static bool read_url(struct skymon *sm, struct websocket *ws)
{
	struct skymon_net_url *url = &ws->address;
	const char *why = url_fault(ws->url, url);
	if (why != NULL) {
		skymon_unknown(sm, "url %s", why);
		return false;
	}
	ws->to.secure = strcmp(url->scheme, "wss") == 0;
	ws->to.host = url->host;
	ws->to.port = url->port != 0 ? url->port : ws->to.secure ? 443 : 80;
	skymon_net_place(url->host, ws->to.port, ws->place, sizeof(ws->place));
	snprintf(ws->host, sizeof(ws->host), "%s", ws->place);
	if (ws->to.port == (ws->to.secure ? 443 : 80)) /* Host omits the default port */
		*strrchr(ws->host, ':') = '\0';
	return true;
}

/* Makes Basic authentication from the URL's user info, as browsers and curl do. */
static bool make_basic(struct websocket *ws)
{
	const struct skymon_net_url *url = &ws->address;
	size_t size = strlen(url->user) + strlen(url->password) + 1;
	if (url->user[0] == '\0' && !url->has_password)
		return true;
	char *word = malloc(size + 1);
	ws->basic = malloc(size * 4 / 3 + 16);
	if (word != NULL && ws->basic != NULL) {
		snprintf(word, size + 1, "%s:%s", url->user, url->password);
		memcpy(ws->basic, "Basic ", 6);
		EVP_EncodeBlock((unsigned char *)ws->basic + 6, (const unsigned char *)word, (int)size);
		explicit_bzero(word, size);
	}
	free(word);
	return word != NULL && ws->basic != NULL;
}

static void validate_headers(struct skymon *sm, const struct websocket *ws)
{
	for (size_t i = 0; i < ws->headers.count; i++) {
		const struct skymon_label *header = &ws->headers.items[i];
		const char *why = websocket_header_fault(header->name, header->value);
		if (why != NULL)
			skymon_invalid(sm, "headers", "is wrong: %.60s %s",
				       websocket_is_sendable(header->name) ? header->name : "one", why);
	}
}

static void validate(struct skymon *sm, const void *state)
{
	const struct websocket *ws = state;
	const char *proxy = skymon_net_proxy_fault(ws->proxy);
	struct skymon_net_url url;
	const char *why = url_fault(ws->url, &url);
	if (why == NULL && strcmp(url.scheme, "ws") == 0 && !ws->tls.insecure &&
	    !skymon_net_host_is_local(url.host) &&
	    (ws->authorization.bytes != NULL || url.user[0] != '\0' || url.has_password))
		why = SKYMON_TLS_CLEAR("wss://");
	skymon_net_url_free(&url);
	if (why != NULL)
		skymon_invalid(sm, "url", "%s", why);
	validate_headers(sm, ws);
	for (size_t i = 0; i < ws->subprotocol.count; i++)
		if (!websocket_is_token(ws->subprotocol.items[i]))
			skymon_invalid(sm, "subprotocol",
				       "must be a word without spaces or commas, or a list of such");
	if (ws->origin != NULL && !websocket_is_sendable(ws->origin))
		skymon_invalid(sm, "origin", "has characters that a header cannot hold");
	if (proxy != NULL)
		skymon_invalid(sm, "proxy", "%s", proxy);
}

/* An option that an empty variable expands to counts as absent. */
static void forget_empty(const char **text)
{
	if (*text != NULL && **text == '\0')
		*text = NULL;
}

static bool start(struct skymon *sm, void *state)
{
	struct websocket *ws = state;
	forget_empty(&ws->send);
	forget_empty(&ws->expect);
	forget_empty(&ws->origin);
	if (ws->authorization.size == 0)
		ws->authorization.bytes = NULL;
	ws->to.proxy = ws->proxy;
	ws->to.tls = &ws->tls;
	if (ws->authorization.bytes != NULL && (strlen(ws->authorization.bytes) != ws->authorization.size ||
						!websocket_is_sendable(ws->authorization.bytes))) {
		skymon_unknown(
			sm, "authorization has a line break or other characters that a header cannot hold");
		return false;
	}
	if (!read_url(sm, ws)) {
		skymon_net_url_free(&ws->address);
		return false;
	}
	if (!make_basic(ws)) {
		skymon_net_url_free(&ws->address);
		skymon_unknown(sm, "out of memory");
		return false;
	}
	return true;
}

static void stop(struct skymon *sm, void *state)
{
	struct websocket *ws = state;
	websocket_drop(sm, ws, 1001);
	skymon_net_url_free(&ws->address);
	if (ws->basic != NULL)
		explicit_bzero(ws->basic, strlen(ws->basic));
	free(ws->basic);
	ws->basic = NULL;
}

static void unload(struct skymon *sm, void *shared)
{
	(void)sm, (void)shared;
	skymon_net_unload();
}

/* ---- Ping and message ---- */

/* Returns whether the peer's kernel has not even acknowledged what was sent: the path is dead then, as a
 * frozen or slow server still acknowledges. */
static bool is_unacknowledged(const struct skymon_net *net)
{
	int bytes = 0;
	return ioctl(net->fd, SIOCOUTQ, &bytes) == 0 && bytes > 0;
}

static bool wait_pong(struct skymon *sm, struct websocket *ws, const unsigned char word[8], bool kept,
		      struct skymon_fault *fault)
{
	struct websocket_link *link = &ws->link;
	const char *late = "does not answer a ping in time";
	if (kept) /* a kept connection is suspected dead after half of the time */
		link->net->margin_ms = skymon_ms_left(sm) / 2;
	for (;;) {
		enum websocket_event event = websocket_next(sm, ws, late, fault);
		if (event == WEBSOCKET_PONG) {
			if (link->reader.control_size == 8 && memcmp(link->reader.control, word, 8) == 0)
				break;
			late = "answers another ping than the one that it was sent";
		}
		if (event != WEBSOCKET_BAD)
			continue;
		if (!kept || !websocket_is_late(fault))
			return false;
		if (is_unacknowledged(link->net)) {
			fault->lost = true;
			return false;
		}
		kept = false;
		link->net->margin_ms = 0;
	}
	link->net->margin_ms = 0;
	return true;
}

static bool ping(struct skymon *sm, struct websocket *ws, struct run *run, struct skymon_fault *fault)
{
	double began = skymon_net_clock();
	skymon_step(sm, "ping");
	unsigned char word[8];
	if (getrandom(word, sizeof(word), 0) != (ssize_t)sizeof(word)) {
		skymon_fault_set(fault, SKYMON_UNKNOWN, SKYMON_RESOURCE,
				 "the system gives no random numbers");
		return false;
	}
	if (!websocket_send(sm, ws, WEBSOCKET_OP_PING, word, sizeof(word), fault) ||
	    !wait_pong(sm, ws, word, run->kept, fault))
		return false;
	run->pong_seconds = skymon_net_clock() - began;
	return true;
}

static bool holds(const struct websocket_reader *reader, const char *text)
{
	return reader->message_size > 0 &&
	       memmem(reader->message, reader->message_size, text, strlen(text)) != NULL;
}

static bool talk(struct skymon *sm, struct websocket *ws, struct run *run, struct skymon_fault *fault)
{
	double began = ws->send != NULL ? skymon_net_clock() : ws->link.opened;
	unsigned long messages = 0;
	skymon_step(sm, "message");
	if (ws->send != NULL && !websocket_send(sm, ws, WEBSOCKET_OP_TEXT, ws->send, strlen(ws->send), fault))
		return false;
	while (ws->expect != NULL && run->message_seconds < 0) {
		enum websocket_event event = websocket_next(
			sm, ws,
			ws->send != NULL ? "does not answer a message in time" : "sends no message in time",
			fault);
		if (event == WEBSOCKET_MESSAGE && holds(&ws->link.reader, ws->expect))
			run->message_seconds = skymon_net_clock() - began;
		messages += event == WEBSOCKET_MESSAGE;
		if (event == WEBSOCKET_BAD) {
			if (websocket_is_late(fault) && messages > 0)
				skymon_fault_set(
					fault, SKYMON_UNHEALTHY, SKYMON_BODY_MISMATCH,
					"%s: sent %lu message%s, and none holds the text that `expect` wants",
					ws->place, messages, messages == 1 ? "" : "s");
			return false;
		}
	}
	return true;
}

static bool ask(struct skymon *sm, struct websocket *ws, struct run *run, struct skymon_fault *fault)
{
	skymon_tls_report(sm,
			  !ws->to.secure     ? SKYMON_TLS_NONE
			  : ws->tls.insecure ? SKYMON_TLS_UNVERIFIED
					     : SKYMON_TLS_VERIFIED,
			  skymon_net_no_proxy(ws->proxy) && skymon_net_peer_is_local(ws->link.net->fd));
	skymon_tls_report_days(sm, skymon_tls_days_of(ws->link.net->tls));
	run->subprotocol = ws->link.subprotocol;
	run->handshake_seconds = run->kept ? -1 : ws->link.handshake_seconds;
	run->pong_seconds = run->message_seconds = -1;
	/* A message that the server sends unasked may come before the pong: wait for it first. */
	if (ws->send == NULL && ws->expect != NULL)
		return talk(sm, ws, run, fault) && ping(sm, ws, run, fault);
	return ping(sm, ws, run, fault) && talk(sm, ws, run, fault);
}

/* ---- The check ---- */

static bool keeps(const struct websocket *ws)
{
	return ws->reconnect.ms > 0 && (ws->send != NULL || ws->expect == NULL);
}

/* Replaces a connection older than `reconnect`. The old one is closed once the new one is open; if the new
 * one is refused, it stays open, and the check fails. */
static bool renew(struct skymon *sm, struct websocket *ws, struct run *run, struct skymon_fault *fault)
{
	struct websocket_link old = ws->link;
	run->stays = !websocket_open(sm, ws, fault);
	if (run->stays) {
		ws->link = old;
		return false;
	}
	struct websocket_link fresh = ws->link;
	ws->link = old;
	websocket_part(sm, ws);
	ws->link = fresh;
	ws->close_code = 0; /* as requested */
	return ask(sm, ws, run, fault);
}

/* Pings over the kept connection if there is one; if it turns out to be lost, over a new one. */
static bool look(struct skymon *sm, struct websocket *ws, struct run *run, struct skymon_fault *fault)
{
	if (ws->link.net != NULL) {
		ws->http_status = 101; /* the status of its handshake */
		run->kept = websocket_is_kept(sm, ws, fault);
		if (run->kept) {
			*fault = (struct skymon_fault){.status = SKYMON_UNHEALTHY, .lost = true};
			if (skymon_net_clock() - ws->link.opened >= (double)ws->reconnect.ms / 1000) {
				run->kept = false;
				return renew(sm, ws, run, fault);
			}
			if (ask(sm, ws, run, fault))
				return true;
		}
		if (!fault->lost)
			return false;
		if (fault->text[0] != '\0')
			skymon_info(sm, "%s; the connection was a kept one, opening a new one", fault->text);
		websocket_drop(sm, ws, 0);
		ws->http_status = 0;
		run->kept = false;
	}
	return websocket_open(sm, ws, fault) && ask(sm, ws, run, fault);
}

static void tell_time(struct skymon *sm, double seconds, const char *detail, const char *number,
		      const char *metric, const char *help)
{
	if (seconds < 0)
		return;
	skymon_detail_number(sm, detail, rint(seconds * 1e6) / 1e3); /* with µs */
	skymon_number(sm, number, seconds);
	skymon_gauge(sm, metric, help, seconds);
}

static void tell(struct skymon *sm, const struct websocket *ws, const struct run *run)
{
	skymon_detail_boolean(sm, "kept_connection", run->kept);
	if (ws->http_status != 0)
		skymon_detail_number(sm, "http_status", ws->http_status);
	if (ws->close_code != 0)
		skymon_detail_number(sm, "close_code", ws->close_code);
	if (run->parted)
		skymon_detail_boolean(sm, "closed_cleanly", ws->closed_cleanly);
	if (run->subprotocol != NULL)
		skymon_detail(sm, "subprotocol", "%s", run->subprotocol);
	if (run->age_seconds >= 0)
		skymon_detail_number(sm, "connection_age_seconds", run->age_seconds);
	tell_time(sm, run->handshake_seconds, "handshake_ms", "handshake_time",
		  "skymon_websocket_handshake_duration_seconds",
		  "Time to open a connection: name, TCP, proxy, TLS and handshake");
	tell_time(sm, run->pong_seconds, "pong_ms", "pong_time", "skymon_websocket_pong_duration_seconds",
		  "Time from a ping to its pong");
	tell_time(sm, run->message_seconds, "message_ms", "message_time",
		  "skymon_websocket_message_duration_seconds", "Time to the expected message");
	skymon_counter(sm, "skymon_websocket_connects_total", "Connections that this check has opened",
		       ws->connects);
}

static enum skymon_status conclude(struct skymon *sm, const struct websocket *ws, const struct run *run)
{
	if (run->message_seconds >= 0)
		return skymon_healthy(sm, "%s: pong after %.3g ms, the expected message after %.3g ms",
				      ws->place, run->pong_seconds * 1000, run->message_seconds * 1000);
	return skymon_healthy(sm, "%s: pong after %.3g ms", ws->place, run->pong_seconds * 1000);
}

static enum skymon_status check(struct skymon *sm, void *state)
{
	struct websocket *ws = state;
	struct run run = {
		.pong_seconds = -1, .handshake_seconds = -1, .message_seconds = -1, .age_seconds = -1};
	ws->http_status = ws->close_code = 0;
	ws->closed_cleanly = false;
	struct skymon_fault fault;
	bool good = look(sm, ws, &run, &fault);
	if (run.kept && ws->link.net != NULL)
		run.age_seconds = rint((skymon_net_clock() - ws->link.opened) * 1e3) / 1e3;
	if (good && !keeps(ws)) {
		ws->closed_cleanly = false;
		websocket_part(sm, ws);
		run.parted = true;
	} else if (!good && !run.stays) {
		/* Nothing of this connection, such as a late answer, may reach the next check. */
		websocket_drop(sm, ws, fault.lost ? 0 : 1000);
	} else if (good && !websocket_is_halfway(&ws->link.reader)) {
		websocket_forget(&ws->link.reader);
	}
	tell(sm, ws, &run);
	return good ? conclude(sm, ws, &run) : skymon_report(sm, NULL, &fault);
}

SKYMON_PLUGIN(websocket, "1.0", "WebSocket: handshake, ping to pong, a message and its answer",
	      .state_size = sizeof(struct websocket), .options = options, .numbers = numbers,
	      .unload = unload, .start = start, .stop = stop, .check = check, .validate = validate);
