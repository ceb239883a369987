/* SPDX-License-Identifier: Apache-2.0 */
/* http_expect: compares an answer with what the options expect of it. Called by http.c in `validate` and
 * `start` (reading the options) and at the end of each run, on the worker's main thread. Owns the compiled
 * patterns. Pure.
 *
 * The body is a stranger's: patterns have limits of steps and memory, JSON is read tolerantly, and no
 * text here quotes it. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <errno.h>
#include <math.h>
#include <pcre2.h>
#include <skymon/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "http_expect.h"

#define CODE_MIN 100
#define CODE_MAX 599
#define PATTERN_STEPS_MAX 1000000 /* a tenth of PCRE2's own limit: about 20 ms */
#define PATTERN_DEPTH_MAX 10000
#define PATTERN_HEAP_KIB_MAX 4096

/* ---- Status ---- */

static bool read_code(const char **at, int *code)
{
	char *end;
	if (**at < '1' || **at > '5')
		return false;
	*code = (int)strtol(*at, &end, 10);
	if (end - *at != 3)
		return false;
	*at = end + strspn(end, " ");
	return true;
}

/* Reads "200-299, 401" into the set. */
static bool read_ranges(const char *at, struct http_statuses *statuses)
{
	do {
		int first;
		at += strspn(at, " ");
		if (!read_code(&at, &first))
			return false;
		int last = first;
		if (*at == '-') {
			at++;
			at += strspn(at, " ");
			if (!read_code(&at, &last) || last < first)
				return false;
		}
		for (int code = first - CODE_MIN; code <= last - CODE_MIN; code++)
			statuses->bits[code / 8] |= (uint8_t)(1u << code % 8);
	} while (*at++ == ',');
	return at[-1] == '\0';
}

const char *http_statuses_read(const struct skymon_texts *texts, struct http_statuses *statuses)
{
	*statuses = (struct http_statuses){0};
	for (size_t i = 0; i < texts->count; i++)
		if (!read_ranges(texts->items[i], statuses))
			return "must be codes from 100 to 599 and ranges of them, such as \"200-299, 401\"";
	return texts->count > 0 ? NULL : "must name at least one code or range";
}

bool http_statuses_hold(const struct http_statuses *statuses, int code)
{
	return code >= CODE_MIN && code <= CODE_MAX &&
	       (statuses->bits[(code - CODE_MIN) / 8] & 1u << (code - CODE_MIN) % 8) != 0;
}

/* ---- Patterns ---- */

struct http_patterns {
	size_t count;
	pcre2_match_context *limits;
	pcre2_code *codes[];
};

void http_patterns_free(struct http_patterns *patterns)
{
	if (patterns == NULL)
		return;
	for (size_t i = 0; i < patterns->count; i++)
		pcre2_code_free(patterns->codes[i]);
	pcre2_match_context_free(patterns->limits);
	free(patterns);
}

/* A body that is not UTF-8 is still searched: its invalid bytes match nothing. */
static pcre2_code *compile(const char *pattern, size_t index, char why[HTTP_WHY])
{
	int fault;
	size_t place;
	pcre2_code *code = pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED,
					 PCRE2_UTF | PCRE2_MATCH_INVALID_UTF | PCRE2_NEVER_BACKSLASH_C,
					 &fault, &place, NULL);

	if (code == NULL) {
		char words[160] = "";
		pcre2_get_error_message(fault, (PCRE2_UCHAR *)words, sizeof(words));
		snprintf(why, HTTP_WHY, "is not a valid pattern (entry %zu, character %zu): %s", index + 1,
			 place + 1, words);
	}
	return code;
}

struct http_patterns *http_patterns_read(const struct skymon_texts *texts, char why[HTTP_WHY])
{
	struct http_patterns *patterns = calloc(1, sizeof(*patterns) + texts->count * sizeof(pcre2_code *));
	snprintf(why, HTTP_WHY, "cannot be compiled: out of memory");
	if (patterns == NULL)
		return NULL;
	patterns->limits = pcre2_match_context_create(NULL);
	if (patterns->limits == NULL) {
		http_patterns_free(patterns);
		return NULL;
	}
	pcre2_set_match_limit(patterns->limits, PATTERN_STEPS_MAX);
	pcre2_set_depth_limit(patterns->limits, PATTERN_DEPTH_MAX);
	pcre2_set_heap_limit(patterns->limits, PATTERN_HEAP_KIB_MAX);
	for (; patterns->count < texts->count; patterns->count++) {
		patterns->codes[patterns->count] =
			compile(texts->items[patterns->count], patterns->count, why);
		if (patterns->codes[patterns->count] == NULL) {
			http_patterns_free(patterns);
			return NULL;
		}
	}
	return patterns;
}

/* Returns whether all patterns are found in the body. */
static bool all_match(const struct http_patterns *patterns, const char *bytes, size_t size,
		      struct http_mismatch *mismatch)
{
	for (size_t i = 0; i < patterns->count; i++) {
		pcre2_match_data *match = pcre2_match_data_create(1, NULL);
		int found = match == NULL ? PCRE2_ERROR_NOMEMORY
					  : pcre2_match(patterns->codes[i], (PCRE2_SPTR)bytes, size, 0, 0,
							match, patterns->limits);

		pcre2_match_data_free(match);
		if (found >= 0)
			continue;
		mismatch->reason = found == PCRE2_ERROR_NOMATCH ? SKYMON_BODY_MISMATCH : SKYMON_RESOURCE;
		mismatch->status = found == PCRE2_ERROR_NOMATCH ? SKYMON_UNHEALTHY : SKYMON_UNKNOWN;
		snprintf(
			mismatch->text, sizeof(mismatch->text),
			found == PCRE2_ERROR_NOMATCH
				? "the answer does not match entry %zu of `matches`"
				: "entry %zu of `matches` needs too many steps or too much memory for this answer",
			i + 1);
		return false;
	}
	return true;
}

/* ---- JSON ---- */

static bool is_pointer(const char *text)
{
	if (text[0] != '/')
		return false;
	for (; *text != '\0'; text++) /* with control characters the reader marks odd values */
		if ((*text == '~' && text[1] != '0' && text[1] != '1') || (unsigned char)*text < ' ')
			return false;
	return true;
}

/* Reads a number as JSON writes it. */
static bool read_number(const char *text, double *number)
{
	char *end;
	if (text[0] == '\0' || strspn(text, "+-.0123456789eE") != strlen(text))
		return false;
	*number = strtod(text, &end);
	return *end == '\0' && isfinite(*number);
}

const char *http_json_fault(const struct http_json *json, const char **option)
{
	double number;
	*option = "pointer";
	if (!is_pointer(json->pointer))
		return "must be a JSON pointer such as /status or /items/0/name (~1 for /, ~0 for ~ in a name)";
	*option = "above";
	if (json->above != NULL && !read_number(json->above, &number))
		return "must be a number";
	*option = "below";
	if (json->below != NULL && !read_number(json->below, &number))
		return "must be a number";
	*option = "equals";
	if (json->equals != NULL && (json->above != NULL || json->below != NULL))
		return "cannot be combined with above or below";
	return NULL;
}

/* The reader keeps a number that does not fit as the text of its digits. */
static bool number_of(const json_t *value, double *number)
{
	if (json_is_number(value))
		*number = json_number_value(value);
	return json_is_number(value);
}

/* Compares as JSON writes the value; a text without its quotes. */
static bool equals(const json_t *value, const char *text)
{
	double number, wanted;
	if (json_is_string(value))
		return json_string_length(value) == strlen(text) &&
		       memcmp(json_string_value(value), text, strlen(text)) == 0;
	if (json_is_integer(value)) { /* all 64 bits count: a double would round */
		char *end;
		errno = 0;
		long long whole = strtoll(text, &end, 10);
		if (end != text && *end == '\0' && errno == 0)
			return whole == json_integer_value(value);
	}
	if (number_of(value, &number))
		return read_number(text, &wanted) && number == wanted;
	const char *word = json_is_true(value)    ? "true"
			   : json_is_false(value) ? "false"
			   : json_is_null(value)  ? "null"
						  : NULL;
	return word != NULL && strcmp(text, word) == 0;
}

/* Sets *mismatch to "POINTER words". A pointer is shown up to its 120th byte. */
static bool differs(struct http_mismatch *mismatch, enum skymon_reason reason, const struct http_json *json,
		    const char *words)
{
	mismatch->status = SKYMON_UNHEALTHY;
	mismatch->reason = reason;
	snprintf(mismatch->text, sizeof(mismatch->text), "%.120s %s", json->pointer, words);
	return false;
}

static bool value_fits(const struct http_json *json, const json_t *value, struct http_mismatch *mismatch)
{
	char words[160];
	double number = 0, above = 0, below = 0;
	if (value == NULL)
		return differs(mismatch, SKYMON_MISSING, json, "is missing from the answer");
	if (json->equals != NULL) {
		snprintf(words, sizeof(words), "is not %.100s", json->equals);
		return equals(value, json->equals) || differs(mismatch, SKYMON_WRONG_VALUE, json, words);
	}
	if (json->above == NULL && json->below == NULL)
		return true;
	if (!number_of(value, &number))
		return differs(mismatch, SKYMON_WRONG_VALUE, json, "is not a number");
	if (json->above != NULL && read_number(json->above, &above) && !(number > above)) {
		snprintf(words, sizeof(words), "is not above %.60s", json->above);
		return differs(mismatch, SKYMON_WRONG_VALUE, json, words);
	}
	if (json->below != NULL && read_number(json->below, &below) && !(number < below)) {
		snprintf(words, sizeof(words), "is not below %.60s", json->below);
		return differs(mismatch, SKYMON_WRONG_VALUE, json, words);
	}
	return true;
}

static bool json_fits(const struct skymon_list *list, const char *bytes, size_t size,
		      struct http_mismatch *mismatch)
{
	const struct http_json *items = list->items;
	char why[SKYMON_JSON_WHY];
	json_t *root = skymon_json_read_loose(bytes, size, why);
	bool fits = true;
	if (root == NULL) {
		mismatch->status = SKYMON_UNHEALTHY;
		mismatch->reason = SKYMON_BODY_MISMATCH;
		snprintf(mismatch->text, sizeof(mismatch->text), "the answer %s", why);
		return false;
	}
	for (size_t i = 0; fits && i < list->count; i++)
		fits = value_fits(&items[i], skymon_json_at(root, items[i].pointer), mismatch);
	json_decref(root);
	return fits;
}

/* ---- The body ---- */

bool http_body_is_asked(const struct http_body *body)
{
	return body->contains.count + body->not_contains.count + body->matches.count + body->json.count > 0;
}

static bool texts_fit(const struct skymon_texts *texts, bool wanted, const char *bytes, size_t size,
		      struct http_mismatch *mismatch)
{
	for (size_t i = 0; i < texts->count; i++)
		if ((memmem(bytes, size, texts->items[i], strlen(texts->items[i])) != NULL) != wanted) {
			mismatch->status = SKYMON_UNHEALTHY;
			mismatch->reason = SKYMON_BODY_MISMATCH;
			snprintf(mismatch->text, sizeof(mismatch->text), "the answer %s %.100s",
				 wanted ? "does not contain" : "contains", texts->items[i]);
			return false;
		}
	return true;
}

bool http_body_fits(const struct http_body *body, const char *bytes, size_t size,
		    struct http_mismatch *mismatch)
{
	return texts_fit(&body->contains, true, bytes, size, mismatch) &&
	       texts_fit(&body->not_contains, false, bytes, size, mismatch) &&
	       (body->patterns == NULL || all_match(body->patterns, bytes, size, mismatch)) &&
	       (body->json.count == 0 || json_fits(&body->json, bytes, size, mismatch));
}
