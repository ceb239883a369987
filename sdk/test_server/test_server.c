/* SPDX-License-Identifier: Apache-2.0 */
/* skymon-test-server: a server on loopback that answers well or in one of many wrong ways, for the tests of
 * plugins' authors. Started by the tool skymon (`skymon test-server`). With a command it runs that and ends
 * with it; the threads of test_server_serve.c serve meanwhile. */
#include "test_server.h"

#include <errno.h>
#include <getopt.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static const char help[] =
	"Usage: skymon test-server KIND[,KIND…] [OPTION…] [-- COMMAND…]\n"
	"         A server on 127.0.0.1 for tests. With COMMAND it runs that and ends with its exit code; {url},\n"
	"         {address} and {ca} in the command's words become https://127.0.0.1:PORT/, 127.0.0.1:PORT and\n"
	"         the file of the authority. Without, it prints them and serves until it is ended, by the end of\n"
	"         the process that started it at the latest.\n"
	"         KIND, the first connection's, the second's, …, and the last one for all others:\n"
	"           http     answers each request with --status and --body\n"
	"           slow     does so after --delay\n"
	"           half     sends half of the answer, and closes the connection\n"
	"           reset    reads a byte, and resets the connection\n"
	"           close    closes the connection at once\n"
	"           silent   reads, and never answers\n"
	"           garbage  reads a byte, and sends 512 that are of no protocol\n"
	"           tcp      sends the body at once, then reads\n"
	"           refuse   refuses connections\n"
	"\n"
	"  --tls CERTIFICATE   speaks TLS, with a certificate that is good, expired, future, self-signed,\n"
	"                      untrusted or wrong-name\n"
	"  --status CODE       (200)\n"
	"  --header LINE       `Name: value`; may be repeated\n"
	"  --body TEXT         (ok)\n"
	"  --token TOKEN       answers 401 to requests without `Authorization: Bearer TOKEN`\n"
	"  --delay MS          (10000)\n"
	"  --port PORT         (any free one)\n";

static void fail(const char *what, const char *which)
{
	fprintf(stderr, "skymon: test-server: %s%s\n", what, which);
	exit(3);
}

/* ---- The command line ---- */

/* Returns the place of a word in a table. */
static size_t find(const char *word, size_t size, const char *const *words, const char *what)
{
	for (size_t i = 0; words[i] != NULL; i++)
		if (strlen(words[i]) == size && strncmp(word, words[i], size) == 0)
			return i;
	fail(what, word);
	return 0;
}

static void read_kinds(struct test_server *server, const char *text)
{
#define TEST_SERVER_WORD(name, word) word,
	static const char *const words[] = {TEST_SERVER_KINDS(TEST_SERVER_WORD) NULL};
	for (const char *at = text; at != NULL; at = strchr(at, ',') != NULL ? strchr(at, ',') + 1 : NULL) {
		if (server->turn_count == TURNS_MAX)
			fail("too many kinds: ", text);
		enum kind kind = (enum kind)find(at, strcspn(at, ","), words, "no such kind: ");
		server->turns[server->turn_count++] = kind;
		if (kind == KIND_REFUSE && strcmp(text, "refuse") != 0)
			fail("refuse cannot be one of several kinds: ", text);
	}
}

static enum certificate read_certificate(const char *text)
{
	static const char *const words[] = {TEST_SERVER_CERTIFICATES(TEST_SERVER_WORD) NULL};
	return (enum certificate)find(text, strlen(text), words, "no such certificate: ");
}

static int read_number(const char *option, const char *text, long min, long max)
{
	char *end;
	errno = 0;
	long value = strtol(text, &end, 10);
	if (errno != 0 || end == text || *end != '\0' || value < min || value > max)
		fail(option, " takes a number in its range");
	return (int)value;
}

/* Returns the index of the command in argv, or argc. which is set if TLS is spoken. */
static int read_options(struct test_server *server, int argc, char **argv, enum certificate *which, bool *tls)
{
	enum { TLS = 256, STATUS, HEADER, BODY, TOKEN, DELAY, PORT, HELP };
	static const struct option options[] = {{"tls", required_argument, NULL, TLS},
						{"status", required_argument, NULL, STATUS},
						{"header", required_argument, NULL, HEADER},
						{"body", required_argument, NULL, BODY},
						{"token", required_argument, NULL, TOKEN},
						{"delay", required_argument, NULL, DELAY},
						{"port", required_argument, NULL, PORT},
						{"help", no_argument, NULL, HELP},
						{NULL, 0, NULL, 0}};
	for (int option; (option = getopt_long(argc, argv, "-", options, NULL)) != -1;) {
		if (option == 1)
			read_kinds(server, optarg);
		else if (option == TLS)
			*which = read_certificate(optarg), *tls = true;
		else if (option == STATUS)
			server->status = read_number("--status", optarg, 100, 999);
		else if (option == DELAY)
			server->delay_ms = read_number("--delay", optarg, 0, 86400000);
		else if (option == PORT)
			server->port = read_number("--port", optarg, 0, 65535);
		else if (option == BODY)
			server->body = optarg;
		else if (option == TOKEN)
			server->token = optarg;
		else if (option == HEADER && server->header_count < HEADERS_MAX)
			server->headers[server->header_count++] = optarg;
		else if (option == HELP)
			exit(fputs(help, stdout) < 0);
		else
			fail("see skymon test-server --help", "");
	}
	if (server->turn_count == 0)
		fail("the kind is missing: skymon test-server http", "");
	return optind;
}

/* ---- The command ---- */

struct places {
	char url[64], address[32], folder[64], ca[80];
};

/* Returns a copy of the word with {url}, {address} and {ca} replaced. */
static char *fill_in(const char *word, const struct places *places)
{
	const struct {
		const char *name, *value;
	} names[] = {{"{url}", places->url}, {"{address}", places->address}, {"{ca}", places->ca}};
	char *text = NULL;
	size_t size;
	FILE *to = open_memstream(&text, &size);
	while (to != NULL && *word != '\0') {
		size_t i = 0;
		while (i < 3 && strncmp(word, names[i].name, strlen(names[i].name)) != 0)
			i++;
		fputs(i < 3 ? names[i].value : (const char[]){*word, '\0'}, to);
		word += i < 3 ? strlen(names[i].name) : 1;
	}
	if (to == NULL || fclose(to) != 0)
		fail("out of memory", "");
	return text;
}

/* Returns the exit code of the command; of one that a signal ended 128 and its number. */
static int run_command(char **words, const struct places *places)
{
	for (char **word = words; *word != NULL; word++)
		*word = fill_in(*word, places);
	pid_t pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGTERM);
		signal(SIGPIPE, SIG_DFL);
		execvp(words[0], words);
		fprintf(stderr, "skymon: test-server: cannot start %s: %s\n", words[0], strerror(errno));
		_exit(127);
	}
	int status = 0;
	signal(SIGINT, SIG_IGN); /* a terminal's Ctrl-C is the command's, whose end is awaited */
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		fail("cannot start the command: ", strerror(errno));
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

static void wait_for_the_end(const sigset_t *ends)
{
	int signal;
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	sigwait(ends, &signal);
}

int main(int argc, char **argv)
{
	struct test_server server = {.status = 200, .body = "ok", .delay_ms = 10000};
	struct places places = {.folder = ""};
	enum certificate which = CERTIFICATE_GOOD;
	bool tls = false;
	int first = read_options(&server, argc, argv, &which, &tls);
	sigset_t ends;
	sigemptyset(&ends);
	signal(SIGPIPE, SIG_IGN);
	if (first == argc) { /* before the first thread, so that all of them block the signals */
		sigaddset(&ends, SIGTERM);
		sigaddset(&ends, SIGINT);
		sigprocmask(SIG_BLOCK, &ends, NULL);
	}
	if (tls) {
		const char *above = getenv("TMPDIR");
		snprintf(places.folder, sizeof(places.folder), "%.40s/skymon-test-XXXXXX",
			 above != NULL && strlen(above) <= 40 ? above : "/tmp");
		if (mkdtemp(places.folder) == NULL)
			fail("cannot make a folder: ", strerror(errno));
		snprintf(places.ca, sizeof(places.ca), "%s/ca.pem", places.folder);
		server.tls = test_server_tls(which, places.ca);
		if (server.tls == NULL)
			fail("cannot make the certificates", "");
	}
	if (!test_server_listen(&server))
		fail("cannot listen: ", strerror(errno));
	snprintf(places.address, sizeof(places.address), "127.0.0.1:%d", server.port);
	snprintf(places.url, sizeof(places.url), "%s://%s/", tls ? "https" : "http", places.address);
	int code = 0;
	if (first < argc) {
		code = run_command(argv + first, &places);
	} else {
		printf("url=%s\naddress=%s\nca=%s\n", places.url, places.address, places.ca);
		fflush(stdout);
		wait_for_the_end(&ends);
	}
	if (tls) {
		unlink(places.ca);
		rmdir(places.folder);
	}
	_exit(code); /* threads serve until the end: nothing that they use may go before them */
}
