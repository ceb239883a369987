/* SPDX-License-Identifier: Apache-2.0 */
/* notify: datagrams to the service manager. Called by daemon, on the loop's thread; owns the socket. See
 * notify.h. */
#include "notify.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

static int socket_fd = -1;
static struct sockaddr_un address;
static socklen_t address_size;

void notify_open(const char *socket_path)
{
	size_t length = socket_path != NULL ? strlen(socket_path) : 0;
	if (length < 2 || length >= sizeof(address.sun_path) || strchr("/@", socket_path[0]) == NULL)
		return;
	socket_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	address.sun_family = AF_UNIX;
	memcpy(address.sun_path, socket_path, length);
	if (socket_path[0] == '@')
		address.sun_path[0] = '\0';
	address_size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
}

static void send_line(const char *text)
{
	if (socket_fd >= 0)
		sendto(socket_fd, text, strlen(text), MSG_NOSIGNAL, (struct sockaddr *)&address,
		       address_size);
}

void notify_ready(void)
{
	send_line("READY=1");
}

void notify_reloading(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	char text[80];
	snprintf(text, sizeof(text), "RELOADING=1\nMONOTONIC_USEC=%lld",
		 (long long)now.tv_sec * 1000000 + now.tv_nsec / 1000);
	send_line(text);
}

void notify_stopping(void)
{
	send_line("STOPPING=1");
}

void notify_watchdog(void)
{
	send_line("WATCHDOG=1");
}
