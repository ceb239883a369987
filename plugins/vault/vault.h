/* SPDX-License-Identifier: Apache-2.0 */
/* vault: HashiCorp Vault and OpenBao, as a check and as a keeper of other components' secrets.
 * vault.c: the check; vault_api.c: requests with the component's token, login, renewal, reading a path;
 * vault_secret.c: what is asked by other components; vault_parse.c: what answers mean (pure). */
#ifndef VAULT_H
#define VAULT_H

#include <jansson.h>
#include <pthread.h>
#include <skymon/secrets.h>

#include "fetch.h"
#include "json_loose.h"
#include "timed_lock.h"

#define VAULT_PATH_MAX 1024
#define VAULT_VALUE_MAX 65536

struct vault_own;

struct vault { /* the options, as the core stored them */
	const char *address, *login, *role_id, *name_space, *mount, *read, *proxy;
	struct skymon_secret token, secret_id;
	struct skymon_duration reconnect;
	struct skymon_tls tls;
	bool renew;
	struct vault_own *own;
};

/* Why a request came to nothing. */
struct vault_fault {
	struct skymon_fault is;
	int code;     /* HTTP's; 0: no answer */
	bool outage;  /* the server serves nobody at present: a value from memory is better than none */
	bool login;   /* the token or the login itself was refused: there is no use in going on */
	bool invalid; /* 403, and the server says in its way that the token is none (of ours, any more) */
};

/* ---- What answers mean (vault_parse.c) ---- */

struct vault_health {
	bool initialized, sealed, standby;
	double server_time; /* s since 1970, in whole ones; -1: not told */
	char version[48], cluster[80];
};
#define VAULT_WHY 160
/* false: the body is not an answer of /v1/sys/health, and why is half a sentence: "is HTML or XML, not JSON".
 */
bool vault_parse_health(const char *body, size_t size, struct vault_health *health, char why[VAULT_WHY]);

struct vault_verdict {
	enum skymon_status status;
	enum skymon_reason reason;
	bool accessible; /* it is Vault that answered */
	bool serves;     /* so that a token can be asked about */
	const char *text;
};
/* health: NULL when the body was none. */
void vault_judge(int code, const struct vault_health *health, struct vault_verdict *verdict);

/* How much the server's clock is ahead of ours: s; 0 as long as the server's fraction of a second may explain
 * the difference. */
double vault_skew(double server_time, double our_time);

struct vault_token {              /* lookup-self */
	double ttl, creation_ttl; /* s */
	bool forever, renewable;
};
bool vault_parse_token(const json_t *answer, struct vault_token *token);
/* Is it time to renew, by what is left of its life? */
bool vault_is_due(const struct vault_token *token);

/* "errors" of an answer whose code is not 2xx. what: of whom, as in "the path grafana/api_key". */
void vault_explain(int code, const char *body, const char *place, const char *what,
		   struct vault_fault *fault);

/* A path of the config ("grafana/api_key", "secret/grafana/api_key", "/database/creds/x") from Vault's root
 * ("secret/grafana/api_key"). *guess: how long the mount's name in it is, if the server does not tell. */
bool vault_full_path(const char *mount, const char *path, char *full, size_t size, size_t *guess);
/* Percent-encodes all but unreserved characters and slashes. */
bool vault_encode(const char *path, char *encoded, size_t size);

enum vault_found { VAULT_FOUND, VAULT_NO_FIELD, VAULT_NO_TEXT };
/* A field as bytes: a string's, or the text of a number or a boolean. *bytes is valid as long as data, or is
 * in `room` of 64 bytes. */
enum vault_found vault_field(struct skymon *sm, const json_t *data, const char *field, char *room,
			     const char **bytes, size_t *size);

/* Why it was not found, without its value. */
void vault_explain_field(const json_t *data, const char *field, const char *place,
			 struct skymon_fault *fault);

/* ---- Requests (vault_api.c) ---- */

struct vault_lease {
	char id[256];    /* "": none; it is a hint when to read again */
	int64_t life_ms; /* 0: none */
};

bool vault_has_token(const struct vault *vault); /* or a login */
int64_t vault_now_ms(void);                      /* of a clock that goes on while the machine sleeps */

/* One request to /v1/PATH with the component's token; *answer: the body, NULL when it has none. */
bool vault_ask(struct skymon *sm, struct vault *vault, struct fetch *fetch, const char *method,
	       const char *path, const char *what, json_t **answer, struct vault_fault *fault);
/* The fields at a path of the config: *data is the caller's. */
bool vault_read(struct skymon *sm, struct vault *vault, struct fetch *fetch, const char *path, json_t **data,
		struct vault_lease *lease, struct vault_fault *fault);
bool vault_lookup(struct skymon *sm, struct vault *vault, struct fetch *fetch, struct vault_token *token,
		  struct vault_fault *fault);
/* false: it could not be renewed; *token is as it was. */
bool vault_renew(struct skymon *sm, struct vault *vault, struct fetch *fetch, struct vault_token *token,
		 struct vault_fault *fault);
/* In `stop`: ends the token that a login gave, and the leases that it brought. Waits for at most a second. */
void vault_revoke(struct skymon *sm, struct vault *vault);
/* A login gave the token: the next request logs in anew. */
void vault_forget_token(struct skymon *sm, struct vault *vault);

/* ---- Secrets for others (vault_secret.c) ---- */

struct vault_kept;

struct vault_counts {
	_Atomic uint64_t read, remembered, refused;
};

struct vault_own {
	char base[512], place[300]; /* the address without a slash at its end; its host:port */
	struct fetch *check_fetch, *ask_fetch;
	bool has_turns;
	/* what a login gave */
	struct timed_lock login_turn;
	char *token; /* NULL: none */
	int64_t token_until_ms, login_ms;
	uint64_t token_number;
	struct vault_fault refused; /* the login, and is not tried until then */
	int64_t refused_pause_ms, refused_until_ms;
	/* asks, one after another */
	struct timed_lock ask_turn;
	struct vault_kept *kept;
	struct vault_fault last_fault; /* while backing off */
	int64_t pause_ms;
	_Atomic int64_t pause_until_ms;
	struct vault_counts counts;
	/* the check's own */
	int64_t renew_after_ms;
};

void vault_secret(struct skymon *sm, void *state, struct skymon_ask *ask);
void vault_forget_all(struct vault *vault);

#endif
