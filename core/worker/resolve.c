/* SPDX-License-Identifier: Apache-2.0 */
/* Lookups by getaddrinfo in a pool of threads, shared by all askers of a name. Called by runner_host on any
 * thread; the pool is the process's, under its own lock. */
#include "resolve.h"

#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/buf.h"
#include "runner_private.h"

#define BOTH_US 250000  /* after which each family is looked up by itself, in addition to both */
#define FAMILY_US 50000 /* for the other family when one has answered: RFC 8305, 3 */
#define IDLE_S 30       /* a thread without work ends after it */

/* One lookup, for all that wait for the same name at the same time. */
struct ask {
	struct ask *next;    /* in `live` */
	struct ask *waiting; /* the next in the queue */
	char *host;
	int family;
	struct buf addresses;
	int failed, saved_errno; /* of getaddrinfo */
	unsigned users;          /* askers that wait; without any it is freed when the lookup returns */
	bool taken, done;
	int64_t done_us;
};

static struct {
	pthread_mutex_t lock;
	pthread_cond_t work, done;
	pthread_once_t once;
	struct ask *live;         /* queued, running, or done and still in use */
	struct ask *first, *last; /* the queue */
	unsigned threads, idle, waiting;
	size_t queries; /* askers that do not wait; wake is for them */
	void (*wake)(void *);
	void *wake_arg;
} pool = {.lock = PTHREAD_MUTEX_INITIALIZER, .once = PTHREAD_ONCE_INIT};

static void prepare(void)
{
	pthread_condattr_t monotonic;
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&pool.done, &monotonic);
	pthread_cond_init(&pool.work, &monotonic);
	pthread_condattr_destroy(&monotonic);
}

/* Under the lock; false at that time. */
static bool wait_until(pthread_cond_t *condition, int64_t until_us)
{
	struct timespec until = {.tv_sec = until_us / 1000000, .tv_nsec = until_us % 1000000 * 1000};
	return pthread_cond_timedwait(condition, &pool.lock, &until) != ETIMEDOUT;
}

/* ---- One lookup ---- */

/* Adds an address unless the list has it. */
static bool add_address(struct buf *list, const char *text, size_t size)
{
	for (const char *at = list->data; at != NULL && *at != '\0'; at += *at == ',') {
		size_t length = strcspn(at, ",");
		if (length == size && memcmp(at, text, size) == 0)
			return false;
		at += length;
	}
	buf_printf(list, "%s%.*s", list->size > 0 ? "," : "", (int)size, text);
	return true;
}

static void look_up(struct ask *ask)
{
	struct addrinfo hints = {.ai_family = ask->family, .ai_socktype = SOCK_STREAM};
	struct addrinfo *found = NULL;
	unsigned count = 0;
	ask->failed = getaddrinfo(ask->host, NULL, &hints, &found);
	ask->saved_errno = errno;
	if (ask->failed != 0)
		return;
	for (const struct addrinfo *at = found; at != NULL && count < RESOLVE_ADDRESSES; at = at->ai_next) {
		char text[NI_MAXHOST];
		if (getnameinfo(at->ai_addr, at->ai_addrlen, text, sizeof(text), NULL, 0, NI_NUMERICHOST) ==
		    0)
			count += add_address(&ask->addresses, text, strlen(text));
	}
	freeaddrinfo(found);
	if (count == 0)
		ask->failed = EAI_NONAME;
}

/* Under the lock. */
static void free_ask(struct ask *ask)
{
	struct ask **link = &pool.live;
	while (*link != ask)
		link = &(*link)->next;
	*link = ask->next;
	free(ask->host);
	buf_free(&ask->addresses);
	free(ask);
}

static void *resolver(void *arg)
{
	(void)arg;
	pthread_setname_np(pthread_self(), "resolver");
	pthread_mutex_lock(&pool.lock);
	for (;;) {
		struct ask *ask = pool.first;
		if (ask == NULL) {
			pool.idle++;
			bool woken = wait_until(&pool.work, runner_clock_us() + IDLE_S * 1000000);
			pool.idle--;
			if (!woken && pool.first == NULL)
				break;
			continue;
		}
		pool.first = ask->waiting;
		if (pool.first == NULL)
			pool.last = NULL;
		pool.waiting--;
		ask->taken = true;
		pthread_mutex_unlock(&pool.lock);
		look_up(ask);
		pthread_mutex_lock(&pool.lock);
		ask->done = true;
		ask->done_us = runner_clock_us();
		if (ask->users == 0)
			free_ask(ask);
		else
			pthread_cond_broadcast(&pool.done);
		if (pool.queries > 0)
			pool.wake(pool.wake_arg);
	}
	pool.threads--;
	pthread_mutex_unlock(&pool.lock);
	return NULL;
}

/* Under the lock. Joins a lookup of this name that is running (*joined), or begins one. */
static struct ask *join(const char *host, int family, bool *joined)
{
	struct ask *ask = pool.live;
	while (ask != NULL && (ask->done || ask->family != family || strcmp(ask->host, host) != 0))
		ask = ask->next;
	*joined = ask != NULL;
	if (ask != NULL) {
		ask->users++;
		return ask;
	}
	ask = x_alloc(sizeof(*ask));
	*ask = (struct ask){.next = pool.live, .host = x_strdup(host), .family = family, .users = 1};
	pool.live = ask;
	if (pool.last != NULL)
		pool.last->waiting = ask;
	else
		pool.first = ask;
	pool.last = ask;
	pool.waiting++;
	if (pool.waiting > pool.idle && pool.threads < RESOLVE_THREADS)
		pool.threads += runner_spawn_thread(resolver, NULL);
	pthread_cond_signal(&pool.work);
	return ask;
}

/* Under the lock. A lookup that no thread has taken is removed from the queue; a running one is freed by its
 * thread. */
static void drop(struct ask *ask)
{
	if (ask == NULL || --ask->users > 0)
		return;
	if (!ask->taken) {
		struct ask **link = &pool.first, *before = NULL;
		for (; *link != ask; link = &(*link)->waiting)
			before = *link;
		*link = ask->waiting;
		if (pool.last == ask)
			pool.last = before;
		pool.waiting--;
	}
	if (!ask->taken || ask->done)
		free_ask(ask);
}

/* ---- A name ---- */

/* Both families at once, as the system orders them; and each by itself in addition, when that takes long or
 * fails: a name server that is silent for one family would cost its time-out for the other too. */
struct lookup {
	struct ask *both, *v6, *v4; /* v6 and v4: NULL before they are asked for */
	bool joined;                /* `both` was running before */
	bool late;                  /* the deadline passed first */
	int64_t began_us;
};

static bool has(const struct ask *ask)
{
	return ask != NULL && ask->done && ask->failed == 0;
}

/* Returns whether the name certainly does not exist, so that asking again is of no use. */
static bool is_final(int failed)
{
	return failed == EAI_NONAME || failed == EAI_NODATA;
}

/* Returns the time at which to look again even if no lookup has ended; 0 when all that matters has ended. */
static int64_t next_us(const struct lookup *lookup, int64_t began_us, int64_t deadline_us)
{
	const struct ask *v6 = lookup->v6, *v4 = lookup->v4;
	if (has(lookup->both) || (lookup->both->done && is_final(lookup->both->failed)))
		return 0;
	if (v6 == NULL)
		return lookup->both->done ? began_us : began_us + BOTH_US;
	if (v6->done && v4->done && (has(v6) || has(v4) || lookup->both->done))
		return 0;
	if (has(v6) || has(v4))
		return (has(v6) ? v6 : v4)->done_us + FAMILY_US;
	return deadline_us;
}

/* Under the lock. Begins what it is time for. Returns until when to wait for lookups; 0 when it has ended. */
static int64_t advance(struct lookup *lookup, const char *host, int64_t deadline_us)
{
	for (;;) {
		int64_t at_us = next_us(lookup, lookup->began_us, deadline_us), now = runner_clock_us();
		if (at_us == 0 || (now >= at_us && (has(lookup->v6) || has(lookup->v4))))
			return 0;
		lookup->late = now >= deadline_us;
		if (lookup->late)
			return 0;
		if (now < at_us || lookup->v6 != NULL)
			return at_us < deadline_us ? at_us : deadline_us;
		bool joined;
		lookup->v6 = join(host, AF_INET6, &joined);
		lookup->v4 = join(host, AF_INET, &joined);
	}
}

/* All addresses, those of `both` first: a client that connects tries the next one soon. */
static void collect(const struct lookup *lookup, struct buf *list)
{
	const struct ask *const asks[] = {lookup->both, lookup->v6, lookup->v4};
	for (size_t i = 0; i < 3; i++) {
		if (!has(asks[i]))
			continue;
		for (const char *at = asks[i]->addresses.data; *at != '\0'; at += *at == ',') {
			size_t length = strcspn(at, ",");
			add_address(list, at, length);
			at += length;
		}
	}
}

static bool is_numeric(const char *host)
{
	struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_flags = AI_NUMERICHOST};
	struct addrinfo *found = NULL;
	bool numeric = getaddrinfo(host, NULL, &hints, &found) == 0;
	if (numeric)
		freeaddrinfo(found);
	return numeric;
}

static bool give_addresses(const struct buf *list, const char *host, char *addresses, size_t size,
			   struct err *err)
{
	size_t length = list->size; /* whole addresses only */
	while (length >= size) {
		const char *comma = memrchr(list->data, ',', length);
		if (comma == NULL)
			return err_set(err, "cannot resolve %s: no room for its address", host);
		length = (size_t)(comma - list->data);
	}
	memcpy(addresses, list->data, length);
	addresses[length] = '\0';
	return true;
}

/* Under the lock. */
static struct lookup begin_lookup(const char *host)
{
	struct lookup lookup = {.began_us = runner_clock_us()};
	lookup.both = join(host, AF_UNSPEC, &lookup.joined);
	return lookup;
}

/* Under the lock. */
static void end_lookup(struct lookup *lookup)
{
	drop(lookup->both);
	drop(lookup->v6);
	drop(lookup->v4);
	*lookup = (struct lookup){0};
}

/* Under the lock: ends a lookup that has ended. *again: it failed, and others had begun it before something
 * may have changed. */
static bool conclude(struct lookup *lookup, const char *host, struct buf *list, bool *again,
		     enum skymon_reason *reason, struct err *err)
{
	bool ended = lookup->both->done, late = lookup->late;
	int failed = ended ? lookup->both->failed : 0, saved_errno = ended ? lookup->both->saved_errno : 0;
	collect(lookup, list);
	*again = !late && lookup->joined;
	end_lookup(lookup);
	if (list->size > 0)
		return true;
	*reason = late ? SKYMON_TIMEOUT : SKYMON_DNS;
	if (late)
		return err_set(err, "cannot resolve %s: no answer from the name service in time", host);
	return err_set(err, "cannot resolve %s: %s", host,
		       failed == EAI_SYSTEM ? strerror(saved_errno) : gai_strerror(failed));
}

/* Asks once. *again: as above. */
static bool ask_pool(const char *host, int64_t deadline_us, struct buf *list, bool *again,
		     enum skymon_reason *reason, struct err *err)
{
	pthread_mutex_lock(&pool.lock);
	struct lookup lookup = begin_lookup(host);
	int64_t until_us;
	while ((until_us = advance(&lookup, host, deadline_us)) != 0)
		wait_until(&pool.done, until_us);
	bool found = conclude(&lookup, host, list, again, reason, err);
	pthread_mutex_unlock(&pool.lock);
	return found;
}

/* Returns whether the host needs a lookup: its address is given otherwise, or the error (*ok). */
static bool needs_lookup(const char *host, char *addresses, size_t size, bool *ok, struct err *err)
{
	*ok = false;
	if (host == NULL || host[0] == '\0' || strlen(host) > 253) {
		err_set(err, "cannot resolve a name that is empty or longer than 253 bytes");
		return false;
	}
	if (!is_numeric(host))
		return true;
	*ok = strlen(host) < size;
	if (*ok)
		memcpy(addresses, host, strlen(host) + 1);
	else
		err_set(err, "no room for the address %s", host);
	return false;
}

bool resolve_host(const char *host, int64_t deadline_us, char *addresses, size_t size,
		  enum skymon_reason *reason, struct err *err)
{
	bool ok;
	*reason = SKYMON_DNS;
	if (!needs_lookup(host, addresses, size, &ok, err))
		return ok;
	pthread_once(&pool.once, prepare);
	struct buf list = {0};
	bool again = false, found = ask_pool(host, deadline_us, &list, &again, reason, err);
	if (!found && again)
		found = ask_pool(host, deadline_us, &list, &again, reason, err);
	ok = found && give_addresses(&list, host, addresses, size, err);
	buf_free(&list);
	return ok;
}

/* ---- Without waiting ---- */

struct resolve_query {
	struct lookup lookup; /* both is NULL before the first poll */
	bool repeated;
	char *host;
};

struct resolve_query *resolve_begin(const char *host, void (*wake)(void *), void *arg)
{
	struct resolve_query *query = x_alloc(sizeof(*query));
	query->host = x_strdup(host != NULL ? host : "");
	pthread_once(&pool.once, prepare);
	pthread_mutex_lock(&pool.lock);
	pool.wake = wake;
	pool.wake_arg = arg;
	pool.queries++;
	pthread_mutex_unlock(&pool.lock);
	return query;
}

enum resolve_state resolve_poll(struct resolve_query *query, int64_t deadline_us, char *addresses,
				size_t size, int64_t *again_us, enum skymon_reason *reason, struct err *err)
{
	struct buf list = {0};
	bool again = false, ok;
	*reason = SKYMON_DNS;
	if (query->lookup.both == NULL && !needs_lookup(query->host, addresses, size, &ok, err))
		return ok ? RESOLVE_FOUND : RESOLVE_FAILED;
	pthread_mutex_lock(&pool.lock);
	do {
		if (query->lookup.both == NULL)
			query->lookup = begin_lookup(query->host);
		*again_us = advance(&query->lookup, query->host, deadline_us);
		ok = *again_us == 0 && conclude(&query->lookup, query->host, &list, &again, reason, err);
		again = again && !query->repeated && *again_us == 0 && !ok;
		query->repeated = query->repeated || again;
	} while (again);
	pthread_mutex_unlock(&pool.lock);
	if (*again_us != 0)
		return RESOLVE_WAITS;
	ok = ok && give_addresses(&list, query->host, addresses, size, err);
	buf_free(&list);
	return ok ? RESOLVE_FOUND : RESOLVE_FAILED;
}

void resolve_end(struct resolve_query *query)
{
	pthread_mutex_lock(&pool.lock);
	pool.queries--;
	end_lookup(&query->lookup);
	pthread_mutex_unlock(&pool.lock);
	free(query->host);
	free(query);
}
