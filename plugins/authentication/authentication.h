/* SPDX-License-Identifier: Apache-2.0 */
/* authentication: what its files share. authentication.c asks for the discovery document and the keys,
 * authentication_token.c for a token; authentication_facts.c judges what came (pure); authentication_jwk.c
 * and authentication_jws.c do the keys and signatures. */
#ifndef AUTHENTICATION_H
#define AUTHENTICATION_H

#include <skymon/plugin.h>

#include "authentication_jose.h"
#include "fetch.h"

enum auth_method { AUTH_AUTO, AUTH_BASIC, AUTH_POST };

struct authentication {
	const char *issuer, *client_id, *scope, *audience, *proxy;
	struct skymon_secret client_secret;
	struct skymon_choice client_auth;
	struct skymon_map parameters;
	struct skymon_duration reconnect;
	struct skymon_tls tls;
	bool verify_token;
	struct fetch *fetch;
	char *discovery_url;
	char place[300], realm[128];
	double connects;
};

/* One check. */
struct visit {
	struct skymon *sm;
	struct authentication *auth;
	json_t *document; /* the discovery document; NULL: not yet */
	struct jose_keys keys;
	double skew; /* of the provider's clock against ours: s */
	bool has_skew;
	bool has_answer; /* and what is known of the connections: the worst of them */
	enum tls_trust trust;
	bool local;
	double certificate_days;
	char token[120];           /* what became of the token, for the message */
	enum skymon_status status; /* when a step has failed */
};

/* ---- authentication.c ---- */

/* The step fails: unhealthy, for this reason, with this sentence. Returns false. */
bool auth_bad(struct visit *visit, enum skymon_reason reason, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* Asks; `request` needs its URL and what goes beyond a GET. `what` names it in messages and metrics; a static
 * text. false: the step has failed. Else for fetch_answer_free. */
bool auth_ask(struct visit *visit, const char *what, struct fetch_request *request,
	      struct fetch_answer *answer);
/* A URL of the discovery document that we may ask. NULL: the step has failed. */
const char *auth_endpoint(struct visit *visit, const char *member);
/* Replaces visit->keys by what the provider publishes now. */
bool auth_fetch_keys(struct visit *visit);

/* ---- authentication_token.c ---- */

bool auth_token_check(struct visit *visit);

/* ---- authentication_facts.c: pure ---- */

#define AUTH_LEEWAY 60 /* s that clocks may differ before a token's times are wrong */

/* Can this be an issuer that we ask? NULL: yes, else why not, as in "issuer must not have …". */
const char *auth_issuer_fault(const char *issuer);
/* Keycloak's issuers end in /realms/NAME; "" for others. */
void auth_realm(const char *issuer, char *realm, size_t size);
/* Another's issuer for a message: cut, without user info and strange bytes. */
void auth_show_issuer(const char *issuer, char *out, size_t size);
/* Is this URL, which the issuer has told, one that we ask? NULL: yes, else why not. */
const char *auth_url_fault(const char *issuer, const char *url);

enum auth_wanted { AUTH_DATE, AUTH_AGE, AUTH_CACHE_CONTROL };
extern const char *const auth_wanted[]; /* for fetch_request */
/* -1: the header is missing or not understood. */
double auth_age(const char *age);
double auth_max_age(const char *cache_control);
/* The provider's clock minus ours; 0 as far as can be told from seconds. date: Unix; age: s, or -1. */
double auth_skew(double date, double age, double sent, double received);

/* The claims of a token that was given just now: true, or why they are wrong. */
bool auth_claims(const json_t *claims, const char *issuer, const char *audience, double now, char *why,
		 size_t size);

/* Are all scopes that were asked for among those that were given? Words with spaces between them. */
bool auth_granted(const char *asked, const char *given);

/* Adds "NAME=VALUE" of a form, or VALUE alone (name NULL), percent-encoded. */
struct auth_text {
	char *bytes; /* for auth_text_free; NULL at first */
	size_t size, room;
	bool failed; /* no memory */
};
void auth_text_add(struct auth_text *text, const char *bytes, size_t size);
void auth_form_add(struct auth_text *text, const char *name, const char *value, size_t size);
void auth_text_free(struct auth_text *text); /* wipes */

#endif
