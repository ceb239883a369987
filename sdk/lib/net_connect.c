/* SPDX-License-Identifier: Apache-2.0 */
/* net_connect: connects sockets to a name or to a path, and explains the failures. Called by skymon_net_open
 * and the proxy's part, on the check's thread. Owns nothing. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

#include "net_private.h"

/* ---- Faults ---- */

static const struct {
	int error;
	enum skymon_reason reason;
	const char *say;
} connect_errors[] = {
	{ECONNREFUSED, SKYMON_REFUSED, "connection refused"},
	{ENOENT, SKYMON_REFUSED, "no such socket: no server listens"},
	{ECONNRESET, SKYMON_PROTOCOL, "the server closed the connection before it answered"},
	{ETIMEDOUT, SKYMON_TIMEOUT, "no answer to the connection attempt in time"},
	{EACCES, SKYMON_UNREACHABLE, "this machine's firewall or rights forbid the connection"},
	{EPERM, SKYMON_UNREACHABLE, "this machine's firewall or rights forbid the connection"},
	{EHOSTUNREACH, SKYMON_UNREACHABLE, "no route to host"},
	{EHOSTDOWN, SKYMON_UNREACHABLE, "host is down"},
	{ENETUNREACH, SKYMON_UNREACHABLE, "network is unreachable"},
	{EADDRNOTAVAIL, SKYMON_UNREACHABLE, "this machine has no address that reaches it"},
	{EAFNOSUPPORT, SKYMON_UNREACHABLE, "this machine does not speak that kind of address"},
};
#define CONNECT_ERRORS (sizeof(connect_errors) / sizeof(connect_errors[0]))

void skymon_net_explain_connect(const char *role, const char *place, int error, struct skymon_fault *fault)
{
	size_t i = 0;
	while (i < CONNECT_ERRORS && connect_errors[i].error != error)
		i++;
	if (error == EMFILE || error == ENFILE || error == ENOMEM || error == ENOBUFS)
		skymon_fault_set(fault, SKYMON_UNKNOWN, SKYMON_RESOURCE,
				 "%s%s: this machine or process has no descriptor or memory left", role,
				 place);
	else if (i < CONNECT_ERRORS)
		skymon_fault_set(fault, SKYMON_UNHEALTHY, connect_errors[i].reason, "%s%s: %s", role, place,
				 connect_errors[i].say);
	else
		skymon_fault_set(fault, SKYMON_UNHEALTHY, SKYMON_UNREACHABLE, "%s%s: cannot be connected to",
				 role, place);
}

/* ---- Names and paths ---- */

int skymon_net_connect_unix(struct skymon *sm, const char *path, struct skymon_fault *fault)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	if (strlen(path) >= sizeof(address.sun_path)) {
		skymon_fault_set(fault, SKYMON_UNKNOWN, SKYMON_OTHER,
				 "%s: the path is too long for a Unix socket", path);
		return -1;
	}
	memcpy(address.sun_path, path, strlen(path) + 1);
	skymon_step(sm, "connecting");
	int error;
	int fd = skymon_net_race_one(sm, (struct sockaddr *)&address, sizeof(address), skymon_ms_left(sm),
				     &error);
	if (fd < 0)
		skymon_net_explain_connect("", path, error, fault);
	return fd;
}

int skymon_net_connect_name(struct skymon *sm, const char *role, const char *host, uint16_t port,
			    double *resolve_seconds, struct skymon_fault *fault)
{
	double began = skymon_net_clock();
	skymon_step(sm, "looking its name up");
	char addresses[SKYMON_NET_ADDRESSES_SIZE];
	if (!skymon_resolve(sm, host, addresses, sizeof(addresses))) {
		*fault = (struct skymon_fault){.status = SKYMON_UNHEALTHY, .reported = true};
		return -1;
	}
	*resolve_seconds = skymon_net_clock() - began;
	skymon_step(sm, "connecting");
	int error;
	int fd = skymon_net_race(sm, addresses, port, skymon_ms_left(sm), &error);
	char place[300];
	if (fd < 0) {
		skymon_net_place(host, port, place, sizeof(place));
		skymon_net_explain_connect(role, place, error, fault);
	}
	return fd;
}
