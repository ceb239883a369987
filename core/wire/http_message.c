/* SPDX-License-Identifier: Apache-2.0 */
/* Requests and replies of routes in workers, and what both ends check of them. Called by forward and reply on
 * the daemon's thread, and by the runner on the thread of a call. */
#include "http_message.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* ---- Pairs ---- */

static void put_pairs(struct buf *body, const struct http_message_pair *pairs, size_t count)
{
	wire_put_u32(body, (uint32_t)count);
	for (size_t i = 0; i < count; i++) {
		wire_put_text(body, pairs[i].name);
		wire_put_text(body, pairs[i].value);
	}
}

static void get_pairs(struct wire_reader *in, struct http_message_pair *pairs, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		pairs[i].name = wire_get_text_or_empty(in);
		pairs[i].value = wire_get_text_or_empty(in);
	}
}

static size_t get_count(struct wire_reader *in, size_t most)
{
	uint32_t count = wire_get_count(in, 2 * sizeof(uint32_t));
	in->bad = in->bad || count > most;
	return in->bad ? 0 : count;
}

static struct http_message_pair *get_headers(struct wire_reader *in, size_t *count)
{
	*count = get_count(in, HTTP_MESSAGE_HEADERS_MAX);
	struct http_message_pair *headers = x_alloc((*count + 1) * sizeof(*headers));
	get_pairs(in, headers, *count);
	return headers;
}

const char *http_message_find(const struct http_message_pair *pairs, size_t count, const char *name,
			      bool case_matters)
{
	for (size_t i = 0; i < count; i++)
		if ((case_matters ? strcmp(pairs[i].name, name) : strcasecmp(pairs[i].name, name)) == 0)
			return pairs[i].value;
	return NULL;
}

/* ---- Requests ---- */

void http_message_put_request(struct buf *body, const struct http_message_request *request)
{
	wire_put_u32(body, request->route);
	wire_put_u8(body, request->trusted);
	wire_put_u8(body, request->local);
	wire_put_text(body, request->method);
	wire_put_text(body, request->query);
	wire_put_text(body, request->address);
	wire_put_text(body, request->user);
	wire_put_text(body, request->why_not_local);
	wire_put_text(body, request->login);
	put_pairs(body, request->params, request->param_count);
	put_pairs(body, request->headers, request->header_count);
	wire_put_bytes(body, request->body, request->body_size);
}

bool http_message_get_request(struct wire_reader *in, struct http_message_request *out)
{
	*out = (struct http_message_request){.route = wire_get_u32(in)};
	out->trusted = wire_get_u8(in) != 0;
	out->local = wire_get_u8(in) != 0;
	out->method = wire_get_text_or_empty(in);
	out->query = wire_get_text_or_empty(in);
	out->address = wire_get_text_or_empty(in);
	out->user = wire_get_text_or_empty(in);
	out->why_not_local = wire_get_text_or_empty(in);
	out->login = wire_get_text_or_empty(in);
	out->param_count = get_count(in, HTTP_MESSAGE_PARAMS_MAX);
	get_pairs(in, out->params, out->param_count);
	out->headers = get_headers(in, &out->header_count);
	out->body = wire_get_bytes(in, &out->body_size);
	if (wire_end(in))
		return true;
	http_message_free_request(out);
	return false;
}

void http_message_free_request(struct http_message_request *request)
{
	free(request->headers);
	*request = (struct http_message_request){0};
}

/* ---- Replies ---- */

void http_message_put_reply(struct buf *body, const struct http_message_reply *reply)
{
	wire_put_u8(body, reply->again);
	wire_put_u8(body, reply->problem);
	wire_put_u32(body, (uint32_t)reply->code);
	wire_put_text(body, reply->type);
	wire_put_text(body, reply->audit);
	put_pairs(body, reply->headers, reply->header_count);
	wire_put_bytes(body, reply->body, reply->body_size);
}

/* Headers that the daemon alone sets: where a body ends, and what a browser lets a page do with this origin
 * (pages of other origins, cookies, other servers in its place). A name that ends with '-' stands for all
 * that begin so. */
static bool is_daemons(const char *name)
{
	static const char *const ours[] = {"Content-Length",
					   "Transfer-Encoding",
					   "Connection",
					   "Date",
					   "Trailer",
					   "Upgrade",
					   "Cache-Control",
					   "Content-Security-Policy",
					   "Content-Security-Policy-",
					   "X-Content-Type-Options",
					   "X-Frame-Options",
					   "Access-Control-",
					   "Cross-Origin-",
					   "Origin-Agent-Cluster",
					   "Permissions-Policy",
					   "Referrer-Policy",
					   "Service-Worker-Allowed",
					   "Set-Cookie",
					   "Set-Cookie2",
					   "Clear-Site-Data",
					   "Refresh",
					   "Alt-Svc",
					   "Strict-Transport-Security",
					   "Public-Key-Pins",
					   "Report-To",
					   "Reporting-Endpoints",
					   "NEL",
					   "Server"};
	for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++) {
		size_t size = strlen(ours[i]);
		if (ours[i][size - 1] == '-' ? strncasecmp(name, ours[i], size) == 0
					     : strcasecmp(name, ours[i]) == 0)
			return true;
	}
	return false;
}

/* A byte that ends a line would let a plugin write headers of its own. */
bool http_message_header_ok(const char *name, const char *value)
{
	if (is_daemons(name))
		return false;
	for (const char *at = name; *at != '\0'; at++)
		if (*at <= ' ' || *at >= 0x7F || *at == ':')
			return false;
	for (const char *at = value; *at != '\0'; at++)
		if ((unsigned char)*at < ' ' || *at == 0x7F)
			return false;
	return name[0] != '\0';
}

bool http_message_reply_ok(const struct http_message_reply *reply)
{
	size_t head = strlen(reply->type);
	bool ok = http_message_header_ok("Content-Type", reply->type) &&
		  reply->header_count <= HTTP_MESSAGE_HEADERS_MAX;
	for (size_t i = 0; ok && i < reply->header_count; i++) {
		ok = http_message_header_ok(reply->headers[i].name, reply->headers[i].value);
		head += strlen(reply->headers[i].name) + strlen(reply->headers[i].value);
	}
	if (reply->again)
		return ok;
	return ok && head <= HTTP_MESSAGE_HEAD_MAX && reply->code >= 200 && reply->code <= 599 &&
	       reply->body_size <= HTTP_MESSAGE_BODY_MAX;
}

bool http_message_get_reply(struct wire_reader *in, struct http_message_reply *out)
{
	*out = (struct http_message_reply){.again = wire_get_u8(in) != 0};
	out->problem = wire_get_u8(in) != 0;
	uint32_t code = wire_get_u32(in);
	out->code = code < 1000 ? (int)code : 0;
	out->type = wire_get_text_or_empty(in);
	out->audit = wire_get_text_or_empty(in);
	out->headers = get_headers(in, &out->header_count);
	out->body = wire_get_bytes(in, &out->body_size);
	if (wire_end(in) && http_message_reply_ok(out))
		return true;
	http_message_free_reply(out);
	return false;
}

void http_message_free_reply(struct http_message_reply *reply)
{
	free(reply->headers);
	*reply = (struct http_message_reply){0};
}

/* ---- Problems ---- */

/* The reason phrase of RFC 9110, or of 6585 where it has none: the title of a problem without a type. */
static const char *title_of(int code)
{
	static const struct {
		int code;
		const char *title;
	} titles[] = {
		{400, "Bad Request"},
		{401, "Unauthorized"},
		{403, "Forbidden"},
		{404, "Not Found"},
		{405, "Method Not Allowed"},
		{408, "Request Timeout"},
		{409, "Conflict"},
		{411, "Length Required"},
		{412, "Precondition Failed"},
		{413, "Content Too Large"},
		{414, "URI Too Long"},
		{415, "Unsupported Media Type"},
		{422, "Unprocessable Content"},
		{429, "Too Many Requests"},
		{431, "Request Header Fields Too Large"},
		{500, "Internal Server Error"},
		{501, "Not Implemented"},
		{502, "Bad Gateway"},
		{503, "Service Unavailable"},
		{504, "Gateway Timeout"},
	};
	for (size_t i = 0; i < sizeof(titles) / sizeof(titles[0]); i++)
		if (titles[i].code == code)
			return titles[i].title;
	return code < 500 ? "Client Error" : "Server Error";
}

bool http_message_member_ok(const char *key)
{
	static const char *const ours[] = {"type", "title", "status", "detail", "timestamp", "error"};
	for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++)
		if (strcmp(key, ours[i]) == 0)
			return false;
	return true;
}

void http_message_print_problem(struct buf *body, int code, const char *detail, const char *members,
				int64_t now_ms)
{
	buf_text(body, "{\"type\":\"about:blank\",\"title\":");
	buf_json(body, title_of(code));
	buf_printf(body, ",\"status\":%d,\"detail\":", code);
	buf_json(body, detail);
	buf_text(body, ",\"timestamp\":");
	buf_json_time(body, now_ms);
	buf_text(body, ",\"error\":");
	buf_json(body, detail);
	buf_text(body, members != NULL ? members : "");
	buf_text(body, "}");
}

/* ---- Decoding of targets ---- */

static int hex(char digit)
{
	if (digit >= '0' && digit <= '9')
		return digit - '0';
	digit = (char)(digit | 0x20);
	return digit >= 'a' && digit <= 'f' ? digit - 'a' + 10 : -1;
}

const char *http_message_query(const char *query, const char *name, size_t *length)
{
	size_t name_length = strlen(name);
	for (const char *at = query; *at != '\0';) {
		size_t size = strcspn(at, "&");
		bool found = size >= name_length && memcmp(at, name, name_length) == 0;
		if (found && (size == name_length || at[name_length] == '=')) {
			const char *value = at + name_length + (size > name_length);
			*length = (size_t)(at + size - value);
			return value;
		}
		at += size + (at[size] == '&');
	}
	return NULL;
}

bool http_message_decode(const char *text, size_t length, bool plus, char *out, size_t size)
{
	size_t made = 0;
	for (size_t i = 0; i < length; i++) {
		char byte = plus && text[i] == '+' ? ' ' : text[i];
		if (byte == '%') {
			int high = i + 2 < length ? hex(text[i + 1]) : -1;
			int low = i + 2 < length ? hex(text[i + 2]) : -1;
			if (high < 0 || low < 0)
				return false;
			byte = (char)(high << 4 | low);
			i += 2;
		}
		if (byte == '\0' || made + 1 >= size)
			return false;
		out[made++] = byte;
	}
	if (size == 0)
		return false;
	out[made] = '\0';
	return true;
}
