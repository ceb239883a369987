/* SPDX-License-Identifier: Apache-2.0 */
/* skymon/routes.h - for plugins that have routes: the request, the reply, and what the daemon knows.
 *
 * A plugin flagged SKYMON_IN_DAEMON answers on the daemon's one thread: no locks, no waiting. The four read functions
 * (skymon_snapshot, skymon_self, skymon_routes, skymon_config_public) and skymon_render are for such plugins only; elsewhere
 * they return NULL.
 *
 * Any other plugin may have routes too, and be named under `plugins`; its section becomes a component of that name, with
 * start, stop, secrets and check as any other. Its handlers run in the worker, each request on a thread of its
 * own, up to 64 concurrently, and with the check: what they change in `state` needs a lock. The `sm` of a handler is of that
 * request alone: skymon_ms_left returns the time to the request's own deadline (30 s; 0 as soon as the client has left),
 * skymon_resolve, skymon_step and the log work as in a check, and the text of a verdict is dropped.
 *
 * Structs carry their size and grow at the end: read a field only when `size` reaches it if the plugin must run on
 * an older core. Texts are UTF-8 and never NULL unless stated. Times are ms since 1970 (UTC); 0 means never.
 */
#ifndef SKYMON_ROUTES_H
#define SKYMON_ROUTES_H

#include <skymon/plugin.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- The board ---- */

struct skymon_value { uint32_t size; const char *name, *text; double number; };   /* a declared number that a result holds */

/* The series of one family in one result. `series` is a row of records for skymon_series_next; the host has checked them. */
struct skymon_family {
	uint32_t size;
	int32_t type;                 /* enum skymon_metric_type */
	const char *name, *help;
	const void *series;
	size_t series_size;
	uint32_t series_count;
};

/* One series: `labels` is `a="x",b="y"` with \\ \" \n escaped (may be empty), `value` a printed number. Not ended by '\0'. */
struct skymon_series { const char *labels, *value; uint16_t labels_size; uint8_t value_size; };

/* Steps through a family: *at starts at 0; false at the end. */
static inline bool skymon_series_next(const struct skymon_family *family, size_t *at, struct skymon_series *out)
{
	const unsigned char *record = (const unsigned char *)family->series + *at;
	if (*at + 3 > family->series_size)
		return false;
	out->labels_size = (uint16_t)(record[0] | record[1] << 8);
	out->value_size = record[2];
	out->labels = (const char *)record + 3;
	out->value = out->labels + out->labels_size;
	*at += 3u + out->labels_size + out->value_size;
	return true;
}

/* The result of one check, or the daemon's in its place (timeout, crashed, …). Immutable. */
struct skymon_result {
	uint32_t size;
	int32_t status, reason;       /* enum skymon_status, skymon_reason; after thresholds */
	uint64_t id;                  /* unique in this process; a new result has a new id */
	int64_t time_ms, duration_us; /* when it ended; duration -1: there was no run */
	const char *message, *details; /* details: a JSON object */
	const struct skymon_value *const *numbers; size_t number_count;
	const struct skymon_family *const *families; size_t family_count;
	const char *reason_word;      /* also of a reason that the plugin's header does not have yet */
};

enum skymon_impact { SKYMON_IMPACT_UNHEALTHY, SKYMON_IMPACT_DEGRADED, SKYMON_IMPACT_NONE };

/* A limit (warn, crit) of a component, compared with its newest result. why: the cause if the value is missing, otherwise NULL. */
struct skymon_limit { uint32_t size; bool critical, unmeasured; const char *number, *text, *why; double value; };

/* A component in maintenance is measured and shown, and contributes to no whole. by: who asked for it, "config" for a window. */
struct skymon_maintenance { uint32_t size; const char *why, *by; int64_t since_ms, until_ms; };

struct skymon_component {
	uint32_t size;
	int32_t status, reason, impact;
	bool configured, stale, starting;
	uint32_t consecutive_failures; /* newest runs in a row that were unhealthy or unknown */
	const char *name, *plugin, *message;
	const char *labels;            /* the component's own, as in skymon_series; may be empty */
	int64_t since_ms, last_success_ms, next_check_ms, interval_ms;
	uint64_t checks_total, failures_total;
	const struct skymon_result *shown;  /* the result that gave the status; NULL before the first */
	const struct skymon_result *latest; /* the newest; its numbers and families are the current ones */
	uint64_t series_dropped_total;      /* of its results, by limits.series */
	/* unmeasured: the newest check could look, and did not report the number, so that the limit has no effect */
	const struct skymon_limit *const *limits; size_t limit_count;
	const char *reason_word;
	const char *group;             /* the group that it is part of; may be empty */
	const char *because_of;        /* of one that is not healthy: the unhealthy component that it depends on; may be empty */
	const struct skymon_maintenance *maintenance; /* NULL if it is in none */
};

/* The roll-up of the components of one group. */
struct skymon_group { uint32_t size; int32_t status, ready_reason; const char *name; };

struct skymon_snapshot {
	uint32_t size;
	int32_t status, ready_reason;  /* the roll-up; why not ready: SKYMON_STARTING, SKYMON_OTHER (unhealthy), SKYMON_OK */
	uint64_t generation;           /* changes whenever anything in it does */
	const struct skymon_component *const *components; size_t count; /* in config order */
	const struct skymon_group *const *groups; size_t group_count;         /* in the order of their first components */
};

/* ---- The daemon itself ---- */

struct skymon_http_count {         /* one row for each route x method x code that was answered */
	uint32_t size;
	const char *route, *method;    /* route: the template, or "" for no route */
	int32_t code;
	uint64_t requests;
};
struct skymon_http_time {          /* one row for each route */
	uint32_t size;
	const char *route;
	uint64_t count;
	const uint64_t *buckets;       /* skymon_self.bucket_count of them; not cumulative; above the last: count minus all */
	double sum_seconds;
};
struct skymon_plugin_state {       /* one for each loaded plugin */
	uint32_t size;
	const char *name, *version, *isolation; /* isolation: "daemon", "shared", "own" */
	uint16_t abi_major, abi_minor;
	bool up;
	uint64_t restarts_total;
};
/* One for each listener with TLS: when its certificate ends, and the first of the chain that it sends. */
struct skymon_listener { uint32_t size; const char *address; int64_t certificate_ends_ms, chain_ends_ms; };
struct skymon_source { uint32_t size; bool present, counter; const char *key; double value; }; /* a metric of the seed */

enum skymon_phase { SKYMON_PHASE_STARTING, SKYMON_PHASE_RUNNING, SKYMON_PHASE_DRAINING };

struct skymon_self {               /* valid until the handler returns */
	uint32_t size;
	int32_t phase;
	const char *version, *compiler;                /* of skymon */
	const char *service, *title, *service_version; /* service: the label value */
	int64_t now_ms, started_ms, uptime_seconds, loop_age_ms;
	double loop_lag_seconds;                       /* how late the newest check was started */
	int64_t open_connections;
	uint64_t requests_total;
	int64_t resident_bytes;
	double cpu_seconds;
	bool reload_ok; int64_t reload_time_ms;        /* whether the newest reload (or the start) succeeded; time of the newest good one */
	const struct skymon_source *const *sources; size_t source_count; /* the eight, in the seed's order */
	const struct skymon_http_count *const *http_counts; size_t http_count_count;
	const struct skymon_http_time *const *http_times; size_t http_time_count;
	const struct skymon_plugin_state *const *plugins; size_t plugin_count;
	uint64_t failed_tokens_total, evicted_connections_total; /* wrong access tokens; connections ended for others, because all were in use */
	int64_t open_fds, max_fds;                     /* 0: not known; so is resident_bytes without /proc */
	uint64_t refused_connections_total;            /* by limits.connections or connections_per_address */
	uint32_t isolation;                            /* what this kernel confines of workers: SKYMON_CONFINES_… */
	const double *bucket_seconds; size_t bucket_count; /* upper bounds of the buckets of http_times */
	const struct skymon_listener *const *listeners; size_t listener_count;
};
#define SKYMON_CONFINES_FILES 1u
#define SKYMON_CONFINES_SIGNALS 2u
#define SKYMON_CONFINES_CALLS 4u

struct skymon_config {
	uint32_t size;
	const char *environment, *log_level;
	const char *const *features; size_t feature_count; /* the plugins that are served */
	bool ready_follows_self;
	/* file: of the config. reload_ms: when the newest reload ended, 0 before the first; errors: why it was refused, else none
	 * (skymon_self has reload_ok, and reload_time_ms of the config in force) */
	const char *file;
	int64_t reload_ms;
	const char *const *errors; size_t error_count;
	bool has_access_token;         /* `access` asks for one: skymon_is_trusted() means that the request brought it */
};

struct skymon_route_line { uint32_t size; const char *method, *path, *name, *summary, *plugin; };
struct skymon_routes { uint32_t size; const struct skymon_route_line *const *lines; size_t count; };

/* Take, read, release. A snapshot may be held as long as its bytes are needed (by a reply on its way). */
static inline const struct skymon_snapshot *skymon_snapshot(struct skymon *sm)
{ return SKYMON_HAS(sm, snapshot) ? sm->host->snapshot(sm) : NULL; }
static inline void skymon_release(struct skymon *sm, const struct skymon_snapshot *snapshot)
{ SKYMON_DO(sm, release, sm, snapshot); }
static inline const struct skymon_self *skymon_self(struct skymon *sm)
{ return SKYMON_HAS(sm, self) ? sm->host->self(sm) : NULL; }
static inline const struct skymon_config *skymon_config_public(struct skymon *sm)
{ return SKYMON_HAS(sm, config_public) ? sm->host->config_public(sm) : NULL; }
static inline const struct skymon_routes *skymon_routes(struct skymon *sm)
{ return SKYMON_HAS(sm, routes) ? sm->host->routes(sm) : NULL; }

/* ---- The request, and its one answer ---- */

static inline const char *skymon_method(struct skymon *sm, struct skymon_request *rq) { return sm->host->request_method(rq); }
/* Returns a segment matched by braces, decoded; a query parameter, decoded (NULL if missing, "" without a value), or, with the
 * name NULL, the whole query as sent. */
static inline const char *skymon_param(struct skymon *sm, struct skymon_request *rq, const char *name)
{ return sm->host->request_param(rq, name); }
static inline const char *skymon_query(struct skymon *sm, struct skymon_request *rq, const char *name)
{ return sm->host->request_query(rq, name); }
/* Returns a header, NULL if missing. Host is that of a target in absolute form, if it has one; Cookie headers are dropped. */
static inline const char *skymon_header(struct skymon *sm, struct skymon_request *rq, const char *name)
{ return sm->host->request_header(rq, name); }
static inline const char *skymon_body(struct skymon *sm, struct skymon_request *rq, size_t *size)
{ return sm->host->request_body(rq, size); }
/* Whether this caller may see messages and details. False only where `access` asks for a token and the request brought none. */
static inline bool skymon_is_trusted(struct skymon *sm, struct skymon_request *rq) { return sm->host->request_trusted(rq); }
/* Returns the body of GET of the named route (of a SKYMON_IN_DAEMON plugin) without request headers, valid until this request
 * was answered; NULL if no such route exists or its code was not 200. The headers that its handler added join the coming reply. */
static inline const char *skymon_render(struct skymon *sm, struct skymon_request *rq, const char *route, size_t *size)
{ *size = 0; return SKYMON_HAS(sm, render) ? sm->host->render(rq, route, size) : NULL; }

/* The client that sends the request. local: from this machine (a Unix socket, loopback, or the connection's own local address),
 * the kernel names the user at the other end, that user is root, the daemon's own or one of `local_users`, and no header
 * of a proxy's is there. address: "127.0.0.1", "::1", "unix". Since 0.3: user, its name if the kernel names it, else ""; why_not_local,
 * half a sentence for the refusal ("it comes from another machine"), "" if local. Since 0.4: login, the user of `access.users` whose
 * password the request brought, else "". */
struct skymon_caller { uint32_t size; bool local; const char *address; const char *user, *why_not_local, *login; };
static inline const struct skymon_caller *skymon_caller(struct skymon *sm, struct skymon_request *rq)
{ return sm->host->request_caller(rq); }
/* In a worker: a server refused the secret of this request. If true, return without an answer: the secret is read again, and the
 * handler is called once more for this request (in a state that was started with the new secret, if it changed). If false, that
 * has happened for this request already: answer it. */
static inline bool skymon_again(struct skymon *sm, struct skymon_request *rq) { return SKYMON_CALL(sm, request_again, rq); }
/* Describes what the request did, for the daemon's audit line (which has client, user, method, path and code already). */
SKYMON_SAYS(3) void skymon_audit(struct skymon *sm, struct skymon_request *rq, const char *format, ...)
{ SKYMON_TELL(sm->host->request_audit(rq, text_, size_)); }

/* Adds a header to the coming reply. Content-Length, Connection, Date, Cache-Control: no-store and the headers that say what a
 * browser may do with it (Content-Security-Policy with `sandbox` for routes in a worker, X-Content-Type-Options) come by
 * themselves. A handler in the daemon may set its own Cache-Control and Content-Security-Policy; a worker's (and Set-Cookie, Access-Control-…, Refresh and their like) are dropped. */
static inline void skymon_reply_header(struct skymon *sm, struct skymon_request *rq, const char *name, const char *value)
{ sm->host->reply_header(rq, name, value); }
/* Answers with a copy of the bytes. */
static inline void skymon_reply(struct skymon *sm, struct skymon_request *rq, int code, const char *type,
				const void *bytes, size_t size)
{ sm->host->reply(rq, code, type, bytes, size); }
/* Answers with bytes that stay where they are until done(argument) is called, once, when they were sent or dropped; the array
 * of parts itself is copied. The host compresses when the client asks for it; requests for one generation (0: none) may share the result. */
static inline void skymon_reply_parts(struct skymon *sm, struct skymon_request *rq, int code, const char *type,
				      const struct skymon_part *parts, size_t count, uint64_t generation,
				      void (*done)(void *), void *argument)
{ sm->host->reply_parts(rq, code, type, parts, count, generation, done, argument); }
/* Adds a member (any JSON value, as text) to the coming problem. Text that is not JSON, or a member that every problem has
 * (type, title, status, detail, timestamp, error), is dropped. */
static inline void skymon_problem_json(struct skymon *sm, struct skymon_request *rq, const char *key, const char *json)
{ sm->host->problem_json(rq, key, json); }
/* Answers with application/problem+json (RFC 9457); the sentence is its detail. */
SKYMON_SAYS(4) void skymon_problem(struct skymon *sm, struct skymon_request *rq, int code, const char *format, ...)
{ SKYMON_TELL(sm->host->reply_problem(rq, code, text_, size_)); }

#ifdef __cplusplus
}
#endif
#endif
