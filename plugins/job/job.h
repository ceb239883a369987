/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by the files of job: what is known of a job, and its rules. */
#ifndef JOB_H
#define JOB_H

#include <skymon/plugin.h>

#define JOB_RUNS_MAX 8 /* open at once; the oldest is forgotten */
#define JOB_ID_SIZE 65 /* of a run */
#define JOB_MESSAGE_SIZE 257
#define JOB_TEXT_SIZE 500 /* of a verdict */

struct job_moment {
	int64_t wall_ms, boot_ms; /* both 0: never */
	bool here;                /* noted by this process, so that boot_ms is of this start of the machine */
};

struct job_run {
	char id[JOB_ID_SIZE]; /* "" of a client that names none */
	struct job_moment started;
};

struct job_state {
	struct job_moment born, good, ended; /* first seen; end of the last success; of the last run */
	uint64_t started, succeeded, failed;
	bool last_failed;
	int exit_code;   /* of the last run; -1 if it was not reported */
	double duration; /* of the last run, s; negative if not known */
	char last_id[JOB_ID_SIZE];
	char message[JOB_MESSAGE_SIZE];
	struct job_run runs[JOB_RUNS_MAX]; /* that have not ended, the oldest first */
	size_t run_count;
};

struct job_rules {
	int64_t every_ms, grace_ms, max_runtime_ms; /* max_runtime_ms: 0 for none */
};

enum job_kind { JOB_START, JOB_OK, JOB_FAIL };
struct job_event {
	enum job_kind kind;
	const char *id;      /* "" if it has none */
	int exit_code;       /* -1 without */
	double duration;     /* s; negative without */
	const char *message; /* may have any bytes */
	size_t message_size;
};

/* ---- job_state.c: pure ---- */

void job_state_init(struct job_state *state, struct job_moment now);
/* Returns how long ago a moment was, by the clock that does not jump where it can be known. Never negative. */
int64_t job_age_ms(struct job_moment then, struct job_moment now);
void job_apply(struct job_state *state, const struct job_rules *rules, const struct job_event *event,
	       struct job_moment now);
/* Returns what to report, with a sentence. */
enum skymon_status job_evaluate(const struct job_state *state, const struct job_rules *rules,
				struct job_moment now, enum skymon_reason *reason, char text[JOB_TEXT_SIZE]);

/* ---- job_store.c: the file that survives a restart ---- */

struct job_mark {
	uint64_t inode;
	int64_t changed_ns;
};

/* Prints into a buffer that is large enough for each state; returns the length. */
#define JOB_FILE_MAX 4096
size_t job_print(const struct job_state *state, char text[JOB_FILE_MAX]);
/* Returns false, with *state unchanged, if the text is not a whole state. */
bool job_parse(const char *text, struct job_state *state);
/* Returns false with errno set. A crash at any moment leaves the old file or the new one. */
bool job_save(const char *folder, const struct job_state *state, struct job_mark *mark);
enum job_found {
	JOB_FOUND,
	JOB_NONE,
	JOB_DAMAGED /* renamed to state.bad */,
	JOB_UNREADABLE /* errno is set */
};
enum job_found job_load(const char *folder, struct job_state *state, struct job_mark *mark);
/* Sets what the file's mark is now. Each save changes it. */
void job_look(const char *folder, struct job_mark *mark);

#endif
