/* SPDX-License-Identifier: Apache-2.0 */
/* authentication: checks an OpenID Connect provider as its clients use it: the discovery document is the
 * issuer's, the published keys can verify signatures, and, if a client is configured, its secret gets a token
 * that is signed by one of those keys. This file has the options, the first two steps and the plugin's table;
 * the worker calls start and stop on its main thread, and check on a thread per component. Owns the kept
 * connections through struct skymon_http. */
#include "authentication.h"

#include <curl/curl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <skymon/json.h>

#define WELL_KNOWN "/.well-known/openid-configuration"

static const char *const method_words[] = {"auto", "basic", "post", NULL};

static const struct skymon_option options[] = {
	SKYMON_OPT(struct authentication, issuer, NULL,
		   "the provider's URL, exactly as in the iss of its tokens: "
		   "https://id.example.com/realms/main",
		   .flags = SKYMON_TARGET),
	SKYMON_OPT(struct authentication, client_id, NULL,
		   "a client that may use the client-credentials grant; a token is requested in each check"),
	SKYMON_OPT(struct authentication, client_secret, NULL, "the client's secret"),
	SKYMON_OPT(
		struct authentication, client_auth, "auto",
		"how the secret is sent; auto: in the Authorization header, or in the body if the provider "
		"only accepts that",
		.words = method_words),
	SKYMON_OPT(struct authentication, scope, NULL, "scopes to request, separated by spaces"),
	SKYMON_OPT(struct authentication, audience, NULL,
		   "value that the token's aud must contain; not sent"),
	SKYMON_OPT(struct authentication, parameters, NULL,
		   "further parameters of the token request, as in {resource: https://api.example.com}"),
	SKYMON_OPT(
		struct authentication, verify_token, "true",
		"a token that is a JWT must be signed by a published key, and have the right iss, exp, iat"),
	SKYMON_OPT(struct authentication, reconnect, "1m",
		   "age from which the kept connection is replaced by a new one; 0: a new one in each check",
		   .min = 0, .max = 366.0 * 24 * 3600 * 1000),
	SKYMON_OPT(struct authentication, tls, NULL,
		   "verification of the provider, and a client certificate; insecure: any certificate, or "
		   "with http:// the "
		   "secret without TLS to another machine"),
	SKYMON_OPT(struct authentication, proxy, "none", "URL of a proxy, or none"),
	{0}};

static const struct skymon_number numbers[] = {
	{"usable_keys", "", "published keys that can verify a signature"},
	{"discovery_time", "s", "duration of the request for the discovery document"},
	{"jwks_time", "s", "duration of the request for the keys"},
	{"jwks_age", "s", "how old the keys' answer is, from a cache's Age header; absent without it"},
	{"clock_skew", "s",
	 "difference between the provider's clock and the local one, from the Date of its answers"},
	{"token_time", "s", "duration of the token request"},
	{"token_ttl", "s", "life of a new token"},
	SKYMON_TLS_NUMBERS,
	{0}};

/* ---- Requests ---- */

bool auth_fail(struct visit *visit, enum skymon_reason reason, const char *format, ...)
{
	va_list list;
	va_start(list, format);
	char text[480];
	vsnprintf(text, sizeof(text), format, list);
	va_end(list);
	skymon_reason(visit->sm, reason);
	visit->status = skymon_unhealthy(visit->sm, "%s", text);
	return false;
}

static bool report_fault(struct visit *visit, const char *what, const struct skymon_fault *fault)
{
	visit->status = skymon_report(visit->sm, what, fault);
	return false;
}

static double wall_clock(void)
{
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* The last answer wins: a token's never comes from a cache. */
static void record_skew(struct visit *visit, const struct skymon_http_answer *answer, double sent,
			double received)
{
	const char *date = answer->wanted[AUTH_DATE];
	time_t unix_time = date != NULL ? curl_getdate(date, NULL) : -1;
	if (unix_time < 0)
		return;
	visit->skew = auth_skew((double)unix_time, auth_age(answer->wanted[AUTH_AGE]), sent, received);
	visit->has_skew = true;
}

/* The endpoints may be on several servers: the worst value is reported. */
static void record_tls(struct visit *visit, const struct skymon_http_answer *answer)
{
	bool first = !visit->has_answer;
	const struct skymon_tls_days *days = &answer->days;
	visit->has_answer = true;
	if (first || answer->trust < visit->trust)
		visit->trust = answer->trust;
	visit->local = answer->local && (first || visit->local);
	if (first)
		visit->days = *days;
	visit->days.certificate = fmin(visit->days.certificate, days->certificate);
	visit->days.chain = fmin(visit->days.chain, days->chain);
}

bool auth_ask(struct visit *visit, const char *what, struct skymon_http_request *request,
	      struct skymon_http_answer *answer)
{
	struct authentication *auth = visit->auth;
	const struct skymon_label label = {"request", what};
	double sent = wall_clock();
	request->wanted = auth_wanted;
	request->tls = &auth->tls;
	request->proxy = auth->proxy;
	skymon_step(visit->sm, what);
	struct skymon_fault fault;
	if (!skymon_http_do(visit->sm, auth->http, request, answer, &fault))
		return report_fault(visit, what, &fault);
	record_skew(visit, answer, sent, wall_clock());
	record_tls(visit, answer);
	if (!answer->reused)
		auth->connects++;
	skymon_metric(visit->sm, SKYMON_GAUGE, "skymon_oidc_request_duration_seconds",
		      "Duration of the request to the provider", answer->seconds, &label, 1);
	return true;
}

const char *auth_endpoint(struct visit *visit, const char *member)
{
	const char *url = skymon_json_text(visit->document, member), *fault;
	if (url == NULL) {
		fault = skymon_json_odd(json_object_get(visit->document, member));
		auth_fail(visit, SKYMON_PROTOCOL, "discovery: the document%s %s%s%s",
			  fault != NULL ? "'s" : " has no", member, fault != NULL ? " " : "",
			  fault != NULL ? fault : "");
		return NULL;
	}
	fault = auth_url_fault(visit->auth->issuer, url);
	if (fault != NULL) {
		auth_fail(visit, SKYMON_BODY_MISMATCH, "discovery: the document's %s %s", member, fault);
		return NULL;
	}
	return url;
}

/* Gets a JSON object. Returns NULL after reporting a fault. */
static json_t *get_json(struct visit *visit, const char *what, const char *url,
			struct skymon_http_answer *answer)
{
	static const struct skymon_label accept = {"Accept", "application/json"};
	struct skymon_http_request request = {.url = url, .headers = &accept, .header_count = 1};
	char place[300] = "", why[SKYMON_JSON_WHY] = "is JSON, and not an object";
	json_t *json = NULL;
	if (!auth_ask(visit, what, &request, answer))
		return NULL;
	skymon_http_place(url, place, sizeof(place));
	if (answer->code == 200)
		json = skymon_json_read_loose(answer->body, answer->size, why);
	if (answer->code != 200)
		auth_fail(visit, SKYMON_HTTP_STATUS, "%s: %s answers HTTP %d", what, place, answer->code);
	else if (!json_is_object(json))
		auth_fail(visit, SKYMON_PROTOCOL, "%s: the answer of %s %s", what, place, why);
	else
		return json;
	json_decref(json);
	return NULL;
}

/* ---- Discovery ---- */

static bool check_issuer(struct visit *visit)
{
	const char *ours = visit->auth->issuer, *theirs = skymon_json_text(visit->document, "issuer");
	const char *odd = skymon_json_odd(json_object_get(visit->document, "issuer"));
	size_t length = strlen(ours);
	if (theirs == NULL && odd != NULL)
		return auth_fail(visit, SKYMON_PROTOCOL, "discovery: the document's issuer %s", odd);
	if (theirs == NULL)
		return auth_fail(visit, SKYMON_PROTOCOL, "discovery: the document names no issuer");
	if (strcmp(ours, theirs) == 0)
		return true;
	if ((strncmp(ours, theirs, length) == 0 && strcmp(theirs + length, "/") == 0) ||
	    (strncmp(ours, theirs, length - 1) == 0 && ours[length - 1] == '/' && theirs[length - 1] == '\0'))
		return auth_fail(visit, SKYMON_BODY_MISMATCH,
				 "discovery: the document's issuer and the configured one differ only in the "
				 "trailing slash");
	char shown[160];
	auth_show_issuer(theirs, shown, sizeof(shown));
	return auth_fail(visit, SKYMON_BODY_MISMATCH, "discovery: the document is of another issuer: %s",
			 shown);
}

static bool discover(struct visit *visit)
{
	struct skymon_http_answer answer = {0};
	visit->document = get_json(visit, "discovery", visit->auth->discovery_url, &answer);
	if (visit->document != NULL)
		skymon_number(visit->sm, "discovery_time", answer.seconds);
	skymon_http_answer_free(&answer);
	return visit->document != NULL && check_issuer(visit);
}

/* ---- Keys ---- */

static void report_keys(struct visit *visit, const struct skymon_http_answer *answer)
{
	struct skymon *sm = visit->sm;
	double age = auth_age(answer->wanted[AUTH_AGE]);
	double max_age = auth_max_age(answer->wanted[AUTH_CACHE_CONTROL]);
	skymon_detail_number(sm, "keys", (double)visit->keys.published);
	skymon_detail_number(sm, "usable_keys", (double)visit->keys.count);
	skymon_number(sm, "usable_keys", (double)visit->keys.count);
	skymon_number(sm, "jwks_time", answer->seconds);
	skymon_gauge(sm, "skymon_oidc_keys", "Keys that the provider publishes",
		     (double)visit->keys.published);
	skymon_gauge(sm, "skymon_oidc_usable_keys", "Published keys that can verify a signature",
		     (double)visit->keys.count);
	if (max_age >= 0)
		skymon_detail_number(sm, "jwks_max_age_seconds", max_age);
	if (age < 0)
		return;
	skymon_detail_number(sm, "jwks_age_seconds", age);
	skymon_number(sm, "jwks_age", age);
	skymon_gauge(sm, "skymon_oidc_jwks_age_seconds",
		     "Age of the published keys in a cache before the provider", age);
}

bool auth_fetch_keys(struct visit *visit)
{
	const char *url = auth_endpoint(visit, "jwks_uri");
	struct skymon_http_answer answer = {0};
	json_t *set = url != NULL ? get_json(visit, "jwks", url, &answer) : NULL;
	bool good = set != NULL;
	jose_keys_free(&visit->keys);
	if (good && !jose_keys_read(set, &visit->keys))
		good = auth_fail(visit, SKYMON_PROTOCOL, "jwks: %s", visit->keys.why);
	if (good)
		report_keys(visit, &answer);
	if (good && visit->keys.count == 0)
		good = auth_fail(visit, SKYMON_BODY_MISMATCH,
				 "jwks: none of its %zu keys can verify a signature%s%s",
				 visit->keys.published, visit->keys.why[0] != '\0' ? "; the first: " : "",
				 visit->keys.why);
	json_decref(set);
	skymon_http_answer_free(&answer);
	return good;
}

/* ---- The check ---- */

static enum skymon_status report_result(struct visit *visit)
{
	const struct jose_keys *keys = &visit->keys;
	if (keys->leaked > 0) {
		skymon_reason(visit->sm, SKYMON_BODY_MISMATCH);
		return skymon_degraded(
			visit->sm,
			"jwks: %zu of its %zu keys are published with their private part, with which "
			"anyone can sign tokens",
			keys->leaked, keys->published);
	}
	return skymon_healthy(visit->sm, "%s: %zu signing key%s; %s", visit->auth->place, keys->count,
			      keys->count == 1 ? "" : "s", visit->token);
}

static void report_skew(const struct visit *visit)
{
	if (!visit->has_skew)
		return;
	skymon_number(visit->sm, "clock_skew", visit->skew < 0 ? -visit->skew : visit->skew);
	skymon_detail_number(visit->sm, "clock_skew_seconds", visit->skew);
	skymon_gauge(visit->sm, "skymon_oidc_clock_skew_seconds",
		     "The provider's clock minus the local one; 0 within the precision of its whole seconds",
		     visit->skew);
}

static enum skymon_status check(struct skymon *sm, void *state)
{
	struct authentication *auth = state;
	struct visit visit = {.sm = sm, .auth = auth, .status = SKYMON_UNKNOWN};
	bool has_client = auth->client_id != NULL && auth->client_id[0] != '\0';
	skymon_detail(sm, "issuer", "%s", auth->issuer);
	if (auth->realm[0] != '\0')
		skymon_detail(sm, "realm", "%s", auth->realm);
	snprintf(visit.token, sizeof(visit.token), "no client is configured, so no token was requested");
	skymon_http_begin(auth->http, auth->reconnect.ms);
	bool good = discover(&visit) && auth_fetch_keys(&visit) && (!has_client || auth_token_check(&visit));
	skymon_http_end(auth->http);
	report_skew(&visit);
	if (visit.has_answer) {
		skymon_tls_report(sm, visit.trust, visit.local);
		skymon_tls_report_days(sm, visit.days);
	}
	skymon_counter(sm, "skymon_oidc_connects_total", "Connections to the provider that were opened",
		       auth->connects);
	if (good)
		visit.status = report_result(&visit);
	jose_keys_free(&visit.keys);
	json_decref(visit.document);
	return visit.status;
}

/* ---- Start and stop ---- */

static void validate(struct skymon *sm, const void *state)
{
	static const char *const ours[] = {"grant_type", "scope", "client_id", "client_secret"};
	const struct authentication *auth = state;
	bool has_id = auth->client_id != NULL && auth->client_id[0] != '\0';
	const char *proxy = skymon_http_proxy_fault(auth->proxy),
		   *issuer = skymon_http_url_fault(auth->issuer);
	if (has_id && auth->client_secret.bytes == NULL)
		skymon_invalid(sm, "client_id", "needs client_secret");
	if (!has_id && auth->client_secret.bytes != NULL)
		skymon_invalid(sm, "client_secret", "needs client_id");
	for (size_t i = 0; i < auth->parameters.count; i++)
		for (size_t j = 0; j < sizeof(ours) / sizeof(ours[0]); j++)
			if (strcmp(auth->parameters.items[i].name, ours[j]) == 0)
				skymon_invalid(sm, "parameters", "must not contain %s, which the check sets",
					       ours[j]);
	if (issuer == NULL)
		issuer = auth_issuer_fault(auth->issuer);
	if (issuer == NULL)
		issuer =
			skymon_http_secret_fault(auth->issuer, &auth->tls, auth->client_secret.bytes != NULL);
	if (issuer != NULL)
		skymon_invalid(sm, "issuer", "%s", issuer);
	if (proxy != NULL)
		skymon_invalid(sm, "proxy", "%s", proxy);
}

static bool start(struct skymon *sm, void *state)
{
	struct authentication *auth = state;
	size_t length = strlen(auth->issuer);
	if (auth->client_secret.bytes != NULL && auth->client_secret.size == 0) {
		skymon_unknown(sm, "client_secret is empty");
		return false;
	}
	auth_realm(auth->issuer, auth->realm, sizeof(auth->realm));
	skymon_http_place(auth->issuer, auth->place, sizeof(auth->place));
	auth->discovery_url = malloc(length + sizeof(WELL_KNOWN));
	auth->http = skymon_http_new();
	if (auth->discovery_url == NULL || auth->http == NULL) {
		skymon_unknown(sm, "out of memory");
		return false;
	}
	while (length > 0 && auth->issuer[length - 1] == '/')
		length--;
	sprintf(auth->discovery_url, "%.*s%s", (int)length, auth->issuer, WELL_KNOWN);
	return true;
}

static void stop(struct skymon *sm, void *state)
{
	struct authentication *auth = state;
	(void)sm;
	skymon_http_free(auth->http);
	free(auth->discovery_url);
	auth->http = NULL;
	auth->discovery_url = NULL;
}

SKYMON_PLUGIN(authentication, "1.0", "An OpenID Connect provider: discovery, signing keys, a client's token",
	      .state_size = sizeof(struct authentication), .options = options, .numbers = numbers,
	      .start = start, .stop = stop, .check = check, .validate = validate);
