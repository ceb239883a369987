/* SPDX-License-Identifier: Apache-2.0 */
/* job_tool: the program skymon-job, started by `skymon job`. It runs a command, and reports its start and its end
 * to skymond. The command comes first: its output, its exit code and signals are passed through, and it runs even
 * if skymond cannot be reached. One thread. */
#include <errno.h>
#include <getopt.h>
#include <locale.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "client.h"

#define USAGE 125 /* as env(1), nohup(1) and timeout(1) have it */
#define NOT_EXECUTED 126
#define NOT_FOUND 127
#define ATTEMPTS 3 /* to report the end */

extern char **environ;

static const char help[] =
	"Usage: skymon job NAME --token-file FILE [OPTION…] -- COMMAND [ARGUMENT…]\n"
	"       Runs the command, and reports its start, its end, exit code and duration to the job NAME of a\n"
	"       running skymond. The exit code is the command's, also if skymond cannot be reached.\n"
	"\n"
	"       --token-file FILE           the job's token; also $SKYMON_JOB_TOKEN_FILE\n"
	"       --url http://127.0.0.1:8080 URL of skymond; may be unix:/path; also $SKYMON_URL\n"
	"       --ca-file FILE              authorities (PEM) of an https:// URL\n"
	"       --cert FILE, --key FILE     the client certificate, where skymond asks for one\n"
	"\n"
	"Exit codes: the command's; 125 bad usage, 126 it cannot be started, 127 it does not exist. A command\n"
	"that was ended by a signal ends this program with the same signal.\n";

struct place {
	const char *name, *url, *token_file, *ca_file, *cert, *key;
	char run[33];  /* random, so that overlapping runs are not mixed up */
	bool reported; /* a problem, already: one line is enough */
};

static void complain(struct place *place, const char *what, const char *why)
{
	if (!place->reported)
		fprintf(stderr, "skymon job: %s of %s was not reported to %s: %s\n", what, place->name,
			place->url, why);
	place->reported = true;
}

/* ---- Reporting ---- */

struct answer {
	char bytes[512];
	size_t size;
};

static size_t take(char *bytes, size_t size, size_t count, void *arg)
{
	struct answer *answer = arg;
	size_t room = sizeof(answer->bytes) - 1 - answer->size,
	       more = size * count < room ? size * count : room;
	memcpy(answer->bytes + answer->size, bytes, more);
	answer->size += more;
	return size * count;
}

static char *url_of(CURL *curl, const struct place *place, const char *query)
{
	char *name = curl_easy_escape(curl, place->name, 0), *path = NULL, *url = NULL;
	if (name != NULL && asprintf(&path, "/api/v1/jobs/%s?run=%s&%s", name, place->run, query) >= 0)
		url = client_url(curl, place->url, path);
	free(path);
	curl_free(name);
	return url;
}

static void set_options(CURL *curl, const struct place *place, const char *message, struct answer *answer,
			char *why)
{
	curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, why);
	curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, 3000L);
	curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, 10000L);
	curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, answer);
	curl_easy_setopt(curl, CURLOPT_POSTFIELDS, message);
	client_set_certificates(curl, place->ca_file, place->cert, place->key);
}

/* Posts once. Returns the code of the answer; 0 with a sentence in *why if there was none. */
static long post(const struct place *place, const char *query, const char *message, char why[CURL_ERROR_SIZE])
{
	struct answer answer = {.size = 0};
	long code = 0;
	CURL *curl = curl_easy_init();
	struct curl_slist *headers =
		place->token_file != NULL ? client_add_token(NULL, place->token_file) : NULL;
	char *url = curl != NULL ? url_of(curl, place, query) : NULL;
	snprintf(why, CURL_ERROR_SIZE,
		 headers == NULL ? "the token cannot be read from %.200s" : "out of memory",
		 place->token_file != NULL ? place->token_file : "--token-file, which is not given");
	if (url != NULL && headers != NULL) {
		set_options(curl, place, message, &answer, why);
		curl_easy_setopt(curl, CURLOPT_URL, url);
		curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
		why[0] = '\0';
		CURLcode done = curl_easy_perform(curl);
		if (done == CURLE_OK)
			curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &code);
		else if (why[0] == '\0')
			snprintf(why, CURL_ERROR_SIZE, "%s", curl_easy_strerror(done));
		if (done == CURLE_OK && code != 200)
			snprintf(why, CURL_ERROR_SIZE, "HTTP %ld", code);
	}
	free(url);
	curl_slist_free_all(headers);
	curl_easy_cleanup(curl);
	return code;
}

/* A repeated report of one run's end counts once. */
static void report(struct place *place, const char *what, const char *query, const char *message,
		   int attempts)
{
	char why[CURL_ERROR_SIZE];
	for (int i = 0; i < attempts; i++) {
		long code = post(place, query, message, why);
		if (code == 200)
			return;
		if (code >= 400 && code < 500 && code != 429)
			break;
		if (i + 1 < attempts)
			sleep((unsigned)i + 1);
	}
	complain(place, what, why);
}

/* ---- The command ---- */

/* Signals that are passed on. A terminal's reach the command by themselves, as it is in the same group. */
static void choose_signals(sigset_t *set)
{
	static const int passed[] = {SIGTERM, SIGINT,  SIGHUP,  SIGQUIT,  SIGUSR1,
				     SIGUSR2, SIGALRM, SIGCONT, SIGWINCH, SIGCHLD};
	sigemptyset(set);
	for (size_t i = 0; i < sizeof(passed) / sizeof(passed[0]); i++)
		sigaddset(set, passed[i]);
}

static int spawn_command(pid_t *child, char **command, const sigset_t *mask)
{
	posix_spawnattr_t attributes;
	int failed = posix_spawnattr_init(&attributes);
	if (failed != 0)
		return failed;
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
	posix_spawnattr_setsigmask(&attributes, mask);
	failed = posix_spawnp(child, command[0], NULL, &attributes, command, environ);
	posix_spawnattr_destroy(&attributes);
	return failed;
}

/* Returns the status of wait(2). */
static int wait_for(pid_t child, const sigset_t *signals)
{
	for (;;) {
		siginfo_t info;
		int status, got = sigwaitinfo(signals, &info);
		pid_t done = waitpid(child, &status, WNOHANG);
		if (done == child || (done < 0 && errno == ECHILD))
			return done == child ? status : 0;
		if (got > 0 && got != SIGCHLD &&
		    info.si_code <= 0) /* sent by a process, and not by the kernel */
			kill(child, got);
	}
}

static double seconds_now(void)
{
	struct timespec now;
	clock_gettime(CLOCK_BOOTTIME, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void report_end(struct place *place, int code, double seconds, const char *message)
{
	char query[100];
	snprintf(query, sizeof(query), "event=%s&exit_code=%d&duration=%.3f", code == 0 ? "ok" : "fail", code,
		 seconds);
	report(place, "the end", query, message, ATTEMPTS);
}

static int run_command(struct place *place, char **command)
{
	sigset_t signals, before;
	pid_t child;
	char message[200] = "";
	choose_signals(&signals);
	signal(SIGCHLD, SIG_DFL); /* where it is ignored, no status can be had */
	report(place, "the start", "event=start", "", 1);
	sigprocmask(SIG_BLOCK, &signals, &before);
	double began = seconds_now();
	int failed = spawn_command(&child, command, &before);
	if (failed != 0) {
		snprintf(message, sizeof(message), "%.100s cannot be started: %s", command[0],
			 strerror(failed));
		fprintf(stderr, "skymon job: %s\n", message);
		int code = failed == ENOENT ? NOT_FOUND : NOT_EXECUTED;
		report_end(place, code, 0, message);
		return code;
	}
	int status = wait_for(child, &signals), ended_by = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
	int code = ended_by != 0 ? 128 + ended_by : WEXITSTATUS(status);
	if (ended_by != 0)
		snprintf(message, sizeof(message), "ended by signal %d (%s)", ended_by, strsignal(ended_by));
	report_end(place, code, seconds_now() - began, message);
	if (ended_by != 0) {
		setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
		signal(ended_by, SIG_DFL);
		sigset_t only;
		sigemptyset(&only);
		sigaddset(&only, ended_by);
		raise(ended_by);
		sigprocmask(SIG_UNBLOCK, &only, NULL);
	}
	return code;
}

/* ---- Arguments ---- */

static void choose_run(char run[33])
{
	unsigned char bytes[16];
	while (getrandom(bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes))
		;
	for (size_t i = 0; i < sizeof(bytes); i++)
		snprintf(run + 2 * i, 3, "%02x", bytes[i]);
}

static int fail_usage(const char *text)
{
	fprintf(stderr, "skymon job: %s; try skymon job --help\n", text);
	return USAGE;
}

int main(int argc, char **argv)
{
	static const struct option longs[] = {{"url", required_argument, NULL, 'u'},
					      {"token-file", required_argument, NULL, 't'},
					      {"ca-file", required_argument, NULL, 'a'},
					      {"cert", required_argument, NULL, 'c'},
					      {"key", required_argument, NULL, 'k'},
					      {"help", no_argument, NULL, 'h'},
					      {0}};
	const char *url = getenv("SKYMON_URL");
	struct place place = {.url = url != NULL && url[0] != '\0' ? url : "http://127.0.0.1:8080",
			      .token_file = getenv("SKYMON_JOB_TOKEN_FILE")};
	setlocale(LC_ALL, "C");
	/* "-": the name, and options behind it; what follows "--" is the command's own */
	for (int option; (option = getopt_long(argc, argv, "-h", longs, NULL)) != -1;) {
		const char **value = option == 'u'   ? &place.url
				     : option == 't' ? &place.token_file
				     : option == 'a' ? &place.ca_file
				     : option == 'c' ? &place.cert
				     : option == 'k' ? &place.key
				     : option == 1   ? &place.name
						     : NULL;
		if (option == 'h') {
			fputs(help, stdout);
			return 0;
		}
		if (value == NULL)
			return USAGE;
		if (option == 1 && place.name != NULL)
			return fail_usage("the command comes after --");
		*value = optarg;
	}
	if (place.name == NULL || place.name[0] == '\0')
		return fail_usage("the name of the job is missing");
	if (optind >= argc)
		return fail_usage("the command is missing");
	if (place.key != NULL && place.cert == NULL)
		return fail_usage("--key needs --cert");
	curl_global_init(CURL_GLOBAL_DEFAULT);
	choose_run(place.run);
	return run_command(&place, argv + optind);
}
