/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by the files of option; included by no others. */
#ifndef OPTION_PRIVATE_H
#define OPTION_PRIVATE_H

#include "base/arena.h"
#include "option.h"

#define OPTION_DEPTH_MAX 2u     /* the rows of a list, and the tls blocks in them */
#define OPTION_TABLE_MAX 256u   /* options of a table */
#define OPTION_ITEMS_MAX 10000u /* entries of a list, a map, the words of a choice */
#define OPTION_MASK "********"

struct row;
struct value {
	const char *name;
	int32_t type;
	bool named; /* by the config; else it is the default that the plugin declares */
	union {
		const char *text;
		bool boolean;
		int64_t integer; /* duration and bytes too */
		double real;     /* ratio too */
		struct {
			int32_t index;
			const char *word;
		} choice;
		struct {
			size_t index;               /* into secrets, when bound */
			struct skymon_secret bytes; /* when decoded */
		} secret;
		struct skymon_texts texts;
		struct skymon_map map;
		struct {
			struct row *rows;
			size_t count;
		} list; /* tls too: one row */
	};
};
struct row {
	struct value *values;
	size_t count;
};

struct option_values {
	struct arena arena;
	struct row row;
	struct option_secret *secrets; /* NULL when decoded */
	size_t secret_count, secret_room;
	const char *not_configured, *empty_target;
};

/* Entry i, at today's size (what an older plugin's does not have is zero). */
struct skymon_option option_entry(const struct skymon_option *table, size_t stride, size_t i);
/* Its item table, for a list or tls; *size: of one item. */
const struct skymon_option *option_items(const struct skymon_option *option, size_t *size);

/* Whether the option has a smallest value and no largest one. */
bool option_min_only(const struct skymon_option *option);
/* "1s to 1h" or "at least 1s"; "" if any value is allowed. */
void option_range_text(const struct skymon_option *option, char *text, size_t size);

/* A plain decimal number and nothing else. */
bool option_number(const char *text, double *value);

#endif
