/* SPDX-License-Identifier: Apache-2.0 */
/* tool: what the files of `skymon` share. Exit codes as Nagios has them: 0 healthy, 1 degraded, 2 unhealthy,
 * 3 unknown (also if skymond could not be reached, and for bad usage). Included by no others. */
#ifndef TOOL_H
#define TOOL_H

#include "plugin/plugin.h"

#define TOOL_WORKER SKYMON_LIBEXECDIR "/skymon-worker"

enum tool_exit { TOOL_HEALTHY, TOOL_DEGRADED, TOOL_UNHEALTHY, TOOL_UNKNOWN };

/* Folders to look for plugins in: those given, then the installed one. */
struct tool_folders {
	const char **items; /* arguments of the command line */
	size_t count, room;
};
void tool_folders_add(struct tool_folders *folders, const char *folder);
/* Ends the list for a plugin given by name or by path, or for none (NULL). Returns its name. A path is split
 * in place, and its folder is the only one then. */
char *tool_folders_end(struct tool_folders *folders, char *word) MUST_CHECK;

int tool_exit_of(const char *status_word);
int tool_fail(const char *format, ...) PRINTF(1); /* prints on stderr; returns TOOL_UNKNOWN */
/* Bytes that could steer a terminal become spaces. */
void tool_print(const char *text);

int tool_run(int argc, char **argv);
int tool_status(int argc, char **argv);
int tool_plugins(int argc, char **argv);

/* Runs the program of a word that is not the tool's own, or prints that there is none. argv begins with the
 * word. */
int tool_word(char **argv);
void tool_words_print(void); /* for --help: the words that there are programs for */

/* `skymon run`: one YAML document from words of the form a.b=VALUE. NULL with err. */
char *tool_yaml(char *const *words, size_t count, struct err *err) MUST_CHECK;

#endif
