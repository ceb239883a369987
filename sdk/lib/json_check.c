/* SPDX-License-Identifier: Apache-2.0 */
/* json_check: values of an answer, found by JSON pointers (RFC 6901) and compared with what a check expects.
 * Called by checks, on the check's thread. Owns nothing. */
#include <skymon/json.h>

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TOKEN_MAX 512 /* bytes of one step of a pointer */

/* Copies the step of a pointer that begins after the '/' at *at, decoded, and moves *at behind it. */
static bool next_step(const char **at, char step[TOKEN_MAX])
{
	size_t used = 0;
	const char *p = *at + 1;
	for (; *p != '\0' && *p != '/'; p++) {
		char c = *p;
		if (c == '~' && p[1] != '0' && p[1] != '1')
			return false;
		if (c == '~')
			c = *++p == '0' ? '~' : '/';
		if (used + 1 >= TOKEN_MAX)
			return false;
		step[used++] = c;
	}
	step[used] = '\0';
	*at = p;
	return true;
}

/* An index is decimal digits, without a leading zero. */
static const json_t *item_of(const json_t *list, const char *step)
{
	size_t digits = strspn(step, "0123456789");
	if (digits == 0 || digits > 9 || step[digits] != '\0' || (step[0] == '0' && digits > 1))
		return NULL;
	return json_array_get(list, strtoul(step, NULL, 10));
}

const json_t *skymon_json_at(const json_t *json, const char *pointer)
{
	char step[TOKEN_MAX];
	while (json != NULL && *pointer != '\0') {
		if (*pointer != '/' || !next_step(&pointer, step))
			return NULL;
		json = json_is_array(json) ? item_of(json, step) : json_object_get(json, step);
	}
	return json;
}

json_t *skymon_json_answer(struct skymon *sm, const char *body, size_t size)
{
	char why[SKYMON_JSON_WHY];
	json_t *json = skymon_json_read_loose(body, size, why);
	if (json == NULL) {
		skymon_reason(sm, SKYMON_BODY_MISMATCH);
		skymon_unhealthy(sm, "the answer %s", why);
	}
	return json;
}

static bool is_equal(const json_t *value, const char *text, const char *expected)
{
	char *end;
	if (!json_is_number(value))
		return strcmp(text, expected) == 0;
	double number = strtod(expected, &end);
	return end != expected && *end == '\0' && number == json_number_value(value);
}

enum skymon_status skymon_json_expect(struct skymon *sm, const json_t *json, const char *pointer,
				      const char *expected)
{
	const json_t *value = skymon_json_at(json, pointer);
	const char *odd = skymon_json_odd(value), *text = json_string_value(value);
	char *dump = NULL;
	if (json == NULL)
		return SKYMON_UNHEALTHY;
	if (value == NULL || odd != NULL || json_is_object(value) || json_is_array(value)) {
		skymon_reason(sm, SKYMON_BODY_MISMATCH);
		return skymon_unhealthy(sm, "%s of the answer %s", pointer,
					value == NULL ? "is missing"
					: odd != NULL ? odd
						      : "is not a single value");
	}
	if (text == NULL)
		text = dump = json_dumps(value, JSON_ENCODE_ANY | JSON_REAL_PRECISION(15));
	if (text == NULL)
		abort(); /* out of memory */
	bool equal = is_equal(value, text, expected) &&
		     (!json_is_string(value) || strlen(text) == json_string_length(value));
	if (!equal)
		skymon_reason(sm, SKYMON_WRONG_VALUE);
	enum skymon_status status =
		equal ? skymon_healthy(sm, "%s is %.200s", pointer, text)
		      : skymon_unhealthy(sm, "%s is %.200s, not %.200s", pointer, text, expected);
	free(dump);
	return status;
}
