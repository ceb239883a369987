/* SPDX-License-Identifier: Apache-2.0 */
/* pool_secrets: gathers the secrets of a component (the consumer) before it is started, and again when its
 * server refuses them or a lease ends. Variables and files are read here; what another component (the store)
 * keeps is asked of its worker. The bytes are sent to the consumer's worker and wiped. Called by the pool's
 * other files; owns the bytes until then. On the loop's thread. */
#include "pool_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct pool_secrets {
	struct component *component;
	struct option_bytes *bytes; /* one for each of option_secrets */
	size_t count, out;
	bool fresh;       /* its server refused the last ones: the store must not reply from memory */
	int64_t lease_ms; /* the shortest; 0 when none ends */
};

/* One question to a store, until its worker has answered it or died. */
struct pool_ask {
	struct pool_ask *next;
	uint64_t number;
	const struct slot *slot; /* of the store */
	uint32_t id;
	struct pool_secrets *secrets; /* NULL once its consumer does not wait for the answer any more */
	size_t index;                 /* among its secrets */
};

static void free_secrets(struct pool_secrets *secrets)
{
	for (struct pool_ask *ask = secrets->component->pool->asks; ask != NULL; ask = ask->next)
		if (ask->secrets == secrets)
			ask->secrets = NULL;
	secrets->component->secrets = NULL;
	option_bytes_free(secrets->bytes, secrets->count);
	free(secrets);
}

void pool_secrets_drop(struct component *component)
{
	if (component->secrets != NULL)
		free_secrets(component->secrets);
}

/* ---- Reading them again ---- */

void pool_secrets_refresh(struct component *component, enum pool_refresh refresh)
{
	if (!pool_is_up(component))
		return; /* its start reads them */
	if (refresh > component->refresh)
		component->refresh = refresh;
	if (component->run != 0 || component->state == COMPONENT_REFRESHING)
		return;
	bool fresh = component->refresh == REFRESH_FRESH;
	component->refresh = REFRESH_NONE;
	pool_secrets_gather(component, COMPONENT_REFRESHING, fresh);
}

int64_t pool_secrets_refused(struct component *component)
{
	int64_t now_ms = loop_now_ms(component->pool->loop);
	if (component->refresh == REFRESH_FRESH) /* it will be, when its run has ended */
		return 0;
	if (component->refused_ms != 0 && now_ms - component->refused_ms < REFUSED_MIN_MS)
		return component->refused_ms + REFUSED_MIN_MS - now_ms;
	component->refused_ms = now_ms;
	pool_secrets_refresh(component, REFRESH_FRESH);
	return 0;
}

/* ---- The end of a gathering ---- */

/* A refresh has ended, and the component keeps the secrets that it has. */
static void keep_running(struct component *component, bool fresh, bool report)
{
	pool_set_up(component);
	if (report)
		pool_requests_refreshed(component, fresh);
	if (component->state == COMPONENT_UP && component->run == 0 && component->refresh != REFRESH_NONE)
		pool_secrets_refresh(component, component->refresh);
}

static void give_up(struct pool_secrets *secrets, const char *text)
{
	struct component *component = secrets->component;
	bool fresh = secrets->fresh;
	free_secrets(secrets);
	if (component->state != COMPONENT_REFRESHING) {
		pool_fail(component, SKYMON_AUTH_FAILED, text);
		return;
	}
	log_line(LOG_LEVEL_WARN, (const char *[]){"component", component->spec->name, NULL}, "%s", text);
	if (component->lease_ends_ms != 0) /* it has ended or soon will: retry until there is another */
		component->lease_ends_ms = loop_now_ms(component->pool->loop) + LEASE_RETRY_MS;
	keep_running(component, fresh, true);
}

void pool_secrets_time_out(struct component *component)
{
	give_up(component->secrets, "the component that keeps its secret did not answer in time");
}

/* A line break or a blank at the end of a secret is rarely meant: a hint for when its server refuses it. */
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

static void start_with(struct component *component, const struct pool_secrets *secrets)
{
	struct buf body = {0};
	char *state_dir = pool_state_dir(component->slot, component->spec->name);
	pool_make_folder(component->pool, state_dir, 0700);
	component_encode(component->spec, state_dir, component->pool->series_max, secrets->bytes, &body);
	free(state_dir);
	pool_send_start(component, &body);
	component_wipe(&body);
}

static void finish(struct pool_secrets *secrets)
{
	struct component *component = secrets->component;
	uint64_t hash = component_hash(secrets->bytes, secrets->count);
	bool refresh = component->state == COMPONENT_REFRESHING, fresh = secrets->fresh;
	bool changed = !refresh || hash != component->secrets_hash;
	note_blank(secrets);
	component->lease_ends_ms =
		secrets->lease_ms > 0 ? loop_now_ms(component->pool->loop) + secrets->lease_ms : 0;
	if (changed && component->run != 0) { /* a run began meanwhile: once more, when it has ended */
		free_secrets(secrets);
		component->refresh =
			component->refresh > REFRESH_CACHED ? component->refresh : REFRESH_CACHED;
		keep_running(component, fresh, false);
		return;
	}
	if (changed) {
		if (refresh)
			pool_send_stop(component);
		component->secrets_hash = hash;
		start_with(component, secrets);
	}
	free_secrets(secrets);
	if (!changed)
		keep_running(component, fresh, true);
}

/* ---- Asking ---- */

static void give_up_secret(struct pool_secrets *secrets, size_t index, const char *why, const char *cause)
{
	size_t count;
	const struct option_secret *secret = &option_secrets(secrets->component->spec->values, &count)[index];
	char text[700];
	snprintf(text, sizeof(text), "option `%s`: secret %s of component %s%s%.300s", secret->option,
		 secret->text, secret->store, why, cause);
	give_up(secrets, text);
}

static bool ask_store(struct pool_secrets *secrets, size_t index, const struct option_secret *secret)
{
	struct pool *pool = secrets->component->slot->pool;
	struct component *store = pool_find_component(pool, secret->store);
	if (store == NULL || !pool_is_up(store))
		return false;
	struct pool_ask *ask = x_alloc(sizeof(*ask));
	*ask = (struct pool_ask){.next = pool->asks,
				 .number = pool_number(pool),
				 .slot = store->slot,
				 .id = store->id,
				 .secrets = secrets,
				 .index = index};
	pool->asks = ask;
	secrets->out++;
	process_ask(store->slot->process, store->id, ask->number, secrets->fresh, SECRET_TIMEOUT_MS,
		    secret->text);
	return true;
}

/* The store is not up. While it only starts, look again; else the start fails, and is retried. */
static void wait_for_store(struct pool_secrets *secrets, size_t index, const struct option_secret *secret)
{
	struct component *component = secrets->component;
	const struct component *store = pool_find_component(component->pool, secret->store);
	/* a store that is not there is not configured, or comes later in the same config */
	bool starting = store == NULL || store->failure.text[0] == '\0';
	if (starting && component->state != COMPONENT_REFRESHING &&
	    component->store_looks++ < STORE_LOOKS_MAX) {
		free_secrets(secrets);
		pool_enter_state(component, COMPONENT_AWAITING_STORE, STORE_LOOK_MS);
		return;
	}
	if (store == NULL)
		give_up_secret(secrets, index, " is unavailable: that component is not configured", "");
	else
		give_up_secret(secrets, index,
			       starting ? " is unavailable: that component is not running"
					: " is unavailable: that component is not running: ",
			       store->failure.text);
}

void pool_secrets_gather(struct component *component, enum component_state state, bool fresh)
{
	struct pool *pool = component->pool;
	pool_secrets_drop(component);
	struct pool_secrets *secrets = x_alloc(sizeof(*secrets));
	const struct option_secret *wanted = option_secrets(component->spec->values, &secrets->count);
	secrets->component = component;
	secrets->fresh = fresh;
	secrets->bytes = x_alloc((secrets->count + 1) * sizeof(*secrets->bytes));
	component->secrets = secrets;
	component->store_died = false;
	component->request_refresh_ms = 0; /* this read serves the requests, too */
	pool_enter_state(component, state, SECRET_TIMEOUT_MS + SECRET_WIRE_MS);
	for (size_t i = 0; i < secrets->count; i++) {
		char *text = NULL;
		struct err err;
		if (wanted[i].kind == OPTION_SECRET_STORE && !ask_store(secrets, i, &wanted[i])) {
			wait_for_store(secrets, i, &wanted[i]);
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
	if (secrets->out == 0)
		finish(secrets);
}

/* ---- Answers ---- */

static struct pool_ask *take_lost(struct slot *slot)
{
	struct pool_ask **link = &slot->pool->asks, *ask;
	while ((ask = *link) != NULL && ask->slot != slot)
		link = &ask->next;
	if (ask != NULL)
		*link = ask->next;
	return ask;
}

/* The slot's components are down by now, so that nothing is asked of them again here. */
void pool_secrets_lost(struct slot *slot, const char *text)
{
	struct pool_ask *ask;
	while ((ask = take_lost(slot)) != NULL) {
		struct pool_secrets *secrets = ask->secrets;
		size_t index = ask->index;
		free(ask);
		if (secrets == NULL)
			continue;
		struct component *component = secrets->component;
		if (text == NULL) {
			pool_secrets_gather(component, component->state, secrets->fresh);
			continue;
		}
		component->store_died = true;
		give_up_secret(secrets, index, " is unavailable: the worker of that component ", text);
	}
}

void pool_secrets_on_answered(void *arg, uint32_t id, const struct message_answer *answer)
{
	struct slot *slot = arg;
	struct pool_ask **link = &slot->pool->asks, *ask;
	/* The id is unique among all workers, and only a worker that has the component gets here with it. */
	while ((ask = *link) != NULL && (ask->number != answer->number || ask->id != id))
		link = &ask->next;
	if (ask == NULL) {
		slot_break(slot, "sent a secret that it was not asked for");
		return;
	}
	struct pool_secrets *secrets = ask->secrets;
	size_t index = ask->index;
	*link = ask->next;
	free(ask);
	if (secrets == NULL)
		return; /* the consumer does not wait for it any more */
	if (!answer->ok) {
		give_up_secret(secrets, index, ": ", answer->message);
		return;
	}
	char *bytes = x_alloc(answer->size + 1);
	if (answer->size > 0)
		memcpy(bytes, answer->bytes, answer->size);
	secrets->bytes[index] = (struct option_bytes){bytes, answer->size};
	int64_t lease_ms = answer->lease_ms < LEASE_MIN_MS ? LEASE_MIN_MS : answer->lease_ms;
	if (lease_ms > LEASE_MAX_MS)
		lease_ms = LEASE_MAX_MS;
	if (answer->lease_ms > 0 && (secrets->lease_ms == 0 || lease_ms < secrets->lease_ms))
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
		for (size_t i = 0; slot->state == SLOT_UP && i < slot->count; i++) {
			struct component *component = slot->components[i];
			bool waits = component->state == COMPONENT_BACKING_OFF ||
				     component->state == COMPONENT_AWAITING_STORE;
			if (waits && !component->store_died && asks(component, store->spec->name))
				pool_start(component);
		}
	}
}
