/* SPDX-License-Identifier: Apache-2.0 */
/* --config-schema: prints the JSON Schema of the config, with the options of all plugins that are installed or
 * in the config's plugin_path. Called by main on the main thread, and owns all that it needs until it
 * returns. Each plugin is opened in a worker, so that a bad one does no harm here. */
#include "daemon_schema.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "board/component.h"
#include "supervisor/pool.h"

static void on_opened(void *arg)
{
	loop_stop(arg);
}

static void print_schema(const struct pool *pool, char *const *names, size_t count)
{
	const struct plugin_info **infos = x_alloc((count + 1) * sizeof(*infos));
	struct buf out = {0};
	size_t usable = 0;
	for (size_t i = 0; i < count; i++) {
		const char *why;
		infos[usable] = pool_info(pool, names[i], &why);
		if (infos[usable] != NULL)
			usable++;
		else
			log_warn("plugin %s cannot be used, and is not in the schema: %s", names[i], why);
	}
	component_schema(infos, usable, &out);
	fputs(out.data, stdout);
	buf_free(&out);
	free(infos);
}

bool daemon_print_schema(const char *config_path, const char *worker_program)
{
	struct loop *loop = loop_new();
	if (loop == NULL)
		return false;
	/* The config may well have mistakes, which the schema helps to find; its plugin_path alone is used. */
	struct config config;
	struct err_list errs = {0};
	(void)!config_load(config_path, config_environment, &config, &errs);
	struct settings *settings = settings_read(&config, config_environment, &errs);
	err_list_free(&errs);
	size_t count;
	char **names = plugin_list(settings->plugin_folders, settings->plugin_folder_count, &count);
	struct pool *pool = pool_new(loop, worker_program, NULL);
	pool_prepare(pool, names, count, settings->plugin_folders, settings->plugin_folder_count, on_opened,
		     loop);
	loop_run(loop);
	print_schema(pool, names, count);
	pool_free(pool);
	for (size_t i = 0; i < count; i++)
		free(names[i]);
	free(names);
	settings_free(settings);
	loop_free(loop);
	return true;
}
