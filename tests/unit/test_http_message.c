/* SPDX-License-Identifier: Apache-2.0 */
/* http_message: requests and replies on the wire, hostile messages of a worker, and problems. */
#include "wire/http_message.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "unit.h"

static const struct http_message_pair headers[] = {
	{"X-One", "1"}, {"x-two", "zwei \xC3\xBC"}, {"X-Empty", ""}};

/* ---- Requests ---- */

static void requests_read_back(void)
{
	struct http_message_request asked = {
		.route = 7,
		.local = true,
		.method = "POST",
		.query = "a=%20&b",
		.address = "::1",
		.user = "root",
		.why_not_local = "it has left",
		.login = "ops",
		.params = {{"uid", "a/b"}, {"rest", ""}},
		.param_count = 2,
		.headers = (struct http_message_pair *)(uintptr_t)headers,
		.header_count = 3,
		.body = "a\0b",
		.body_size = 3,
	};
	struct buf body = {0};
	http_message_put_request(&body, &asked);
	struct wire_reader in = wire_reader(body.data, body.size);
	struct http_message_request got;
	CU_ASSERT_FATAL(http_message_get_request(&in, &got));
	CU_ASSERT(got.route == 7 && got.local && !got.trusted);
	UNIT_TEXT(got.method, "POST");
	UNIT_TEXT(got.query, "a=%20&b");
	UNIT_TEXT(got.address, "::1");
	UNIT_TEXT(got.user, "root");
	UNIT_TEXT(got.why_not_local, "it has left");
	UNIT_TEXT(got.login, "ops");
	CU_ASSERT(got.param_count == 2 && got.header_count == 3);
	UNIT_TEXT(http_message_find(got.params, got.param_count, "uid", true), "a/b");
	UNIT_TEXT(http_message_find(got.params, got.param_count, "rest", true), "");
	CU_ASSERT_PTR_NULL(http_message_find(got.params, got.param_count, "UID", true));
	UNIT_TEXT(http_message_find(got.headers, got.header_count, "X-TWO", false), "zwei \xC3\xBC");
	CU_ASSERT_PTR_NULL(http_message_find(got.headers, got.header_count, "X-Three", false));
	CU_ASSERT(got.body_size == 3 && memcmp(got.body, "a\0b", 4) == 0);
	http_message_free_request(&got);
	CU_ASSERT(got.headers == NULL && got.body == NULL);
	buf_free(&body);
}

/* Each prefix of a message is invalid, and so is a message with an extra byte. */
static void cut_requests_are_broken(void)
{
	struct http_message_request asked = {.method = "GET",
					     .query = "",
					     .address = "unix",
					     .headers = (struct http_message_pair *)(uintptr_t)headers,
					     .header_count = 2};
	struct buf body = {0};
	http_message_put_request(&body, &asked);
	struct http_message_request got;
	for (size_t size = 0; size < body.size; size++) {
		char *copy = malloc(size + 1); /* ASan reports a read of one byte beyond */
		memcpy(copy, body.data, size);
		struct wire_reader in = wire_reader(copy, size);
		CU_ASSERT(!http_message_get_request(&in, &got));
		CU_ASSERT(got.headers == NULL && got.header_count == 0);
		free(copy);
	}
	wire_put_u8(&body, 0);
	struct wire_reader in = wire_reader(body.data, body.size);
	CU_ASSERT(!http_message_get_request(&in, &got));
	buf_free(&body);
}

static void too_many_pairs_are_broken(void)
{
	struct http_message_pair many[HTTP_MESSAGE_HEADERS_MAX + 1];
	for (size_t i = 0; i <= HTTP_MESSAGE_HEADERS_MAX; i++)
		many[i] = (struct http_message_pair){"A", "b"};
	for (size_t more = 0; more < 2; more++) {
		struct http_message_request asked = {.method = "GET",
						     .query = "",
						     .address = "",
						     .headers = many,
						     .header_count = HTTP_MESSAGE_HEADERS_MAX + more};
		struct buf body = {0};
		http_message_put_request(&body, &asked);
		struct wire_reader in = wire_reader(body.data, body.size);
		struct http_message_request got;
		CU_ASSERT_EQUAL(http_message_get_request(&in, &got), more == 0);
		http_message_free_request(&got);
		buf_free(&body);
	}
	struct buf body = {0};
	wire_put_u32(&body, 0);
	wire_put_u8(&body, 0);
	wire_put_u8(&body, 0);
	for (int i = 0; i < 3; i++)
		wire_put_text(&body, "");
	wire_put_u32(&body, HTTP_MESSAGE_PARAMS_MAX + 1);
	for (int i = 0; i < 2 * (HTTP_MESSAGE_PARAMS_MAX + 1); i++)
		wire_put_text(&body, "x");
	wire_put_u32(&body, 0);
	wire_put_bytes(&body, "", 0);
	struct wire_reader in = wire_reader(body.data, body.size);
	struct http_message_request got;
	CU_ASSERT(!http_message_get_request(&in, &got));
	buf_free(&body);
}

/* ---- Replies ---- */

static bool crosses(const struct http_message_reply *reply, struct http_message_reply *got, struct buf *body)
{
	http_message_put_reply(body, reply);
	struct wire_reader in = wire_reader(body->data, body->size);
	return http_message_get_reply(&in, got);
}

static void replies_read_back(void)
{
	struct http_message_reply reply = {.problem = true,
					   .code = 422,
					   .type = "application/problem+json",
					   .audit = "did a thing",
					   .headers = (struct http_message_pair *)(uintptr_t)headers,
					   .header_count = 3,
					   .body = "{}\0",
					   .body_size = 3};
	struct buf body = {0};
	struct http_message_reply got;
	CU_ASSERT_FATAL(crosses(&reply, &got, &body));
	CU_ASSERT(got.problem && !got.again && got.code == 422 && got.header_count == 3);
	UNIT_TEXT(got.type, "application/problem+json");
	UNIT_TEXT(got.audit, "did a thing");
	UNIT_TEXT(got.headers[1].name, "x-two");
	CU_ASSERT(got.body_size == 3 && memcmp(got.body, "{}\0", 4) == 0);
	http_message_free_reply(&got);
	buf_free(&body);
	CU_ASSERT(crosses(&(struct http_message_reply){.again = true, .type = "", .audit = ""}, &got, &body));
	CU_ASSERT(got.again && got.body_size == 0);
	http_message_free_reply(&got);
	buf_free(&body);
}

static void cut_replies_are_broken(void)
{
	struct http_message_reply reply = {.code = 200,
					   .type = "text/plain",
					   .audit = "",
					   .headers = (struct http_message_pair *)(uintptr_t)headers,
					   .header_count = 1,
					   .body = "abc",
					   .body_size = 3};
	struct buf body = {0};
	http_message_put_reply(&body, &reply);
	struct http_message_reply got;
	for (size_t size = 0; size < body.size; size++) {
		char *copy = malloc(size + 1);
		memcpy(copy, body.data, size);
		struct wire_reader in = wire_reader(copy, size);
		CU_ASSERT(!http_message_get_reply(&in, &got));
		CU_ASSERT(got.headers == NULL && got.header_count == 0);
		free(copy);
	}
	buf_free(&body);
}

static void hostile_replies_are_broken(void)
{
	static char long_value[HTTP_MESSAGE_HEAD_MAX + 1], fitting[HTTP_MESSAGE_HEAD_MAX - 1];
	memset(long_value, 'x', sizeof(long_value) - 1);
	memset(fitting, 'x', sizeof(fitting) - 1);
	const struct {
		bool ok;
		int code;
		const char *type, *name, *value;
	} rows[] = {
		{true, 200, "", "X-A", "b"},
		{true, 599, "text/plain; charset=utf-8", "Location", "/a b\xC3\xBC"},
		{true, 200, "", "Retry-After", ""},
		{true, 200, "", "X-", fitting + 1}, /* all that fits */
		{false, 200, "", "X-A", fitting},
		{false, 200, "", "X-A", long_value},
		{false, 99, "", "X-A", "b"},
		{false, 100, "", "X-A", "b"},
		{false, 199, "", "X-A", "b"},
		{false, 600, "", "X-A", "b"},
		{false, 1200, "", "X-A", "b"},
		{false, -1, "", "X-A", "b"},
		{false, 200, "a\nb", "X-A", "b"},
		{false, 200, "", "X-A", "b\r\nX-B: c"},
		{false, 200, "", "X-A", "b\x7F"},
		{false, 200, "", "X-A\r\nX-B", "c"},
		{false, 200, "", "X A", "b"},
		{false, 200, "", "X:A", "b"},
		{false, 200, "", "X\xC3\xBC", "b"},
		{false, 200, "", "", "b"},
		{false, 200, "", "Content-Length", "1"},
		{false, 200, "", "transfer-ENCODING", "chunked"},
		{false, 200, "", "Connection", "close"},
		{false, 200, "", "Date", "today"},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct http_message_pair header = {rows[i].name, rows[i].value};
		struct http_message_reply got, reply = {.code = rows[i].code,
							.type = rows[i].type,
							.audit = "",
							.headers = &header,
							.header_count = 1};
		struct buf body = {0};
		bool ok = crosses(&reply, &got, &body);
		if (ok != rows[i].ok)
			fprintf(stderr, "\n%d %s %.50s: %.50s\n", rows[i].code, rows[i].type, rows[i].name,
				rows[i].value);
		CU_ASSERT_EQUAL(ok, rows[i].ok);
		CU_ASSERT_EQUAL(http_message_reply_ok(&reply), rows[i].ok);
		http_message_free_reply(&got);
		buf_free(&body);
	}
}

static void a_reply_has_a_largest_size(void)
{
	char *bytes = calloc(1, HTTP_MESSAGE_BODY_MAX + 1);
	for (size_t more = 0; more < 2; more++) {
		struct http_message_reply got, reply = {.code = 200,
							.type = "",
							.audit = "",
							.body = bytes,
							.body_size = HTTP_MESSAGE_BODY_MAX + more};
		struct buf body = {0};
		CU_ASSERT_EQUAL(crosses(&reply, &got, &body), more == 0);
		CU_ASSERT(body.size < WIRE_REPLY_MAX); /* the largest allowed one fits the wire */
		http_message_free_reply(&got);
		buf_free(&body);
	}
	free(bytes);
}

/* ---- Problems ---- */

static void problems_are_printed(void)
{
	static const struct {
		int code;
		const char *detail, *members, *expected;
	} rows[] = {
		{404, "no \"x\"\n", NULL,
		 "{\"type\":\"about:blank\",\"title\":\"Not Found\",\"status\":404,\"detail\":\"no "
		 "\\\"x\\\"\\n\",\"timestamp\":\"1970-01-01T00:00:01.000Z\",\"error\":\"no "
		 "\\\"x\\\"\\n\"}"},
		{502, "bad", ",\"upstream_status\":412",
		 "{\"type\":\"about:blank\",\"title\":\"Bad "
		 "Gateway\",\"status\":502,\"detail\":\"bad\",\"timestamp\":\"1970-01-01T00:00:01.000Z\","
		 "\"error\":\"bad\",\"upstream_status\":412}"},
		{418, "", NULL,
		 "{\"type\":\"about:blank\",\"title\":\"Client "
		 "Error\",\"status\":418,\"detail\":\"\",\"timestamp\":\"1970-01-01T00:00:01.000Z\","
		 "\"error\":\"\"}"},
		{599, "\xFF", NULL,
		 "{\"type\":\"about:blank\",\"title\":\"Server "
		 "Error\",\"status\":599,\"detail\":\"\xEF\xBF\xBD\",\"timestamp\":"
		 "\"1970-01-01T00:00:01.000Z\",\"error\":\"\xEF\xBF\xBD\"}"},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct buf body = {0};
		http_message_print_problem(&body, rows[i].code, rows[i].detail, rows[i].members, 1000);
		UNIT_TEXT(body.data, rows[i].expected);
		buf_free(&body);
	}
}

int main(void)
{
	return unit_run("http_message",
			(const struct unit_test[]){{"requests read back", requests_read_back},
						   {"cut requests are broken", cut_requests_are_broken},
						   {"too many pairs are broken", too_many_pairs_are_broken},
						   {"replies read back", replies_read_back},
						   {"cut replies are broken", cut_replies_are_broken},
						   {"hostile replies are broken", hostile_replies_are_broken},
						   {"a reply has a largest size", a_reply_has_a_largest_size},
						   {"problems are printed", problems_are_printed},
						   {0}});
}
