/* SPDX-License-Identifier: Apache-2.0 */
/* http_url: the parts of a URL, by libcurl's own parser, so that two readings can never differ. Called by
 * checks in `validate` and `start` and by skymon_http_do, on any thread. Pure. */
#include "http_private.h"

#include <skymon/net.h>

#include <stdio.h>
#include <string.h>

char *skymon_http_part(CURLU *url, CURLUPart part)
{
	char *text = NULL;
	return curl_url_get(url, part, &text, part == CURLUPART_PORT ? CURLU_DEFAULT_PORT : 0) == CURLUE_OK
		       ? text
		       : NULL;
}

CURLU *skymon_http_parse(const char *text)
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
	CURLU *url = strstr(text, "://") != NULL ? skymon_http_parse(text) : NULL;
	char *scheme = url != NULL ? skymon_http_part(url, CURLUPART_SCHEME) : NULL;
	char *host = url != NULL ? skymon_http_part(url, CURLUPART_HOST) : NULL;
	bool good = is_one_of(scheme, a, b, c) && host != NULL && host[0] != '\0';
	curl_free(host);
	curl_free(scheme);
	curl_url_cleanup(url);
	return good;
}

const char *skymon_http_given_proxy(const char *proxy)
{
	return proxy == NULL || proxy[0] == '\0' || strcmp(proxy, "none") == 0 ? NULL : proxy;
}

const char *skymon_http_url_fault(const char *url)
{
	return url != NULL && is_url(url, "http", "https", "https")
		       ? NULL
		       : "must be a URL that begins with http:// or https:// and names a host";
}

const char *skymon_http_proxy_fault(const char *proxy)
{
	return skymon_http_given_proxy(proxy) == NULL || is_url(proxy, "http", "https", "socks5h")
		       ? NULL
		       : "must be none, or a URL that begins with http://, https:// or socks5h:// and names "
			 "a "
			 "host";
}

bool skymon_http_accepts(const char *name, const char *url, const char *proxy, struct skymon_fault *fault)
{
	const char *why = skymon_http_url_fault(url);
	if (why == NULL) {
		name = "proxy";
		why = skymon_http_proxy_fault(proxy);
	}
	if (why != NULL)
		skymon_fault_set(fault, SKYMON_UNKNOWN, SKYMON_OTHER, "%s %s", name, why);
	return why == NULL;
}

const char *skymon_http_secret_fault(const char *url, const struct skymon_tls *tls, bool secret)
{
	CURLU *parsed = skymon_http_parse(url);
	char *scheme = parsed != NULL ? skymon_http_part(parsed, CURLUPART_SCHEME) : NULL;
	char *host = parsed != NULL ? skymon_http_part(parsed, CURLUPART_HOST) : NULL;
	char *user = parsed != NULL ? skymon_http_part(parsed, CURLUPART_USER) : NULL;
	bool clear = scheme != NULL && host != NULL && strcmp(scheme, "http") == 0 &&
		     (secret || user != NULL) && (tls == NULL || !tls->insecure);
	if (clear && host[0] == '[')
		host[strlen(host) - 1] = '\0';
	clear = clear && !skymon_net_host_is_local(host[0] == '[' ? host + 1 : host);
	curl_free(user);
	curl_free(host);
	curl_free(scheme);
	curl_url_cleanup(parsed);
	return clear ? SKYMON_TLS_CLEAR("https://") : NULL;
}

bool skymon_http_place(const char *text, char *place, size_t size)
{
	CURLU *url = skymon_http_parse(text);
	char *host = url != NULL ? skymon_http_part(url, CURLUPART_HOST) : NULL;
	char *port = url != NULL ? skymon_http_part(url, CURLUPART_PORT) : NULL;
	bool good = host != NULL && port != NULL;
	if (good)
		snprintf(place, size, "%.253s:%s", host, port);
	curl_free(port);
	curl_free(host);
	curl_url_cleanup(url);
	return good;
}
