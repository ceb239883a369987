/* SPDX-License-Identifier: Apache-2.0 */
/* vault_api: requests with the component's token, which is configured or comes from an AppRole login: login,
 * renewal, revocation, reading a path. Logs in at the first request, when the token has expired, and once
 * more when it was refused. Called by the check and by vault_secret(), on a thread each; the login's token
 * has a lock, and each thread uses its own copy of it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "vault.h"

#define LOGIN_AGAIN_MS 60000 /* age from which a token is replaced on 403: a new one may have more rights */
/* Pauses after a refused login. Vault locks a role after 5 refusals with less than 15 minutes between them:
 * the pauses double, and exceed 15 minutes before the fifth. */
#define REFUSED_FIRST_MS (2 * 60000)
#define REFUSED_LAST_MS (16 * 60000)
#define REVOKE_MS 1000 /* the longest that a stop waits */

int64_t vault_now_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_BOOTTIME, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

bool vault_has_token(const struct vault *vault)
{
	return vault->token.bytes != NULL || vault->role_id != NULL;
}

static void set_fault(struct vault_fault *fault, enum skymon_status status, enum skymon_reason reason,
		      const char *place, const char *text)
{
	*fault = (struct vault_fault){0};
	skymon_fault_set(&fault->is, status, reason, "%.120s %s", place, text);
}

/* ---- One request ---- */

struct request {
	const char *method, *path, *body, *token;
	int64_t timeout_ms; /* 0 for the deadline alone */
};

/* what names the requested object, as in "the path grafana/api_key". */
static bool parse_body(const struct skymon_http_answer *answer, const char *place, const char *what,
		       json_t **json, struct vault_fault *fault)
{
	char why[SKYMON_JSON_WHY] = "is JSON, and not an object";
	*json = NULL;
	if (answer->size == 0)
		return true;
	*json = skymon_json_read_loose(answer->body, answer->size, why);
	if (json_is_object(*json))
		return true;
	json_decref(*json);
	*json = NULL;
	*fault = (struct vault_fault){0};
	skymon_fault_set(&fault->is, SKYMON_UNHEALTHY, SKYMON_PROTOCOL,
			 "%.120s: its answer to the request for %.100s (HTTP %d) %s", place, what,
			 answer->code, why);
	return false;
}

static bool send_request(struct skymon *sm, struct vault *vault, struct skymon_http *http,
			 const struct request *request, const char *what, json_t **json,
			 struct vault_fault *fault)
{
	struct vault_own *own = vault->own;
	const struct skymon_label headers[] = {
		{"X-Vault-Token", request->token},
		{"X-Vault-Namespace",
		 vault->name_space != NULL && vault->name_space[0] != '\0' ? vault->name_space : NULL},
		{"X-Vault-Request", "true"}, /* Vault Agent may require it */
		{"Content-Type", request->body != NULL ? "application/json" : NULL}};
	char url[VAULT_PATH_MAX * 4];
	struct skymon_http_request ask = {.method = request->method,
					  .url = url,
					  .headers = headers,
					  .header_count = sizeof(headers) / sizeof(headers[0]),
					  .body = request->body,
					  .body_size = request->body != NULL ? strlen(request->body) : 0,
					  .timeout_ms = request->timeout_ms,
					  .tls = &vault->tls,
					  .proxy = vault->proxy};
	*json = NULL;
	*fault = (struct vault_fault){.outage = true};
	snprintf(url, sizeof(url), "%s/v1/%s", own->base, request->path);
	struct skymon_http_answer answer;
	if (!skymon_http_do(sm, http, &ask, &answer, &fault->is))
		return false;
	bool good;
	if (answer.code >= 200 && answer.code < 300) {
		good = parse_body(&answer, own->place, what, json, fault);
	} else {
		vault_explain(answer.code, answer.body, own->place, what, fault);
		good = false;
	}
	fault->code = answer.code;
	skymon_http_answer_free(&answer);
	return good;
}

/* ---- The token ---- */

static void free_secret(char **text)
{
	if (*text != NULL)
		explicit_bzero(*text, strlen(*text));
	free(*text);
	*text = NULL;
}

static void drop_token(struct vault_own *own)
{
	free_secret(&own->token);
}

void vault_forget_token(struct skymon *sm, struct vault *vault)
{
	struct vault_own *own = vault->own;
	if (!skymon_timed_lock_take(sm, &own->login_lock))
		return; /* another thread is logging in again right now */
	drop_token(own);
	skymon_timed_lock_give(&own->login_lock);
}

void vault_revoke(struct skymon *sm, struct vault *vault)
{
	struct vault_own *own = vault->own;
	struct request revoke = {"POST", "auth/token/revoke-self", "{}", own->token, REVOKE_MS};
	if (own->token == NULL)
		return;
	skymon_step(sm, "revoking the login's token");
	struct vault_fault fault;
	json_t *answer;
	if (!send_request(sm, vault, own->check_fetch, &revoke, "the token's revocation", &answer, &fault))
		skymon_info(sm, "the login's token could not be revoked and stays valid until it expires: %s",
			    fault.is.reported ? "the name of the server does not resolve" : fault.is.text);
	json_decref(answer);
	drop_token(own);
}

static bool store_login(struct vault_own *own, const json_t *answer)
{
	const json_t *auth = json_object_get(answer, "auth");
	const char *token = skymon_json_text(auth, "client_token");
	const json_t *life = json_object_get(auth, "lease_duration");
	double seconds = json_is_number(life) ? json_number_value(life) : 0;
	if (token == NULL || token[0] == '\0')
		return false;
	own->token = strdup(token);
	own->token_number++;
	own->login_ms = vault_now_ms();
	own->token_until_ms =
		seconds > 0 && seconds < 1e9 ? own->login_ms + (int64_t)(seconds * 1000) : INT64_MAX;
	return own->token != NULL;
}

/* Starts or doubles the pause before the next login. A changed configuration re-creates the component, which
 * resets the pause. */
static void back_off_login(struct skymon *sm, struct vault_own *own, struct vault_fault *fault)
{
	int code = fault->code;
	int64_t pause = own->refused_pause_ms == 0 ? REFUSED_FIRST_MS : own->refused_pause_ms * 2;
	own->refused_pause_ms = pause > REFUSED_LAST_MS ? REFUSED_LAST_MS : pause;
	own->refused_until_ms = vault_now_ms() + own->refused_pause_ms;
	skymon_secret_refused(sm); /* secret_id may have been replaced */
	char text[200];
	snprintf(text, sizeof(text),
		 "%s (HTTP %d); tried again after %d min, so that Vault does not lock the role",
		 code == 404 ? "has no such login or namespace"
			     : "refuses the login: role_id, secret_id or `login` is wrong",
		 code, (int)(own->refused_pause_ms / 60000));
	set_fault(fault, SKYMON_UNHEALTHY, SKYMON_AUTH_FAILED, own->place, text);
	fault->code = code;
	fault->login = true;
	own->refused = *fault;
}

/* The caller holds login_lock. */
static bool log_in(struct skymon *sm, struct vault *vault, struct skymon_http *http,
		   struct vault_fault *fault)
{
	struct vault_own *own = vault->own;
	json_t *body = json_pack("{s:s, s:s#}", "role_id", vault->role_id, "secret_id",
				 vault->secret_id.bytes != NULL ? vault->secret_id.bytes : "",
				 (int)vault->secret_id.size),
	       *answer = NULL;
	char *text = json_dumps(body, JSON_COMPACT);
	bool good = false, asked = false;
	json_decref(body);
	drop_token(own);
	char mount[VAULT_PATH_MAX], path[VAULT_PATH_MAX + 20];
	if (own->refused_pause_ms > 0 && vault_now_ms() < own->refused_until_ms) {
		*fault = own->refused;
		skymon_secret_refused(sm);
	} else if (text == NULL || !vault_encode(vault->login, mount, sizeof(mount))) {
		set_fault(fault, SKYMON_UNKNOWN, SKYMON_OTHER, own->place,
			  "cannot be logged in to: role_id, secret_id or login is not valid UTF-8");
	} else {
		struct request login = {"POST", path, text, NULL, 0};
		snprintf(path, sizeof(path), "auth/%s/login", mount);
		skymon_step(sm, "logging in to Vault");
		asked = true;
		good = send_request(sm, vault, http, &login, "a login", &answer, fault);
		if (good && !store_login(own, answer)) {
			good = false;
			set_fault(fault, SKYMON_UNHEALTHY, SKYMON_PROTOCOL, own->place,
				  "answered the login without a token");
		}
	}
	if (good)
		own->refused_pause_ms = 0;
	else if (asked && fault->code >= 400 && fault->code < 500 && !fault->outage)
		back_off_login(sm, own, fault);
	free_secret(&text);
	json_decref(answer);
	return good;
}

struct token_copy { /* of the token at the time of a request, so that no lock is held during it */
	char *token;
	uint64_t number;
	int64_t login_ms;
};

/* Copies the token, after a login if one is needed. stale is the number of a token that was refused, 0 for
 * none. */
static bool copy_token(struct skymon *sm, struct vault *vault, struct skymon_http *http, uint64_t stale,
		       struct token_copy *copy, struct vault_fault *fault)
{
	struct vault_own *own = vault->own;
	bool good = true;
	*copy = (struct token_copy){0};
	if (vault->token.bytes != NULL) {
		copy->token = strdup(vault->token.bytes);
		return copy->token != NULL;
	}
	if (!skymon_timed_lock_take(sm, &own->login_lock)) {
		set_fault(fault, SKYMON_UNHEALTHY, SKYMON_TIMEOUT, own->place,
			  "did not answer the login in time");
		fault->outage = true;
		return false;
	}
	if (own->token == NULL || own->token_number == stale || vault_now_ms() >= own->token_until_ms)
		good = log_in(sm, vault, http, fault);
	if (good) {
		copy->token = strdup(own->token);
		copy->number = own->token_number;
		copy->login_ms = own->login_ms;
	}
	skymon_timed_lock_give(&own->login_lock);
	return good && copy->token != NULL;
}

bool vault_ask(struct skymon *sm, struct vault *vault, struct skymon_http *http, const char *method,
	       const char *path, const char *what, json_t **answer, struct vault_fault *fault)
{
	struct request request = {method, path, strcmp(method, "POST") == 0 ? "{}" : NULL, NULL, 0};
	*answer = NULL;
	struct token_copy copy;
	if (!copy_token(sm, vault, http, 0, &copy, fault))
		return false;
	request.token = copy.token;
	bool good = send_request(sm, vault, http, &request, what, answer, fault);
	/* A login's token may have been revoked, or its role may have new rights. */
	bool again = !good && fault->code == 403 && copy.number != 0 &&
		     (fault->invalid || vault_now_ms() - copy.login_ms > LOGIN_AGAIN_MS);
	if (again) {
		uint64_t stale = copy.number;
		free_secret(&copy.token);
		if (!copy_token(sm, vault, http, stale, &copy, fault))
			return false;
		request.token = copy.token;
		good = send_request(sm, vault, http, &request, what, answer, fault);
	}
	if (!good && fault->invalid)
		skymon_secret_refused(sm); /* its source may have a new one */
	free_secret(&copy.token);
	return good;
}

bool vault_lookup(struct skymon *sm, struct vault *vault, struct skymon_http *http, struct vault_token *token,
		  struct vault_fault *fault)
{
	skymon_step(sm, "looking up the token");
	json_t *answer;
	bool good = vault_ask(sm, vault, http, "GET", "auth/token/lookup-self", "the token's life", &answer,
			      fault);
	if (good && !vault_parse_token(answer, token)) {
		good = false;
		set_fault(fault, SKYMON_UNHEALTHY, SKYMON_PROTOCOL, vault->own->place,
			  "returned an invalid description of the token");
	}
	json_decref(answer);
	return good;
}

bool vault_renew(struct skymon *sm, struct vault *vault, struct skymon_http *http, struct vault_token *token,
		 struct vault_fault *fault)
{
	skymon_step(sm, "renewing the token");
	json_t *answer;
	bool good = vault_ask(sm, vault, http, "POST", "auth/token/renew-self", "the token's renewal",
			      &answer, fault);
	const json_t *life = json_object_get(json_object_get(answer, "auth"), "lease_duration");
	if (good && json_is_number(life) && json_number_value(life) > token->ttl) {
		token->ttl = json_number_value(life);
		if (skymon_timed_lock_take(sm, &vault->own->login_lock)) {
			if (vault->own->token != NULL && token->ttl < 1e9)
				vault->own->token_until_ms = vault_now_ms() + (int64_t)(token->ttl * 1000);
			skymon_timed_lock_give(&vault->own->login_lock);
		}
	}
	json_decref(answer);
	return good;
}

/* ---- Reading a path ---- */

struct location { /* of a secret, for a path of the config */
	char full[VAULT_PATH_MAX];
	size_t mount;       /* length of the mount's name */
	bool known, is_kv2; /* known: the server reported mount and is_kv2 */
};

static bool get_path(struct skymon *sm, struct vault *vault, struct skymon_http *http, const char *before,
		     const char *path, json_t **answer, struct vault_fault *fault)
{
	*answer = NULL;
	char encoded[VAULT_PATH_MAX * 3];
	if (!vault_encode(path, encoded, sizeof(encoded))) {
		set_fault(fault, SKYMON_UNKNOWN, SKYMON_OTHER, vault->own->place,
			  "was not queried: the path is too long");
		return false;
	}
	char whole[VAULT_PATH_MAX * 3 + 40];
	snprintf(whole, sizeof(whole), "%s%s", before, encoded);
	char what[160];
	snprintf(what, sizeof(what), "%s%.140s", before[0] != '\0' ? "the mount of " : "", path);
	return vault_ask(sm, vault, http, "GET", whole, what, answer, fault);
}

/* Queries which mount the path is in. Returns false if further requests are useless. The server refuses to
 * answer a token without rights on the mount. */
static bool find_mount(struct skymon *sm, struct vault *vault, struct skymon_http *http,
		       struct location *place, struct vault_fault *fault)
{
	json_t *answer = NULL;
	if (!get_path(sm, vault, http, "sys/internal/ui/mounts/", place->full, &answer, fault))
		return fault->code == 403 && !fault->invalid;
	const json_t *data = json_object_get(answer, "data");
	const char *mount = skymon_json_text(data, "path");
	const char *type = skymon_json_text(data, "type");
	const char *version = skymon_json_text(json_object_get(data, "options"), "version");
	size_t length = mount != NULL ? strlen(mount) : 0;
	if (length > 1 && mount[length - 1] == '/' && strncmp(place->full, mount, length) == 0) {
		place->known = true;
		place->mount = length - 1;
		place->is_kv2 = type != NULL && strcmp(type, "kv") == 0 && version != NULL &&
				strcmp(version, "2") == 0;
	}
	json_decref(answer);
	return true;
}

static void read_lease(const json_t *answer, struct vault_lease *lease)
{
	const json_t *life = json_object_get(answer, "lease_duration");
	const char *id = skymon_json_text(answer, "lease_id");
	double seconds = json_is_number(life) ? json_number_value(life) : 0;
	snprintf(lease->id, sizeof(lease->id), "%s", id != NULL ? id : "");
	lease->life_ms = seconds > 0 && seconds < 1e9 ? (int64_t)(seconds * 1000) : 0;
}

/* KV version 2 nests the data and its metadata one level deeper. */
static bool read_kv2(struct skymon *sm, struct vault *vault, struct skymon_http *http,
		     const struct location *place, json_t **data, struct vault_fault *fault)
{
	char path[VAULT_PATH_MAX + 8];
	json_t *answer = NULL;
	snprintf(path, sizeof(path), "%.*s/data/%s", (int)place->mount, place->full,
		 place->full + place->mount + 1);
	if (!get_path(sm, vault, http, "", path, &answer, fault))
		return false;
	json_t *found = json_object_get(answer, "data");
	if (json_is_object(json_object_get(found, "metadata")))
		*data = json_incref(json_object_get(found, "data"));
	json_decref(answer);
	if (json_is_object(*data))
		return true;
	json_decref(*data);
	*data = NULL;
	vault_explain(404, NULL, vault->own->place, place->full, fault);
	return false;
}

static bool read_plain(struct skymon *sm, struct vault *vault, struct skymon_http *http,
		       const struct location *place, json_t **data, struct vault_lease *lease,
		       struct vault_fault *fault)
{
	json_t *answer = NULL;
	if (!get_path(sm, vault, http, "", place->full, &answer, fault))
		return false;
	*data = json_incref(json_object_get(answer, "data"));
	read_lease(answer, lease);
	json_decref(answer);
	if (json_is_object(*data))
		return true;
	json_decref(*data);
	*data = NULL;
	vault_explain(404, NULL, vault->own->place, place->full, fault);
	return false;
}

bool vault_read(struct skymon *sm, struct vault *vault, struct skymon_http *http, const char *path,
		json_t **data, struct vault_lease *lease, struct vault_fault *fault)
{
	struct location place = {.known = false};
	*data = NULL;
	*lease = (struct vault_lease){.life_ms = 0};
	if (!vault_full_path(vault->mount, path, place.full, sizeof(place.full), &place.mount) ||
	    place.full[place.mount] != '/') {
		set_fault(fault, SKYMON_UNKNOWN, SKYMON_OTHER, vault->own->place,
			  "was not queried: the path or `mount` is empty, too long or has an empty segment");
		return false;
	}
	skymon_step(sm, "reading a path");
	if (!find_mount(sm, vault, http, &place, fault))
		return false;
	if (place.known)
		return place.is_kv2 ? read_kv2(sm, vault, http, &place, data, fault)
				    : read_plain(sm, vault, http, &place, data, lease, fault);
	if (read_kv2(sm, vault, http, &place, data, fault))
		return true;
	struct vault_fault first = *fault;
	if (first.code != 403 && first.code != 404 && first.code != 405)
		return false;
	if (read_plain(sm, vault, http, &place, data, lease, fault))
		return true;
	if (fault->code == 404 && first.code == 403)
		*fault = first;
	return false;
}
