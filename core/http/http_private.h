/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of http share. Nothing outside core/http*.c includes it. */
#ifndef HTTP_PRIVATE_H
#define HTTP_PRIVATE_H

#include <microhttpd.h>

#include "base/account.h"
#include "base/buf.h"
#include "http.h"
#include "base/log.h"

struct peer; /* a connection */

/* ---- Counting (http_count.c) ---- */

struct counts;
struct count_route; /* one route's numbers; lives as long as the counts */

enum http_method {
	HTTP_GET,
	HTTP_HEAD,
	HTTP_POST,
	HTTP_PUT,
	HTTP_DELETE,
	HTTP_OPTIONS,
	HTTP_OTHER,
	HTTP_METHODS
};

struct counts *counts_new(void);
void counts_free(struct counts *counts);
/* The place of a template, made when it is new: the same for GET and POST, and before and after a reload. */
struct count_route *counts_route(struct counts *counts, const char *template);
void counts_add(struct counts *counts, struct count_route *route, enum http_method method, int code,
		bool problem, bool forwarded, int64_t duration_ns, int64_t now_ms);
uint64_t counts_total(const struct counts *counts);
struct http_window counts_window(struct counts *counts, int64_t now_ms);
const struct skymon_http_count *const *counts_rows(const struct counts *counts, size_t *count);
const struct skymon_http_time *const *counts_times(const struct counts *counts, size_t *count);

/* ---- Compression (http_gzip.c) ---- */

struct gzip; /* one helper thread and its queue; touches bytes and nothing else */

struct gzip_job {
	struct gzip_job *next;     /* in the queue, or in the list of what is done */
	struct skymon_part *parts; /* owned; their bytes are not */
	size_t count;
	char *out; /* malloc'd; NULL when zlib failed */
	size_t out_size;
	void (*finished)(struct gzip_job *job); /* on the loop's thread */
};

struct gzip *gzip_new(struct loop *loop);
void gzip_free(struct gzip *gzip); /* waits for the job that runs; every job is finished before it returns */
/* false: there is no thread to be had, and finished is not called. */
bool gzip_start(struct gzip *gzip, struct gzip_job *job) MUST_CHECK;
/* At once, on the caller's thread; NULL when zlib failed. The caller frees. */
char *gzip_now(struct gzip *gzip, const struct skymon_part *parts, size_t count, size_t *size);
/* Does an Accept-Encoding header (NULL: none) ask for gzip? */
bool gzip_wanted(const char *accept_encoding);

/* ---- The head of a request (http_head.c) ---- */

#define HEAD_MAX 20480       /* of a whole head */
#define HEAD_TARGET_MAX 8192 /* of the target in the request line */

struct head {
	int fault; /* a code: the head is refused with it, and why says so */
	const char *why;
	enum http_method method; /* known also when the rest is refused */
	bool http_1_0, chunked, has_length, has_host, has_origin, has_authorization;
	bool cookies, blanks; /* there are some to clean away */
	unsigned fields;
	uint64_t length; /* of the body; UINT64_MAX also for larger ones */
	size_t kept;     /* of the head, after cleaning */
};

enum http_method head_method(const char *word, size_t size);
/* Takes a head from the front of bytes, cleans it in place and returns its size before that; 0: it is not
 * whole, or is refused. */
size_t head_take(char *bytes, size_t size, struct head *head);
/* One line between the headers, without its end. */
bool head_field(struct head *head, const char *line, size_t size);
/* Has it only characters of hosts and ports? Without the comma, though RFC 3986 has it: two Hosts that were
 * joined. */
bool head_is_host(const char *text, size_t size);
/* The host of a target in absolute form, or NULL. */
const char *head_authority(const char *target, size_t target_size, size_t *size);

/* ---- Between sockets and libmicrohttpd (http_gate.c, http_hook.c) ---- */

enum gate_phase {
	GATE_HEAD,
	GATE_BODY,
	GATE_CHUNK, /* the line with its size */
	GATE_CHUNK_DATA,
	GATE_CHUNK_END,
	GATE_TRAILERS,
	GATE_SHUT /* behind a fault: nothing passes any more */
};

struct gate {
	enum gate_phase phase;
	enum http_method method; /* of the last head */
	uint64_t body_limit;     /* limits.request_body */
	uint64_t left;           /* of the body or chunk */
	uint64_t body;           /* of the chunks so far */
	size_t trailers;
	unsigned blanks;
	uint64_t passed;   /* heads */
	uint64_t fault_at; /* the request, counted from 1, that is to be answered with fault; 0: none */
	int fault;
	const char *why;
	const char *ending; /* what libmicrohttpd gets in place of the faulty bytes */
	char *held; /* NULL while it is empty: first `ready` bytes that may pass, then a part of a line */
	size_t held_size, ready;
};

struct gate_source {
	ssize_t (*read)(void *arg, char *out, size_t room);
	void *arg;
	ssize_t again; /* returned when there is nothing now */
	bool records;  /* a read that gave less than asked for does not mean that there is no more */
};

ssize_t gate_read(struct gate *gate, const struct gate_source *source, char *out, size_t room);
/* Shuts the gate with 408, where that can still be answered. */
bool gate_expire(struct gate *gate);
void gate_free(struct gate *gate);
void gate_enter(int fd, struct peer *peer); /* NULL: it is closed */
struct peer *gate_peer(int fd);

/* ---- Refused clients that may still be sending (http_linger.c) ---- */

struct lingering;
void linger_start(struct http *http, int fd); /* takes a copy of the descriptor */
void linger_end_all(struct http *http);

/* ---- Connections, listeners and the whole (http.c) ---- */

/* Which process holds the other end. OTHER: one that the daemon did not start; UNSEEN: none that it can see;
 * BUSY: the search is over its quota for now. */
enum holder { HOLDER_UNASKED, HOLDER_OTHER, HOLDER_OURS, HOLDER_UNSEEN, HOLDER_BUSY };

struct owner { /* the user at the other end, as the kernel names it; looked up once, when it is needed */
	bool asked, known;
	uid_t uid;                   /* if known */
	pid_t pid;                   /* of a Unix socket, when it connected */
	uint32_t inode;              /* of a TCP socket */
	enum holder holder;          /* looked for only if a worker can have this user */
	char name[ACCOUNT_NAME_MAX]; /* "" if it has none */
};

/* ---- Connections (http_pool.c) ---- */

struct link {
	struct link *previous, *next;
};

/* AWAY: its request is with a worker or the compressing thread */
enum peer_state { PEER_NEW, PEER_IDLE, PEER_HEADER, PEER_BODY, PEER_BUSY, PEER_AWAY };
struct peer {                  /* one connection */
	struct link all, near; /* in one of the pool's lists; in its origin's, or in none */
	struct origin *origin; /* NULL: it has no address */
	int fd;
	struct http *http;
	struct gate gate;
	uint64_t begun; /* requests */
	bool tls;
	bool ending;  /* was shut down: libmicrohttpd closes it when it looks */
	bool reserve; /* has a place of the reserve: for probes only */
	enum peer_state state;
	int64_t since_ms;  /* of the state */
	int64_t opened_ms; /* CLOCK_BOOTTIME */
	uint64_t verified; /* the listener's rules_number when the client's certificate was; else 0 */
	struct owner owner;
};

struct pool {
	struct link waiting, busy, ending; /* peers; the first two by how long they are in their state */
	struct origin **buckets;
	uint64_t multiplier;
	uint32_t open, counted; /* all; those that are not ending */
	uint32_t reserved;
	bool for_reserve; /* what pool_admits said of the connection that comes next */
	uint64_t evicted_total, refused_total;
	uint64_t limited; /* of these, since the newest line of the log about them */
	int64_t limit_logged_ms;
	struct timer sweep; /* ends connections that are too slow */
};

void pool_init(struct pool *pool);
/* Makes room for a connection of this address if need be. false: there is none, close it. */
bool pool_admits(struct http *http, const struct sockaddr_storage *address);
/* Ends the connection that has waited longest for its client. false: there is none. */
bool pool_make_room(struct http *http);
void pool_set_state(struct peer *peer, enum peer_state state);

/* ---- Listeners (http_listener.c) ---- */

struct tls_files { /* PEM texts; all NULL: plain HTTP */
	char *cert, *key, *client_ca, *client_crl;
};

/* One libmicrohttpd daemon of a listener. New certificates make a new one, which gets the connections that
 * come from then on; the old one stays for its own. */
struct engine {
	struct engine *next;
	struct listener *listener;
	struct MHD_Daemon *daemon;
	struct watch watch;
	struct tls_files tls;
};

struct listener {
	struct listener *next;
	struct http *http;
	struct watch accept;             /* its fd is -1 when it takes no more connections */
	struct timer pause;              /* of accepting, when descriptors have run out */
	struct engine *engines;          /* the newest first */
	struct settings_listen settings; /* our copy */
	uint8_t *allowed;                /* by a route's index; NULL: all */
	bool resumed;                    /* a connection was: MHD_get_timeout does not tell */
	struct timer look;               /* at the certificates' files */
	uint64_t files_seen;             /* a mark of them */
	struct client_rules *clients;    /* NULL: they need no certificate */
	uint64_t rules_number;           /* of these; counts up from 1 */
};

struct listener *listener_new(struct http *http, const struct settings_listen *settings,
			      struct err *err) MUST_CHECK;
/* Does what can be done without waiting; returns how long a wait may be (ms), or -1. */
int listener_turn(struct listener *listener);
void listener_renew(
	struct listener *listener); /* reads the certificates again; a bad one is logged, the old one stays */
void listener_quiesce(struct listener *listener);
void listener_free(struct listener *listener);
/* Which client certificates may use a listener; *out is NULL if it asks for none (http_client.c). Uses
 * settings' names, which must live longer. */
struct client_rules;
bool client_rules_new(const struct settings_listen *settings, const struct tls_files *files,
		      struct client_rules **out, struct err *err) MUST_CHECK;
void client_rules_free(struct client_rules *rules);
/* Why this TLS session's client may not use it; NULL if it may. */
const char *client_rules_refuse(const struct client_rules *rules, void *session);
/* Reads the files that settings name; both NULL when there are none. */
bool tls_read(const struct settings_listen *settings, struct tls_files *out, struct err *err) MUST_CHECK;
void tls_free(struct tls_files *files);
uint64_t tls_mark(const struct settings_listen *settings); /* changes when one of the files does */
uint64_t files_mark(const char *const *paths, size_t count);

struct access {
	bool asked;  /* a token is asked for */
	char *token; /* NULL: could not be read, so that nothing matches */
	size_t token_size;
	char *file; /* of the token; NULL if it comes from elsewhere */
	uint64_t file_seen;
	struct timer look; /* at the file */
	uint64_t failed_total;
	int64_t log_window_ms;
	unsigned logged; /* wrong tokens in this window */
	char **names;    /* public routes */
	size_t name_count;
	uint8_t *open; /* by a route's index */
};

/* A bound, listening socket; its address is logged (http_socket.c). */
bool socket_open(const struct settings_listen *listen_at, int *fd, struct err *err) MUST_CHECK;

struct http {
	const struct http_forward *away;
	void *forward_arg;
	struct skymon_request *waiting; /* for a reply from a worker */
	char machine[256];              /* its name */
	char **server_names;
	size_t server_name_count;
	uid_t *local_uids; /* besides root and our own */
	size_t local_uid_count;
	struct loop *loop;
	struct listener *listeners;
	struct route_table *table;
	struct count_route **by_index, *no_route;
	struct counts *counts;
	struct gzip *gzip;
	struct access access;
	struct pool pool;
	struct lingering *lingers;
	unsigned linger_count;
	struct skymon_request *spare; /* to be used again */
	struct gzip_run *running;     /* bodies that are being compressed */
	struct kept_reply *kept;
	size_t in_flight;
	int64_t date_second; /* of date */
	char date[32];
	bool quiesced;
	uint32_t connections, connections_per_address;
	int64_t body_limit, header_timeout_ms, idle_timeout_ms;
};

/* What recv() gives libmicrohttpd of a connection. */
ssize_t http_read(struct peer *peer, const struct gate_source *source, char *out, size_t room);
void http_note_connection(void *listener, struct MHD_Connection *connection, void **peer,
			  enum MHD_ConnectionNotificationCode what);
char **texts_copy(char *const *texts, size_t count);
void texts_free(char **texts, size_t count);

/* ---- One request (http_request.c) ---- */

#define REQUEST_INLINE 1024

struct chunk {
	struct chunk *next;
	char bytes[];
};

struct request_headers { /* what is looked at for every request; values live in the connection */
	const char *accept_encoding, *content_type, *authorization;
	bool odd_host;
};

struct skymon_request {
	struct http *http;
	struct listener *listener;
	struct MHD_Connection *connection; /* NULL: rendered for another request */
	struct peer *peer;
	struct skymon_request *next;   /* among the spare */
	struct skymon_request *parent; /* who has it rendered */
	struct route_table *table;     /* held */
	struct route_match match;
	const struct route_entry *entry; /* whose handler runs */
	struct count_route *count;
	const char *method, *path, *query; /* path and query are raw; query "" when there is none */
	const char *host; /* of a target in absolute form, which counts before Host; else NULL */
	uint64_t ordinal; /* among the connection's requests, from 1 */
	enum http_method method_index;
	struct request_headers headers;
	int64_t started_ns; /* the first call of the handler */
	int stage;          /* calls of the handler so far */
	int fault;          /* a code: the request is refused with it, when it is read */
	const char *fault_text;
	bool trusted, as_options, close, answered, problem;
	bool open; /* everybody may ask for this: judged when it enters, as a reload may come before its reply
		    */
	bool keep; /* the response is the kept one, not ours to destroy */
	bool away, suspended;    /* away: it waits for a reply from a worker */
	uint64_t forward_number; /* 0: not yet known */
	struct skymon_request *previous_away, *next_away;
	struct watch client; /* whether it leaves meanwhile */
	struct skymon_caller caller;
	char address[64];  /* of caller */
	const char *audit; /* what a write did; NULL: not said */
	int code;
	struct buf body;               /* what the client sent */
	struct buf extra;              /* headers of the reply: name '\0' value '\0' … */
	struct buf members;            /* of the coming problem */
	struct buf output;             /* of a rendered one */
	struct MHD_Response *response; /* ready, to be queued */
	struct gzip_run *run;          /* waited for */
	struct skymon_request *next_waiter;
	struct chunk *chunks; /* texts that live as long as the request */
	size_t used;
	char inline_bytes[REQUEST_INLINE];
};

struct skymon_request *request_new(struct http *http, struct listener *listener,
				   struct MHD_Connection *connection);
void request_end(struct skymon_request *rq);
void request_free_spare(struct http *http);
const char *request_header(struct skymon_request *rq, const char *name); /* NULL if there is none */
char *request_text(struct skymon_request *rq, size_t size); /* memory that lives as long as the request */
/* libmicrohttpd's callbacks. */
void *request_begin(void *listener, const char *uri, struct MHD_Connection *connection);
enum MHD_Result request_handle(void *listener, struct MHD_Connection *connection, const char *url,
			       const char *method, const char *version, const char *upload,
			       size_t *upload_size, void **rq);
void request_completed(void *listener, struct MHD_Connection *connection, void **rq,
		       enum MHD_RequestTerminationCode why);

/* Finds the route, asks for access, runs the handler; afterwards the request is answered or waits
 * (http_dispatch.c). */
void request_dispatch(struct skymon_request *rq);
/* Is a route meant by one of these names: its plugin's, its own, or that of a route above it? */
bool request_route_named(const struct route_table *table, const struct route_entry *entry, char *const *names,
			 size_t count);

/* ---- The token (http_token.c) ---- */

void token_configure(struct http *http, const struct settings *settings);
void token_free(struct http *http);
bool token_matches(const struct skymon_request *rq);
/* Counts and logs a wrong token, when its request is answered. */
void token_note_answer(struct skymon_request *rq, int code);
/* A line of area=access; a few in ten seconds. */
void access_log(struct skymon_request *rq, const char *what, const char *why);

/* ---- The caller (http_guard.c) ---- */

const char *request_address(struct skymon_request *rq);
const struct skymon_caller *request_caller(struct skymon_request *rq);
struct inet_diag_msg;
struct inet_diag_req_v2;
/* Is what the kernel found the socket that was asked for, and held by a process? Pure. */
bool owner_is_peer(const struct inet_diag_msg *found, const struct inet_diag_req_v2 *wanted);
/* Fills owner; addresses that are IPv4 mapped into IPv6 must be unmapped before (http_owner.c). */
void owner_find(struct owner *owner, int fd, const struct sockaddr_storage *peer,
		const struct sockaddr_storage *own);
/* Looks for the process at the other end (http_holder.c): by its number, which it had at connected_ms
 * (CLOCK_BOOTTIME), or by the inode of its socket, which was made by that user. */
enum holder holder_of_process(pid_t pid, int64_t connected_ms);
enum holder holder_of_socket(uint32_t inode, uid_t uid);
/* Is it this process or a descendant, or can that not be ruled out? */
bool holder_descends(pid_t pid);
/* Of a GUARDED route: does Host name this machine, and Origin nobody else? Else it is refused here. */
bool request_is_guarded(struct skymon_request *rq);
/* One line in the log for each request for a GUARDED route. code 0: its client left before it was answered.
 */
void request_log_audit(struct skymon_request *rq, int code);
void request_audit(struct skymon_request *rq, const char *format, va_list list)
	__attribute__((format(printf, 2, 0)));

/* ---- Requests for a worker (http_forward.c) ---- */

void forward_hand(struct skymon_request *rq);   /* afterwards rq->away, or it is answered */
void forward_forget(struct skymon_request *rq); /* it ends, or its connection does */
void forward_end(struct http *http);            /* resumes all that wait, so that they can be closed */

/* ---- Replies (http_reply.c) ---- */

void reply_header(struct skymon_request *rq, const char *name, const char *value);
void reply_copy(struct skymon_request *rq, int code, const char *type, const void *bytes, size_t size);
void reply_parts(struct skymon_request *rq, int code, const char *type, const struct skymon_part *parts,
		 size_t count, uint64_t generation, void (*done)(void *), void *argument);
void reply_problem_list(struct skymon_request *rq, int code, const char *format, va_list list);
void reply_problem(struct skymon_request *rq, int code, const char *format, ...) PRINTF(3);
void reply_forget_waiter(struct skymon_request *rq); /* it ends while its body is being compressed */
void reply_free_kept(struct http *http);             /* http->kept stays, empty */
struct kept_reply *reply_new_kept(void);

#endif
