/* SPDX-License-Identifier: Apache-2.0 */
/* client: see client.h. Called by skymon's programs on their one thread; owns nothing. */
#include "client.h"

#include <stdio.h>
#include <string.h>

#define TOKEN_SIZE 4096

char *client_url(CURL *curl, const char *base, const char *path)
{
	char *url = NULL;
	if (strncmp(base, "unix:", 5) == 0) {
		curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, base + 5);
		base = "http://localhost";
	}
	size_t size = strlen(base);
	while (size > 0 && base[size - 1] == '/')
		size--;
	return asprintf(&url, "%.*s%s", (int)size, base, path) < 0 ? NULL : url;
}

struct curl_slist *client_add_token(struct curl_slist *headers, const char *path)
{
	char line[TOKEN_SIZE + 32] = "Authorization: Bearer ";
	size_t size = strlen(line);
	FILE *file = fopen(path, "re");
	struct curl_slist *longer = NULL;
	if (file != NULL && fgets(line + size, TOKEN_SIZE, file) != NULL) {
		line[strcspn(line, "\r\n")] = '\0';
		if (strlen(line) > size)
			longer = curl_slist_append(headers, line);
	}
	if (file != NULL)
		fclose(file);
	explicit_bzero(line, sizeof(line));
	return longer;
}

void client_set_certificates(CURL *curl, const char *ca_file, const char *cert, const char *key)
{
	if (ca_file != NULL)
		curl_easy_setopt(curl, CURLOPT_CAINFO, ca_file);
	if (cert != NULL) {
		curl_easy_setopt(curl, CURLOPT_SSLCERT, cert);
		curl_easy_setopt(curl, CURLOPT_SSLKEY, key != NULL ? key : cert);
	}
}
