/* SPDX-License-Identifier: Apache-2.0 */
/* resolve: waits and timeouts, with a getaddrinfo() of the test that replaces the system's. Real silent name
 * servers: tests/live/test_dns.py. */
#include <arpa/inet.h>
#include <netdb.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "worker/resolve.h"
#include "unit.h"

#define NEVER 3000 /* ms; longer than any deadline here */

/* A name: the duration and result of each lookup. */
struct answer {
	int ms, failed;
	const char *addresses; /* with commas */
};
static const struct name {
	const char *name;
	struct answer both, v6, v4;
} names[] = {
	{"quick.test", {0, 0, "192.0.2.1,2001:db8::1"}, {NEVER, 0, ""}, {NEVER, 0, ""}},
	{"twice.test", {0, 0, "192.0.2.1,192.0.2.1,192.0.2.2"}, {0, 0, ""}, {0, 0, ""}},
	{"no-aaaa.test", {NEVER, EAI_AGAIN, ""}, {NEVER, EAI_AGAIN, ""}, {0, 0, "192.0.2.1"}},
	{"no-a.test", {NEVER, EAI_AGAIN, ""}, {0, 0, "2001:db8::1"}, {NEVER, EAI_AGAIN, ""}},
	{"late-aaaa.test", {NEVER, EAI_AGAIN, ""}, {20, 0, "2001:db8::1"}, {0, 0, "192.0.2.1"}},
	{"servfail-aaaa.test", {0, EAI_AGAIN, ""}, {0, EAI_AGAIN, ""}, {0, 0, "192.0.2.1"}},
	{"slow.test", {400, 0, "192.0.2.1"}, {NEVER, 0, ""}, {NEVER, 0, ""}},
	{"none.test", {0, EAI_NONAME, ""}, {NEVER, 0, "::1"}, {NEVER, 0, "127.0.0.1"}},
	{"servfail.test", {0, EAI_AGAIN, ""}, {0, EAI_AGAIN, ""}, {0, EAI_AGAIN, ""}},
	{"silent.test", {NEVER, EAI_AGAIN, ""}, {NEVER, EAI_AGAIN, ""}, {NEVER, EAI_AGAIN, ""}},
};
static atomic_uint lookups;
static atomic_int
	recovered; /* the answer for recovers.test; before it is set, lookups hang for a while and fail */

static void sleep_ms(int ms)
{
	struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
	nanosleep(&time, NULL);
}

static int give(const char *addresses, struct addrinfo **found)
{
	char text[200], *rest = text;
	struct addrinfo **link = found;
	*found = NULL;
	snprintf(text, sizeof(text), "%s", addresses);
	char *one;
	while ((one = strsep(&rest, ",")) != NULL && *one != '\0') {
		struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
		struct sockaddr_in v4 = {.sin_family = AF_INET};
		bool is_v6 = inet_pton(AF_INET6, one, &v6.sin6_addr) == 1;
		if (!is_v6 && inet_pton(AF_INET, one, &v4.sin_addr) != 1)
			return EAI_NONAME;
		*link = calloc(1, sizeof(**link));
		(*link)->ai_family = is_v6 ? AF_INET6 : AF_INET;
		(*link)->ai_addrlen = is_v6 ? sizeof(v6) : sizeof(v4);
		(*link)->ai_addr = calloc(1, sizeof(v6));
		memcpy((*link)->ai_addr, is_v6 ? (void *)&v6 : (void *)&v4, (*link)->ai_addrlen);
		link = &(*link)->ai_next;
	}
	return 0;
}

int getaddrinfo(const char *host, const char *service, const struct addrinfo *hints, struct addrinfo **found)
{
	(void)service;
	if ((hints->ai_flags & AI_NUMERICHOST) != 0)
		return give(host, found);
	lookups++;
	if (strcmp(host, "recovers.test") == 0) {
		if (recovered)
			return give("192.0.2.9", found);
		sleep_ms(300);
		return EAI_AGAIN;
	}
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(names[i].name, host) == 0) {
			const struct answer *is = hints->ai_family == AF_INET6  ? &names[i].v6
						  : hints->ai_family == AF_INET ? &names[i].v4
										: &names[i].both;
			sleep_ms(is->ms);
			return is->failed != 0 ? is->failed : give(is->addresses, found);
		}
	if (strncmp(host, "hang", 4) == 0)
		sleep_ms(NEVER);
	return strncmp(host, "good", 4) == 0 ? give("192.0.2.7", found) : EAI_AGAIN;
}

void freeaddrinfo(struct addrinfo *found)
{
	while (found != NULL) {
		struct addrinfo *next = found->ai_next;
		free(found->ai_addr);
		free(found);
		found = next;
	}
}

static int64_t clock_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Returns the addresses, or the reason's number in brackets. */
static const char *ask(const char *host, int64_t timeout_ms)
{
	static _Thread_local char addresses[200];
	enum skymon_reason reason;
	struct err err;
	if (!resolve_host(host, (clock_ms() + timeout_ms) * 1000, addresses, sizeof(addresses), &reason,
			  &err))
		snprintf(addresses, sizeof(addresses), "%s",
			 reason == SKYMON_DNS       ? "dns"
			 : reason == SKYMON_TIMEOUT ? "timeout"
						    : "?");
	return addresses;
}

static void what_is_waited_for(void)
{
	static const struct {
		const char *host, *expected;
		int64_t timeout_ms, at_least_ms;
	} rows[] = {
		{"192.0.2.5", "192.0.2.5", 100, 0},
		{"::1", "::1", 100, 0},
		{"quick.test", "192.0.2.1,2001:db8::1", 2000, 0},
		{"twice.test", "192.0.2.1,192.0.2.2", 2000, 0},
		{"no-aaaa.test", "192.0.2.1", 2000, 290},
		{"no-a.test", "2001:db8::1", 2000, 290},
		{"late-aaaa.test", "2001:db8::1,192.0.2.1", 2000, 260},
		{"servfail-aaaa.test", "192.0.2.1", 2000, 0},
		{"slow.test", "192.0.2.1", 2000, 390},
		{"none.test", "dns", 2000, 0},
		{"servfail.test", "dns", 2000, 0},
		{"silent.test", "timeout", 600, 590},
		{"no-aaaa.test", "timeout", 100, 90},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int64_t began = clock_ms();
		UNIT_TEXT(ask(rows[i].host, rows[i].timeout_ms), rows[i].expected);
		int64_t took = clock_ms() - began;
		if (took < rows[i].at_least_ms) {
			fprintf(stderr, "\n%s took %lld ms\n", rows[i].host, (long long)took);
			CU_FAIL();
		}
	}
}

static void *ask_hanging(void *host)
{
	return (void *)(intptr_t)(strcmp(ask(host, 500), "timeout") == 0);
}

/* More lookups of a few hanging names than threads: a further name is answered at once. */
static void hanging_names_share(void)
{
	static char hosts[4][32];
	for (int i = 0; i < 4; i++)
		snprintf(hosts[i], sizeof(hosts[i]), "hang%d.test", i);
	unsigned before = lookups;
	pthread_t askers[40];
	for (size_t i = 0; i < 40; i++)
		CU_ASSERT_FATAL(pthread_create(&askers[i], NULL, ask_hanging, hosts[i % 4]) == 0);
	sleep_ms(300); /* both families have been requested by now */
	UNIT_TEXT(ask("good.test", 2000), "192.0.2.7");
	for (size_t i = 0; i < 40; i++) {
		void *good;
		pthread_join(askers[i], &good);
		CU_ASSERT(good != NULL);
	}
	CU_ASSERT(lookups - before == 4 * 3 + 1);
}

static void *ask_first(void *arg)
{
	ask("recovers.test", 2000);
	return arg;
}

/* A caller that joins a running lookup does not get a failure from before its call. */
static void a_late_comer_asks_again(void)
{
	pthread_t first;
	CU_ASSERT_FATAL(pthread_create(&first, NULL, ask_first, NULL) == 0);
	sleep_ms(100);
	recovered = 1; /* the running lookup still fails */
	UNIT_TEXT(ask("recovers.test", 2000), "192.0.2.9");
	pthread_join(first, NULL);
}

int main(void)
{
	return unit_run("resolve",
			(const struct unit_test[]){{"what is waited for", what_is_waited_for},
						   {"hanging names share a lookup", hanging_names_share},
						   {"a late comer asks again", a_late_comer_asks_again},
						   {0}});
}
