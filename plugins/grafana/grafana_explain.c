/* SPDX-License-Identifier: Apache-2.0 */
/* grafana_explain: what an answer without success means: of Grafana's, of a proxy before it, or of the
 * connection. Called by grafana_client.c, on the thread of the request; pure. The status comes first, then
 * the form of the body: a proxy answers 429 or 413 with a page of HTML. */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "grafana.h"

static void say(struct grafana_fault *fault, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void say(struct grafana_fault *fault, const char *format, ...)
{
	va_list list;

	va_start(list, format);
	vsnprintf(fault->detail, sizeof(fault->detail), format, list);
	va_end(list);
	grafana_trim_cut(fault->detail);
}

/* What the caller can mend keeps Grafana's code, but for 412, which is a conflict of versions or names, and
 * 400: the JSON was JSON, and something in it is wrong. What is between skymon and Grafana is 502. */
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

/* A key that was deleted, with its account or alone, is 500 on Grafana 9; its sentence tells it from other
 * faults. A data source's own "invalid API key" stands within a longer sentence. */
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
static void say_forbidden(struct grafana_fault *fault)
{
	const char *needed = strstr(fault->upstream_message, "Permissions needed: ");

	fault->reason = SKYMON_AUTH_FAILED;
	if (strcasestr(fault->upstream_message, "quota") != NULL) {
		fault->reason = SKYMON_HTTP_STATUS;
		say(fault,
		    "Grafana has a quota for these, which is reached (%.200s): delete what is not needed, or "
		    "raise it in Grafana's "
		    "configuration, under [quota]",
		    fault->upstream_message);
	} else if (needed != NULL && strcmp(needed + 20, "orgs:read") == 0) {
		fault->reason = SKYMON_HTTP_STATUS;
		say(fault, "Grafana says that its key lacks the permission orgs:read, which each role from "
			   "Viewer to Admin has: it "
			   "answers so while its database is locked");
	} else if (needed != NULL) {
		say(fault,
		    "Grafana's key lacks a permission: %.200s; data sources and alert rules need a key with "
		    "the role Admin (an "
		    "Editor's may write dashboards only)",
		    needed + 20);
	} else {
		say(fault,
		    "Grafana's key may not do this (%.200s); data sources and alert rules need a key with "
		    "the role Admin (an "
		    "Editor's may write dashboards only)",
		    fault->upstream_message[0] != '\0' ? fault->upstream_message : "HTTP 403");
	}
}

/* What a file of Grafana's, or another tool, has made is not for others to change. */
static bool say_provisioned(struct grafana_fault *fault)
{
	const char *message = fault->upstream_message;
	bool other = strcasestr(message, "provenance") != NULL;

	if (!other && strcasestr(message, "provisioned") == NULL && strcasestr(message, "read-only") == NULL)
		return false;
	fault->code = 409;
	fault->reason = SKYMON_HTTP_STATUS;
	say(fault,
	    other ? "Grafana answered HTTP %d: %.200s: it was made by another tool, or from a file, that "
		    "keeps it: change it there, or "
		    "delete it there first"
		  : "Grafana answered HTTP %d: %.200s: Grafana has it from a file of its own: change it in "
		    "that file, or use another uid "
		    "and title",
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

static void begin(struct grafana_fault *fault, int code, const char *retry_after)
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
	begin(fault, code, retry_after);
	grafana_clean(message != NULL ? message : "", fault->upstream_message,
		      sizeof(fault->upstream_message));
	grafana_clean(word != NULL ? word : "", fault->upstream_word, sizeof(fault->upstream_word));
	fault->key_refused = is_key_gone(code, fault->upstream_message);
	if (fault->key_refused) {
		fault->code = 502;
		fault->reason = SKYMON_AUTH_FAILED;
		say(fault,
		    "%.200s: Grafana does not accept the key (HTTP %d)%s%.80s: put a valid one where "
		    "`api_key` points to",
		    place, code, fault->upstream_message[0] != '\0' ? ", " : "", fault->upstream_message);
	} else if (say_provisioned(fault)) {
		return;
	} else if (code == 403) {
		say_forbidden(fault);
	} else if (code == 429) {
		say(fault, "%.200s: Grafana takes no more requests for now (HTTP 429)", place);
	} else {
		say(fault, "Grafana answered HTTP %d%s%s", code,
		    fault->upstream_message[0] != '\0' ? ": " : "", fault->upstream_message);
	}
}

/* Where a redirect leads, without what it may carry along: the host, or the path of the same one. */
static void show_location(const char *location, char *out, size_t size)
{
	char text[120];

	if (location == NULL)
		snprintf(out, size, "nowhere");
	else if (fetch_place(location, text, sizeof(text)))
		snprintf(out, size, "%s", text);
	else {
		grafana_clean(location, text, sizeof(text));
		snprintf(out, size, "%.*s", (int)strcspn(text, "?#"), text);
	}
}

/* What such an answer says of itself: the title of a page, or the first line of a text, with quotes and a
 * comma before it: "Client sent an HTTP request to an HTTPS server." "" where neither is there. */
static void quote(const char *start, char *out, size_t size)
{
	const char *from = start, *end;
	char text[160], shown[140];

	out[0] = '\0';
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
	snprintf(text, sizeof(text), "%.*s", end != NULL && end - from < 150 ? (int)(end - from) : 150, from);
	grafana_trim_cut(text);
	grafana_clean(text, shown, sizeof(shown));
	if (shown[0] != '\0')
		snprintf(out, size, ", \"%s\"", shown);
}

void grafana_explain_alien(int code, const char *location, const char *retry_after, const char *body,
			   const char *place, struct grafana_fault *fault)
{
	char to[140], said[160];
	const char *start = body != NULL ? body + strspn(body, " \t\r\n\xef\xbb\xbf") : "";
	bool good = code >= 200 && code < 300;

	begin(fault, code, retry_after);
	if (code != 429 && code != 413)
		fault->code = 502;
	fault->key_refused = code == 401;
	fault->reason = good ? SKYMON_PROTOCOL : code == 401 ? SKYMON_AUTH_FAILED : SKYMON_HTTP_STATUS;
	quote(code >= 400 ? start : "", said, sizeof(said)); /* what came with a success may be anything */
	if (code >= 300 && code < 400) {
		show_location(location, to, sizeof(to));
		say(fault, "%.200s answered a redirect to %s, which is not followed: is `url` right?", place,
		    to);
	} else if (code == 429) {
		say(fault, "%.200s takes no more requests for now (HTTP 429)%s", place, said);
	} else if (code == 413) {
		say(fault,
		    "%.200s does not take so large a request (HTTP 413)%s: is there a limit in a proxy "
		    "before Grafana?",
		    place, said);
	} else if (*start == '<') {
		say(fault,
		    "%.200s answered a page of HTML (HTTP %d)%s, not JSON: is `url` right, or a proxy in "
		    "between?",
		    place, code, said);
	} else if (*start == '\0') {
		say(fault, "%.200s answered nothing (HTTP %d): is `url` right?", place, code);
	} else {
		say(fault,
		    "%.200s answered what is no JSON, or too deep in itself (HTTP %d)%s: is `url` right?",
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
	default: /* refused, unreachable, dns, TLS, its proxy, and what we lack ourselves */
		fault->code = 503;
	}
	fault->sent = from->sent;
	say(fault, from->sent ? "Grafana's answer was not received: %s" : "Grafana cannot be asked: %s",
	    from->text);
}
