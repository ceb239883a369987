/* grafana_folder: the folder of a rule, made when it is missing; turns; uids of our own. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "grafana.h"
#include "json_read.h"

/* ---- The same name, the same number ---- */

/* FNV-1a. Both texts with their ends, so that "a", "bc" is not "ab", "c". */
static uint64_t number_of(const char *kind, const char *folder, const char *title)
{
	const char *const texts[] = {kind, folder, title};
	uint64_t state = 14695981039346656037u;

	for (size_t i = 0; i < 3; i++)
		for (const char *at = texts[i];; at++) {
			state = (state ^ (unsigned char)*at) * 1099511628211u;
			if (*at == '\0')
				break;
		}
	return state;
}

void grafana_make_uid(const char *kind, const char *folder, const char *title, char out[GRAFANA_UID_MAX + 1])
{
	snprintf(out, GRAFANA_UID_MAX + 1, "sg-%016" PRIx64, number_of(kind, folder, title));
}

/* The one of this name, or one that nobody wants: there are more than requests. */
static struct grafana_turn *find_turn(struct grafana_own *own, uint64_t name)
{
	struct grafana_turn *free_one = NULL;

	for (size_t i = 0; i < GRAFANA_TURNS; i++) {
		struct grafana_turn *turn = &own->turns[i];

		if (turn->wanted > 0 && turn->name == name)
			return turn;
		if (turn->wanted == 0 && free_one == NULL)
			free_one = turn;
	}
	return free_one;
}

static void want_less(struct grafana_own *own, struct grafana_turn *turn)
{
	pthread_mutex_lock(&own->lock);
	turn->wanted--;
	pthread_mutex_unlock(&own->lock);
}

bool grafana_take_turn(struct grafana_ctx *ctx, const char *kind, const char *folder, const char *title)
{
	struct grafana_own *own = ctx->grafana->own;
	uint64_t name = number_of(kind, folder, title);
	struct grafana_turn *turn;

	pthread_mutex_lock(&own->lock);
	turn = find_turn(own, name);
	if (turn != NULL) {
		turn->name = name;
		turn->wanted++;
	}
	pthread_mutex_unlock(&own->lock);
	if (turn != NULL && turn_take(ctx->sm, &turn->turn)) {
		ctx->turn = turn;
		return true;
	}
	if (turn != NULL)
		want_less(own, turn);
	return grafana_fail(ctx, 504, "others who create the same in Grafana at this moment took too long");
}

void grafana_give_turn(struct grafana_ctx *ctx)
{
	if (ctx->turn == NULL)
		return;
	turn_give(&ctx->turn->turn);
	want_less(ctx->grafana->own, ctx->turn);
	ctx->turn = NULL;
}

/* ---- Folders ---- */

static bool take_uid(const json_t *folder, char uid_out[GRAFANA_UID_MAX + 1])
{
	const char *uid = json_read_text(folder, "uid");

	if (uid == NULL || strlen(uid) > GRAFANA_UID_MAX)
		return false;
	snprintf(uid_out, GRAFANA_UID_MAX + 1, "%s", uid);
	return true;
}

/* The title is taken by a folder that somebody made by hand, under another uid: that is the one that is
 * meant. */
static bool find_title(struct grafana_ctx *ctx, const char *title, char uid_out[GRAFANA_UID_MAX + 1])
{
	struct grafana_answer answer;
	json_t *folder;
	size_t i;
	bool found = false;

	if (!grafana_ask(ctx, "GET", "/api/folders?limit=1000", NULL, &answer))
		return false;
	json_array_foreach(answer.json, i, folder)
	{
		const char *its = json_read_text(folder, "title");

		found = found || (its != NULL && strcmp(its, title) == 0 && take_uid(folder, uid_out));
	}
	grafana_answer_free(&answer);
	return found ||
	       grafana_fail(ctx, 409,
			    "the folder \"%.100s\" is missing and cannot be made: its title is taken by a "
			    "dashboard, or by a folder that the key may not see",
			    title);
}

/* 404 leaves ctx->fault.upstream_status so. */
static bool find_uid(struct grafana_ctx *ctx, const char *uid, char uid_out[GRAFANA_UID_MAX + 1])
{
	struct grafana_answer answer;
	char path[GRAFANA_PATH_MAX];

	if (!grafana_path(path, sizeof(path), "/api/folders/", uid, ""))
		return grafana_fail(ctx, 422, "the folder's uid is too long");
	if (!grafana_ask(ctx, "GET", path, NULL, &answer))
		return false;
	if (!take_uid(answer.json, uid_out))
		snprintf(uid_out, GRAFANA_UID_MAX + 1, "%s", uid);
	grafana_answer_free(&answer);
	return true;
}

bool grafana_folder(struct grafana_ctx *ctx, const char *uid, const char *title,
		    char uid_out[GRAFANA_UID_MAX + 1])
{
	struct grafana_answer answer;
	json_t *body;
	bool made, hidden;

	if (find_uid(ctx, uid, uid_out))
		return true;
	hidden = ctx->fault.upstream_status == 403; /* so a key is told that has no right to all folders */
	if (!hidden && (ctx->fault.upstream_status != 404 || ctx->fault.code != 404))
		return false;
	if (title == NULL)
		title = uid;
	body = json_pack("{s:s, s:s}", "uid", uid, "title", title);
	made = grafana_ask(ctx, "POST", "/api/folders", body, &answer);
	json_decref(body);
	if (made) {
		if (!take_uid(answer.json, uid_out))
			snprintf(uid_out, GRAFANA_UID_MAX + 1, "%s", uid);
		grafana_answer_free(&answer);
		return true;
	}
	if (ctx->fault.upstream_status == 412) /* somebody made it in this moment, or we may not see it */
		return find_uid(ctx, uid, uid_out);
	if (ctx->fault.upstream_status == 409)
		return find_uid(ctx, uid, uid_out) || find_title(ctx, title, uid_out);
	return false;
}
