/* SPDX-License-Identifier: Apache-2.0 */
/* grafana_tool: one request to skymond over HTTP, with libcurl. Called by grafana_tool.c, on its only thread.
 * Owns the connection. */
#include "grafana_tool.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <skymon/json.h>

#include "client.h"

#define ANSWER_MAX (64u << 20)
#define CONNECT_MS 3000L
#define ANSWER_MS 40000L /* more than skymond's limit of 30 s for a route */

struct bytes {
	char *data;
	size_t size;
};

void tool_fail(const char *format, ...)
{
	va_list list;
	va_start(list, format);
	char text[1024];
	vsnprintf(text, sizeof(text), format, list);
	va_end(list);
	for (unsigned char *at = (unsigned char *)text; *at != '\0'; at++)
		if (*at < ' ' || *at == 0x7F)
			*at = ' ';
	fprintf(stderr, "skymon grafana: %s\n", text);
}

static size_t append_bytes(char *bytes, size_t size, size_t count, void *argument)
{
	struct bytes *taken = argument;
	size_t more = size * count;
	char *data = taken->size + more > ANSWER_MAX ? NULL : realloc(taken->data, taken->size + more + 1);
	if (data == NULL)
		return 0;
	memcpy(data + taken->size, bytes, more);
	taken->data = data;
	taken->size += more;
	return more;
}

/* Options of every request. The connection goes straight to skymond: through a proxy of the environment it
 * would not be local. */
static void set_options(CURL *curl, const char *method, char *why, struct bytes *taken)
{
	curl_easy_setopt(curl, CURLOPT_PROXY, "");
	curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, why);
	curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_MS);
	curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, ANSWER_MS);
	curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, append_bytes);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, taken);
	if (strcmp(method, "POST") == 0)
		curl_easy_setopt(curl, CURLOPT_POSTFIELDS, "{}");
}

static bool send_request(CURL *curl, const struct tool_place *place, const char *method, const char *path,
			 struct bytes *taken, long *code)
{
	char why[CURL_ERROR_SIZE] = "";
	CURLcode failed = CURLE_OUT_OF_MEMORY;
	set_options(curl, method, why, taken);
	char *url = client_url(curl, place->url, path);
	struct curl_slist *headers = curl_slist_append(NULL, "Content-Type: application/json");
	if (headers != NULL && place->token_file != NULL) {
		struct curl_slist *longer = client_add_token(headers, place->token_file);
		if (longer == NULL) {
			tool_fail("cannot read a token from %s", place->token_file);
			curl_slist_free_all(headers);
			free(url);
			return false;
		}
		headers = longer;
	}
	if (url != NULL && headers != NULL) {
		curl_easy_setopt(curl, CURLOPT_URL, url);
		curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
		failed = curl_easy_perform(curl);
		curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, code);
	}
	curl_slist_free_all(headers);
	free(url);
	if (failed == CURLE_OK)
		return true;
	tool_fail("cannot ask skymond at %s: %s", place->url,
		  why[0] != '\0' ? why : curl_easy_strerror(failed));
	return false;
}

bool tool_ask(const struct tool_place *place, const char *method, const char *path, struct tool_answer *out)
{
	struct bytes taken = {0};
	CURL *curl = curl_easy_init();
	*out = (struct tool_answer){0};
	if (curl == NULL)
		tool_fail("cannot start libcurl");
	bool ok = curl != NULL && send_request(curl, place, method, path, &taken, &out->code);
	curl_easy_cleanup(curl);
	if (ok) {
		out->body = taken.data != NULL ? skymon_json_read(taken.data, taken.size) : NULL;
		ok = json_is_object(out->body);
		if (!ok)
			tool_fail("%s answered %ld, but not with skymond's JSON", place->url, out->code);
	}
	free(taken.data);
	return ok;
}
