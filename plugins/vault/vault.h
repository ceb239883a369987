/* SPDX-License-Identifier: Apache-2.0 */
/* vault: checks HashiCorp Vault or OpenBao, and serves its secrets to other components.
 * vault.c: options and the check; vault_api.c: requests with the component's token, login, renewal, reading a
 * path; vault_secret.c: the secret requests of other components; vault_parse.c: the meaning of answers
 * (pure). */
#ifndef VAULT_H
#define VAULT_H

#include <jansson.h>
#include <pthread.h>
#include <skymon/secrets.h>

#include <skymon/http.h>
#include <skymon/json.h>
#include <skymon/timed_lock.h>

#define VAULT_PATH_MAX 1024
#define VAULT_VALUE_MAX 65536

struct vault_own;

struct vault { /* the options, as the core stores them */
	const char *address, *login, *role_id, *name_space, *mount, *read, *proxy;
	struct skymon_secret token, secret_id;
	struct skymon_duration reconnect;
	struct skymon_tls tls;
	bool renew;
	struct vault_own *own;
};

struct vault_fault {
	struct skymon_fault is;
	int code;     /* HTTP status; 0 without an answer */
	bool outage;  /* the server serves no request at present: a value from memory is better than none */
	bool login;   /* the token or the login itself was refused: further requests are useless */
	bool invalid; /* 403 with a body by which Vault reports an invalid or revoked token */
};

/* ---- Meaning of answers (vault_parse.c) ---- */

struct vault_health {
	bool initialized, sealed, standby;
	double server_time; /* Unix time in whole seconds; -1 if missing */
	char version[48], cluster[80];
};
#define VAULT_WHY 160
/* Returns false if the body is not an answer of /v1/sys/health, with why set to a predicate: "is HTML or XML,
 * not JSON". */
bool vault_parse_health(const char *body, size_t size, struct vault_health *health, char why[VAULT_WHY]);

struct vault_verdict {
	enum skymon_status status;
	enum skymon_reason reason;
	bool accessible; /* the answer is Vault's */
	bool serves;     /* the server answers requests with a token */
	const char *text;
};
/* Maps the HTTP code of /v1/sys/health to a status. health is NULL if the body could not be parsed. */
void vault_evaluate(int code, const struct vault_health *health, struct vault_verdict *verdict);

/* Returns how far the server's clock is ahead of ours, in s; 0 while the difference may come from the whole
 * seconds in which the server reports its time. */
double vault_skew(double server_time, double our_time);

struct vault_token {              /* the answer to lookup-self */
	double ttl, creation_ttl; /* s */
	bool forever, renewable;
};
bool vault_parse_token(const json_t *answer, struct vault_token *token);
/* Returns whether the token's remaining life is short enough for a renewal. */
bool vault_is_due(const struct vault_token *token);

/* Explains an answer whose code is not 2xx, by "errors" in its body. what names the requested object, as in
 * "the path grafana/api_key". */
void vault_explain(int code, const char *body, const char *place, const char *what,
		   struct vault_fault *fault);

/* Writes the full path ("secret/grafana/api_key") of a path in the config ("grafana/api_key",
 * "secret/grafana/api_key", "/database/creds/x"). *guess is the length of the mount's name, for servers that
 * do not report it. */
bool vault_full_path(const char *mount, const char *path, char *full, size_t size, size_t *guess);
/* Percent-encodes all but unreserved characters and slashes. */
bool vault_encode(const char *path, char *encoded, size_t size);

enum vault_found { VAULT_FOUND, VAULT_NO_FIELD, VAULT_NO_TEXT };
/* Returns a field as bytes: a string, or the text of a number or a boolean. *bytes points into data or to
 * `room`, which has 64 bytes. */
enum vault_found vault_field(struct skymon *sm, const json_t *data, const char *field, char *room,
			     const char **bytes, size_t *size);

/* Explains why vault_field() found no value, without quoting it. */
void vault_explain_field(const json_t *data, const char *field, const char *place,
			 struct skymon_fault *fault);

/* ---- Requests (vault_api.c) ---- */

struct vault_lease {
	char id[256];    /* "" without a lease; the lease is only a hint when to read again */
	int64_t life_ms; /* 0 if unlimited */
};

bool vault_has_token(const struct vault *vault); /* or a role to log in with */
int64_t vault_now_ms(void);                      /* CLOCK_BOOTTIME: advances during suspend */

/* Sends one request to /v1/PATH with the component's token. *answer is the body, NULL if empty. */
bool vault_ask(struct skymon *sm, struct vault *vault, struct skymon_http *http, const char *method,
	       const char *path, const char *what, json_t **answer, struct vault_fault *fault);
/* Reads the fields at a path of the config. The caller frees *data. */
bool vault_read(struct skymon *sm, struct vault *vault, struct skymon_http *http, const char *path,
		json_t **data, struct vault_lease *lease, struct vault_fault *fault);
bool vault_lookup(struct skymon *sm, struct vault *vault, struct skymon_http *http, struct vault_token *token,
		  struct vault_fault *fault);
/* Returns false with *token unchanged if it could not be renewed. */
bool vault_renew(struct skymon *sm, struct vault *vault, struct skymon_http *http, struct vault_token *token,
		 struct vault_fault *fault);
/* Revokes the token of a login, and with it the leases obtained through it. Waits for at most 1 s. Called in
 * `stop`. */
void vault_revoke(struct skymon *sm, struct vault *vault);
/* Drops the token of a login, so that the next request logs in again. */
void vault_forget_token(struct skymon *sm, struct vault *vault);

/* ---- Secrets for others (vault_secret.c) ---- */

struct vault_kept;

struct vault_counts {
	_Atomic uint64_t read, remembered, refused;
};

struct vault_own {
	char base[512], place[300]; /* the address without trailing slashes; its host:port, for messages */
	struct skymon_http *check_fetch, *secret_fetch;
	bool has_locks;
	/* the login */
	struct skymon_timed_lock login_lock;
	char *token; /* NULL if not logged in */
	int64_t token_until_ms, login_ms;
	uint64_t token_number;
	struct vault_fault refused; /* why the login was refused; not tried again before refused_until_ms */
	int64_t refused_pause_ms, refused_until_ms;
	/* secret requests, one after another */
	struct skymon_timed_lock secret_lock;
	struct vault_kept *kept;
	struct vault_fault last_fault; /* repeated during a back-off */
	int64_t pause_ms;
	_Atomic int64_t pause_until_ms;
	struct vault_counts counts;
	/* used by the check only */
	int64_t renew_after_ms;
};

/* The plugin's `secret` callback: answers or refuses the request of another component. */
void vault_secret(struct skymon *sm, void *state, struct skymon_ask *ask);
/* Frees all values kept in memory. */
void vault_forget_all(struct vault *vault);

#endif
