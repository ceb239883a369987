/* SPDX-License-Identifier: Apache-2.0 */
/* http_check: a check that is one request, from the options to the report. Called by such checks: on the
 * check's thread, or in `validate` on the worker's main thread. Owns nothing. */
#include <skymon/http.h>

void skymon_http_validate(struct skymon *sm, const char *name, const char *url, const char *proxy,
			  const struct skymon_tls *tls, bool secret)
{
	const char *why = skymon_http_url_fault(url);
	if (why == NULL)
		why = skymon_http_secret_fault(url, tls, secret);
	if (why != NULL)
		skymon_invalid(sm, name, "%s", why);
	why = skymon_http_proxy_fault(proxy);
	if (why != NULL)
		skymon_invalid(sm, "proxy", "%s", why);
}

static const char *meaning_of(int code)
{
	if (code == 401)
		return ", the credentials are refused";
	if (code == 403)
		return ", the credentials lack a right";
	return code / 100 == 3 ? ", a redirect, which is not followed" : "";
}

static enum skymon_status report_code(struct skymon *sm, const struct skymon_http_request *request, int code)
{
	char place[300] = "";
	skymon_http_place(request->url, place, sizeof(place));
	if (code == 401 && request->bearer != NULL && request->bearer->bytes != NULL)
		skymon_secret_refused(sm);
	skymon_reason(sm, code == 401   ? SKYMON_AUTH_FAILED
			  : code == 403 ? SKYMON_DENIED
					: SKYMON_HTTP_STATUS);
	return skymon_unhealthy(sm, "%s: HTTP %d%s", place, code, meaning_of(code));
}

enum skymon_status skymon_http_check(struct skymon *sm, struct skymon_http **http,
				     const struct skymon_http_request *request,
				     struct skymon_http_answer *answer)
{
	struct skymon_fault fault;
	*answer = (struct skymon_http_answer){0};
	if (*http == NULL && (*http = skymon_http_new()) == NULL) {
		skymon_fault_set(&fault, SKYMON_UNKNOWN, SKYMON_RESOURCE, "out of memory for the request");
		return skymon_report(sm, NULL, &fault);
	}
	skymon_http_begin(*http, request->reconnect_ms);
	bool answered = skymon_http_do(sm, *http, request, answer, &fault);
	skymon_http_end(*http);
	if (!answered)
		return skymon_report(sm, NULL, &fault);
	skymon_tls_report(sm, answer->trust, answer->local);
	skymon_tls_report_days(sm, answer->days);
	if (answer->code / 100 == 2)
		return SKYMON_HEALTHY;
	int code = answer->code;
	skymon_http_answer_free(answer);
	return report_code(sm, request, code);
}
