/* SPDX-License-Identifier: Apache-2.0 */
/* skymon/json.h - two readers of JSON on jansson, for the small stack of a check's thread: jansson recurses, and its own limit of
 * 2,048 levels would use most of that stack. Both stop at SKYMON_JSON_DEPTH levels.
 *
 * For a document that must be valid as a whole (a request, a JOSE header) use skymon_json_read: a key that is there twice refuses
 * it. For an answer of which a check needs a few values use skymon_json_read_loose: what it cannot represent does not void its
 * siblings. All functions may be called on any thread.
 *
 * Of the helper library (`pkg-config skymon-json`), which a plugin links statically. It is outside of the ABI's promise:
 * a plugin keeps the library that it was built with, and a newer skymon may change it. */
#ifndef SKYMON_JSON_H
#define SKYMON_JSON_H

#include <jansson.h>
#include <skymon/plugin.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SKYMON_JSON_DEPTH 64 /* levels of arrays and objects */
#define SKYMON_JSON_WHY 80   /* bytes of a `why` */

/* Reads size bytes of strict JSON. Returns a value for json_decref(), or NULL. */
json_t *skymon_json_read(const char *text, size_t size);

/* Reads size bytes of JSON, tolerantly: a value that cannot be represented (a key with two different values, text that is not
 * Unicode, deep nesting, NaN) becomes an odd value, of no JSON type that a check looks up. A number that does not fit becomes the
 * text of its digits. Returns a value for json_decref(), or NULL with why set, as in "the answer is not JSON (line 1, column 5)". */
json_t *skymon_json_read_loose(const char *text, size_t size, char why[SKYMON_JSON_WHY]);
/* Returns why a value is odd, as in "issuer is there twice, …"; NULL if it is not. value may be NULL. */
const char *skymon_json_odd(const json_t *value);

/* Returns a text of the object, which lives as long as that; NULL if the key is missing, its value is not a text, or it contains
 * \u0000, with which it would look shorter in C. */
const char *skymon_json_text(const json_t *object, const char *key);

/* Returns the value at a JSON pointer (RFC 6901: "/queue/0/state", "" for the whole), which lives as long as json; NULL if there is none,
 * or json is NULL. */
const json_t *skymon_json_at(const json_t *json, const char *pointer);

/* ---- For an answer that a check looks at ---- */

/* Reads it tolerantly. Returns a value for json_decref(), or NULL after setting the check's reason and message. */
json_t *skymon_json_answer(struct skymon *sm, const char *body, size_t size);
/* Compares the value at a pointer: texts byte for byte, numbers by their value, others as JSON writes them (true, null). Sets the
 * check's message, reason and status, and returns the status: unhealthy with wrong_value if the value is another, with body_mismatch if
 * there is none. With json NULL, it returns unhealthy and leaves what skymon_json_answer has set. */
enum skymon_status skymon_json_expect(struct skymon *sm, const json_t *json, const char *pointer, const char *expected);

/* ---- Less often ---- */

/* Returns whether the text is nested more than SKYMON_JSON_DEPTH deep. Call it before another parser that recurses. */
bool skymon_json_is_deep(const char *text, size_t size);

/* Returns the flag for json_dumps() with which all numbers read back unchanged. 17 digits always do, but print 0.1 as
 * 0.10000000000000001. */
size_t skymon_json_digits(const json_t *json);

/* Wipes a text that is a secret. Call it before json_decref(). */
void skymon_json_wipe(const json_t *text);
/* For json_set_alloc_funcs(), in a process where anything that jansson frees may be a secret. */
void skymon_json_free_wiped(void *memory);

#ifdef __cplusplus
}
#endif

#endif
