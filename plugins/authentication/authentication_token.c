/* SPDX-License-Identifier: Apache-2.0 */
/* authentication_token: requests a new token for the configured client in each check, and validates it.
 * Called by authentication.c on the check's thread; the token is wiped before it returns. Nothing of the
 * provider's answer is shown except error codes of OAuth. */
#include "authentication.h"

#include <math.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include <skymon/json.h>

/* ---- The request ---- */

/* RFC 6749: both sides are form-encoded before they are joined. */
static bool basic_header(const struct authentication *auth, struct auth_text *header)
{
	struct auth_text login = {0};
	char *code = NULL;
	size_t size = 0;
	auth_form_add(&login, NULL, auth->client_id, strlen(auth->client_id));
	auth_text_add(&login, ":", 1);
	auth_form_add(&login, NULL, auth->client_secret.bytes, auth->client_secret.size);
	if (!login.failed) {
		size = login.size / 3 * 4 + 5;
		code = malloc(size);
	}
	if (code != NULL) {
		EVP_EncodeBlock((unsigned char *)code, (unsigned char *)login.bytes, (int)login.size);
		auth_text_add(header, "Basic ", 6);
		auth_text_add(header, code, strlen(code));
		explicit_bzero(code, size);
	}
	free(code);
	auth_text_free(&login);
	return code != NULL && !header->failed;
}

static bool offers(const json_t *methods, const char *method)
{
	const json_t *one;
	size_t i;
	json_array_foreach(methods, i, one) {
		if (json_is_string(one) && strcmp(json_string_value(one), method) == 0)
			return true;
	}
	return false;
}

static enum auth_method method_for(const struct visit *visit)
{
	const json_t *methods = json_object_get(visit->document, "token_endpoint_auth_methods_supported");
	if (visit->auth->client_auth.index != AUTH_AUTO)
		return (enum auth_method)visit->auth->client_auth.index;
	return !offers(methods, "client_secret_basic") && offers(methods, "client_secret_post") ? AUTH_POST
												: AUTH_BASIC;
}

static bool fill_form(const struct authentication *auth, enum auth_method method, struct auth_text *form)
{
	auth_form_add(form, "grant_type", "client_credentials", 18);
	if (auth->scope != NULL && auth->scope[0] != '\0')
		auth_form_add(form, "scope", auth->scope, strlen(auth->scope));
	for (size_t i = 0; i < auth->parameters.count; i++) {
		const struct skymon_label *parameter = &auth->parameters.items[i];
		auth_form_add(form, parameter->name, parameter->value, strlen(parameter->value));
	}
	if (method == AUTH_POST) {
		auth_form_add(form, "client_id", auth->client_id, strlen(auth->client_id));
		auth_form_add(form, "client_secret", auth->client_secret.bytes, auth->client_secret.size);
	}
	return !form->failed;
}

static bool request_token(struct visit *visit, const char *url, struct skymon_http_answer *answer)
{
	enum auth_method method = method_for(visit);
	struct auth_text form = {0}, header = {0};
	bool good = fill_form(visit->auth, method, &form) &&
		    (method == AUTH_POST || basic_header(visit->auth, &header));
	if (good) {
		const struct skymon_label headers[] = {{"Accept", "application/json"},
						       {"Content-Type", "application/x-www-form-urlencoded"},
						       {"Authorization", header.bytes}};
		struct skymon_http_request request = {.method = "POST",
						      .url = url,
						      .headers = headers,
						      .header_count = 3,
						      .body = form.bytes,
						      .body_size = form.size};
		good = auth_ask(visit, "token", &request, answer);
	} else {
		skymon_reason(visit->sm, SKYMON_RESOURCE);
		visit->status = skymon_unknown(visit->sm, "token: out of memory for the request");
	}
	auth_text_free(&form);
	auth_text_free(&header);
	return good;
}

/* ---- A refusal ---- */

static bool is_error_code(const char *text)
{
	return text != NULL && text[0] != '\0' && strlen(text) <= 40 &&
	       text[strspn(text, "abcdefghijklmnopqrstuvwxyz_")] == '\0';
}

/* Not every provider reports a refused secret as invalid_client, but 401 always concerns the client. */
static bool explain_refusal(struct visit *visit, const char *place, const struct skymon_http_answer *answer)
{
	char why[SKYMON_JSON_WHY];
	json_t *json = skymon_json_read_loose(answer->body, answer->size, why);
	const char *error = skymon_json_text(json, "error");
	bool has_error = is_error_code(error), of_secret = answer->code == 401;
	char code[80];
	snprintf(code, sizeof(code), "HTTP %d%s%s", answer->code, has_error ? ", " : "",
		 has_error ? error : "");
	if (answer->code == 400 && has_error && strcmp(error, "invalid_client") == 0)
		of_secret = true;
	if (of_secret) {
		skymon_secret_refused(visit->sm);
		auth_fail(visit, SKYMON_AUTH_FAILED, "token: %s refuses the client's id or secret (%s)",
			  place, code);
	} else if (answer->code == 400 && has_error && strcmp(error, "unauthorized_client") == 0) {
		auth_fail(visit, SKYMON_AUTH_FAILED,
			  "token: %s does not let this client use the client-credentials grant (%s)", place,
			  code);
	} else {
		auth_fail(visit, SKYMON_HTTP_STATUS, "token: %s answers %s", place, code);
	}
	json_decref(json);
	return false;
}

/* ---- A token ---- */

static double now(void)
{
	struct timespec at;
	clock_gettime(CLOCK_REALTIME, &at);
	return (double)at.tv_sec + (double)at.tv_nsec / 1e9;
}

/* Some providers send expires_in as a string. Returns NaN if it is missing or invalid. */
static double seconds_of(const json_t *value)
{
	double seconds =
		json_is_number(value) ? json_number_value(value) : auth_age(json_string_value(value));
	return json_is_number(value) || seconds >= 0 ? seconds : NAN;
}

static bool validate_claims(struct visit *visit, const struct jose_token *token)
{
	char why[240];
	if (auth_claims(token->claims, visit->auth->issuer, visit->auth->audience, now(), why, sizeof(why)))
		return true;
	return auth_fail(visit, SKYMON_BODY_MISMATCH, "token: %s", why);
}

/* A token that public keys cannot verify passes; the message says that it was not checked. */
static bool validate_signature(struct visit *visit, enum jose_verdict verdict, const struct jose_token *token)
{
	const char *why = NULL;
	switch (verdict) {
	case JOSE_VERIFIED:
		snprintf(visit->token, sizeof(visit->token), "token issued and verified (%s)", token->alg);
		return validate_claims(visit, token);
	case JOSE_OPAQUE:
		why = "it is opaque";
		break;
	case JOSE_ENCRYPTED:
		why = "it is encrypted";
		break;
	case JOSE_SYMMETRIC:
		why = "it is signed by a shared secret";
		break;
	case JOSE_UNSIGNED:
		return auth_fail(visit, SKYMON_BODY_MISMATCH, "token: not signed (alg none)");
	case JOSE_UNKNOWN:
		return auth_fail(visit, SKYMON_BODY_MISMATCH,
				 "token: signed with an unsupported algorithm or critical header (alg %s)",
				 token->alg);
	case JOSE_NO_KEY:
		return auth_fail(visit, SKYMON_BODY_MISMATCH,
				 "token: signed by a key that is not in the JWKS (alg %s%s%s)", token->alg,
				 token->kid[0] != '\0' ? ", kid " : "", token->kid);
	case JOSE_FORGED:
		return auth_fail(visit, SKYMON_BODY_MISMATCH,
				 "token: the signature does not match the published key (alg %s, kid %s)",
				 token->alg, token->kid);
	case JOSE_BROKEN:
		return auth_fail(visit, SKYMON_BODY_MISMATCH, "token: the claims are not a JSON object");
	}
	snprintf(visit->token, sizeof(visit->token), "token issued, signature not checked: %s", why);
	return true;
}

static bool validate_token(struct visit *visit, const char *text)
{
	if (!visit->auth->verify_token) {
		snprintf(visit->token, sizeof(visit->token),
			 "token issued, signature not checked: verify_token is off");
		skymon_detail_boolean(visit->sm, "token_verified", false);
		return true;
	}
	struct jose_token token;
	enum jose_verdict verdict = jose_verify(text, &visit->keys, &token);
	if (verdict == JOSE_NO_KEY) {
		/* The provider may have rotated its keys since: read them once more, as clients do. */
		if (!auth_fetch_keys(visit))
			return false;
		verdict = jose_verify(text, &visit->keys, &token);
	}
	bool good = validate_signature(visit, verdict, &token);
	skymon_detail_boolean(visit->sm, "token_verified", good && verdict == JOSE_VERIFIED);
	json_decref(token.claims);
	return good;
}

static bool validate_answer(struct visit *visit, const char *place, const json_t *json, const char *why)
{
	const char *token = skymon_json_text(json, "access_token"),
		   *type = skymon_json_text(json, "token_type");
	const char *requested = visit->auth->scope, *granted = skymon_json_text(json, "scope");
	double ttl = seconds_of(json_object_get(json, "expires_in"));
	if (!json_is_object(json))
		return auth_fail(visit, SKYMON_PROTOCOL, "token: the answer of %s %s", place, why);
	if (token == NULL || token[0] == '\0' || type == NULL)
		return auth_fail(visit, SKYMON_PROTOCOL,
				 "token: the answer of %s has no access_token or no token_type", place);
	char shown[24];
	jose_show(type, shown, sizeof(shown));
	skymon_detail(visit->sm, "token_type", "%s", shown);
	if (!isnan(ttl)) {
		skymon_detail_number(visit->sm, "expires_in", ttl);
		skymon_number(visit->sm, "token_ttl", ttl);
		skymon_gauge(visit->sm, "skymon_oidc_token_lifetime_seconds", "Life of a new token", ttl);
	}
	if (!isnan(ttl) && ttl <= 0)
		return auth_fail(visit, SKYMON_BODY_MISMATCH, "token: expires at once (expires_in %.0f)",
				 ttl);
	if (requested != NULL && granted != NULL && !auth_granted(requested, granted))
		return auth_fail(visit, SKYMON_BODY_MISMATCH,
				 "token: the provider did not grant all requested scopes");
	return validate_token(visit, token);
}

static void wipe(const json_t *text)
{
	if (json_is_string(text))
		explicit_bzero((char *)(uintptr_t)json_string_value(text), json_string_length(text));
}

bool auth_token_check(struct visit *visit)
{
	const char *url = auth_endpoint(visit, "token_endpoint");
	struct skymon_http_answer answer = {0};
	char place[300] = "", why[SKYMON_JSON_WHY] = "is JSON, and not an object";
	if (url == NULL)
		return false;
	if (skymon_http_secret_fault(url, &visit->auth->tls, true) != NULL)
		return auth_fail(
			visit, SKYMON_TLS_OTHER,
			"discovery: the document's token_endpoint is http:// to another machine; without "
			"TLS the client's secret is not sent there");
	if (!request_token(visit, url, &answer))
		return false;
	skymon_http_place(url, place, sizeof(place));
	skymon_number(visit->sm, "token_time", answer.seconds);
	bool good;
	if (answer.code != 200) {
		good = explain_refusal(visit, place, &answer);
	} else {
		json_t *json = skymon_json_read_loose(answer.body, answer.size, why);
		good = validate_answer(visit, place, json, why);
		wipe(json_object_get(json, "access_token"));
		json_decref(json);
	}
	skymon_http_answer_free(&answer);
	return good;
}
