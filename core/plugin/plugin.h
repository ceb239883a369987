/* SPDX-License-Identifier: Apache-2.0 */
/* plugin: opens shared objects and validates them: file owner and mode, the symbol, the ABI, the descriptor.
 * The only place with dlopen. Also what a plugin declares, as data that crosses the wire (struct
 * plugin_info), so that the daemon needs not open it. */
#ifndef PLUGIN_H
#define PLUGIN_H

#include <skymon/routes.h>

#include "config/option.h"
#include "wire/result.h"

#define PLUGIN_ROUTES_MAX 256u

extern const char
	skymon_build_id[]; /* finds an upgrade in place: the daemon's and the worker's must be the same */

/* The file of a plugin name in the folders, first found; NULL with err naming the folders that were searched.
 * Names: [a-z0-9_-]+. */
char *plugin_find(const char *name, const char *const *folders, size_t count, struct err *err) MUST_CHECK;
/* All plugin names there are in the folders, sorted, each once; the caller frees each and the array. */
char **plugin_list(const char *const *folders, size_t count, size_t *found);
/* The file that a plugin's code was copied from, as it was then. */
struct plugin_mark {
	uint64_t device, inode;
	int64_t size, modified_ns, changed_ns;
};
/* Opens the file once: a regular one, owned by root or by us, in folders likewise, none writable by others.
 * Returns a descriptor (CLOEXEC) of a sealed copy in memory, which the caller closes, or -1. */
int plugin_file_open(const char *path, struct plugin_mark *mark, struct err *err) MUST_CHECK;
/* Is the file that is there now the one of the mark? */
bool plugin_file_same(const char *path, const struct plugin_mark *mark);

/* dlopen(RTLD_NOW | RTLD_LOCAL) of that copy (-1: of the file; path is for messages), never closed. Two
 * copies of one process must have different descriptors. Reads the first 8 bytes, then validates: the
 * ABI (plugin_abi_fits), size plausible, then copies min(size) into *out (zero for fields that
 * it does not know) with options and numbers at today's stride. The file name must be the descriptor's name.
 * Checks routes, option table, roles (a check plugin has `check`, or begin and cancel; SKYMON_IN_DAEMON has
 * routes and no check).
 */
bool plugin_open(const char *path, int copy, struct skymon_plugin *out, struct err *err) MUST_CHECK;
/* Whether a plugin for that ABI may be loaded by a core with ours: majors equal and its minor not above ours;
 * equal while the major is 0. */
bool plugin_abi_fits(unsigned major, unsigned minor, unsigned our_major, unsigned our_minor);
/* Whether a declared number is the one of that name: itself, or a family (a name that ends with `_`:
 * query_value_ has query_value_orders). */
bool plugin_declares(const struct skymon_number *declared, const char *name);
/* Frees the tables; the shared object stays mapped. */
void plugin_close(struct skymon_plugin *plugin);

/* The content of the hello. Owns everything. */
struct plugin_info {
	char *name, *version, *summary, *build_id; /* build_id: of the worker, to be compared with ours */
	uint16_t abi_major, abi_minor;
	uint32_t flags, interval_ms, timeout_ms;
	bool has_check, has_secret, has_validate;
	bool on_loop;                  /* its checks have begin and cancel */
	struct skymon_option *options; /* today's stride, ends with {0} */
	struct skymon_number *numbers; /* likewise */
	struct skymon_route *routes;   /* without handle; ends with {0} */
	size_t number_count, route_count;
	uint64_t code; /* set by the daemon: differs between two files of one plugin */
};
void plugin_info_encode(const struct skymon_plugin *plugin, const char *build_id, struct buf *body);
struct plugin_info *plugin_info_decode(struct wire_reader *in, struct err *err) MUST_CHECK;
void plugin_info_free(struct plugin_info *info);

#endif
