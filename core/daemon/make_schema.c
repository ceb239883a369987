/* SPDX-License-Identifier: Apache-2.0 */
/* make_schema PLUGIN.so…: prints the JSON Schema of the config for the build, which installs it. The plugins
 * are those that were just built, and are opened in this process: skymond --config-schema opens any others.
 * Not installed. On the main thread. */
#include <stdio.h>
#include <stdlib.h>

#include "board/component.h"

/* The declaration as it comes from a worker, so that both ways print the same. */
static struct plugin_info *read_plugin(const char *path)
{
	struct skymon_plugin plugin;
	struct plugin_info *info = NULL;
	struct buf hello = {0};
	struct err err;
	if (plugin_open(path, -1, &plugin, &err)) {
		plugin_info_encode(&plugin, skymon_build_id, &hello);
		plugin_close(&plugin);
		struct wire_reader in = wire_reader(hello.data, hello.size);
		info = plugin_info_decode(&in, &err);
	}
	buf_free(&hello);
	if (info == NULL)
		fprintf(stderr, "make_schema: %s\n", err.text);
	return info;
}

int main(int argc, char **argv)
{
	struct plugin_info **infos = x_alloc((size_t)argc * sizeof(*infos));
	size_t count = 0, wanted = (size_t)argc - 1;
	struct buf out = {0};
	while (count < wanted && (infos[count] = read_plugin(argv[count + 1])) != NULL)
		count++;
	if (count == wanted) {
		component_schema((const struct plugin_info *const *)infos, count, &out);
		fputs(out.data, stdout);
	}
	buf_free(&out);
	for (size_t i = 0; i < count; i++)
		plugin_info_free(infos[i]);
	free(infos);
	return count == wanted && fflush(stdout) == 0 ? 0 : 1;
}
