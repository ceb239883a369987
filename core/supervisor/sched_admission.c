/* SPDX-License-Identifier: Apache-2.0 */
/* sched_admission: keys are shared, one for each plugin and one for each address, found by hash on entering.
 * The queue is one list; a key that is full is passed over, so that a server that hangs holds back its own
 * components only. Called by sched, on the loop's thread; owns the keys and the queue. */
#include "sched_admission.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/hash.h"

#define BUCKETS 1024u /* of keys; a config rarely has as many addresses */

struct admission_key {
	struct admission_key *next;
	uint32_t users, held;
	char *text;
};

struct admission {
	struct admission_key *plugins[BUCKETS], *addresses[BUCKETS];
	struct permit *first, *last;
	uint32_t per_plugin, per_address;
};

struct admission *admission_new(void)
{
	struct admission *admission = x_alloc(sizeof(*admission));
	admission->per_plugin = admission->per_address = UINT32_MAX;
	return admission;
}

void admission_free(struct admission *admission)
{
	free(admission);
}

void admission_configure(struct admission *admission, uint32_t per_plugin, uint32_t per_address)
{
	admission->per_plugin = per_plugin;
	admission->per_address = per_address;
}

/* ---- Keys ---- */

static size_t bucket_of(const char *text)
{
	return (size_t)(hash_add(HASH_START, text, strlen(text)) % BUCKETS);
}

static struct admission_key *use_key(struct admission_key **buckets, const char *text)
{
	struct admission_key **bucket = &buckets[bucket_of(text)], *key = *bucket;
	while (key != NULL && strcmp(key->text, text) != 0)
		key = key->next;
	if (key == NULL) {
		key = x_alloc(sizeof(*key));
		key->text = x_strdup(text);
		key->next = *bucket;
		*bucket = key;
	}
	key->users++;
	return key;
}

static void drop_key(struct admission_key **buckets, struct admission_key *key)
{
	if (key == NULL || --key->users > 0)
		return;
	struct admission_key **link = &buckets[bucket_of(key->text)];
	while (*link != key)
		link = &(*link)->next;
	*link = key->next;
	free(key->text);
	free(key);
}

void admission_enter(struct admission *admission, struct permit *permit, const char *plugin,
		     const char *address)
{
	*permit = (struct permit){
		.plugin = plugin != NULL ? use_key(admission->plugins, plugin) : NULL,
		.address = address != NULL ? use_key(admission->addresses, address) : NULL,
	};
}

void admission_leave(struct admission *admission, struct permit *permit)
{
	admission_release(admission, permit);
	drop_key(admission->plugins, permit->plugin);
	drop_key(admission->addresses, permit->address);
	*permit = (struct permit){0};
}

/* ---- The queue ---- */

static void take_out(struct admission *admission, struct permit *permit)
{
	*(permit->previous != NULL ? &permit->previous->next : &admission->first) = permit->next;
	*(permit->next != NULL ? &permit->next->previous : &admission->last) = permit->previous;
	permit->previous = permit->next = NULL;
}

void admission_request(struct admission *admission, struct permit *permit)
{
	if (permit->state != PERMIT_NONE)
		return;
	permit->state = PERMIT_WAITING;
	permit->previous = admission->last;
	*(admission->last != NULL ? &admission->last->next : &admission->first) = permit;
	admission->last = permit;
}

static bool is_full(const struct admission_key *key, uint32_t most)
{
	return key != NULL && key->held >= most;
}

static void count(struct admission_key *key, int by)
{
	if (key != NULL)
		key->held = (uint32_t)((int)key->held + by);
}

struct permit *admission_next(struct admission *admission)
{
	struct permit *permit = admission->first;
	while (permit != NULL && (is_full(permit->plugin, admission->per_plugin) ||
				  is_full(permit->address, admission->per_address)))
		permit = permit->next;
	if (permit == NULL)
		return NULL;
	take_out(admission, permit);
	permit->state = PERMIT_HELD;
	count(permit->plugin, 1);
	count(permit->address, 1);
	return permit;
}

void admission_release(struct admission *admission, struct permit *permit)
{
	if (permit->state == PERMIT_WAITING)
		take_out(admission, permit);
	if (permit->state == PERMIT_HELD) {
		count(permit->plugin, -1);
		count(permit->address, -1);
	}
	permit->state = PERMIT_NONE;
}

/* ---- Addresses ---- */

char *admission_address(const char *target)
{
	if (target == NULL || *target == '\0')
		return NULL;
	const char *at = strstr(target, "://");
	size_t size = strlen(target);
	if (at != NULL) {
		at += 3;
		size = strcspn(at, "/?#");
		for (const char *sign; (sign = memchr(at, '@', size)) != NULL; at = sign + 1)
			size -= (size_t)(sign + 1 - at);
	}
	if (at == NULL || size == 0) { /* a path, a name, or a URL whose host is in its query */
		at = target;
		size = strlen(target);
	}
	char *address = x_strndup(at, size);
	for (char *c = address; *c != '\0'; c++)
		*c = (char)tolower((unsigned char)*c);
	return address;
}
