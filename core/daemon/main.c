/* SPDX-License-Identifier: Apache-2.0 */
/* main: skymond's arguments and exit code. Calls daemon_run() on the main thread. Owns nothing. */
#include <getopt.h>
#include <limits.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <fcntl.h>
#include <unistd.h>

#include <skymon/plugin.h>

#include "daemon.h"
#include "daemon_schema.h"
#include "reload_request.h"
#include "base/log.h"

#define LISTENS_MAX 16

static const char help[] =
	"Usage: skymond [-c FILE] [OPTION…]\n"
	"Monitors the components that the config names, and reports their state over HTTP.\n"
	"\n"
	"  -c, --config FILE      the config (default " SKYMON_CONFDIR "/skymon.yaml)\n"
	"  -t, --check-config     check the config, plugins and files, open no network; exit 0 or 2\n"
	"      --print-config     print what is in effect after defaults, secrets masked\n"
	"      --config-schema    print a JSON Schema of the config, for editors; with the plugins of its "
	"plugin_path\n"
	"      --list-routes      print method, path, plugin and summary of every route\n"
	"      --reload PID       have a running skymond reload, and wait; exit 0 or 2\n"
	"      --listen ADDR:PORT listen there in place of the config's `listen`; may be repeated; port 0: "
	"any free one\n"
	"  -V, --version\n"
	"  -h, --help\n"
	"\n"
	"SIGHUP reloads the config, SIGTERM and SIGINT drain and stop.\n"
	"Exit codes: 0 ok, 1 failed while running, 2 bad usage or config.\n";

static int usage(const char *text)
{
	fprintf(stderr, "skymond: %s; try skymond --help\n", text);
	return DAEMON_BAD_CONFIG;
}

/* Opens descriptors 0 to 2, so that no file of skymond gets such a number. */
static void open_standard(void)
{
	int fd;
	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= 2);
	if (fd > 2)
		close(fd);
}

/* At the first call of a function a library that binds lazily saves the vector registers on the stack, and
 * with them the bytes that were copied last, which may be a secret's. The linker's -z now covers the calls
 * of this program only; for those of the libraries the loader must be asked when it starts. */
static void bind_all(char **argv)
{
	char path[PATH_MAX];
	const char *bound = getenv("LD_BIND_NOW");
	if (bound != NULL && bound[0] != '\0')
		return;
	ssize_t size = readlink("/proc/self/exe", path, sizeof(path) - 1);
	if (size <= 0 || getauxval(AT_BASE) == 0) /* /proc is closed, or the loader is the program */
		return;
	path[size] = '\0';
	setenv("LD_BIND_NOW", "1", 1);
	execv(path, argv);
}

int main(int argc, char **argv)
{
	enum { PRINT_CONFIG = 256, CONFIG_SCHEMA, LIST_ROUTES, LISTEN, RELOAD };
	static const struct option longs[] = {
		{"config", required_argument, NULL, 'c'},
		{"check-config", no_argument, NULL, 't'},
		{"print-config", no_argument, NULL, PRINT_CONFIG},
		{"config-schema", no_argument, NULL, CONFIG_SCHEMA},
		{"list-routes", no_argument, NULL, LIST_ROUTES},
		{"listen", required_argument, NULL, LISTEN},
		{"reload", required_argument, NULL, RELOAD},
		{"version", no_argument, NULL, 'V'},
		{"help", no_argument, NULL, 'h'},
		{0},
	};
	const char *listens[LISTENS_MAX];
	struct daemon_options options = {
		.config_path = SKYMON_CONFDIR "/skymon.yaml",
		.worker_program = SKYMON_LIBEXECDIR "/skymon-worker",
		.listens = listens,
	};
	bool schema = false;
	struct err err;
	bind_all(argv);
	unsetenv("LD_BIND_NOW"); /* not for the workers, which start often */
	open_standard();
	log_find_journal(getenv("JOURNAL_STREAM"));
	/* This process holds secrets: keep them out of core files, and from other processes of the same
	 * user. */
#ifndef __SANITIZE_ADDRESS__ /* its leak check traces its own process */
	prctl(PR_SET_DUMPABLE, 0);
#endif
	setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
	setlocale(LC_ALL, "C");
	for (int option; (option = getopt_long(argc, argv, "c:tVh", longs, NULL)) != -1;) {
		switch (option) {
		case 'c':
			options.config_path = optarg;
			break;
		case 't':
			options.mode = DAEMON_CHECK_CONFIG;
			break;
		case PRINT_CONFIG:
			options.mode = DAEMON_PRINT_CONFIG;
			break;
		case CONFIG_SCHEMA:
			schema = true;
			break;
		case LIST_ROUTES:
			options.mode = DAEMON_LIST_ROUTES;
			break;
		case LISTEN:
			if (options.listen_count == LISTENS_MAX)
				return usage("too many --listen");
			listens[options.listen_count++] = optarg;
			break;
		case RELOAD:
			if (reload_request(optarg, &err))
				return DAEMON_OK;
			fprintf(stderr, "skymond: %s\n", err.text);
			return DAEMON_BAD_CONFIG;
		case 'V':
			printf("skymond %s (plugin ABI %d.%d)\n", SKYMON_VERSION, SKYMON_ABI_MAJOR,
			       SKYMON_ABI_MINOR);
			return DAEMON_OK;
		case 'h':
			fputs(help, stdout);
			return DAEMON_OK;
		default:
			return usage("unknown option");
		}
	}
	if (optind < argc)
		return usage("it takes no words beside its options");
	if (schema)
		return daemon_print_schema(options.config_path, options.worker_program) ? DAEMON_OK
											: DAEMON_FAILED;
	return daemon_run(&options);
}
