/* SPDX-License-Identifier: Apache-2.0 */
/* The simulated plugins: what their files declare, and plugin_find and its like in place of the core's
 * (--wrap). A file that a reload replaces has another generation, and another descriptor. Called by the pool
 * and sim_send.c. */
#include "sim_worker.h"

#include <string.h>

const char *const sim_names[NAMES] = {"store", "a", "b", "c", "d", "e"};
const char *const sim_plugins[PLUGINS] = {"vault", "plain", "routes"};
struct file sim_files[PLUGINS];

struct options {
	const char *url, *file;
	struct skymon_secret password, token;
};
const struct skymon_option sim_options[] = {
	SKYMON_OPT(struct options, url, "", "server", .flags = SKYMON_TARGET),
	SKYMON_OPT(struct options, file, "", "a file that is read", .flags = SKYMON_PATH_READ),
	SKYMON_OPT(struct options, password, NULL, "from a variable"),
	SKYMON_OPT(struct options, token, NULL, "from the store"),
	{0},
};
static enum skymon_status check(struct skymon *sm, void *state)
{
	(void)sm;
	(void)state;
	return SKYMON_HEALTHY;
}
static void validate(struct skymon *sm, const void *state)
{
	(void)sm;
	(void)state;
}
static void keep(struct skymon *sm, void *state, struct skymon_ask *ask)
{
	(void)sm;
	(void)state;
	(void)ask;
}
static const struct skymon_route route = {
	.size = sizeof(route), .method = "GET", .path = "/r", .name = "r", .summary = "r"};
static const struct skymon_route *const routes[] = {&route, NULL}, *const no_routes[] = {NULL};
static const struct skymon_number no_numbers[] = {{0}};

#define PLUGIN_OF(...)                                                                                       \
	{                                                                                                    \
		.abi_major = SKYMON_ABI_MAJOR, .abi_minor = SKYMON_ABI_MINOR, .version = "1",                \
		.summary = "s", .option_size = sizeof(struct skymon_option),                                 \
		.number_size = sizeof(struct skymon_number), .options = sim_options, .numbers = no_numbers,  \
		.check = check, __VA_ARGS__                                                                  \
	}
static const struct skymon_plugin plugins[PLUGINS] = {
	PLUGIN_OF(.name = "vault", .secret = keep, .routes = no_routes),
	PLUGIN_OF(.name = "plain", .routes = no_routes),
	PLUGIN_OF(.name = "routes", .routes = routes, .validate = validate),
};

struct plugin_info *worker_info(int plugin)
{
	struct buf body = {0};
	plugin_info_encode(&plugins[plugin], SKYMON_BUILD_ID, &body);
	struct wire_reader in = wire_reader(body.data, body.size);
	struct err err;
	struct plugin_info *info = plugin_info_decode(&in, &err);
	buf_free(&body);
	if (info == NULL)
		sim_fail("the simulated plugin is wrong: %s", err.text);
	return info;
}

static int plugin_of(const char *name)
{
	int plugin = 0;
	while (strcmp(sim_plugins[plugin], name) != 0)
		plugin++;
	return plugin;
}

static int files_open;

int sim_files_open(void)
{
	return files_open;
}

int __real_close(int fd);
int __wrap_close(int fd);
int __wrap_close(int fd)
{
	files_open -= fd >= SIM_FD_FIRST;
	return fd >= SIM_FD_FIRST ? 0 : __real_close(fd);
}

char *__wrap_plugin_find(const char *name, const char *const *folders, size_t count, struct err *err);
char *__wrap_plugin_find(const char *name, const char *const *folders, size_t count, struct err *err)
{
	(void)folders;
	(void)count;
	(void)err;
	return x_strdup(name);
}

int __wrap_plugin_file_open(const char *path, struct plugin_mark *mark, struct err *err);
int __wrap_plugin_file_open(const char *path, struct plugin_mark *mark, struct err *err)
{
	int plugin = plugin_of(path);
	files_open++;
	(void)err;
	*mark = (struct plugin_mark){.inode = sim_files[plugin].generation};
	return SIM_FD_FIRST + plugin + PLUGINS * (int)sim_files[plugin].generation;
}

bool __wrap_plugin_file_same(const char *path, const struct plugin_mark *mark);
bool __wrap_plugin_file_same(const char *path, const struct plugin_mark *mark)
{
	return mark->inode == sim_files[plugin_of(path)].generation;
}
