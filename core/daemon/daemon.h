/* SPDX-License-Identifier: Apache-2.0 */
/* daemon: puts the modules together: start, reload, drain and stop. Owns all of them. main passes the
 * arguments, and exits with the code that it returns. */
#ifndef DAEMON_H
#define DAEMON_H

#include "base/err.h"

enum daemon_mode { DAEMON_RUN, DAEMON_CHECK_CONFIG, DAEMON_PRINT_CONFIG, DAEMON_LIST_ROUTES };

struct daemon_options {
	enum daemon_mode mode;
	const char *config_path, *worker_program;
	const char *const *listens; /* --listen, which replaces the config's; may be empty */
	size_t listen_count;
};

enum { DAEMON_OK = 0, DAEMON_FAILED = 1, DAEMON_BAD_CONFIG = 2 };

/* Returns after a stop, or when the mode's work is done. */
int daemon_run(const struct daemon_options *options);

#endif
