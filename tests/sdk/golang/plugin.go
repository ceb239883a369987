// SPDX-License-Identifier: Apache-2.0

// The descriptor, in a file without an exported function: cgo copies the C of the others into two objects.
package main

/*
#include <skymon/plugin.h>
struct lines { const char *path; };
extern enum skymon_status check(struct skymon *, void *);
static const struct skymon_option options[] = {
	SKYMON_OPT(struct lines, path, NULL, "file whose lines are counted", .flags = SKYMON_TARGET), {0}};
static const struct skymon_number numbers[] = {{"lines", "", "lines of the file"}, {0}};
SKYMON_PLUGIN(lines, "1", "Lines of a file", .state_size = sizeof(struct lines), .options = options,
	      .numbers = numbers, .check = check);
*/
import "C"
