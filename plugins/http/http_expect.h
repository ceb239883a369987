/* SPDX-License-Identifier: Apache-2.0 */
/* http_expect: what an answer must be: its status, its body, values in its JSON. Pure; on any thread. */
#ifndef HTTP_EXPECT_H
#define HTTP_EXPECT_H

#include <skymon/plugin.h>

/* Status codes from 100 to 599, one bit each. */
struct http_statuses {
	uint8_t bits[63];
};
/* Reads items such as "200-299" or "200, 401". Returns what is wrong, as in "status %s"; NULL if all are
 * valid. */
const char *http_statuses_read(const struct skymon_texts *texts, struct http_statuses *statuses);
bool http_statuses_hold(const struct http_statuses *statuses, int code);

/* One entry of the option `json`. Texts are NULL when left out. */
struct http_json {
	const char *pointer, *equals, *above, *below;
};
/* Returns what is wrong with the entry, as in "json[1].%s must …", with the member's name in *option; NULL if
 * it is valid. */
const char *http_json_fault(const struct http_json *json, const char **option);

#define HTTP_WHY 320
/* Compiled patterns; NULL-terminated array for http_patterns_free(). */
struct http_patterns;
/* Returns NULL with the reason in why, as in "matches %s", if a pattern is not valid or memory is out. */
struct http_patterns *http_patterns_read(const struct skymon_texts *texts, char why[HTTP_WHY]);
void http_patterns_free(struct http_patterns *patterns);

/* Expectations of a body; empty parts expect nothing. */
struct http_body {
	struct skymon_texts contains, not_contains, matches;
	struct skymon_list json;              /* of struct http_json */
	const struct http_patterns *patterns; /* of `matches` */
};
bool http_body_is_asked(const struct http_body *body);

struct http_mismatch {
	enum skymon_status status; /* unknown if the body could not be compared */
	enum skymon_reason reason;
	char text[HTTP_WHY]; /* "the answer does not contain …": names options, never quotes the body */
};
/* Returns whether the body is as expected; otherwise fills *mismatch with the first fault. */
bool http_body_fits(const struct http_body *body, const char *bytes, size_t size,
		    struct http_mismatch *mismatch);

#endif
