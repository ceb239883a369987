/* SPDX-License-Identifier: Apache-2.0 */
/* http_head: reads the head of a request by RFC 9112, and refuses what two programs could understand
 * differently. http_framing.c calls it on the loop's thread before libmicrohttpd sees the bytes. Pure; owns
 * nothing. A head that passes is cleaned in place, so that libmicrohttpd 0.9 and 1.0 read the same. */
#include <string.h>
#include <strings.h>

#include "http_framing.h"

#define METHOD_MAX 32
#define FIELDS_MAX 128 /* each costs libmicrohttpd an entry in the connection's memory */

/* ---- Characters ---- */

/* The characters of a token (RFC 9110, 5.6.2), one bit for each. */
static bool is_token(unsigned char c)
{
	static const uint32_t bits[4] = {0, 0x03FF6CFA, 0xC7FFFFFE, 0x57FFFFFF};
	return c < 128 && (bits[c / 32] >> (c % 32) & 1) != 0;
}

static size_t token_size(const char *text, size_t size)
{
	size_t at = 0;
	while (at < size && is_token((unsigned char)text[at]))
		at++;
	return at;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static bool is_control(char c)
{
	return ((unsigned char)c < ' ' && c != '\t') || c == 0x7F;
}

static bool refuse(struct head *head, int code, const char *why)
{
	head->fault = code;
	head->why = why;
	return false;
}

/* ---- The request line ---- */

bool head_is_host(const char *text, size_t size)
{
	for (size_t i = 0; i < size; i++)
		if ((!is_token((unsigned char)text[i]) && strchr("()=;:[]", text[i]) == NULL) ||
		    strchr("#^`|", text[i]) != NULL)
			return false;
	return true;
}

/* Is text host [":" port] of RFC 3986, without user information? */
static bool is_authority(const char *text, size_t size)
{
	size_t at = 0;
	if (size > 0 && text[0] == '[') {
		for (at = 1; at < size && strchr("0123456789abcdefABCDEF:.", text[at]) != NULL;)
			at++;
		if (at == size || text[at++] != ']')
			return false;
	} else {
		while (at < size && text[at] != ':')
			if (!head_is_host(text + at++, 1))
				return false;
	}
	if (at < size && text[at] == ':')
		for (at++; at < size && text[at] >= '0' && text[at] <= '9';)
			at++;
	return at == size;
}

const char *head_authority(const char *target, size_t target_size, size_t *size)
{
	static const struct {
		const char *text;
		size_t size;
	} schemes[] = {{"http://", 7}, {"https://", 8}};
	for (size_t i = 0; i < 2; i++) {
		if (target_size < schemes[i].size ||
		    strncasecmp(target, schemes[i].text, schemes[i].size) != 0)
			continue;
		const char *host = target + schemes[i].size, *end = target + target_size, *at = host;
		while (at < end && *at != '/' && *at != '?')
			at++;
		*size = (size_t)(at - host);
		return host;
	}
	return NULL;
}

static bool take_target(struct head *head, const char *target, size_t size)
{
	if (size > HEAD_TARGET_MAX)
		return refuse(head, 414, "the target of the request is longer than 8 KiB");
	const char *query = memchr(target, '?', size);
	for (size_t i = 0; i < size; i++) {
		if ((unsigned char)target[i] <= ' ' || target[i] == 0x7F ||
		    ((unsigned char)target[i] > 0x7F && (query == NULL || target + i < query)))
			return refuse(head, 400,
				      "the path has a space, a control character or a byte above 127; encode "
				      "it");
		if (target[i] == '#')
			return refuse(head, 400, "the target of the request has a fragment (#)");
	}
	size_t host_size;
	const char *host = head_authority(target, size, &host_size);
	if (host != NULL && (host_size == 0 || host[0] == ':' || !is_authority(host, host_size)))
		return refuse(head, 400, "the target of the request names no valid host");
	bool star = size == 1 && target[0] == '*' && head->method == HTTP_OPTIONS;
	if (host == NULL && target[0] != '/' && !star)
		return refuse(head, 400, "the target of the request is not a path that begins with /");
	return true;
}

static bool take_version(struct head *head, const char *text, size_t size)
{
	if (size != 8 || memcmp(text, "HTTP/", 5) != 0 || text[5] < '0' || text[5] > '9' || text[6] != '.' ||
	    text[7] < '0' || text[7] > '9')
		return refuse(head, 400,
			      "the request line is not METHOD TARGET HTTP/1.1 with one space between them");
	if (text[5] != '1')
		return refuse(head, 505, "this server speaks HTTP/1.1 and HTTP/1.0");
	head->http_1_0 = text[7] == '0';
	return true;
}

static bool take_request_line(struct head *head, const char *line, size_t size)
{
	size_t method = token_size(line, size);
	if (method > METHOD_MAX)
		return refuse(head, 501, "the method is longer than any known one");
	if (method == 0 || method == size || line[method] != ' ')
		return refuse(head, 400, "the request line does not begin with a method and one space");
	const char *target = line + method + 1, *end = line + size;
	const char *space = end; /* the last one, so that a space in the target is named as such */
	while (space > target && space[-1] != ' ')
		space--;
	if (space == target)
		return refuse(head, 400, "the request line has no version: METHOD TARGET HTTP/1.1");
	if (space - 1 == target)
		return refuse(head, 400, "the request line has no target: METHOD TARGET HTTP/1.1");
	return take_version(head, space, (size_t)(end - space)) &&
	       take_target(head, target, (size_t)(space - 1 - target));
}

/* ---- Fields ---- */

static bool is_name(const char *name, size_t size, const char *wanted)
{
	return size == strlen(wanted) && strncasecmp(name, wanted, size) == 0;
}

static bool take_length(struct head *head, const char *value, size_t size)
{
	if (head->has_length)
		return refuse(head, 400, "there are two Content-Length headers");
	head->has_length = true;
	head->length = 0;
	for (size_t i = 0; i < size; i++) {
		if (value[i] < '0' || value[i] > '9')
			return refuse(head, 400, "Content-Length is not a number");
		uint64_t digit = (uint64_t)(value[i] - '0');
		head->length = head->length > (UINT64_MAX - 9) / 10 ? UINT64_MAX : head->length * 10 + digit;
	}
	return size > 0 || refuse(head, 400, "Content-Length is not a number");
}

/* "gzip, chunked" is an unsupported coding. Any list that does not end with chunked does not define where the
 * body ends (RFC 9112, 6.1 and 6.3). */
static bool take_coding(struct head *head, const char *value, size_t size)
{
	bool again = head->chunked;
	head->chunked = true;
	if (!again && is_name(value, size, "chunked"))
		return true;
	bool ends = size > 8 && strncasecmp(value + size - 7, "chunked", 7) == 0 &&
		    (value[size - 8] == ',' || is_blank(value[size - 8]));
	bool twice = again || strncasecmp(value, "chunked", size < 7 ? size : 7) == 0;
	return refuse(head, ends && !twice ? 501 : 400,
		      "the only Transfer-Encoding that is understood is chunked");
}

/* Of two such headers, one program would use the first and another the last. */
static bool take_once(struct head *head, bool *has, const char *twice)
{
	if (*has)
		return refuse(head, 400, twice);
	return *has = true;
}

static bool take_field(struct head *head, const char *name, size_t name_size, const char *value, size_t size)
{
	switch (name_size) { /* most headers are none of these */
	case 4:
		return !is_name(name, name_size, "Host") ||
		       take_once(head, &head->has_host, "there are two Host headers");
	case 6:
		head->cookies |= is_name(name, name_size, "Cookie");
		return !is_name(name, name_size, "Origin") ||
		       take_once(head, &head->has_origin, "there are two Origin headers");
	case 12:
		return !is_name(name, name_size, "Content-Type") ||
		       take_once(head, &head->has_type, "there are two Content-Type headers");
	case 13:
		return !is_name(name, name_size, "Authorization") ||
		       take_once(head, &head->has_authorization, "there are two Authorization headers");
	case 14:
		return !is_name(name, name_size, "Content-Length") || take_length(head, value, size);
	case 17:
		return !is_name(name, name_size, "Transfer-Encoding") || take_coding(head, value, size);
	default:
		return true;
	}
}

bool head_field(struct head *head, const char *line, size_t size)
{
	size_t name = token_size(line, size);
	if (is_blank(line[0]))
		return refuse(head, 400, "a header is folded over two lines");
	if (name == size)
		return refuse(head, 400, "a line between the headers has no colon");
	if (line[name] != ':')
		return refuse(head, 400,
			      is_blank(line[name])
				      ? "a header has a space before its colon"
				      : "the name of a header has a character that is not allowed");
	if (name == 0)
		return refuse(head, 400, "a header has no name");
	if (++head->fields > FIELDS_MAX)
		return refuse(head, 431, "the request has more than 128 headers");
	const char *value = line + name + 1, *end = line + size;
	for (const char *at = value; at < end; at++)
		if (is_control(*at))
			return refuse(head, 400, "a header has a control character");
	while (value < end && is_blank(*value))
		value++;
	while (end > value && is_blank(end[-1]))
		end--;
	head->blanks |= end != line + size;
	return take_field(head, line, name, value, (size_t)(end - value));
}

/* ---- The whole ---- */

static bool check_whole(struct head *head)
{
	if (head->chunked && head->has_length)
		return refuse(head, 400, "there is a Content-Length in addition to a Transfer-Encoding");
	if (head->chunked && head->http_1_0)
		return refuse(head, 400, "HTTP/1.0 has no Transfer-Encoding");
	if (!head->has_host && !head->http_1_0)
		return refuse(head, 400, "an HTTP/1.1 request needs a Host header");
	return true;
}

/* Refuses an incomplete line that cannot become valid any more. */
static void check_part(struct head *head, const char *line, size_t size, size_t before)
{
	if (before > 0) {
		if (before + size > HEAD_MAX)
			refuse(head, 431, "the head of the request is longer than 20 KiB");
		return;
	}
	size_t method = token_size(line, size);
	if (method > METHOD_MAX)
		refuse(head, 501, "the method is longer than any known one");
	else if (method < size && (method == 0 || line[method] != ' '))
		refuse(head, 400, "the request line does not begin with a method and one space");
	else if (size > method + 1 + HEAD_TARGET_MAX + sizeof(" HTTP/1.1\r"))
		refuse(head, 414, "the target of the request is longer than 8 KiB");
}

/* Returns the line's end, or NULL if the line is incomplete or refused. */
static const char *line_end(struct head *head, const char *line, size_t size, size_t before)
{
	const char *end = memchr(line, '\n', size);
	const char *cr = memchr(line, '\r', end != NULL ? (size_t)(end - line) : size);
	if (end == NULL) {
		if (cr != NULL && cr + 1 < line + size)
			refuse(head, 400, "a line has a CR that is not followed by LF");
		else
			check_part(head, line, size, before);
		return NULL;
	}
	if (cr == NULL)
		refuse(head, 400, "a line ends with LF alone; lines end with CR LF");
	else if (cr + 1 != end)
		refuse(head, 400, "a line has a CR that is not followed by LF");
	return head->fault == 0 ? cr : NULL;
}

/* Removes cookies, which libmicrohttpd would copy, and moves the blanks after a value to before it, as
 * libmicrohttpd would make them part of the value. */
static size_t clean(char *bytes, size_t size)
{
	size_t kept = 0;
	for (size_t at = 0; at < size;) {
		char *line = bytes + at;
		size_t length = (size_t)((char *)memchr(line, '\n', size - at) - line) + 1;
		at += length;
		char *colon = memchr(line, ':', length);
		if (kept > 0 && colon != NULL) {
			if (is_name(line, (size_t)(colon - line), "Cookie"))
				continue;
			char *end = line + length - 2, *last = end;
			while (last > colon + 1 && is_blank(last[-1]))
				last--;
			size_t blanks = (size_t)(end - last);
			memmove(colon + 1 + blanks, colon + 1, (size_t)(last - colon - 1));
			memset(colon + 1, ' ', blanks);
		}
		memmove(bytes + kept, line, length);
		kept += length;
	}
	return kept;
}

size_t head_take(char *bytes, size_t size, struct head *head)
{
	*head = (struct head){.method = http_method_of(bytes, token_size(bytes, size))};
	for (size_t at = 0; at < size;) {
		const char *line = bytes + at, *end = line_end(head, line, size - at, at);
		if (end == NULL)
			return 0;
		size_t length = (size_t)(end - line);
		bool first = at == 0;
		at += length + 2;
		if (first ? !take_request_line(head, line, length)
			  : length > 0 && !head_field(head, line, length))
			return 0;
		if (at > HEAD_MAX) {
			refuse(head, 431, "the head of the request is longer than 20 KiB");
			return 0;
		}
		if (!first && length == 0) {
			if (!check_whole(head))
				return 0;
			head->kept = head->cookies || head->blanks ? clean(bytes, at) : at;
			return at;
		}
	}
	return 0;
}
