/* SPDX-License-Identifier: Apache-2.0 */
/* process_crash: a worker's report of its own death, in words. */
#ifndef PROCESS_CRASH_H
#define PROCESS_CRASH_H

#include "wire/message.h"

#define PROCESS_CRASH_TEXT_MAX 200

void process_crash_text(const struct message_crash *crash, int64_t memory_limit,
			char text[static PROCESS_CRASH_TEXT_MAX]);

#endif
