/* SPDX-License-Identifier: Apache-2.0 */
/* net_wait: waits for descriptors until the check's deadline. Called by the other files of net and by checks
 * whose client library has sockets of its own, on the check's thread. Pure, but for the clock and poll(2). */
#include <skymon/net.h>

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <time.h>

double skymon_net_clock(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

bool skymon_net_wait(struct skymon *sm, int fd, short events, int64_t margin_ms)
{
	struct pollfd on = {.fd = fd, .events = events};
	for (;;) {
		int64_t left = skymon_ms_left(sm) - margin_ms;
		if (left <= 0)
			return false;
		int ready = poll(&on, 1, left > INT_MAX ? INT_MAX : (int)left);
		if (ready > 0 || (ready < 0 && errno != EINTR))
			return true; /* the next call on it returns the error */
	}
}
