/* SPDX-License-Identifier: Apache-2.0 */
/* vault_parse: interprets Vault's answers and builds the paths of secrets. Called by the other files of
 * vault, on any thread: pure functions. */
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vault.h"

/* ---- Health ---- */

/* Copies the printable ASCII of untrusted text. */
static void copy_plain(char *to, size_t room, const char *from)
{
	size_t used = 0;
	for (; from != NULL && *from != '\0' && used + 1 < room; from++)
		if (isprint((unsigned char)*from))
			to[used++] = *from;
	to[used] = '\0';
}

/* Returns false if the member is missing or not a boolean. */
static bool read_boolean(const json_t *answer, const char *key, bool *to, char why[VAULT_WHY])
{
	const json_t *value = json_object_get(answer, key);
	const char *odd = skymon_json_odd(value);
	*to = json_is_true(value);
	if (value == NULL)
		snprintf(why, VAULT_WHY, "has no `%s`", key);
	else if (odd != NULL)
		snprintf(why, VAULT_WHY, "cannot be used: `%s` %s", key, odd);
	else if (!json_is_boolean(value))
		snprintf(why, VAULT_WHY, "has a `%s` that is neither true nor false", key);
	return json_is_boolean(value);
}

bool vault_parse_health(const char *body, size_t size, struct vault_health *health, char why[VAULT_WHY])
{
	json_t *answer = skymon_json_read_loose(body, size, why);
	const json_t *server_time = json_object_get(answer, "server_time_utc");
	bool good = answer != NULL;
	*health = (struct vault_health){.standby = json_is_true(json_object_get(answer, "standby")),
					.server_time = -1};
	if (good && !json_is_object(answer)) {
		snprintf(why, VAULT_WHY, "is JSON, and not an object");
		good = false;
	}
	good = good && read_boolean(answer, "initialized", &health->initialized, why) &&
	       read_boolean(answer, "sealed", &health->sealed, why);
	if (json_is_number(server_time) && json_number_value(server_time) > 0)
		health->server_time = json_number_value(server_time);
	copy_plain(health->version, sizeof(health->version), skymon_json_text(answer, "version"));
	copy_plain(health->cluster, sizeof(health->cluster), skymon_json_text(answer, "cluster_name"));
	json_decref(answer);
	return good;
}

static const struct {
	int code;
	struct vault_verdict is;
} verdicts[] = {
	{200, {SKYMON_HEALTHY, SKYMON_OK, true, true, "initialized, unsealed and active"}},
	{429, {SKYMON_HEALTHY, SKYMON_STANDBY, true, true, "unsealed, a standby"}},
	{472,
	 {SKYMON_HEALTHY, SKYMON_STANDBY, true, false, "unsealed, active in a disaster recovery secondary"}},
	{473, {SKYMON_HEALTHY, SKYMON_STANDBY, true, true, "unsealed, a performance standby"}},
	{474,
	 {SKYMON_DEGRADED, SKYMON_STANDBY, true, false,
	  "a standby that cannot reach the active server of its cluster"}},
	{501, {SKYMON_UNHEALTHY, SKYMON_OTHER, true, false, "not initialized: run `vault operator init`"}},
	{503, {SKYMON_UNHEALTHY, SKYMON_SEALED, true, false, "sealed"}},
};

void vault_evaluate(int code, const struct vault_health *health, struct vault_verdict *verdict)
{
	*verdict = (struct vault_verdict){SKYMON_UNHEALTHY, SKYMON_HTTP_STATUS, false, false,
					  "answered /v1/sys/health with a code that Vault does not use"};
	if (code == 530) {
		verdict->accessible = health != NULL;
		verdict->text = "was removed from its cluster";
	}
	if (health == NULL && code == 200) {
		verdict->reason = SKYMON_PROTOCOL;
		verdict->text = "is not Vault";
	} else if (health == NULL && code == 429) { /* a rate limit: a standby sends a body */
		verdict->status = SKYMON_UNKNOWN;
		verdict->reason = SKYMON_RESOURCE;
		verdict->text = "limits our requests, so its health was not checked";
	}
	if (health == NULL)
		return;
	if (code == 200 && health->sealed) /* a proxy may have changed the code, but not the body */
		code = health->initialized ? 503 : 501;
	for (size_t i = 0; i < sizeof(verdicts) / sizeof(verdicts[0]); i++)
		if (verdicts[i].code == code)
			*verdict = verdicts[i].is;
}

double vault_skew(double server_time, double our_time)
{
	if (server_time > our_time)
		return server_time - our_time;
	if (server_time + 1 < our_time)
		return server_time + 1 - our_time;
	return 0;
}

/* ---- Tokens ---- */

bool vault_parse_token(const json_t *answer, struct vault_token *token)
{
	const json_t *data = json_object_get(answer, "data");
	const json_t *ttl = json_object_get(data, "ttl"), *born = json_object_get(data, "creation_ttl");
	const json_t *period = json_object_get(data, "period");
	*token = (struct vault_token){.renewable = json_is_true(json_object_get(data, "renewable"))};
	if (!json_is_number(ttl) || json_number_value(ttl) < 0)
		return false;
	token->ttl = json_number_value(ttl);
	token->creation_ttl = json_is_number(born) ? json_number_value(born) : 0;
	if (json_is_number(period) && json_number_value(period) > 0) /* the life after a renewal */
		token->creation_ttl = json_number_value(period);
	token->forever = token->ttl == 0 && json_is_null(json_object_get(data, "expire_time"));
	return true;
}

bool vault_is_due(const struct vault_token *token)
{
	return token->renewable && !token->forever && token->ttl < token->creation_ttl / 2;
}

/* ---- Errors ---- */

static bool contains(const char *body, const char *words)
{
	return body != NULL && strstr(body, words) != NULL;
}

void vault_explain(int code, const char *body, const char *place, const char *what, struct vault_fault *fault)
{
	enum skymon_reason reason = SKYMON_HTTP_STATUS;
	const char *text = "answered with an error";
	*fault = (struct vault_fault){.code = code};
	if (code == 403) {
		/* A valid token without the right gets "1 error occurred: permission denied"; the bare words,
		 * or "invalid token", mean that the token is invalid. */
		reason = SKYMON_AUTH_FAILED;
		fault->invalid = contains(body, "[\"permission denied\"]") ||
				 contains(body, "invalid token") || contains(body, "bad token");
		text = fault->invalid ? "refuses the token" : "denies the token access";
	} else if (code == 404) {
		reason = SKYMON_BODY_MISMATCH;
		text = contains(body, "namespace not found") ? "has no such namespace" : "has no such path";
	} else if (code == 429) { /* a limit on our requests, not a failure of the server */
		fault->outage = true;
		reason = SKYMON_RESOURCE;
		text = "limits our requests";
	} else if (code == 503 && contains(body, "sealed")) {
		fault->outage = true;
		reason = SKYMON_SEALED;
		text = "is sealed";
	} else if (code >= 500) {
		fault->outage = true;
	} else if (code >= 300 && code < 400) {
		text = "redirects: `address` must be the active server or forward to it";
	} else if (code == 400) {
		text = "rejects the request";
	}
	fault->login = fault->invalid;
	if (fault->outage) /* independent of the requested object */
		skymon_fault_set(&fault->is, SKYMON_UNHEALTHY, reason, "%.120s %s (HTTP %d)", place, text,
				 code);
	else
		skymon_fault_set(&fault->is, SKYMON_UNHEALTHY, reason,
				 "%.120s %s (HTTP %d) when asked for %.120s", place, text, code, what);
}

/* ---- Paths ---- */

static bool is_valid_path(const char *path)
{
	for (const char *at = path;; at++) {
		size_t length = strcspn(at, "/");
		if (length == 0 || (length == 1 && at[0] == '.') ||
		    (length == 2 && at[0] == '.' && at[1] == '.'))
			return false;
		at += length;
		if (*at == '\0')
			return true;
	}
}

/* Copies without leading and trailing slashes. Returns the length; 0 if it does not fit. */
static size_t trim(char *to, size_t room, const char *from)
{
	from += strspn(from, "/");
	size_t length = strlen(from);
	while (length > 0 && from[length - 1] == '/')
		length--;
	if (length >= room)
		length = 0;
	memcpy(to, from, length);
	to[length] = '\0';
	return length;
}

bool vault_full_path(const char *mount, const char *path, char *full, size_t size, size_t *guess)
{
	char own[VAULT_PATH_MAX], rest[VAULT_PATH_MAX];
	size_t own_size = trim(own, sizeof(own), mount), rest_size = trim(rest, sizeof(rest), path);
	bool whole = path[0] == '/' ||
		     (rest_size > own_size && strncmp(rest, own, own_size) == 0 && rest[own_size] == '/');
	if (rest_size == 0 || !is_valid_path(rest) || (!whole && (own_size == 0 || !is_valid_path(own))))
		return false;
	*guess = path[0] == '/' ? strcspn(rest, "/") : own_size;
	return (size_t)snprintf(full, size, "%s%s%s", whole ? "" : own, whole ? "" : "/", rest) < size;
}

bool vault_encode(const char *path, char *encoded, size_t size)
{
	size_t used = 0;
	for (; *path != '\0'; path++) {
		unsigned char c = (unsigned char)*path;
		bool plain = isalnum(c) || strchr("/-._~", c) != NULL;
		if (used + 4 > size)
			return false;
		used += (size_t)snprintf(encoded + used, size - used, plain ? "%c" : "%%%02X", c);
	}
	encoded[used] = '\0';
	return used > 0;
}

/* ---- Values ---- */

enum vault_found vault_field(struct skymon *sm, const json_t *data, const char *field, char *room,
			     const char **bytes, size_t *size)
{
	const json_t *value = json_object_get(data, field);
	if (value == NULL)
		return VAULT_NO_FIELD;
	if (skymon_json_odd(value) != NULL)
		return VAULT_NO_TEXT;
	*bytes = room;
	if (json_is_string(value)) {
		*bytes = json_string_value(value);
		*size = json_string_length(value);
	} else if (json_is_boolean(value)) {
		*size = (size_t)snprintf(room, 64, "%s", json_is_true(value) ? "true" : "false");
	} else if (json_is_integer(value)) {
		*size = (size_t)snprintf(room, 64, "%lld", (long long)json_integer_value(value));
	} else if (json_is_real(value)) {
		*size = skymon_print(sm, json_real_value(value), room, 64);
	} else {
		return VAULT_NO_TEXT;
	}
	return VAULT_FOUND;
}

void vault_explain_field(const json_t *data, const char *field, const char *place, struct skymon_fault *fault)
{
	const json_t *value = json_object_get(data, field);
	const char *why = skymon_json_odd(value);
	if (value == NULL)
		skymon_fault_set(fault, SKYMON_UNHEALTHY, SKYMON_BODY_MISMATCH,
				 "%.120s: no field %.80s at that path", place, field);
	else
		skymon_fault_set(fault, SKYMON_UNHEALTHY, SKYMON_BODY_MISMATCH, "%.120s: field %.80s %s",
				 place, field, why != NULL ? why : "is not a string, number or boolean");
}
