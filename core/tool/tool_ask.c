/* SPDX-License-Identifier: Apache-2.0 */
/* tool_ask: one HTTP request to a running skymond, with the options that say where it is. Called by the commands
 * status and reload; owns nothing beyond a call. */
#include "tool.h"

#include <getopt.h>
#include <stdlib.h>

#include "client.h"

#define ANSWER_MAX (64u << 20)

static size_t take(char *bytes, size_t size, size_t count, void *arg)
{
	struct tool_ask *ask = arg;
	if (ask->answer.size + size * count > ANSWER_MAX)
		return 0;
	buf_add(&ask->answer, bytes, size * count);
	return size * count;
}

bool tool_ask(struct tool_ask *ask, const char *path)
{
	char why[CURL_ERROR_SIZE] = "";
	CURL *curl = curl_easy_init();
	if (curl == NULL) {
		tool_fail("cannot start libcurl");
		return false;
	}
	struct curl_slist *headers = NULL;
	char *url = client_url(curl, ask->url, path);
	curl_easy_setopt(curl, CURLOPT_URL, url);
	curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, why);
	curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, 3000L);
	curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, ask->post ? 60000L : 10000L);
	curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, ask);
	client_set_certificates(curl, ask->ca_file, ask->cert, ask->key);
	if (ask->post)
		curl_easy_setopt(curl, CURLOPT_POSTFIELDS, "");
	if (ask->token_file != NULL)
		headers = client_add_token(NULL, ask->token_file);
	bool ok = ask->token_file == NULL || headers != NULL;
	if (!ok)
		tool_fail("cannot read a token from %s", ask->token_file);
	if (ok && ask->method != NULL) {
		headers = curl_slist_append(headers, "Content-Type: application/json");
		curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, ask->method);
		if (ask->sent != NULL)
			curl_easy_setopt(curl, CURLOPT_POSTFIELDS, ask->sent);
	}
	if (ok) {
		curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
		CURLcode failed = curl_easy_perform(curl);
		ok = failed == CURLE_OK;
		if (!ok)
			tool_fail("cannot ask %s: %s", url,
				  why[0] != '\0' ? why : curl_easy_strerror(failed));
		curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &ask->code);
	}
	curl_slist_free_all(headers);
	curl_easy_cleanup(curl);
	free(url);
	return ok;
}

bool tool_ask_option(struct tool_ask *ask, int option)
{
	if (option == 'u')
		ask->url = optarg;
	else if (option == 't')
		ask->token_file = optarg;
	else if (option == 'a')
		ask->ca_file = optarg;
	else if (option == 'c')
		ask->cert = optarg;
	else if (option == 'k')
		ask->key = optarg;
	else
		return false;
	return true;
}

bool tool_ask_options(struct tool_ask *ask, int argc, char **argv)
{
	static const struct option longs[] = {{"json", no_argument, NULL, 'j'},
					      {"fail-on", required_argument, NULL, 'f'},
					      TOOL_ASK_ROWS,
					      {0}};
	*ask = (struct tool_ask){.url = "http://127.0.0.1:8080"};
	for (int option; (option = getopt_long(argc, argv, "u:t:j", longs, NULL)) != -1;) {
		if (option == 'j')
			ask->json = true;
		else if (option == 'f')
			ask->fail_on = optarg;
		else if (!tool_ask_option(ask, option))
			return false;
	}
	if (ask->key == NULL || ask->cert != NULL)
		return true;
	tool_fail("--key needs --cert");
	return false;
}

void tool_ask_fail(const struct tool_ask *ask, const char *detail)
{
	tool_fail("%s answered %ld%s%s%s", ask->url, ask->code,
		  detail[0] != '\0' ? ": " : " and no JSON of skymond", detail,
		  ask->code == 401 && ask->token_file == NULL ? "; --token-file sends it" : "");
}
