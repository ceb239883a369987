/* SPDX-License-Identifier: Apache-2.0 */
/* quantile: how values are distributed, in constant memory: a histogram with 20 buckets for each doubling, so that
 * a quantile is at most 3 % off. Private to our own plugins. Pure; one thread at a time for a struct. */
#ifndef QUANTILE_H
#define QUANTILE_H

#include <stdint.h>

#define QUANTILE_OCTAVES 48 /* from 2^-24 to 2^24: a smaller value counts as 0, a larger one as the largest */
#define QUANTILE_STEPS 20   /* buckets of an octave */
#define QUANTILE_BUCKETS (QUANTILE_STEPS * QUANTILE_OCTAVES)

struct quantile {
	double total; /* values, each with its weight */
	float buckets[QUANTILE_BUCKETS];
};

void quantile_clear(struct quantile *quantile);
/* value: >= 0, and a number. weight: how many such values it stands for, > 0. */
void quantile_add(struct quantile *quantile, double value, double weight);
/* Adds all values of the other. */
void quantile_merge(struct quantile *quantile, const struct quantile *other);
/* Returns the value that this share (0 to 1) of the values is not above; NaN without values. */
double quantile_at(const struct quantile *quantile, double share);

#endif
