/* SPDX-License-Identifier: Apache-2.0 */
/* skymon: the command-line tool. Runs one check, queries a daemon, prints the declarations of plugins. */
#include "tool.h"

#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

static const char help[] =
	"Usage: skymon run PLUGIN [OPTION=VALUE…]\n"
	"       skymon run -c FILE COMPONENT\n"
	"                  [--output json|text|metrics|nagios] [--timeout 5s] [--count N]\n"
	"                  [--trace] [--repeat N] [--plugin-path DIR] [--state-dir DIR] [--verbose]\n"
	"         Runs a check in a worker, as skymond does, once or N times a second apart.\n"
	"         PLUGIN is a name or a file. VALUE is as in the config file, in one line: a text, a number,\n"
	"         30s, [a, b], {file: /path}; a dot goes into a map: tls.ca_file=/path, warn.age=1h. With\n"
	"         --config (-c) it is a component of that file, with its secrets and limits. --trace shows\n"
	"         the calls of the check with their time; --repeat finds what it leaks.\n"
	"\n"
	"       skymon status [NAME] [--url http://127.0.0.1:8080] [--token-file FILE] [--json]\n"
	"                     [--ca-file FILE] [--cert FILE] [--key FILE] [--fail-on STATUS]\n"
	"         Asks a running skymond for all components, or for one. URL may be unix:/path, or https:// "
	"with\n"
	"         the authorities of --ca-file (PEM); --cert and --key are shown where it asks for them.\n"
	"         --fail-on exits with 1 for that status and worse ones, and without an answer, otherwise with 0.\n"
	"\n"
	"       skymon silence NAME --for 2h --why TEXT [--url http://127.0.0.1:8080] [--token-file FILE]\n"
	"       skymon silence --list | --end ID\n"
	"                     [--ca-file FILE] [--cert FILE] [--key FILE]\n"
	"         Silences a component or a group of a running skymond for a time: it is checked and shown,\n"
	"         and changes neither the whole nor alerts. Lists and ends silences. On another machine it\n"
	"         needs the token of `access`.\n"
	"\n"
	"       skymon reload [--url …] [--token-file FILE] [--json] [--ca-file FILE] [--cert FILE] [--key FILE]\n"
	"         Has a running skymond read its configuration again, and prints what changed or what is wrong.\n"
	"         Exit codes: 0 reloaded, 1 refused, 2 bad usage, 3 could not be asked.\n"
	"\n"
	"       skymon plugins [NAME] [--plugin-path DIR]\n"
	"         Lists the plugins, or the options and numbers of one.\n"
	"\n"
	"       skymon new NAME [--c | --c++ | --rust | --exec]\n"
	"         Makes the folder NAME with the project of a plugin of that name: a check, a build file and a\n"
	"         test. --exec: of a program that the plugin exec runs, in Python.\n"
	"\n"
	"       skymon test-server KIND [OPTION…] [-- COMMAND…]\n"
	"         A server that answers well or in one wrong way, for tests of plugins.\n"
	"\n"
	"       skymon --version | --help\n"
	"\n"
	"--plugin-path may be repeated; the installed plugins come last.\n"
	"Exit codes: 0 healthy, 1 degraded, 2 unhealthy, 3 unknown, could not be asked, or bad usage.\n";

/* Prints the part of --help about one command. */
static int print_help(const char *command)
{
	char *synopsis = x_printf("skymon %s ", command);
	const char *from = strstr(help, synopsis), *to = strstr(from, "\n\n");
	printf("Usage: %.*s\n\n%s", (int)(to - from), from, strstr(to, "--plugin-path may"));
	free(synopsis);
	return 0;
}

void tool_folders_add(struct tool_folders *folders, const char *folder)
{
	folders->items = x_grow(folders->items, &folders->room, folders->count + 1, sizeof(*folders->items));
	folders->items[folders->count++] = folder;
}

char *tool_folders_end(struct tool_folders *folders, char *word)
{
	char *slash = word != NULL ? strrchr(word, '/') : NULL;
	if (slash == NULL) {
		tool_folders_add(folders, SKYMON_PLUGINDIR);
		return word;
	}
	size_t size = strlen(slash);
	if (size > 4 && strcmp(slash + size - 3, ".so") == 0)
		slash[size - 3] = '\0';
	*slash = '\0'; /* a path below / has the folder "", to which the pool adds the slash again */
	folders->count = 0;
	tool_folders_add(folders, word);
	return slash + 1;
}

int tool_exit_of(const char *status)
{
	static const char *const words[] = {"healthy", "degraded", "unhealthy"};
	for (int i = 0; status != NULL && i < 3; i++)
		if (strcmp(status, words[i]) == 0)
			return i;
	return TOOL_UNKNOWN;
}

int tool_fail(const char *format, ...)
{
	va_list list;
	va_start(list, format);
	fputs("skymon: ", stderr);
	vfprintf(stderr, format, list);
	fputs("\n", stderr);
	va_end(list);
	return TOOL_UNKNOWN;
}

void tool_print(const char *text)
{
	for (const unsigned char *at = (const unsigned char *)text; *at != '\0'; at++)
		putchar(*at < ' ' || *at == 0x7F ? ' ' : *at);
}

int main(int argc, char **argv)
{
	setlocale(LC_ALL, "C");
	setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0}); /* `run` has secrets in this process */
	if (argc < 2) {
		fputs(help, stderr);
		return TOOL_UNKNOWN;
	}
	const char *word = argv[1];
	char name[] = "skymon";
	int (*command)(int, char **) = strcmp(word, "run") == 0       ? tool_run
				       : strcmp(word, "status") == 0  ? tool_status
				       : strcmp(word, "reload") == 0  ? tool_reload
				       : strcmp(word, "silence") == 0 ? tool_silence
				       : strcmp(word, "plugins") == 0 ? tool_plugins
								      : NULL;
	for (int i = 2; command != NULL && i < argc; i++)
		if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
			return print_help(word);
	if (command != NULL) {
		argv[1] = name; /* getopt begins its errors with it */
		return command(argc - 1, argv + 1);
	}
	if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0 || strcmp(word, "help") == 0) {
		fputs(help, stdout);
		tool_words_print();
		return 0;
	}
	if (strcmp(word, "--version") == 0 || strcmp(word, "-V") == 0) {
		printf("skymon %s (plugin ABI %d.%d)\n", SKYMON_VERSION, SKYMON_ABI_MAJOR, SKYMON_ABI_MINOR);
		return 0;
	}
	if (word[0] == '-')
		return tool_fail("no such option: %s; try skymon --help", word);
	return tool_word(argv + 1);
}
