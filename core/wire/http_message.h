/* SPDX-License-Identifier: Apache-2.0 */
/* http_message: a request for a route that lives in a worker, and its reply, as they cross the wire; used by
 * both ends. Pure. A decoded struct points into the message's body and owns its arrays only. */
#ifndef HTTP_MESSAGE_H
#define HTTP_MESSAGE_H

#include "wire.h"

#define HTTP_MESSAGE_MS 30000            /* time of a request, after which it is answered 504 */
#define HTTP_MESSAGE_GRACE_MS 30000      /* of its handler beyond that, before the worker is ended */
#define HTTP_MESSAGE_OUT_MAX 64          /* requests that one worker has at a time */
#define HTTP_MESSAGE_HEAD_MAX 4096       /* bytes of a reply's headers, for which each connection has room */
#define HTTP_MESSAGE_HEADERS_MAX 256     /* of a request or a reply */
#define HTTP_MESSAGE_PARAMS_MAX 4        /* segments in braces of a path */
#define HTTP_MESSAGE_BODY_MAX (8u << 20) /* of a reply */

struct http_message_pair {
	const char *name, *value;
};

struct http_message_request {
	uint32_t route;      /* which of the plugin's */
	bool trusted, local; /* routes.h: skymon_is_trusted, skymon_caller */
	const char *method, *query /* raw */, *address, *user, *why_not_local, *login;
	struct http_message_pair params[HTTP_MESSAGE_PARAMS_MAX];
	size_t param_count;
	struct http_message_pair *headers; /* owned when decoded */
	size_t header_count;
	const char *body;
	size_t body_size;
};

struct http_message_reply {
	bool again; /* no answer: the secret was refused, and the request is to be done again */
	bool problem;
	int code;
	const char *type;                  /* "" if there is none */
	const char *audit;                 /* "" if there is none */
	struct http_message_pair *headers; /* owned when decoded */
	size_t header_count;
	const void *body;
	size_t body_size;
};

void http_message_put_request(struct buf *body, const struct http_message_request *request);
void http_message_put_reply(struct buf *body, const struct http_message_reply *reply);
/* Returns whether it may be sent to a client. Both ends check: the worker, so that a plugin's mistake costs
 * its own request only; the daemon, because the worker is hostile. */
bool http_message_header_ok(const char *name, const char *value);
bool http_message_reply_ok(const struct http_message_reply *reply);
/* Reads the rest of a message; false, with *out empty, if it is malformed. */
bool http_message_get_request(struct wire_reader *in, struct http_message_request *out) MUST_CHECK;
bool http_message_get_reply(struct wire_reader *in, struct http_message_reply *out) MUST_CHECK;
void http_message_free_request(struct http_message_request *request);
void http_message_free_reply(struct http_message_reply *reply);
/* Returns the value of a pair, or NULL. case_matters: false for headers. */
const char *http_message_find(const struct http_message_pair *pairs, size_t count, const char *name,
			      bool case_matters);

/* Returns whether a problem may have it as a further member; those that every problem has may not. */
bool http_message_member_ok(const char *key);
/* Prints the body of application/problem+json (RFC 9457), and `error` with the same sentence. members: more
 * of them, as `,"key":value…`; may be NULL. */
void http_message_print_problem(struct buf *body, int code, const char *detail, const char *members,
				int64_t now_ms);

/* Returns the raw value of a query parameter, without a '\0' at its end; NULL if the query lacks it. Its name
 * is compared as it was sent. */
const char *http_message_query(const char *query, const char *name, size_t *length);
/* Decodes %XX of one segment or query value into out (size includes '\0'); false for a bad escape, %00, or
 * what is too long. plus: '+' is a space. */
bool http_message_decode(const char *text, size_t length, bool plus, char *out, size_t size);

#endif
