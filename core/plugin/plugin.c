/* SPDX-License-Identifier: Apache-2.0 */
/* Plugins as files: finds them by name, loads one, and validates the tables that it declares, copied to
 * today's sizes. Called by skymon-worker and by the tool, in the process that runs the plugin; finding is
 * called by the pool, in the daemon. The caller owns what is returned. */
#include "plugin.h"
#include "base/names.h"
#include "base/nearest.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The structs' sizes in the first minor; later ones only grow. */
#define PLUGIN_SIZE_MIN (offsetof(struct skymon_plugin, secret) + sizeof(void *))
#define OPTION_SIZE_MIN (offsetof(struct skymon_option, item_size) + sizeof(uint32_t))
#define NUMBER_SIZE_MIN (offsetof(struct skymon_number, help) + sizeof(void *))
#define ROUTE_SIZE_MIN (offsetof(struct skymon_route, flags) + sizeof(uint32_t))
#define ROUTE_FLAGS                                                                                          \
	(SKYMON_ROUTE_OPTIONS_AS_GET | SKYMON_ROUTE_PRIVATE | SKYMON_ROUTE_ANY_BODY | SKYMON_ROUTE_GUARDED | \
	 SKYMON_ROUTE_HEALTH | SKYMON_ROUTE_OPEN | SKYMON_ROUTE_COMPONENT)
#define SIZE_MAX_PLAUSIBLE 4096u
#define STATE_MAX (16u << 20)
#define FLAGS_KNOWN (SKYMON_IN_DAEMON | SKYMON_NEEDS_EXEC | SKYMON_NEEDS_PROC | SKYMON_NEEDS_PROCESSES)

const char skymon_build_id[] = SKYMON_BUILD_ID;

/* ---- Files ---- */

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

char **plugin_list(const char *const *folders, size_t count, size_t *found)
{
	char **names = NULL;
	size_t room = 0, used = 0;
	for (size_t i = 0; i < count; i++) {
		DIR *folder = opendir(folders[i]);
		const struct dirent *entry;
		while (folder != NULL && (entry = readdir(folder)) != NULL) {
			size_t size = strlen(entry->d_name);
			if (size < 4 || strcmp(entry->d_name + size - 3, ".so") != 0)
				continue;
			names = x_grow(names, &room, used + 1, sizeof(*names));
			names[used] = x_strndup(entry->d_name, size - 3);
			if (name_is_plugin(names[used]))
				used++;
			else
				free(names[used]);
		}
		if (folder != NULL)
			closedir(folder);
	}
	if (used > 1)
		qsort(names, used, sizeof(*names), by_name);
	*found = 0;
	for (size_t i = 0; i < used; i++) {
		if (*found > 0 && strcmp(names[*found - 1], names[i]) == 0)
			free(names[i]);
		else
			names[(*found)++] = names[i];
	}
	return names;
}

#define NAMES_MAX 200u /* bytes of names in a sentence */

/* "; did you mean `b`?; there are: a, b", behind the folders that were searched. */
static void list_plugins(const char *name, const char *const *folders, size_t count, struct buf *out)
{
	struct buf names = {0};
	size_t found = 0, shown = 0;
	char **all = plugin_list(folders, count, &found);
	const char *near = nearest_word(name, (const char *const *)all, found);
	for (; shown < found && names.size < NAMES_MAX; shown++)
		buf_printf(&names, "%s%s", shown > 0 ? ", " : "", all[shown]);
	if (near != NULL)
		buf_printf(out, "; did you mean `%s`?", near);
	if (found > 0)
		buf_printf(out, "; there are: %s", names.data);
	if (shown < found)
		buf_printf(out, " and %zu more", found - shown);
	for (size_t i = 0; i < found; i++)
		free(all[i]);
	free(all);
	buf_free(&names);
}

char *plugin_find(const char *name, const char *const *folders, size_t count, struct err *err)
{
	struct buf tried = {0};
	if (!name_is_plugin(name)) {
		err_set(err, "\"%.80s\" is not a valid plugin name: use a-z, 0-9, _ and -", name);
		return NULL;
	}
	for (size_t i = 0; i < count; i++) {
		struct stat file;
		char *path = x_printf("%s/%s.so", folders[i], name);
		if (stat(path, &file) == 0) {
			buf_free(&tried);
			return path;
		}
		free(path);
		buf_printf(&tried, "%s%s", i > 0 ? ", " : "", folders[i]);
	}
	list_plugins(name, folders, count, &tried);
	err_set(err, "no such plugin: %s (no %s.so in %s)", name, name,
		tried.size > 0 ? tried.data : "any folder");
	buf_free(&tried);
	return NULL;
}

/* ---- The descriptor ---- */

struct loader_name { /* of a plugin, which is never closed: the loader has it as long as the process lives */
	struct loader_name *next;
	char *text;
};

/* A debugger opens the name of a loaded object itself, and its own descriptor of that number may be a pipe, on
 * which it waits for ever. */
static void name_for_debuggers(void *handle, const char *path)
{
	static struct loader_name *names;
	struct link_map *map;
	char *whole = realpath(path, NULL);
	if (whole == NULL || dlinfo(handle, RTLD_DI_LINKMAP, &map) != 0) {
		free(whole);
		return;
	}
	struct loader_name *name = x_alloc(sizeof(*name));
	*name = (struct loader_name){names, whole};
	names = name;
	map->l_name = whole;
}

/* The symbol and its size in the file, so that a descriptor that is too short is never read beyond. */
static const void *find_symbol(const char *path, int copy, size_t *size, struct err *err)
{
	char name[32] = "";
	if (copy >= 0)
		snprintf(name, sizeof(name), "/proc/self/fd/%d", copy);
	/* Without /proc the file must do; it was looked at when the copy was made. */
	void *handle = dlopen(access(name, F_OK) == 0 ? name : path, RTLD_NOW | RTLD_LOCAL);
	if (handle == NULL) {
		const char *why = dlerror();
		err_set(err, "cannot open plugin %s: %s", path, why != NULL ? why : "unknown error");
		return NULL;
	}
	name_for_debuggers(handle, path);
	const void *symbol = dlsym(handle, "skymon_plugin");
	Dl_info info;
	void *entry = NULL;
	if (symbol == NULL || dladdr1(symbol, &info, &entry, RTLD_DL_SYMENT) == 0 || entry == NULL) {
		err_set(err,
			"%s is not a skymon plugin: it exports no symbol skymon_plugin (SKYMON_PLUGIN "
			"defines "
			"it)",
			path);
		return NULL;
	}
	const ElfW(Sym) *symbol_entry = entry;
	*size = symbol_entry->st_size;
	return symbol;
}

bool plugin_abi_fits(unsigned major, unsigned minor, unsigned our_major, unsigned our_minor)
{
	return major == our_major && (major == 0 ? minor == our_minor : minor <= our_minor);
}

static bool abi_ok(const char *path, const struct skymon_plugin *plugin, size_t symbol_size, struct err *err)
{
	if (symbol_size < offsetof(struct skymon_plugin, name))
		return err_set(err, "%s is not a skymon plugin: its descriptor has %zu bytes", path,
			       symbol_size);
	if (!plugin_abi_fits(plugin->abi_major, plugin->abi_minor, SKYMON_ABI_MAJOR, SKYMON_ABI_MINOR))
		return err_set(err, "plugin %s was built for ABI %u.%u, this skymon has %u.%u: %s", path,
			       plugin->abi_major, plugin->abi_minor, SKYMON_ABI_MAJOR, SKYMON_ABI_MINOR,
			       plugin->abi_major == SKYMON_ABI_MAJOR && SKYMON_ABI_MAJOR > 0
				       ? "it needs a newer skymon"
				       : "build it again");
	if (plugin->size < PLUGIN_SIZE_MIN || plugin->size > SIZE_MAX_PLAUSIBLE || plugin->size > symbol_size)
		return err_set(err,
			       "plugin %s: its descriptor says %u bytes, has %zu, and needs at least %zu",
			       path, plugin->size, symbol_size, PLUGIN_SIZE_MIN);
	return true;
}

static bool name_matches(const char *path, const char *name)
{
	const char *file = strrchr(path, '/');
	file = file != NULL ? file + 1 : path;
	size_t size = strlen(name);
	return strncmp(file, name, size) == 0 && strcmp(file + size, ".so") == 0;
}

/* A table at today's stride, with the tables of its lists. Validated before. */
static struct skymon_option *copy_options(const struct skymon_option *from, size_t stride)
{
	size_t count = option_table_size(from, stride);
	struct skymon_option *to = x_alloc((count + 1) * sizeof(*to));
	for (size_t i = 0; i < count; i++) {
		memcpy(&to[i], (const char *)from + i * stride, stride < sizeof(*to) ? stride : sizeof(*to));
		to[i].item = to[i].type == SKYMON_LIST ? copy_options(to[i].item, stride) : NULL;
	}
	return to;
}

static bool take_options(const struct skymon_plugin *from, struct skymon_plugin *to, struct err *err)
{
	uint32_t stride = from->options != NULL ? from->option_size : sizeof(*from->options);
	if (stride < OPTION_SIZE_MIN || stride > SIZE_MAX_PLAUSIBLE)
		return err_set(err, "option_size is %u", stride);
	if (!option_table_check(from->options, stride, from->state_size, err))
		return false;
	to->options = copy_options(from->options, stride);
	to->option_size = sizeof(*to->options);
	return true;
}

static bool take_number(const struct skymon_number *numbers, size_t count, struct skymon_number *number,
			struct err *err)
{
	if (metric_name_reserved(number->name))
		return err_set(err,
			       "number %.60s has a reserved name: up, scrape_*, process_* and __* are not "
			       "for plugins",
			       number->name);
	bool again = strcmp(number->name, "response_time") == 0; /* the core measures it */
	for (size_t i = 0; i < count; i++)
		again = again || strcmp(numbers[i].name, number->name) == 0;
	if (again)
		return err_set(err, "number %.60s is declared twice, or the core's own", number->name);
	if (!label_name_ok(number->name) || count >= RESULT_NUMBERS_MAX)
		return err_set(err, "number %.60s has a wrong name, or is one too many", number->name);
	number->unit = number->unit != NULL ? number->unit : "";
	number->help = number->help != NULL ? number->help : "";
	return true;
}

static bool take_numbers(const struct skymon_plugin *from, struct skymon_plugin *to, struct err *err)
{
	size_t stride = from->numbers != NULL ? from->number_size : sizeof(*from->numbers);
	if (stride < NUMBER_SIZE_MIN || stride > SIZE_MAX_PLAUSIBLE)
		return err_set(err, "number_size is %zu", stride);
	struct skymon_number *numbers = x_alloc((RESULT_NUMBERS_MAX + 1) * sizeof(*numbers));
	to->numbers = numbers;
	to->number_size = sizeof(*numbers);
	const char *entry = (const char *)from->numbers;
	for (size_t i = 0; entry != NULL; i++, entry += stride) {
		struct skymon_number number = {0};
		memcpy(&number, entry, stride < sizeof(number) ? stride : sizeof(number));
		if (number.name == NULL)
			break;
		if (!take_number(numbers, i, &number, err))
			return false;
		numbers[i] = number;
	}
	return true;
}

static bool method_ok(const char *method)
{
	return strcmp(method, "GET") == 0 || strcmp(method, "POST") == 0 || strcmp(method, "PUT") == 0 ||
	       strcmp(method, "DELETE") == 0;
}

static bool take_route(const struct skymon_route *from, struct skymon_route *to, struct err *err)
{
	if (from->size < ROUTE_SIZE_MIN || from->size > SIZE_MAX_PLAUSIBLE)
		return err_set(err, "a route's size is %u", from->size);
	memcpy(to, from, from->size < sizeof(*to) ? from->size : sizeof(*to));
	to->size = sizeof(*to);
	if (to->method == NULL || !method_ok(to->method) || to->path == NULL || to->path[0] != '/')
		return err_set(err, "a route is \"%.20s %.100s\"", to->method != NULL ? to->method : "",
			       to->path != NULL ? to->path : "");
	if ((to->flags & ~ROUTE_FLAGS) != 0)
		return err_set(err, "route %.100s has flags that this skymon does not know: %#x", to->path,
			       to->flags & ~ROUTE_FLAGS);
	bool health = (to->flags & SKYMON_ROUTE_HEALTH) != 0, open = (to->flags & SKYMON_ROUTE_OPEN) != 0;
	bool writes = strcmp(to->method, "GET") != 0;
	if (open && (!writes || (to->flags & SKYMON_ROUTE_GUARDED) != 0))
		return err_set(err, "route %.100s is SKYMON_ROUTE_OPEN, so it must write and not be GUARDED",
			       to->path);
	if (writes && !open)
		to->flags |= SKYMON_ROUTE_GUARDED;
	if (to->name == NULL || !name_is_plugin(to->name) || to->summary == NULL ||
	    (to->handle == NULL) != health)
		return err_set(err, "route %.100s lacks a name (a-z, 0-9, _ and -), a summary or handle",
			       to->path);
	if ((to->flags & SKYMON_ROUTE_COMPONENT) != 0 && (health || strchr(to->path, '{') == NULL))
		return err_set(err,
			       "route %.100s is SKYMON_ROUTE_COMPONENT, so it needs a {name} and a handle",
			       to->path);
	return !health || strcmp(to->method, "GET") == 0 ||
	       err_set(err, "route %.100s is SKYMON_ROUTE_HEALTH, so it must be GET", to->path);
}

static bool take_routes(const struct skymon_plugin *from, struct skymon_plugin *to, struct err *err)
{
	const struct skymon_route **routes = x_alloc((PLUGIN_ROUTES_MAX + 1) * sizeof(*routes));
	to->routes = routes;
	for (size_t i = 0; from->routes != NULL && from->routes[i] != NULL; i++) {
		if (i >= PLUGIN_ROUTES_MAX)
			return err_set(err, "it has more than %u routes", PLUGIN_ROUTES_MAX);
		struct skymon_route *copy = x_alloc(sizeof(*copy));
		routes[i] = copy;
		if (!take_route(from->routes[i], copy, err))
			return false;
		if (((copy->flags ^ routes[0]->flags) & SKYMON_ROUTE_COMPONENT) != 0)
			return err_set(err, "some of its routes are SKYMON_ROUTE_COMPONENT, and others not");
		for (size_t j = 0; j < i; j++)
			if (strcmp(routes[j]->name, copy->name) == 0 &&
			    strcmp(routes[j]->path, copy->path) != 0)
				return err_set(err, "two of its routes are named %s", copy->name);
	}
	return true;
}

static bool roles_ok(const struct skymon_plugin *plugin, struct err *err)
{
	bool routes = plugin->routes != NULL && plugin->routes[0] != NULL;
	if ((plugin->flags & ~(uint32_t)FLAGS_KNOWN) != 0)
		return err_set(err, "flags has bits that this skymon does not know: %#x", plugin->flags);
	if ((plugin->flags & SKYMON_IN_DAEMON) != 0) {
		if (!routes)
			return err_set(err, "it is SKYMON_IN_DAEMON and has no routes");
		for (size_t i = 0; plugin->routes[i] != NULL; i++)
			if (plugin->routes[i]->flags & SKYMON_ROUTE_HEALTH)
				return err_set(err, "it is SKYMON_IN_DAEMON, so no component stands behind "
						    "its SKYMON_ROUTE_HEALTH");
		return (plugin->check == NULL && plugin->begin == NULL && plugin->secret == NULL &&
			plugin->validate == NULL) ||
		       err_set(err, "it is SKYMON_IN_DAEMON, so it may have routes only: no check, "
				    "begin, secret or validate");
	}
	if ((plugin->begin == NULL) != (plugin->cancel == NULL))
		return err_set(err, "it has %s",
			       plugin->begin != NULL ? "begin without cancel" : "cancel without begin");
	if (plugin->begin != NULL && (plugin->check != NULL || routes || plugin->secret != NULL))
		return err_set(err, "it has begin, so it may have neither a check nor routes nor secret");
	if (plugin->check != NULL || plugin->begin != NULL)
		return true;
	return err_set(err, routes ? "it has routes in a worker and no check: such a plugin needs a check"
				   : "it has neither a check nor routes");
}

/* Copies the plugin's declaration, at today's size, with tables that the caller owns. */
static bool take_all(const struct skymon_plugin *from, struct skymon_plugin *to, struct err *err)
{
	if (from->version == NULL || from->summary == NULL)
		return err_set(err, "it has no version or no summary");
	if (from->state_size > STATE_MAX || from->shared_size > STATE_MAX)
		return err_set(err, "state_size or shared_size is above %u", STATE_MAX);
	return take_options(from, to, err) && take_numbers(from, to, err) && take_routes(from, to, err) &&
	       roles_ok(to, err);
}

bool plugin_open(const char *path, int copy, struct skymon_plugin *out, struct err *err)
{
	size_t symbol_size = 0;
	const struct skymon_plugin *found = find_symbol(path, copy, &symbol_size, err);
	*out = (struct skymon_plugin){0};
	if (found == NULL || !abi_ok(path, found, symbol_size, err))
		return false;
	struct skymon_plugin own = {0};
	memcpy(&own, found, found->size < sizeof(own) ? found->size : sizeof(own));
	own.size = sizeof(own);
	if (own.name == NULL || !name_is_plugin(own.name) || !name_matches(path, own.name))
		return err_set(
			err, "plugin %s names itself \"%.80s\": file and descriptor must have the same name",
			path, own.name != NULL ? own.name : "");
	*out = own;
	out->options = NULL;
	out->numbers = NULL;
	out->routes = NULL;
	if (take_all(&own, out, err))
		return true;
	plugin_close(out);
	return err_prefix(err, "plugin %s: ", path);
}

static void free_options(const struct skymon_option *options)
{
	for (const struct skymon_option *at = options; at != NULL && at->name != NULL; at++)
		free_options(at->item);
	free((void *)(uintptr_t)options);
}

void plugin_close(struct skymon_plugin *plugin)
{
	for (size_t i = 0; plugin->routes != NULL && plugin->routes[i] != NULL; i++)
		free((void *)(uintptr_t)plugin->routes[i]);
	free((void *)(uintptr_t)plugin->routes);
	free((void *)(uintptr_t)plugin->numbers);
	free_options(plugin->options);
	*plugin = (struct skymon_plugin){0};
}
