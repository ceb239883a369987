/* SPDX-License-Identifier: Apache-2.0 */
/* Prints a lot, to both outputs, with bytes that are no text, and logs a lot. */
#include <skymon/plugin.h>
#include <stdio.h>

static enum skymon_status check(struct skymon *sm, void *state)
{
	(void)state;
	for (int i = 0; i < 2000; i++) {
		fprintf(stdout, "line %d of standard output \x1b[31m\xff\n", i);
		fprintf(stderr, "line %d of standard error, which is a little longer than the other one\n",
			i);
		skymon_info(sm, "line %d of the log\nwith a second line", i);
	}
	fputs("a line that does not end", stdout);
	fflush(stdout);
	return skymon_healthy(sm, "printed 6000 lines");
}

SKYMON_PLUGIN(t_prints, "1.0", "Prints a lot", .check = check);
