/* SPDX-License-Identifier: Apache-2.0 */
/* exec: shared by the files of the plugin: the component's state, the parsers of the protocols (pure) and their reports. */
#ifndef EXEC_H
#define EXEC_H

#include <jansson.h>
#include <skymon/spawn.h>

#define EXEC_OUTPUT_MAX (256 * 1024) /* of a program's standard output, and of one line of a stream */
#define EXEC_ERRORS_MAX 4096         /* of its standard error */
#define EXEC_MESSAGE_MAX 480         /* the host cuts at 500 */
#define EXEC_WHY 200

enum exec_protocol { EXEC_NAGIOS, EXEC_JSON, EXEC_STREAM };

struct exec_secret {
	const char *name;
	struct skymon_secret value;
};

/* A program of the stream protocol; its state is `child`: running, or ended and started again not before `restart_ms`. */
struct exec_stream {
	struct skymon_child child;
	char *line;                    /* EXEC_OUTPUT_MAX bytes: what was read of the next line */
	size_t size;                   /* of it */
	char errors[EXEC_MESSAGE_MAX]; /* the last line of its standard error, as far as it was read */
	size_t errors_size;
	char end[EXEC_WHY]; /* why it has ended */
	int64_t run, restart_ms, backoff_ms;
	unsigned missed; /* runs without an answer since the last answer */
	double restarts;
};

struct exec {
	struct skymon_texts command, read, write;
	struct skymon_map env, options;
	struct skymon_list secret_env; /* struct exec_secret */
	const char *folder;
	struct skymon_choice protocol;
	struct skymon_bytes memory;
	struct skymon_duration cpu;
	int64_t files;
	/* Made by start. */
	const char **argv;
	char **envp;
	char *path; /* argv[0]; looked up by the first check, as start opens nothing */
	struct exec_stream stream;
};

/* ---- exec_command.c ---- */

/* Sets argv[0] to the command's file. Returns false, with *fault set, if there is none or others may replace it. */
bool exec_find(struct exec *exec, struct skymon_fault *fault);
/* Returns whether only root and this process' user may change the file, through any folder or link on the way to it; else why names
 * the culprit. */
bool exec_is_trusted(const char *path, char why[EXEC_WHY]);
bool exec_make_command(struct exec *exec);
void exec_free_command(struct exec *exec);
struct skymon_program exec_program(const struct exec *exec);

/* ---- exec_text.c ---- */

/* Makes bytes printable in place: what is not UTF-8, and control characters but newline and tab, become '?'. */
void exec_clean(char *bytes, size_t size);
/* Copies the text up to its first newline, without blanks at its ends, cut at the room; never within a character. */
void exec_first_line(const char *text, char *line, size_t room);
/* Returns the name of a number for a label: lower case, every other character as '_'; and false if it is too long. */
bool exec_number_name(const char *prefix, const char *label, char *name, size_t room);

/* ---- exec_nagios.c: pure but for exec_nagios_report ---- */

enum exec_unit { EXEC_VALUE, EXEC_SECONDS, EXEC_BYTES, EXEC_RATIO, EXEC_COUNT };
struct exec_perfdata {
	char label[128], unit[17]; /* unit: as it was given */
	enum exec_unit kind;
	bool known;              /* false: "U", the program could not measure it */
	double value, given;     /* in the base unit; in the unit that was given, as the limits are */
	char warn[64], crit[64]; /* ranges, as they were given, in the unit that was given */
	char min[32], max[32];
};
enum exec_parsed { EXEC_ITEM, EXEC_MALFORMED, EXEC_END };
/* Reads the next item of *at and moves *at behind it. */
enum exec_parsed exec_perfdata_next(const char **at, struct exec_perfdata *item);
/* Splits an output in place: the first line, the lines that follow, and the performance data of both (joined). */
struct exec_output {
	char *message, *more, *perfdata, *more_perfdata;
};
struct exec_output exec_split(char *text);
enum skymon_status exec_nagios_report(struct skymon *sm, struct skymon_spawn_run *run);

/* ---- exec_json.c ---- */

/* Reports a result that a program gave as JSON. Everything is checked first; what is wrong makes the result unknown, reason protocol.
 * id: whether the key `id` is allowed. */
enum skymon_status exec_json_report(struct skymon *sm, json_t *result, bool id);
enum skymon_status exec_json_run(struct skymon *sm, struct skymon_spawn_run *run);
enum skymon_status exec_bad_answer(struct skymon *sm, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* ---- exec_stream.c ---- */
bool exec_stream_init(struct exec *exec);
enum skymon_status exec_stream_check(struct skymon *sm, struct exec *exec);
void exec_stream_end(struct exec *exec);

/* Describes the end of a program: "ended with exit code 3", "was ended by signal 11 (Segmentation fault)". */
void exec_explain(int code, int number, char *text, size_t room);

#endif
