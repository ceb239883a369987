/* SPDX-License-Identifier: Apache-2.0 */
/* tool: what the files of `skymon` share. Exit codes as Nagios has them: 0 healthy, 1 degraded, 2 unhealthy,
 * 3 unknown (also if skymond could not be reached, and for bad usage). Included by no others. */
#ifndef TOOL_H
#define TOOL_H

#include "supervisor/pool.h"

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
int tool_reload(int argc, char **argv);
int tool_silence(int argc, char **argv);
int tool_plugins(int argc, char **argv);

/* ---- A request to a running skymond ---- */

struct tool_ask {
	const char *url, *token_file, *ca_file, *cert, *key; /* key: NULL if it is in cert's file */
	const char *fail_on;                                 /* a status, or NULL */
	bool json;                                           /* print the answer as it is */
	bool answered;                                       /* with what was asked for */
	bool post;                                           /* POST without a body, which may take longer */
	const char *method, *sent;                           /* another method than GET, and JSON; or NULL */
	struct buf answer;
	long code;
};
/* Takes the options; the words begin at optind. False after an error was printed. */
bool tool_ask_options(struct tool_ask *ask, int argc, char **argv) MUST_CHECK;
/* Rows of a table for getopt_long, for a command with options of its own, and what each sets. Returns false for
 * another option. */
#define TOOL_ASK_ROWS                                                                                        \
	{"url", required_argument, NULL, 'u'}, {"token-file", required_argument, NULL, 't'},                 \
		{"ca-file", required_argument, NULL, 'a'}, {"cert", required_argument, NULL, 'c'},           \
	{                                                                                                    \
		"key", required_argument, NULL, 'k'                                                          \
	}
bool tool_ask_option(struct tool_ask *ask, int option);
/* Sends the request. False after an error was printed. */
bool tool_ask(struct tool_ask *ask, const char *path) MUST_CHECK;
/* Prints that the answer was another than the one that was needed. detail: of its problem, or "". */
void tool_ask_fail(const struct tool_ask *ask, const char *detail);

/* Runs the program of a word that is not the tool's own, or prints that there is none. argv begins with the
 * word. */
int tool_word(char **argv);
void tool_words_print(void); /* for --help: the words that there are programs for */

/* ---- skymon run ---- */

struct tool_arguments {
	const char *config; /* -c; NULL without: then the words are the options of the plugin `name` */
	const char *name;
	char *const *words; /* OPTION=VALUE… */
	size_t word_count;
};

/* Returns a configuration with one component, of words of the form a.b=VALUE. NULL with err. */
char *tool_yaml(const char *plugin, char *const *words, size_t count, struct err *err) MUST_CHECK;

/* The component to run, and those that may keep its secrets. */
struct tool_config {
	struct settings *settings;
	const struct settings_section **sections; /* the component's first */
	char **plugins;                           /* of each section */
	size_t count;
	struct component_spec *
		*specs; /* of the component first, then of the components that keep its secrets */
	size_t spec_count;
};
/* NULL after errors were printed. */
struct tool_config *tool_config_new(const struct tool_arguments *arguments) MUST_CHECK;
/* Binds the options when the pool has opened the plugins. False after errors were printed. */
bool tool_config_bind(struct tool_config *config, const struct pool *pool) MUST_CHECK;
void tool_config_free(struct tool_config *config);

enum tool_format { TOOL_JSON, TOOL_TEXT, TOOL_METRICS, TOOL_NAGIOS };
bool tool_format_parse(const char *word, enum tool_format *format) MUST_CHECK;
void tool_show(enum tool_format format, const struct component_spec *spec, const struct plugin_info *info,
	       const struct skymon_result *result);
/* Reports what the worker holds more of in each quarter of so many runs. Returns whether it leaks. held: after
 * the first run, and at the end of each quarter. */
#define TOOL_QUARTERS 4
bool tool_leaks(const struct message_observed held[TOOL_QUARTERS + 1], long runs);

#endif
