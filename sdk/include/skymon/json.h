/* SPDX-License-Identifier: Apache-2.0 */
/* json_loose: a tolerant reader for JSON from a server of which a check needs a few values. A value that
 * cannot be represented (a key with two different values, text that is not Unicode, deep nesting, NaN) does
 * not void its siblings: it becomes an odd value, of no JSON type that a check looks up. A number that does
 * not fit becomes the text of its digits. \u0000 in a text is kept, and json_loose_text() refuses such a
 * text: in C it would look shorter.
 *
 * For documents that must be valid as a whole (a request, a JOSE header) use json_read.h. */
#ifndef JSON_LOOSE_H
#define JSON_LOOSE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#define JSON_LOOSE_DEPTH 64
#define JSON_LOOSE_WHY 80

/* Returns a value for json_decref(), or NULL with why set, as in "the answer is not JSON (line 1, column 5)".
 */
json_t *json_loose_read(const char *text, size_t size, char why[JSON_LOOSE_WHY]);
/* Returns why a value is odd, as in "issuer is there twice, …"; NULL if it is not. value may be NULL. */
const char *json_loose_odd(const json_t *value);
/* Returns a text; NULL if the key is missing, its value is not a text, or contains \u0000. */
const char *json_loose_text(const json_t *object, const char *key);

#endif
