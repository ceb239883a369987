/* SPDX-License-Identifier: Apache-2.0 */
/* tcp: shared by the plugin's files. */
#ifndef TCP_H
#define TCP_H

#include <netinet/in.h>
#include <skymon/loop.h>

#include <skymon/net.h>
#include "net_loop.h"
#include "starttls.h"

#define TCP_TEXT_MAX 4096u /* bytes of one `send` or `expect` */
#define TCP_STEPS_MAX 64u
#define TCP_ANSWER_MAX 16384u /* bytes of an answer that are searched for one `expect` */

struct tcp_step { /* an item of `steps` */
	const char *send, *expect;
};

struct tcp_words { /* a step without its escapes; NULL with size 0: none */
	char *send, *expect;
	size_t send_size, expect_size;
};

enum tcp_phase { TCP_RESOLVES, TCP_CONNECTS, TCP_PROXY, TCP_STARTTLS, TCP_HANDSHAKE, TCP_TALKS };

/* One run; malloc'd for as long as it lasts, so that idle components are small. */
struct tcp_run {
	enum tcp_phase phase;
	double phase_began;                                           /* s */
	double resolve_time, connect_time, tls_time, first_byte_time; /* s; -1 if there was none */
	char addresses[SKYMON_NET_ADDRESSES_SIZE];
	const char *sorted[SKYMON_NET_RACE_MAX];
	size_t address_count, begun; /* begun: attempts so far */
	struct tcp_attempt {
		int fd;
		const char *address; /* of sorted */
	} pending[SKYMON_NET_RACE_MAX];
	size_t pending_count;
	int error;             /* the most telling of the attempts */
	struct skymon_net net; /* fd is -1 before it is connected */
	unsigned watched;      /* for what net.fd is watched */
	const char *peer;      /* the address that answered, or NULL */
	struct skymon_starttls dialog;
	const char *output; /* what is to be sent before what comes next */
	size_t output_size;
	size_t step; /* of the steps */
	bool asked;  /* its `send` was sent */
	char *answer; /* what came and was not expected yet; TCP_ANSWER_MAX + 1 bytes, NULL before it is needed */
	size_t answer_size;
};

struct tcp {
	/* options */
	const char *address, *send, *expect, *proxy;
	struct skymon_list steps;
	struct skymon_choice starttls;
	bool secure;
	struct skymon_tls tls;
	/* made of them by start */
	struct skymon_net_address to;
	struct skymon_net_url proxy_url; /* memory is NULL without a proxy */
	char place[300];
	struct tcp_words *words;
	size_t word_count;
	/* of the run */
	struct tcp_run *run; /* NULL if none is out */
};

/* ---- tcp_text.c: pure ---- */

/* Resolves \r \n \t \0 \\ \" and \xHH. Returns a malloc'd text, ended by a NUL that *size does not count; NULL with *why set, as in
 * "send %s". */
char *tcp_unescape(const char *text, size_t *size, const char **why);
/* Writes what can be shown of an answer: at most 60 bytes of its first line, what is not printable ASCII as a dot. */
void tcp_show(const char *bytes, size_t size, char shown[64]);

/* ---- tcp_connect.c ---- */

/* Begins to look the name up, or to connect. */
void tcp_connect(struct skymon *sm, struct tcp *tcp);
/* Closes attempts that are out. */
void tcp_give_up(struct skymon *sm, struct tcp *tcp);

/* ---- tcp_talk.c ---- */

/* net.fd is connected. */
void tcp_talk(struct skymon *sm, struct tcp *tcp);
/* Sets the fault of a run whose time is over. */
void tcp_explain_late(const struct tcp *tcp, struct skymon_fault *fault);

/* ---- tcp.c ---- */

void tcp_begin_phase(struct skymon *sm, struct tcp *tcp, enum tcp_phase phase);
/* Both end the run. */
void tcp_done(struct skymon *sm, struct tcp *tcp);
void tcp_fail(struct skymon *sm, struct tcp *tcp, const struct skymon_fault *fault);

#endif
