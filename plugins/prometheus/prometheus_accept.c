/* SPDX-License-Identifier: Apache-2.0 */
/* prometheus_accept: chooses the format by Accept's media ranges and q-values (RFC 9110 12.5.1). Called by
 * the route, on the HTTP thread. Pure. A header that cannot be parsed selects text. */
#include "prometheus.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* The preference for a format; the more specific range wins, with any q. */
struct preference {
	int exactness; /* 0 if not listed, 1 for any type, 2 for type/any, 3 for the type itself */
	int quality;   /* 0 .. 1000 */
};

static bool same(const char *word, size_t size, const char *with)
{
	return size == strlen(with) && strncasecmp(word, with, size) == 0;
}

static const char *skip_blanks(const char *at)
{
	return at + strspn(at, " \t");
}

/* Takes one token or quoted text; *word and *size are without quotes. */
static const char *take_word(const char *at, const char **word, size_t *size)
{
	if (*at == '"') {
		*word = ++at;
		*size = strcspn(at, "\"");
		return at + *size + (at[*size] == '"');
	}
	*word = at;
	*size = strcspn(at, ",;= \t\"");
	return at + *size;
}

static int parse_quality(const char *word, size_t size)
{
	if (size == 0 || (word[0] != '0' && word[0] != '1'))
		return 0;
	int quality = (word[0] - '0') * 1000, unit = 100;
	for (size_t i = 2; i < size && i < 5 && word[1] == '.'; i++, unit /= 10)
		if (word[i] >= '0' && word[i] <= '9')
			quality += (word[i] - '0') * unit;
	return quality > 1000 ? 1000 : quality;
}

static void prefer(struct preference *preference, int exactness, int quality)
{
	if (exactness < preference->exactness ||
	    (exactness == preference->exactness && quality <= preference->quality))
		return;
	*preference = (struct preference){exactness, quality};
}

/* Takes a type and its parameters; returns the start of the next range. */
static const char *take_range(const char *at, struct preference *preferences)
{
	const char *type, *version = "";
	size_t type_size, version_size = 0;
	int quality = 1000;
	at = take_word(skip_blanks(at), &type, &type_size);
	const char *name, *value;
	size_t name_size, value_size;
	for (at = skip_blanks(at); *at == ';'; at = skip_blanks(at)) {
		at = skip_blanks(take_word(skip_blanks(at + 1), &name, &name_size));
		if (*at != '=')
			continue;
		at = take_word(skip_blanks(at + 1), &value, &value_size);
		if (same(name, name_size, "q")) {
			quality = parse_quality(value, value_size);
		} else if (same(name, name_size, "version")) {
			version = value;
			version_size = value_size;
		}
	}
	bool any = version_size == 0;
	if (same(type, type_size, "application/openmetrics-text") &&
	    (any || same(version, version_size, "1.0.0")))
		prefer(&preferences[FORMAT_OPENMETRICS], 3, quality);
	else if (same(type, type_size, "text/plain") && (any || same(version, version_size, "0.0.4")))
		prefer(&preferences[FORMAT_TEXT], 3, quality);
	else if (same(type, type_size, "application/*"))
		prefer(&preferences[FORMAT_OPENMETRICS], 2, quality);
	else if (same(type, type_size, "text/*"))
		prefer(&preferences[FORMAT_TEXT], 2, quality);
	else if (same(type, type_size, "*/*"))
		for (int i = 0; i < FORMAT_COUNT; i++)
			prefer(&preferences[i], 1, quality);
	at += strcspn(at, ",");
	return *at == ',' ? at + 1 : at;
}

enum format accept_format(const char *accept)
{
	struct preference preferences[FORMAT_COUNT] = {{0, 0}, {0, 0}};
	while (accept != NULL && *accept != '\0')
		accept = take_range(accept, preferences);
	const struct preference *text = &preferences[FORMAT_TEXT], *other = &preferences[FORMAT_OPENMETRICS];
	bool better = other->quality > text->quality ||
		      (other->quality == text->quality && other->exactness > text->exactness);
	return better && other->quality > 0 ? FORMAT_OPENMETRICS : FORMAT_TEXT;
}

const char *format_content_type(enum format format)
{
	return format == FORMAT_OPENMETRICS ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
					    : "text/plain; version=0.0.4; charset=utf-8";
}
