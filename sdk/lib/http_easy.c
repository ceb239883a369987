/* SPDX-License-Identifier: Apache-2.0 */
/* http_easy: what libcurl's handle reports, and its list of a request's headers, which may hold secrets. Called
 * by skymon/http.h's files and by the plugin http, on the thread of the request; owns nothing. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "http_private.h"

double skymon_http_seconds(CURL *easy, CURLINFO what)
{
	curl_off_t us = 0;
	return curl_easy_getinfo(easy, what, &us) == CURLE_OK ? (double)us / 1e6 : 0;
}

long skymon_http_number(CURL *easy, CURLINFO what)
{
	long value = 0;
	return curl_easy_getinfo(easy, what, &value) == CURLE_OK ? value : 0;
}

bool skymon_http_add_line(struct curl_slist **lines, const char *name, const char *prefix, const char *value)
{
	size_t size = strlen(name) + strlen(prefix) + strlen(value) + 3;
	char *line = malloc(size);
	if (line == NULL)
		return false;
	if (value[0] != '\0')
		snprintf(line, size, "%s: %s%s", name, prefix, value);
	else
		snprintf(line, size, "%s;", name); /* libcurl's syntax for a header without a value */
	struct curl_slist *list = curl_slist_append(*lines, line);
	skymon_http_wipe(line, size);
	if (list != NULL)
		*lines = list;
	return list != NULL;
}

void skymon_http_free_lines(struct curl_slist *lines)
{
	for (struct curl_slist *at = lines; at != NULL; at = at->next)
		explicit_bzero(at->data, strlen(at->data));
	curl_slist_free_all(lines);
}
