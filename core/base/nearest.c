/* SPDX-License-Identifier: Apache-2.0 */
/* nearest: the word that a misspelt one was meant to be, for "did you mean". Called wherever a name is looked
 * up: keys of the config, options, plugins, words of the command line. Pure; any thread. */
#include "nearest.h"

#include <string.h>

#define WORD_MAX 63

/* Returns the edit distance: letters added, left out or changed, and neighbours swapped (optimal string
 * alignment). */
static size_t distance(const char *a, size_t a_size, const char *b, size_t b_size)
{
	size_t rows[3][WORD_MAX + 1];
	size_t *before = rows[0], *last = rows[1], *row = rows[2];
	for (size_t j = 0; j <= b_size; j++)
		last[j] = before[j] = j;
	for (size_t i = 1; i <= a_size; i++) {
		row[0] = i;
		for (size_t j = 1; j <= b_size; j++) {
			size_t best = last[j - 1] + (a[i - 1] != b[j - 1]);
			if (last[j] + 1 < best)
				best = last[j] + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
			    before[j - 2] + 1 < best)
				best = before[j - 2] + 1;
			row[j] = best;
		}
		size_t *free_row = before;
		before = last;
		last = row;
		row = free_row;
	}
	return last[b_size];
}

const char *nearest_word(const char *word, const char *const *candidates, size_t count)
{
	size_t size = strlen(word), best = size / 3 > 0 ? size / 3 : 1;
	const char *found = NULL;
	if (size > WORD_MAX)
		return NULL;
	for (size_t i = 0; i < count; i++) {
		size_t length = strlen(candidates[i]);
		if (length == 0 || length > WORD_MAX)
			continue;
		size_t edits = distance(word, size, candidates[i], length);
		if (edits < best + (found == NULL) && edits < length) {
			best = edits;
			found = candidates[i];
		}
	}
	return found;
}
