/* SPDX-License-Identifier: Apache-2.0 */
/* The check in front of libmicrohttpd: heads (http_head.c) and the framing of bodies (http_framing.c) are
 * validated before the library reads them. */
#ifndef HTTP_FRAMING_H
#define HTTP_FRAMING_H

#include <sys/types.h>

#include "route.h"

/* ---- Heads ---- */

#define HEAD_MAX 20480       /* bytes of a head */
#define HEAD_TARGET_MAX 8192 /* bytes of the target in the request line */

struct head {
	int fault; /* the status code that refuses the head, or 0 */
	const char *why;
	enum http_method method; /* known even when the rest is refused */
	bool http_1_0, chunked, has_length, has_host, has_origin, has_type, has_authorization;
	bool cookies, blanks; /* to be cleaned away */
	unsigned fields;
	uint64_t length; /* of the body; UINT64_MAX also stands for larger ones */
	size_t kept;     /* bytes of the head after cleaning */
};

/* Reads a head from the front of bytes, cleans it in place and returns its size before cleaning. Returns 0
 * when the head is incomplete or refused. */
size_t head_take(char *bytes, size_t size, struct head *head);
/* Validates one header line, without its line end. */
bool head_field(struct head *head, const char *line, size_t size);
/* Does text consist of characters of hosts and ports only? RFC 3986 allows a comma in a host, but here it
 * means two joined Host headers. */
bool head_is_host(const char *text, size_t size);
/* Returns the host of a target in absolute form, or NULL. */
const char *head_authority(const char *target, size_t target_size, size_t *size);

/* ---- The framing of a connection ---- */

enum framing_phase {
	FRAMING_HEAD,
	FRAMING_BODY,
	FRAMING_CHUNK, /* the line with a chunk's size */
	FRAMING_CHUNK_DATA,
	FRAMING_CHUNK_END,
	FRAMING_TRAILERS,
	FRAMING_SHUT /* after a fault, nothing passes */
};

struct framing {
	enum framing_phase phase;
	enum http_method method; /* of the last head */
	uint64_t body_limit;     /* limits.request_body */
	uint64_t left;           /* bytes of the body or chunk that have yet to come */
	uint64_t body;           /* bytes of the chunks so far */
	size_t trailers;
	unsigned blanks;
	uint64_t passed;   /* heads */
	uint64_t fault_at; /* ordinal (from 1) of the request to be answered with fault; 0 if none */
	int fault;         /* a status code */
	const char *why;
	const char *ending; /* replaces the faulty bytes for libmicrohttpd */
	char *held;         /* first `ready` bytes that may pass, then an incomplete line; NULL while empty */
	size_t held_size, ready;
};

struct framing_source {
	ssize_t (*read)(void *arg, char *out, size_t size);
	void *arg;
	ssize_t again; /* return value that means: nothing to read now */
	bool records;  /* a short read does not mean that the source is drained */
};

ssize_t framing_read(struct framing *framing, const struct framing_source *source, char *out, size_t size);
/* Shuts with 408. Returns false where that answer can no longer be given. */
bool framing_expire(struct framing *framing);
void framing_free(struct framing *framing);

#endif
