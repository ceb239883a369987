/* SPDX-License-Identifier: Apache-2.0 */
/* reload_request: the requester binds an abstract Unix socket and sends SIGHUP with a number; the daemon sends
 * one datagram to the socket with the sender's pid and that number in its name. Called by main (requester) and
 * by daemon.c on the loop's thread. See reload_request.h. */
#include "reload_request.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define WAIT_MS 60000
/* A SIGHUP that another one overtakes is lost, as the kernel keeps one of a kind. */
#define REPEAT_MS 5000
#define REFUSED '-'
#define ACCEPTED '+'

static socklen_t name_socket(const struct reload_requester *requester, struct sockaddr_un *address)
{
	*address = (struct sockaddr_un){.sun_family = AF_UNIX};
	int size = snprintf(address->sun_path + 1, sizeof(address->sun_path) - 1, "skymond-reload-%d-%u",
			    (int)requester->pid, requester->value);
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)size);
}

/* ---- The requester ---- */

/* Receives the daemon's datagram. Returns false on any other one, as every local user can send one. */
static bool receive(int fd, pid_t daemon, char *text, size_t size)
{
	union {
		char bytes[CMSG_SPACE(sizeof(struct ucred))];
		struct cmsghdr align;
	} control;
	struct iovec part = {.iov_base = text, .iov_len = size - 1};
	struct msghdr message = {.msg_iov = &part,
				 .msg_iovlen = 1,
				 .msg_control = control.bytes,
				 .msg_controllen = sizeof(control.bytes)};
	struct ucred sender = {0};
	ssize_t got = recvmsg(fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	const struct cmsghdr *head = got > 0 ? CMSG_FIRSTHDR(&message) : NULL;
	if (head != NULL && head->cmsg_level == SOL_SOCKET && head->cmsg_type == SCM_CREDENTIALS)
		memcpy(&sender, CMSG_DATA(head), sizeof(sender));
	text[got > 0 ? got : 0] = '\0';
	return got > 0 && sender.pid == daemon;
}

static bool wait_for_outcome(int fd, pid_t daemon, uint32_t value, struct err *err)
{
	char text[sizeof(struct err) + 1];
	for (int waited_ms = 0; waited_ms < WAIT_MS; waited_ms += REPEAT_MS) {
		struct pollfd readable = {.fd = fd, .events = POLLIN};
		if (sigqueue(daemon, SIGHUP, (union sigval){.sival_int = (int)value}) != 0)
			return err_set(err, "cannot ask process %d to reload: %s", (int)daemon,
				       strerror(errno));
		while (poll(&readable, 1, REPEAT_MS) > 0)
			if (receive(fd, daemon, text, sizeof(text)))
				return text[0] == ACCEPTED || err_set(err, "%s", text + 1);
	}
	return err_set(err, "process %d did not report a reload within %d s", (int)daemon, WAIT_MS / 1000);
}

bool reload_request(const char *text, struct err *err)
{
	char *end;
	long pid = strtol(text, &end, 10);
	if (end == text || *end != '\0' || pid <= 1 || pid > INT32_MAX)
		return err_set(err, "--reload needs the process id of a running skymond, not `%.40s`", text);
	struct reload_requester requester = {.pid = getpid()};
	if (getrandom(&requester.value, sizeof(requester.value), 0) != sizeof(requester.value))
		return err_set(err, "no random bytes: %s", strerror(errno));
	struct sockaddr_un address;
	socklen_t size = name_socket(&requester, &address);
	int on = 1, fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool done = fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) == 0 &&
		    bind(fd, (struct sockaddr *)&address, size) == 0;
	done = done ? wait_for_outcome(fd, (pid_t)pid, requester.value, err)
		    : err_set(err, "cannot wait for the outcome: %s", strerror(errno));
	if (fd >= 0)
		close(fd);
	return done;
}

/* ---- The daemon ---- */

struct reload_requester reload_requester_of(const struct signalfd_siginfo *info)
{
	if (info->ssi_code != SI_QUEUE)
		return (struct reload_requester){0};
	return (struct reload_requester){.pid = (pid_t)info->ssi_pid, .value = (uint32_t)info->ssi_int};
}

void reload_answer(struct reload_requester *requester, const char *sentence)
{
	struct sockaddr_un address;
	char text[sizeof(struct err) + 1];
	if (requester->pid == 0)
		return;
	snprintf(text, sizeof(text), "%c%s", sentence == NULL ? ACCEPTED : REFUSED,
		 sentence == NULL ? "" : sentence);
	socklen_t size = name_socket(requester, &address);
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd >= 0) {
		/* a requester that has left needs no answer */
		(void)!sendto(fd, text, strlen(text), MSG_NOSIGNAL, (struct sockaddr *)&address, size);
		close(fd);
	}
	requester->pid = 0;
}
