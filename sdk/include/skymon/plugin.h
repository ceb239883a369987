/* SPDX-License-Identifier: Apache-2.0 */
/* skymon/plugin.h - everything that a skymon plugin needs, and all that it may use.
 *
 * A plugin is a shared object that exports one data symbol, `skymon_plugin` (SKYMON_PLUGIN below). It links with no symbol of
 * the core: it calls back through a table of functions behind the inline wrappers here.
 *
 * Place    A worker process of its own kind; with SKYMON_IN_DAEMON the daemon itself, for routes that answer from memory.
 * Life     load -> validate -> start -> check ... -> stop -> unload. `start` and `stop` once per component (again after a worker's
 *          restart), never concurrently with a check of the same component.
 * Threads  `check` runs on a thread of the worker, never concurrently with itself for one component, concurrently for
 *          different components. So mutable data belongs in `state` (one per component) or `shared` (one per process, your own
 *          lock), never at file scope. load, start and stop: the worker's main thread. Routes of a SKYMON_IN_DAEMON plugin: the
 *          daemon's only thread; they must not wait. Other routes: a thread of the worker for each, never beside start and stop.
 * Time     Every wait in a check takes skymon_ms_left(), which leaves a margin before the deadline, so that a check that respects
 *          it reports its own result. When the deadline passes the daemon publishes unhealthy/timeout, with the last
 *          skymon_step, and drops the late result; a check that never returns costs the worker.
 * Memory   The side that allocates frees. Texts given to a wrapper are copied. Option values live until stop has returned.
 * Meaning  unhealthy and degraded: the check looked, and this is what it found (refused, wrong answer). unknown: it could not
 *          look. Never report a number that was not measured.
 * Secrets  The value of a secret, user info of a URL and data of a query never go into message, detail, metric or log.
 * ABI      Loaded when majors are equal and the plugin's minor is not above the core's; while the major is 0, any minor may change
 *          anything, and minors must be equal. Fields are only appended and zero means "as before". Changes: NEWS.md.
 */
#ifndef SKYMON_PLUGIN_H
#define SKYMON_PLUGIN_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#define SKYMON_ABI_MAJOR 0
#define SKYMON_ABI_MINOR 4
#ifndef SKYMON_ABI_WANT /* defined before the include: the oldest core's minor; what it lacks does nothing (from 1.0 on) */
#define SKYMON_ABI_WANT SKYMON_ABI_MINOR
#endif

#ifdef __cplusplus
extern "C" {
#endif

enum skymon_status { SKYMON_UNKNOWN, SKYMON_HEALTHY, SKYMON_DEGRADED, SKYMON_UNHEALTHY };

/* Why a status is what it is; a closed list: the word of each in answers and metrics, and 1 if it is the core's own. A plugin's
 * result that gives one of these has `other`, or `ok` if healthy. NONE lets the core choose so. */
#define SKYMON_REASONS(X) \
	X(SKYMON_NONE, "other", 1) X(SKYMON_OK, "ok", 1) \
	X(SKYMON_MISSING, "missing", 0) X(SKYMON_TOO_OLD, "too_old", 0) X(SKYMON_DENIED, "denied", 0) \
	X(SKYMON_WRONG_VALUE, "wrong_value", 0) X(SKYMON_FAILED, "failed", 0) X(SKYMON_FULL, "full", 0) \
	X(SKYMON_TIMEOUT, "timeout", 0) X(SKYMON_DNS, "dns", 0) \
	X(SKYMON_REFUSED, "refused", 0) X(SKYMON_UNREACHABLE, "unreachable", 0) \
	X(SKYMON_TLS_EXPIRED, "tls_expired", 0) X(SKYMON_TLS_UNTRUSTED, "tls_untrusted", 0) \
	X(SKYMON_TLS_OTHER, "tls_other", 0) X(SKYMON_HTTP_STATUS, "http_status", 0) \
	X(SKYMON_BODY_MISMATCH, "body_mismatch", 0) X(SKYMON_AUTH_FAILED, "auth_failed", 0) \
	X(SKYMON_SEALED, "sealed", 0) X(SKYMON_STANDBY, "standby", 0) X(SKYMON_QUERY_ERROR, "query_error", 0) \
	X(SKYMON_THRESHOLD_WARN, "threshold_warn", 1) X(SKYMON_THRESHOLD_CRIT, "threshold_crit", 1) \
	X(SKYMON_STALE, "stale", 1) X(SKYMON_CRASHED, "crashed", 1) X(SKYMON_KILLED, "killed", 1) \
	X(SKYMON_NOT_CONFIGURED, "not_configured", 1) X(SKYMON_STARTING, "starting", 1) \
	X(SKYMON_PROTOCOL, "protocol", 0) X(SKYMON_RESOURCE, "resource", 0) X(SKYMON_OTHER, "other", 0)
enum skymon_reason {
#define SKYMON_REASON_NAME(name, word, own) name,
	SKYMON_REASONS(SKYMON_REASON_NAME)
#undef SKYMON_REASON_NAME
	SKYMON_REASON_COUNT
};

/* The words, as this header knows them. A value out of range gives "unknown" and "other"; routes.h has the words of a newer core. */
static inline const char *skymon_status_word(int status)
{
	static const char *const words[] = {"unknown", "healthy", "degraded", "unhealthy"};
	return status >= SKYMON_UNKNOWN && status <= SKYMON_UNHEALTHY ? words[status] : words[0];
}
static inline const char *skymon_reason_word(int reason)
{
#define SKYMON_REASON_WORD(name, word, own) word,
	static const char *const words[] = {SKYMON_REASONS(SKYMON_REASON_WORD)};
#undef SKYMON_REASON_WORD
	return reason > SKYMON_NONE && reason < SKYMON_REASON_COUNT ? words[reason] : "other";
}

struct skymon;         /* the component (or route plugin) that a callback is for; opaque */
struct skymon_request; /* one HTTP exchange; valid until it was answered; opaque */
struct skymon_ask;     /* a request for a secret of this store (skymon/secrets.h); opaque */

/* ---- Options: declared once, parsed by the core, stored in `state` before start ---- */

/* The type of an option is the type of its member. Of these only skymon_tls may grow; skymon_label and skymon_part never do. */
struct skymon_duration { int64_t ms; };      /* "30s", "5m", "250ms", "1h30m" */
struct skymon_bytes { int64_t count; };      /* "64KiB", "10MB", "512" */
struct skymon_ratio { double of_one; };      /* "80%" or 0.8 */
struct skymon_choice { int32_t index; };     /* into the option's .words */
struct skymon_secret { const char *bytes; size_t size; };            /* bytes[size] is '\0'; NULL when left out */
struct skymon_label { const char *name, *value; };
struct skymon_texts { const char *const *items; size_t count; };     /* a list of texts */
struct skymon_map { const struct skymon_label *items; size_t count; }; /* a map of texts */
struct skymon_list { const void *items; size_t count; };             /* a list of structs: .item, .item_size */
struct skymon_tls {  /* the `tls:` block that every plugin with a connection takes; texts are NULL when left out */
	const char *ca_file, *cert_file, *key_file, *server_name;
	bool insecure;
};

enum skymon_type {
	SKYMON_TEXT = 1,  /* const char *; never NULL when it has a fallback */
	SKYMON_BOOLEAN, SKYMON_INTEGER /* int64_t */, SKYMON_REAL /* double */, SKYMON_DURATION, SKYMON_BYTES,
	SKYMON_RATIO, SKYMON_CHOICE, SKYMON_SECRET, SKYMON_TEXTS, SKYMON_MAP, SKYMON_LIST, SKYMON_TLS
};

#define SKYMON_TARGET 1u   /* flag: left empty, the component is "not configured" and never runs. One per table */
#define SKYMON_REQUIRED 2u /* flag: must be given, and not empty */
#define SKYMON_PATH_READ 4u  /* flag: names a file or folder that is read; in a URL: ?name=/path. Unflagged, an absolute path of a
                              * file may be read; the worker reaches no other files but the system's libraries and settings */
#define SKYMON_PATH_WRITE 8u /* flag: … and is written, with its folder; relative, or SCHEME:PATH: in the daemon's state_dir */
#define SKYMON_PATH_FOLLOW 16u /* flag: names a file that is read and rotated: its folder is read too */

struct skymon_option {
	const char *name;
	const char *fallback;      /* default, as in the config file, ${VAR:-…} too; NULL: zero or NULL */
	int32_t type;              /* enum skymon_type */
	uint32_t offset, size;     /* of the member in state (or in the item of a list); no two may overlap */
	const char *help;          /* one line: what it is, and its unit */
	uint32_t flags;
	double min, max;           /* range of a number (ms, bytes, 1 = 100 %) unless both are 0; a max of 0 below min: no upper bound */
	const char *const *words;  /* SKYMON_CHOICE: the words; ends with NULL */
	const struct skymon_option *item; /* SKYMON_LIST: the table of one item, without lists; ends with {0} */
	uint32_t item_size;
};

/* SKYMON_OPT(struct s, member, fallback, help [, .flags = …, .min = …]): in C++ the extras in the struct's order. */
#define SKYMON_OPT(T, member, fallback_, ...) SKYMON_OPT_NAMED(T, member, #member, fallback_, __VA_ARGS__)
#define SKYMON_OPT_NAMED(T, member, name_, fallback_, ...) { .name = name_, .fallback = fallback_, \
	.type = SKYMON_TYPE_OF(T, member), .offset = (uint32_t)offsetof(T, member), \
	.size = (uint32_t)sizeof(((T *)0)->member), .help = __VA_ARGS__ }

/* ---- What the host offers to a plugin (reached through the wrappers below) ---- */

/* A declared number; unit: "s", "bytes", "ratio", "" … A name that ends with _ declares all that begin with it. */
struct skymon_number { const char *name, *unit, *help; };
enum skymon_metric_type { SKYMON_GAUGE = 1, SKYMON_COUNTER };
/* One value of a time series. */
struct skymon_sample {
	uint32_t size;                     /* sizeof(struct skymon_sample) */
	int32_t type;                      /* enum skymon_metric_type */
	const char *name, *help;           /* as in Prometheus; a counter's name ends in _total */
	double value;
	const struct skymon_label *labels;
	size_t label_count;
};
struct skymon_part { const void *bytes; size_t size; };
struct skymon_snapshot; struct skymon_self; struct skymon_config; struct skymon_routes; struct skymon_caller;

/* Plain C functions and structs, so that another language needs their layout and nothing else. A text comes as bytes with their size,
 * UTF-8 and not ended by '\0', or as a const char * that is; the host copies both.
 * A function that a plugin cannot use where it runs (a check's in the daemon, the daemon's own in a worker) is NULL; its wrapper
 * does nothing then, and returns NULL, 0 or false. */
struct skymon_host {
	uint32_t size;
	void (*log)(struct skymon *, int level, const char *text, size_t size);
	void (*say)(struct skymon *, const char *text, size_t size);
	void (*reason)(struct skymon *, int reason);
	void (*detail_text)(struct skymon *, const char *key, const char *text, size_t size);
	void (*detail_number)(struct skymon *, const char *key, double);
	void (*detail_boolean)(struct skymon *, const char *key, bool);
	void (*detail_json)(struct skymon *, const char *key, const char *json);
	void (*number)(struct skymon *, const char *name, double);
	void (*sample)(struct skymon *, const struct skymon_sample *);
	int64_t (*ms_left)(struct skymon *);
	void (*step)(struct skymon *, const char *step);
	bool (*resolve)(struct skymon *, const char *host, char *addresses, size_t size);
	void (*secret_refused)(struct skymon *);
	const char *(*name)(struct skymon *);
	const char *(*state_dir)(struct skymon *);
	size_t (*print)(double, char *text, size_t size);
	const char *(*request_method)(struct skymon_request *);
	const char *(*request_param)(struct skymon_request *, const char *name);
	const char *(*request_query)(struct skymon_request *, const char *name);
	const char *(*request_header)(struct skymon_request *, const char *name);
	const char *(*request_body)(struct skymon_request *, size_t *size);
	void (*reply_header)(struct skymon_request *, const char *name, const char *value);
	void (*reply)(struct skymon_request *, int code, const char *type, const void *bytes, size_t size);
	void (*reply_parts)(struct skymon_request *, int code, const char *type, const struct skymon_part *, size_t count,
			    uint64_t generation, void (*done)(void *), void *argument);
	void (*reply_problem)(struct skymon_request *, int code, const char *text, size_t size);
	const struct skymon_snapshot *(*snapshot)(struct skymon *);
	void (*release)(struct skymon *, const struct skymon_snapshot *);
	const struct skymon_self *(*self)(struct skymon *);
	const struct skymon_config *(*config_public)(struct skymon *);
	const struct skymon_routes *(*routes)(struct skymon *);
	bool (*request_trusted)(struct skymon_request *);
	const char *(*render)(struct skymon_request *, const char *route, size_t *size);
	const char *(*ask_path)(struct skymon_ask *);
	const char *(*ask_field)(struct skymon_ask *);
	bool (*ask_fresh)(struct skymon_ask *);
	void (*answer)(struct skymon_ask *, const void *bytes, size_t size, int64_t lease_ms);
	void (*refuse)(struct skymon_ask *, int reason, const char *text, size_t size);
	void *(*shared)(struct skymon *);
	const struct skymon_caller *(*request_caller)(struct skymon_request *);
	bool (*request_again)(struct skymon_request *);
	void (*request_audit)(struct skymon_request *, const char *text, size_t size);
	void (*problem_json)(struct skymon_request *, const char *key, const char *json);
	void (*invalid)(struct skymon *, const char *option, const char *text, size_t size);
	bool (*resolve_within)(struct skymon *, const char *host, int64_t ms, char *addresses, size_t size);
	int64_t (*interval_ms)(struct skymon *);
	/* of skymon/loop.h */
	void (*done)(struct skymon *, int status);
	bool (*watch)(struct skymon *, int fd, unsigned events, void (*ready)(struct skymon *, void *, int fd, unsigned events),
		      void *argument);
	void (*timer)(struct skymon *, int64_t ms, void (*due)(struct skymon *, void *), void *argument);
	void (*resolve_later)(struct skymon *, const char *host, void (*resolved)(struct skymon *, void *, const char *addresses),
			      void *argument);
	void (*trace)(struct skymon *, const char *text, size_t size);
};
struct skymon { const struct skymon_host *host; };

/* ---- The descriptor ---- */

struct skymon_route {
	uint32_t size;             /* sizeof(struct skymon_route) */
	const char *method;        /* "GET" (answers HEAD too), "POST", "PUT", "DELETE" */
	const char *path;          /* "/api/v1/health/{component}"; braces match any one segment, a last {name...} the rest */
	const char *name;          /* short word, unique per plugin: the key in /api/v1/status `endpoints` */
	const char *summary;       /* one line for people */
	void (*handle)(struct skymon *, void *state, struct skymon_request *); /* answers exactly once, before it returns */
	uint32_t flags;            /* SKYMON_ROUTE_… */
};
#define SKYMON_ROUTE_OPTIONS_AS_GET 1u /* OPTIONS answers with GET's code (as HAProxy's httpchk needs) */
#define SKYMON_ROUTE_PRIVATE 2u        /* never readable by pages of other origins: no CORS header */
#define SKYMON_ROUTE_ANY_BODY 4u       /* POST and PUT take any Content-Type, not only application/json (415) */
#define SKYMON_ROUTE_GUARDED 8u        /* PRIVATE; a foreign Host or Origin is refused (403), each request is audited */
#define SKYMON_ROUTE_HEALTH 16u        /* GET, no handle: the daemon answers from the component's newest result */
#define SKYMON_ROUTE_OPEN 32u          /* POST, PUT, DELETE without a guard; otherwise such a route is GUARDED */
#define SKYMON_ROUTE_COMPONENT 64u     /* of a plugin for `components`: its first {…} names the component that answers. All routes or none */
#define SKYMON_IN_DAEMON 1u
/* Needs beyond the worker's sandbox; `skymon plugins NAME` shows them. */
#define SKYMON_NEEDS_EXEC 2u      /* starts programs */
#define SKYMON_NEEDS_PROC 4u      /* reads /proc and /sys */
#define SKYMON_NEEDS_PROCESSES 8u /* looks into other processes (/proc/PID/fd …): its files are not limited then */

struct skymon_plugin {
	/* these 8 bytes never move, in any major */
	uint16_t abi_major, abi_minor; uint32_t size;
	const char *name, *version, *summary;
	uint32_t option_size, number_size;    /* strides of options[] and numbers[]; SKYMON_PLUGIN sets all down to here */
	uint32_t flags;
	uint32_t state_size, shared_size;     /* zeroed by the host: one per component; one per process */
	uint32_t interval_ms, timeout_ms;     /* defaults; 0 = the core's (30 s, 5 s) */
	const struct skymon_option *options;  /* ends with {0} */
	const struct skymon_number *numbers;  /* what thresholds and service.metrics may name; ends with {0} */
	bool (*load)(struct skymon *, void *shared);   /* library init, once per process; no I/O */
	void (*unload)(struct skymon *, void *shared);
	bool (*start)(struct skymon *, void *state);   /* opens no network; on failure call skymon_unknown, return false */
	void (*stop)(struct skymon *, void *state);
	enum skymon_status (*check)(struct skymon *, void *state);   /* may block, within skymon_ms_left */
	const struct skymon_route *const *routes;                    /* NULL-ended */
	void (*secret)(struct skymon *, void *state, struct skymon_ask *);       /* role: secret store (skymon/secrets.h) */
	/* Reports wrong options by skymon_invalid, all of them. Pure: no I/O, no memory kept; called before any start, on a reload and by
	 * --check-config. A secret that is given has size 0 here; one that is left out has NULL bytes. The target may be "". */
	void (*validate)(struct skymon *, const void *state);
	/* In place of check, both: a run that starts now and ends later, on the worker's loop (skymon/loop.h). */
	void (*begin)(struct skymon *, void *state);
	enum skymon_status (*cancel)(struct skymon *, void *state);
};

/* SKYMON_PLUGIN(name, "version", "summary", .state_size = …, .check = …): one per shared object. */
#define SKYMON_PLUGIN(name_, version_, summary_, ...) SKYMON_EXPORT const struct skymon_plugin skymon_plugin = { \
	.abi_major = SKYMON_ABI_MAJOR, .abi_minor = SKYMON_ABI_WANT, .size = sizeof(struct skymon_plugin), \
	.name = #name_, .version = version_, .summary = summary_, .option_size = sizeof(struct skymon_option), \
	.number_size = sizeof(struct skymon_number), __VA_ARGS__ }

#define SKYMON_HAS(sm, function) \
	((sm)->host->size > offsetof(struct skymon_host, function) && (sm)->host->function != NULL)
#define SKYMON_CALL(sm, function, ...) (SKYMON_HAS(sm, function) ? (sm)->host->function(__VA_ARGS__) : 0)
#define SKYMON_DO(sm, function, ...) \
	do { if (SKYMON_HAS(sm, function)) (sm)->host->function(__VA_ARGS__); } while (0)

/* ---- What a check reports ---- */

#define SKYMON_SAYS(nth) __attribute__((format(printf, nth, nth + 1), unused)) static inline
/* The wrappers print a sentence here, before they pass it on; a longer one is cut at the end of a character. */
#define SKYMON_TEXT_MAX 2000u
__attribute__((format(printf, 2, 0), unused)) static inline size_t skymon_format(char *text, const char *format, va_list list)
{
	int length = vsnprintf(text, SKYMON_TEXT_MAX + 2, format, list); /* one byte more: does a character end at the limit? */
	size_t size = length > 0 ? (size_t)length : 0;
	if (size <= SKYMON_TEXT_MAX)
		return size;
	for (size = SKYMON_TEXT_MAX; size > 0 && ((unsigned char)text[size] & 0xC0) == 0x80;)
		size--;
	return size;
}
/* Prints format and its arguments into text_ of size_ bytes for the call. */
#define SKYMON_TELL(call) do { \
	char text_[SKYMON_TEXT_MAX + 2]; va_list list_; va_start(list_, format); \
	size_t size_ = skymon_format(text_, format, list_); va_end(list_); call; } while (0)

/* The verdict: sets the message (one sentence, no newline, <= 500 bytes) and returns the status, to be returned by check. */
SKYMON_SAYS(2) enum skymon_status skymon_healthy(struct skymon *sm, const char *format, ...)
{ SKYMON_TELL(sm->host->say(sm, text_, size_)); return SKYMON_HEALTHY; }
SKYMON_SAYS(2) enum skymon_status skymon_degraded(struct skymon *sm, const char *format, ...)
{ SKYMON_TELL(sm->host->say(sm, text_, size_)); return SKYMON_DEGRADED; }
SKYMON_SAYS(2) enum skymon_status skymon_unhealthy(struct skymon *sm, const char *format, ...)
{ SKYMON_TELL(sm->host->say(sm, text_, size_)); return SKYMON_UNHEALTHY; }
SKYMON_SAYS(2) enum skymon_status skymon_unknown(struct skymon *sm, const char *format, ...)
{ SKYMON_TELL(sm->host->say(sm, text_, size_)); return SKYMON_UNKNOWN; }
SKYMON_SAYS(3) enum skymon_status skymon_verdict(struct skymon *sm, bool ok, const char *format, ...)
{ SKYMON_TELL(sm->host->say(sm, text_, size_)); return ok ? SKYMON_HEALTHY : SKYMON_UNHEALTHY; }
static inline void skymon_reason(struct skymon *sm, enum skymon_reason reason) { SKYMON_DO(sm, reason, sm, (int)reason); }

/* Facts for `details` of the component's route (JSON); of a repeated key the last value counts. */
SKYMON_SAYS(3) void skymon_detail(struct skymon *sm, const char *key, const char *format, ...)
{ SKYMON_TELL(SKYMON_DO(sm, detail_text, sm, key, text_, size_)); }
static inline void skymon_detail_number(struct skymon *sm, const char *key, double value)
{ SKYMON_DO(sm, detail_number, sm, key, value); }
static inline void skymon_detail_boolean(struct skymon *sm, const char *key, bool value)
{ SKYMON_DO(sm, detail_boolean, sm, key, value); }
static inline void skymon_detail_json(struct skymon *sm, const char *key, const char *json)
{ SKYMON_DO(sm, detail_json, sm, key, json); }  /* any JSON value; one that does not parse is dropped and logged */

/* A declared number, shown in JSON and as skymon_component_number; thresholds and service.metrics apply. `response_time`: the core's. */
static inline void skymon_number(struct skymon *sm, const char *name, double value) { SKYMON_DO(sm, number, sm, name, value); }
/* A time series of this result. Names as in Prometheus; `component` and the component's labels are added by the core. Reserved:
 * up, scrape_*, process_*, __*, and the labels job, instance, le, quantile, component. */
static inline void skymon_metric(struct skymon *sm, enum skymon_metric_type type, const char *name, const char *help,
				 double value, const struct skymon_label *labels, size_t count)
{
	struct skymon_sample sample = {(uint32_t)sizeof(sample), (int32_t)type, name, help, value, labels, count};
	SKYMON_DO(sm, sample, sm, &sample);
}
static inline void skymon_gauge(struct skymon *sm, const char *name, const char *help, double value)
{ skymon_metric(sm, SKYMON_GAUGE, name, help, value, NULL, 0); }
static inline void skymon_counter(struct skymon *sm, const char *name, const char *help, double value)
{ skymon_metric(sm, SKYMON_COUNTER, name, help, value, NULL, 0); }  /* name ends in _total */

/* ---- What a check may ask ---- */

static inline int64_t skymon_ms_left(struct skymon *sm) { return SKYMON_CALL(sm, ms_left, sm); } /* never < 0 */
/* Names the next step (copied): shown when the check crashes, runs out of time or is ended. */
static inline void skymon_step(struct skymon *sm, const char *step) { SKYMON_DO(sm, step, sm, step); }
/* Resolves a host name within the deadline to numeric addresses, joined by commas, at most 8. If false, message and reason (dns,
 * timeout) are set; return SKYMON_UNHEALTHY. A numeric address is returned as it is. */
static inline bool skymon_resolve(struct skymon *sm, const char *host, char *addresses, size_t size)
{ return SKYMON_CALL(sm, resolve, sm, host, addresses, size); }
/* The same for one name of several: waits for at most ms, so that time is left for the others. */
static inline bool skymon_resolve_within(struct skymon *sm, const char *host, int64_t ms, char *addresses, size_t size)
{ return SKYMON_CALL(sm, resolve_within, sm, host, ms, addresses, size); }
static inline void skymon_secret_refused(struct skymon *sm) { SKYMON_DO(sm, secret_refused, sm); } /* the secret is read again */
static inline const char *skymon_name(struct skymon *sm) { return sm->host->name(sm); }
/* The component's own folder, state_dir/PLUGIN/COMPONENT (of a plugin with a SKYMON_PATH_WRITE option state_dir itself, where relative
 * paths are); "" if skymon has no state_dir. */
static inline const char *skymon_state_dir(struct skymon *sm) { return sm->host->state_dir(sm); }
static inline int64_t skymon_interval_ms(struct skymon *sm) { return SKYMON_CALL(sm, interval_ms, sm); } /* a reload may change it */
static inline void *skymon_shared(struct skymon *sm) /* shared_size bytes; your own lock */
{ return SKYMON_HAS(sm, shared) ? sm->host->shared(sm) : NULL; }
/* Prints the shortest text that reads back as the same number ("NaN", "+Inf" too); returns its length. size >= 32. */
static inline size_t skymon_print(struct skymon *sm, double value, char *text, size_t size)
{ return sm->host->print(value, text, size); }

/* In validate: reports that an option ("url", "tls.ca_file", "queries[1].sql") is wrong. The text continues after its name:
 * "must begin with …". */
SKYMON_SAYS(3) void skymon_invalid(struct skymon *sm, const char *option, const char *format, ...)
{ SKYMON_TELL(SKYMON_DO(sm, invalid, sm, option, text_, size_)); }

/* A line for `skymon run --trace`; otherwise this costs nothing. */
SKYMON_SAYS(2) void skymon_trace(struct skymon *sm, const char *format, ...)
{ if (sm->host->trace != NULL) SKYMON_TELL(sm->host->trace(sm, text_, size_)); }
SKYMON_SAYS(2) void skymon_error(struct skymon *sm, const char *format, ...)
{ SKYMON_TELL(sm->host->log(sm, 0, text_, size_)); }
SKYMON_SAYS(2) void skymon_warn(struct skymon *sm, const char *format, ...)
{ SKYMON_TELL(sm->host->log(sm, 1, text_, size_)); }
SKYMON_SAYS(2) void skymon_info(struct skymon *sm, const char *format, ...)
{ SKYMON_TELL(sm->host->log(sm, 2, text_, size_)); }
SKYMON_SAYS(2) void skymon_debug(struct skymon *sm, const char *format, ...)
{ SKYMON_TELL(sm->host->log(sm, 3, text_, size_)); }

#ifdef __cplusplus
}
#define SKYMON_EXPORT extern "C" __attribute__((visibility("default")))
#define SKYMON_TYPE_OF(T, member) skymon_type_of((decltype(((T *)nullptr)->member) *)nullptr)
constexpr int32_t skymon_type_of(const char **) { return SKYMON_TEXT; }
constexpr int32_t skymon_type_of(bool *) { return SKYMON_BOOLEAN; }
constexpr int32_t skymon_type_of(int64_t *) { return SKYMON_INTEGER; }
constexpr int32_t skymon_type_of(double *) { return SKYMON_REAL; }
constexpr int32_t skymon_type_of(struct skymon_duration *) { return SKYMON_DURATION; }
constexpr int32_t skymon_type_of(struct skymon_bytes *) { return SKYMON_BYTES; }
constexpr int32_t skymon_type_of(struct skymon_ratio *) { return SKYMON_RATIO; }
constexpr int32_t skymon_type_of(struct skymon_choice *) { return SKYMON_CHOICE; }
constexpr int32_t skymon_type_of(struct skymon_secret *) { return SKYMON_SECRET; }
constexpr int32_t skymon_type_of(struct skymon_texts *) { return SKYMON_TEXTS; }
constexpr int32_t skymon_type_of(struct skymon_map *) { return SKYMON_MAP; }
constexpr int32_t skymon_type_of(struct skymon_list *) { return SKYMON_LIST; }
constexpr int32_t skymon_type_of(struct skymon_tls *) { return SKYMON_TLS; }
#else
#define SKYMON_EXPORT __attribute__((visibility("default")))
#define SKYMON_TYPE_OF(T, member) _Generic(((T *)0)->member, const char *: SKYMON_TEXT, bool: SKYMON_BOOLEAN, \
	int64_t: SKYMON_INTEGER, double: SKYMON_REAL, struct skymon_duration: SKYMON_DURATION, \
	struct skymon_bytes: SKYMON_BYTES, struct skymon_ratio: SKYMON_RATIO, struct skymon_choice: SKYMON_CHOICE, \
	struct skymon_secret: SKYMON_SECRET, struct skymon_texts: SKYMON_TEXTS, struct skymon_map: SKYMON_MAP, \
	struct skymon_list: SKYMON_LIST, struct skymon_tls: SKYMON_TLS)
#endif

#endif
