/* SPDX-License-Identifier: Apache-2.0 */
/* http_socket: opens listening sockets: TCP over IPv4, IPv6 or both, and Unix. http_listener.c calls it at
 * start, on the main thread, and owns the socket. */
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "http_private.h"

#define BACKLOG 1024 /* connections that wait for accept() */

static bool fail_to_listen(int fd, const char *text, const char *what, struct err *err)
{
	int why = errno;
	if (fd >= 0)
		close(fd);
	return err_set(err, "cannot listen on %s: %s: %s%s", text, what, strerror(why),
		       why == EADDRINUSE ? "; another program listens there, or systemd for it" : "");
}

/* Removes a socket file that a dead program left behind, which refuses connections. Other files stay. */
static void remove_stale(const char *path, const struct sockaddr_un *address)
{
	struct stat file;
	if (lstat(path, &file) != 0 || !S_ISSOCK(file.st_mode))
		return;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	if (connect(fd, (const struct sockaddr *)address, sizeof(*address)) != 0 && errno == ECONNREFUSED)
		unlink(path);
	close(fd);
}

static bool open_unix(const struct settings_listen *listen_at, int *out, struct err *err)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	if (strlen(listen_at->unix_path) >= sizeof(address.sun_path))
		return err_set(err, "cannot listen on %s: the path is longer than %zu characters",
			       listen_at->entry.address, sizeof(address.sun_path) - 1);
	strcpy(address.sun_path, listen_at->unix_path);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return fail_to_listen(fd, listen_at->entry.address, "socket", err);
	remove_stale(listen_at->unix_path, &address);
	/* bind() makes the file with its mode. Until listen() it takes no connection, so that its owner may follow. */
	mode_t before = umask(0);
	umask(listen_at->mode >= 0 ? ~(mode_t)listen_at->mode & 0777 : before);
	bool bound = bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0;
	int why = errno;
	umask(before);
	errno = why;
	if (!bound)
		return fail_to_listen(fd, listen_at->entry.address, "bind", err);
	if (lchown(listen_at->unix_path, listen_at->owner, listen_at->group) != 0) {
		(void)fail_to_listen(fd, listen_at->entry.address, "owner and group", err);
		unlink(listen_at->unix_path);
		return false;
	}
	if (listen(fd, BACKLOG) != 0)
		return fail_to_listen(fd, listen_at->entry.address, "listen", err);
	*out = fd;
	return true;
}

void socket_log(int fd)
{
	union {
		struct sockaddr_storage any;
		struct sockaddr_un un;
	} bound = {0};
	socklen_t size = sizeof(bound);
	char host[INET6_ADDRSTRLEN + 32] = "?", port[8] = "?";
	bool known = getsockname(fd, (struct sockaddr *)&bound, &size) == 0;
	if (known && bound.any.ss_family == AF_UNIX) {
		log_line(LOG_LEVEL_INFO, (const char *[]){"unix", bound.un.sun_path, NULL}, "listening");
		return;
	}
	if (known)
		getnameinfo((struct sockaddr *)&bound, size, host, sizeof(host), port, sizeof(port),
			    NI_NUMERICHOST | NI_NUMERICSERV);
	log_line(LOG_LEVEL_INFO, (const char *[]){"address", host, "port", port, NULL}, "listening");
}

/* Fills address and returns its size. Returns 0 on error. */
static socklen_t find_address(const struct settings_listen *listen_at, const char *host,
			      struct sockaddr_storage *address, struct err *err)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
				 .ai_flags = AI_PASSIVE | AI_NUMERICHOST | AI_NUMERICSERV};
	struct addrinfo *found;
	char port[8];
	snprintf(port, sizeof(port), "%u", listen_at->port);
	int why = getaddrinfo(host, port, &hints, &found);
	if (why != 0) {
		err_set(err, "cannot listen on %s: %s; give a numeric address", listen_at->entry.address,
			gai_strerror(why));
		return 0;
	}
	socklen_t size = found->ai_addrlen;
	memcpy(address, found->ai_addr, size);
	freeaddrinfo(found);
	return size;
}

/* An IPv6 socket for `both` families accepts IPv4 too; any other leaves the port free for an IPv4 socket. */
static bool open_tcp(const struct settings_listen *listen_at, const char *host, bool both, int *out,
		     struct err *err)
{
	struct sockaddr_storage address;
	socklen_t size = find_address(listen_at, host, &address, err);
	if (size == 0)
		return false;
	int on = 1, only = !both,
	    fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return fail_to_listen(fd, listen_at->entry.address, "socket", err);
	if (address.ss_family == AF_INET6 &&
	    setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only, sizeof(only)) != 0)
		return fail_to_listen(fd, listen_at->entry.address, "IPV6_V6ONLY", err);
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0)
		return fail_to_listen(fd, listen_at->entry.address, "SO_REUSEADDR", err);
	if (bind(fd, (struct sockaddr *)&address, size) != 0)
		return fail_to_listen(fd, listen_at->entry.address, "bind", err);
	if (listen(fd, BACKLOG) != 0)
		return fail_to_listen(fd, listen_at->entry.address, "listen", err);
	*out = fd;
	return true;
}

/* Does this machine lack IPv6, or IPv6 sockets that accept IPv4 too? */
static bool lacks_dual_stack(void)
{
	struct sockaddr_in6 any = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_ANY_INIT};
	int off = 0, fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool none = fd < 0 || setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off)) != 0 ||
		    bind(fd, (struct sockaddr *)&any, sizeof(any)) != 0;
	if (fd >= 0)
		close(fd);
	return none;
}

bool socket_open(const struct settings_listen *listen_at, int *fd, struct err *err)
{
	if (listen_at->unix_path != NULL)
		return open_unix(listen_at, fd, err);
	if (strcmp(listen_at->host, "*") != 0)
		return open_tcp(listen_at, listen_at->host, false, fd, err);
	if (lacks_dual_stack())
		return open_tcp(listen_at, "0.0.0.0", false, fd, err);
	return open_tcp(listen_at, "::", true, fd, err);
}
