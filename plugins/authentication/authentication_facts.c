/* SPDX-License-Identifier: Apache-2.0 */
/* authentication_facts: validates issuers, URLs, headers and claims, and builds forms. Called by the other
 * files of authentication, on any thread: pure functions. */
#include "authentication.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <skymon/json.h>

const char *const auth_wanted[] = {"Date", "Age", "Cache-Control", NULL};

/* ---- URLs ---- */

static bool is_https(const char *url)
{
	return strncasecmp(url, "https://", 8) == 0;
}

static bool has_user_info(const char *url)
{
	const char *host = strstr(url, "://");
	return host != NULL && memchr(host + 3, '@', strcspn(host + 3, "/?#")) != NULL;
}

const char *auth_issuer_fault(const char *issuer)
{
	if (has_user_info(issuer))
		return "must not contain a user name or password; use client_id and "
		       "client_secret";
	if (strpbrk(issuer, "?#") != NULL)
		return "must not have a query or a fragment";
	if (strstr(issuer, "/.well-known/") != NULL)
		return "must end before /.well-known/openid-configuration";
	return NULL;
}

void auth_show_issuer(const char *issuer, char *out, size_t size)
{
	jose_show(has_user_info(issuer) ? "(URL-with-user-info)" : issuer, out, size);
}

void auth_realm(const char *issuer, char *realm, size_t size)
{
	const char *at = strstr(issuer, "/realms/");
	realm[0] = '\0';
	const char *next;
	while (at != NULL && (next = strstr(at + 1, "/realms/")) != NULL)
		at = next;
	if (at == NULL)
		return;
	at += strlen("/realms/");
	if (at[strcspn(at, "/")] == '\0')
		jose_show(at, realm, size);
}

const char *auth_url_fault(const char *issuer, const char *url)
{
	struct skymon_fault fault;
	if (strpbrk(url, " \t\r\n") != NULL || strlen(url) > 2000 || has_user_info(url) ||
	    !skymon_http_accepts("it", url, NULL, &fault))
		return "is not a valid http:// or https:// URL";
	if (is_https(issuer) && !is_https(url))
		return "is not https, although the issuer is";
	return NULL;
}

/* ---- Headers ---- */

double auth_age(const char *age)
{
	if (age == NULL || age[0] < '0' || age[0] > '9')
		return -1;
	char *end;
	unsigned long long seconds = strtoull(age, &end, 10);
	return *end == '\0' && seconds < 1ull << 40 ? (double)seconds : -1;
}

double auth_max_age(const char *cache_control)
{
	const char *at = cache_control;
	while (at != NULL && *at != '\0') {
		at += strspn(at, " \t,");
		if (strncasecmp(at, "max-age=", 8) == 0) {
			char number[24] = "";
			at += 8 + (at[8] == '"');
			memcpy(number, at, strnlen(at, sizeof(number) - 1));
			number[strspn(number, "0123456789")] = '\0';
			return auth_age(number);
		}
		at += strcspn(at, ",");
	}
	return -1;
}

double auth_skew(double date, double age, double sent, double received)
{
	/* Date is the beginning of a second, Age a count of whole ones. */
	double earliest = date + (age > 0 ? age : 0), latest = earliest + (age > 0 ? 2 : 1);
	return earliest > received ? earliest - received : latest < sent ? latest - sent : 0;
}

/* ---- Claims ---- */

static bool explain(char *why, size_t size, const char *format, ...) __attribute__((format(printf, 3, 4)));
static bool explain(char *why, size_t size, const char *format, ...)
{
	va_list list;
	va_start(list, format);
	vsnprintf(why, size, format, list);
	va_end(list);
	return false;
}

static bool has_audience(const json_t *aud, const char *audience)
{
	if (json_is_string(aud))
		return strcmp(json_string_value(aud), audience) == 0;
	const json_t *one;
	size_t i;
	json_array_foreach(aud, i, one) {
		if (json_is_string(one) && strcmp(json_string_value(one), audience) == 0)
			return true;
	}
	return false;
}

bool auth_claims(const json_t *claims, const char *issuer, const char *audience, double now, char *why,
		 size_t size)
{
	const char *iss = skymon_json_text(claims, "iss");
	const json_t *exp = json_object_get(claims, "exp"), *iat = json_object_get(claims, "iat");
	const json_t *nbf = json_object_get(claims, "nbf");
	char shown[120];
	auth_show_issuer(iss != NULL ? iss : "", shown, sizeof(shown));
	if (iss == NULL)
		return explain(why, size, "no issuer (iss)");
	if (strcmp(iss, issuer) != 0)
		return explain(why, size, "issued by another issuer: iss is %s", shown);
	if (!json_is_number(exp))
		return explain(why, size, "no expiry (exp)");
	if (json_number_value(exp) + AUTH_LEEWAY < now)
		return explain(why, size, "a new token that expired %.0f s ago (exp); do the clocks agree?",
			       now - json_number_value(exp));
	if (iat != NULL && (!json_is_number(iat) || json_number_value(iat) - AUTH_LEEWAY > now))
		return explain(why, size, "issued in the future (iat); do the clocks agree?");
	if (nbf != NULL && (!json_is_number(nbf) || json_number_value(nbf) - AUTH_LEEWAY > now))
		return explain(why, size, "not valid yet (nbf); do the clocks agree?");
	if (audience != NULL && audience[0] != '\0' &&
	    !has_audience(json_object_get(claims, "aud"), audience))
		return explain(why, size, "not for the audience %.80s (aud)", audience);
	return true;
}

bool auth_granted(const char *requested, const char *granted)
{
	size_t length;
	for (; *(requested += strspn(requested, " ")) != '\0'; requested += length) {
		const char *at = granted;
		length = strcspn(requested, " ");
		while (*(at += strspn(at, " ")) != '\0' &&
		       (strcspn(at, " ") != length || strncmp(at, requested, length) != 0))
			at += strcspn(at, " ");
		if (*at == '\0')
			return false;
	}
	return true;
}

/* ---- Forms ---- */

void auth_text_add(struct auth_text *text, const char *bytes, size_t size)
{
	if (!text->failed && text->room - text->size <= size) {
		size_t room = (text->size + size + 1) * 2;
		/* Not realloc(), which would leave a copy of the secret in freed memory. */
		char *larger = malloc(room);
		if (larger == NULL) {
			text->failed = true;
			return;
		}
		if (text->size > 0)
			memcpy(larger, text->bytes, text->size);
		larger[text->size] = '\0';
		struct auth_text old = *text;
		text->bytes = larger;
		text->room = room;
		auth_text_free(&old);
	}
	if (text->failed)
		return;
	memcpy(text->bytes + text->size, bytes, size);
	text->size += size;
	text->bytes[text->size] = '\0';
}

void auth_form_add(struct auth_text *text, const char *name, const char *value, size_t size)
{
	static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
	if (name != NULL && text->size > 0)
		auth_text_add(text, "&", 1);
	if (name != NULL) {
		auth_form_add(text, NULL, name, strlen(name));
		auth_text_add(text, "=", 1);
	}
	for (size_t i = 0; i < size; i++) {
		char code[4];
		snprintf(code, sizeof(code), "%%%02X", (unsigned char)value[i]);
		if (value[i] != '\0' && strchr(plain, value[i]) != NULL)
			auth_text_add(text, value + i, 1);
		else
			auth_text_add(text, code, 3);
	}
}

void auth_text_free(struct auth_text *text)
{
	if (text->bytes != NULL)
		explicit_bzero(text->bytes, text->room);
	free(text->bytes);
	*text = (struct auth_text){0};
}
