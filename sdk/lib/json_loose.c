/* SPDX-License-Identifier: Apache-2.0 */
/* json_loose: a JSON parser that skips values that it cannot represent and goes on. Called by checks on the
 * body of an answer, on the check's thread. Pure. See skymon/json.h. */
#include <skymon/json.h>

#include <errno.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Marks an odd value. No server can send this key: keys with a byte below 0x20 are dropped. */
#define ODD "\001"

struct parser {
	const char *text, *at, *end;
	int depth;
	bool failed; /* a syntax error: what follows cannot be located */
};

static json_t *odd(const char *why)
{
	json_t *value = json_object();
	json_object_set_new(value, ODD, json_string(why));
	return value;
}

const char *skymon_json_odd(const json_t *value)
{
	return json_string_value(json_object_get(value, ODD));
}

static void skip_space(struct parser *parser)
{
	while (parser->at < parser->end && strchr(" \t\r\n", *parser->at) != NULL && *parser->at != '\0')
		parser->at++;
}

static bool is_at(const struct parser *parser, char c)
{
	return parser->at < parser->end && *parser->at == c;
}

/* ---- Text ---- */

/* Reads four hexadecimal digits; -1 if they are not there. */
static int32_t hex4(const char *at, const char *end)
{
	int32_t value = 0;
	if (end - at < 4)
		return -1;
	for (int i = 0; i < 4; i++) {
		const char *digits = "0123456789abcdefABCDEF", *found = strchr(digits, at[i]);
		if (found == NULL || at[i] == '\0')
			return -1;
		value = value * 16 + (int32_t)(found - digits < 16 ? found - digits : found - digits - 6);
	}
	return value;
}

static char *put_utf8(char *to, uint32_t c)
{
	if (c < 0x80) {
		*to++ = (char)c;
	} else if (c < 0x800) {
		*to++ = (char)(0xC0 | c >> 6);
		*to++ = (char)(0x80 | (c & 0x3F));
	} else if (c < 0x10000) {
		*to++ = (char)(0xE0 | c >> 12);
		*to++ = (char)(0x80 | (c >> 6 & 0x3F));
		*to++ = (char)(0x80 | (c & 0x3F));
	} else {
		*to++ = (char)(0xF0 | c >> 18);
		*to++ = (char)(0x80 | (c >> 12 & 0x3F));
		*to++ = (char)(0x80 | (c >> 6 & 0x3F));
		*to++ = (char)(0x80 | (c & 0x3F));
	}
	return to;
}

/* Decodes one escape, after its backslash. Returns false if JSON has no such escape. */
static bool unescape(const char **at, const char *end, char **to)
{
	static const char letters[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";
	const char *letter = *at < end && **at != '\0' ? strchr(letters, **at) : NULL;
	if (letter != NULL) {
		*(*to)++ = meanings[letter - letters];
		++*at;
		return true;
	}
	int32_t high;
	if (*at >= end || **at != 'u' || (high = hex4(*at + 1, end)) < 0)
		return false;
	*at += 5;
	int32_t low;
	if (high >= 0xD800 && high < 0xDC00 && end - *at >= 6 && (*at)[0] == '\\' && (*at)[1] == 'u' &&
	    (low = hex4(*at + 2, end)) >= 0xDC00 && low < 0xE000) {
		*at += 6;
		high = 0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00);
	}
	if (high >= 0xD800 && high < 0xE000) /* half of a surrogate pair */
		return false;
	*to = put_utf8(*to, (uint32_t)high);
	return true;
}

/* Decodes the text between the quotes into `to`, which is as large. Returns false if it is not Unicode. */
static bool decode(const char *at, const char *end, char *to, size_t *size)
{
	char *start = to;
	while (at < end) {
		if ((unsigned char)*at < ' ')
			return false;
		if (*at != '\\') {
			*to++ = *at++;
			continue;
		}
		at++;
		if (!unescape(&at, end, &to))
			return false;
	}
	*size = (size_t)(to - start);
	return true;
}

/* Reads a text from its opening quote to behind the closing one. *bytes is for free(); NULL if the text is
 * odd. */
static void read_text(struct parser *parser, char **bytes, size_t *size)
{
	const char *first = ++parser->at;
	*bytes = NULL;
	while (parser->at < parser->end && *parser->at != '"')
		parser->at += *parser->at == '\\' ? 2 : 1;
	if (parser->at >= parser->end) {
		parser->at = parser->end;
		parser->failed = true;
		return;
	}
	*bytes = malloc((size_t)(parser->at - first) + 1);
	if (*bytes != NULL && !decode(first, parser->at, *bytes, size)) {
		explicit_bzero(*bytes, (size_t)(parser->at - first));
		free(*bytes);
		*bytes = NULL;
	}
	if (*bytes != NULL)
		(*bytes)[*size] = '\0';
	parser->at++;
}

static json_t *text_value(struct parser *parser)
{
	char *bytes;
	size_t size = 0;
	json_t *value = NULL;
	read_text(parser, &bytes, &size);
	if (bytes != NULL) {
		value = json_stringn(bytes, size); /* NULL if it is not UTF-8 */
		explicit_bzero(bytes, size);
	}
	free(bytes);
	return value != NULL ? value : odd("is text that is not Unicode");
}

/* ---- Numbers and words ---- */

static size_t digits_at(const char *at, const char *end)
{
	size_t count = 0;
	while (at + count < end && at[count] >= '0' && at[count] <= '9')
		count++;
	return count;
}

/* Checks JSON's grammar of a number. *whole is set if it has neither fraction nor exponent. */
static bool is_number(const char *at, const char *end, bool *whole)
{
	at += at < end && *at == '-';
	size_t count = digits_at(at, end);
	if (count == 0 || (count > 1 && *at == '0'))
		return false;
	at += count;
	*whole = at == end;
	if (at < end && *at == '.') {
		count = digits_at(++at, end);
		if (count == 0)
			return false;
		at += count;
	}
	if (at < end && (*at == 'e' || *at == 'E')) {
		at++;
		at += at < end && (*at == '+' || *at == '-');
		count = digits_at(at, end);
		if (count == 0)
			return false;
		at += count;
	}
	return at == end;
}

static json_t *word_value(struct parser *parser)
{
	const char *first = parser->at;
	while (parser->at < parser->end && strchr(" \t\r\n,:[]{}\"", *parser->at) == NULL)
		parser->at++;
	size_t size = (size_t)(parser->at - first);
	if (size == 0) {
		parser->failed = true;
		return NULL;
	}
	if (size == 4 && memcmp(first, "true", 4) == 0)
		return json_true();
	if (size == 5 && memcmp(first, "false", 5) == 0)
		return json_false();
	if (size == 4 && memcmp(first, "null", 4) == 0)
		return json_null();
	bool whole;
	if (!is_number(first, parser->at, &whole))
		return odd("is nothing that JSON has");
	char copy[400];
	if (size < sizeof(copy)) {
		memcpy(copy, first, size);
		copy[size] = '\0';
		errno = 0;
		long long integer = whole ? strtoll(copy, NULL, 10) : 0;
		double real = whole ? 0 : strtod(copy, NULL);
		if (whole && errno == 0)
			return json_integer(integer);
		if (!whole && isfinite(real))
			return json_real(real);
	}
	return json_stringn(first, size);
}

/* ---- Lists and objects ---- */

static json_t *value_at(struct parser *parser);

/* Moves behind a list or an object without keeping its contents. */
static json_t *skip_deep(struct parser *parser)
{
	size_t open = 0;
	do {
		char c = *parser->at;
		if (c == '"') {
			for (parser->at++; parser->at < parser->end && *parser->at != '"';)
				parser->at += *parser->at == '\\' ? 2 : 1;
		}
		open += c == '[' || c == '{';
		open -= c == ']' || c == '}';
		parser->at++;
	} while (open > 0 && parser->at < parser->end);
	if (open > 0 || parser->at > parser->end) {
		parser->at = parser->end;
		parser->failed = true;
	}
	return odd("is nested too deep");
}

/* Moves behind the comma or the end that must follow a value. Returns false if neither is there. */
static bool goes_on(struct parser *parser, char end, bool *more)
{
	skip_space(parser);
	*more = is_at(parser, ',');
	if (!*more && !is_at(parser, end))
		return false;
	parser->at++;
	return true;
}

static json_t *list_at(struct parser *parser)
{
	json_t *list = json_array();
	bool more = true;
	parser->at++;
	skip_space(parser);
	if (is_at(parser, ']')) {
		parser->at++;
		return list;
	}
	while (more && !parser->failed) {
		json_t *value = value_at(parser);
		if (value != NULL)
			json_array_append_new(list, value);
		if (!parser->failed && !goes_on(parser, ']', &more))
			parser->failed = true;
	}
	return list;
}

static bool is_good_key(const char *key, size_t size)
{
	for (size_t i = 0; i < size; i++)
		if ((unsigned char)key[i] < ' ')
			return false;
	return true;
}

static void add_member(json_t *object, const char *key, json_t *value)
{
	json_t *before = json_object_get(object, key);
	if (before != NULL && !json_equal(before, value)) {
		json_decref(value);
		value = odd("is there twice, with different values");
	}
	if (json_object_set_new(object, key, value) != 0)
		return; /* a key that is not UTF-8 is never looked up */
}

static json_t *object_at(struct parser *parser)
{
	json_t *object = json_object();
	bool more = true;
	parser->at++;
	skip_space(parser);
	if (is_at(parser, '}')) {
		parser->at++;
		return object;
	}
	while (more && !parser->failed) {
		char *key = NULL;
		size_t size = 0;
		json_t *value = NULL;
		skip_space(parser);
		parser->failed = !is_at(parser, '"');
		if (!parser->failed)
			read_text(parser, &key, &size);
		skip_space(parser);
		parser->failed = parser->failed || !is_at(parser, ':');
		if (!parser->failed) {
			parser->at++;
			value = value_at(parser);
		}
		if (value != NULL && key != NULL && is_good_key(key, size))
			add_member(object, key, value);
		else
			json_decref(value);
		free(key);
		if (!parser->failed && !goes_on(parser, '}', &more))
			parser->failed = true;
	}
	return object;
}

/* Returns NULL only after a syntax error or out of memory. */
static json_t *value_at(struct parser *parser)
{
	skip_space(parser);
	if (is_at(parser, '"'))
		return text_value(parser);
	if (!is_at(parser, '{') && !is_at(parser, '['))
		return word_value(parser);
	if (parser->depth >= SKYMON_JSON_DEPTH)
		return skip_deep(parser);
	parser->depth++;
	json_t *value = is_at(parser, '{') ? object_at(parser) : list_at(parser);
	parser->depth--;
	return value;
}

static void explain_place(const struct parser *parser, char why[SKYMON_JSON_WHY])
{
	const char *first = parser->text, *place = parser->at < parser->end ? parser->at : parser->end;
	unsigned line = 1, column = 1;
	while (first < parser->end && strchr(" \t\r\n", *first) != NULL)
		first++;
	for (const char *at = parser->text; at < place; at++) {
		column = *at == '\n' ? 1 : column + 1;
		line += *at == '\n';
	}
	if (first == parser->end)
		snprintf(why, SKYMON_JSON_WHY, "is empty");
	else if (*first == '<')
		snprintf(why, SKYMON_JSON_WHY, "is HTML or XML, not JSON");
	else if (place == parser->end)
		snprintf(why, SKYMON_JSON_WHY, "is JSON that breaks off, or is not JSON");
	else
		snprintf(why, SKYMON_JSON_WHY, "is not JSON (line %u, column %u)", line, column);
}

json_t *skymon_json_read_loose(const char *text, size_t size, char why[SKYMON_JSON_WHY])
{
	struct parser parser = {.text = text, .at = text, .end = text + size};
	if (size >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0) /* a byte order mark */
		parser.at += 3;
	json_t *value = value_at(&parser);
	skip_space(&parser);
	if (value != NULL && !parser.failed && parser.at == parser.end && skymon_json_odd(value) == NULL)
		return value;
	if (!parser.failed && value != NULL && skymon_json_odd(value) != NULL)
		parser.at = text;
	explain_place(&parser, why);
	json_decref(value);
	return NULL;
}
