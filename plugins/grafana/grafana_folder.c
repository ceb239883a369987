/* SPDX-License-Identifier: Apache-2.0 */
/* grafana_folder: finds or creates the folder of rules and shipped content; derives uids; named locks. Called
 * by the handlers, on the threads of their requests. The locks belong to struct grafana_own. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <skymon/json.h>

#include "grafana_search.h"
#include "hash.h"

/* ---- Uids and locks ---- */

/* Each text with its '\0', so that "a", "bc" differs from "ab", "c". */
static uint64_t number_of(const char *kind, const char *folder, const char *title)
{
	const char *const texts[] = {kind, folder, title};
	uint64_t state = HASH_START;
	for (size_t i = 0; i < 3; i++)
		state = hash_add(state, texts[i], strlen(texts[i]) + 1);
	return state;
}

void grafana_make_uid(const char *kind, const char *folder, const char *title, char out[GRAFANA_UID_MAX + 1])
{
	snprintf(out, GRAFANA_UID_MAX + 1, "sg-%016" PRIx64, number_of(kind, folder, title));
}

/* Returns the lock of this name, or an unused one; there are more locks than requests. */
static struct grafana_named_lock *find_lock(struct grafana_own *own, uint64_t name)
{
	struct grafana_named_lock *free_one = NULL;
	for (size_t i = 0; i < GRAFANA_LOCKS; i++) {
		struct grafana_named_lock *lock = &own->locks[i];
		if (lock->wanted > 0 && lock->name == name)
			return lock;
		if (lock->wanted == 0 && free_one == NULL)
			free_one = lock;
	}
	return free_one;
}

static void drop_user(struct grafana_own *own, struct grafana_named_lock *lock)
{
	pthread_mutex_lock(&own->lock);
	lock->wanted--;
	pthread_mutex_unlock(&own->lock);
}

bool grafana_take_lock(struct grafana_ctx *ctx, const char *kind, const char *folder, const char *title)
{
	struct grafana_own *own = ctx->grafana->own;
	uint64_t name = number_of(kind, folder, title);
	pthread_mutex_lock(&own->lock);
	struct grafana_named_lock *lock = find_lock(own, name);
	if (lock != NULL) {
		lock->name = name;
		lock->wanted++;
	}
	pthread_mutex_unlock(&own->lock);
	if (lock != NULL && skymon_timed_lock_take(ctx->sm, &lock->lock)) {
		ctx->lock = lock;
		return true;
	}
	if (lock != NULL)
		drop_user(own, lock);
	return grafana_fail(
		ctx, 504,
		"timeout: other requests that write the same to Grafana at the moment take too long");
}

void grafana_release_lock(struct grafana_ctx *ctx)
{
	if (ctx->lock == NULL)
		return;
	skymon_timed_lock_give(&ctx->lock->lock);
	drop_user(ctx->grafana->own, ctx->lock);
	ctx->lock = NULL;
}

/* ---- Folders ---- */

static bool copy_uid(const json_t *folder, char uid_out[GRAFANA_UID_MAX + 1])
{
	const char *uid = skymon_json_text(folder, "uid");
	if (uid == NULL || strlen(uid) > GRAFANA_UID_MAX)
		return false;
	snprintf(uid_out, GRAFANA_UID_MAX + 1, "%s", uid);
	return true;
}

/* Finds a folder of this title that was created by hand under another uid. alike: or one with the same slug,
 * which Grafana 9 takes for the same. A key that may not list folders finds none. */
static bool find_by_title(struct grafana_ctx *ctx, const char *title, bool alike,
			  char uid_out[GRAFANA_UID_MAX + 1], bool *found)
{
	*found = false;
	char slug[200];
	search_slug(title, slug, sizeof(slug));
	struct grafana_answer answer;
	if (!grafana_ask(ctx, "GET", "/api/folders?limit=1000", NULL, &answer))
		return ctx->fault.code == 403;
	char other[200];
	json_t *folder;
	size_t i;
	json_array_foreach(answer.json, i, folder) {
		const char *its = skymon_json_text(folder, "title");
		if (*found || its == NULL)
			continue;
		search_slug(its, other, sizeof(other));
		if (strcmp(its, title) == 0 || (alike && strcmp(other, slug) == 0))
			*found = copy_uid(folder, uid_out);
	}
	grafana_answer_free(&answer);
	return true;
}

/* A 404 is left in ctx->fault. */
static bool find_by_uid(struct grafana_ctx *ctx, const char *uid, char uid_out[GRAFANA_UID_MAX + 1])
{
	char path[GRAFANA_PATH_MAX];
	if (!grafana_path(path, sizeof(path), "/api/folders/", uid, ""))
		return grafana_fail(ctx, 422, "the folder's uid is too long");
	struct grafana_answer answer;
	if (!grafana_ask(ctx, "GET", path, NULL, &answer))
		return false;
	copy_uid(answer.json, uid_out);
	grafana_answer_free(&answer);
	return true;
}

/* The title is not that of a folder: names the dashboard that has it. */
static bool refuse_folder_title(struct grafana_ctx *ctx, const char *title)
{
	struct grafana_fault was = grafana_set_aside(&ctx->fault);
	const struct search_location outside = {"", 0};
	json_t *found;
	search_alike(ctx, &outside, title, &found);
	grafana_put_back(&ctx->fault, &was);
	const char *uid = skymon_json_text(found, "uid");
	const char *its = skymon_json_text(found, "title");
	if (uid != NULL && its != NULL)
		search_refuse(
			ctx, found,
			"the folder \"%.100s\" is missing and cannot be created: the dashboard \"%.100s\" "
			"(%.40s) has its title; rename or delete that dashboard",
			title, its, uid);
	else
		search_refuse(ctx, NULL,
			      "the folder \"%.100s\" is missing and cannot be created: a dashboard, or a "
			      "folder that "
			      "the key may not see, has its title; rename or delete that one",
			      title);
	json_decref(found);
	return false;
}

/* *there: it was created concurrently. */
static bool create_folder(struct grafana_ctx *ctx, const char *uid, const char *title,
			  char uid_out[GRAFANA_UID_MAX + 1], bool *there)
{
	struct grafana_answer answer;
	json_t *body = json_pack("{s:s, s:s}", "uid", uid, "title", title);
	bool made = grafana_ask(ctx, "POST", "/api/folders", body, &answer);
	int refused = made ? 0 : ctx->fault.upstream_status;
	json_decref(body);
	if (made) {
		copy_uid(answer.json, uid_out);
		grafana_answer_free(&answer);
		return true;
	}
	struct grafana_fault was;
	if (refused != 412 && refused != 409) {
		if (!grafana_is_open(&ctx->fault)) /* else it may have been created nevertheless */
			return false;
		was = grafana_set_aside(&ctx->fault);
		made = find_by_uid(ctx, uid, uid_out);
		grafana_put_back(&ctx->fault, &was);
		if (made)
			grafana_forget(&ctx->fault);
		return made;
	}
	*there = find_by_uid(ctx, uid, uid_out);
	if (*there)
		return true;
	if (refused == 412)
		return ctx->fault.code == 403 && grafana_reword(ctx, 403, "",
								"the folder %.40s exists, but Grafana's key "
								"may not see it: it lacks the permission "
								"folders:read",
								uid);
	was = grafana_set_aside(&ctx->fault);
	if (!find_by_title(ctx, title, true, uid_out, there)) {
		json_decref(was.members);
		return false;
	}
	grafana_put_back(&ctx->fault, &was);
	return *there || refuse_folder_title(ctx, title);
}

bool grafana_folder(struct grafana_ctx *ctx, const char *uid, const char *title, bool may_make,
		    char uid_out[GRAFANA_UID_MAX + 1], bool *there)
{
	snprintf(uid_out, GRAFANA_UID_MAX + 1, "%s", uid);
	*there = find_by_uid(ctx, uid, uid_out);
	if (*there)
		return true;
	bool hidden = ctx->fault.code == 403; /* Grafana's answer to a key without a right to all folders */
	if (hidden ? !may_make : ctx->fault.upstream_status != 404 || ctx->fault.code != 404)
		return false;
	/* first, because later versions of Grafana would create a second folder of this title */
	if (title != NULL && !find_by_title(ctx, title, false, uid_out, there))
		return false;
	grafana_forget(&ctx->fault);
	return *there || !may_make || create_folder(ctx, uid, title != NULL ? title : uid, uid_out, there);
}
