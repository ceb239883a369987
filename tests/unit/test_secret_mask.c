/* SPDX-License-Identifier: Apache-2.0 */
/* secret_mask: the spellings in which secrets are masked. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "unit.h"
#include "worker/secret_mask.h"

static const struct {
	const char *text, *masked;
} rows[] = {
	{"no, p@ss w/ör+d\"\\ is wrong", "no, ******** is wrong"},
	{"p@ss w/ör+d\"\\p@ss w/ör+d\"\\", "****************"},
	{"pw=p%40ss%20w%2F%C3%B6r%2Bd%22%5C&x", "pw=********&x"},
	{"pw=p%40ss%20w%2f%c3%b6r%2bd%22%5c&x", "pw=********&x"},
	{"pw=p@ss%20w/%C3%B6r%2Bd%22%5C&x", "pw=********&x"},
	{"pw=p%40ss+w%2F%C3%B6r%2Bd%22%5C&x", "pw=********&x"},
	{"{\"pw\": \"p@ss w/\\u00f6r+d\\\"\\\\\"}", "{\"pw\": \"********\"}"},
	{"{\"pw\": \"p@ss w\\/ör+d\\\"\\\\\"}", "{\"pw\": \"********\"}"},
	{"{\"pw\": \"p@ss w/\\u00F6r+d\\\"\\\\\"}", "{\"pw\": \"********\"}"},
	{"Basic cEBzcyB3L8O2citkIlw=.", "Basic ********w=."},
	{"Basic YTpwQHNzIHcvw7ZyK2QiXA==.", "Basic YTp********A==."},
	{"Basic YWI6cEBzcyB3L8O2citkIlw=.", "Basic YWI6********w=."},
	{"Basic YWJjOnBAc3Mgdy/DtnIrZCJc.", "Basic YWJjOn********."},
	{"Basic YWI6cEBzcyB3L8O2citkIlw=.", "Basic YWI6********w=."},
	{"Basic YTpwQHNzIHcvw7ZyK2QiXCBhbmQgbW9yZQ==.", "Basic YTp********CBhbmQgbW9yZQ==."},
	{"Bearer tok-12345?", "********?"},
	{"token tok-12345 is not known", "token ******** is not known"},
	{"dXNlcjpwYXNz TOK-12345 hunter2hunte p@ss w/or+d",
	 "dXNlcjpwYXNz TOK-12345 hunter2hunte p@ss w/or+d"},
	{"login hunter2hunter\n", "login ********\n"},
	{"login hunter2hunter, abc", "login ********, abc"},
	{"%", "%"},
	{"p%4", "p%4"},
	{"\\", "\\"},
	{"p@ss w/\\u00", "p@ss w/\\u00"},
	{"", ""},
};

static struct mask secrets(void)
{
	struct mask mask = {0};
	mask_add(&mask, "p@ss w/ör+d\"\\", strlen("p@ss w/ör+d\"\\"));
	mask_add(&mask, "Bearer tok-12345", strlen("Bearer tok-12345"));
	mask_add(&mask, "hunter2hunter\r\n", strlen("hunter2hunter\r\n"));
	mask_add(&mask, "abc", 3); /* too short to be masked */
	mask_add(&mask, NULL, 0);
	return mask;
}

static void masks_each_spelling(void)
{
	struct mask mask = secrets();
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct buf room = {0};
		const char *got = mask_text(&mask, rows[i].text, &room);
		UNIT_TEXT(got, rows[i].masked);
		/* the same text, not a copy, if nothing is masked */
		CU_ASSERT_EQUAL(got == rows[i].text, strcmp(rows[i].text, rows[i].masked) == 0);
		buf_free(&room);
	}
	mask_free(&mask);
}

/* A reply may be binary, and matching never reads beyond its end. */
static void reads_no_further(void)
{
	struct mask mask = secrets();
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		for (size_t size = 0; size <= strlen(rows[i].text); size++) {
			struct buf room = {0};
			char *exact = malloc(size > 0 ? size : 1); /* for the sanitizer */
			memcpy(exact, rows[i].text, size);
			size_t left = size;
			const char *got = mask_bytes(&mask, exact, &left, &room);
			CU_ASSERT(got == exact ? left == size : memmem(got, left, "********", 8) != NULL);
			buf_free(&room);
			free(exact);
		}
	struct buf room = {0};
	size_t size = 15;
	const char *got = mask_bytes(&mask, "\0\1tok-12345\0abc", &size, &room);
	CU_ASSERT(size == 14 && memcmp(got, "\0\1********\0abc", size) == 0);
	buf_free(&room);
	mask_free(&mask);
}

/* A text that was cut: the rest of a secret may lie behind its end, in every spelling. */
static void masks_what_a_cut_left(void)
{
	static const struct {
		const char *text;
		size_t whole;
	} cut[] = {
		{"is p@ss w", 3},
		{"is p@s", 6}, /* three bytes are in any word */
		{"is p%40ss+w%2", 3},
		{"is p@ss w/\\u00f", 3},
		{"is p@ss w/\\", 3},
		{"tok-12345 is tok-123", 13},
		{"is p@ss other", 13},
		{"hunter2hunte", 0},
		{"x aHVudGVyM", 2},
		{"x aHVudGVyMmh1bnRlc", 2},
		{"", 0},
		{"whole", 5},
	};
	struct mask mask = secrets(), none = {0};
	for (size_t i = 0; i < sizeof(cut) / sizeof(cut[0]); i++) {
		size_t size = strlen(cut[i].text);
		CU_ASSERT_EQUAL(mask_whole(&mask, cut[i].text, size), cut[i].whole);
		CU_ASSERT_EQUAL(mask_whole(&none, cut[i].text, size), size);
	}
	mask_free(&mask);
}

int main(void)
{
	return unit_run("mask", (const struct unit_test[]){{"masks each spelling", masks_each_spelling},
							   {"reads no further", reads_no_further},
							   {"masks what a cut left", masks_what_a_cut_left},
							   {0}});
}
