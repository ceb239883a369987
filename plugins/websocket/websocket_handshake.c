/* SPDX-License-Identifier: Apache-2.0 */
/* websocket_handshake: the opening handshake (RFC 6455, 4): writes the request and parses the answer. Called
 * by websocket_link.c and by `validate`, on any thread. Pure. See websocket_frame.h. */
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "websocket_frame.h"

/* ---- Sec-WebSocket-Key and Sec-WebSocket-Accept ---- */

static uint32_t roll(uint32_t word, unsigned by)
{
	return word << by | word >> (32 - by);
}

static void sha1_block(uint32_t state[5], const unsigned char block[64])
{
	static const uint32_t constants[4] = {0x5A827999, 0x6ED9EBA1, 0x8F1BBCDC, 0xCA62C1D6};
	uint32_t w[80], a = state[0], b = state[1], c = state[2], d = state[3], e = state[4];
	for (size_t i = 0; i < 16; i++)
		w[i] = (uint32_t)block[4 * i] << 24 | (uint32_t)block[4 * i + 1] << 16 |
		       (uint32_t)block[4 * i + 2] << 8 | block[4 * i + 3];
	for (size_t i = 16; i < 80; i++)
		w[i] = roll(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
	for (size_t i = 0; i < 80; i++) {
		uint32_t mixed = i < 20              ? (b & c) | (~b & d)
				 : i >= 40 && i < 60 ? (b & c) | (b & d) | (c & d)
						     : b ^ c ^ d;
		uint32_t next = roll(a, 5) + mixed + e + constants[i / 20] + w[i];
		e = d;
		d = c;
		c = roll(b, 30);
		b = a;
		a = next;
	}
	state[0] += a;
	state[1] += b;
	state[2] += c;
	state[3] += d;
	state[4] += e;
}

/* SHA-1 of at most 119 bytes. OpenSSL's would initialize all of OpenSSL, which plain ws:// does not need; the
 * protocol does not rely on its strength. */
static void sha1(const unsigned char *bytes, size_t size, unsigned char digest[20])
{
	uint32_t state[5] = {0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476, 0xC3D2E1F0};
	unsigned char blocks[128] = {0};
	size_t total = size + 9 <= 64 ? 64 : 128;
	memcpy(blocks, bytes, size);
	blocks[size] = 0x80;
	for (size_t i = 0; i < 8; i++)
		blocks[total - 1 - i] = (unsigned char)((uint64_t)size * 8 >> (8 * i));
	for (size_t at = 0; at < total; at += 64)
		sha1_block(state, blocks + at);
	for (size_t i = 0; i < 20; i++)
		digest[i] = (unsigned char)(state[i / 4] >> (24 - 8 * (i % 4)));
}

void websocket_key(const unsigned char random[16], char key[WEBSOCKET_KEY_SIZE])
{
	EVP_EncodeBlock((unsigned char *)key, random, 16);
}

void websocket_accept(const char *key, char accept[WEBSOCKET_ACCEPT_SIZE])
{
	char text[WEBSOCKET_KEY_SIZE + 36];
	unsigned char digest[20];
	int size = snprintf(text, sizeof(text), "%.24s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", key);
	sha1((const unsigned char *)text, (size_t)size, digest);
	EVP_EncodeBlock((unsigned char *)accept, digest, 20);
}

/* ---- The request ---- */

bool websocket_is_sendable(const char *text)
{
	for (; *text != '\0'; text++)
		if (*text < ' ' || *text > '~')
			return false;
	return true;
}

bool websocket_is_token(const char *text)
{
	if (*text == '\0')
		return false;
	for (; *text != '\0'; text++)
		if (*text <= ' ' || *text > '~' || strchr("()<>@,;:\\\"/[]?={}", *text) != NULL)
			return false;
	return true;
}

const char *websocket_header_fault(const char *name, const char *value)
{
	static const char *const ours[] = {"Upgrade",
					   "Connection",
					   "Content-Length",
					   "Transfer-Encoding",
					   "Sec-WebSocket-Key",
					   "Sec-WebSocket-Version",
					   "Sec-WebSocket-Extensions"};
	if (!websocket_is_token(name))
		return "is not the name of a header";
	if (strcasecmp(name, "Authorization") == 0)
		return "has an option of its own, `authorization`, which is kept as a secret";
	if (strcasecmp(name, "Sec-WebSocket-Protocol") == 0)
		return "has an option of its own, `subprotocol`";
	if (strcasecmp(name, "Origin") == 0)
		return "has an option of its own, `origin`";
	for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++)
		if (strcasecmp(name, ours[i]) == 0)
			return "belongs to the handshake and is set by the check";
	for (; *value != '\0'; value++)
		if ((*value >= 0 && *value < ' ' && *value != '\t') || *value == 0x7F)
			return "has a line break or another control character in its value";
	return NULL;
}

struct out { /* written twice: the first time only counts */
	char *at;
	size_t size;
};

static void put(struct out *out, const char *text)
{
	size_t size = strlen(text);
	if (out->at != NULL)
		memcpy(out->at + out->size, text, size);
	out->size += size;
}

static void put_header(struct out *out, const char *name, const char *value)
{
	put(out, name);
	put(out, ": ");
	put(out, value);
	put(out, "\r\n");
}

static void put_request(struct out *out, const struct websocket_request *request)
{
	const struct skymon_texts *words = request->subprotocols;
	bool has_host = false;
	put(out, "GET ");
	put(out, request->path[0] == '\0' ? "/" : request->path);
	put(out, request->query[0] == '\0' ? "" : "?");
	put(out, request->query);
	put(out, " HTTP/1.1\r\n");
	for (size_t i = 0; i < request->headers->count; i++)
		has_host = has_host || strcasecmp(request->headers->items[i].name, "Host") == 0;
	if (!has_host)
		put_header(out, "Host", request->host);
	put(out, "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n");
	put_header(out, "Sec-WebSocket-Key", request->key);
	for (size_t i = 0; i < words->count; i++) {
		put(out, i == 0 ? "Sec-WebSocket-Protocol: " : ", ");
		put(out, words->items[i]);
	}
	put(out, words->count > 0 ? "\r\n" : "");
	if (request->origin != NULL)
		put_header(out, "Origin", request->origin);
	if (request->authorization != NULL)
		put_header(out, "Authorization", request->authorization);
	put(out, "User-Agent: skymon\r\n");
	for (size_t i = 0; i < request->headers->count; i++)
		put_header(out, request->headers->items[i].name, request->headers->items[i].value);
	put(out, "\r\n");
}

char *websocket_request(const struct websocket_request *request, size_t *size)
{
	struct out out = {.at = NULL};
	put_request(&out, request);
	*size = out.size;
	out.at = malloc(out.size + 1);
	if (out.at == NULL)
		return NULL;
	out.size = 0;
	put_request(&out, request);
	out.at[out.size] = '\0';
	return out.at;
}

/* ---- The answer ---- */

struct piece {
	const char *at;
	size_t size;
};

static bool is(struct piece piece, const char *text)
{
	return piece.size == strlen(text) && strncasecmp(piece.at, text, piece.size) == 0;
}

static struct piece trim(struct piece piece)
{
	while (piece.size > 0 && (piece.at[0] == ' ' || piece.at[0] == '\t'))
		piece = (struct piece){piece.at + 1, piece.size - 1};
	while (piece.size > 0 && (piece.at[piece.size - 1] == ' ' || piece.at[piece.size - 1] == '\t'))
		piece.size--;
	return piece;
}

/* Returns whether a comma-separated list contains the word. */
static bool lists(struct piece list, const char *word)
{
	while (list.size > 0) {
		const char *comma = memchr(list.at, ',', list.size);
		size_t size = comma != NULL ? (size_t)(comma - list.at) : list.size;
		if (is(trim((struct piece){list.at, size}), word))
			return true;
		size += comma != NULL;
		list = (struct piece){list.at + size, list.size - size};
	}
	return false;
}

struct seen { /* found in the answer's headers */
	struct piece accept, subprotocol;
	unsigned accepts, subprotocols, extensions;
	bool upgrade, connection;
};

static bool see(struct seen *seen, struct piece line)
{
	const char *colon = memchr(line.at, ':', line.size);
	if (colon == NULL || colon == line.at)
		return false;
	struct piece name = (struct piece){line.at, (size_t)(colon - line.at)};
	struct piece value = trim((struct piece){colon + 1, line.size - name.size - 1});
	if (is(name, "Upgrade")) {
		seen->upgrade = seen->upgrade || lists(value, "websocket");
	} else if (is(name, "Connection")) {
		seen->connection = seen->connection || lists(value, "upgrade");
	} else if (is(name, "Sec-WebSocket-Accept")) {
		seen->accept = value;
		seen->accepts++;
	} else if (is(name, "Sec-WebSocket-Protocol")) {
		seen->subprotocol = value;
		seen->subprotocols++;
	} else if (is(name, "Sec-WebSocket-Extensions")) {
		seen->extensions += value.size > 0;
	}
	return true;
}

static const char *check_answer(const struct seen *seen, const char *key, const struct skymon_texts *words,
				struct websocket_answer *answer)
{
	char accept[WEBSOCKET_ACCEPT_SIZE];
	websocket_accept(key, accept);
	if (!seen->upgrade || !seen->connection)
		return "switches protocols (HTTP 101), but not to a WebSocket";
	if (seen->accepts != 1)
		return "agrees without one Sec-WebSocket-Accept: it is not a WebSocket server, or a cache in "
		       "between answers";
	if (seen->accept.size != strlen(accept) || memcmp(seen->accept.at, accept, seen->accept.size) != 0)
		return "agrees with a wrong Sec-WebSocket-Accept: it is not a WebSocket server, or a cache "
		       "in "
		       "between "
		       "answers";
	if (seen->extensions > 0)
		return "agrees to an extension that was not requested";
	for (size_t i = 0; seen->subprotocols == 1 && i < words->count; i++)
		if (strlen(words->items[i]) == seen->subprotocol.size &&
		    memcmp(words->items[i], seen->subprotocol.at, seen->subprotocol.size) == 0)
			answer->subprotocol = words->items[i];
	if (seen->subprotocols > 0 && answer->subprotocol == NULL)
		return "agrees to a sub-protocol that was not requested";
	if (words->count > 0 && answer->subprotocol == NULL)
		return words->count == 1 ? "does not speak the sub-protocol that `subprotocol` asks for"
					 : "speaks none of the sub-protocols that `subprotocol` asks for";
	return NULL;
}

/* Returns the code of "HTTP/1.1 101 …", or 0. */
static unsigned read_code(const char *line, size_t size)
{
	unsigned code = 0;
	if (size < 12 || memcmp(line, "HTTP/1.", 7) != 0 || (line[7] != '0' && line[7] != '1') ||
	    line[8] != ' ')
		return 0;
	for (size_t i = 9; i < 12; i++) {
		if (line[i] < '0' || line[i] > '9')
			return 0;
		code = code * 10 + (unsigned)(line[i] - '0');
	}
	if (size > 12 && line[12] != ' ' && line[12] != '\r')
		return 0;
	return code >= 100 && code <= 599 ? code : 0;
}

static enum websocket_answered wrong(struct websocket_answer *answer, const char *why)
{
	answer->why = why;
	return WEBSOCKET_WRONG;
}

static enum websocket_answered read_head(const char *bytes, size_t size, const char *key,
					 const struct skymon_texts *words, struct websocket_answer *answer)
{
	const char *at = bytes, *end = bytes + size;
	struct seen seen = {.accepts = 0};
	for (bool first = true; at < end; first = false) {
		const char *line_end = memchr(at, '\n', (size_t)(end - at));
		struct piece line = {at, (size_t)(line_end - at)};
		if (line.size > 0 && at[line.size - 1] == '\r')
			line.size--;
		if (!first && line.size > 0 && !see(&seen, line))
			return wrong(answer, "answers with something that is not HTTP");
		at = line_end + 1;
	}
	if (answer->code != 101)
		return WEBSOCKET_REFUSED;
	if (bytes[7] == '0')
		return wrong(answer, "agrees in HTTP/1.0, which has no WebSockets");
	answer->size = size;
	answer->why = check_answer(&seen, key, words, answer);
	return answer->why == NULL ? WEBSOCKET_AGREED : WEBSOCKET_WRONG;
}

enum websocket_answered websocket_answered(const char *bytes, size_t size, const char *key,
					   const struct skymon_texts *subprotocols,
					   struct websocket_answer *answer)
{
	size_t looked = size > WEBSOCKET_HEAD_MAX ? WEBSOCKET_HEAD_MAX : size;
	const char *line_end = memchr(bytes, '\n', looked);
	*answer = (struct websocket_answer){.code = 0};
	if (memcmp(bytes, "HTTP/1.", looked < 7 ? looked : 7) != 0)
		return wrong(answer, "answers with something that is not HTTP");
	if (line_end != NULL) {
		answer->code = read_code(bytes, (size_t)(line_end - bytes));
		if (answer->code == 0)
			return wrong(answer, "answers with something that is not HTTP");
	}
	/* An empty line ends the head; a bare line feed is accepted, as RFC 9112 2.2 allows. */
	for (const char *at = line_end; at != NULL; at = memchr(at, '\n', looked - (size_t)(at - bytes))) {
		at++;
		const char *end = at + (at < bytes + looked && *at == '\r');
		if (end < bytes + looked && *end == '\n')
			return read_head(bytes, (size_t)(end + 1 - bytes), key, subprotocols, answer);
	}
	return looked < WEBSOCKET_HEAD_MAX ? WEBSOCKET_HALF
					   : wrong(answer, "answers with headers of more than 16 KiB");
}
