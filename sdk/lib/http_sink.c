/* SPDX-License-Identifier: Apache-2.0 */
/* skymon_http_sink: collects an answer as it arrives: the body, bounded, into one block of memory, and the
 * wanted headers. Called by libcurl's callbacks in http.c, on the check's thread. Owns the block until
 * skymon_http_do() returns it. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "http_private.h"

#define HEADERS_MAX (256u * 1024) /* bytes of all headers and trailers of an answer */

void skymon_http_wipe(void *bytes, size_t size)
{
	if (bytes != NULL)
		explicit_bzero(bytes, size);
	free(bytes);
}

size_t skymon_http_sink_body(char *bytes, size_t one, size_t count, void *arg)
{
	struct skymon_http_sink *sink = arg;
	struct skymon_http_answer *answer = sink->answer;
	size_t size = one * count, room = sink->room;
	if (size > sink->max - answer->size) {
		sink->too_large = true;
		return size + 1; /* signals an error to libcurl, for an empty piece too */
	}
	if (!sink->grown && sink->request->grow != NULL && answer->size + size > sink->request->small) {
		if (!sink->request->grow(sink->request->grow_arg))
			return size + 1;
		sink->grown = true;
	}
	while (answer->size + size + 1 > room)
		room = room == 0 ? 4096 : room < sink->max / 2 ? room * 2 : sink->max + 1;
	if (room != sink->room) {
		/* Not realloc(): the block that it leaves behind may hold a secret. */
		char *larger = malloc(room);
		if (larger == NULL)
			return size + 1;
		if (answer->size > 0)
			memcpy(larger, answer->body, answer->size);
		skymon_http_wipe(answer->body, answer->size);
		answer->body = larger;
		sink->room = room;
	}
	memcpy(answer->body + answer->size, bytes, size);
	answer->size += size;
	answer->body[answer->size] = '\0';
	return size;
}

static void keep_header(struct skymon_http_sink *sink, const char *line, size_t size)
{
	const char *const *wanted = sink->request->wanted;
	const char *colon = memchr(line, ':', size), *end = line + size;
	for (size_t i = 0; colon != NULL && wanted != NULL && i < SKYMON_HTTP_WANTED_MAX && wanted[i] != NULL;
	     i++)
		if (strlen(wanted[i]) == (size_t)(colon - line) &&
		    strncasecmp(wanted[i], line, (size_t)(colon - line)) == 0) {
			const char *value = colon + 1;
			while (value < end && (*value == ' ' || *value == '\t'))
				value++;
			while (end > value && strchr("\r\n \t", end[-1]) != NULL && end[-1] != '\0')
				end--;
			free(sink->answer->wanted[i]);
			sink->answer->wanted[i] = strndup(value, (size_t)(end - value));
			return;
		}
}

size_t skymon_http_sink_header(char *line, size_t one, size_t count, void *arg)
{
	struct skymon_http_sink *sink = arg;
	size_t size = one * count;
	sink->answered = true;
	sink->header_size += size;
	if (sink->header_size > HEADERS_MAX) { /* libcurl stores all of them, endless trailers too */
		sink->too_large = true;
		sink->max = HEADERS_MAX;
		return 0;
	}
	if (line[0] == '\r' || line[0] == '\n')
		sink->headed = true;                      /* later header lines are trailers */
	if (size >= 5 && memcmp(line, "HTTP/", 5) == 0) { /* another answer follows, as after 100 Continue */
		sink->headed = false;
		for (size_t i = 0; i < SKYMON_HTTP_WANTED_MAX; i++) {
			free(sink->answer->wanted[i]);
			sink->answer->wanted[i] = NULL;
		}
	} else {
		keep_header(sink, line, size);
	}
	return size;
}
