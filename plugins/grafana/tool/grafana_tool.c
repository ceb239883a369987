/* SPDX-License-Identifier: Apache-2.0 */
/* grafana_tool: the program skymon-grafana, started by `skymon grafana`. It has a running skymond check its
 * Grafana and write the shipped content to it. The daemon's routes do the work; this file has arguments, help
 * and exit codes. One thread. */
#include "grafana_tool.h"

#include <curl/curl.h>
#include <getopt.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char help[] =
	"Usage: skymon grafana check        reports whether Grafana answers, the key is valid, and which\n"
	"                                   permissions it lacks\n"
	"       skymon grafana apply        writes the shipped folder, data source, dashboards and rules\n"
	"       skymon grafana diff         shows the changes that apply would make\n"
	"       skymon grafana export UID   prints a dashboard as a file that can be imported\n"
	"\n"
	"       --force                     apply and diff: as shipped, without the additions of people\n"
	"       --url http://127.0.0.1:8080 URL of skymond; may be unix:/path\n"
	"       --token-file FILE           access token, if read_access or write_access need one\n"
	"\n"
	"apply keeps the labels and annotations that people have added to a rule, its paused state, the\n"
	"folder they have moved a rule or dashboard to, and the data source they have chosen in a "
	"dashboard;\n"
	"--force does not.\n"
	"\n"
	"Exit codes: 0 success; 1 something failed; 2 bad usage. diff: 0 no differences,\n"
	"1 differences, 2 an item could not be compared.\n";

struct command {
	const char *word, *method, *path;
	int (*show)(const struct tool_place *place, const struct tool_answer *answer);
	bool takes_uid, takes_force;
	int trouble; /* the exit code if skymond could not be asked */
};

static const struct command commands[] = {
	{"check", "GET", "/api/v1/grafana/check", tool_show_checks, false, false, TOOL_BAD},
	{"apply", "POST", "/api/v1/grafana/apply", tool_show_apply, false, true, TOOL_BAD},
	{"diff", "GET", "/api/v1/grafana/diff", tool_show_diff, false, true, TOOL_TROUBLE},
	{"export", "GET", "/api/v1/grafana/dashboards/", tool_show_export, true, false, TOOL_BAD},
};

static const struct command *find(const char *word)
{
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (strcmp(commands[i].word, word) == 0)
			return &commands[i];
	return NULL;
}

static int run_command(const struct command *command, const struct tool_place *place, const char *uid,
		       bool force)
{
	struct tool_answer answer = {0};
	int code = command->trouble;
	char *path = NULL, *escaped = curl_easy_escape(NULL, uid, 0);
	if (escaped == NULL ||
	    asprintf(&path, "%s%s%s", command->path, escaped, force ? "?force=true" : "") < 0)
		path = NULL;
	curl_free(escaped);
	if (path != NULL && tool_ask(place, command->method, path, &answer))
		code = command->show(place, &answer);
	json_decref(answer.body);
	free(path);
	if (fflush(stdout) == 0)
		return code;
	tool_fail("cannot write the answer");
	return command->trouble;
}

/* Options may come before and after the arguments. */
static int read_options(int argc, char **argv, struct tool_place *place, bool *force)
{
	static const struct option longs[] = {{"url", required_argument, NULL, 'u'},
					      {"token-file", required_argument, NULL, 't'},
					      {"force", no_argument, NULL, 'f'},
					      {"help", no_argument, NULL, 'h'},
					      {0}};
	for (int option; (option = getopt_long(argc, argv, "u:t:fh", longs, NULL)) != -1;) {
		if (option == 'u')
			place->url = optarg;
		else if (option == 't')
			place->token_file = optarg;
		else if (option == 'f')
			*force = true;
		else
			return option;
	}
	return 0;
}

int main(int argc, char **argv)
{
	setlocale(LC_ALL, "C");
	argv[0] = "skymon grafana"; /* the name in getopt's messages */
	struct tool_place place = {.url = "http://127.0.0.1:8080"};
	bool force = false;
	int option = read_options(argc, argv, &place, &force);
	const char *word = optind < argc ? argv[optind] : NULL;
	if (option == 'h' || (option == 0 && word != NULL && strcmp(word, "help") == 0)) {
		fputs(help, stdout);
		return TOOL_GOOD;
	}
	if (option != 0)
		return TOOL_TROUBLE;
	if (word == NULL) {
		fputs(help, stderr);
		return TOOL_TROUBLE;
	}
	const struct command *command = find(word);
	if (command == NULL) {
		tool_fail("no such command: %s; try skymon grafana --help", word);
		return TOOL_TROUBLE;
	}
	const char *uid = command->takes_uid && optind + 1 < argc ? argv[optind + 1] : "";
	if (argc - optind != 1 + command->takes_uid || (command->takes_uid && uid[0] == '\0')) {
		tool_fail(command->takes_uid ? "%s takes the uid of one dashboard" : "%s takes no argument",
			  word);
		return TOOL_TROUBLE;
	}
	if (force && !command->takes_force) {
		tool_fail("%s does not take --force", word);
		return TOOL_TROUBLE;
	}
	curl_global_init(CURL_GLOBAL_DEFAULT);
	int code = run_command(command, &place, uid, force);
	curl_global_cleanup();
	return code;
}
