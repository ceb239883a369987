/* SPDX-License-Identifier: Apache-2.0 */
/* @NAME@: is a file that is written again and again there, and not empty? `warn` and `crit` of the configuration
 * say how old it may be. Replace the check by your own. */
#include <skymon/plugin.h>

#include <chrono>
#include <filesystem>

namespace fs = std::filesystem;

struct check { const char *file; }; // one for each component, zeroed: the options, then what the check remembers

static const struct skymon_option options[] = {
	SKYMON_OPT(struct check, file, nullptr, "file to watch", .flags = SKYMON_TARGET), {}};
static const struct skymon_number numbers[] = {{"age", "s", "time since the file was written"}, {}};

static enum skymon_status run(struct skymon *sm, void *state)
try {
	const auto *self = static_cast<const struct check *>(state);
	if (!fs::exists(self->file)) // the check looked, and this is what it found
		return skymon_unhealthy(sm, "%s is missing", self->file);
	std::chrono::duration<double> age = fs::file_time_type::clock::now() - fs::last_write_time(self->file);
	skymon_number(sm, "age", age.count() > 0 ? age.count() : 0);
	return skymon_verdict(sm, !fs::is_empty(self->file), "written %.0f s ago", age.count());
} catch (const std::exception &fault) { // the check could not look; no exception may leave a callback
	return skymon_unknown(sm, "%s", fault.what());
}

SKYMON_PLUGIN(@NAME@, "0.1", "Is a file there, young and not empty?", .state_size = sizeof(struct check),
	      .options = options, .numbers = numbers, .check = run);
