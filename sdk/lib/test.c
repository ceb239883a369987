/* SPDX-License-Identifier: Apache-2.0 */
/* test: runs a check by the tool skymon and compares its result. Called by the tests of plugins' authors, on any
 * thread. Owns nothing. See skymon/test.h. */
#include <skymon/test.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OUTPUT_MAX (1u << 20)

/* Returns whether the output has a line with this key and word at the result's own level. */
static bool has_word(const char *output, const char *key, const char *word)
{
	char line[100];
	snprintf(line, sizeof(line), "\n  \"%s\": \"%s\"", key, word);
	return strstr(output, line) != NULL;
}

bool skymon_test(enum skymon_status status, enum skymon_reason reason, const char *text, const char *command)
{
	char *output = calloc(1, OUTPUT_MAX);
	FILE *from = popen(command, "re");
	if (output == NULL || from == NULL)
		abort(); /* out of memory or processes: not the check's fault */
	for (size_t used = 0, got; (got = fread(output + used, 1, OUTPUT_MAX - 1 - used, from)) > 0;)
		used += got;
	pclose(from);
	const char *status_word = skymon_status_word(status), *reason_word = skymon_reason_word(reason);
	bool good = has_word(output, "status", status_word) && has_word(output, "reason", reason_word) &&
		    (text == NULL || strstr(output, text) != NULL);
	if (!good)
		fprintf(stderr, "FAILED: %s\n%s, %s and \"%s\" were expected in:\n%s\n", command, status_word,
			reason_word, text != NULL ? text : "", output);
	free(output);
	return good;
}
