/* SPDX-License-Identifier: Apache-2.0 */
/* Reports numbers as a file has them: lines of a name and a value. Healthy as long as the file can be read.
 */
#include <errno.h>
#include <skymon/plugin.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct numbers {
	const char *path;
};

static const struct skymon_option options[] = {
	SKYMON_OPT(struct numbers, path, "", "the file", .flags = SKYMON_REQUIRED), {0}};

static const struct skymon_number declared[] = {{"value", "", "A plain number"},
						{"used", "ratio", "A share"},
						{"lag", "s", "A time"},
						{"size", "bytes", "A size"},
						{"active_connections", "", "Open connections"},
						{"total_requests", "", "Requests since the start"},
						{"error_rate_percent", "", "Share of requests that failed"},
						{"average_response_time_ms", "", "Mean time of a request"},
						{"memory_usage_mb", "", "Resident memory"},
						{"cpu_usage_percent", "", "CPU of one core"},
						{"database_connections", "", "Connections of a database"},
						{"cache_hit_rate_percent", "", "Hits of a cache"},
						{0}};

static enum skymon_status check(struct skymon *sm, void *state)
{
	const struct numbers *numbers = state;
	int count = 0;
	char name[64];
	double value;
	do {
		FILE *file = fopen(numbers->path, "re");
		if (file == NULL)
			return skymon_unhealthy(sm, "cannot read %s: %s", numbers->path, strerror(errno));
		for (; fscanf(file, "%63s %lf", name, &value) == 2; count++)
			skymon_number(sm, name, value);
		fclose(file);
	} while (count == 0 && skymon_ms_left(sm) > 0 && usleep(1000) == 0); /* as in t_file.c */
	return skymon_healthy(sm, "%d numbers", count);
}

SKYMON_PLUGIN(t_numbers, "1.0", "Numbers from a file", .state_size = sizeof(struct numbers),
	      .options = options, .numbers = declared, .check = check);
