/* SPDX-License-Identifier: Apache-2.0 */
/* process_crash: puts a worker's report of its own death into words, for the log and the status. Called by process.c, on the
 * loop's thread; owns nothing. */
#include "process_crash.h"

#include <stdio.h>
#include <string.h>

void process_crash_text(const struct message_crash *crash, int64_t memory_limit,
			char text[static PROCESS_CRASH_TEXT_MAX])
{
	char step[100] = "";
	const char *name = sigabbrev_np(crash->number);
	if (crash->step[0] != '\0')
		snprintf(step, sizeof(step), " while %.80s", crash->step);
	switch (crash->cause) {
	case WIRE_CRASH_MEMORY:
		snprintf(text, PROCESS_CRASH_TEXT_MAX, "grew past the memory limit of %lld MiB",
			 (long long)(memory_limit >> 20));
		break;
	case WIRE_CRASH_FILES:
		snprintf(text, PROCESS_CRASH_TEXT_MAX, "had %.40s descriptors open and went on opening",
			 crash->step);
		break;
	case WIRE_CRASH_BLOCKED:
		snprintf(text, PROCESS_CRASH_TEXT_MAX, "blocked the loop of its worker for %u s%s",
			 crash->number, step);
		break;
	case WIRE_CRASH_EXIT:
		snprintf(text, PROCESS_CRASH_TEXT_MAX, "ended its process by exit(%d)%s", crash->number,
			 step);
		break;
	default:
		snprintf(text, PROCESS_CRASH_TEXT_MAX, "crashed with SIG%s%s", name != NULL ? name : "?",
			 step);
	}
}
