/* SPDX-License-Identifier: Apache-2.0 */
/* Answers with a page that tries to write, of any type (?type=) and code (?code=), and with a header of the
 * client's choice
 * (?name= ?value=). */
#include <skymon/routes.h>
#include <stdlib.h>

static enum skymon_status check(struct skymon *sm, void *state)
{
	(void)state;
	return skymon_healthy(sm, "looked");
}

static void page(struct skymon *sm, void *state, struct skymon_request *rq)
{
	static const char text[] =
		"<!DOCTYPE html><html><head><title>still</title></head><body><script>document.title = 'ran';"
		"fetch('/page/written', {method: 'POST', body: '{}'});</script>"
		"<form id=f method=post action=/page/written></form><script>f.submit()</script>"
		"<img src=x onerror=\"document.title='ran'\"></body></html>";
	const char *name = skymon_query(sm, rq, "name"), *value = skymon_query(sm, rq, "value");
	const char *type = skymon_query(sm, rq, "type"), *code = skymon_query(sm, rq, "code");
	(void)state;
	if (name != NULL)
		skymon_reply_header(sm, rq, name, value != NULL ? value : "");
	skymon_reply(sm, rq, code != NULL ? atoi(code) : 200, type != NULL ? type : "text/html", text,
		     sizeof(text) - 1);
}

static void write(struct skymon *sm, void *state, struct skymon_request *rq)
{
	(void)state;
	skymon_warn(sm, "a page has written");
	skymon_reply(sm, rq, 200, "text/plain", "x", 1);
}

#define ROUTE(symbol, method_, path_, name_, handle_, flags_)                                                \
	static const struct skymon_route symbol = {.size = sizeof(struct skymon_route),                      \
						   .method = method_,                                        \
						   .path = path_,                                            \
						   .name = name_,                                            \
						   .summary = name_,                                         \
						   .handle = handle_,                                        \
						   .flags = flags_}
ROUTE(health, "GET", "/page/health", "page_health", NULL, SKYMON_ROUTE_HEALTH | SKYMON_ROUTE_PRIVATE);
ROUTE(shown, "GET", "/page", "page", page, 0);
ROUTE(written, "POST", "/page/written", "page_written", write, SKYMON_ROUTE_ANY_BODY | SKYMON_ROUTE_GUARDED);
static const struct skymon_route *const routes[] = {&health, &shown, &written, NULL};

SKYMON_PLUGIN(t_page, "1.0", "A page that tries to write", .check = check, .routes = routes);
