/* SPDX-License-Identifier: Apache-2.0 */
/* grafana_tool: what the files of the program skymon-grafana share. It speaks to a running skymond and to
 * nobody else, and holds no key of Grafana. */
#ifndef GRAFANA_TOOL_H
#define GRAFANA_TOOL_H

#include <jansson.h>
#include <stdbool.h>

enum {
	TOOL_GOOD,
	TOOL_BAD,
	TOOL_TROUBLE
}; /* exit codes; only diff tells its two kinds of bad apart, as diff(1) does */

/* Where skymond is, and what opens it. */
struct tool_place {
	const char *url;        /* http://127.0.0.1:8080, unix:/path */
	const char *token_file; /* NULL: none */
};

struct tool_answer {
	long code;
	json_t *body; /* an object; the caller's, for json_decref */
};

/* Tells what went wrong on stderr, in one line. Bytes that could steer a terminal become spaces. */
void tool_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Asks skymond. false: nobody answered, or no JSON came; that has been told. */
bool tool_ask(const struct tool_place *place, const char *method, const char *path, struct tool_answer *out);

/* ---- grafana_tool_show.c: an answer to lines on stdout and an exit code ---- */

/* The answer is no list of what was asked for: one sentence on stderr. */
void tool_show_problem(const struct tool_place *place, const struct tool_answer *answer);
int tool_show_checks(const struct tool_place *place, const struct tool_answer *answer);
int tool_show_apply(const struct tool_place *place, const struct tool_answer *answer);
int tool_show_diff(const struct tool_place *place, const struct tool_answer *answer);
int tool_show_export(const struct tool_place *place, const struct tool_answer *answer);

#endif
