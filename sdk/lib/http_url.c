/* SPDX-License-Identifier: Apache-2.0 */
/* fetch_url: the parts of a URL, by libcurl's own parser, so that two readings can never differ; and the
 * depth of a body. Called by checks in `validate` and `start` and by fetch_do, on any thread. Pure. */
#include "fetch_url.h"

#include <stdio.h>
#include <string.h>

char *fetch_part(CURLU *url, CURLUPart part)
{
	char *text = NULL;

	return curl_url_get(url, part, &text, part == CURLUPART_PORT ? CURLU_DEFAULT_PORT : 0) == CURLUE_OK
		       ? text
		       : NULL;
}

CURLU *fetch_parse(const char *text)
{
	CURLU *url = curl_url();

	if (url != NULL && text != NULL &&
	    curl_url_set(url, CURLUPART_URL, text, CURLU_NON_SUPPORT_SCHEME) == CURLUE_OK)
		return url;
	curl_url_cleanup(url);
	return NULL;
}

static bool is_one_of(const char *word, const char *a, const char *b, const char *c)
{
	return word != NULL && (strcmp(word, a) == 0 || strcmp(word, b) == 0 || strcmp(word, c) == 0);
}

/* Returns whether the text is a URL with one of the schemes and a host. */
static bool is_url(const char *text, const char *a, const char *b, const char *c)
{
	CURLU *url = strstr(text, "://") != NULL ? fetch_parse(text) : NULL;
	char *scheme = url != NULL ? fetch_part(url, CURLUPART_SCHEME) : NULL;
	char *host = url != NULL ? fetch_part(url, CURLUPART_HOST) : NULL;
	bool good = is_one_of(scheme, a, b, c) && host != NULL && host[0] != '\0';

	curl_free(host);
	curl_free(scheme);
	curl_url_cleanup(url);
	return good;
}

const char *fetch_given_proxy(const char *proxy)
{
	return proxy == NULL || proxy[0] == '\0' || strcmp(proxy, "none") == 0 ? NULL : proxy;
}

const char *fetch_url_fault(const char *url)
{
	return url != NULL && is_url(url, "http", "https", "https")
		       ? NULL
		       : "must be a URL that begins with http:// or https:// and names a host";
}

const char *fetch_proxy_fault(const char *proxy)
{
	return fetch_given_proxy(proxy) == NULL || is_url(proxy, "http", "https", "socks5h")
		       ? NULL
		       : "must be none, or a URL that begins with http://, https:// or socks5h:// and names "
			 "a "
			 "host";
}

bool fetch_accepts(const char *name, const char *url, const char *proxy, struct skymon_fault *fault)
{
	const char *why = fetch_url_fault(url);

	if (why == NULL) {
		name = "proxy";
		why = fetch_proxy_fault(proxy);
	}
	if (why != NULL)
		skymon_fault_set(fault, SKYMON_UNKNOWN, SKYMON_OTHER, "%s %s", name, why);
	return why == NULL;
}

const char *fetch_secret_fault(const char *url, const struct skymon_tls *tls, bool secret)
{
	CURLU *parsed = fetch_parse(url);
	char *scheme = parsed != NULL ? fetch_part(parsed, CURLUPART_SCHEME) : NULL;
	char *host = parsed != NULL ? fetch_part(parsed, CURLUPART_HOST) : NULL;
	char *user = parsed != NULL ? fetch_part(parsed, CURLUPART_USER) : NULL;
	bool clear = scheme != NULL && host != NULL && strcmp(scheme, "http") == 0 &&
		     (secret || user != NULL) && (tls == NULL || !tls->insecure);

	if (clear && host[0] == '[')
		host[strlen(host) - 1] = '\0';
	clear = clear && !tls_host_is_local(host[0] == '[' ? host + 1 : host);
	curl_free(user);
	curl_free(host);
	curl_free(scheme);
	curl_url_cleanup(parsed);
	return clear ? TLS_REPORT_CLEAR("https://") : NULL;
}

bool fetch_place(const char *text, char *place, size_t size)
{
	CURLU *url = fetch_parse(text);
	char *host = url != NULL ? fetch_part(url, CURLUPART_HOST) : NULL;
	char *port = url != NULL ? fetch_part(url, CURLUPART_PORT) : NULL;
	bool good = host != NULL && port != NULL;

	if (good)
		snprintf(place, size, "%.253s:%s", host, port);
	curl_free(port);
	curl_free(host);
	curl_url_cleanup(url);
	return good;
}

bool fetch_is_shallow(const struct fetch_answer *answer, int depth)
{
	int open = 0;
	bool text = false;

	for (size_t i = 0; i < answer->size; i++) {
		char c = answer->body[i];

		if (text && c == '\\')
			i++;
		else if (c == '"')
			text = !text;
		else if (!text && (c == '[' || c == '{') && ++open > depth)
			return false;
		else if (!text && (c == ']' || c == '}'))
			open--;
	}
	return true;
}
