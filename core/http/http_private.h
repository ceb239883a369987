/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by the files of http: the server, its listeners, connections and requests. Only core/http includes
 * it. A struct whose members are not here is private to the file that its heading names. */
#ifndef HTTP_PRIVATE_H
#define HTTP_PRIVATE_H

#include <microhttpd.h>

#include "base/passwd.h"
#include "base/buf.h"
#include "base/log.h"
#include "http.h"
#include "http_metrics.h"
#include "http_framing.h"
#include "http_gzip.h"

struct link { /* of a circular list; its head is a link too */
	struct link *previous, *next;
};

static inline void link_init(struct link *head)
{
	head->previous = head->next = head;
}

static inline void link_append(struct link *head, struct link *item)
{
	item->previous = head->previous;
	item->next = head;
	head->previous->next = item;
	head->previous = item;
}

static inline void link_remove(struct link *item)
{
	item->previous->next = item->next;
	item->next->previous = item->previous;
	link_init(item);
}

struct http {
	struct loop *loop;
	const struct http_forward *forward;
	void *forward_arg;
	char machine[256];         /* this machine's host name */
	struct settings *settings; /* held */
	/* of the first settings, as a reload cannot change them */
	uint32_t connections_max, connections_per_address;
	int64_t idle_timeout_ms;
	struct listener *listeners;
	const struct skymon_listener **certificates; /* of those with TLS */
	size_t certificate_count;
	struct passed *passed;
	struct connections *connections;
	struct link lingering; /* sockets whose clients were refused */
	unsigned lingering_count;
	struct route_table *table;
	struct count_route **by_index, *no_route; /* counters of the table's routes, and of everything else */
	struct counts *counts;
	struct access *access;
	struct users *users;
	struct link forwarded;        /* requests in phase REQUEST_FORWARDED */
	struct skymon_request *spare; /* to be used again */
	size_t in_flight;             /* requests */
	struct replies *replies;
	bool quiesced;
};

/* ---- Listeners (http_listener.c, http_socket.c, http_tls.c) ---- */

struct listener {
	struct listener *next;
	struct http *http;
	struct watch accept;                /* its fd is -1 when no more connections are accepted */
	struct timer pause;                 /* of accepting, when descriptors have run out */
	struct engine *engines;             /* newest first */
	struct skymon_listener certificate; /* that new connections get */
	char *label;                        /* of that: the address, with the real port */
	bool passed;                        /* by systemd, which keeps the socket and its file */
	struct settings_listen *settings;
	uint8_t *allowed;             /* by a route's index; NULL if all are */
	bool resumed;                 /* a connection was, which MHD_get_timeout does not report */
	struct timer look;            /* at the files of certificates */
	uint64_t files_seen;          /* their mark */
	struct client_rules *clients; /* NULL if clients need no certificate */
	uint64_t rules_number;        /* counts changes of clients, from 1 */
};

/* fd: a listening socket that systemd passes, which the listener takes over; -1 to open one. */
struct listener *listener_new(struct http *http, struct settings_listen *settings, int fd,
			      struct err *err) MUST_CHECK;
/* Does what can be done without waiting. Returns the longest wait (ms) until the next call, or -1. */
int listener_turn(struct listener *listener);
/* Reads the certificates again. If that fails, logs the error and keeps the old ones. */
void listener_renew(struct listener *listener);
void listener_quiesce(struct listener *listener);
void listener_free(struct listener *listener);

/* Opens a listening socket. */
bool socket_open(const struct settings_listen *listen_at, int *fd, struct err *err) MUST_CHECK;
void socket_log(int fd); /* its address */

/* ---- Sockets that systemd passes (http_passed.c) ---- */

struct passed;
struct passed *passed_new(void);
/* Returns the descriptor of a socket that `at` names, or that is bound to its address; -1 if none is left. */
int passed_take(struct passed *passed, const struct settings_listen *at);
/* Sets err, as `at` names a socket that is not passed; returns false. */
bool passed_lacks(const struct passed *passed, const struct settings_listen *at, struct err *err);
void passed_warn(const struct passed *passed); /* of those that are left */
void passed_free(struct passed *passed);

struct tls_files { /* PEM texts; all NULL for plain HTTP */
	char *cert, *key, *client_ca, *client_crl;
};
bool tls_read(const struct settings_tls *settings, struct tls_files *out, struct err *err) MUST_CHECK;
void tls_free(struct tls_files *files);
/* Sets when the certificates of a PEM text end: the first, and the first of all to end. */
void tls_ends(const char *cert, struct skymon_listener *out);
/* A mark changes when one of the files does. */
uint64_t tls_mark(const struct settings_tls *settings);
uint64_t files_mark(const char *const *paths, size_t count);

/* ---- Client certificates (http_client_cert.c) ---- */

struct client_rules;
/* Sets *out to NULL if the listener needs no client certificate. Borrows the names of settings. */
bool client_rules_new(const struct settings_tls *settings, const struct tls_files *files,
		      struct client_rules **out, struct err *err) MUST_CHECK;
void client_rules_free(struct client_rules *rules);
/* Returns why the client of this TLS session is refused, or NULL. */
const char *client_rules_refuse(const struct client_rules *rules, void *session);

/* ---- Connections (http_connection_limits.c) ---- */

enum holder { /* the process at the other end */
	      HOLDER_UNASKED,
	      HOLDER_OTHER,  /* not started by the daemon */
	      HOLDER_OURS,   /* the daemon or a descendant, or perhaps one */
	      HOLDER_UNSEEN, /* not visible to the daemon */
	      HOLDER_BUSY    /* the search is over its quota for now */
};

struct owner { /* the user at the other end, by the kernel; looked up once, when a request needs it */
	bool asked, known;
	uid_t uid;                   /* if known */
	pid_t pid;                   /* of a Unix socket, when it connected */
	uint32_t inode;              /* of a TCP socket */
	enum holder holder;          /* looked for only if a worker can have this user */
	char name[ACCOUNT_NAME_MAX]; /* "" if the user has none */
};

enum peer_state { PEER_NEW, PEER_IDLE, PEER_HEADER, PEER_BODY, PEER_BUSY, PEER_SUSPENDED };
struct peer {                             /* one connection */
	struct link by_state, by_address; /* in a list of struct connections; in its origin's, or in none */
	struct origin *origin;            /* NULL if it has no address */
	int fd;
	struct http *http;
	struct framing framing;
	uint64_t begun; /* requests */
	bool tls;
	bool ending;  /* was shut down: libmicrohttpd closes it when it looks */
	bool reserve; /* has a place of the reserve, which serves probes only */
	enum peer_state state;
	int64_t since_ms;  /* of the state */
	int64_t opened_ms; /* CLOCK_BOOTTIME */
	uint64_t verified; /* rules_number of the listener when the client's certificate was verified, or 0 */
	struct owner owner;
};

struct connections *connections_new(struct http *http);
void connections_free(struct connections *all);
/* Makes room for a connection of this address if need be. Returns false if it must be closed. */
bool connections_admit(struct http *http, const struct sockaddr_storage *address);
/* Ends the connection that has waited longest for its client. Returns false if none waits. */
bool connections_make_room(struct http *http);
/* Returns whether a request is probably on its way: a connection is new, or has sent a part of one. */
bool connections_expect(const struct http *http);
void peer_set_state(struct peer *peer, enum peer_state state);
/* Fills libmicrohttpd's buffer, through the framing check (called by http_recv.c). */
ssize_t peer_read(struct peer *peer, const struct framing_source *source, char *out, size_t size);
struct peer *peer_of_socket(int fd);
/* libmicrohttpd's MHD_OPTION_NOTIFY_CONNECTION. */
void peer_notify(void *listener, struct MHD_Connection *connection, void **peer,
		 enum MHD_ConnectionNotificationCode event);

/* ---- Refused clients that may still be sending (http_linger.c) ---- */

void linger_start(struct http *http, int fd); /* duplicates the descriptor */
void linger_end_all(struct http *http);

/* ---- Requests ---- */

/* Transitions are in http_request.c, which alone sets the phase. */
enum request_phase {
	REQUEST_HEAD,        /* its head is being read */
	REQUEST_BODY,        /* its body is being read */
	REQUEST_VERIFYING,   /* suspended while the helper thread verifies its password */
	REQUEST_HANDLING,    /* its handler runs */
	REQUEST_FORWARDED,   /* suspended until its worker replies */
	REQUEST_COMPRESSING, /* suspended while the helper thread compresses its body */
	REQUEST_ANSWERED,    /* its reply is queued, or captured for the request that renders it */
	REQUEST_CANCELLED    /* will get no reply: libmicrohttpd closes its connection */
};

struct request_headers { /* read for every request; the values live in the connection */
	const char *accept_encoding, *content_type, *authorization;
	bool odd_host;
};

#define REQUEST_INLINE 1024 /* bytes of texts that need no allocation */

struct skymon_request {
	struct http *http;
	struct listener *listener;
	struct MHD_Connection *connection; /* NULL if rendered for another request */
	struct peer *peer;                 /* NULL if rendered */
	enum request_phase phase;
	uint64_t ordinal; /* among the connection's requests, from 1 */
	const char *method;
	enum http_method method_index;
	const char *path, *query; /* raw; query is "" when there is none */
	const char *host; /* of a target in absolute form, which overrides the Host header; else NULL */
	struct request_headers headers;
	struct buf body;
	int64_t started_ns; /* when the head was complete */
	int fault;          /* status code that refuses the request once it is read, or 0 */
	const char *fault_text;
	bool close;                /* the connection ends after the reply */
	struct route_table *table; /* held until the request ends */
	struct route_match match;
	const struct route_entry *entry; /* whose handler runs */
	struct count_route *count;
	bool trusted, as_options;
	bool verified;     /* its password was, with or without success */
	bool suspended;    /* its connection is */
	bool open;         /* the route needs no token; noted here, as a reload may come before the reply */
	const char *login; /* of the password that made it trusted, which browsers send by themselves */
	struct skymon_caller caller;
	char address[64];        /* of caller */
	const char *audit;       /* what a write did, or NULL */
	struct link waiting;     /* in http->forwarded, or in the list of a compression */
	uint64_t forward_number; /* 0 while unknown */
	struct watch client;     /* reports that the client leaves while the request is forwarded */
	int code;
	bool problem;                /* the reply is application/problem+json */
	struct buf extra;            /* headers of the reply: name '\0' value '\0' … */
	struct buf members;          /* of the problem that follows */
	struct buf output;           /* of a rendered request */
	struct skymon_request *next; /* among the spare */
	struct chunk *chunks;        /* texts that did not fit into inline_bytes */
	size_t used;
	char inline_bytes[REQUEST_INLINE];
};

/* http_memory.c */
struct skymon_request *request_new(struct http *http, struct listener *listener,
				   struct MHD_Connection *connection);
void request_free(struct skymon_request *rq);
void request_free_spare(struct http *http);
char *request_text(struct skymon_request *rq, size_t size); /* memory that lives as long as the request */
const char *request_copy(struct skymon_request *rq, const char *text);

/* http_request.c: the life of a request. */
void *request_begin(void *listener, const char *uri, struct MHD_Connection *connection);
enum MHD_Result request_handle(void *listener, struct MHD_Connection *connection, const char *url,
			       const char *method, const char *version, const char *upload,
			       size_t *upload_size, void **rq);
void request_completed(void *listener, struct MHD_Connection *connection, void **rq,
		       enum MHD_RequestTerminationCode why);
/* Calls the handler of rq->entry; afterwards the request is answered or suspended, if the plugin is right. */
void request_run(struct skymon_request *rq);
/* Suspends the connection. phase is REQUEST_FORWARDED or REQUEST_COMPRESSING. */
void request_suspend(struct skymon_request *rq, enum request_phase phase);
/* Queues the response (borrowed) with rq->code, and resumes the connection if it is suspended. rq may be
 * freed when this returns. */
void http_finish(struct skymon_request *rq, struct MHD_Response *response);
/* Ends a forwarded request without a reply. */
void request_cancel(struct skymon_request *rq);

/* http_validate.c */
void request_split_target(struct skymon_request *rq, const char *uri);
void request_validate(struct skymon_request *rq);         /* its head, once; sets fault */
void request_validate_framing(struct skymon_request *rq); /* by what http_framing.c found; sets fault */
const char *request_header(struct skymon_request *rq, const char *name); /* NULL if there is none */

/* http_dispatch.c: finds the route and runs its handler. */
void request_dispatch(struct skymon_request *rq);
/* The same for a request whose password was verified; the routes may be others by now. */
void request_dispatch_again(struct skymon_request *rq);
/* Returns, by a route's index, whether one of the names is that of the route's plugin, of the route itself or
 * of a route above it. The caller frees. */
uint8_t *request_choose_routes(const struct route_table *table, const struct skymon_texts *names);

/* ---- The access token (http_access_token.c) ---- */

struct access *access_new(struct http *http);
void access_free(struct access *access);
void access_configure(struct access *access);     /* after a change of the settings */
void access_choose_routes(struct access *access); /* after a change of the settings or the routes */
/* Needs a route no token? */
bool access_is_open(const struct access *access, const struct route_entry *entry);
/* Sets whether a request has the token or a verified password, or needs none at all. */
void access_set_trust(struct skymon_request *rq);
/* Counts and logs a wrong token when its request is answered. */
void access_note_reply(struct skymon_request *rq, int code);
/* Logs a line with area=access; at most a few in ten seconds. */
void access_log_refused(struct skymon_request *rq, const char *what, const char *why);

/* ---- Users with passwords (http_users.c) ---- */

struct users *users_new(struct http *http);
/* Waits for the verifying thread, and continues the requests that it has. */
void users_finish(struct users *users);
void users_free(struct users *users);
void users_configure(struct users *users); /* after a change of the settings */
bool users_exist(const struct users *users);
/* Returns the user whose name and verified password a request has, as memory of the request, or NULL. */
const char *users_find(struct skymon_request *rq);
/* Suspends the request to verify its password, or refuses it because of too many. Returns false if it has none
 * to verify. Afterwards request_dispatch_again is called. */
bool users_verify(struct skymon_request *rq);

/* ---- The caller (http_local_caller.c) ---- */

const char *request_address(struct skymon_request *rq);
const struct skymon_caller *request_caller(struct skymon_request *rq);
struct inet_diag_msg;
struct inet_diag_req_v2;
/* Is the socket that the kernel found the wanted one, and held by a process? Pure. */
bool owner_is_peer(const struct inet_diag_msg *found, const struct inet_diag_req_v2 *wanted);
/* Fills owner (http_peer_user.c). Addresses of IPv4 mapped into IPv6 must be unmapped before. */
void owner_find(struct owner *owner, int fd, const struct sockaddr_storage *peer,
		const struct sockaddr_storage *own);
/* Look for the process at the other end (http_peer_process.c): by its number at connected_ms
 * (CLOCK_BOOTTIME), or by the inode of its socket, which that user made. */
enum holder holder_of_process(pid_t pid, int64_t connected_ms);
enum holder holder_of_socket(uint32_t inode, uid_t uid);
/* Is a process this one or a descendant, or can that not be ruled out? */
bool holder_descends(pid_t pid);
/* Checks the Host and Origin of a request for a GUARDED route; answers it and returns false if they are
 * foreign. */
bool request_is_guarded(struct skymon_request *rq);
/* Logs one line for a request for a GUARDED route. code is 0 if the client left before the answer. */
void request_log_audit(struct skymon_request *rq, int code);
void request_audit(struct skymon_request *rq, const char *text, size_t size);

/* ---- Requests for a worker (http_forward.c) ---- */

void forward_send(struct skymon_request *rq); /* afterwards it is suspended or answered */
void forward_cancel_all(struct http *http);   /* ends those that wait, without a reply */

/* ---- Replies (http_reply.c) ---- */

struct replies *replies_new(struct loop *loop);
/* Waits for the compressing thread, and answers the requests that it has. */
void replies_finish(struct replies *replies);
void replies_free(struct replies *replies);
void reply_header(struct skymon_request *rq, const char *name, const char *value);
void reply_copy(struct skymon_request *rq, int code, const char *type, const void *bytes, size_t size);
void reply_parts(struct skymon_request *rq, int code, const char *type, const struct skymon_part *parts,
		 size_t count, uint64_t generation, void (*done)(void *), void *argument);
void reply_problem_text(struct skymon_request *rq, int code, const char *text, size_t size);
void reply_problem(struct skymon_request *rq, int code, const char *format, ...) PRINTF(3);

#endif
