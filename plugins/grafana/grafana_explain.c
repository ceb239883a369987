/* SPDX-License-Identifier: Apache-2.0 */
/* grafana_explain: the meaning of an answer without success, from Grafana or from a proxy before it, or of a
 * failed connection. Called by grafana_client.c, on the thread of the request; pure. The status is evaluated
 * before the form of the body: a proxy answers 429 or 413 with a page of HTML. */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "grafana.h"

static void set_detail(struct grafana_fault *fault, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
static void set_detail(struct grafana_fault *fault, const char *format, ...)
{
	va_list list;
	va_start(list, format);
	vsnprintf(fault->detail, sizeof(fault->detail), format, list);
	va_end(list);
	grafana_trim_cut(fault->detail);
}

/* Faults that the caller can correct keep Grafana's code, except 412, which is a conflict of versions or
 * names, and 400: the JSON was valid, and a value in it is wrong. Faults between skymon and Grafana are 502.
 */
static int code_for(int upstream)
{
	switch (upstream) {
	case 400:
	case 422:
		return 422;
	case 403:
	case 404:
	case 413:
		return upstream;
	case 409:
	case 412:
		return 409;
	case 429:
		return 503;
	default:
		return 502;
	}
}

/* Grafana 9 answers 500 for a key that was deleted, alone or with its account; only the sentence
 * distinguishes it from other faults. A data source's own "invalid API key" is part of a longer sentence. */
static bool is_key_gone(int code, const char *message)
{
	static const char *const sentences[] = {"invalid API key",
						"Invalid API key",
						"Expired API key",
						"Revoked API key",
						"Revoked token",
						"Service account is disabled",
						"Unable to link API key to service account"};
	if (code == 401)
		return true;
	if (code != 500 && code != 403)
		return false;
	for (size_t i = 0; i < sizeof(sentences) / sizeof(sentences[0]); i++)
		if (strcasecmp(message, sentences[i]) == 0)
			return true;
	return false;
}

/* "…Permissions needed: datasources:create" */
static void explain_forbidden(struct grafana_fault *fault)
{
	const char *needed = strstr(fault->upstream_message, "Permissions needed: ");
	fault->reason = SKYMON_AUTH_FAILED;
	if (strcasestr(fault->upstream_message, "quota") != NULL) {
		fault->reason = SKYMON_HTTP_STATUS;
		set_detail(
			fault,
			"Grafana's quota is reached (%.200s): delete items that are not needed, or raise the "
			"quota in Grafana's configuration, under [quota]",
			fault->upstream_message);
	} else if (needed != NULL && strcmp(needed + 20, "orgs:read") == 0) {
		fault->reason = SKYMON_HTTP_STATUS;
		set_detail(
			fault,
			"Grafana reports that the key lacks the permission orgs:read, which each role from "
			"Viewer to Admin has: it answers so while its database is locked");
	} else if (needed != NULL) {
		set_detail(fault,
			   "Grafana's key lacks a permission: %.200s; data sources and alert rules need a "
			   "key with "
			   "the role Admin (an "
			   "Editor's may write dashboards only)",
			   needed + 20);
	} else {
		set_detail(fault,
			   "Grafana's key may not do this (%.200s); data sources and alert rules need a key "
			   "with "
			   "the role Admin (an "
			   "Editor's may write dashboards only)",
			   fault->upstream_message[0] != '\0' ? fault->upstream_message : "HTTP 403");
	}
}

/* Items from Grafana's own files, or of another tool, must be changed there. */
static bool explain_provisioned(struct grafana_fault *fault)
{
	const char *message = fault->upstream_message;
	bool other = strcasestr(message, "provenance") != NULL;
	if (!other && strcasestr(message, "provisioned") == NULL && strcasestr(message, "read-only") == NULL)
		return false;
	fault->code = 409;
	fault->reason = SKYMON_HTTP_STATUS;
	set_detail(
		fault,
		other ? "Grafana answered HTTP %d: %.200s: it is provisioned by another tool or from a file: "
			"change it there, or delete it there first"
		      : "Grafana answered HTTP %d: %.200s: it is provisioned from a file of Grafana: change "
			"it "
			"in that file, or use another uid and title",
		fault->upstream_status, message);
	return true;
}

static bool is_number(const char *text)
{
	size_t digits = strspn(text, "0123456789");
	return digits > 0 && digits < 10 && text[digits] == '\0';
}

static void keep_retry_after(struct grafana_fault *fault, const char *retry_after)
{
	bool good = retry_after != NULL && is_number(retry_after);
	if (good || fault->upstream_status == 429)
		snprintf(fault->retry_after, sizeof(fault->retry_after), "%s", good ? retry_after : "1");
}

static void init_fault(struct grafana_fault *fault, int code, const char *retry_after)
{
	grafana_forget(fault);
	fault->upstream_status = code;
	fault->code = code_for(code);
	fault->status = SKYMON_UNHEALTHY;
	fault->reason = SKYMON_HTTP_STATUS;
	if (code == 429 || code == 503)
		keep_retry_after(fault, retry_after);
}

void grafana_explain(int code, const char *message, const char *word, const char *retry_after,
		     const char *place, struct grafana_fault *fault)
{
	init_fault(fault, code, retry_after);
	grafana_clean(message != NULL ? message : "", fault->upstream_message,
		      sizeof(fault->upstream_message));
	grafana_clean(word != NULL ? word : "", fault->upstream_word, sizeof(fault->upstream_word));
	fault->key_refused = is_key_gone(code, fault->upstream_message);
	if (fault->key_refused) {
		fault->code = 502;
		fault->reason = SKYMON_AUTH_FAILED;
		set_detail(fault,
			   "%.200s: Grafana does not accept the key (HTTP %d)%s%.80s: put a valid one where "
			   "`api_key` points to",
			   place, code, fault->upstream_message[0] != '\0' ? ", " : "",
			   fault->upstream_message);
	} else if (explain_provisioned(fault)) {
		return;
	} else if (code == 403) {
		explain_forbidden(fault);
	} else if (code == 429) {
		set_detail(fault, "%.200s: Grafana limits requests at the moment (HTTP 429)", place);
	} else {
		set_detail(fault, "Grafana answered HTTP %d%s%s", code,
			   fault->upstream_message[0] != '\0' ? ": " : "", fault->upstream_message);
	}
}

/* Writes the target of a redirect without the secrets that it may contain: the host, or the path on the same
 * host. */
static void show_location(const char *location, char *out, size_t size)
{
	char text[120];
	if (location == NULL)
		snprintf(out, size, "nowhere");
	else if (skymon_http_place(location, text, sizeof(text)))
		snprintf(out, size, "%s", text);
	else {
		grafana_clean(location, text, sizeof(text));
		snprintf(out, size, "%.*s", (int)strcspn(text, "?#"), text);
	}
}

/* Quotes the title of a page, or the first line of a text, after a comma: `, "Client sent an HTTP request to
 * an HTTPS server."`. "" if there is neither. */
static void quote_body(const char *start, char *out, size_t size)
{
	const char *from = start;
	out[0] = '\0';
	const char *end;
	if (*start == '<') {
		from = strcasestr(start, "<title>");
		if (from == NULL)
			return;
		from += 7;
		end = strchr(from, '<');
	} else if (*start == '\0' || strchr("{[\"", *start) != NULL) {
		return;
	} else {
		end = from + strcspn(from, "\r\n");
	}
	char text[160];
	snprintf(text, sizeof(text), "%.*s", end != NULL && end - from < 150 ? (int)(end - from) : 150, from);
	grafana_trim_cut(text);
	char shown[140];
	grafana_clean(text, shown, sizeof(shown));
	if (shown[0] != '\0')
		snprintf(out, size, ", \"%s\"", shown);
}

void grafana_explain_alien(int code, const char *location, const char *retry_after, const char *body,
			   const char *place, struct grafana_fault *fault)
{
	const char *start = body != NULL ? body + strspn(body, " \t\r\n\xef\xbb\xbf") : "";
	bool good = code >= 200 && code < 300;
	init_fault(fault, code, retry_after);
	if (code != 429 && code != 413)
		fault->code = 502;
	fault->key_refused = code == 401;
	fault->reason = good ? SKYMON_PROTOCOL : code == 401 ? SKYMON_AUTH_FAILED : SKYMON_HTTP_STATUS;
	char said[160];
	quote_body(code >= 400 ? start : "", said, sizeof(said)); /* the body of a success may be anything */
	char to[140];
	if (code >= 300 && code < 400) {
		show_location(location, to, sizeof(to));
		set_detail(fault, "%.200s answered a redirect to %s, which is not followed: is `url` right?",
			   place, to);
	} else if (code == 429) {
		set_detail(fault, "%.200s limits requests at the moment (HTTP 429)%s", place, said);
	} else if (code == 413) {
		set_detail(fault,
			   "%.200s does not accept so large a request (HTTP 413)%s: has a proxy before "
			   "Grafana a "
			   "limit?",
			   place, said);
	} else if (*start == '<') {
		set_detail(fault,
			   "%.200s answered a page of HTML (HTTP %d)%s, not JSON: is `url` right, or is it a "
			   "proxy's answer?",
			   place, code, said);
	} else if (*start == '\0') {
		set_detail(fault, "%.200s sent an empty answer (HTTP %d): is `url` right?", place, code);
	} else {
		set_detail(fault,
			   "%.200s answered invalid or too deeply nested JSON (HTTP %d)%s: is `url` right?",
			   place, code, said);
	}
}

void grafana_explain_fetch(const struct skymon_fault *from, struct grafana_fault *fault)
{
	grafana_forget(fault);
	fault->status = from->status;
	fault->reason = from->reason;
	fault->reported = from->reported;
	switch (from->reason) {
	case SKYMON_TIMEOUT:
		fault->code = 504;
		break;
	case SKYMON_PROTOCOL:
		fault->code = 502;
		break;
	default: /* refused, unreachable, dns, TLS, its proxy, and our own lack of resources */
		fault->code = 503;
	}
	fault->sent = from->sent;
	set_detail(fault,
		   from->sent ? "Grafana's answer was not received: %s" : "Grafana cannot be asked: %s",
		   from->text);
}
