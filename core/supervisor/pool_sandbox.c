/* SPDX-License-Identifier: Apache-2.0 */
/* pool_sandbox: what the worker of a slot may reach: the needs of its plugin, the folder of its state, and
 * the files that the options of its components name. A worker's sandbox cannot be widened, so a worker that
 * needs more is ended and started again. Called by the pool's other files. On the loop's thread. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "pool_private.h"

static char *own_folder(const struct slot *slot)
{
	const struct pool *pool = slot->pool;
	return pool->state_dir[0] != '\0' ? x_printf("%s/%s", pool->state_dir, slot->plugin->name)
					  : x_strdup("");
}

/* Relative names of files that a plugin writes are relative to state_dir itself. */
char *pool_state_dir(const struct slot *slot, const char *component)
{
	const struct pool *pool = slot->pool;
	bool writes = option_table_writes(slot->plugin->info->options);
	if (writes || pool->state_dir[0] == '\0')
		return x_strdup(pool->state_dir);
	return x_printf("%s/%s/%s", pool->state_dir, slot->plugin->name, component);
}

struct adding {
	struct sandbox *sandbox;
	const char *state_dir;
};

static void add_path(void *arg, const char *path, enum option_path_use use)
{
	static const enum sandbox_access accesses[] = {
		[OPTION_PATH_GUESSED] = SANDBOX_READ_FILE,
		[OPTION_PATH_READ] = SANDBOX_READ,
		[OPTION_PATH_WRITE] = SANDBOX_WRITE,
	};
	const struct adding *adding = arg;
	if (path[0] == '/' ||
	    use != OPTION_PATH_WRITE) { /* certificates are relative to the daemon's folder */
		sandbox_add(adding->sandbox, path, accesses[use]);
		return;
	}
	if (adding->state_dir[0] == '\0')
		return;
	char *absolute = x_printf("%s/%s", adding->state_dir, path);
	sandbox_add(adding->sandbox, absolute, SANDBOX_WRITE);
	free(absolute);
}

/* Of the slot with these components. */
static void sandbox_of(const struct slot *slot, struct component *const *components, size_t count,
		       struct sandbox *sandbox)
{
	const struct plugin_info *info = slot->plugin->info;
	struct adding adding = {sandbox, slot->pool->state_dir};
	*sandbox = (struct sandbox){.strict = slot->pool->strict};
	sandbox->state_dir = own_folder(slot);
	if (info == NULL)
		return; /* it only sends its hello */
	sandbox->needs = info->flags & ~SKYMON_IN_DAEMON;
	for (size_t i = 0; i < count; i++)
		option_paths(components[i]->spec->values, info->options, add_path, &adding);
}

bool pool_sandbox_suits(const struct slot *slot, const struct component_spec *spec)
{
	if (slot->process == NULL || slot->claim_count == 0) /* its next worker is started for that */
		return true;
	struct sandbox wanted = {.needs = slot->plugin->info->flags & ~SKYMON_IN_DAEMON};
	struct adding adding = {&wanted, slot->pool->state_dir};
	option_paths(spec->values, slot->plugin->info->options, add_path, &adding);
	bool suits = sandbox_covers(&slot->sandbox, &wanted);
	sandbox_free(&wanted);
	return suits;
}

bool pool_sandbox_fits(const struct slot *slot, struct component *added)
{
	struct sandbox wanted;
	sandbox_of(slot, added != NULL ? &added : slot->components, added != NULL ? 1 : slot->count, &wanted);
	bool fits = sandbox_covers(&slot->sandbox, &wanted);
	sandbox_free(&wanted);
	return fits;
}

void pool_make_folder(const struct pool *pool, const char *folder, mode_t mode)
{
	if (pool->makes_folders && folder[0] != '\0' && mkdir(folder, mode) < 0 && errno != EEXIST &&
	    errno != EROFS)
		log_warn("cannot make the state folder %s: %s", folder, strerror(errno));
}

void pool_sandbox_make(struct slot *slot)
{
	sandbox_free(&slot->sandbox);
	sandbox_of(slot, slot->components, slot->count, &slot->sandbox);
	pool_make_folder(slot->pool, slot->sandbox.state_dir, 0750);
}
