/* SPDX-License-Identifier: Apache-2.0 */
/* http_passed: listening sockets that systemd made and passes (sd_listen_fds(3)). They outlive the daemon, so
 * that connections wait in them during a restart instead of being refused. http.c calls it at start, on the
 * main thread, before it opens a socket itself. Owns those that no listener has taken. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "config/config.h"
#include "http_private.h"

#define FIRST_FD 3 /* by the protocol */
#define PASSED_MAX 64

struct passed {
	struct passed_socket {
		int fd; /* -1 when a listener has taken it */
		char *name;
	} sockets[PASSED_MAX];
	size_t count;
};

static bool is_listening(int fd)
{
	int type = 0, accepts = 0;
	socklen_t size = sizeof(int);
	return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_STREAM &&
	       getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &accepts, &size) == 0 && accepts != 0;
}

struct passed *passed_new(void)
{
	struct passed *passed = x_alloc(sizeof(*passed));
	const char *pid = config_environment("LISTEN_PID"), *fds = config_environment("LISTEN_FDS"),
		   *names = config_environment("LISTEN_FDNAMES");
	if (pid == NULL || fds == NULL || strtol(pid, NULL, 10) != getpid())
		return passed; /* meant for another process, or for none */
	long count = strtol(fds, NULL, 10);
	for (long i = 0; i < count && i < PASSED_MAX; i++) {
		int fd = FIRST_FD + (int)i;
		size_t length = names != NULL ? strcspn(names, ":") : 0;
		char *name = x_printf("%.*s", (int)length, names != NULL ? names : "");
		if (names != NULL)
			names += length + (names[length] == ':');
		fcntl(fd, F_SETFD, FD_CLOEXEC);
		fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
		if (!is_listening(fd))
			log_warn(
				"descriptor %d, which systemd passes as %s, is not a listening stream socket",
				fd, name);
		passed->sockets[passed->count++] = (struct passed_socket){fd, name};
	}
	return passed;
}

/* ---- Matching ---- */

static bool is_at(int fd, const struct settings_listen *at)
{
	union {
		struct sockaddr_storage any;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
		struct sockaddr_un un;
	} bound = {0};
	socklen_t size = sizeof(bound);
	unsigned char host[sizeof(struct in6_addr)];
	if (getsockname(fd, (struct sockaddr *)&bound, &size) != 0)
		return false;
	if (bound.any.ss_family == AF_UNIX)
		return at->unix_path != NULL && strcmp(bound.un.sun_path, at->unix_path) == 0;
	bool six = bound.any.ss_family == AF_INET6;
	if (at->unix_path != NULL || at->port == 0 ||
	    ntohs(six ? bound.in6.sin6_port : bound.in.sin_port) != at->port)
		return false;
	if (strcmp(at->host, "*") == 0)
		return six ? IN6_IS_ADDR_UNSPECIFIED(&bound.in6.sin6_addr)
			   : bound.in.sin_addr.s_addr == INADDR_ANY;
	return inet_pton(six ? AF_INET6 : AF_INET, at->host, host) == 1 &&
	       memcmp(host, six ? (void *)&bound.in6.sin6_addr : (void *)&bound.in.sin_addr,
		      six ? sizeof(bound.in6.sin6_addr) : sizeof(bound.in.sin_addr)) == 0;
}

int passed_take(struct passed *passed, const struct settings_listen *at)
{
	for (size_t i = 0; i < passed->count; i++) {
		struct passed_socket *socket = &passed->sockets[i];
		int fd = socket->fd;
		if (fd < 0 || !is_listening(fd) ||
		    !(at->passed != NULL ? strcmp(at->passed, socket->name) == 0 : is_at(fd, at)))
			continue;
		socket->fd = -1;
		return fd;
	}
	return -1;
}

bool passed_lacks(const struct passed *passed, const struct settings_listen *at, struct err *err)
{
	struct buf names = {0};
	for (size_t i = 0; i < passed->count; i++)
		buf_printf(&names, "%s%s", i > 0 ? ", " : "it passes ", passed->sockets[i].name);
	(void)err_set(err, "cannot listen on %s: systemd passes no such socket (%s)", at->entry.address,
		      passed->count > 0 ? names.data : "it passes none; is the socket unit started?");
	buf_free(&names);
	return false;
}

void passed_warn(const struct passed *passed)
{
	for (size_t i = 0; i < passed->count; i++)
		if (passed->sockets[i].fd >= 0)
			log_warn(
				"systemd passes the socket %s, which no entry of `listen` names: its clients "
				"get no answer",
				passed->sockets[i].name);
}

void passed_free(struct passed *passed)
{
	for (size_t i = 0; i < passed->count; i++) {
		if (passed->sockets[i].fd >= 0)
			close(passed->sockets[i].fd);
		free(passed->sockets[i].name);
	}
	free(passed);
}
