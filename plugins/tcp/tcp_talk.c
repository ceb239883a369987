/* SPDX-License-Identifier: Apache-2.0 */
/* tcp_talk: what follows the connection: the proxy's CONNECT, STARTTLS, TLS, and the steps of send and expect, on the worker's loop.
 * Called by tcp_connect.c and by the loop; the connection belongs to the run. */
#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "tcp.h"

static void go_on(struct skymon *sm, struct tcp *tcp);

/* ---- Bytes ---- */

enum result { FAILED, DONE, WAITS };

static void on_ready(struct skymon *sm, void *argument, int fd, unsigned events)
{
	(void)fd;
	(void)events;
	go_on(sm, argument);
}

static enum result wait_for(struct skymon *sm, struct tcp *tcp, unsigned events)
{
	struct tcp_run *run = tcp->run;
	if (run->watched != events)
		skymon_watch(sm, run->net.fd, events, on_ready, tcp);
	run->watched = events;
	return WAITS;
}

/* Watches for that which an SSL call with this result waits for. */
static enum result after_tls(struct skymon *sm, struct tcp *tcp, int result, struct skymon_fault *fault)
{
	const char *name = tcp->tls.server_name != NULL && tcp->tls.server_name[0] != '\0'
				   ? tcp->tls.server_name
				   : tcp->to.host;
	switch (skymon_net_tls_wants(&tcp->run->net, result, name, fault)) {
	case SKYMON_NET_READ:
		return wait_for(sm, tcp, SKYMON_READ);
	case SKYMON_NET_WRITE:
		return wait_for(sm, tcp, SKYMON_WRITE);
	case SKYMON_NET_FAILED:
		break;
	}
	return FAILED;
}

/* Reads at least one byte. DONE with *got 0: the server has closed the connection. */
static enum result read_some(struct skymon *sm, struct tcp *tcp, char *bytes, size_t size, size_t *got,
			     struct skymon_fault *fault)
{
	struct skymon_net *net = &tcp->run->net;
	ssize_t count;
	ERR_clear_error();
	errno = 0;
	if (net->tls != NULL)
		count = SSL_read(net->tls, bytes, (int)size);
	else
		count = recv(net->fd, bytes, size, 0);
	*got = count > 0 ? (size_t)count : 0;
	if (count > 0 || (count == 0 && net->tls == NULL))
		return DONE;
	if (net->tls != NULL) {
		enum result result = after_tls(sm, tcp, (int)count, fault);
		return result == FAILED && fault->lost ? DONE : result;
	}
	if (errno == EAGAIN || errno == EINTR)
		return wait_for(sm, tcp, SKYMON_READ);
	skymon_net_broken(tcp->place, errno, fault);
	return FAILED;
}

/* Writes run->output. */
static enum result flush(struct skymon *sm, struct tcp *tcp, struct skymon_fault *fault)
{
	struct tcp_run *run = tcp->run;
	while (run->output_size > 0) {
		ERR_clear_error();
		errno = 0;
		ssize_t sent = run->net.tls != NULL
				       ? SSL_write(run->net.tls, run->output, (int)run->output_size)
				       : send(run->net.fd, run->output, run->output_size, MSG_NOSIGNAL);
		if (sent <= 0 && run->net.tls != NULL)
			return after_tls(sm, tcp, (int)sent, fault);
		if (sent < 0 && (errno == EAGAIN || errno == EINTR))
			return wait_for(sm, tcp, SKYMON_WRITE);
		if (sent < 0) {
			skymon_net_broken(tcp->place, errno, fault);
			return FAILED;
		}
		run->output += sent;
		run->output_size -= (size_t)sent;
	}
	return DONE;
}

/* ---- A proxy ---- */

static char *need_answer(struct tcp_run *run)
{
	if (run->answer == NULL)
		run->answer = malloc(TCP_ANSWER_MAX + 1);
	if (run->answer == NULL)
		abort();
	return run->answer;
}

static enum result refuse(struct skymon_fault *fault, const char *role, const char *place, const char *words)
{
	skymon_fault_set(fault, SKYMON_UNHEALTHY, SKYMON_PROTOCOL, "%s%s: %s", role, place, words);
	return FAILED;
}

static enum result ask_proxy(struct skymon *sm, struct tcp *tcp, struct skymon_fault *fault)
{
	struct tcp_run *run = tcp->run;
	char place[300], *head = need_answer(run);
	size_t got;
	skymon_net_place(tcp->proxy_url.host, tcp->proxy_url.port, place, sizeof(place));
	if (!run->asked) { /* the request is put where the answer will be: that comes when all of it is sent */
		struct skymon_net_target to = {.host = tcp->to.host, .port = tcp->to.port};
		run->output_size =
			skymon_net_proxy_request(&to, &tcp->proxy_url, head, TCP_ANSWER_MAX, fault);
		if (run->output_size == 0)
			return FAILED;
		run->output = head;
		run->asked = true;
	}
	enum result result = flush(sm, tcp, fault);
	while (result == DONE) { /* byte by byte: what follows the head is the server's */
		result = read_some(sm, tcp, head + run->answer_size, 1, &got, fault);
		if (result != DONE)
			return result;
		if (got == 0)
			return refuse(fault, "proxy ", place, "closed the connection before it answered");
		head[++run->answer_size] = '\0';
		if (run->answer_size > 3 && strcmp(head + run->answer_size - 4, "\r\n\r\n") == 0)
			break;
		if ((run->answer_size == 5 && memcmp(head, "HTTP/", 5) != 0) ||
		    run->answer_size == SKYMON_NET_PROXY_HEAD_MAX)
			return refuse(fault, "proxy ", place, "what answers there is not an HTTP proxy");
	}
	if (result == DONE && !skymon_net_proxy_answer(head, place, fault))
		return FAILED;
	return result;
}

/* ---- TLS ---- */

static enum result dialog(struct skymon *sm, struct tcp *tcp, struct skymon_fault *fault)
{
	struct tcp_run *run = tcp->run;
	enum skymon_starttls_state state = SKYMON_STARTTLS_WAITS;
	if (!run->asked) {
		state = skymon_starttls_begin(&run->dialog,
					      (enum skymon_starttls_protocol)tcp->starttls.index);
		run->asked = true;
		run->output = run->dialog.send;
		run->output_size = run->dialog.send_size;
	}
	while (state == SKYMON_STARTTLS_WAITS) {
		char bytes[2048];
		size_t got;
		enum result result = flush(sm, tcp, fault);
		if (result == DONE)
			result = read_some(sm, tcp, bytes, sizeof(bytes), &got, fault);
		if (result != DONE)
			return result;
		if (got == 0)
			return refuse(fault, "", tcp->place,
				      "the server closed the connection before TLS began");
		state = skymon_starttls_feed(&run->dialog, bytes, got);
		run->output = run->dialog.send;
		run->output_size = run->dialog.send_size;
	}
	return state == SKYMON_STARTTLS_READY ? DONE : refuse(fault, "", tcp->place, run->dialog.why);
}

static enum result shake_hands(struct skymon *sm, struct tcp *tcp, struct skymon_fault *fault)
{
	struct tcp_run *run = tcp->run;
	const struct skymon_net_target to = {
		.host = tcp->to.host, .port = tcp->to.port, .tls = &tcp->tls, .secure = true};
	if (run->net.tls == NULL && !skymon_net_tls_prepare(&run->net, &to, fault))
		return FAILED;
	ERR_clear_error();
	errno = 0;
	int result = SSL_connect(run->net.tls);
	if (result != 1)
		return after_tls(sm, tcp, result, fault);
	run->tls_time = skymon_net_clock() - run->phase_began;
	return DONE;
}

/* ---- Send and expect ---- */

static enum result mismatch(const struct tcp *tcp, const char *when, struct skymon_fault *fault)
{
	const struct tcp_run *run = tcp->run;
	char expected[64], shown[64];
	tcp_show(tcp->words[run->step].expect, tcp->words[run->step].expect_size, expected);
	tcp_show(run->answer, run->answer_size, shown);
	skymon_fault_set(fault, SKYMON_UNHEALTHY, SKYMON_BODY_MISMATCH,
			 "%s: the answer \"%s\" does not contain \"%s\"%s", tcp->place, shown, expected,
			 when);
	return FAILED;
}

/* Searches what came. If the text is there, all up to its end is taken out. */
static bool find(struct tcp_run *run, const struct tcp_words *words)
{
	const char *at = memmem(run->answer, run->answer_size, words->expect, words->expect_size);
	if (at == NULL)
		return false;
	size_t used = (size_t)(at - run->answer) + words->expect_size;
	run->answer_size -= used;
	memmove(run->answer, run->answer + used, run->answer_size);
	return true;
}

static enum result expect(struct skymon *sm, struct tcp *tcp, const struct tcp_words *words,
			  struct skymon_fault *fault)
{
	struct tcp_run *run = tcp->run;
	need_answer(run);
	while (!find(run, words)) {
		size_t got;
		if (run->answer_size == TCP_ANSWER_MAX)
			return mismatch(tcp, " in its first 16 KiB", fault);
		enum result result = read_some(sm, tcp, run->answer + run->answer_size,
					       TCP_ANSWER_MAX - run->answer_size, &got, fault);
		if (result != DONE)
			return result;
		if (got == 0 && run->answer_size > 0)
			return mismatch(tcp, ", and the server closed the connection", fault);
		if (got == 0)
			return refuse(fault, "", tcp->place,
				      "the server closed the connection before it answered");
		if (run->first_byte_time < 0)
			run->first_byte_time = skymon_net_clock() - run->phase_began;
		run->answer_size += got;
	}
	return DONE;
}

static enum result converse(struct skymon *sm, struct tcp *tcp, struct skymon_fault *fault)
{
	struct tcp_run *run = tcp->run;
	while (run->step < tcp->word_count) {
		const struct tcp_words *words = &tcp->words[run->step];
		if (!run->asked) {
			run->asked = true;
			run->output = words->send;
			run->output_size = words->send_size;
		}
		enum result result = flush(sm, tcp, fault);
		if (result == DONE && words->expect_size > 0)
			result = expect(sm, tcp, words, fault);
		if (result != DONE)
			return result;
		run->asked = false;
		run->step++;
	}
	return DONE;
}

/* ---- The phases ---- */

static bool is_due(const struct tcp *tcp, enum tcp_phase phase)
{
	switch (phase) {
	case TCP_PROXY:
		return tcp->proxy_url.memory != NULL;
	case TCP_STARTTLS:
		return tcp->starttls.index != SKYMON_STARTTLS_NONE;
	case TCP_HANDSHAKE:
		return tcp->secure || tcp->starttls.index != SKYMON_STARTTLS_NONE;
	case TCP_TALKS:
		return tcp->word_count > 0;
	case TCP_RESOLVES:
	case TCP_CONNECTS:
		break;
	}
	return false;
}

/* Begins the next phase that is due; false if there is none. */
static bool next_phase(struct skymon *sm, struct tcp *tcp)
{
	enum tcp_phase phase = tcp->run->phase;
	do {
		if (phase == TCP_TALKS)
			return false;
		phase = (enum tcp_phase)(phase + 1);
	} while (!is_due(tcp, phase));
	tcp->run->asked = false;
	tcp->run->answer_size = 0;
	tcp_begin_phase(sm, tcp, phase);
	return true;
}

static void go_on(struct skymon *sm, struct tcp *tcp)
{
	struct skymon_fault fault = {.status = SKYMON_UNHEALTHY};
	enum result result;
	do {
		switch (tcp->run->phase) {
		case TCP_PROXY:
			result = ask_proxy(sm, tcp, &fault);
			break;
		case TCP_STARTTLS:
			result = dialog(sm, tcp, &fault);
			break;
		case TCP_HANDSHAKE:
			result = shake_hands(sm, tcp, &fault);
			break;
		case TCP_TALKS:
			result = converse(sm, tcp, &fault);
			break;
		case TCP_RESOLVES:
		case TCP_CONNECTS:
		default:
			result = DONE;
		}
	} while (result == DONE && next_phase(sm, tcp));
	if (result == DONE)
		tcp_done(sm, tcp);
	else if (result == FAILED)
		tcp_fail(sm, tcp, &fault);
}

void tcp_talk(struct skymon *sm, struct tcp *tcp)
{
	snprintf(tcp->run->net.place, sizeof(tcp->run->net.place), "%s", tcp->place);
	go_on(sm, tcp);
}

void tcp_explain_late(const struct tcp *tcp, struct skymon_fault *fault)
{
	const struct tcp_run *run = tcp->run;
	const char *words = "no answer in time", *role = "", *at = tcp->place;
	char place[300];
	switch (run->phase) {
	case TCP_RESOLVES:
		words = "its name was not resolved in time";
		break;
	case TCP_CONNECTS:
		words = "no answer to the connection attempt in time";
		break;
	case TCP_PROXY:
		words = "accepted the connection and did not connect it further in time";
		break;
	case TCP_STARTTLS:
		words = "no answer to STARTTLS in time";
		break;
	case TCP_HANDSHAKE:
		words = "accepted the connection and did not begin TLS in time";
		break;
	case TCP_TALKS:
		if (run->answer_size > 0 && tcp->words[run->step].expect_size > 0) {
			mismatch(tcp, " in time", fault);
			return;
		}
		break;
	}
	if (tcp->proxy_url.memory != NULL && run->phase <= TCP_PROXY) {
		skymon_net_place(tcp->proxy_url.host, tcp->proxy_url.port, place, sizeof(place));
		role = "proxy ";
		at = place;
	}
	skymon_fault_set(fault, SKYMON_UNHEALTHY, SKYMON_TIMEOUT, "%s%s: %s", role, at, words);
}
