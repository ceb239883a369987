/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by the files of dns: the options, and the query of one run. */
#ifndef DNS_H
#define DNS_H

#include <skymon/plugin.h>

#include <skymon/net.h>
#include "dns_message.h"

#define DNS_SERVERS_MAX 8u
#define DNS_PACKETS_MAX 4u /* UDP: the question and its repeats, each from a port of its own */

struct dns_query {                         /* of one run */
	char servers[DNS_SERVERS_MAX][64]; /* addresses */
	size_t server_count;
	uint16_t port;
	int sockets[DNS_PACKETS_MAX];         /* UDP, connected; -1 once closed */
	unsigned char asked[DNS_PACKETS_MAX]; /* which of the servers */
	size_t packets;
	int stream; /* TCP; -1 if there is none */
	unsigned char stream_server;
	unsigned char *reply; /* over TCP, with its length before it */
	size_t reply_size;
	struct dns_question question;
	unsigned char bytes[2 + DNS_QUESTION_SIZE]; /* the question as over TCP, with its length */
	size_t size;                                /* without it */
	uint16_t id;
	bool tcp; /* it was, or is, asked over TCP */
	const struct dns_server *server;
	unsigned odd;     /* packets that came and are not the answer */
	int64_t began_us; /* when the first packet was sent */
	char place[80];   /* the server that answered, or that was asked last */
};

struct dns_server {
	bool given; /* otherwise the system's servers are asked */
	struct skymon_net_address address;
};

struct dns {
	const char *name, *server, *primary;
	struct skymon_choice type, transport, rcode;
	struct skymon_texts expect, contains;
	bool empty, dnssec, authoritative;
	char **expected, **contained; /* as dns_parse writes answers; of expect and contains */
	struct dns_server at, primary_at;
	struct dns_query query;
	/* Of a run, once the server has answered well and the primary is asked: */
	bool comparing;
	uint32_t serial;
};

/* dns_query.c: asks the server; the run ends in dns_answered or dns_failed, within the call or later. */
void dns_begin_query(struct skymon *sm, struct dns *dns, const struct dns_server *server);
/* Sets the query to none, without closing anything. */
void dns_forget(struct dns *dns);
/* Closes all sockets and ends the timer. */
void dns_drop(struct skymon *sm, struct dns *dns);
/* The µs since the first packet was sent. */
int64_t dns_elapsed_us(const struct dns_query *query);

/* dns.c: called when the answer is there, or when there is none; both end the run. */
void dns_answered(struct skymon *sm, struct dns *dns, const struct dns_answer *answer);
void dns_failed(struct skymon *sm, struct dns *dns, enum skymon_status status, enum skymon_reason reason,
		const char *format, ...) __attribute__((format(printf, 5, 6)));

#endif
