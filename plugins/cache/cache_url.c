/* SPDX-License-Identifier: Apache-2.0 */
/* cache_url: parses the option `url`: address, database, TLS. Called when the options are validated and when
 * the component starts. Owns nothing. */
#include <stdio.h>
#include <string.h>

#include "cache.h"

static bool is_database(const char *text)
{
	return text[0] != '\0' && strlen(text) < 6 && strspn(text, "0123456789") == strlen(text);
}

static const char *read_unix(const char *url, struct cache_link *link)
{
	const char *path = url + 5;
	if (strncmp(path, "//", 2) == 0)
		path += 2;
	const char *query = strchr(path, '?');
	if (path[0] != '/')
		return "must have the whole path of the socket, as in unix:/run/redis/redis.sock; user "
		       "and "
		       "password have options of their own";
	if (query != NULL && (strncmp(query, "?db=", 4) != 0 || !is_database(query + 4)))
		return "has something other than ?db=NUMBER after its path";
	if ((query != NULL ? (size_t)(query - path) : strlen(path)) >= 108)
		return "has a path that is too long for a Unix socket";
	snprintf(link->path, sizeof(link->path), "%.*s", (int)strcspn(path, "?"), path);
	if (query != NULL)
		snprintf(link->database, sizeof(link->database), "%.7s", query + 4);
	link->to.host = link->path;
	return NULL;
}

static const char *read_network(struct cache_link *link)
{
	const struct skymon_net_url *url = &link->parsed;
	const char *path = url->path;
	bool secure = strcmp(url->scheme, "rediss") == 0 || strcmp(url->scheme, "valkeys") == 0;
	if (!secure && strcmp(url->scheme, "redis") != 0 && strcmp(url->scheme, "valkey") != 0)
		return "must begin with redis://, rediss://, valkey://, valkeys:// or unix:";
	if (url->query[0] != '\0')
		return "has an unknown ?…; settings have options of their own";
	if (path[0] == '/' && path[1] != '\0') {
		if (!is_database(path + 1))
			return "has a path that is not the number of a database; in a user or password a / "
			       "is "
			       "written %2F";
		snprintf(link->database, sizeof(link->database), "%.7s", path + 1);
	}
	link->to.host = url->host;
	link->to.port = url->port != 0 ? url->port : 6379;
	link->to.secure = secure;
	return NULL;
}

/* `insecure` alone does not enable TLS: with redis:// it allows sending a password without TLS. */
static bool any_tls(const struct skymon_tls *tls)
{
	return tls->ca_file != NULL || tls->cert_file != NULL || tls->key_file != NULL ||
	       tls->server_name != NULL;
}

const char *cache_url_read(const struct cache *cache, struct cache_link *link)
{
	if (strncmp(cache->url, "unix:", 5) == 0) {
		if (any_tls(&cache->tls) || !skymon_net_no_proxy(cache->proxy))
			return "names a Unix socket, which takes neither tls nor proxy";
		return read_unix(cache->url, link);
	}
	const char *why;
	if (!skymon_net_url_parse(cache->url, &link->parsed, &why))
		return why;
	link->to.secure = false;
	why = read_network(link);
	link->to.secure = link->to.secure || any_tls(&cache->tls);
	return why;
}

const char *cache_url_fault(const struct cache *cache)
{
	struct cache_link link = {0};
	const char *why = cache_url_read(cache, &link);
	skymon_net_url_free(&link.parsed);
	return why;
}
