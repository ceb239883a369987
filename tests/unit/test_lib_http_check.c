/* SPDX-License-Identifier: Apache-2.0 */
/* http_check: what a check that is one request reports for each code and fault, with a request that is made up
 * here; and the mistakes of its options. Real servers: sdk/examples/orders/test. */
#include "fake_host.h"
#include "unit.h"

#include "../../sdk/lib/http_check.c"

/* ---- A request that is made up ---- */

static struct {
	int code, began, ended, made; /* code 0: a fault */
	int64_t reconnect_ms;
	bool out_of_memory;
} made_up;

struct skymon_http *skymon_http_new(void)
{
	made_up.made++;
	return made_up.out_of_memory ? NULL : (struct skymon_http *)&made_up;
}

void skymon_http_free(struct skymon_http *http)
{
	(void)http;
}

void skymon_http_begin(struct skymon_http *http, int64_t reconnect_ms)
{
	(void)http;
	made_up.began++;
	made_up.reconnect_ms = reconnect_ms;
}

void skymon_http_end(struct skymon_http *http)
{
	(void)http;
	made_up.ended++;
}

bool skymon_http_do(struct skymon *sm, struct skymon_http *http, const struct skymon_http_request *request,
		    struct skymon_http_answer *answer, struct skymon_fault *fault)
{
	(void)sm, (void)http, (void)request;
	*answer = (struct skymon_http_answer){.code = made_up.code, .days = {30, 12}};
	if (made_up.code != 0) {
		answer->trust = SKYMON_TLS_VERIFIED;
		answer->body = calloc(1, 1);
		return true;
	}
	skymon_fault_set(fault, SKYMON_UNHEALTHY, SKYMON_REFUSED, "a.test:443: connection refused");
	return false;
}

void skymon_http_answer_free(struct skymon_http_answer *answer)
{
	free(answer->body);
	*answer = (struct skymon_http_answer){0};
}

static void fake_refused(struct skymon *sm)
{
	(void)sm;
	fake_line("secret refused\n");
}

static struct skymon *new_run(void)
{
	static struct skymon_host host;
	static struct skymon sm = {&host};
	host = *fake_new_run()->host;
	host.secret_refused = fake_refused;
	return &sm;
}

/* ---- Tests ---- */

static void checks(void)
{
	static const struct {
		int code;
		enum skymon_status status;
		enum skymon_reason reason;
		const char *message;
	} rows[] = {
		{200, SKYMON_HEALTHY, SKYMON_NONE, ""},
		{204, SKYMON_HEALTHY, SKYMON_NONE, ""},
		{301, SKYMON_UNHEALTHY, SKYMON_HTTP_STATUS,
		 "a.test:443: HTTP 301, a redirect, which is not followed"},
		{401, SKYMON_UNHEALTHY, SKYMON_AUTH_FAILED,
		 "a.test:443: HTTP 401, the credentials are refused"},
		{403, SKYMON_UNHEALTHY, SKYMON_DENIED, "a.test:443: HTTP 403, the credentials lack a right"},
		{404, SKYMON_UNHEALTHY, SKYMON_HTTP_STATUS, "a.test:443: HTTP 404"},
		{503, SKYMON_UNHEALTHY, SKYMON_HTTP_STATUS, "a.test:443: HTTP 503"},
		{0, SKYMON_UNHEALTHY, SKYMON_REFUSED, "a.test:443: connection refused"},
	};
	const struct skymon_secret token = {.bytes = "geheim", .size = 6}, none = {.bytes = NULL};
	const struct skymon_secret *const tokens[] = {&token, &none, NULL};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		for (size_t j = 0; j < sizeof(tokens) / sizeof(tokens[0]); j++) {
			const struct skymon_http_request request = {
				.url = "https://u:p@a.test/x", .bearer = tokens[j], .reconnect_ms = 7};
			struct skymon_http *http = NULL;
			struct skymon_http_answer answer;
			memset(&made_up, 0, sizeof(made_up));
			made_up.code = rows[i].code;
			CU_ASSERT(skymon_http_check(new_run(), &http, &request, &answer) == rows[i].status);
			CU_ASSERT(fake.reason == (int)rows[i].reason);
			UNIT_TEXT(fake.message, rows[i].message);
			CU_ASSERT((strstr(fake.text, "secret refused\n") != NULL) ==
				  (rows[i].code == 401 && j == 0));
			CU_ASSERT((strstr(fake.text, "number certificate_days 30\n") != NULL &&
				   strstr(fake.text, "number chain_days 12\n") != NULL &&
				   strstr(fake.text, "detail tls verified\n") != NULL) ==
				  (rows[i].code != 0));
			CU_ASSERT((answer.body != NULL) == (rows[i].status == SKYMON_HEALTHY));
			CU_ASSERT(http != NULL && made_up.began == 1 && made_up.ended == 1 &&
				  made_up.reconnect_ms == 7);
			skymon_http_answer_free(&answer);
			CU_ASSERT(skymon_http_check(new_run(), &http, &request, &answer) == rows[i].status);
			CU_ASSERT(made_up.made == 1);
			skymon_http_answer_free(&answer);
		}
}

static void no_memory(void)
{
	const struct skymon_http_request request = {.url = "https://a.test/"};
	struct skymon_http *http = NULL;
	struct skymon_http_answer answer;
	made_up.out_of_memory = true;
	CU_ASSERT(skymon_http_check(new_run(), &http, &request, &answer) == SKYMON_UNKNOWN);
	CU_ASSERT(fake.reason == SKYMON_RESOURCE && answer.body == NULL && http == NULL);
}

static void mistakes(void)
{
	static const struct skymon_tls insecure = {.insecure = true};
	static const struct {
		const char *url, *proxy;
		const struct skymon_tls *tls;
		bool secret;
		int mistakes;
		const char *last;
	} rows[] = {
		{"https://a.test/", NULL, NULL, true, 0, ""},
		{"http://a.test/", "none", NULL, false, 0, ""},
		{"http://localhost/", NULL, NULL, true, 0, ""},
		{"http://a.test/", NULL, &insecure, true, 0, ""},
		{"http://a.test/", NULL, NULL, true, 1, "url " SKYMON_TLS_CLEAR("https://")},
		{"http://u:p@a.test/", NULL, NULL, false, 1, "url " SKYMON_TLS_CLEAR("https://")},
		{"ftp://a.test/", "ftp://b", NULL, false, 2,
		 "proxy must be none, or a URL that begins with http://, https:// or socks5h:// and names a "
		 "host"},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct skymon *sm = new_run();
		skymon_http_validate(sm, "url", rows[i].url, rows[i].proxy, rows[i].tls, rows[i].secret);
		CU_ASSERT(fake.mistakes == rows[i].mistakes);
		UNIT_TEXT(fake.message, rows[i].last);
	}
}

int main(void)
{
	return unit_run("http check",
			(const struct unit_test[]){
				{"checks", checks}, {"no memory", no_memory}, {"mistakes", mistakes}, {0}});
}
