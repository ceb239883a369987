/* SPDX-License-Identifier: Apache-2.0 */
/* secret_mask: finds secrets in the texts that cross from a plugin to the daemon. Called by the runner on the
 * plugin's threads; owns a list of pointers into the component's options and copies no secret, so that there
 * is nothing more to lock and to wipe: each spelling is decoded while it is compared. */
#include "secret_mask.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define SECRET_MIN 4
#define BASE64_MIN 6 /* characters; fewer would be found in any word */

/* Decodes what the text begins with into bytes (one, or a character in UTF-8); returns how much of it. */
typedef size_t decoder(const char *text, size_t rest, unsigned char bytes[3], size_t *count);

static int hex_of(const char *text, size_t digits)
{
	int value = 0;
	for (size_t i = 0; i < digits; i++) {
		const char *digit = text[i] != '\0' ? strchr("0123456789abcdefABCDEF", text[i]) : NULL;
		if (digit == NULL)
			return -1;
		long nibble = digit - "0123456789abcdefABCDEF";
		value = value * 16 + (int)(nibble < 16 ? nibble : nibble - 6);
	}
	return value;
}

static size_t decode_plain(const char *text, size_t rest, unsigned char bytes[3], size_t *count)
{
	(void)rest;
	bytes[0] = (unsigned char)text[0];
	*count = 1;
	return 1;
}

static size_t decode_url(const char *text, size_t rest, unsigned char bytes[3], size_t *count)
{
	int value = text[0] == '%' && rest >= 3 ? hex_of(text + 1, 2) : -1;
	bytes[0] = (unsigned char)(value >= 0 ? value : text[0]);
	*count = 1;
	return value >= 0 ? 3 : 1;
}

/* As application/x-www-form-urlencoded. */
static size_t decode_form(const char *text, size_t rest, unsigned char bytes[3], size_t *count)
{
	size_t length = decode_url(text, rest, bytes, count);
	if (text[0] == '+')
		bytes[0] = ' ';
	return length;
}

static size_t decode_json(const char *text, size_t rest, unsigned char bytes[3], size_t *count)
{
	static const char escapes[] = "b\bf\fn\nr\rt\t";
	if (text[0] != '\\' || rest < 2)
		return decode_plain(text, rest, bytes, count);
	*count = 1;
	if (text[1] != 'u') {
		const char *escape = strchr(escapes, text[1]);
		bytes[0] = (unsigned char)(escape != NULL && text[1] != '\0' ? escape[1] : text[1]);
		return 2;
	}
	int value = rest >= 6 ? hex_of(text + 2, 4) : -1;
	if (value < 0)
		return 0;
	if (value < 0x80) {
		bytes[0] = (unsigned char)value;
	} else if (value < 0x800) {
		*count = 2;
		bytes[0] = (unsigned char)(0xC0 | value >> 6);
		bytes[1] = (unsigned char)(0x80 | (value & 0x3F));
	} else {
		*count = 3;
		bytes[0] = (unsigned char)(0xE0 | value >> 12);
		bytes[1] = (unsigned char)(0x80 | (value >> 6 & 0x3F));
		bytes[2] = (unsigned char)(0x80 | (value & 0x3F));
	}
	return 6;
}

/* How long the secret is in that spelling at the text's begin, or 0. */
static size_t find_spelt(const struct mask_secret *secret, const char *text, size_t rest, decoder *decode)
{
	size_t at = 0;
	for (size_t i = 0, count; i < secret->size; i += count) {
		unsigned char bytes[3];
		size_t length = at < rest ? decode(text + at, rest - at, bytes, &count) : 0;
		if (length == 0 || count > secret->size - i || memcmp(bytes, secret->bytes + i, count) != 0)
			return 0;
		at += length;
	}
	return at;
}

/* Six bits of the secret, as base64 encodes it behind other bytes. */
static unsigned sextet_of(const struct mask_secret *secret, size_t bit)
{
	size_t at = bit / 8;
	unsigned pair = (unsigned)(unsigned char)secret->bytes[at] << 8;
	if (at + 1 < secret->size)
		pair |= (unsigned char)secret->bytes[at + 1];
	return pair >> (10 - bit % 8) & 63;
}

/* Of both alphabets, RFC 4648 4 and 5. */
static bool is_sextet(char c, unsigned value)
{
	static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	return c == alphabet[value] || (value == 62 && c == '-') || (value == 63 && c == '_');
}

/* The characters that hold bits of the secret alone: it begins `skip` bits before the first of them. */
static size_t find_base64(const struct mask_secret *secret, const char *text, size_t rest, size_t skip)
{
	size_t count = (secret->size * 8 - skip) / 6;
	if (count < BASE64_MIN || count > rest)
		return 0;
	for (size_t i = 0; i < count; i++)
		if (!is_sextet(text[i], sextet_of(secret, skip + 6 * i)))
			return 0;
	return count;
}

static decoder *const decoders[] = {decode_plain, decode_url, decode_form, decode_json};
#define DECODERS (sizeof(decoders) / sizeof(decoders[0]))

/* The longest spelling of a secret that begins at text. */
static size_t find_at(const struct mask *mask, const char *text, size_t rest)
{
	size_t longest = 0;
	if (!mask->begins[(unsigned char)text[0]])
		return 0;
	for (size_t i = 0; i < mask->count; i++) {
		for (size_t j = 0; j < DECODERS; j++) {
			size_t length = find_spelt(&mask->secrets[i], text, rest, decoders[j]);
			longest = length > longest ? length : longest;
		}
		for (size_t skip = 0; skip <= 4; skip += 2) {
			size_t length = find_base64(&mask->secrets[i], text, rest, skip);
			longest = length > longest ? length : longest;
		}
	}
	return longest;
}

static void add(struct mask *mask, const char *bytes, size_t size)
{
	if (size < SECRET_MIN)
		return;
	mask->secrets = x_realloc(mask->secrets, (mask->count + 1) * sizeof(*mask->secrets));
	struct mask_secret *secret = &mask->secrets[mask->count++];
	*secret = (struct mask_secret){bytes, size};
	mask->begins[(unsigned char)bytes[0]] = mask->begins['%'] = mask->begins['\\'] = true;
	mask->begins['+'] = mask->begins['+'] || bytes[0] == ' ';
	for (size_t skip = 0; skip <= 4; skip += 2)
		for (int c = '+'; c <= 'z'; c++)
			mask->begins[c] = mask->begins[c] || is_sextet((char)c, sextet_of(secret, skip));
}

void mask_add(struct mask *mask, const char *bytes, size_t size)
{
	while (size > 0 && strchr(" \t\r\n", bytes[size - 1]) != NULL) /* of a file's last line */
		size--;
	add(mask, bytes, size);
	for (int i = 0; i < 2; i++) { /* a header's whole value: servers echo the credentials alone */
		const char *scheme = i == 0 ? "Bearer " : "Basic ";
		size_t length = strlen(scheme);
		if (size > length && strncasecmp(bytes, scheme, length) == 0)
			add(mask, bytes + length, size - length);
	}
}

void mask_free(struct mask *mask)
{
	free(mask->secrets);
	*mask = (struct mask){0};
}

const void *mask_bytes(const struct mask *mask, const void *bytes, size_t *size, struct buf *room)
{
	const char *text = bytes;
	size_t same = 0; /* what was copied, up to here */
	for (size_t at = 0, length; mask->count > 0 && at<*size; at += length> 0 ? length : 1) {
		length = find_at(mask, text + at, *size - at);
		if (length == 0)
			continue;
		buf_add(room, text + same, at - same);
		buf_text(room, MASKED);
		same = at + length;
	}
	if (same == 0)
		return bytes;
	buf_add(room, text + same, *size - same);
	*size = room->size;
	return room->data;
}

/* Whether the text ends in that spelling of the secret, or in an escape of it that is cut off. */
static bool is_begun(const struct mask_secret *secret, const char *text, size_t rest, decoder *decode)
{
	size_t at = 0;
	for (size_t i = 0, count; i < secret->size && at < rest; i += count) {
		unsigned char bytes[3];
		size_t length = decode(text + at, rest - at, bytes, &count);
		if (length == 0 || count > secret->size - i || memcmp(bytes, secret->bytes + i, count) != 0)
			return i >= SECRET_MIN && rest - at < 6 && strchr("%\\", text[at]) != NULL;
		at += length;
	}
	return at == rest;
}

static bool is_begun_base64(const struct mask_secret *secret, const char *text, size_t rest, size_t skip)
{
	if (rest > (secret->size * 8 - skip) / 6)
		return false;
	for (size_t i = 0; i < rest; i++)
		if (!is_sextet(text[i], sextet_of(secret, skip + 6 * i)))
			return false;
	return true;
}

static bool begins_at(const struct mask *mask, const char *text, size_t rest)
{
	for (size_t i = 0; i < mask->count; i++) {
		for (size_t j = 0; j < DECODERS; j++)
			if (is_begun(&mask->secrets[i], text, rest, decoders[j]))
				return true;
		for (size_t skip = 0; skip <= 4; skip += 2)
			if (is_begun_base64(&mask->secrets[i], text, rest, skip))
				return true;
	}
	return false;
}

size_t mask_whole(const struct mask *mask, const char *text, size_t size)
{
	for (size_t at = 0; at + SECRET_MIN <= size; at++)
		if (mask->begins[(unsigned char)text[at]] && begins_at(mask, text + at, size - at))
			return at;
	return size;
}

const char *mask_text(const struct mask *mask, const char *text, struct buf *room)
{
	size_t size = text != NULL ? strlen(text) : 0;
	return size > 0 ? mask_bytes(mask, text, &size, room) : text;
}
