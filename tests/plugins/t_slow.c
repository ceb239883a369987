/* SPDX-License-Identifier: Apache-2.0 */
/* Takes its time. */
#include <skymon/plugin.h>
#include <time.h>

struct slow {
	int64_t ms;
};

static const struct skymon_option options[] = {
	SKYMON_OPT(struct slow, ms, "2000", "how long a check takes, in ms", .min = 0, .max = 600000), {0}};

static enum skymon_status check(struct skymon *sm, void *state)
{
	const struct slow *slow = state;
	struct timespec time = {.tv_sec = slow->ms / 1000, .tv_nsec = slow->ms % 1000 * 1000000};
	skymon_step(sm, "sleeping");
	nanosleep(&time, NULL);
	return skymon_healthy(sm, "slept for %lld ms", (long long)slow->ms);
}

SKYMON_PLUGIN(t_slow, "1.0", "Sleeps", .state_size = sizeof(struct slow), .options = options, .check = check);
