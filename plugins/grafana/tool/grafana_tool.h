/* SPDX-License-Identifier: Apache-2.0 */
/* grafana_tool: shared by the files of the program skymon-grafana. The program connects to a running skymond
 * only, and holds no key of Grafana. */
#ifndef GRAFANA_TOOL_H
#define GRAFANA_TOOL_H

#include <jansson.h>
#include <stdbool.h>

enum {
	TOOL_GOOD,
	TOOL_BAD,
	TOOL_TROUBLE
}; /* exit codes; only diff distinguishes its two kinds of failure, as diff(1) does */

/* Address and token of skymond. */
struct tool_place {
	const char *url;        /* http://127.0.0.1:8080 or unix:/path */
	const char *token_file; /* or NULL */
};

struct tool_answer {
	long code;
	json_t *body; /* an object, for json_decref by the caller */
};

/* Prints an error on stderr, in one line. Bytes that could control a terminal become spaces. */
void tool_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Sends a request to skymond. Returns false after an error message if no JSON was received. */
bool tool_ask(const struct tool_place *place, const char *method, const char *path, struct tool_answer *out);

/* ---- grafana_tool_show.c: prints an answer on stdout and returns the exit code ---- */

/* For an answer that is not the requested list: one sentence on stderr. */
void tool_show_problem(const struct tool_place *place, const struct tool_answer *answer);
int tool_show_checks(const struct tool_place *place, const struct tool_answer *answer);
int tool_show_apply(const struct tool_place *place, const struct tool_answer *answer);
int tool_show_diff(const struct tool_place *place, const struct tool_answer *answer);
int tool_show_export(const struct tool_place *place, const struct tool_answer *answer);

#endif
