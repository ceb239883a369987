/* SPDX-License-Identifier: Apache-2.0 */
/* Connects to `address` (IPv4:port) and reads until the server closes; obeys skymon_ms_left unless
 * `stubborn`. */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <skymon/plugin.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct dials {
	const char *address;
	bool stubborn;
};

static const struct skymon_option options[] = {
	SKYMON_OPT(struct dials, address, NULL, "where to", .flags = SKYMON_TARGET),
	SKYMON_OPT(struct dials, stubborn, "false", "ignore the deadline"),
	{0}};

static enum skymon_status look(struct skymon *sm, const struct dials *dials, int fd)
{
	struct sockaddr_in to = {.sin_family = AF_INET};
	char host[64] = "";
	const char *colon = strrchr(dials->address, ':');
	memcpy(host, dials->address, (size_t)(colon - dials->address));
	inet_pton(AF_INET, host, &to.sin_addr);
	to.sin_port = htons((uint16_t)atoi(colon + 1));
	skymon_step(sm, "connecting");
	if (connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0) {
		skymon_reason(sm, SKYMON_REFUSED);
		return skymon_unhealthy(sm, "%s", strerror(errno));
	}
	skymon_step(sm, "reading");
	struct pollfd readable = {.fd = fd, .events = POLLIN};
	int ms = dials->stubborn ? -1 : (int)skymon_ms_left(sm);
	if (poll(&readable, 1, ms) == 0) {
		skymon_reason(sm, SKYMON_TIMEOUT);
		return skymon_unhealthy(sm, "the server keeps silent");
	}
	char byte;
	return skymon_verdict(sm, read(fd, &byte, 1) == 0, "the server closed");
}

static enum skymon_status check(struct skymon *sm, void *state)
{
	const struct dials *dials = state;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	enum skymon_status status = look(sm, dials, fd);
	close(fd);
	return status;
}

SKYMON_PLUGIN(t_dials, "1.0", "Connects", .state_size = sizeof(struct dials), .options = options,
	      .check = check);
