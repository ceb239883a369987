/* SPDX-License-Identifier: Apache-2.0 */
/* quantile: how values are distributed. Called by plugins that see each request of another program, on the
 * thread of the component; owns nothing. Pure. */
#include "quantile.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

#define LOWEST (-(QUANTILE_OCTAVES / 2)) /* the exponent of the first octave */

void quantile_clear(struct quantile *quantile)
{
	memset(quantile, 0, sizeof(*quantile));
}

static size_t bucket_of(double value)
{
	int exponent;
	double fraction = frexp(value, &exponent); /* in [0.5, 1) */
	if (value <= 0 || exponent - 1 < LOWEST)
		return 0;
	if (exponent - 1 >= LOWEST + QUANTILE_OCTAVES)
		return QUANTILE_BUCKETS - 1;
	return (size_t)(exponent - 1 - LOWEST) * QUANTILE_STEPS +
	       (size_t)((fraction - 0.5) * 2 * QUANTILE_STEPS);
}

void quantile_add(struct quantile *quantile, double value, double weight)
{
	quantile->buckets[bucket_of(value)] += (float)weight;
	quantile->total += weight;
}

void quantile_merge(struct quantile *quantile, const struct quantile *other)
{
	for (size_t i = 0; i < QUANTILE_BUCKETS; i++)
		quantile->buckets[i] += other->buckets[i];
	quantile->total += other->total;
}

/* The middle of the bucket. */
static double bucket_value(size_t bucket)
{
	double step = (double)(bucket % QUANTILE_STEPS) + 0.5;
	return bucket == 0 ? 0 : ldexp(1 + step / QUANTILE_STEPS, (int)(bucket / QUANTILE_STEPS) + LOWEST);
}

double quantile_at(const struct quantile *quantile, double share)
{
	double before = 0;
	if (quantile->total <= 0)
		return NAN;
	for (size_t i = 0; i < QUANTILE_BUCKETS; i++) {
		before += quantile->buckets[i];
		if (before >= share * quantile->total && quantile->buckets[i] > 0)
			return bucket_value(i);
	}
	return bucket_value(QUANTILE_BUCKETS - 1); /* rounding of the sums */
}
