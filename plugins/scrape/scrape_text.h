/* SPDX-License-Identifier: Apache-2.0 */
/* scrape_text: reads an exposition (Prometheus text 0.0.4, OpenMetrics 1.0) in one pass, and tallies the
 * samples that selectors ask for. Pure: knows no host, no network and no clock. */
#ifndef SCRAPE_TEXT_H
#define SCRAPE_TEXT_H

#include <skymon/plugin.h>

/* Which samples: those of this name whose labels have these values; a value that ends with `*` stands for all
 * that begin with it. */
struct scrape_selector {
	const char *metric;
	const struct skymon_label *labels;
	size_t label_count;
};

struct scrape_tally {
	bool named;       /* a sample of this name was there, with any labels */
	uint64_t samples; /* that matched and are numbers; a NaN is counted in `nan` alone */
	uint64_t nan;
	double sum, min, max; /* of `samples`; 0 without any */
};

struct scrape_facts {
	uint64_t samples;         /* in the whole text */
	uint64_t malformed;       /* lines that are neither a sample nor a comment, and were skipped */
	uint64_t first_malformed; /* the number of the first of them, from 1; 0 for none */
};

/* Fills one tally for each selector. text[size] is '\0'. */
void scrape_text_read(const char *text, size_t size, const struct scrape_selector *selectors,
		      struct scrape_tally *tallies, size_t count, struct scrape_facts *facts);
/* Returns whether the text is a metric's name, and a label's. */
bool scrape_text_is_metric(const char *name);
bool scrape_text_is_label(const char *name);

#endif
