/* SPDX-License-Identifier: Apache-2.0 */
/* vault_secret: serves secrets to other components. Called by the worker for each request, on a thread that
 * runs concurrently with the check. Requests are served one after another under secret_lock, so that several
 * fields of one lease come from one read. The newest values are kept in memory, and served while Vault is
 * down. After a failure Vault is not queried for 1 s, doubling to 30 s; a healthy check ends the back-off. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vault.h"

#define KEPT_MAX 256
#define PAUSE_FIRST_MS 1000
#define PAUSE_LAST_MS 30000
#define SAME_READ_MS 2000        /* requests for the fields of one lease arrive within this */
#define LEASE_IN_OUTAGE_MS 30000 /* reported for a value from memory whose lease has expired */

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
	json_decref(kept->data); /* wiped by the free function that load() sets */
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

/* Stores the fields, newest first, and drops the oldest beyond KEPT_MAX. Takes ownership of data. */
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

/* ---- Replies ---- */

static void refuse_request(struct skymon *sm, struct vault *vault, struct skymon_ask *ask,
			   const struct skymon_fault *why)
{
	vault->own->counts.refused++;
	skymon_refuse(sm, ask, why->reason, "%s", why->text);
}

/* in_outage: the value may be older than requested. */
static void reply_field(struct skymon *sm, struct vault *vault, struct skymon_ask *ask,
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
		refuse_request(sm, vault, ask, &why);
		return;
	}
	if (kept->lease.life_ms > 0) {
		/* renewed while a third of the lease is left */
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
	bool first = own->pause_until_ms == 0; /* set to 0 by a good read or check */
	own->pause_ms = first ? PAUSE_FIRST_MS : own->pause_ms * 2;
	if (own->pause_ms > PAUSE_LAST_MS)
		own->pause_ms = PAUSE_LAST_MS;
	own->last_fault = *fault;
	own->pause_until_ms = vault_now_ms() + own->pause_ms;
}

/* ---- Requests ---- */

/* Requests during a lease share its value. A refused value (fresh) is read again, but once for all its
 * fields. */
static bool is_current(const struct vault_kept *kept, bool fresh)
{
	if (kept == NULL || kept->lease.id[0] == '\0')
		return false;
	int64_t age = vault_now_ms() - kept->read_ms;
	return age < (fresh ? SAME_READ_MS : kept->lease.life_ms / 2);
}

static void reply_without_server(struct skymon *sm, struct vault *vault, struct skymon_ask *ask,
				 const struct vault_fault *fault)
{
	const struct vault_kept *kept = *find_kept(vault->own, skymon_ask_path(sm, ask));
	if (fault->outage && kept != NULL && !skymon_ask_fresh(sm, ask))
		reply_field(sm, vault, ask, kept, true);
	else
		refuse_request(sm, vault, ask, &fault->is);
}

static void query_server(struct skymon *sm, struct vault *vault, struct skymon_ask *ask)
{
	struct vault_own *own = vault->own;
	const char *path = skymon_ask_path(sm, ask);
	skymon_http_begin(own->secret_fetch, vault->reconnect.ms);
	struct vault_lease lease;
	struct vault_fault fault;
	json_t *data;
	bool good = vault_read(sm, vault, own->secret_fetch, path, &data, &lease, &fault);
	skymon_http_end(own->secret_fetch);
	if (!good) {
		if (fault.outage || fault.login)
			begin_pause(own, &fault);
		else
			own->pause_until_ms = 0;
		if (fault.code == 404)
			forget(own, path);
		reply_without_server(sm, vault, ask, &fault);
		return;
	}
	own->pause_until_ms = 0;
	struct vault_kept *kept = keep(own, path, data, &lease);
	if (kept != NULL) {
		reply_field(sm, vault, ask, kept, false);
		return;
	}
	skymon_fault_set(&fault.is, SKYMON_UNKNOWN, SKYMON_RESOURCE, "out of memory for the secret");
	refuse_request(sm, vault, ask, &fault.is);
}

void vault_secret(struct skymon *sm, void *state, struct skymon_ask *ask)
{
	struct vault *vault = state;
	struct vault_own *own = vault->own;
	struct skymon_fault why;
	if (!vault_has_token(vault)) {
		skymon_fault_set(
			&why, SKYMON_UNKNOWN, SKYMON_AUTH_FAILED,
			"%.120s: neither `token` nor `role_id` is configured, so no secret can be read",
			own->place);
		refuse_request(sm, vault, ask, &why);
		return;
	}
	if (skymon_ask_field(sm, ask)[0] == '\0') {
		skymon_fault_set(&why, SKYMON_UNKNOWN, SKYMON_OTHER,
				 "the reference must be written as path#field");
		refuse_request(sm, vault, ask, &why);
		return;
	}
	if (!skymon_timed_lock_take(sm, &own->secret_lock)) {
		skymon_fault_set(&why, SKYMON_UNHEALTHY, SKYMON_TIMEOUT,
				 "%.120s: earlier requests were not answered in time", own->place);
		refuse_request(sm, vault, ask, &why);
		return;
	}
	const struct vault_kept *kept = *find_kept(own, skymon_ask_path(sm, ask));
	if (is_current(kept, skymon_ask_fresh(sm, ask)))
		reply_field(sm, vault, ask, kept, false);
	else if (is_pausing(own))
		reply_without_server(sm, vault, ask, &own->last_fault);
	else
		query_server(sm, vault, ask);
	skymon_timed_lock_give(&own->secret_lock);
}
