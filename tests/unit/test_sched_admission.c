/* SPDX-License-Identifier: Apache-2.0 */
/* sched_admission: how many components may run at once, in which order, and when a component's next check is.
 */
#include "supervisor/sched_admission.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "supervisor/sched.h"
#include "unit.h"

#define COUNT(array) (sizeof(array) / sizeof(*(array)))
#define MANY 200

static void addresses(void)
{
	static const struct {
		const char *target, *address;
	} rows[] = {
		{"postgresql://orders:pw@DB.example:5432/orders?sslmode=require", "db.example:5432"},
		{"postgresql://db.example:5432", "db.example:5432"},
		{"postgres://a@b@c/d@e", "c"},
		{"postgresql:///orders?host=/run/pg", "postgresql:///orders?host=/run/pg"},
		{"postgresql://a:1,b:2/x", "a:1,b:2"},
		{"https://vault:8200/", "vault:8200"},
		{"https://vault:8200/v1/x#y@z", "vault:8200"},
		{"http://[::1]:80?x", "[::1]:80"},
		{"redis:6379", "redis:6379"},
		{"sqlite:/srv/a@b.db", "sqlite:/srv/a@b.db"},
		{"/run/nginx.pid", "/run/nginx.pid"},
		{"unix:/run/x", "unix:/run/x"},
		{"://", "://"},
		{"", NULL},
		{NULL, NULL},
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		char *address = admission_address(rows[i].target);
		UNIT_TEXT(address, rows[i].address);
		free(address);
	}
}

/* ---- Permits, identified by their index in the table ---- */

static struct permit permits[MANY];

static struct admission *open(uint32_t per_plugin, uint32_t per_address)
{
	struct admission *admission = admission_new();
	memset(permits, 0, sizeof(permits));
	admission_configure(admission, per_plugin, per_address);
	return admission;
}

static void close(struct admission *admission)
{
	for (size_t i = 0; i < MANY; i++)
		if (permits[i].plugin != NULL)
			admission_leave(admission, &permits[i]);
	CU_ASSERT(admission_next(admission) == NULL);
	admission_free(admission);
}

static int next(struct admission *admission)
{
	const struct permit *permit = admission_next(admission);
	return permit != NULL ? (int)(permit - permits) : -1;
}

static void sixteen_of_one_address(void)
{
	struct admission *admission = open(64, 16);
	for (int i = 0; i < MANY; i++) {
		admission_enter(admission, &permits[i], i % 2 == 0 ? "database" : "tcp", "db:5432");
		admission_request(admission, &permits[i]);
		admission_request(admission, &permits[i]); /* once is enough */
	}
	for (int i = 0; i < 16; i++)
		CU_ASSERT_EQUAL(next(admission), i);
	CU_ASSERT_EQUAL(next(admission), -1);
	admission_release(admission, &permits[7]);
	admission_release(admission, &permits[7]);
	CU_ASSERT_EQUAL(next(admission), 16);
	CU_ASSERT_EQUAL(next(admission), -1);
	admission_release(admission, &permits[17]); /* no longer waiting */
	admission_release(admission, &permits[3]);
	CU_ASSERT_EQUAL(next(admission), 18);
	admission_leave(admission, &permits[0]); /* held */
	CU_ASSERT_EQUAL(next(admission), 19);
	close(admission);
}

/* Every waiting permit gets its turn, even if the permits before it are only given back at their deadline. */
static void one_address_does_not_hold_back_another(void)
{
	struct admission *admission = open(64, 16);
	for (int i = 0; i < 60; i++) {
		admission_enter(admission, &permits[i], "http", i < 40 ? "dead:80" : NULL);
		admission_request(admission, &permits[i]);
	}
	int seen = 0;
	for (int i; (i = next(admission)) >= 0; seen++)
		CU_ASSERT(i < 16 || i >= 40);
	CU_ASSERT_EQUAL(seen, 16 + 20);
	for (int i = 0; i < 16; i++)
		admission_release(admission, &permits[i]);
	for (int i = 16; i < 32; i++)
		CU_ASSERT_EQUAL(next(admission), i);
	for (int i = 0; i < 16; i++) /* the first ones request again, and queue behind the waiting ones */
		admission_request(admission, &permits[i]);
	for (int i = 16; i < 32; i++)
		admission_release(admission, &permits[i]);
	for (int i = 32; i < 40; i++)
		CU_ASSERT_EQUAL(next(admission), i);
	CU_ASSERT_EQUAL(next(admission), 0);
	close(admission);
}

static void sixty_four_of_one_plugin(void)
{
	struct admission *admission = open(64, 16);
	for (int i = 0; i < MANY; i++) {
		char address[16];
		snprintf(address, sizeof(address), "host%d:1", i);
		admission_enter(admission, &permits[i], i < 150 ? "http" : "tcp", address);
		admission_request(admission, &permits[i]);
	}
	int of_http = 0, of_tcp = 0;
	for (int i; (i = next(admission)) >= 0;)
		*(i < 150 ? &of_http : &of_tcp) += 1;
	CU_ASSERT(of_http == 64 && of_tcp == 50);
	admission_configure(admission, 100, 16); /* a reload */
	while (next(admission) >= 0)
		of_http++;
	CU_ASSERT_EQUAL(of_http, 100);
	close(admission);
}

/* ---- The schedule ---- */

/* Of 500 components, no second of the interval gets more than three times the average. */
static void checks_are_spread(void)
{
	static const char *const forms[] = {"c%d", "db-%03d", "%d",
					    "orders-database-of-shop-number-%d-in-europe"};
	for (size_t form = 0; form < COUNT(forms); form++) {
		int seconds[30] = {0};
		for (int i = 0; i < 500; i++) {
			char name[80];
			snprintf(name, sizeof(name), forms[form], i);
			int64_t due = sched_next_due(name, 30000, 1000000);
			CU_ASSERT(due > 1000000 && due <= 1030000);
			seconds[due / 1000 % 30]++;
		}
		for (int i = 0; i < 30; i++)
			CU_ASSERT(seconds[i] > 0 && seconds[i] < 3 * 500 / 30);
	}
}

static void the_offset_is_fixed(void)
{
	static const int64_t intervals[] = {1, 100, 1000, 30000, 3600000, 86400000};
	for (size_t i = 0; i < COUNT(intervals); i++) {
		int64_t interval = intervals[i], first = sched_next_due("vault", interval, 5), due = first;
		for (int round = 0; round < 50; round++) {
			int64_t late = interval > 1 ? round % (interval < 50 ? interval : 50) : 0;
			int64_t next = sched_next_due("vault", interval, due + late);
			CU_ASSERT_EQUAL(next, due + interval);
			due = next;
		}
		/* after a long suspend: one check, then on schedule again */
		due = sched_next_due("vault", interval, first + 1000 * interval + interval / 2);
		CU_ASSERT_EQUAL((due - first) % interval, 0);
	}
}

int main(void)
{
	return unit_run("admission", (const struct unit_test[]){
					     {"addresses", addresses},
					     {"sixteen of one address", sixteen_of_one_address},
					     {"one address does not hold back another",
					      one_address_does_not_hold_back_another},
					     {"sixty-four of one plugin", sixty_four_of_one_plugin},
					     {"checks are spread", checks_are_spread},
					     {"the offset is fixed", the_offset_is_fixed},
					     {NULL, NULL},
				     });
}
