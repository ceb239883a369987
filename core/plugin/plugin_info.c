/* SPDX-License-Identifier: Apache-2.0 */
/* A plugin's declaration on the wire: encoded by skymon-worker for its hello, decoded and validated by the
 * daemon and the tool. Decoded texts belong to the struct. */
#include "plugin.h"

#include <stdlib.h>
#include <string.h>

#include "base/names.h"

bool plugin_declares(const struct skymon_number *declared, const char *name)
{
	size_t size = strlen(declared->name);
	if (strcmp(declared->name, name) == 0)
		return true;
	return declared->name[size - 1] == '_' && strncmp(declared->name, name, size) == 0;
}

void plugin_info_encode(const struct skymon_plugin *plugin, const char *build_id, struct buf *body)
{
	uint32_t numbers = 0, routes = 0;
	wire_put_text(body, plugin->name);
	wire_put_text(body, plugin->version);
	wire_put_text(body, plugin->summary);
	wire_put_text(body, build_id);
	wire_put_u32(body, plugin->abi_major);
	wire_put_u32(body, plugin->abi_minor);
	wire_put_u32(body, plugin->flags);
	wire_put_u32(body, plugin->interval_ms);
	wire_put_u32(body, plugin->timeout_ms);
	wire_put_u8(body, plugin->check != NULL || plugin->begin != NULL);
	wire_put_u8(body, plugin->begin != NULL);
	wire_put_u8(body, plugin->secret != NULL);
	wire_put_u8(body, plugin->validate != NULL);
	option_table_encode(plugin->options, plugin->option_size, body);
	while (plugin->numbers[numbers].name != NULL)
		numbers++;
	wire_put_u32(body, numbers);
	for (uint32_t i = 0; i < numbers; i++) {
		wire_put_text(body, plugin->numbers[i].name);
		wire_put_text(body, plugin->numbers[i].unit);
		wire_put_text(body, plugin->numbers[i].help);
	}
	while (plugin->routes[routes] != NULL)
		routes++;
	wire_put_u32(body, routes);
	for (uint32_t i = 0; i < routes; i++) {
		const struct skymon_route *route = plugin->routes[i];
		wire_put_text(body, route->method);
		wire_put_text(body, route->path);
		wire_put_text(body, route->name);
		wire_put_text(body, route->summary);
		wire_put_u32(body, route->flags);
	}
}

/* A text of at most max bytes, copied. */
static char *get_copy(struct wire_reader *in, size_t max)
{
	const char *text = wire_get_text_or_empty(in);
	in->bad = in->bad || strlen(text) > max;
	return x_strdup(text);
}

static void get_numbers(struct wire_reader *in, struct plugin_info *info)
{
	uint32_t count = wire_get_count(in, 3 * sizeof(uint32_t));
	in->bad = in->bad || count > RESULT_NUMBERS_MAX;
	count = in->bad ? 0 : count;
	info->numbers = x_alloc((count + 1) * sizeof(*info->numbers));
	for (; info->number_count < count && !in->bad; info->number_count++) {
		struct skymon_number *number = &info->numbers[info->number_count];
		number->name = get_copy(in, 100);
		number->unit = get_copy(in, 100);
		number->help = get_copy(in, 2000);
		in->bad = in->bad || !label_name_ok(number->name);
	}
}

static void get_routes(struct wire_reader *in, struct plugin_info *info)
{
	uint32_t count = wire_get_count(in, 5 * sizeof(uint32_t));
	in->bad = in->bad || count > PLUGIN_ROUTES_MAX;
	count = in->bad ? 0 : count;
	info->routes = x_alloc((count + 1) * sizeof(*info->routes));
	for (; info->route_count < count && !in->bad; info->route_count++) {
		struct skymon_route *route = &info->routes[info->route_count];
		route->size = sizeof(*route);
		route->method = get_copy(in, 20);
		route->path = get_copy(in, 1000);
		route->name = get_copy(in, 64);
		route->summary = get_copy(in, 2000);
		route->flags = wire_get_u32(in);
		in->bad = in->bad || route->path[0] != '/' || !name_is_plugin(route->name);
	}
}

static bool get_head(struct wire_reader *in, struct plugin_info *info)
{
	info->name = get_copy(in, 64);
	info->version = get_copy(in, 100);
	info->summary = get_copy(in, 2000);
	info->build_id = get_copy(in, 100);
	uint32_t major = wire_get_u32(in), minor = wire_get_u32(in);
	info->abi_major = (uint16_t)major;
	info->abi_minor = (uint16_t)minor;
	info->flags = wire_get_u32(in);
	info->interval_ms = wire_get_u32(in);
	info->timeout_ms = wire_get_u32(in);
	info->has_check = wire_get_u8(in) != 0;
	info->on_loop = wire_get_u8(in) != 0;
	info->has_secret = wire_get_u8(in) != 0;
	info->has_validate = wire_get_u8(in) != 0;
	return !in->bad && name_is_plugin(info->name) && major <= UINT16_MAX && minor <= UINT16_MAX;
}

struct plugin_info *plugin_info_decode(struct wire_reader *in, struct err *err)
{
	struct plugin_info *info = x_alloc(sizeof(*info));
	if (!get_head(in, info)) {
		err_set(err, "a hello that is malformed");
		plugin_info_free(info);
		return NULL;
	}
	info->options = option_table_decode(in, err);
	if (info->options == NULL) {
		plugin_info_free(info);
		return NULL;
	}
	get_numbers(in, info);
	get_routes(in, info);
	if (wire_end(in))
		return info;
	err_set(err, "a hello with malformed numbers or routes");
	plugin_info_free(info);
	return NULL;
}

static void drop(const char *text)
{
	free((char *)(uintptr_t)text);
}

void plugin_info_free(struct plugin_info *info)
{
	if (info == NULL)
		return;
	free(info->name);
	free(info->version);
	free(info->summary);
	free(info->build_id);
	option_table_free(info->options);
	for (size_t i = 0; info->numbers != NULL && info->numbers[i].name != NULL; i++) {
		drop(info->numbers[i].name);
		drop(info->numbers[i].unit);
		drop(info->numbers[i].help);
	}
	for (size_t i = 0; info->routes != NULL && info->routes[i].method != NULL; i++) {
		drop(info->routes[i].method);
		drop(info->routes[i].path);
		drop(info->routes[i].name);
		drop(info->routes[i].summary);
	}
	free(info->numbers);
	free(info->routes);
	free(info);
}
