/* SPDX-License-Identifier: Apache-2.0 */
/* grafana: a broker for the dashboards, data sources and alert rules of a Grafana. It acts with a key that
 * its callers do not have. This header is shared by: grafana.c: options, start, stop, check, table of routes;
 * grafana_client.c: one HTTP exchange with Grafana; grafana_budget.c: the memory of large texts and trees;
 * grafana_problem.c: faults as a sentence and a code; grafana_explain.c: the meaning of Grafana's refusals;
 * grafana_access.c: access of callers; grafana_dashboards.c, grafana_list.c, grafana_sources.c,
 * grafana_rules.c: the routes; grafana_search.c: finds dashboards; grafana_inputs.c: shared dashboards;
 * grafana_folder.c: folders, uids, named locks; grafana_rule.c: translates and validates alert rules (pure);
 * grafana_json.c: JSON as text, and the caller's body.
 *
 * A JSON tree takes ten to eighty times the memory of its text, and 64 requests share the worker's memory. So
 * the size of a large tree is reserved before the tree is built (struct grafana_budget), and the request
 * waits until its reservation fits. An answer of Grafana that needs no change is passed on byte for byte,
 * without a tree.
 *
 * Handlers run on many threads. In `struct grafana_own` the pool of connections has its own lock. A handler
 * that creates something holds a named lock, so that two identical requests at once do not both find it
 * missing. */
#ifndef GRAFANA_H
#define GRAFANA_H

#include <jansson.h>
#include <pthread.h>
#include <skymon/routes.h>

#include <skymon/http.h>
#include <skymon/timed_lock.h>

#define GRAFANA_IDLE_MAX 8 /* kept idle connections */
#define GRAFANA_LOCKS 128  /* more than the requests that a worker takes at a time */
#define GRAFANA_UID_MAX 40 /* Grafana's limit, in bytes */
#define GRAFANA_PATH_MAX 1500
/* The folder of the shipped content, and of rules that name no folder. */
#define GRAFANA_FOLDER "sky-genesis"
#define GRAFANA_FOLDER_TITLE "Sky Genesis"
/* Smaller sizes are not counted: 64 times as much is little. */
#define GRAFANA_SMALL (64u << 10)
/* The limit of a reply of a route in a worker. */
#define GRAFANA_REPLY_MAX (8u << 20)

/* Same order as the words of read_access and write_access. */
enum grafana_access { GRAFANA_LOOPBACK, GRAFANA_TOKEN, GRAFANA_ANY };

/* Held while something of this kind and name is created. Requests for other names do not wait: each request
 * takes as long as Grafana does. */
struct grafana_named_lock {
	struct skymon_timed_lock lock;
	uint64_t name; /* hash of kind and name */
	size_t wanted; /* requests that hold it or wait for it; guarded by grafana_own's lock; 0: unused */
};

/* Budget for the memory of large texts and trees; one for the process. Each thread keeps its own share in the
 * plugin's only mutable data at file scope, in grafana_budget.c. */
struct grafana_budget {
	pthread_mutex_t lock;
	pthread_cond_t released;
	size_t all, used;  /* bytes */
	size_t answer_max; /* limit of one answer of Grafana */
};

struct grafana_own {
	char base[512], place[300]; /* the url without trailing slash; its host:port */
	pthread_mutex_t lock;       /* guards the pool and the users of the named locks */
	struct skymon_http *idle[GRAFANA_IDLE_MAX];
	size_t idle_count;
	struct grafana_named_lock locks[GRAFANA_LOCKS];
	bool has_lock;
	size_t lock_count; /* initialized ones */
};

struct grafana { /* the options, as the core stored them */
	const char *url, *proxy, *content, *prometheus_url;
	struct skymon_secret api_key, access_token;
	struct skymon_choice read_access, write_access;
	struct skymon_duration connect_timeout, timeout, reconnect;
	struct skymon_tls tls;
	struct grafana_own *own;
};

/* The known outcome of a failed write. */
enum grafana_done { GRAFANA_NOT_DONE, GRAFANA_DONE, GRAFANA_MAYBE_DONE };

struct grafana_fault {
	int code;                  /* of the problem to reply with: 400 … 504; 0: no fault */
	int upstream_status;       /* Grafana's; 0 if it did not answer or was not asked */
	bool key_refused;          /* by Grafana: the key may have been replaced */
	bool sent;                 /* no answer was received, and Grafana may have acted on the request */
	bool repeated;             /* the first attempt broke, perhaps after Grafana had acted on it */
	enum grafana_done done;    /* outcome of a write */
	bool reported;             /* the host has set the check's message and reason already */
	enum skymon_status status; /* for a check */
	enum skymon_reason reason;
	char detail[640];
	char upstream_message[320], upstream_word[40]; /* Grafana's "message" and "status" */
	char pointer[160];                             /* to the field of the caller's body, or "" */
	char retry_after[16];                          /* or "" */
	json_t *members; /* more members of the problem, such as the "uid" of an existing item, or NULL */
};

/* One request to a route, or one check; used by one thread. A function that fails leaves the reason in
 * `fault`. */
struct grafana_ctx {
	struct skymon *sm;
	struct grafana *grafana;
	struct skymon_request *rq; /* NULL for a check */
	bool writes, refused;      /* set by grafana_authorize */
	bool audited;
	bool large;                      /* the largest answer is reserved until the request ends */
	size_t body_reserved;            /* for the tree of the caller's body */
	bool repeatable;                 /* the next POST may be sent twice */
	int64_t limit_ms;                /* for the next exchange; 0: the option `timeout` */
	struct grafana_named_lock *lock; /* held by this request, or NULL */
	struct grafana_fault fault;
	bool connected; /* the next three describe the connection */
	enum skymon_tls_trust trust;
	bool local;
	struct skymon_tls_days days;
};

/* ---- grafana_client.c ---- */

struct grafana_answer {
	int code;     /* 2xx */
	json_t *json; /* NULL if the body is empty */
	size_t reserved;
};
struct grafana_text { /* the same as received: one JSON value, or, after a DELETE, nothing */
	int code;
	char *bytes; /* ends with '\0' */
	size_t size, reserved;
};
struct grafana_span {     /* a part of a text */
	const char *text; /* NULL if there is none */
	size_t size;
};

/* One HTTP exchange. `path` starts at the slash ("/api/org"), and its parts from the caller are
 * percent-encoded; `body` is JSON that stays the caller's, or NULL. Returns true if Grafana answered 2xx;
 * *answer must be freed. Returns false with ctx->fault (Grafana's code in upstream_status) and an empty
 * *answer. A POST that creates something under a name that Grafana chooses is sent once; other requests are
 * sent a second time if the connection breaks. No request is sent without a key. */
bool grafana_ask(struct grafana_ctx *ctx, const char *method, const char *path, const json_t *body,
		 struct grafana_answer *answer);
void grafana_answer_free(struct grafana_answer *answer);
/* The same with texts. most: limit of the answer in bytes; 0: the general limit. */
bool grafana_ask_text(struct grafana_ctx *ctx, const char *method, const char *path, struct grafana_span body,
		      size_t most, struct grafana_text *answer);
void grafana_text_free(struct grafana_text *text); /* wipes it */
/* Writes BEFORE, the percent-encoded text and AFTER. Returns false if they do not fit. */
bool grafana_path(char *path, size_t size, const char *before, const char *text, const char *after);
/* Returns compact JSON whose numbers read back as the same, for grafana_free_text. */
char *grafana_print(const json_t *json);
void *grafana_alloc(size_t size);   /* aborts if memory runs out */
void grafana_free_text(char *text); /* wipes it first: it may hold a data source's secrets */
void grafana_reply(struct grafana_ctx *ctx, int code, const json_t *json);
void grafana_reply_text(struct grafana_ctx *ctx, const struct grafana_text *text);

bool grafana_budget_init(struct grafana_budget *budget); /* once per process */
void grafana_budget_end(struct grafana_budget *budget);
/* Waits until the request's deadline until so many bytes fit into the budget, and sets *reserved (0 for a
 * small size). Returns false with ctx->fault: 503, or `never` (413, 502) if the size exceeds the whole
 * budget. */
bool grafana_reserve(struct grafana_ctx *ctx, size_t bytes, int never, size_t *reserved);
/* Counts memory that is in use already, without waiting. */
void grafana_count(struct grafana_ctx *ctx, size_t bytes);
/* Reserves the largest answer and its reply, once for all answers of the request. */
bool grafana_reserve_large(struct grafana_ctx *ctx);
void grafana_release(size_t *reserved); /* sets it to 0 */
void grafana_release_all(void);         /* of this thread, when its request or check ends */

/* ---- grafana_problem.c ---- */

/* Each replaces the previous fault with its sentence, and returns false. */
bool grafana_fail(struct grafana_ctx *ctx, int code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* 422 for a field of the caller's body: pointer and sentence, as in "/data/0/refId" "is missing". */
bool grafana_invalid(struct grafana_fault *fault, const char *pointer, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* Replaces code and sentence of a refusal by Grafana; Grafana's own words are kept. pointer: "", or the field
 * that the sentence is about. Returns false. */
bool grafana_reword(struct grafana_ctx *ctx, int code, const char *pointer, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
/* Adds a member to the coming problem (not one that all problems have, such as title); takes over the
 * value. */
void grafana_member(struct grafana_fault *fault, const char *key, json_t *value);
/* The same, copied from an object that may have it. */
void grafana_copy_member(struct grafana_fault *fault, const json_t *from, const char *key);
void grafana_forget(struct grafana_fault *fault);
/* Keeps a fault during another look-up, and restores it. */
struct grafana_fault grafana_set_aside(struct grafana_fault *fault);
void grafana_put_back(struct grafana_fault *fault, const struct grafana_fault *was);
/* Returns true if the answer to a write does not show whether Grafana acted on it (5xx, or a 2xx that is not
 * Grafana's), so that the caller has to look. */
bool grafana_is_open(const struct grafana_fault *fault);
/* Appends the known outcome of a failed write to the sentence. verb: "saved". */
void grafana_add_outcome(struct grafana_fault *fault, enum grafana_done done, const char *verb);
/* Returns the same for an audit line: "saved", "not saved", "perhaps saved", "saved nevertheless". */
const char *grafana_result(const struct grafana_fault *fault, bool done, const char *verb, char out[60]);
/* Replies with ctx->fault, or has the request repeated with a new key. Clears the fault. */
void grafana_reply_fault(struct grafana_ctx *ctx);

/* ---- grafana_explain.c: the meaning of an answer without success; pure ---- */

/* An answer of Grafana. word: its "status", such as "name-exists". */
void grafana_explain(int code, const char *message, const char *word, const char *retry_after,
		     const char *place, struct grafana_fault *fault);
/* An answer that is not Grafana's. location: of a redirect. All texts may be NULL. */
void grafana_explain_alien(int code, const char *location, const char *retry_after, const char *body,
			   const char *place, struct grafana_fault *fault);
void grafana_explain_fetch(const struct skymon_fault *from, struct grafana_fault *fault);
/* Makes a foreign text fit for a message or a log: one line, printable, whole UTF-8 characters, at most
 * `size`. */
void grafana_clean(const char *text, char *out, size_t size);
/* Removes a last character that was cut in its middle. */
void grafana_trim_cut(char *text);

/* ---- grafana_access.c ---- */

/* Returns false after it has refused the caller. */
bool grafana_authorize(struct grafana_ctx *ctx, bool write);
/* Writes the audit line of a write: kind ("dashboard"), uid and title (or NULL), result, and the sentence of
 * a fault. */
void grafana_audit(struct grafana_ctx *ctx, const char *kind, const char *uid, const char *title,
		   const char *result);

enum grafana_verdict { GRAFANA_ALLOWED, GRAFANA_NOT_LOCAL, GRAFANA_NO_TOKEN, GRAFANA_WRONG_TOKEN };
/* Pure. authorization: the header's value, or NULL. */
enum grafana_verdict grafana_evaluate_access(enum grafana_access access, bool local,
					     const char *authorization, const struct skymon_secret *token);

/* ---- grafana_json.c: JSON as text; all pure ---- */

/* Returns true if the text is one JSON value, with numbers of any size, nested at most as deep as Grafana
 * allows. *cost: the estimated size of jansson's tree of it (of the part that was read, if it is invalid). */
bool grafana_scan(struct grafana_span text, size_t *cost);
/* Sets the next member of an object (key with its quotes, as written) or the next item of an array (key:
 * NULL). *rest is the scanned object or array at first. Returns false at its end. */
bool grafana_walk(struct grafana_span *rest, struct grafana_span *key, struct grafana_span *value);
/* Returns the value of an object's member; empty if the text is not an object or has no such member. */
struct grafana_span grafana_find(struct grafana_span object, const char *name);
/* Returns a small value as a tree, for json_decref. NULL if it is absent, large, or not accepted by
 * jansson. */
json_t *grafana_load(struct grafana_span value);
/* The same for a member. */
json_t *grafana_pick(struct grafana_span object, const char *name);

/* ---- grafana_json.c: the caller's body ---- */

struct grafana_span grafana_body_text(struct grafana_ctx *ctx);
/* Returns the body, an object, for grafana_drop_body or json_decref; a second text of its size is reserved
 * then. NULL with ctx->fault: 400 for invalid JSON, 413 for too much, 422 for a value that is not an object.
 */
json_t *grafana_body(struct grafana_ctx *ctx);
void grafana_drop_body(struct grafana_ctx *ctx,
		       json_t *body); /* releases its reservation before the request ends */

struct grafana_name { /* an accepted name, and Grafana's own */
	const char *other, *own;
};
/* An object of the caller's body, and the names that its fields may have; `names` ends with {NULL, NULL}. */
struct grafana_fields {
	const json_t *sent; /* the object as received */
	const struct grafana_name *names;
	const char *pointer; /* to the object, such as "/data/0"; "" is the body */
	struct grafana_fault *fault;
};
/* Returns a copy of the object (its values are shared) with Grafana's names; null counts as not sent. NULL if
 * a field is given under two names with different values. */
json_t *grafana_rename(const struct grafana_fields *fields);
/* The same as text, without a tree: writes the members of the object's text except those of `skip` (Grafana's
 * names; ends with NULL), each as ,"name":value with the value as received. `out` must have the size of the
 * text. Returns the written size. */
size_t grafana_copy_members(const struct grafana_fields *fields, struct grafana_span object,
			    const char *const *skip, char *out);
/* Returns the name under which the field was sent, or else Grafana's. */
const char *grafana_sent_name(const struct grafana_fields *fields, const char *own);
/* Each of these returns false with 422 for the field, under the name that the caller used. */
enum grafana_kind { GRAFANA_TEXT, GRAFANA_BOOLEAN, GRAFANA_INTEGER, GRAFANA_OBJECT, GRAFANA_ARRAY };
bool grafana_is(const struct grafana_fields *fields, const char *own,
		enum grafana_kind kind); /* or missing, or null */
bool grafana_needs(const struct grafana_fields *fields, const char *own,
		   enum grafana_kind kind);                                /* and not empty */
bool grafana_is_uid(const struct grafana_fields *fields, const char *own); /* or missing, null, "" */
bool grafana_invalid_field(const struct grafana_fields *fields, const char *own, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* Returns a sentence for each field that was sent with a value other than null, false or empty, and that
 * Grafana has not kept, except those of `skip` (Grafana's names; ends with NULL). NULL if there is none. */
json_t *grafana_dropped(const struct grafana_fields *fields, const json_t *kept, const char *const *skip);
/* Returns the field by either name; NULL if it is missing or null. */
json_t *grafana_field(const struct grafana_fields *fields, const char *own);

/* ---- grafana_inputs.c ---- */

/* Fills the inputs of a shared dashboard in `model`, which is changed. inputs: the request's, or NULL.
 * *filled: the model as text, for grafana_free_text, or NULL if it has no inputs. Returns false with
 * ctx->fault. */
bool grafana_fill_inputs(struct grafana_ctx *ctx, json_t *model, const json_t *inputs, char **filled);

/* ---- grafana_folder.c ---- */

/* Waits for the lock of this kind and name. Returns false with 504 at the deadline. */
bool grafana_take_lock(struct grafana_ctx *ctx, const char *kind, const char *folder, const char *title);
void grafana_release_lock(struct grafana_ctx *ctx); /* if one is held */
/* Finds the folder of this uid, or else, if a title is given, a folder of that title, which may have been
 * created by hand under another uid; sets *uid_out. *there: it existed. If it did not, the folder is created
 * (title NULL: the uid) unless !may_make. */
bool grafana_folder(struct grafana_ctx *ctx, const char *uid, const char *title, bool may_make,
		    char uid_out[GRAFANA_UID_MAX + 1], bool *there);
/* Derives a uid for something that was posted without one. The same request gets the same uid, so that a
 * repeated request does not create a second item if the first answer was lost. */
void grafana_make_uid(const char *kind, const char *folder, const char *title, char out[GRAFANA_UID_MAX + 1]);
/* Returns NULL if Grafana accepts this uid, else the reason. */
const char *grafana_uid_fault(const char *uid);

/* ---- Routes ---- */

void grafana_post_dashboard(struct skymon *sm, void *state, struct skymon_request *rq);
void grafana_list_dashboards(struct skymon *sm, void *state, struct skymon_request *rq);
void grafana_get_dashboard(struct skymon *sm, void *state, struct skymon_request *rq);
void grafana_put_dashboard(struct skymon *sm, void *state, struct skymon_request *rq);
void grafana_delete_dashboard(struct skymon *sm, void *state, struct skymon_request *rq);
void grafana_post_source(struct skymon *sm, void *state, struct skymon_request *rq);
void grafana_post_rule(struct skymon *sm, void *state, struct skymon_request *rq);
/* grafana_apply.c, grafana_permissions.c */
void grafana_post_apply(struct skymon *sm, void *state, struct skymon_request *rq);
void grafana_get_diff(struct skymon *sm, void *state, struct skymon_request *rq);
void grafana_get_check(struct skymon *sm, void *state, struct skymon_request *rq);

#endif
