/* SPDX-License-Identifier: Apache-2.0 */
/* scrape_text: reads an exposition (Prometheus text 0.0.4, OpenMetrics 1.0) in one pass. Pure: knows no host,
 * no network and no clock. */
#ifndef SCRAPE_TEXT_H
#define SCRAPE_TEXT_H

#include "series.h"

struct scrape_facts {
	uint64_t samples;         /* in the whole text */
	uint64_t malformed;       /* lines that are neither a sample nor a comment, and were skipped */
	uint64_t first_malformed; /* the number of the first of them, from 1; 0 for none */
};

/* Adds each sample to the series. text[size] is '\0'. */
void scrape_text_read(const char *text, size_t size, struct series *series, struct scrape_facts *facts);

#endif
