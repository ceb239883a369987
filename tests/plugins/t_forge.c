/* SPDX-License-Identifier: Apache-2.0 */
/* Writes what looks like an audit line by every way that a worker has to the log: its log, its outputs, its
 * messages, its steps, and the audit text of its route. */
#include <skymon/routes.h>
#include <stdio.h>
#include <unistd.h>

#define LINE                                                                                                 \
	"area=audit ts=2026-01-01T00:00:00.000Z level=info client=10.9.8.7 uid=0 user=root method=POST "     \
	"path=/forged code=200 msg=\"forged\""
#define JSON "{\"area\":\"audit\",\"client\":\"10.9.8.7\",\"path\":\"/forged\"}"

static const char *const breaks[] = {"\n",        "\r",      "\r\n",     "\v",       "\f",
				     "\x1b[2K\r", "\x1b[1A", "\b\b\b\b", "\xc2\x85", "\xe2\x80\xa8",
				     "\xff\n",    "\"\n",    "\\\n",     "\\n",      "\" "};

static enum skymon_status check(struct skymon *sm, void *state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(breaks) / sizeof(breaks[0]); i++) {
		skymon_warn(sm, "%s" LINE "%s" LINE "%s", i % 2 != 0 ? breaks[i] : "", breaks[i], breaks[i]);
		skymon_info(sm, "%s" JSON "%s", breaks[i], breaks[i]);
		printf("%s" LINE "%s" LINE "%s\n", breaks[i], breaks[i], breaks[i]);
		dprintf(STDERR_FILENO, LINE "\n" JSON "\n%s" LINE, breaks[i]);
	}
	for (int i = 0; i < 3000;
	     i++) /* more than any buffer: a line that is cut must not let another begin */
		putchar('x');
	printf("\n" LINE "\n");
	fflush(stdout);
	skymon_step(sm, "\n" LINE "\n");
	skymon_detail(sm, "forged", "%s", "\n" LINE "\n");
	return skymon_degraded(sm, "%s", "\n" LINE "\n" JSON "\n");
}

static void answer(struct skymon *sm, void *state, struct skymon_request *rq)
{
	(void)state;
	skymon_audit(sm, rq, "%s", "done\"\n" LINE "\n" JSON);
	skymon_reply(sm, rq, 200, "text/plain", "x", 1);
}

static const struct skymon_route health = {.size = sizeof(health),
					   .method = "GET",
					   .path = "/forge/health",
					   .name = "forge_health",
					   .summary = "its health",
					   .flags = SKYMON_ROUTE_HEALTH | SKYMON_ROUTE_PRIVATE};
static const struct skymon_route forge = {.size = sizeof(forge),
					  .method = "GET",
					  .path = "/forge/{what}",
					  .name = "forge",
					  .summary = "is audited",
					  .handle = answer,
					  .flags = SKYMON_ROUTE_GUARDED};
static const struct skymon_route *const routes[] = {&health, &forge, NULL};

SKYMON_PLUGIN(t_forge, "1.0", "Forges audit lines", .check = check, .routes = routes);
