/* SPDX-License-Identifier: Apache-2.0 */
/* skymon status: asks a running skymond over HTTP. */
#include "tool.h"

#include <curl/curl.h>
#include <getopt.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ANSWER_MAX (64u << 20)

struct asking {
	const char *url, *token_file, *ca_file, *cert, *key; /* key: NULL if it is in cert's file */
	const char *fail_on;                                 /* a status, or NULL */
	bool json, answered;
	struct buf answer;
	long code;
};

static size_t take(char *bytes, size_t size, size_t count, void *arg)
{
	struct asking *asking = arg;
	if (asking->answer.size + size * count > ANSWER_MAX)
		return 0;
	buf_add(&asking->answer, bytes, size * count);
	return size * count;
}

/* "Authorization: Bearer …" from the first line of the file. */
static struct curl_slist *token_header(const char *path)
{
	char token[4096] = "";
	FILE *file = fopen(path, "re");
	if (file == NULL || fgets(token, sizeof(token), file) == NULL)
		token[0] = '\0';
	if (file != NULL)
		fclose(file);
	token[strcspn(token, "\r\n")] = '\0';
	if (token[0] == '\0') {
		tool_fail("cannot read a token from %s", path);
		return NULL;
	}
	char *line = x_printf("Authorization: Bearer %s", token);
	struct curl_slist *headers = curl_slist_append(NULL, line);
	explicit_bzero(line, strlen(line));
	explicit_bzero(token, sizeof(token));
	free(line);
	return headers;
}

/* The base URL without its last slash; a Unix socket becomes an option. */
static char *address(CURL *curl, const char *base, const char *path)
{
	if (strncmp(base, "unix:", 5) == 0) {
		curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, base + 5);
		base = "http://localhost";
	}
	size_t size = strlen(base);
	while (size > 0 && base[size - 1] == '/')
		size--;
	return x_printf("%.*s%s", (int)size, base, path);
}

static bool fetch(struct asking *asking, const char *path)
{
	char why[CURL_ERROR_SIZE] = "";
	CURL *curl = curl_easy_init();
	if (curl == NULL) {
		tool_fail("cannot start libcurl");
		return false;
	}
	struct curl_slist *headers = NULL;
	char *url = address(curl, asking->url, path);
	curl_easy_setopt(curl, CURLOPT_URL, url);
	curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, why);
	curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, 3000L);
	curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, 10000L);
	curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, asking);
	if (asking->ca_file != NULL)
		curl_easy_setopt(curl, CURLOPT_CAINFO, asking->ca_file);
	if (asking->cert != NULL) {
		curl_easy_setopt(curl, CURLOPT_SSLCERT, asking->cert);
		curl_easy_setopt(curl, CURLOPT_SSLKEY, asking->key != NULL ? asking->key : asking->cert);
	}
	if (asking->token_file != NULL)
		headers = token_header(asking->token_file);
	bool ok = asking->token_file == NULL || headers != NULL;
	if (ok) {
		curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
		CURLcode failed = curl_easy_perform(curl);
		ok = failed == CURLE_OK;
		if (!ok)
			tool_fail("cannot ask %s: %s", url,
				  why[0] != '\0' ? why : curl_easy_strerror(failed));
		curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &asking->code);
	}
	curl_slist_free_all(headers);
	curl_easy_cleanup(curl);
	free(url);
	return ok;
}

static const char *text_at(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));
	return text != NULL ? text : "";
}

/* Prints a text in a column. */
static void column(const char *text, int width)
{
	tool_print(text);
	printf("%*s ", (int)strlen(text) < width ? width - (int)strlen(text) : 0, "");
}

static int print_all(const json_t *body)
{
	const json_t *health = json_object_get(body, "health");
	const json_t *components = json_object_get(health, "components");
	int width = 9;
	size_t i;
	json_t *component;
	json_array_foreach(components, i, component) {
		int size = (int)strlen(text_at(component, "name"));
		width = size > width ? size : width;
	}
	printf("%-*s %-9s %-14s %-24s %s\n", width, "NAME", "STATUS", "REASON", "SINCE", "MESSAGE");
	json_array_foreach(components, i, component) {
		column(text_at(component, "name"), width);
		column(text_at(component, "status"), 9);
		column(text_at(component, "reason"), 14);
		column(text_at(component, "since"), 24);
		tool_print(text_at(component, "message"));
		printf("\n");
	}
	column(text_at(body, "service"), width);
	printf("%s\n", text_at(health, "overall_status"));
	return tool_exit_of(text_at(health, "overall_status"));
}

static int print_one(const json_t *body)
{
	const char *key;
	json_t *value;
	json_object_foreach((json_t *)(uintptr_t)body, key, value) {
		printf("%-21s", key);
		if (json_is_string(value)) {
			tool_print(json_string_value(value));
		} else {
			char *text =
				json_dumps(value, JSON_ENCODE_ANY | JSON_INDENT(2) | JSON_REAL_PRECISION(15));
			fputs(text != NULL ? text : "",
			      stdout); /* JSON escapes what could steer a terminal */
			free(text);
		}
		printf("\n");
	}
	return tool_exit_of(text_at(body, "status"));
}

static int show(struct asking *asking, bool one)
{
	json_t *body = json_loadb(asking->answer.data != NULL ? asking->answer.data : "", asking->answer.size,
				  JSON_REJECT_DUPLICATES, NULL);
	int code = TOOL_UNKNOWN;
	bool expected = one ? json_is_string(json_object_get(body, "status"))
			    : json_is_object(json_object_get(body, "health"));
	asking->answered = expected;
	if (!expected) {
		const char *detail = text_at(body, "detail");
		tool_fail("%s answered %ld%s%s%s", asking->url, asking->code,
			  detail[0] != '\0' ? ": " : " and no JSON of skymond", detail,
			  asking->code == 401 && asking->token_file == NULL ? "; --token-file sends it" : "");
	} else if (asking->json) {
		fwrite(asking->answer.data, 1, asking->answer.size, stdout);
		putchar('\n');
		code = tool_exit_of(text_at(one ? body : json_object_get(body, "health"),
					    one ? "status" : "overall_status"));
	} else {
		code = one ? print_one(body) : print_all(body);
	}
	json_decref(body);
	return code;
}

/* For --fail-on: 1 for that status and worse ones, and if there is no status. In the order of the roll-up unknown is better than
 * unhealthy. */
static int pass_or_fail(const struct asking *asking, int code)
{
	static const int rank[] = {0, 1, 3, 2};
	return !asking->answered || rank[code] >= rank[tool_exit_of(asking->fail_on)];
}

int tool_status(int argc, char **argv)
{
	static const struct option longs[] = {
		{"url", required_argument, NULL, 'u'},     {"token-file", required_argument, NULL, 't'},
		{"json", no_argument, NULL, 'j'},          {"ca-file", required_argument, NULL, 'a'},
		{"cert", required_argument, NULL, 'c'},    {"key", required_argument, NULL, 'k'},
		{"fail-on", required_argument, NULL, 'f'}, {0}};
	struct asking asking = {.url = "http://127.0.0.1:8080"};
	for (int option; (option = getopt_long(argc, argv, "u:t:j", longs, NULL)) != -1;) {
		if (option == 'u')
			asking.url = optarg;
		else if (option == 't')
			asking.token_file = optarg;
		else if (option == 'j')
			asking.json = true;
		else if (option == 'a')
			asking.ca_file = optarg;
		else if (option == 'c')
			asking.cert = optarg;
		else if (option == 'k')
			asking.key = optarg;
		else if (option == 'f')
			asking.fail_on = optarg;
		else
			return TOOL_UNKNOWN;
	}
	if (optind + 1 < argc)
		return tool_fail("status takes one name");
	if (asking.key != NULL && asking.cert == NULL)
		return tool_fail("--key needs --cert");
	if (asking.fail_on != NULL &&
	    (tool_exit_of(asking.fail_on) == 0 ||
	     (tool_exit_of(asking.fail_on) == TOOL_UNKNOWN && strcmp(asking.fail_on, "unknown") != 0)))
		return tool_fail("--fail-on takes degraded, unknown or unhealthy");
	bool one = optind < argc;
	curl_global_init(CURL_GLOBAL_DEFAULT);
	char *name = one ? curl_easy_escape(NULL, argv[optind], 0) : NULL;
	char *path = one ? x_printf("/api/v1/health/%s", name) : x_strdup("/api/v1/status");
	int code = fetch(&asking, path) ? show(&asking, one) : TOOL_UNKNOWN;
	curl_free(name);
	free(path);
	buf_free(&asking.answer);
	curl_global_cleanup();
	return asking.fail_on != NULL ? pass_or_fail(&asking, code) : code;
}
