/* SPDX-License-Identifier: Apache-2.0 */
/* Tables of options that a plugin declares: which are refused, and the ranges of their numbers. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "config/option.h"
#include "unit.h"

static void bad_tables(void)
{
	static const struct skymon_option nested[] = {
		{.name = "l", .type = SKYMON_LIST, .size = 16, .item = nested, .item_size = 64}, {0}};
	static const struct skymon_option odd[] = {{.name = "n", .type = SKYMON_INTEGER, .size = 8}, {0}};
	static const struct skymon_option shared[] = {
		{.name = "m", .type = SKYMON_INTEGER, .offset = 8, .size = 8},
		{.name = "n", .type = SKYMON_BOOLEAN, .offset = 8, .size = 1},
		{0}};
	static const struct {
		struct skymon_option option;
		const char *error;
	} cases[] = {
		{{.name = "A", .type = SKYMON_TEXT, .size = 8},
		 "option `A`: the name must be [a-z][a-z0-9_]*, at most 63 characters"},
		{{.name = "a", .type = 99}, "option `a`: type 99 is not known"},
		{{.name = "a", .type = SKYMON_TEXT, .size = 8, .offset = 60},
		 "option `a`: offset 60 with its 8 bytes is outside of the 64 bytes of the state"},
		{{.name = "a", .type = SKYMON_INTEGER, .size = 8, .min = 2, .max = 1},
		 "option `a`: its range ends before it begins"},
		{{.name = "a", .type = SKYMON_INTEGER, .size = 8, .min = -2, .max = -3},
		 "option `a`: its range ends before it begins"},
		{{.name = "a", .type = SKYMON_INTEGER, .size = 8, .min = NAN},
		 "option `a`: its range ends before it begins"},
		{{.name = "a", .type = SKYMON_TEXT},
		 "option `a`: its member has 0 bytes, a text has 8: SKYMON_OPT fills in .size"},
		{{.name = "a", .type = SKYMON_TLS, .size = 32},
		 "option `a`: its member has 32 bytes, a tls block has 40: SKYMON_OPT fills in .size"},
		{{.name = "a", .type = SKYMON_TEXT, .size = 8, .offset = 12},
		 "option `a`: offset 12 of a text is not a multiple of 8"},
		{{.name = "a", .type = SKYMON_CHOICE, .size = 4, .offset = 2},
		 "option `a`: offset 2 of a choice is not a multiple of 4"},
		{{.name = "a", .type = SKYMON_INTEGER, .size = 8, .offset = UINT32_MAX - 7},
		 "option `a`: offset 4294967288 with its 8 bytes is outside of the 64 bytes of the state"},
		{{.name = "a", .type = SKYMON_LIST, .size = 16, .item = odd, .item_size = 12},
		 "option `a`: its items: option `n`: item_size 12 is not a multiple of 8, as a whole number "
		 "in an array needs"},
		{{.name = "a", .type = SKYMON_LIST, .size = 16, .item = odd, .item_size = 4},
		 "option `a`: its items: option `n`: offset 0 with its 8 bytes is outside of the 4 bytes of "
		 "the item"},
		{{.name = "a", .type = SKYMON_LIST, .size = 16, .item = shared, .item_size = 16},
		 "option `a`: its items: options `m` and `n` overlap: offsets 8 and 8"},
		{{.name = "a", .type = SKYMON_CHOICE, .size = 4}, "option `a`: a choice needs .words"},
		{{.name = "a", .type = SKYMON_LIST, .size = 16},
		 "option `a`: a list needs .item and .item_size"},
		{{.name = "a", .type = SKYMON_DURATION, .size = 8, .fallback = "5"},
		 "option `a`: its default is wrong: option `a` of the table is wrong: `5` has no unit: write "
		 "5s, 5m or 5ms"},
		{{.name = "a", .type = SKYMON_BOOLEAN, .size = 1, .fallback = "1"},
		 "option `a`: its default is wrong: option `a` of the table must be true or false, not `1`: "
		 "write true"},
		{{.name = "a", .type = SKYMON_TEXTS, .size = 16, .fallback = "[a"},
		 "option `a`: its default is wrong: option `a` of the table has a default that is wrong: did "
		 "not find expected ',' or ']', "
		 "while parsing a flow sequence"},
		{{.name = "a", .type = SKYMON_LIST, .size = 16, .item = nested, .item_size = 64},
		 "option `a`: its items: option `l`: an item of a list cannot have a list"},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct skymon_option alone[2] = {cases[i].option, {0}};
		struct err err = {{0}};
		CU_ASSERT_FALSE(option_table_check(alone, sizeof(*alone), 64, &err) &&
				option_defaults_check(alone, &err));
		UNIT_TEXT(err.text, cases[i].error);
	}
	struct skymon_option twice[3] = {{.name = "a", .type = SKYMON_TEXT, .size = 8},
					 {.name = "a", .type = SKYMON_TEXT, .size = 8},
					 {0}};
	struct err err = {{0}};
	CU_ASSERT_FALSE(option_table_check(twice, sizeof(*twice), 64, &err));
	UNIT_TEXT(err.text, "option `a` is declared twice");
}

/* Members of two options that share a byte, in either order; neighbours do not. */
static void overlaps(void)
{
	static const struct {
		uint32_t first, first_size, second, second_size;
		bool ok;
	} cases[] = {{0, 16, 16, 1, true}, {0, 16, 15, 1, false}, {15, 1, 0, 16, false},
		     {16, 1, 0, 16, true}, {8, 16, 0, 16, false}, {0, 1, 1, 1, true},
		     {5, 1, 5, 1, false}};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct skymon_option both[] = {
			{.name = "a",
			 .type = cases[i].first_size == 16 ? SKYMON_MAP : SKYMON_BOOLEAN,
			 .offset = cases[i].first,
			 .size = cases[i].first_size},
			{.name = "b",
			 .type = cases[i].second_size == 16 ? SKYMON_MAP : SKYMON_BOOLEAN,
			 .offset = cases[i].second,
			 .size = cases[i].second_size},
			{0}};
		struct err err = {""};
		CU_ASSERT_EQUAL(option_table_check(both, sizeof(*both), 64, &err), cases[i].ok);
		CU_ASSERT_EQUAL(strstr(err.text, "options `a` and `b` overlap") != NULL, !cases[i].ok);
	}
}

/* A range without an end, of each type of number. */
static void smallest_values(void)
{
	static const struct {
		int32_t type;
		double min, max;
		const char *good, *bad, *says;
	} cases[] = {
		{SKYMON_INTEGER, 1, 0, "999999999999999999", "0", "must be at least 1, not 0"},
		{SKYMON_INTEGER, -5, 0, "-5", "1", "must be -5 to 0, not 1"},
		{SKYMON_INTEGER, 0, 9, "0", "-1", "must be 0 to 9, not -1"},
		{SKYMON_INTEGER, 7, 7, "7", "8", "must be 7 to 7, not 8"},
		{SKYMON_REAL, 0.5, 0, "1e300", "0.4", "must be at least 0.5, not 0.4"},
		{SKYMON_DURATION, 1000, 0, "1s", "999ms", "must be at least 1s, not 999ms"},
		{SKYMON_BYTES, 1024, 0, "1KiB", "1023", "must be at least 1KiB, not 1023"},
		{SKYMON_RATIO, 0.1, 0, "900%", "9%", "must be at least 10%, not 9%"},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct skymon_option one[] = {{.name = "n",
					       .type = cases[i].type,
					       .size = 8,
					       .help = "h",
					       .min = cases[i].min,
					       .max = cases[i].max},
					      {0}};
		for (int good = 0; good < 2; good++) {
			char text[64];
			struct config config = {0};
			struct err_list errs = {0};
			struct err err = {""};
			CU_ASSERT(option_table_check(one, sizeof(*one), 8, &err));
			snprintf(text, sizeof(text), "n: %s", good ? cases[i].good : cases[i].bad);
			CU_ASSERT(config_parse("f", text, strlen(text), NULL, &config, &errs));
			struct option_values *values = option_bind(
				&(struct option_binding){
					.table = one, .section = config.root, .what = "component c"},
				&errs);
			CU_ASSERT_EQUAL(values != NULL, good);
			CU_ASSERT(good ? errs.count == 0
				       : errs.count == 1 && strstr(errs.texts[0], cases[i].says) != NULL);
			option_values_free(values);
			config_free(&config);
			err_list_free(&errs);
		}
	}
}

int main(void)
{
	return unit_run("option table", (const struct unit_test[]){{"bad tables", bad_tables},
								   {"overlaps", overlaps},
								   {"smallest values", smallest_values},
								   {0}});
}
