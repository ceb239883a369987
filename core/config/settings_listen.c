/* SPDX-License-Identifier: Apache-2.0 */
/* listen: where the daemon answers. */
#include "settings.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "settings_private.h"

void settings_listen_free(struct settings_listen *listen)
{
	free(listen->text);
	free(listen->host);
	free(listen->unix_path);
	free(listen->cert_file);
	free(listen->key_file);
	free(listen->client_ca_file);
	free(listen->client_crl_file);
	for (size_t i = 0; i < listen->client_name_count; i++)
		free(listen->client_names[i]);
	free(listen->client_names);
	for (size_t i = 0; i < listen->route_count; i++)
		free(listen->routes[i]);
	free(listen->routes);
	*listen = (struct settings_listen){0};
}

static bool parse_port(const char *text, uint16_t *port)
{
	size_t digits = strspn(text, "0123456789");
	unsigned long number = digits > 0 && digits <= 5 ? strtoul(text, NULL, 10) : 65536;
	*port = (uint16_t)number;
	return text[digits] == '\0' && number <= 65535;
}

/* "localhost" is the one name that needs no resolver. "*" is kept: both families. */
static char *parse_host(const char *text, size_t size)
{
	unsigned char address[sizeof(struct in6_addr)];
	bool brackets = size >= 2 && text[0] == '[' && text[size - 1] == ']';
	char *host = brackets ? x_strndup(text + 1, size - 2) : x_strndup(text, size);
	if (!brackets && (size == 0 || strcmp(host, "*") == 0 || strcmp(host, "localhost") == 0)) {
		bool local = strcmp(host, "localhost") == 0;
		free(host);
		return x_strdup(local ? "127.0.0.1" : "*");
	}
	if (inet_pton(brackets ? AF_INET6 : AF_INET, host, address) == 1)
		return host;
	free(host);
	return NULL;
}

static bool parse_unix(const char *path, struct settings_listen *out, struct err *err)
{
	if (path[0] != '/')
		return err_set(err, "`unix:%.200s` must be an absolute path: unix:/run/skymon/http.sock",
			       path);
	if (strlen(path) >= sizeof(((struct sockaddr_un *)0)->sun_path))
		return err_set(err, "`unix:%.200s` is too long for a Unix socket (107 bytes)", path);
	out->unix_path = x_strdup(path);
	out->text = x_printf("unix:%s", path);
	return true;
}

bool settings_listen_parse(const char *text, struct settings_listen *out, struct err *err)
{
	*out = (struct settings_listen){0};
	if (strncmp(text, "unix:", 5) == 0)
		return parse_unix(text + 5, out, err);
	const char *colon = strrchr(text, ':');
	uint16_t port = 0;
	if (colon == NULL || (strchr(text, ':') != colon && text[0] != '[') || !parse_port(colon + 1, &port))
		return err_set(err,
			       "`%.100s` is no address to listen on: write 0.0.0.0:8080, [::]:8443, :8080 or "
			       "unix:/path",
			       text);
	char *host = parse_host(text, (size_t)(colon - text));
	if (host == NULL)
		return err_set(err,
			       "`%.*s` is no numeric address: write 127.0.0.1, 0.0.0.0, [::] or localhost",
			       (int)(colon - text) < 100 ? (int)(colon - text) : 100, text);
	*out = (struct settings_listen){.text = x_strdup(text), .host = host, .port = port};
	return true;
}

/* ---- From the config ---- */

struct entry {
	const char *address;
	struct skymon_texts routes;
};
struct entry_tls {
	const char *cert_file, *key_file, *client_ca_file, *client_crl_file;
	struct skymon_texts client_names;
};

static const struct skymon_option entry_table[] = {
	SKYMON_OPT(struct entry, address, NULL, "where to listen", .flags = SKYMON_REQUIRED),
	SKYMON_OPT(struct entry, routes, NULL, "the routes that are served here; left out: all"),
	{0}};
static const struct skymon_option tls_table[] = {
	SKYMON_OPT(struct entry_tls, cert_file, NULL, "certificate (PEM)", .flags = SKYMON_REQUIRED),
	SKYMON_OPT(struct entry_tls, key_file, NULL, "its key (PEM)", .flags = SKYMON_REQUIRED),
	SKYMON_OPT(struct entry_tls, client_ca_file, NULL,
		   "clients need a certificate of one of these (PEM)"),
	SKYMON_OPT(struct entry_tls, client_crl_file, NULL, "certificates that these have revoked (PEM)"),
	SKYMON_OPT(struct entry_tls, client_names, NULL,
		   "names (SAN, or CN where there is none) of which a client's certificate needs one"),
	{0}};

static bool parse_at(struct binding *b, const struct config_node *node, const char *text,
		     struct settings_listen *out)
{
	struct err err;
	if (settings_listen_parse(text, out, &err))
		return true;
	config_error(b->errs, node, "%s", err.text);
	return false;
}

static void read_tls(struct binding *b, const struct config_node *node, struct settings_listen *out)
{
	struct entry_tls tls = {0};
	if (node == NULL || node->kind == CONFIG_EMPTY)
		return;
	struct option_values *values = settings_bind(b, tls_table, node, NULL, "`tls` of listen", &tls);
	if (values == NULL)
		return;
	out->cert_file = x_strdup(tls.cert_file);
	out->key_file = x_strdup(tls.key_file);
	out->client_ca_file = x_strdup(tls.client_ca_file);
	out->client_crl_file = x_strdup(tls.client_crl_file);
	out->client_names = settings_texts(&tls.client_names, &out->client_name_count);
	if (tls.client_ca_file == NULL && (tls.client_crl_file != NULL || tls.client_names.count > 0))
		config_error(
			b->errs, node,
			"client_crl_file and client_names need client_ca_file: without it no client is asked "
			"for a certificate");
	option_values_free(values);
}

static bool read_entry(struct binding *b, const struct config_node *node, struct settings_listen *out)
{
	static const char *const also[] = {"tls", NULL};
	struct entry entry = {0};
	if (node->kind == CONFIG_SCALAR)
		return parse_at(b, node, node->text, out);
	if (node->kind != CONFIG_MAP) {
		config_error(b->errs, node,
			     "`listen` must be an address, a map with `address`, or a list of these");
		return false;
	}
	struct option_values *values = settings_bind(b, entry_table, node, also, "listen", &entry);
	const struct config_node *address = config_value(node, "address");
	bool ok = values != NULL && parse_at(b, address, entry.address, out);
	if (ok)
		out->routes = settings_texts(&entry.routes, &out->route_count);
	option_values_free(values);
	read_tls(b, config_value(node, "tls"), out);
	out->place = node;
	if (!ok)
		settings_listen_free(out);
	return ok;
}

/* Two wildcards of one port meet only where they share a family: 0.0.0.0 and [::] do not. */
static bool is_same_place(const struct settings_listen *a, const struct settings_listen *b)
{
	if (strcmp(a->text, b->text) == 0)
		return a->unix_path != NULL || a->port != 0;
	if (a->unix_path != NULL || b->unix_path != NULL || a->port != b->port || a->port == 0)
		return false;
	bool any_a = strcmp(a->host, "*") == 0, any_b = strcmp(b->host, "*") == 0;
	return strcmp(a->host, b->host) == 0 || any_a || any_b;
}

static void add_listen(struct binding *b, const struct config_node *node)
{
	struct settings *s = b->settings;
	struct settings_listen listen = {0};
	if (!read_entry(b, node, &listen))
		return;
	for (size_t i = 0; i < s->listen_count; i++)
		if (is_same_place(&s->listens[i], &listen)) {
			config_error(b->errs, node, "`%.100s` is listened on twice", listen.text);
			settings_listen_free(&listen);
			return;
		}
	s->listens = x_realloc(s->listens, (s->listen_count + 1) * sizeof(listen));
	s->listens[s->listen_count++] = listen;
}

void settings_read_listens(struct binding *b)
{
	static const struct config_node standard = {.kind = CONFIG_SCALAR, .text = ":8080"};
	const struct config_node *node = config_value(b->root, "listen");
	bool list = node != NULL && node->kind == CONFIG_LIST && node->count > 0;
	if (node == NULL || node->kind == CONFIG_EMPTY || (node->kind == CONFIG_LIST && !list))
		node = &standard;
	for (size_t i = 0; i < (list ? node->count : 1); i++)
		add_listen(b, list ? node->items[i] : node);
}
