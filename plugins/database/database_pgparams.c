/* SPDX-License-Identifier: Apache-2.0 */
/* database_pgparams: builds libpq's parameters from the URL, the options and the resolver. They cover
 * everything that libpq would otherwise look up: addresses (getaddrinfo() cannot be interrupted), the
 * password file, the certificates of the home folder. Called by database_pgconn on the check's thread, and at
 * the component's start and stop on the worker's main thread. Owns struct pg. */
#ifdef HAVE_LIBPQ
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "database_postgres.h"
#include <skymon/net.h>
#include <skymon/tls.h>

#define NO_FILE "/dev/null/none" /* cannot exist: keeps libpq from its default files */

const char *pg_given(const struct pg *pg, const char *name)
{
	for (const PQconninfoOption *at = pg->parsed; at->keyword != NULL; at++)
		if (strcmp(at->keyword, name) == 0)
			return at->val != NULL && at->val[0] != '\0' ? at->val : NULL;
	return NULL;
}

/* ---- The URL ---- */

static void set_place(struct pg *pg)
{
	const char *host = pg_given(pg, "host"), *port = pg_given(pg, "port"), *db = pg_given(pg, "dbname");
	const char *slash = db != NULL ? "/" : "";
	if (host == NULL)
		host = pg_given(pg, "hostaddr");
	if (db == NULL)
		db = "";
	if (port == NULL)
		port = "5432";
	if (host == NULL)
		snprintf(pg->place, sizeof(pg->place), "local socket:%.20s%s%.80s", port, slash, db);
	else if (strchr(host, ',') != NULL)
		snprintf(pg->place, sizeof(pg->place), "%.150s%s%.80s", host, slash, db);
	else
		snprintf(pg->place, sizeof(pg->place),
			 strchr(host, ':') != NULL ? "[%.150s]:%.20s%s%.80s" : "%.150s:%.20s%s%.80s", host,
			 port, slash, db);
}

struct pg *pg_new(struct skymon *sm, const struct database *db)
{
	struct pg *pg = calloc(1, sizeof(*pg));
	char room[300];
	const char *wrong = pg != NULL ? pg_url_parse(db->url, &pg->parsed, room, sizeof(room)) : NULL;
	if (pg == NULL || wrong != NULL) {
		skymon_unknown(sm, "%s%s", wrong != NULL ? "url " : "out of memory",
			       wrong != NULL ? wrong : "");
		free(pg);
		return NULL;
	}
	pg->password = db->password.bytes != NULL && db->password.size > 0 ? db->password.bytes
									   : pg_given(pg, "password");
	set_place(pg);
	return pg;
}

void pg_free(struct pg *pg)
{
	if (pg == NULL)
		return;
	pg_drop(pg);
	if (pg->keeps_in != NULL)
		atomic_fetch_sub(&pg->keeps_in->kept, 1);
	PQconninfoFree(pg->parsed);
	free(pg);
}

/* ---- Parameters of one attempt ---- */

static void add_param(struct pg_params *params, const char *name, const char *value)
{
	if (value == NULL || value[0] == '\0' || params->count >= PG_PARAMS_MAX)
		return;
	params->names[params->count] = name;
	params->values[params->count++] = value;
	params->names[params->count] = params->values[params->count] = NULL;
}

static void add_unless_given(struct pg_params *params, const struct pg *pg, const char *name,
			     const char *value)
{
	if (pg_given(pg, name) == NULL)
		add_param(params, name, value);
}

static bool is_local(const struct pg_target *target)
{
	const char *where = target->address[0] != '\0' ? target->address : target->host;
	return where[0] == '\0' || where[0] == '@' || skymon_net_host_is_local(where);
}

/* sslmode comes from the URL, else from the tls block, else it is verify-full to other machines and libpq's
 * `prefer` on this one. Without ca_file the system's authorities are used, since libpq would look into the
 * home folder; libpq 16 calls them `system`. */
static void add_tls(struct pg_params *params, const struct pg *pg, const struct skymon_tls *tls)
{
	bool block = tls->ca_file != NULL || tls->cert_file != NULL || tls->key_file != NULL ||
		     tls->server_name != NULL;
	const char *mode = pg_given(pg, "sslmode");
	const char *system = skymon_tls_system_file();
	params->by_default = mode == NULL && !block && !tls->insecure && !params->is_local;
	if (mode == NULL && tls->insecure)
		add_param(params, "sslmode", mode = "require");
	else if (mode == NULL && (block || params->by_default))
		add_param(params, "sslmode", mode = "verify-full");
	params->verifies = mode != NULL && strcmp(mode, "verify-full") == 0;
	if (mode != NULL && strncmp(mode, "verify", 6) == 0)
		add_unless_given(params, pg, "sslrootcert",
				 tls->ca_file != NULL                           ? tls->ca_file
				 : params->verifies && PQlibVersion() >= 160000 ? "system"
				 : system != NULL                               ? system
										: NO_FILE);
	else
		add_unless_given(params, pg, "sslrootcert", NO_FILE);
	add_unless_given(params, pg, "sslcert", tls->cert_file != NULL ? tls->cert_file : NO_FILE);
	add_unless_given(params, pg, "sslkey",
			 tls->key_file != NULL    ? tls->key_file
			 : tls->cert_file != NULL ? tls->cert_file
						  : NO_FILE);
	add_unless_given(params, pg, "sslcrl", NO_FILE);
}

/* A password is sent in clear only to this machine, to a verified server, or where `insecure` allows it. */
static void protect_password(struct pg_params *params, const struct pg *pg, const struct skymon_tls *tls)
{
	bool allowed = params->is_local || params->verifies || tls->insecure || pg->password == NULL;
	if (!allowed && PQlibVersion() >= 160000)
		add_unless_given(params, pg, "require_auth", "!password");
	params->hides_password = !allowed && PQlibVersion() < 160000;
}

/* libpq silently connects without a client certificate whose file is missing; a configured one must be used.
 */
bool pg_files_are_there(const struct skymon_tls *tls, struct pg_fault *fault)
{
	const char *const files[] = {tls->ca_file, tls->cert_file, tls->key_file};
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		if (files[i] != NULL && access(files[i], R_OK) != 0) {
			pg_fault_set(fault, SKYMON_TLS_OTHER, "cannot read %.200s: %s", files[i],
				     strerror(errno));
			fault->is.status = SKYMON_UNKNOWN;
			return false;
		}
	return true;
}

static void add_given(struct pg_params *params, const struct pg *pg)
{
	static const char *const ours[] = {
		"host", "hostaddr", "port", "password", "connect_timeout", "target_session_attrs", NULL};
	for (const PQconninfoOption *at = pg->parsed; at->keyword != NULL; at++) {
		size_t i = 0;
		while (ours[i] != NULL && strcmp(at->keyword, ours[i]) != 0)
			i++;
		if (ours[i] == NULL && strcmp(at->keyword, "client_encoding") != 0)
			add_param(params, at->keyword, at->val);
	}
}

void pg_params_fill(struct pg_params *params, const struct pg *pg, const struct database *db,
		    const struct pg_target *target, const char *attributes, const char *user_timeout)
{
	add_given(params, pg);
	/* With hostaddr, libpq uses host only as the name to verify. */
	add_param(params, "host",
		  target->address[0] != '\0' && db->tls.server_name != NULL ? db->tls.server_name
									    : target->host);
	add_param(params, "hostaddr", target->address);
	add_param(params, "port", target->port[0] != '\0' ? target->port : "5432");
	add_param(params, "password", pg->password);
	add_param(params, "target_session_attrs", attributes);
	add_param(params, "client_encoding", "UTF8");
	add_unless_given(params, pg, "application_name", "skymon");
	add_unless_given(params, pg, "passfile", NO_FILE);
	add_unless_given(params, pg, "gssencmode", "disable");
	/* A firewall may have dropped a kept connection silently: let the kernel notice in time to reconnect.
	 */
	add_unless_given(params, pg, "tcp_user_timeout", user_timeout);
	params->is_local = is_local(target);
	add_tls(params, pg, &db->tls);
	protect_password(params, pg, &db->tls);
}

/* ---- Targets ---- */

/* Copies the nth item of a comma-separated list, or the only item; empty if missing. */
static void copy_item(const char *list, size_t nth, char *out, size_t size)
{
	out[0] = '\0';
	if (list == NULL)
		return;
	if (strchr(list, ',') != NULL)
		for (; nth > 0; nth--, list++) {
			list += strcspn(list, ",");
			if (*list == '\0')
				return;
		}
	size_t length = strcspn(list, ",");
	if (length >= size)
		length = size - 1;
	memcpy(out, list, length);
	out[length] = '\0';
}

static size_t count_items(const char *list)
{
	size_t count = 1;
	for (; list != NULL && *list != '\0'; list++)
		count += *list == ',';
	return count;
}

static void add_target(struct pg_targets *targets, const struct pg_target *target)
{
	if (targets->count < PG_TARGETS_MAX)
		targets->items[targets->count++] = *target;
}

size_t pg_host_count(const struct pg *pg)
{
	size_t count = count_items(pg_given(pg, "host")), more = count_items(pg_given(pg, "hostaddr"));
	return count > more ? count : more;
}

/* Moves the address that accepts a connection first to the front: libpq would wait for a silent one until its
 * timeout. The probe is closed without sending a byte, which PostgreSQL does not log. */
static void sort_targets(struct skymon *sm, struct pg_targets *targets, int64_t ms)
{
	char addresses[SKYMON_NET_ADDRESSES_SIZE] = "";
	size_t used = 0;
	for (size_t i = 0; i < targets->count && used < sizeof(addresses); i++)
		used += (size_t)snprintf(addresses + used, sizeof(addresses) - used, "%s%s", i > 0 ? "," : "",
					 targets->items[i].address);
	skymon_step(sm, "finding the address that answers");
	int error;
	int fd = skymon_net_race(
		sm, addresses,
		(uint16_t)strtoul(targets->items[0].port[0] != '\0' ? targets->items[0].port : "5432", NULL,
				  10),
		ms, &error);
	if (fd < 0)
		return;
	char first[64];
	if (skymon_net_peer_address(fd, first, sizeof(first)))
		for (size_t i = 1; i < targets->count; i++)
			if (strcmp(targets->items[i].address, first) == 0) {
				struct pg_target winner = targets->items[i];
				targets->items[i] = targets->items[0];
				targets->items[0] = winner;
			}
	close(fd);
}

bool pg_find_targets(struct skymon *sm, const struct pg *pg, size_t nth, int64_t ms,
		     struct pg_targets *targets)
{
	int64_t floor = skymon_ms_left(sm) - ms;
	struct pg_target target;
	copy_item(pg_given(pg, "host"), nth, target.host, sizeof(target.host));
	copy_item(pg_given(pg, "hostaddr"), nth, target.address, sizeof(target.address));
	copy_item(pg_given(pg, "port"), nth, target.port, sizeof(target.port));
	if (target.address[0] != '\0' || target.host[0] == '\0' || target.host[0] == '/' ||
	    target.host[0] == '@') {
		add_target(targets, &target);
		return true;
	}
	skymon_step(sm, "resolving the host name");
	char addresses[SKYMON_NET_ADDRESSES_SIZE];
	if (!skymon_resolve_within(sm, target.host, ms, addresses, sizeof(addresses)))
		return false;
	for (size_t j = 0; j < count_items(addresses); j++) {
		copy_item(addresses, j, target.address, sizeof(target.address));
		add_target(targets, &target);
	}
	if (targets->count > 1)
		sort_targets(sm, targets, (skymon_ms_left(sm) - floor) / 2);
	return targets->count > 0;
}
#endif
