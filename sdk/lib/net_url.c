/* SPDX-License-Identifier: Apache-2.0 */
/* net_url: splits URLs. Its error texts never quote the URL, whose user info is a secret. Called by checks
 * in `validate` and `start` and by skymon_net_open, on any thread. Pure. */
#include <arpa/inet.h>
#include <ctype.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <skymon/net.h>

bool skymon_net_url_is_v6(const char *host)
{
	return strchr(host, ':') != NULL;
}

void skymon_net_place(const char *host, uint16_t port, char *place, size_t size)
{
	if (host[0] == '/')
		snprintf(place, size, "%.255s", host);
	else
		snprintf(place, size, skymon_net_url_is_v6(host) ? "[%.255s]:%u" : "%.255s:%u", host, port);
}

static int hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)tolower((unsigned char)c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Decodes %XX in place. */
static bool decode(char *text)
{
	char *to = text;
	for (const char *at = text; *at != '\0'; at++) {
		if (*at != '%') {
			*to++ = *at;
			continue;
		}
		if (hex(at[1]) < 0 || hex(at[2]) < 0 || (at[1] == '0' && at[2] == '0'))
			return false;
		*to++ = (char)(hex(at[1]) * 16 + hex(at[2]));
		at += 2;
	}
	*to = '\0';
	return true;
}

static bool is_host(const char *host)
{
	size_t size = strlen(host);
	for (const unsigned char *at = (const unsigned char *)host; *at != '\0'; at++)
		if (*at <= ' ' || *at == 0x7f || strchr("/\\@[]<>\"%", *at) != NULL)
			return false;
	return size > 0 && size <= 253;
}

static bool read_port(const char *text, uint16_t *port)
{
	unsigned long value = strtoul(text, NULL, 10);
	if (strspn(text, "0123456789") != strlen(text) || strlen(text) > 5 || value == 0 || value > 65535)
		return false;
	*port = (uint16_t)value;
	return true;
}

/* Splits host, host:port or [address]:port in place. */
static const char *read_place(char *text, struct skymon_net_url *url)
{
	url->host = text;
	char *colon;
	struct in6_addr address;
	if (text[0] == '[') {
		url->host = text + 1;
		char *end = strchr(text, ']');
		if (end == NULL || (end[1] != '\0' && end[1] != ':'))
			return "has an address in brackets that does not end";
		colon = end[1] == ':' ? end + 1 : NULL;
		*end = '\0';
		url->is_v6 = inet_pton(AF_INET6, url->host, &address) == 1;
		if (!url->is_v6)
			return "has something else than an IPv6 address in brackets";
	} else {
		colon = strchr(text, ':');
		if (colon != NULL && strchr(colon + 1, ':') != NULL)
			return "has more than one colon behind its host; an IPv6 address stands in brackets";
	}
	if (colon != NULL) {
		*colon = '\0';
		if (!read_port(colon + 1, &url->port))
			return "has a port that is not a number from 1 to 65535; in a user or password, "
			       "characters "
			       "like : / @ # % are written %3A %2F %40 %23 %25";
	}
	return is_host(url->host) || url->is_v6 ? NULL : "has no host that can be looked up";
}

static const char *read_user(char *text, struct skymon_net_url *url)
{
	char *colon = strchr(text, ':');
	if (colon != NULL) {
		*colon = '\0';
		url->password = colon + 1;
		url->has_password = true;
	}
	url->user = text;
	if (!decode(text) || (colon != NULL && !decode(colon + 1)))
		return "has a % in its user or password that is not %XX; a % itself is written %25";
	return NULL;
}

static const char *take_apart(char *text, struct skymon_net_url *url)
{
	char *authority = strstr(text, "://");
	const char *why = NULL;
	url->user = url->password = url->host = url->path = url->query = "";
	if (authority == NULL || authority == text)
		return "is not a URL: it has no ://";
	*authority = '\0';
	authority += 3;
	url->scheme = text;
	char *at;
	for (at = text; *at != '\0'; at++)
		*at = (char)tolower((unsigned char)*at);
	char *end = strpbrk(authority, "/?#");
	if (end != NULL) {
		/* The copy has one spare byte, so that the path keeps its first. */
		memmove(end + 1, end, strlen(end) + 1);
		*end++ = '\0';
		end[strcspn(end, "#")] = '\0';
		url->path = end[0] == '?' ? "" : end;
		end = strchr(end, '?');
		if (end != NULL) {
			*end = '\0';
			url->query = end + 1;
		}
	}
	at = strrchr(authority, '@');
	if (at != NULL) {
		*at = '\0';
		why = read_user(authority, url);
		authority = at + 1;
	}
	return why != NULL ? why : read_place(authority, url);
}

bool skymon_net_url_parse(const char *text, struct skymon_net_url *url, const char **why)
{
	size_t size = strlen(text) + 2;
	*url = (struct skymon_net_url){.memory = calloc(1, size), .size = size};
	if (url->memory == NULL) {
		*why = "cannot be read: out of memory";
		return false;
	}
	memcpy(url->memory, text, size - 2);
	*why = take_apart(url->memory, url);
	if (*why != NULL)
		skymon_net_url_free(url);
	return *why == NULL;
}

void skymon_net_url_free(struct skymon_net_url *url)
{
	if (url->memory != NULL)
		explicit_bzero(url->memory, url->size);
	free(url->memory);
	*url = (struct skymon_net_url){.memory = NULL};
}
