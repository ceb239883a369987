/* SPDX-License-Identifier: Apache-2.0 */
/* tcp: escapes, and how an answer is shown. */
#include <stdlib.h>
#include <string.h>

#include "../../plugins/tcp/tcp.h"
#include "unit.h"

static void escapes(void)
{
	static const struct {
		const char *text, *bytes;
		size_t size;
	} rows[] = {
		{"PING\\r\\n", "PING\r\n", 6},
		{"a\\\\b\\\"c\\tz", "a\\b\"c\tz", 7},
		{"\\0\\x00\\x7f\\xFf", "\0\0\x7f\xff", 4},
		{"plain", "plain", 5},
		{"", "", 0},
		{"\xc3\xa4", "\xc3\xa4", 2},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		const char *why = NULL;
		size_t size = 99;
		char *got = tcp_unescape(rows[i].text, &size, &why);
		CU_ASSERT_PTR_NOT_NULL_FATAL(got);
		CU_ASSERT(size == rows[i].size && memcmp(got, rows[i].bytes, size) == 0 && got[size] == '\0');
		free(got);
	}
	static const char *const wrong[] = {"\\", "a\\q", "\\x", "\\x1", "\\x1g", "\\xg1", "end\\"};
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		const char *why = NULL;
		size_t size;
		CU_ASSERT(tcp_unescape(wrong[i], &size, &why) == NULL && why != NULL &&
			  strstr(why, "has an escape") == why);
	}
	char *large = malloc(TCP_TEXT_MAX + 2);
	memset(large, 'x', TCP_TEXT_MAX + 1);
	large[TCP_TEXT_MAX + 1] = '\0';
	const char *why = NULL;
	size_t size;
	CU_ASSERT(tcp_unescape(large, &size, &why) == NULL && strstr(why, "4096") != NULL);
	large[TCP_TEXT_MAX] = '\0';
	char *fits = tcp_unescape(large, &size, &why);
	CU_ASSERT(fits != NULL && size == TCP_TEXT_MAX);
	free(fits);
	free(large);
}

static void answers_are_shown(void)
{
	char shown[64], large[100];
	memset(large, 'y', sizeof(large));
	tcp_show("-ERR no\r\nmore", 13, shown);
	UNIT_TEXT(shown, "-ERR no");
	tcp_show("\x00\x1b[31m\xff", 7, shown);
	UNIT_TEXT(shown, "..[31m.");
	tcp_show(large, sizeof(large), shown);
	CU_ASSERT(strlen(shown) == 63 && strcmp(shown + 60, "...") == 0);
	tcp_show(large, 60, shown);
	CU_ASSERT_EQUAL(strlen(shown), 60);
	tcp_show(NULL, 0, shown);
	UNIT_TEXT(shown, "");
}

int main(void)
{
	return unit_run("tcp", (const struct unit_test[]){
				       {"escapes", escapes},
				       {"answers are shown", answers_are_shown},
				       {0},
			       });
}
