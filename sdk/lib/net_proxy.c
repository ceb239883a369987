/* SPDX-License-Identifier: Apache-2.0 */
/* net_proxy: has an HTTP proxy connect to the server (CONNECT, RFC 9110 9.3.6). Called by skymon_net_open, on
 * the check's thread. Owns nothing. */
#include <errno.h>
#include <openssl/evp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "net_private.h"

bool skymon_net_no_proxy(const char *proxy)
{
	return proxy == NULL || proxy[0] == '\0' || strcmp(proxy, "none") == 0;
}

const char *skymon_net_proxy_fault(const char *proxy)
{
	if (skymon_net_no_proxy(proxy))
		return NULL;
	struct skymon_net_url url;
	const char *why;
	if (!skymon_net_url_parse(proxy, &url, &why))
		return why;
	if (strcmp(url.scheme, "http") != 0)
		why = "must be http://host:port (it is asked to CONNECT), or none";
	skymon_net_url_free(&url);
	return why;
}

bool skymon_net_accepts_proxy(const char *proxy, struct skymon_fault *fault)
{
	const char *why = skymon_net_proxy_fault(proxy);
	if (why != NULL)
		skymon_fault_set(fault, SKYMON_UNKNOWN, SKYMON_OTHER, "proxy %s", why);
	return why == NULL;
}

/* Writes user:password in base64; "" if the URL has no user info. */
static bool authorization(const struct skymon_net_url *proxy, char *out, size_t size)
{
	out[0] = '\0';
	if (proxy->user[0] == '\0' && !proxy->has_password)
		return true;
	char word[512];
	int used = snprintf(word, sizeof(word), "%s:%s", proxy->user, proxy->password);
	if ((size_t)used < sizeof(word) && (size_t)used * 4 / 3 + 5 < size)
		EVP_EncodeBlock((unsigned char *)out, (const unsigned char *)word, used);
	explicit_bzero(word, sizeof(word));
	return out[0] != '\0';
}

static bool send_all(struct skymon *sm, int fd, const char *text, size_t size)
{
	while (size > 0) {
		ssize_t sent = send(fd, text, size, MSG_NOSIGNAL);
		if (sent > 0) {
			text += sent;
			size -= (size_t)sent;
		} else if (errno != EAGAIN && errno != EINTR) {
			return false;
		} else if (!skymon_net_wait(sm, fd, POLLOUT, 0)) {
			errno = ETIMEDOUT;
			return false;
		}
	}
	return true;
}

/* Reads the head of the answer byte by byte: what follows belongs to the server's protocol. Returns false
 * with errno, EBADMSG if the answer is not HTTP. */
static bool read_head(struct skymon *sm, int fd, char head[SKYMON_NET_PROXY_HEAD_MAX + 1])
{
	size_t used = 0;
	while (used < SKYMON_NET_PROXY_HEAD_MAX) {
		ssize_t got = recv(fd, head + used, 1, 0);
		if (got == 1) {
			head[++used] = '\0';
			if (used > 3 && memcmp(head + used - 4, "\r\n\r\n", 4) == 0)
				return true;
			if (used == 5 && memcmp(head, "HTTP/", 5) != 0)
				break;
		} else if (got == 0) {
			errno = ECONNRESET;
			return false;
		} else if (errno != EAGAIN && errno != EINTR) {
			return false;
		} else if (!skymon_net_wait(sm, fd, POLLIN, 0)) {
			errno = ETIMEDOUT;
			return false;
		}
	}
	errno = EBADMSG;
	return false;
}

bool skymon_net_proxy_answer(const char *head, const char *place, struct skymon_fault *fault)
{
	const char *at = strchr(head, ' ');
	long code = at != NULL ? strtol(at, NULL, 10) : 0;
	if (code >= 200 && code < 300)
		return true;
	if (code < 100 || code > 599)
		skymon_fault_set(fault, SKYMON_UNHEALTHY, SKYMON_PROTOCOL,
				 "proxy %s: what answers there is not an HTTP proxy", place);
	else if (code == 407)
		skymon_fault_set(fault, SKYMON_UNHEALTHY, SKYMON_AUTH_FAILED,
				 "proxy %s: asks for a login, or refuses ours (HTTP 407)", place);
	else
		skymon_fault_set(fault, SKYMON_UNHEALTHY, SKYMON_UNREACHABLE,
				 "proxy %s: refuses the connection to the server with HTTP %ld", place, code);
	return false;
}

size_t skymon_net_proxy_request(const struct skymon_net_target *to, const struct skymon_net_url *proxy,
				char *request, size_t size, struct skymon_fault *fault)
{
	char target[300], word[700];
	skymon_net_place(to->host, to->port, target, sizeof(target));
	bool fits = authorization(proxy, word, sizeof(word));
	int used = snprintf(request, size, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n%s%s%s\r\n", target, target,
			    word[0] != '\0' ? "Proxy-Authorization: Basic " : "", word,
			    word[0] != '\0' ? "\r\n" : "");
	explicit_bzero(word, sizeof(word));
	if (fits && (size_t)used < size)
		return (size_t)used;
	char place[300];
	skymon_net_place(proxy->host, proxy->port, place, sizeof(place));
	skymon_fault_set(fault, SKYMON_UNKNOWN, SKYMON_OTHER, "proxy %s: its user info is too long", place);
	return 0;
}

bool skymon_net_through(struct skymon *sm, int fd, const struct skymon_net_target *to,
			const struct skymon_net_url *proxy, struct skymon_fault *fault)
{
	char place[300], ask[2048];
	skymon_net_place(proxy->host, proxy->port, place, sizeof(place));
	size_t size = skymon_net_proxy_request(to, proxy, ask, sizeof(ask), fault);
	if (size == 0)
		return false;
	skymon_step(sm, "asking the proxy to connect");
	char head[SKYMON_NET_PROXY_HEAD_MAX + 1];
	bool done = send_all(sm, fd, ask, size) && read_head(sm, fd, head);
	explicit_bzero(ask, sizeof(ask));
	if (done)
		return skymon_net_proxy_answer(head, place, fault);
	if (errno == ETIMEDOUT)
		skymon_fault_set(fault, SKYMON_UNHEALTHY, SKYMON_TIMEOUT,
				 "proxy %s: accepted the connection and did not connect it further in time",
				 place);
	else if (errno == EBADMSG)
		skymon_fault_set(fault, SKYMON_UNHEALTHY, SKYMON_PROTOCOL,
				 "proxy %s: what answers there is not an HTTP proxy", place);
	else
		skymon_fault_set(fault, SKYMON_UNHEALTHY, SKYMON_PROTOCOL,
				 "proxy %s: closed the connection before it answered", place);
	return false;
}
