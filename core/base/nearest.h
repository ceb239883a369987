/* SPDX-License-Identifier: Apache-2.0 */
/* nearest: the known word that is nearest to a misspelt one. */
#ifndef NEAREST_H
#define NEAREST_H

#include <stddef.h>

/* Returns the candidate of the smallest edit distance, which is at most a third of the word's length and at
 * least 1; NULL if none is as near. */
const char *nearest_word(const char *word, const char *const *candidates, size_t count);

#endif
