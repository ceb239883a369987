/* SPDX-License-Identifier: Apache-2.0 */
/* pool_secrets: gathers the secrets of a component before it is started, and again when its server refused
 * them or a lease ends. What env and file hold is read here; what a component keeps is asked of its worker.
 * The bytes go to the consumer's worker and are wiped. */
#include "pool_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ASK_MS 10000            /* what a store has to answer in */
#define LEASE_MAX_MS 2592000000 /* 30 days: what is longer is asked for then all the same */
#define STORE_LOOK_MS 200       /* how often to look whether a store that is starting is up … */
#define STORE_LOOKS_MAX 15      /* … before it is said that it is not */

struct pool_secrets {
	struct pool_secrets *next;
	struct component *component;
	struct option_bytes *bytes; /* one for each of option_secrets */
	size_t count, out;
	bool refresh;     /* it runs already: start it anew only if they have changed */
	bool fresh;       /* its server refused the last ones: the store is not to answer from memory */
	int64_t lease_ms; /* the shortest; 0: none ends */
	struct timer late;
};

/* One question to a store, until its worker has answered it or died: only that worker may answer it, for that
 * component, once. */
struct pool_ask {
	struct pool_ask *next;
	uint64_t number;
	const struct slot *slot; /* of the store */
	uint32_t id;
	struct pool_secrets *secrets; /* NULL when no consumer waits for the answer any more */
	size_t index;                 /* among its secrets */
};

static void free_secrets(struct pool_secrets *secrets)
{
	struct pool *pool = secrets->component->slot->pool;
	struct pool_secrets **link = &pool->gathering;
	while (*link != secrets)
		link = &(*link)->next;
	*link = secrets->next;
	loop_clear_timer(pool->loop, &secrets->late);
	for (struct pool_ask *ask = pool->asks; ask != NULL; ask = ask->next)
		if (ask->secrets == secrets)
			ask->secrets = NULL;
	secrets->component->secrets = NULL;
	option_bytes_free(secrets->bytes, secrets->count);
	free(secrets);
}

void pool_secrets_drop(struct component *component)
{
	loop_clear_timer(component->slot->pool->loop, &component->lease);
	if (component->secrets != NULL)
		free_secrets(component->secrets);
}

/* ---- The end of a gathering ---- */

static void give_up(struct pool_secrets *secrets, const char *text)
{
	struct component *component = secrets->component;
	struct pool *pool = component->slot->pool;
	bool refresh = secrets->refresh, fresh = secrets->fresh;
	free_secrets(secrets);
	if (refresh && component->leased) /* its lease has ended or soon will: asked for until it is there */
		loop_set_timer(pool->loop, &component->lease, loop_now_ms(pool->loop) + POOL_BACK_OFF_MAX_MS);
	if (!refresh)
		pool_fail(component, SKYMON_AUTH_FAILED, text);
	else /* it goes on with what it has */
		log_line(LOG_LEVEL_WARN, (const char *[]){"component", component->spec->name, NULL}, "%s",
			 text);
	if (refresh)
		pool_requests_refreshed(component, fresh);
}

static void end_lease(struct timer *timer, int64_t now_ms)
{
	struct component *component = container_of(timer, struct component, lease);
	(void)now_ms;
	if (component->run != 0)
		component->refresh = true;
	else
		pool_refresh(component->slot->pool, component, false);
}

/* A secret that ends with a line break or a blank is rarely meant so: for a hint when its server refuses it.
 */
static void note_blank(const struct pool_secrets *secrets)
{
	struct component *component = secrets->component;
	size_t count;
	const struct option_secret *wanted = option_secrets(component->spec->values, &count);
	component->blank_secret[0] = '\0';
	for (size_t i = 0; i < secrets->count; i++) {
		const struct option_bytes *secret = &secrets->bytes[i];
		if (secret->size > 0 && memchr(" \t\r\n", secret->bytes[secret->size - 1], 4) != NULL)
			snprintf(component->blank_secret, sizeof(component->blank_secret), "%s",
				 wanted[i].option);
	}
}

static void finish(struct pool_secrets *secrets)
{
	struct component *component = secrets->component;
	struct pool *pool = component->slot->pool;
	note_blank(secrets);
	uint64_t hash = component_hash(secrets->bytes, secrets->count);
	bool same = secrets->refresh && hash == component->secrets_hash, unchanged = same;
	bool fresh = secrets->fresh;
	component->lease.fire = end_lease;
	component->leased = secrets->lease_ms > 0;
	if (component->leased)
		loop_set_timer(pool->loop, &component->lease, loop_now_ms(pool->loop) + secrets->lease_ms);
	if (secrets->refresh && !same && component->run != 0) {
		component->refresh = true; /* a run began meanwhile: once more, when it has ended */
		same = true;
	}
	if (!same) {
		struct buf body = {0};
		if (secrets->refresh)
			pool_tell_stop(component);
		char *state_dir = pool_state_dir(component->slot);
		component_encode(component->spec, state_dir, pool->series_max, secrets->bytes, &body);
		free(state_dir);
		component->secrets_hash = hash;
		pool_tell_start(component, &body);
		component_wipe(&body);
	}
	free_secrets(secrets);
	if (unchanged)
		pool_requests_refreshed(component, fresh);
}

/* ---- Asking ---- */

static void describe(const struct option_secret *secret, char *text, size_t size)
{
	snprintf(text, size, "option `%s`: secret %s of component %s", secret->option, secret->text,
		 secret->store);
}

static void lose_patience(struct timer *timer, int64_t now_ms)
{
	(void)now_ms;
	give_up(container_of(timer, struct pool_secrets, late),
		"the component that keeps its secret did not answer");
}

static bool ask_store(struct pool_secrets *secrets, size_t index, const struct option_secret *secret)
{
	struct pool *pool = secrets->component->slot->pool;
	struct component *store = pool_find_named(pool, secret->store);
	if (store == NULL || store->state != COMPONENT_UP)
		return false;
	struct pool_ask *ask = x_alloc(sizeof(*ask));
	*ask = (struct pool_ask){.next = pool->asks,
				 .number = pool_number(),
				 .slot = store->slot,
				 .id = store->id,
				 .secrets = secrets,
				 .index = index};
	pool->asks = ask;
	secrets->out++;
	process_ask(store->slot->process, store->id, ask->number, secrets->fresh, ASK_MS, secret->text);
	return true;
}

/* The store is not up. While it only starts that is no news; else the consumer says so, and is tried again.
 */
static void wait_for_store(struct pool_secrets *secrets, const struct option_secret *secret)
{
	struct component *component = secrets->component;
	struct pool *pool = component->slot->pool;
	const struct component *store = pool_find_named(pool, secret->store);
	char text[400];
	describe(secret, text, sizeof(text));
	/* one that is not there is not configured, or comes later in the same config */
	bool starting = store == NULL || store->failure[0] == '\0';
	if (starting && !secrets->refresh && component->patience++ < STORE_LOOKS_MAX) {
		free_secrets(secrets);
		component->state = COMPONENT_WAITING;
		loop_set_timer(pool->loop, &component->retry, loop_now_ms(pool->loop) + STORE_LOOK_MS);
		return;
	}
	size_t length = strlen(text);
	snprintf(text + length, sizeof(text) - length, " cannot be had: that component %s%.200s",
		 store == NULL ? "is not configured" : "does not run: ", store != NULL ? store->failure : "");
	give_up(secrets, text);
}

void pool_secrets_gather(struct component *component, bool refresh, bool fresh)
{
	struct pool *pool = component->slot->pool;
	pool_secrets_drop(component);
	struct pool_secrets *secrets = x_alloc(sizeof(*secrets));
	const struct option_secret *wanted = option_secrets(component->spec->values, &secrets->count);
	secrets->component = component;
	secrets->refresh = refresh;
	secrets->fresh = fresh;
	secrets->bytes = x_alloc((secrets->count + 1) * sizeof(*secrets->bytes));
	secrets->late.fire = lose_patience;
	secrets->next = pool->gathering;
	pool->gathering = component->secrets = secrets;
	for (size_t i = 0; i < secrets->count; i++) {
		char *text = NULL;
		struct err err;
		if (wanted[i].kind == OPTION_SECRET_STORE && !ask_store(secrets, i, &wanted[i])) {
			wait_for_store(secrets, &wanted[i]);
			return;
		}
		if (wanted[i].kind == OPTION_SECRET_STORE || wanted[i].kind == OPTION_SECRET_NONE)
			continue;
		if (!option_secret_read(&wanted[i], pool->lookup, &text, &secrets->bytes[i].size, &err)) {
			err_prefix(&err, "option `%s`: ", wanted[i].option);
			give_up(secrets, err.text);
			return;
		}
		secrets->bytes[i].bytes = text;
	}
	if (secrets->out == 0) {
		finish(secrets);
		return;
	}
	if (!refresh)
		component->state = COMPONENT_WAITING;
	loop_set_timer(pool->loop, &secrets->late, loop_now_ms(pool->loop) + ASK_MS + 1000);
}

/* ---- Answers ---- */

void pool_secrets_lost(struct slot *slot)
{
	for (struct pool_ask **link = &slot->pool->asks, *ask; (ask = *link) != NULL;) {
		if (ask->slot != slot) {
			link = &ask->next;
			continue;
		}
		*link = ask->next;
		free(ask);
	}
}

void pool_secrets_answer(struct slot *slot, uint32_t id, const struct message_answer *answer)
{
	struct pool_ask **link = &slot->pool->asks, *ask;
	/* The id is unique among all workers, and only a worker that has the component gets here with it. */
	while ((ask = *link) != NULL && (ask->number != answer->number || ask->id != id))
		link = &ask->next;
	if (ask == NULL) {
		pool_break(slot, "answered for a secret that it was not asked for");
		return;
	}
	struct pool_secrets *secrets = ask->secrets;
	size_t index = ask->index;
	*link = ask->next;
	free(ask);
	if (secrets == NULL)
		return; /* the consumer waits for it no longer */
	if (!answer->ok) {
		size_t count;
		char text[500];
		describe(&option_secrets(secrets->component->spec->values, &count)[index], text,
			 sizeof(text));
		size_t length = strlen(text);
		snprintf(text + length, sizeof(text) - length, ": %s", answer->message);
		give_up(secrets, text);
		return;
	}
	char *bytes = x_alloc(answer->size + 1);
	if (answer->size > 0)
		memcpy(bytes, answer->bytes, answer->size);
	secrets->bytes[index] = (struct option_bytes){bytes, answer->size};
	int64_t lease_ms = answer->lease_ms < LEASE_MAX_MS ? answer->lease_ms : LEASE_MAX_MS;
	if (lease_ms > 0 && (secrets->lease_ms == 0 || lease_ms < secrets->lease_ms))
		secrets->lease_ms = lease_ms;
	if (--secrets->out == 0)
		finish(secrets);
}

/* ---- A store comes up ---- */

static bool asks(const struct component *component, const char *store)
{
	size_t count;
	const struct option_secret *secrets = option_secrets(component->spec->values, &count);
	for (size_t i = 0; i < count; i++)
		if (secrets[i].kind == OPTION_SECRET_STORE && strcmp(secrets[i].store, store) == 0)
			return true;
	return false;
}

void pool_secrets_store_up(struct component *store)
{
	struct pool *pool = store->slot->pool;
	for (struct slot *slot = pool->slots; slot != NULL; slot = slot->next) {
		for (size_t i = 0; slot->up && i < slot->count; i++) {
			struct component *component = slot->components[i];
			bool waits =
				component->state == COMPONENT_FAILED || component->state == COMPONENT_WAITING;
			if (waits && component->secrets == NULL && !component->gone &&
			    asks(component, store->spec->name))
				pool_start_component(component);
		}
	}
}
