/* SPDX-License-Identifier: Apache-2.0 */
/* http_memory: the memory of requests. http_request.c takes a struct for each request and gives it back;
 * spare ones and their buffers are kept, so that a request under load allocates nothing. Runs on the loop's
 * thread. */
#include <stdlib.h>
#include <string.h>

#include "http_private.h"

struct chunk {
	struct chunk *next;
	char bytes[];
};

struct skymon_request *request_new(struct http *http, struct listener *listener,
				   struct MHD_Connection *connection)
{
	struct skymon_request *rq = http->spare;
	struct buf extra = {0};
	if (rq == NULL) {
		rq = x_alloc(sizeof(*rq));
	} else {
		http->spare = rq->next;
		extra = rq->extra;
		memset(rq, 0, offsetof(struct skymon_request, inline_bytes));
	}
	rq->extra = extra;
	rq->http = http;
	rq->listener = listener;
	rq->connection = connection;
	rq->path = rq->query = "";
	rq->count = http->no_route;
	http->in_flight++;
	return rq;
}

void request_free(struct skymon_request *rq)
{
	struct http *http = rq->http;
	route_table_unref(rq->table);
	for (struct chunk *chunk = rq->chunks, *next; chunk != NULL; chunk = next) {
		next = chunk->next;
		free(chunk);
	}
	if (rq->body.data != NULL && rq->entry != NULL && rq->entry->route->flags & SKYMON_ROUTE_GUARDED)
		explicit_bzero(rq->body.data, rq->body.size); /* it may hold passwords */
	buf_free(&rq->body);
	buf_free(&rq->output);
	buf_free(&rq->members);
	rq->extra.size = 0;
	rq->next = http->spare;
	http->spare = rq;
	http->in_flight--;
}

void request_free_spare(struct http *http)
{
	for (struct skymon_request *rq = http->spare, *next; rq != NULL; rq = next) {
		next = rq->next;
		buf_free(&rq->extra);
		free(rq);
	}
	http->spare = NULL;
}

char *request_text(struct skymon_request *rq, size_t size)
{
	if (size <= sizeof(rq->inline_bytes) - rq->used) {
		char *text = rq->inline_bytes + rq->used;
		rq->used += size;
		return text;
	}
	struct chunk *chunk = x_alloc(sizeof(*chunk) + size);
	chunk->next = rq->chunks;
	rq->chunks = chunk;
	return chunk->bytes;
}

const char *request_copy(struct skymon_request *rq, const char *text)
{
	return strcpy(request_text(rq, strlen(text) + 1), text);
}
