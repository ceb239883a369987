/* SPDX-License-Identifier: Apache-2.0 */
/* Many series with live values and three labels each. */
#include <skymon/plugin.h>
#include <stdio.h>

struct series {
	int64_t count;
	int64_t run;
};

static const struct skymon_option options[] = {
	SKYMON_OPT(struct series, count, "1000", "series that each check reports", .min = 0, .max = 1000000),
	{0}};

static enum skymon_status check(struct skymon *sm, void *state)
{
	struct series *series = state;
	series->run++;
	char node[24], shard[24];
	for (int64_t i = 0; i < series->count; i++) {
		snprintf(node, sizeof(node), "node-%lld", (long long)(i / 10));
		snprintf(shard, sizeof(shard), "%lld", (long long)(i % 10));
		struct skymon_label labels[] = {
			{"node", node}, {"shard", shard}, {"zone", i % 2 ? "eu" : "us"}};
		skymon_metric(sm, SKYMON_GAUGE, "t_series_value", "A value that changes with each check",
			      (double)(i + series->run) / 8, labels, 3);
	}
	return skymon_healthy(sm, "%lld series", (long long)series->count);
}

SKYMON_PLUGIN(t_series, "1.0", "Reports many series", .state_size = sizeof(struct series), .options = options,
	      .check = check);
