/* SPDX-License-Identifier: Apache-2.0 */
/* The effective top level as YAML that reads back the same, secrets masked. */
#include <string.h>

#include "settings_private.h"

static void line_text(struct buf *out, int indent, const char *key, const char *text)
{
	buf_printf(out, "%*s%s: ", indent, "", key);
	option_text_print(text, out);
	buf_text(out, "\n");
}

static void line_quantity(struct buf *out, const char *key, double value, int32_t type)
{
	char text[64];
	option_number_text(type, value, text);
	buf_printf(out, "  %s: %s\n", key, text);
}

static void texts(struct buf *out, char *const *items, size_t count)
{
	buf_text(out, "[");
	for (size_t i = 0; i < count; i++) {
		buf_text(out, i > 0 ? ", " : "");
		option_text_print(items[i], out);
	}
	buf_text(out, "]\n");
}

static void print_listens(const struct settings *s, struct buf *out)
{
	buf_text(out, "listen:\n");
	for (size_t i = 0; i < s->listen_count; i++) {
		const struct settings_listen *listen = &s->listens[i];
		buf_text(out, "  - address: ");
		option_text_print(listen->text, out);
		buf_text(out, "\n");
		if (listen->cert_file != NULL) {
			buf_text(out, "    tls:\n");
			line_text(out, 6, "cert_file", listen->cert_file);
			line_text(out, 6, "key_file", listen->key_file);
			if (listen->client_ca_file != NULL)
				line_text(out, 6, "client_ca_file", listen->client_ca_file);
			if (listen->client_crl_file != NULL)
				line_text(out, 6, "client_crl_file", listen->client_crl_file);
			if (listen->client_name_count > 0) {
				buf_text(out, "      client_names: ");
				texts(out, listen->client_names, listen->client_name_count);
			}
		}
		if (listen->route_count > 0) {
			buf_text(out, "    routes: ");
			texts(out, listen->routes, listen->route_count);
		}
	}
}

static void print_service(const struct settings *s, struct buf *out)
{
	buf_text(out, "service:\n");
	line_text(out, 2, "name", s->service);
	line_text(out, 2, "title", s->title);
	line_text(out, 2, "version", s->service_version);
	line_text(out, 2, "environment", s->environment);
	buf_text(out, "  metrics:\n");
	for (size_t i = 0; i < s->source_count; i++)
		if (s->sources[i].component != NULL)
			line_text(out, 4, s->sources[i].key, s->sources[i].component);
}

static void print_limits(const struct settings *s, struct buf *out)
{
	buf_text(out, "limits:\n");
	line_quantity(out, "worker_memory", (double)s->worker_memory, SKYMON_BYTES);
	line_quantity(out, "request_body", (double)s->request_body, SKYMON_BYTES);
	buf_printf(out, "  connections: %u\n  connections_per_address: %u\n", s->connections,
		   s->connections_per_address);
	buf_printf(out, "  checks_at_once: %u\n  checks_per_address: %u\n  series: %u\n", s->checks_at_once,
		   s->checks_per_address, s->series);
	line_quantity(out, "header_timeout", (double)s->header_timeout_ms, SKYMON_DURATION);
	line_quantity(out, "idle_timeout", (double)s->idle_timeout_ms, SKYMON_DURATION);
}

void settings_print(const struct settings *s, struct buf *out)
{
	print_listens(s, out);
	print_service(s, out);
	print_limits(s, out);
	if (s->access) {
		buf_text(out, "access:\n");
		option_values_print(s->values, 2, out);
	}
	buf_text(out, "plugin_path: ");
	texts(out, s->plugin_paths, s->plugin_path_count - 1);
	if (s->isolation_strict)
		line_text(out, 0, "isolation", "strict");
	if (s->user != NULL)
		line_text(out, 0, "user", s->user);
	if (s->state_dir[0] != '\0')
		line_text(out, 0, "state_dir", s->state_dir);
	buf_text(out, "server_names: ");
	texts(out, s->server_names, s->server_name_count);
	buf_text(out, "local_users: ");
	texts(out, s->local_users, s->local_user_count);
	buf_printf(out, "ready:\n  follow: %s\n", s->ready_follows_self ? "self" : "components");
	buf_text(out, "shutdown:\n");
	line_quantity(out, "drain", (double)s->drain_ms, SKYMON_DURATION);
	line_quantity(out, "timeout", (double)s->shutdown_timeout_ms, SKYMON_DURATION);
	buf_printf(out, "log:\n  level: %s\n  format: %s\n", log_level_words[s->log_level],
		   s->log_format == LOG_FORMAT_JSON ? "json" : "logfmt");
}
