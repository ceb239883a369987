/* SPDX-License-Identifier: Apache-2.0 */
/* grafana: a broker to a Grafana: dashboards, data sources and alert rules, made with a key that the caller
 * does not have. What its files share:
 * grafana.c: options, start, stop, the check, the table of routes; grafana_client.c: one exchange with
 * Grafana, and the memory that is in work; grafana_problem.c: what goes wrong, as a sentence and a code;
 * grafana_explain.c: what Grafana's refusals mean;
 * grafana_access.c: who may ask; grafana_dashboards.c, grafana_list.c, grafana_sources.c, grafana_rules.c:
 * the routes; grafana_search.c: which dashboard is there; grafana_inputs.c: shared dashboards;
 * grafana_folder.c: folders and uids; grafana_rule.c: alert rules translated and judged (pure);
 * grafana_json.c: JSON as text, and what the caller sent.
 *
 * A tree of JSON takes ten to eighty times the memory of its text, and 64 requests share the worker's. So
 * what is large is counted before it is made (struct grafana_room), and waits for its room. Where nothing has
 * to be changed in an answer of Grafana's, its bytes are passed on as they came, without a tree.
 *
 * Handlers run on many threads. Of `struct grafana_own` the pool of connections has a lock of its own, and
 * what creates something takes a turn, so that two who post the same at once do not both find it missing. */
#ifndef GRAFANA_H
#define GRAFANA_H

#include <jansson.h>
#include <pthread.h>
#include <skymon/routes.h>

#include "fetch.h"
#include "timed_lock.h"

#define GRAFANA_IDLE_MAX 8 /* connections that are kept while nobody asks */
#define GRAFANA_TURNS 128  /* more than requests that can be in the worker at a time */
#define GRAFANA_UID_MAX 40 /* bytes of a uid: Grafana's limit */
#define GRAFANA_PATH_MAX 1500
/* The folder of all that ships, and of rules that name none. */
#define GRAFANA_FOLDER "sky-genesis"
#define GRAFANA_FOLDER_TITLE "Sky Genesis"
/* What takes no more than this is not counted: 64 times as much is little. */
#define GRAFANA_SMALL (64u << 10)
/* The most that a reply of a route in a worker may have. */
#define GRAFANA_REPLY_MAX (8u << 20)

/* The words of read_access and write_access. */
enum grafana_access { GRAFANA_LOOPBACK, GRAFANA_TOKEN, GRAFANA_ANY };

/* What creates something takes the turn of its kind and name, so that two who post the same at once do not
 * both find it missing. Others do not wait for them: each takes as long as Grafana does. */
struct grafana_turn {
	struct timed_lock turn;
	uint64_t name; /* a number made of it */
	size_t wanted; /* by so many requests, under grafana_own's lock; 0: it has no name */
};

/* The memory of large texts and trees in work: one for the process. Each thread knows how much of it is its
 * own: the only mutable data at file scope, in grafana_client.c. */
struct grafana_room {
	pthread_mutex_t lock;
	pthread_cond_t given;
	size_t all, used;  /* bytes */
	size_t answer_max; /* of an answer of Grafana's */
};

struct grafana_own {
	char base[512], place[300]; /* the url without a slash at its end; its host:port */
	pthread_mutex_t lock;       /* of the pool, and of who has which turn */
	struct fetch *idle[GRAFANA_IDLE_MAX];
	size_t idle_count;
	struct grafana_turn turns[GRAFANA_TURNS];
	bool has_lock;
	size_t timed_lock_count; /* of those that stand */
};

struct grafana { /* the options, as the core stored them */
	const char *url, *proxy, *content, *prometheus_url;
	struct skymon_secret api_key, access_token;
	struct skymon_choice read_access, write_access;
	struct skymon_duration connect_timeout, timeout, reconnect;
	struct skymon_tls tls;
	struct grafana_own *own;
};

/* Why something was not done: ours or Grafana's fault, or the caller's. */
/* What is known of a write that failed. */
enum grafana_done { GRAFANA_NOT_DONE, GRAFANA_DONE, GRAFANA_MAYBE_DONE };

struct grafana_fault {
	int code;                  /* of the problem that tells it: 400 … 504; 0: nothing went wrong */
	int upstream_status;       /* Grafana's; 0: it did not answer, or was not asked */
	bool key_refused;          /* by Grafana: the key may have been replaced */
	bool sent;                 /* no answer came, and Grafana may have done it all the same */
	bool repeated;             /* the first attempt broke, perhaps after it was done */
	enum grafana_done done;    /* of a write */
	bool reported;             /* the host has set a check's message and reason already */
	enum skymon_status status; /* for a check */
	enum skymon_reason reason;
	char detail[640];
	char upstream_message[320], upstream_word[40]; /* Grafana's "message" and "status" */
	char pointer[160];                             /* to the field of the caller's body; "": none */
	char retry_after[16];                          /* "": none */
	json_t *members; /* more members of the problem, as "uid" of what is there; NULL: none */
};

/* One request to a route, or one check; for one thread. What fails leaves its reason in `fault`. */
struct grafana_ctx {
	struct skymon *sm;
	struct grafana *grafana;
	struct skymon_request *rq; /* NULL: a check */
	bool writes, refused;      /* what grafana_enter has found */
	bool audited;
	bool large;                /* has room for the largest answer, until the request ends */
	size_t body_room;          /* that the tree of the caller's body takes */
	bool repeatable;           /* the next POST may be sent twice */
	int64_t limit_ms;          /* for the next exchange; 0: the option `timeout` */
	struct grafana_turn *turn; /* that we have; NULL: none */
	struct grafana_fault fault;
	bool connected; /* and what is known of the connection */
	enum tls_trust trust;
	bool local;
	double certificate_days;
};

/* ---- grafana_client.c ---- */

struct grafana_answer {
	int code;     /* 2xx */
	json_t *json; /* NULL: it has no body */
	size_t room;
};
struct grafana_text { /* the same, as it came: one JSON value, or, of a DELETE, nothing */
	int code;
	char *bytes; /* ends with '\0' */
	size_t size, room;
};
struct grafana_span {     /* a part of a text */
	const char *text; /* NULL: there is none */
	size_t size;
};

/* One exchange: `path` from the slash on ("/api/org"), what it holds of the caller's percent-encoded; body:
 * NULL, or JSON that stays the caller's. true: Grafana answered 2xx, *answer is to be freed; false:
 * ctx->fault (Grafana's code in upstream_status), *answer is empty. What creates something under a name that
 * Grafana chooses is POST, and is sent once; the others are tried once more when the connection breaks. No
 * request leaves without a key. */
bool grafana_ask(struct grafana_ctx *ctx, const char *method, const char *path, const json_t *body,
		 struct grafana_answer *answer);
void grafana_answer_free(struct grafana_answer *answer);
/* The same with texts. most: bytes of the answer; 0: as many as an answer may have. */
bool grafana_ask_text(struct grafana_ctx *ctx, const char *method, const char *path, struct grafana_span body,
		      size_t most, struct grafana_text *answer);
void grafana_text_free(struct grafana_text *text); /* wipes it */
/* BEFORE, the text percent-encoded, AFTER. false: it does not fit. */
bool grafana_path(char *path, size_t size, const char *before, const char *text, const char *after);
/* Compact JSON, whose numbers read back as the same; for free. */
char *grafana_print(const json_t *json);
void *grafana_alloc(size_t size);   /* aborts when there is no memory */
void grafana_free_text(char *text); /* wipes it first: it may hold a data source's secrets */
/* Answers with JSON. */
void grafana_reply(struct grafana_ctx *ctx, int code, const json_t *json);
void grafana_reply_text(struct grafana_ctx *ctx, const struct grafana_text *text);

bool grafana_room_start(struct grafana_room *room); /* once per process */
void grafana_room_end(struct grafana_room *room);
/* Waits, until the request's deadline, for room for so many bytes; *room: how many were counted: 0 for what
 * is small. false: ctx->fault: 503, or `never` (413, 502) when there is never as much. */
bool grafana_take_room(struct grafana_ctx *ctx, size_t bytes, int never, size_t *room);
/* For what is there already: without waiting. */
void grafana_count_room(struct grafana_ctx *ctx, size_t bytes);
/* The room for the largest answer and its reply, once and for all the request's answers. */
bool grafana_take_large(struct grafana_ctx *ctx);
void grafana_give_room(size_t *room); /* back */
void grafana_give_all_room(void);     /* of this thread: a request, or a check, ends */

/* ---- grafana_problem.c ---- */

/* Each forgets the fault before, says what went wrong, and returns false. */
bool grafana_fail(struct grafana_ctx *ctx, int code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* 422 (or 400) for a field of the caller's body: pointer and sentence, as in "/data/0/refId" "is missing". */
bool grafana_wrong(struct grafana_fault *fault, const char *pointer, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* Another code and sentence for what Grafana has refused, whose own words stay. pointer: "" or to a field,
 * and then the sentence follows it. Returns false. */
bool grafana_mean(struct grafana_ctx *ctx, int code, const char *pointer, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
/* Adds a member to the coming problem (not one that all problems have, as title); takes over the value. */
void grafana_member(struct grafana_fault *fault, const char *key, json_t *value);
/* The same, of an object that may have it. */
void grafana_copy_member(struct grafana_fault *fault, const json_t *from, const char *key);
void grafana_forget(struct grafana_fault *fault);
/* Sets a fault aside while something is looked up, and puts it back. */
struct grafana_fault grafana_set_aside(struct grafana_fault *fault);
void grafana_put_back(struct grafana_fault *fault, const struct grafana_fault *was);
/* Is a write to be looked for, because its answer does not show whether it was done (5xx, or a 2xx that is
 * not Grafana's)? */
bool grafana_is_open(const struct grafana_fault *fault);
/* Adds what is known of a write that failed. verb: "saved". */
void grafana_say_done(struct grafana_fault *fault, enum grafana_done done, const char *verb);
/* The same for an audit line: "saved", "not saved", "perhaps saved", "saved all the same". */
const char *grafana_result(const struct grafana_fault *fault, bool done, const char *verb, char out[60]);
/* Answers the request with ctx->fault, or has it done again with a new key. Forgets the fault. */
void grafana_tell(struct grafana_ctx *ctx);

/* ---- grafana_explain.c: what an answer without success means; pure ---- */

/* Of Grafana's. word: its "status", as in "name-exists". */
void grafana_explain(int code, const char *message, const char *word, const char *retry_after,
		     const char *place, struct grafana_fault *fault);
/* An answer that is not Grafana's. location: of a redirect; may be NULL, as may the others. */
void grafana_explain_alien(int code, const char *location, const char *retry_after, const char *body,
			   const char *place, struct grafana_fault *fault);
void grafana_explain_fetch(const struct skymon_fault *from, struct grafana_fault *fault);
/* A text of others for a message or a log: one line, printable, cut at `size`. Whole UTF-8 characters. */
void grafana_clean(const char *text, char *out, size_t size);
/* How many bytes the UTF-8 character at `text` has; 0: it is none. */
size_t grafana_character(const char *text, const char *end);
/* Takes off the character that was cut in its middle. */
void grafana_trim_cut(char *text);

/* ---- grafana_access.c ---- */

/* May this caller read, or write? false: it has been answered. */
bool grafana_enter(struct grafana_ctx *ctx, bool write);
/* For the audit line of a write: "dashboard", its uid and title (NULL: none), what became of it; when there
 * is a fault, it says why. */
void grafana_audit(struct grafana_ctx *ctx, const char *kind, const char *uid, const char *title,
		   const char *result);

enum grafana_verdict { GRAFANA_MAY, GRAFANA_NOT_LOCAL, GRAFANA_NO_TOKEN, GRAFANA_WRONG_TOKEN };
/* Pure. authorization: the header's value, or NULL. */
enum grafana_verdict grafana_judge_access(enum grafana_access access, bool local, const char *authorization,
					  const struct skymon_secret *token);

/* ---- grafana_json.c: JSON as text; all pure ---- */

/* Is all of it one JSON value, whatever its numbers, and nested at most as deep as Grafana itself takes?
 * *cost: about the bytes that jansson's tree of it takes (of what was read, if it is none). */
bool grafana_scan(struct grafana_span text, size_t *cost);
/* The next member of an object (key as it stands there, with its quotes), or the next item of an array (key:
 * NULL). *rest: at first the object or array; of a text that was scanned. false: there is no more. */
bool grafana_walk(struct grafana_span *rest, struct grafana_span *key, struct grafana_span *value);
/* The value of an object's member; nothing: it has none, or is no object. */
struct grafana_span grafana_find(struct grafana_span object, const char *name);
/* A small value, for json_decref. NULL: there is none, it is large, or jansson does not read it. */
json_t *grafana_load(struct grafana_span value);
/* The same for a member. */
json_t *grafana_pick(struct grafana_span object, const char *name);

/* ---- grafana_json.c: what the caller sent ---- */

struct grafana_span grafana_body_text(struct grafana_ctx *ctx);
/* The body, an object, for grafana_drop_body or json_decref; there is room for a second text of its size
 * then. NULL: ctx->fault: 400 when it is no JSON, 413 when it is too much, 422 when it is no object. */
json_t *grafana_body(struct grafana_ctx *ctx);
void grafana_drop_body(struct grafana_ctx *ctx, json_t *body); /* gives its room back, before the end */

struct grafana_name { /* a name that is taken too, and Grafana's own */
	const char *other, *own;
};
/* A row of these names as what the caller may have sent; ends with {NULL, NULL}. */
struct grafana_spot {
	const json_t *sent; /* an object as it came */
	const struct grafana_name *names;
	const char *pointer; /* to the object, as "/data/0"; "": the body */
	struct grafana_fault *fault;
};
/* A copy of the object (its values are shared) with Grafana's names; null counts as not sent. NULL: a field
 * is there under two names, and they differ. */
json_t *grafana_rename(const struct grafana_spot *spot);
/* The same as text, without making a tree: the members of the object's text but those of `skip` (Grafana's
 * names; ends with NULL), each as ,"name":value with its value as it was sent. To `out`, which has room for
 * the text's size. How many bytes. */
size_t grafana_copy_members(const struct grafana_spot *spot, struct grafana_span object,
			    const char *const *skip, char *out);
/* The name under which the field was sent, or else Grafana's. */
const char *grafana_sent_name(const struct grafana_spot *spot, const char *own);
/* Each of these: false: 422 for the field, named as the caller has named it. */
enum grafana_kind { GRAFANA_TEXT, GRAFANA_BOOLEAN, GRAFANA_INTEGER, GRAFANA_OBJECT, GRAFANA_ARRAY };
bool grafana_is(const struct grafana_spot *spot, const char *own,
		enum grafana_kind kind); /* or missing, or null */
bool grafana_needs(const struct grafana_spot *spot, const char *own,
		   enum grafana_kind kind);                            /* and not empty */
bool grafana_is_uid(const struct grafana_spot *spot, const char *own); /* or missing, null, "" */
bool grafana_wrong_field(const struct grafana_spot *spot, const char *own, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* A sentence for each field that was sent, with a value that means something, and is not in what Grafana has
 * kept, but for those of `skip` (Grafana's names; ends with NULL). NULL: there is none. */
json_t *grafana_dropped(const struct grafana_spot *spot, const json_t *kept, const char *const *skip);
/* The field, by either name; NULL: it is missing, or null. */
json_t *grafana_field(const struct grafana_spot *spot, const char *own);

/* ---- grafana_inputs.c ---- */

/* Fills the inputs of a shared dashboard in `model`, which is changed. inputs: the request's, or NULL.
 * *filled: the model as text, for grafana_free_text; NULL: it has none to fill. false: ctx->fault. */
bool grafana_fill_inputs(struct grafana_ctx *ctx, json_t *model, const json_t *inputs, char **filled);

/* ---- grafana_folder.c ---- */

/* Waits for the turn of this kind and name. false: 504. */
bool grafana_take_turn(struct grafana_ctx *ctx, const char *kind, const char *folder, const char *title);
void grafana_give_turn(struct grafana_ctx *ctx); /* if there is one */
/* The folder of this uid; or else, where a title is given, that of the title, which somebody has made under
 * another uid: *uid_out. *there: it was there before. If not, it is made (title NULL: the uid), or, if
 * !may_make, that is all. */
bool grafana_folder(struct grafana_ctx *ctx, const char *uid, const char *title, bool may_make,
		    char uid_out[GRAFANA_UID_MAX + 1], bool *there);
/* A uid for something new that was posted without one, the same for the same thing each time: what was done
 * although its answer was lost is not done twice. */
void grafana_make_uid(const char *kind, const char *folder, const char *title, char out[GRAFANA_UID_MAX + 1]);
/* Is this a uid that Grafana takes? NULL: yes, else why not. */
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
