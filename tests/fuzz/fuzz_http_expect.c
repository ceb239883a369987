/* SPDX-License-Identifier: Apache-2.0 */
/* Options as a person may write them: `status`, `matches` and `json` of the plugin http, and any body that a server sends. The input's
 * first lines are the options, the rest is the body. */
#include <stdlib.h>
#include <string.h>

#include "../../plugins/http/http_expect.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Cuts the first line off, as a text of its own. */
static char *cut_line(const uint8_t **data, size_t *size)
{
	const uint8_t *end = memchr(*data, '\n', *size);
	size_t length = end != NULL ? (size_t)(end - *data) : *size;
	char *line = malloc(length + 1);
	if (line == NULL)
		abort();
	memcpy(line, *data, length);
	line[length] = '\0';
	*data += end != NULL ? length + 1 : length;
	*size -= end != NULL ? length + 1 : length;
	return line;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *status = cut_line(&data, &size), *pattern = cut_line(&data, &size),
	     *pointer = cut_line(&data, &size);
	char *value = cut_line(&data, &size);
	char why[HTTP_WHY];
	const char *member;
	struct http_statuses statuses;
	struct http_mismatch mismatch = {.text = ""};
	struct http_json json[] = {{pointer, value, NULL, NULL}, {pointer, NULL, value, value}};
	struct http_body body = {.contains = {(const char *const *)&value, 1},
				 .matches = {(const char *const *)&pattern, 1}};
	if (http_statuses_read(&(struct skymon_texts){(const char *const *)&status, 1}, &statuses) == NULL &&
	    (http_statuses_hold(&statuses, 99) || http_statuses_hold(&statuses, 600)))
		abort();
	struct http_patterns *patterns = http_patterns_read(&body.matches, why);
	body.patterns = patterns;
	body.json = (struct skymon_list){json, http_json_fault(&json[0], &member) != NULL   ? 0
					       : http_json_fault(&json[1], &member) != NULL ? 1
											    : 2};
	if (!http_body_fits(&body, (const char *)data, size, &mismatch) && mismatch.text[0] == '\0')
		abort();
	http_patterns_free(patterns);
	free(value);
	free(pointer);
	free(pattern);
	free(status);
	return 0;
}
