/* SPDX-License-Identifier: Apache-2.0 */
/* authentication: shared by its files. authentication.c requests the discovery document and the keys,
 * authentication_token.c a token; authentication_facts.c validates issuers, URLs, headers and claims (pure);
 * authentication_jwk.c and authentication_jws.c read keys and verify signatures (pure). */
#ifndef AUTHENTICATION_H
#define AUTHENTICATION_H

#include <skymon/plugin.h>

#include "authentication_jose.h"
#include <skymon/http.h>

enum auth_method { AUTH_AUTO, AUTH_BASIC, AUTH_POST };

struct authentication {
	const char *issuer, *client_id, *scope, *audience, *proxy;
	struct skymon_secret client_secret;
	struct skymon_choice client_auth;
	struct skymon_map parameters;
	struct skymon_duration reconnect;
	struct skymon_tls tls;
	bool verify_token;
	struct skymon_http *http;
	char *discovery_url;
	char place[300], realm[128];
	double connects;
};

struct visit { /* the state of one check */
	struct skymon *sm;
	struct authentication *auth;
	json_t *document; /* the discovery document; NULL before it is read */
	struct jose_keys keys;
	double skew; /* the provider's clock minus the local one, s */
	bool has_skew;
	bool has_answer; /* the next three hold the worst value of all connections */
	enum skymon_tls_trust trust;
	bool local;
	struct skymon_tls_days days;
	char token[120];           /* the outcome for the token, for the message */
	enum skymon_status status; /* set when a step has failed */
};

/* ---- authentication.c ---- */

/* Reports unhealthy with this reason and sentence. Returns false. */
bool auth_fail(struct visit *visit, enum skymon_reason reason, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* Sends the request, whose URL and, unless GET, method and body are set. `what` is a static text that names
 * it in messages and metrics. Returns true with the answer, for skymon_http_answer_free(), or false after reporting
 * the fault. */
bool auth_ask(struct visit *visit, const char *what, struct skymon_http_request *request,
	      struct skymon_http_answer *answer);
/* Returns an endpoint's URL from the discovery document, validated; NULL after reporting a fault. */
const char *auth_endpoint(struct visit *visit, const char *member);
/* Replaces visit->keys with the keys that the provider publishes now. */
bool auth_fetch_keys(struct visit *visit);

/* ---- authentication_token.c ---- */

/* Requests a token and validates it. Returns false after reporting a fault. */
bool auth_token_check(struct visit *visit);

/* ---- authentication_facts.c: pure ---- */

#define AUTH_LEEWAY 60 /* s that clocks may differ before a token's times are wrong */

/* Returns what is wrong with an issuer, as in "issuer must not have …"; NULL if it is valid. */
const char *auth_issuer_fault(const char *issuer);
/* Writes NAME of Keycloak's issuers, which end in /realms/NAME; "" for others. */
void auth_realm(const char *issuer, char *realm, size_t size);
/* Writes an untrusted issuer for a message: cut to size, without user info and non-printable bytes. */
void auth_show_issuer(const char *issuer, char *out, size_t size);
/* Returns what is wrong with a URL that the issuer published, as in "URL %s"; NULL if it may be queried. */
const char *auth_url_fault(const char *issuer, const char *url);

enum auth_wanted { AUTH_DATE, AUTH_AGE, AUTH_CACHE_CONTROL };
extern const char *const auth_wanted[]; /* for skymon_http_request */
/* Return -1 if the header is missing or invalid. */
double auth_age(const char *age);
double auth_max_age(const char *cache_control);
/* Returns the provider's clock minus the local one; 0 within the precision of whole seconds. date is Unix
 * time; age is in s, or -1. */
double auth_skew(double date, double age, double sent, double received);

/* Validates the claims of a token issued just now. Returns false with why set. */
bool auth_claims(const json_t *claims, const char *issuer, const char *audience, double now, char *why,
		 size_t size);

/* Returns whether every requested scope was granted; both are words separated by spaces. */
bool auth_granted(const char *requested, const char *granted);

/* A growing text that may hold secrets. */
struct auth_text {
	char *bytes; /* for auth_text_free(); NULL at first */
	size_t size, room;
	bool failed; /* out of memory */
};
void auth_text_add(struct auth_text *text, const char *bytes, size_t size);
/* Appends "NAME=VALUE" of a form, or VALUE alone if name is NULL, percent-encoded. */
void auth_form_add(struct auth_text *text, const char *name, const char *value, size_t size);
void auth_text_free(struct auth_text *text); /* wipes */

#endif
