/* SPDX-License-Identifier: Apache-2.0 */
/* exchange: a request for a route that lives in a worker, and its reply, as they cross the wire; read by both
 * ends. Pure. What is decoded points into the message's body and owns its arrays only. */
#ifndef EXCHANGE_H
#define EXCHANGE_H

#include "wire.h"

#define EXCHANGE_MS 30000            /* what a request may take; then it is answered 504 */
#define EXCHANGE_GRACE_MS 30000      /* … and its handler beyond that, before its worker is ended */
#define EXCHANGE_OUT_MAX 64          /* requests that one worker has at a time */
#define EXCHANGE_HEAD_MAX 4096       /* bytes of a reply's headers: what any connection has room for */
#define EXCHANGE_HEADERS_MAX 256     /* of a request or a reply */
#define EXCHANGE_PARAMS_MAX 4        /* as a path has segments in braces */
#define EXCHANGE_BODY_MAX (8u << 20) /* of a reply */

struct exchange_pair {
	const char *name, *value;
};

struct exchange_request {
	uint32_t route;      /* which of the plugin's */
	bool trusted, local; /* routes.h: skymon_is_trusted, skymon_caller */
	const char *method, *query /* raw */, *address, *user, *why_not_local;
	struct exchange_pair params[EXCHANGE_PARAMS_MAX];
	size_t param_count;
	struct exchange_pair *headers; /* owned when decoded */
	size_t header_count;
	const char *body;
	size_t body_size;
};

struct exchange_reply {
	bool again; /* no answer: the secret was refused, and the request wants to be done anew */
	bool problem;
	int code;
	const char *type;              /* "" : none */
	const char *audit;             /* "" : none */
	struct exchange_pair *headers; /* owned when decoded */
	size_t header_count;
	const void *body;
	size_t body_size;
};

void exchange_put_request(struct buf *body, const struct exchange_request *request);
void exchange_put_reply(struct buf *body, const struct exchange_reply *reply);
/* May it be sent to a client? Asked at both ends: of a plugin's mistake only its own request should learn. */
bool exchange_header_ok(const char *name, const char *value);
bool exchange_reply_ok(const struct exchange_reply *reply);
/* What is left of the message. false: it is broken, and *out is empty. */
bool exchange_get_request(struct wire_reader *in, struct exchange_request *out) MUST_CHECK;
bool exchange_get_reply(struct wire_reader *in, struct exchange_reply *out) MUST_CHECK;
void exchange_free_request(struct exchange_request *request);
void exchange_free_reply(struct exchange_reply *reply);
/* The value of a pair; NULL: none. case_matters: headers' names have none. */
const char *exchange_find(const struct exchange_pair *pairs, size_t count, const char *name,
			  bool case_matters);

/* May it be added to a problem? The members that every problem has may not. */
bool exchange_member_ok(const char *key);
/* The body of application/problem+json (RFC 9457), and `error` with the same sentence. members: more of them,
 * as `,"key":value…`; may be NULL. */
void exchange_print_problem(struct buf *body, int code, const char *detail, const char *members,
			    int64_t now_ms);

#endif
