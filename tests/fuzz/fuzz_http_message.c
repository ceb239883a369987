/* SPDX-License-Identifier: Apache-2.0 */
/* Everything that a hostile worker may send as a reply, and what crosses to it as a request: bytes ->
 * http_message_get_…, then everything that a reader does with it; what was read is put again and must read
 * the same. Build with clang -fsanitize=fuzzer,address,undefined. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "wire/http_message.h"

static void must(bool ok)
{
	if (!ok)
		abort();
}

static void walk_pairs(const struct http_message_pair *pairs, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		must(wire_text_ok(pairs[i].name, strlen(pairs[i].name)));
		must(http_message_find(pairs, count, pairs[i].name, true) != NULL);
		must(http_message_find(pairs, count, pairs[i].name, false) != NULL);
		must(strlen(pairs[i].value) < SIZE_MAX);
	}
}

/* The same message in a block of just its size, so that reading past its end is seen. */
static void reread(const struct buf *body, bool request)
{
	char *copy = malloc(body->size);
	memcpy(copy, body->data, body->size);
	struct wire_reader in = wire_reader(copy, body->size);
	struct http_message_request asked;
	struct http_message_reply reply;
	if (request) {
		must(http_message_get_request(&in, &asked));
		http_message_free_request(&asked);
	} else {
		must(http_message_get_reply(&in, &reply));
		http_message_free_reply(&reply);
	}
	free(copy);
}

static void take_request(struct wire_reader in)
{
	struct http_message_request asked;
	struct buf body = {0};
	if (!http_message_get_request(&in, &asked)) {
		must(asked.headers == NULL && asked.header_count == 0);
		return;
	}
	must(asked.param_count <= HTTP_MESSAGE_PARAMS_MAX && asked.header_count <= HTTP_MESSAGE_HEADERS_MAX);
	walk_pairs(asked.params, asked.param_count);
	walk_pairs(asked.headers, asked.header_count);
	must(asked.body[asked.body_size] == '\0');
	http_message_put_request(&body, &asked);
	http_message_free_request(&asked);
	reread(&body, true);
	buf_free(&body);
}

static void take_reply(struct wire_reader in)
{
	struct http_message_reply reply;
	struct buf body = {0};
	if (!http_message_get_reply(&in, &reply)) {
		must(reply.headers == NULL && reply.header_count == 0);
		return;
	}
	must(reply.again || (reply.code >= 200 && reply.code <= 599));
	must(reply.header_count <= HTTP_MESSAGE_HEADERS_MAX && reply.body_size <= HTTP_MESSAGE_BODY_MAX);
	walk_pairs(reply.headers, reply.header_count);
	for (size_t i = 0; i < reply.header_count; i++)
		must(strpbrk(reply.headers[i].name, "\r\n: ") == NULL &&
		     strpbrk(reply.headers[i].value, "\r\n") == NULL);
	must(strpbrk(reply.type, "\r\n") == NULL);
	must(((const char *)reply.body)[reply.body_size] == '\0');
	http_message_put_reply(&body, &reply);
	http_message_free_reply(&reply);
	reread(&body, false);
	buf_free(&body);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	if (data[0] % 2 == 0)
		take_request(wire_reader(data + 1, size - 1));
	else
		take_reply(wire_reader(data + 1, size - 1));
	return 0;
}
