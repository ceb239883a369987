/* SPDX-License-Identifier: Apache-2.0 */
/* json_loose: JSON of a server of which a few values are wanted. What cannot be read costs itself and not its
 * siblings: a key that is there twice with different values, text that is not Unicode, what is nested deep,
 * NaN. Such a value becomes an odd one, of no type that anybody asks for. A number that no machine number
 * holds becomes the text of its digits. \u0000 in a text is kept: json_loose_text gives no such text, as
 * it would look shorter than it is.
 *
 * Where the whole counts (a request, a JOSE header), json_read.h is right. */
#ifndef JSON_LOOSE_H
#define JSON_LOOSE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#define JSON_LOOSE_DEPTH 64
#define JSON_LOOSE_WHY 80

/* For json_decref. NULL: *why is half a sentence, as in "the answer is not JSON (line 1, column 5)". */
json_t *json_loose_read(const char *text, size_t size, char why[JSON_LOOSE_WHY]);
/* As in "issuer is there twice, …"; NULL: it is not odd. value may be NULL. */
const char *json_loose_odd(const json_t *value);
/* NULL: no such key, no text, or one with \u0000. */
const char *json_loose_text(const json_t *object, const char *key);

#endif
