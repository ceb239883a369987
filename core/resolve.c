/* SPDX-License-Identifier: Apache-2.0 */
#include "resolve.h"

#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "buf.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define STACK_SIZE (2u << 20)
#else
#define STACK_SIZE (256u << 10)
#endif

struct ask {
	struct ask *next;
	char *host;
	struct buf addresses;
	int failed, saved_errno;     /* of getaddrinfo */
	bool taken, done, abandoned; /* abandoned: the asker is gone, the thread frees it */
};

static struct {
	pthread_mutex_t lock;
	pthread_cond_t work, done;
	pthread_once_t once;
	struct ask *first, *last;
	unsigned threads, idle, waiting;
} pool = {.lock = PTHREAD_MUTEX_INITIALIZER, .work = PTHREAD_COND_INITIALIZER, .once = PTHREAD_ONCE_INIT};

static void prepare(void)
{
	pthread_condattr_t monotonic;
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&pool.done, &monotonic);
	pthread_condattr_destroy(&monotonic);
}

static void free_ask(struct ask *ask)
{
	free(ask->host);
	buf_free(&ask->addresses);
	free(ask);
}

/* Adds an address that is not there yet. */
static bool add_address(struct buf *list, const struct addrinfo *info)
{
	char text[NI_MAXHOST];
	if (getnameinfo(info->ai_addr, info->ai_addrlen, text, sizeof(text), NULL, 0, NI_NUMERICHOST) != 0)
		return false;
	size_t size = strlen(text);
	for (const char *at = list->data; at != NULL && *at != '\0'; at += *at == ',') {
		size_t length = strcspn(at, ",");
		if (length == size && memcmp(at, text, size) == 0)
			return false;
		at += length;
	}
	buf_printf(list, "%s%s", list->size > 0 ? "," : "", text);
	return true;
}

static void look_up(struct ask *ask)
{
	struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
	struct addrinfo *found = NULL;
	unsigned count = 0;
	ask->failed = getaddrinfo(ask->host, NULL, &hints, &found);
	ask->saved_errno = errno;
	if (ask->failed != 0)
		return;
	for (const struct addrinfo *at = found; at != NULL && count < RESOLVE_ADDRESSES; at = at->ai_next)
		count += add_address(&ask->addresses, at);
	freeaddrinfo(found);
	if (count == 0)
		ask->failed = EAI_NONAME;
}

static __attribute__((noreturn)) void *resolver(void *arg)
{
	(void)arg;
	pthread_mutex_lock(&pool.lock);
	for (;;) {
		struct ask *ask = pool.first;
		if (ask == NULL) {
			pool.idle++;
			pthread_cond_wait(&pool.work, &pool.lock);
			pool.idle--;
			continue;
		}
		pool.first = ask->next;
		if (pool.first == NULL)
			pool.last = NULL;
		pool.waiting--;
		ask->taken = true;
		pthread_mutex_unlock(&pool.lock);
		look_up(ask);
		pthread_mutex_lock(&pool.lock);
		ask->done = true;
		if (ask->abandoned)
			free_ask(ask);
		else
			pthread_cond_broadcast(&pool.done);
	}
}

/* Under the lock. */
static void add_thread(void)
{
	pthread_attr_t attributes;
	pthread_t thread;
	sigset_t all, old;
	sigfillset(&all);
	pthread_attr_init(&attributes);
	pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attributes, STACK_SIZE);
	pthread_sigmask(SIG_BLOCK, &all, &old);
	if (pthread_create(&thread, &attributes, resolver, NULL) == 0) {
		pthread_setname_np(thread, "resolver");
		pool.threads++;
	}
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attributes);
}

/* Under the lock. No thread has it yet: it leaves the queue; else the thread frees it. */
static void abandon(struct ask *ask)
{
	ask->abandoned = true;
	if (ask->taken)
		return;
	struct ask **link = &pool.first, *before = NULL;
	for (; *link != ask; link = &(*link)->next)
		before = *link;
	*link = ask->next;
	if (pool.last == ask)
		pool.last = before;
	pool.waiting--;
	free_ask(ask);
}

/* Under the lock; false: the deadline passed first, and the ask is not ours any more. */
static bool wait_done(struct ask *ask, int64_t deadline_us)
{
	struct timespec until = {.tv_sec = deadline_us / 1000000, .tv_nsec = deadline_us % 1000000 * 1000};
	while (!ask->done)
		if (pthread_cond_timedwait(&pool.done, &pool.lock, &until) == ETIMEDOUT && !ask->done) {
			abandon(ask);
			return false;
		}
	return true;
}

static bool ask_pool(struct ask *ask, int64_t deadline_us)
{
	pthread_once(&pool.once, prepare);
	pthread_mutex_lock(&pool.lock);
	if (pool.last != NULL)
		pool.last->next = ask;
	else
		pool.first = ask;
	pool.last = ask;
	pool.waiting++;
	if (pool.waiting > pool.idle && pool.threads < RESOLVE_THREADS)
		add_thread();
	pthread_cond_signal(&pool.work);
	bool done = wait_done(ask, deadline_us);
	pthread_mutex_unlock(&pool.lock);
	return done;
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

static bool take_addresses(const struct ask *ask, char *addresses, size_t size, struct err *err)
{
	if (ask->failed != 0) {
		const char *why =
			ask->failed == EAI_SYSTEM ? strerror(ask->saved_errno) : gai_strerror(ask->failed);
		return err_set(err, "cannot resolve %s: %s", ask->host, why);
	}
	size_t length = ask->addresses.size; /* whole addresses only */
	while (length >= size) {
		const char *comma = memrchr(ask->addresses.data, ',', length);
		if (comma == NULL)
			return err_set(err, "cannot resolve %s: no room for its address", ask->host);
		length = (size_t)(comma - ask->addresses.data);
	}
	memcpy(addresses, ask->addresses.data, length);
	addresses[length] = '\0';
	return true;
}

bool resolve_host(const char *host, int64_t deadline_us, char *addresses, size_t size,
		  enum skymon_reason *reason, struct err *err)
{
	*reason = SKYMON_DNS;
	if (host == NULL || host[0] == '\0' || strlen(host) > 253)
		return err_set(err, "cannot resolve a name that is empty or longer than 253 bytes");
	if (is_numeric(host)) {
		if (strlen(host) >= size)
			return err_set(err, "no room for the address %s", host);
		memcpy(addresses, host, strlen(host) + 1);
		return true;
	}
	struct ask *ask = x_alloc(sizeof(*ask));
	ask->host = x_strdup(host);
	if (!ask_pool(ask, deadline_us)) {
		*reason = SKYMON_TIMEOUT;
		return err_set(err, "cannot resolve %s: no answer from the name service in time", host);
	}
	bool ok = take_addresses(ask, addresses, size, err);
	free_ask(ask);
	return ok;
}
