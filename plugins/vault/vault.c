/* SPDX-License-Identifier: Apache-2.0 */
/* vault: checks that Vault (or OpenBao) answers, is unsealed and active, that the component's token is valid
 * and a path can be read. This file has the options, the check and the plugin's table; the worker calls start
 * and stop on its main thread, and the check on a thread of its own, concurrently with vault_secret(). Owns
 * struct vault_own. */
#include "vault.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <skymon/json.h>

#define HEALTH_MAX 65536

static const struct skymon_option options[] = {
	SKYMON_OPT(struct vault, address, "${VAULT_ADDR:-}", "https://host:port of Vault or OpenBao",
		   .flags = SKYMON_TARGET),
	SKYMON_OPT(struct vault, token, NULL, "a token; or role_id and secret_id"),
	SKYMON_OPT(struct vault, role_id, NULL, "AppRole login: the role's id"),
	SKYMON_OPT(struct vault, secret_id, NULL, "AppRole login: the secret id, if the role requires one"),
	SKYMON_OPT(struct vault, login, "approle", "mount of the AppRole auth method"),
	SKYMON_OPT_NAMED(struct vault, name_space, "namespace", NULL,
			 "namespace of token, login and secrets"),
	SKYMON_OPT(struct vault, mount, "secret",
		   "mount of the secrets; a path that begins with / includes its own mount"),
	SKYMON_OPT(struct vault, read, NULL,
		   "path#field to read in each check; unhealthy if it cannot be read"),
	SKYMON_OPT(struct vault, renew, "true", "renew the token once less than half of its life is left"),
	SKYMON_OPT(struct vault, reconnect, "1m",
		   "age from which the kept connection is replaced by a new one; 0: a new one in each check",
		   .min = 0, .max = 366.0 * 24 * 3600 * 1000),
	SKYMON_OPT(struct vault, tls, NULL,
		   "for https; insecure: any certificate, or with http:// a token without TLS to another "
		   "machine"),
	SKYMON_OPT(struct vault, proxy, NULL, "http://, https:// or socks5h:// URL, or none"),
	{0}};

static const struct skymon_number numbers[] = {
	{"token_ttl", "s", "remaining life of the token; absent if it never expires"},
	{"clock_skew", "s", "difference between the server's clock and the local one"},
	SKYMON_TLS_NUMBERS,
	{0}};

/* ---- Once per process ---- */

static bool load(struct skymon *sm, void *shared)
{
	(void)sm;
	(void)shared;
	json_set_alloc_funcs(malloc, skymon_json_free_wiped);
	return true;
}

static void unload(struct skymon *sm, void *shared)
{
	(void)sm;
	(void)shared;
	json_set_alloc_funcs(malloc, free);
}

/* ---- Start and stop ---- */

static bool is_given(const char *text)
{
	return text != NULL && text[0] != '\0';
}

static void validate(struct skymon *sm, const void *state)
{
	const struct vault *vault = state;
	const char *hash = vault->read != NULL ? strrchr(vault->read, '#') : NULL;
	bool role = is_given(vault->role_id), read = is_given(vault->read);
	skymon_http_validate(sm, "address", vault->address, vault->proxy, &vault->tls,
			     vault->token.bytes != NULL || role);
	if (strlen(vault->address) >= sizeof(vault->own->base))
		skymon_invalid(sm, "address", "must not be longer than 500 bytes");
	if (vault->token.bytes != NULL && role)
		skymon_invalid(sm, "token", "must not be given together with role_id");
	if (vault->secret_id.bytes != NULL && !role)
		skymon_invalid(sm, "secret_id", "needs role_id");
	if (read && (hash == NULL || hash == vault->read || hash[1] == '\0'))
		skymon_invalid(sm, "read", "must be written as path#field");
	else if (read && vault->token.bytes == NULL && !role)
		skymon_invalid(sm, "read", "needs a token, or role_id and secret_id");
}

static void stop(struct skymon *sm, void *state)
{
	struct vault *vault = state;
	struct vault_own *own = vault->own;
	if (own == NULL)
		return;
	if (own->has_locks) {
		vault_revoke(sm, vault);
		skymon_timed_lock_end(&own->login_lock);
		skymon_timed_lock_end(&own->secret_lock);
	}
	skymon_http_free(own->check_fetch);
	skymon_http_free(own->secret_fetch);
	vault_forget_all(vault);
	free(own);
	vault->own = NULL;
}

static bool start(struct skymon *sm, void *state)
{
	struct vault *vault = state;
	if (vault->token.bytes != NULL && vault->token.size == 0) {
		skymon_unknown(sm, "token is empty");
		return false;
	}
	if (!is_given(vault->role_id))
		vault->role_id = NULL;
	if (!is_given(vault->read))
		vault->read = NULL;
	struct vault_own *own = vault->own = calloc(1, sizeof(*own));
	if (own != NULL) {
		own->check_fetch = skymon_http_new();
		own->secret_fetch = skymon_http_new();
		own->has_locks =
			skymon_timed_lock_init(&own->login_lock) && skymon_timed_lock_init(&own->secret_lock);
	}
	if (own == NULL || own->check_fetch == NULL || own->secret_fetch == NULL || !own->has_locks) {
		stop(sm, state);
		skymon_unknown(sm, "out of memory");
		return false;
	}
	snprintf(own->base, sizeof(own->base), "%s", vault->address);
	for (size_t length = strlen(own->base); length > 0 && own->base[length - 1] == '/'; length--)
		own->base[length - 1] = '\0';
	if (!skymon_http_place(own->base, own->place, sizeof(own->place))) {
		stop(sm, state);
		skymon_unknown(sm, "address cannot be parsed");
		return false;
	}
	return true;
}

/* ---- The check ---- */

static double wall_clock(void)
{
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void report_clock(struct skymon *sm, const struct vault_health *health,
			 const struct skymon_http_answer *answer)
{
	if (health->server_time < 0)
		return;
	double skew = vault_skew(health->server_time, wall_clock() - answer->wait_seconds / 2);
	skymon_number(sm, "clock_skew", fabs(skew));
	skymon_detail_number(sm, "clock_skew_seconds", skew);
	skymon_gauge(sm, "skymon_vault_clock_skew_seconds",
		     "How far the server's clock is ahead of the local one (negative if behind)", skew);
}

static void report_health(struct skymon *sm, const struct vault_health *health, int code)
{
	bool standby = code == 429 || code == 473 || code == 474 || health->standby;
	skymon_detail_boolean(sm, "initialized", health->initialized);
	skymon_detail_boolean(sm, "sealed", health->sealed);
	if (!health->sealed) /* a sealed server reports that it is a standby */
		skymon_detail_boolean(sm, "standby", standby);
	if (health->version[0] != '\0')
		skymon_detail(sm, "version", "%s", health->version);
	if (health->cluster[0] != '\0')
		skymon_detail(sm, "cluster_name", "%s", health->cluster);
	skymon_gauge(sm, "skymon_vault_initialized", "1 when the server is initialized", health->initialized);
	skymon_gauge(sm, "skymon_vault_sealed", "1 when the server is sealed", health->sealed);
	if (!health->sealed)
		skymon_gauge(sm, "skymon_vault_standby", "1 when the server is a standby", standby);
}

/* Sends neither token nor namespace: /v1/sys/health needs none. Returns false with *fault set if no answer
 * came; otherwise *fault has the text of the verdict. */
static bool request_health(struct skymon *sm, struct vault *vault, struct vault_health *health,
			   struct vault_verdict *verdict, struct skymon_fault *fault)
{
	char url[600];
	static const struct skymon_label headers[] = {{"X-Vault-Request", "true"}};
	struct skymon_http_request request = {.url = url,
					      .headers = headers,
					      .header_count = 1,
					      .body_max = HEALTH_MAX,
					      .tls = &vault->tls,
					      .proxy = vault->proxy};
	skymon_step(sm, "requesting the server's health");
	snprintf(url, sizeof(url), "%s/v1/sys/health", vault->own->base);
	struct skymon_http_answer answer;
	if (!skymon_http_do(sm, vault->own->check_fetch, &request, &answer, fault))
		return false;
	skymon_tls_report(sm, answer.trust, answer.local);
	skymon_tls_report_days(sm, answer.days);
	char why[VAULT_WHY];
	bool known = vault_parse_health(answer.body, answer.size, health, why);
	vault_evaluate(answer.code, known ? health : NULL, verdict);
	if (known) {
		report_health(sm, health, answer.code);
		report_clock(sm, health, &answer);
	}
	if (verdict->reason == SKYMON_PROTOCOL)
		skymon_fault_set(fault, verdict->status, verdict->reason,
				 "%.120s: its answer to /v1/sys/health (HTTP %d) %s", vault->own->place,
				 answer.code, why);
	else if (verdict->reason == SKYMON_HTTP_STATUS || verdict->reason == SKYMON_RESOURCE)
		skymon_fault_set(fault, verdict->status, verdict->reason, "%.120s: %s (HTTP %d)",
				 vault->own->place, verdict->text, answer.code);
	else
		skymon_fault_set(fault, verdict->status, verdict->reason, "%.120s: %s", vault->own->place,
				 verdict->text);
	skymon_http_answer_free(&answer);
	return true;
}

/* Renews the token once half of its life is over. A login's token that could not be renewed is replaced by a
 * new login in the last quarter. */
static bool renew_or_replace(struct skymon *sm, struct vault *vault, struct vault_token *token,
			     struct vault_fault *fault)
{
	struct vault_own *own = vault->own;
	int64_t now = vault_now_ms(), pause = (int64_t)(token->creation_ttl * 100);
	struct vault_fault renewal_fault;
	if (vault->renew && vault_is_due(token) && now >= own->renew_after_ms) {
		own->renew_after_ms = now + (pause < 1000 ? 1000 : pause);
		if (!vault_renew(sm, vault, own->check_fetch, token, &renewal_fault))
			skymon_detail(sm, "token_renewal", "%s", renewal_fault.is.text);
	}
	if (vault->role_id == NULL || token->forever || token->ttl >= token->creation_ttl / 4)
		return true;
	vault_forget_token(sm, vault);
	return vault_lookup(sm, vault, own->check_fetch, token, fault);
}

static bool check_token(struct skymon *sm, struct vault *vault, struct vault_token *token, bool *known,
			struct vault_fault *fault)
{
	*known = vault_lookup(sm, vault, vault->own->check_fetch, token, fault) &&
		 renew_or_replace(sm, vault, token, fault);
	if (!*known && fault->code == 403 && !fault->invalid && !fault->login) {
		/* a valid token without the right to look itself up, which the policy `default` grants
		 */
		skymon_detail(sm, "token_ttl", "unknown: the token may not look itself up");
		skymon_detail_boolean(sm, "authentication_valid", true);
		return true;
	}
	if (!*known) {
		if (fault->login)
			skymon_detail_boolean(sm, "authentication_valid", false);
		return false;
	}
	skymon_detail_boolean(sm, "authentication_valid", true);
	skymon_detail_boolean(sm, "token_renewable", token->renewable);
	if (!token->forever) {
		skymon_number(sm, "token_ttl", token->ttl);
		skymon_detail_number(sm, "token_ttl_seconds", token->ttl);
		skymon_gauge(sm, "skymon_vault_token_ttl_seconds", "Remaining life of the token", token->ttl);
	}
	return true;
}

/* Reads the path of the option `read` and wipes the value. */
static bool check_read(struct skymon *sm, struct vault *vault, struct vault_fault *fault)
{
	const char *hash = strrchr(vault->read, '#');
	char path[VAULT_PATH_MAX];
	json_t *data = NULL;
	if ((size_t)(hash - vault->read) >= sizeof(path))
		hash = vault->read; /* vault_read() refuses an empty path */
	snprintf(path, sizeof(path), "%.*s", (int)(hash - vault->read), vault->read);
	struct vault_lease lease;
	bool good = vault_read(sm, vault, vault->own->check_fetch, path, &data, &lease, fault);
	const char *bytes;
	char room[64];
	size_t size;
	if (good && vault_field(sm, data, hash + 1, room, &bytes, &size) != VAULT_FOUND) {
		good = false;
		*fault = (struct vault_fault){.code = 200};
		vault_explain_field(data, hash + 1, vault->own->place, &fault->is);
	}
	json_decref(data);
	explicit_bzero(room, sizeof(room));
	if (good || fault->code != 0)
		skymon_detail_boolean(sm, "readable", good);
	return good;
}

static void report_requests(struct skymon *sm, struct vault *vault)
{
	const struct vault_counts *counts = &vault->own->counts;
	const struct {
		const char *result;
		uint64_t count;
	} rows[] = {{"read", counts->read}, {"remembered", counts->remembered}, {"refused", counts->refused}};
	for (size_t i = 0; vault_has_token(vault) && i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct skymon_label label = {"result", rows[i].result};
		skymon_metric(sm, SKYMON_COUNTER, "skymon_vault_secrets_total",
			      "Secrets requested by other components, by result", (double)rows[i].count,
			      &label, 1);
	}
}

static enum skymon_status report_verdict(struct skymon *sm, const struct skymon_fault *verdict,
					 const struct vault_health *health, const struct vault_token *token,
					 bool token_known)
{
	char more[160] = "";
	size_t used = 0;
	if (health->version[0] != '\0')
		used = (size_t)snprintf(more, sizeof(more), ", version %s", health->version);
	if (token_known && !token->forever)
		snprintf(more + used, sizeof(more) - used, "; the token is valid for %.0f s", token->ttl);
	skymon_reason(sm, verdict->reason);
	return verdict->status == SKYMON_HEALTHY    ? skymon_healthy(sm, "%s%s", verdict->text, more)
	       : verdict->status == SKYMON_DEGRADED ? skymon_degraded(sm, "%s%s", verdict->text, more)
						    : skymon_unhealthy(sm, "%s%s", verdict->text, more);
}

/* A rate limit of Vault's hid the rest of the check: its health is good as far as it was seen. */
static enum skymon_status report_limited(struct skymon *sm, const struct skymon_fault *fault)
{
	skymon_reason(sm, SKYMON_RESOURCE);
	return skymon_degraded(sm, "%s: unsealed, but the token and its access were not checked",
			       fault->text);
}

static enum skymon_status run_check(struct skymon *sm, struct vault *vault)
{
	struct vault_health health = {0};
	struct vault_token token = {0};
	bool token_known = false;
	report_requests(sm, vault);
	struct vault_verdict verdict;
	struct skymon_fault summary;
	if (!request_health(sm, vault, &health, &verdict, &summary)) {
		skymon_detail_boolean(sm, "accessible", false);
		return skymon_report(sm, NULL, &summary);
	}
	skymon_detail_boolean(sm, "accessible", verdict.accessible);
	if (verdict.status == SKYMON_UNKNOWN)
		return skymon_report(sm, NULL, &summary);
	struct vault_fault fault;
	if (verdict.serves && vault_has_token(vault)) {
		if (!check_token(sm, vault, &token, &token_known, &fault) ||
		    (vault->read != NULL && !check_read(sm, vault, &fault)))
			return fault.code == 429 ? report_limited(sm, &fault.is)
						 : skymon_report(sm, NULL, &fault.is);
		vault->own->pause_until_ms = 0;
	}
	return report_verdict(sm, &summary, &health, &token, token_known);
}

static enum skymon_status check(struct skymon *sm, void *state)
{
	struct vault *vault = state;
	skymon_http_begin(vault->own->check_fetch, vault->reconnect.ms);
	enum skymon_status status = run_check(sm, vault);
	skymon_http_end(vault->own->check_fetch);
	return status;
}

SKYMON_PLUGIN(vault, "1.0",
	      "Vault or OpenBao: sealed, standby, token, clock; keeps other components' secrets",
	      .state_size = sizeof(struct vault), .options = options, .numbers = numbers, .load = load,
	      .unload = unload, .start = start, .stop = stop, .check = check, .secret = vault_secret,
	      .validate = validate);
