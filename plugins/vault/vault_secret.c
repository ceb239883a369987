/* SPDX-License-Identifier: Apache-2.0 */
/* vault_secret: answers for the secrets of other components. Asks are done one after another, so that several
 * fields of one lease come from one read. What was read last is kept in memory: it is the answer while Vault
 * is down. After a failure nobody is asked for 1 s, doubling to 30 s; a check that finds Vault in order ends
 * that. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vault.h"

#define KEPT_MAX 256
#define PAUSE_FIRST_MS 1000
#define PAUSE_LAST_MS 30000
#define SAME_READ_MS 2000        /* askers of one lease come within that */
#define LEASE_IN_OUTAGE_MS 30000 /* when a value whose lease has ended is given for want of a better */

struct vault_kept {
	struct vault_kept *next;
	char *path;
	json_t *data;
	struct vault_lease lease;
	int64_t read_ms;
};

/* ---- Memory ---- */

static void free_kept(struct vault_kept *kept)
{
	json_decref(kept->data); /* wiped: see load */
	free(kept->path);
	free(kept);
}

void vault_forget_all(struct vault *vault)
{
	struct vault_own *own = vault->own;

	while (own->kept != NULL) {
		struct vault_kept *next = own->kept->next;
		free_kept(own->kept);
		own->kept = next;
	}
}

static struct vault_kept **find_kept(struct vault_own *own, const char *path)
{
	struct vault_kept **link = &own->kept;

	while (*link != NULL && strcmp((*link)->path, path) != 0)
		link = &(*link)->next;
	return link;
}

static void forget(struct vault_own *own, const char *path)
{
	struct vault_kept **link = find_kept(own, path), *kept = *link;

	if (kept == NULL)
		return;
	*link = kept->next;
	free_kept(kept);
}

/* The newest stand first; takes data over. */
static struct vault_kept *keep(struct vault_own *own, const char *path, json_t *data,
			       const struct vault_lease *lease)
{
	struct vault_kept *kept = calloc(1, sizeof(*kept)), **last = &own->kept;
	size_t count = 1;

	forget(own, path);
	if (kept == NULL || (kept->path = strdup(path)) == NULL) {
		free(kept);
		json_decref(data);
		return NULL;
	}
	kept->data = data;
	kept->lease = *lease;
	kept->read_ms = vault_now_ms();
	kept->next = own->kept;
	own->kept = kept;
	for (; *last != NULL && count < KEPT_MAX; count++)
		last = &(*last)->next;
	while (*last != NULL) {
		struct vault_kept *old = *last;
		*last = old->next;
		free_kept(old);
	}
	return kept;
}

/* ---- Answers ---- */

static void refuse(struct skymon *sm, struct vault *vault, struct skymon_ask *ask,
		   const struct skymon_fault *why)
{
	vault->own->counts.refused++;
	skymon_refuse(sm, ask, why->reason, "%s", why->text);
}

/* in_outage: it is not as fresh as it was asked for. */
static void answer(struct skymon *sm, struct vault *vault, struct skymon_ask *ask,
		   const struct vault_kept *kept, bool in_outage)
{
	char room[64];
	const char *bytes = room, *field = skymon_ask_field(sm, ask);
	size_t size = 0;
	int64_t left = 0;
	enum vault_found found = vault_field(sm, kept->data, field, room, &bytes, &size);
	struct skymon_fault why;

	if (found != VAULT_FOUND) {
		vault_explain_field(kept->data, field, vault->own->place, &why);
		refuse(sm, vault, ask, &why);
		return;
	}
	if (kept->lease.life_ms > 0) {
		/* asked again when a third of it is still left */
		left = kept->read_ms + kept->lease.life_ms / 3 * 2 - vault_now_ms();
		if (left < 1)
			left = in_outage ? LEASE_IN_OUTAGE_MS : 1;
	}
	if (in_outage)
		vault->own->counts.remembered++;
	else
		vault->own->counts.read++;
	skymon_answer(sm, ask, bytes, size, left);
	explicit_bzero(room, sizeof(room));
}

/* ---- Back-off ---- */

static bool is_pausing(struct vault_own *own)
{
	return vault_now_ms() < own->pause_until_ms;
}

static void begin_pause(struct vault_own *own, const struct vault_fault *fault)
{
	bool first = own->pause_until_ms == 0; /* a read or a check was good since */

	own->pause_ms = first ? PAUSE_FIRST_MS : own->pause_ms * 2;
	if (own->pause_ms > PAUSE_LAST_MS)
		own->pause_ms = PAUSE_LAST_MS;
	own->last_fault = *fault;
	own->pause_until_ms = vault_now_ms() + own->pause_ms;
}

/* ---- Asking ---- */

/* A value under a lease is the same for all who ask at its time. One that was refused is read anew, but once
 * for all its fields. */
static bool is_current(const struct vault_kept *kept, bool fresh)
{
	int64_t age;

	if (kept == NULL || kept->lease.id[0] == '\0')
		return false;
	age = vault_now_ms() - kept->read_ms;
	return age < (fresh ? SAME_READ_MS : kept->lease.life_ms / 2);
}

static void answer_without_server(struct skymon *sm, struct vault *vault, struct skymon_ask *ask,
				  const struct vault_fault *fault)
{
	const struct vault_kept *kept = *find_kept(vault->own, skymon_ask_path(sm, ask));

	if (fault->outage && kept != NULL && !skymon_ask_fresh(sm, ask))
		answer(sm, vault, ask, kept, true);
	else
		refuse(sm, vault, ask, &fault->is);
}

static void ask_server(struct skymon *sm, struct vault *vault, struct skymon_ask *ask)
{
	struct vault_own *own = vault->own;
	const char *path = skymon_ask_path(sm, ask);
	struct vault_lease lease;
	struct vault_fault fault;
	struct vault_kept *kept;
	json_t *data;
	bool good;

	fetch_begin(own->ask_fetch, vault->reconnect.ms);
	good = vault_read(sm, vault, own->ask_fetch, path, &data, &lease, &fault);
	fetch_end(own->ask_fetch);
	if (!good) {
		if (fault.outage || fault.login)
			begin_pause(own, &fault);
		else
			own->pause_until_ms = 0;
		if (fault.code == 404)
			forget(own, path);
		answer_without_server(sm, vault, ask, &fault);
		return;
	}
	own->pause_until_ms = 0;
	kept = keep(own, path, data, &lease);
	if (kept != NULL) {
		answer(sm, vault, ask, kept, false);
		return;
	}
	skymon_fault_set(&fault.is, SKYMON_UNKNOWN, SKYMON_RESOURCE, "out of memory for the secret");
	refuse(sm, vault, ask, &fault.is);
}

void vault_secret(struct skymon *sm, void *state, struct skymon_ask *ask)
{
	struct vault *vault = state;
	struct vault_own *own = vault->own;
	const struct vault_kept *kept;
	struct skymon_fault why;

	if (!vault_has_token(vault)) {
		skymon_fault_set(
			&why, SKYMON_UNKNOWN, SKYMON_AUTH_FAILED,
			"%.120s: neither `token` nor `role_id` is configured, so nothing can be read",
			own->place);
		refuse(sm, vault, ask, &why);
		return;
	}
	if (skymon_ask_field(sm, ask)[0] == '\0') {
		skymon_fault_set(&why, SKYMON_UNKNOWN, SKYMON_OTHER, "it must be written as path#field");
		refuse(sm, vault, ask, &why);
		return;
	}
	if (!timed_lock_take(sm, &own->ask_turn)) {
		skymon_fault_set(&why, SKYMON_UNHEALTHY, SKYMON_TIMEOUT,
				 "%.120s: earlier questions were not answered in time", own->place);
		refuse(sm, vault, ask, &why);
		return;
	}
	kept = *find_kept(own, skymon_ask_path(sm, ask));
	if (is_current(kept, skymon_ask_fresh(sm, ask)))
		answer(sm, vault, ask, kept, false);
	else if (is_pausing(own))
		answer_without_server(sm, vault, ask, &own->last_fault);
	else
		ask_server(sm, vault, ask);
	timed_lock_give(&own->ask_turn);
}
