/* SPDX-License-Identifier: Apache-2.0 */
/* tcp: whether a port accepts connections, and answers as it should: a banner, a dialog of send and expect, TLS or STARTTLS. Runs on
 * the worker's loop (skymon/loop.h), so that thousands of ports take one thread; a component keeps no connection. */
#include <openssl/ssl.h>
#include <skymon/tls.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tcp.h"

static const struct skymon_option step_options[] = {
	SKYMON_OPT(struct tcp_step, send, "",
		   "text to send; \\r \\n \\t \\0 \\\\ \\\" and \\xHH are escapes"),
	SKYMON_OPT(struct tcp_step, expect, "",
		   "text that the answer must contain within 16 KiB; what follows it is the next step's"),
	{0}};

static const struct skymon_option options[] = {
	SKYMON_OPT(struct tcp, address, "", "host:port; with `starttls` the port may be left out",
		   .flags = SKYMON_TARGET),
	SKYMON_OPT(struct tcp, send, "", "text to send, with escapes as in `steps`"),
	SKYMON_OPT(struct tcp, expect, "",
		   "text that the answer, or without `send` the greeting, must contain"),
	SKYMON_OPT(struct tcp, steps, NULL,
		   "a dialog, in place of send and expect: each step sends, then waits", .item = step_options,
		   .item_size = sizeof(struct tcp_step)),
	SKYMON_OPT(struct tcp, secure, "false", "TLS from the first byte"),
	SKYMON_OPT(struct tcp, starttls, "none",
		   "the protocol that begins in clear and asks for TLS; steps come after it",
		   .words = skymon_starttls_words),
	SKYMON_OPT(struct tcp, tls, NULL,
		   "of secure and starttls: authority, certificate, name; insecure: not verified"),
	SKYMON_OPT(struct tcp, proxy, NULL, "http://host:port of a proxy to CONNECT through, or none"),
	{0}};

static const struct skymon_number numbers[] = {
	{"resolve_time", "s", "to look the name up; absent for an address"},
	{"connect_time", "s", "to connect, a race of its addresses included"},
	{"tls_time", "s", "TLS's handshake"},
	{"first_byte_time", "s", "from the end of that to the first byte of the answer"},
	SKYMON_TLS_NUMBERS,
	{0}};

static bool is_given(const char *text)
{
	return text != NULL && text[0] != '\0';
}

/* ---- Options ---- */

/* Reports what is wrong with a text of that option; NULL if there is none. */
static void validate_text(struct skymon *sm, const char *option, const char *text)
{
	const char *why = NULL;
	size_t size;
	if (!is_given(text))
		return;
	char *clean = tcp_unescape(text, &size, &why);
	if (clean == NULL)
		skymon_invalid(sm, option, "%s", why);
	free(clean);
}

static void validate_steps(struct skymon *sm, const struct tcp *tcp)
{
	const struct tcp_step *steps = tcp->steps.items;
	char option[64];
	if (tcp->steps.count > TCP_STEPS_MAX)
		skymon_invalid(sm, "steps", "must not have more than %u steps", TCP_STEPS_MAX);
	if (tcp->steps.count > 0 && (is_given(tcp->send) || is_given(tcp->expect)))
		skymon_invalid(sm, "steps", "excludes send and expect: make them a step");
	for (size_t i = 0; i < tcp->steps.count; i++) {
		snprintf(option, sizeof(option), "steps[%zu]", i);
		if (!is_given(steps[i].send) && !is_given(steps[i].expect))
			skymon_invalid(sm, option, "needs send, expect or both");
		snprintf(option, sizeof(option), "steps[%zu].send", i);
		validate_text(sm, option, steps[i].send);
		snprintf(option, sizeof(option), "steps[%zu].expect", i);
		validate_text(sm, option, steps[i].expect);
	}
}

/* Returns the port of an address without one; 0 if it must have one. */
static uint16_t usual_port(const struct tcp *tcp)
{
	enum skymon_starttls_protocol protocol = (enum skymon_starttls_protocol)tcp->starttls.index;
	return protocol != SKYMON_STARTTLS_NONE ? skymon_starttls_port(protocol) : 0;
}

static const char *address_fault(const struct tcp *tcp, struct skymon_net_address *to)
{
	const char *why;
	if (!skymon_net_address_parse(tcp->address, usual_port(tcp), to, &why))
		return why;
	return to->port == 0 ? "must have a port: host:port" : NULL;
}

static void validate(struct skymon *sm, const void *state)
{
	const struct tcp *tcp = state;
	struct skymon_net_address to;
	const char *why = address_fault(tcp, &to), *proxy = skymon_net_proxy_fault(tcp->proxy);
	bool starttls = tcp->starttls.index != SKYMON_STARTTLS_NONE;
	if (why != NULL)
		skymon_invalid(sm, "address", "%s", why);
	if (proxy != NULL)
		skymon_invalid(sm, "proxy", "%s", proxy);
	validate_text(sm, "send", tcp->send);
	validate_text(sm, "expect", tcp->expect);
	validate_steps(sm, tcp);
	if (starttls && tcp->secure)
		skymon_invalid(sm, "starttls", "excludes secure: the connection begins in clear");
	if (!starttls && !tcp->secure &&
	    (is_given(tcp->tls.ca_file) || is_given(tcp->tls.cert_file) || is_given(tcp->tls.key_file) ||
	     is_given(tcp->tls.server_name) || tcp->tls.insecure))
		skymon_invalid(sm, "tls", "needs `secure: true` or starttls");
}

/* ---- Life ---- */

static void add_words(struct tcp *tcp, const char *send, const char *expect)
{
	struct tcp_words *words = &tcp->words[tcp->word_count++];
	const char *why;
	if (is_given(send))
		words->send = tcp_unescape(send, &words->send_size, &why);
	if (is_given(expect))
		words->expect = tcp_unescape(expect, &words->expect_size, &why);
}

static bool start(struct skymon *sm, void *state)
{
	struct tcp *tcp = state;
	const struct tcp_step *steps = tcp->steps.items;
	const char *why = address_fault(tcp, &tcp->to);
	if (why == NULL && !skymon_net_no_proxy(tcp->proxy))
		(void)skymon_net_url_parse(tcp->proxy, &tcp->proxy_url, &why);
	if (why != NULL) {
		skymon_unknown(sm, "address or proxy %s", why);
		return false;
	}
	if (tcp->proxy_url.memory != NULL && tcp->proxy_url.port == 0)
		tcp->proxy_url.port = 80;
	skymon_net_place(tcp->to.host, tcp->to.port, tcp->place, sizeof(tcp->place));
	tcp->words = calloc(tcp->steps.count + 1, sizeof(*tcp->words));
	if (tcp->words == NULL)
		abort();
	for (size_t i = 0; i < tcp->steps.count; i++)
		add_words(tcp, steps[i].send, steps[i].expect);
	if (is_given(tcp->send) || is_given(tcp->expect))
		add_words(tcp, tcp->send, tcp->expect);
	return true;
}

static void stop(struct skymon *sm, void *state)
{
	struct tcp *tcp = state;
	(void)sm;
	for (size_t i = 0; i < tcp->word_count; i++) {
		free(tcp->words[i].send);
		free(tcp->words[i].expect);
	}
	free(tcp->words);
	skymon_net_url_free(&tcp->proxy_url);
}

static void unload(struct skymon *sm, void *shared)
{
	(void)sm;
	(void)shared;
	skymon_net_unload();
}

/* ---- A run ---- */

void tcp_begin_phase(struct skymon *sm, struct tcp *tcp, enum tcp_phase phase)
{
	static const char *const steps[] = {
		[TCP_RESOLVES] = "looking its name up",      [TCP_CONNECTS] = "connecting",
		[TCP_PROXY] = "asking the proxy to connect", [TCP_STARTTLS] = "STARTTLS",
		[TCP_HANDSHAKE] = "TLS handshake",           [TCP_TALKS] = "send and expect",
	};
	tcp->run->phase = phase;
	tcp->run->phase_began = skymon_net_clock();
	skymon_step(sm, steps[phase]);
}

static void report_time(struct skymon *sm, const char *name, double seconds)
{
	if (seconds >= 0)
		skymon_number(sm, name, seconds);
}

/* Reports what was measured, also of a run that failed. */
static void report(struct skymon *sm, const struct tcp *tcp)
{
	const struct tcp_run *run = tcp->run;
	report_time(sm, "resolve_time", run->resolve_time);
	report_time(sm, "connect_time", run->connect_time);
	report_time(sm, "tls_time", run->tls_time);
	report_time(sm, "first_byte_time", run->first_byte_time);
	if (run->peer != NULL)
		skymon_detail(sm, "peer", "%s", run->peer);
	if (run->tls_time < 0)
		return;
	skymon_tls_report(sm, tcp->tls.insecure ? SKYMON_TLS_UNVERIFIED : SKYMON_TLS_VERIFIED,
			  tcp->proxy_url.memory == NULL && skymon_net_peer_is_local(run->net.fd));
	skymon_tls_report_days(sm, skymon_tls_days_of(run->net.tls));
	skymon_detail(sm, "version", "%s", SSL_get_version(run->net.tls));
}

/* Closes all that the run has opened. */
static void forget(struct skymon *sm, struct tcp *tcp)
{
	struct tcp_run *run = tcp->run;
	tcp_give_up(sm, tcp);
	if (run->net.tls != NULL)
		skymon_net_tls_free(&run->net);
	if (run->net.fd >= 0) {
		if (run->watched != 0)
			skymon_watch(sm, run->net.fd, 0, NULL, NULL);
		close(run->net.fd);
	}
	if (run->answer != NULL && tcp->proxy_url.memory != NULL)
		explicit_bzero(run->answer, TCP_ANSWER_MAX); /* it may have held the proxy's password */
	free(run->answer);
	free(run);
	tcp->run = NULL;
}

void tcp_done(struct skymon *sm, struct tcp *tcp)
{
	bool talked = tcp->word_count > 0;
	report(sm, tcp);
	enum skymon_status status = skymon_healthy(sm, "%s %s%s", tcp->place,
						   talked ? "answers as expected" : "accepts connections",
						   tcp->run->tls_time >= 0 ? ", with TLS" : "");
	forget(sm, tcp);
	skymon_done(sm, status);
}

void tcp_fail(struct skymon *sm, struct tcp *tcp, const struct skymon_fault *fault)
{
	report(sm, tcp);
	forget(sm, tcp);
	skymon_done(sm, skymon_report(sm, NULL, fault));
}

static void begin(struct skymon *sm, void *state)
{
	struct tcp *tcp = state;
	tcp->run = calloc(1, sizeof(*tcp->run));
	if (tcp->run == NULL)
		abort();
	tcp->run->net.fd = -1;
	tcp->run->resolve_time = tcp->run->connect_time = tcp->run->tls_time = tcp->run->first_byte_time = -1;
	tcp_connect(sm, tcp);
}

static enum skymon_status cancel(struct skymon *sm, void *state)
{
	struct tcp *tcp = state;
	struct skymon_fault fault;
	report(sm, tcp);
	tcp_explain_late(tcp, &fault);
	forget(sm, tcp);
	return skymon_report(sm, NULL, &fault);
}

SKYMON_PLUGIN(tcp, "1.0", "TCP ports: connections, banners and dialogs, TLS and STARTTLS",
	      .state_size = sizeof(struct tcp), .options = options, .numbers = numbers, .unload = unload,
	      .start = start, .stop = stop, .begin = begin, .cancel = cancel, .validate = validate);
