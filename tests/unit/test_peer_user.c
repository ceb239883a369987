/* SPDX-License-Identifier: Apache-2.0 */
/* owner: which of the kernel's answers name the socket at the other end: the exact one, held by a process,
 * and not a listening, closed or unfinished one, which the kernel may return instead or attribute to root.
 * And which processes count as the daemon's own: its descendants, and hidden ones. */
#include <arpa/inet.h>
#include <linux/inet_diag.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "http/http_private.h"
#include "unit.h"

static void put(__be32 to[4], uint8_t family, const char *text)
{
	CU_ASSERT_EQUAL(inet_pton(family, text, to), 1);
}

static void peers(void)
{
	static const struct {
		const char *what;
		uint8_t asked, found, state;
		uint32_t inode;
		const char *src;
		uint16_t sport;
		const char *dst;
		uint16_t dport;
		bool is;
	} cases[] = {
		{"the peer", AF_INET, AF_INET, TCP_ESTABLISHED, 7, "127.0.0.1", 4000, "127.0.0.2", 80, true},
		{"it has ended its half", AF_INET, AF_INET, TCP_FIN_WAIT2, 7, "127.0.0.1", 4000, "127.0.0.2",
		 80, true},
		{"a mapped one", AF_INET, AF_INET6, TCP_ESTABLISHED, 7, "::ffff:127.0.0.1", 4000,
		 "::ffff:127.0.0.2", 80, true},
		{"IPv6", AF_INET6, AF_INET6, TCP_ESTABLISHED, 7, "::1", 4000, "::2", 80, true},
		{"closed: root's, says the kernel", AF_INET, AF_INET, TCP_FIN_WAIT2, 0, "127.0.0.1", 4000,
		 "127.0.0.2", 80, false},
		{"closed, IPv6", AF_INET6, AF_INET6, TCP_FIN_WAIT1, 0, "::1", 4000, "::2", 80, false},
		{"time-wait", AF_INET, AF_INET, TCP_TIME_WAIT, 0, "127.0.0.1", 4000, "127.0.0.2", 80, false},
		{"a listening one of its port", AF_INET, AF_INET, TCP_LISTEN, 7, "0.0.0.0", 4000, "0.0.0.0",
		 0, false},
		{"one that listens at its address", AF_INET, AF_INET, TCP_LISTEN, 7, "127.0.0.1", 4000,
		 "127.0.0.2", 80, false},
		{"one that connects", AF_INET, AF_INET, TCP_SYN_SENT, 7, "127.0.0.1", 4000, "127.0.0.2", 80,
		 false},
		{"our end", AF_INET, AF_INET, TCP_ESTABLISHED, 7, "127.0.0.2", 80, "127.0.0.1", 4000, false},
		{"another port", AF_INET, AF_INET, TCP_ESTABLISHED, 7, "127.0.0.1", 4001, "127.0.0.2", 80,
		 false},
		{"another address", AF_INET, AF_INET, TCP_ESTABLISHED, 7, "127.0.0.3", 4000, "127.0.0.2", 80,
		 false},
		{"another server", AF_INET, AF_INET, TCP_ESTABLISHED, 7, "127.0.0.1", 4000, "127.0.0.3", 80,
		 false},
		{"another mapped one", AF_INET, AF_INET6, TCP_ESTABLISHED, 7, "::ffff:127.0.0.3", 4000,
		 "::ffff:127.0.0.2", 80, false},
		{"one of IPv6 that is not mapped", AF_INET, AF_INET6, TCP_ESTABLISHED, 7, "::127.0.0.1", 4000,
		 "::127.0.0.2", 80, false},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct inet_diag_req_v2 wanted = {.sdiag_family = cases[i].asked};
		struct inet_diag_msg found = {.idiag_family = cases[i].found,
					      .idiag_state = cases[i].state,
					      .idiag_inode = cases[i].inode};
		bool six = cases[i].asked == AF_INET6;
		put(wanted.id.idiag_src, cases[i].asked, six ? "::1" : "127.0.0.1");
		put(wanted.id.idiag_dst, cases[i].asked, six ? "::2" : "127.0.0.2");
		wanted.id.idiag_sport = htons(4000);
		wanted.id.idiag_dport = htons(80);
		put(found.id.idiag_src, cases[i].found, cases[i].src);
		put(found.id.idiag_dst, cases[i].found, cases[i].dst);
		found.id.idiag_sport = htons(cases[i].sport);
		found.id.idiag_dport = htons(cases[i].dport);
		if (owner_is_peer(&found, &wanted) != cases[i].is)
			fprintf(stderr, "\n%s\n", cases[i].what);
		CU_ASSERT_EQUAL(owner_is_peer(&found, &wanted), cases[i].is);
	}
}

static void accounts(void)
{
	static const struct {
		const char *text;
		bool ok;
		uid_t uid;
	} cases[] = {{"root", true, 0},
		     {"0", true, 0},
		     {"daemon", true, 1},
		     {"12345", true, 12345},
		     {"4294967294", true, 4294967294u},
		     {"4294967295", false, 0},
		     {"99999999999", false, 0},
		     {"", false, 0},
		     {"-1", false, 0},
		     {"no such user", false, 0}};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct err err;
		uid_t uid = 1;
		bool ok = passwd_uid(cases[i].text, &uid, &err);
		CU_ASSERT(ok == cases[i].ok && (!ok || uid == cases[i].uid));
	}
	char name[ACCOUNT_NAME_MAX];
	passwd_name(0, name);
	UNIT_TEXT(name, "root");
	passwd_name(4000000000u, name);
	UNIT_TEXT(name, "");
	CU_ASSERT(passwd_is_named(0) && passwd_is_named(1000));
}

static int held[2]; /* every process of a test runs until its writing end is closed */

static void wait_for_the_end(void)
{
	char byte;
	(void)!read(held[0], &byte, 1);
	_exit(0);
}

/* Forks a chain of processes and returns the last one's pid. If the others are to exit, they have exited by
 * then. */
static pid_t descend(int generations, bool leave)
{
	int report[2];
	pid_t last = 0;
	CU_ASSERT_EQUAL(pipe(report), 0);
	if (fork() == 0) {
		close(held[1]);
		while (--generations > 0)
			if (fork() != 0) {
				if (leave)
					_exit(0);
				wait_for_the_end();
			}
		last = getpid();
		(void)!write(report[1], &last, sizeof(last));
		wait_for_the_end();
	}
	CU_ASSERT_EQUAL(read(report[0], &last, sizeof(last)), (ssize_t)sizeof(last));
	close(report[0]);
	close(report[1]);
	return last;
}

static void descent(void)
{
	CU_ASSERT_EQUAL(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), 0); /* as the daemon */
	CU_ASSERT_EQUAL(pipe(held), 0);
	CU_ASSERT(holder_descends(getpid()));
	CU_ASSERT(!holder_descends(getppid()) && !holder_descends(1) && !holder_descends(0));
	const struct {
		int generations;
		bool leave;
	} cases[] = {{1, false}, {2, false}, {5, false}, {3, true}, {300, false}};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		pid_t last = descend(cases[i].generations, cases[i].leave);
		CU_ASSERT(holder_descends(last));
		CU_ASSERT_EQUAL(holder_of_process(last, loop_clock_ms()), HOLDER_OURS);
		if (cases[i].generations == 1) {
			kill(last, SIGKILL);
			waitpid(last, NULL, 0);
			CU_ASSERT(holder_descends(last)); /* exited */
			CU_ASSERT_EQUAL(holder_of_process(last, loop_clock_ms()), HOLDER_UNSEEN);
		}
	}
	CU_ASSERT_EQUAL(holder_of_process(getppid(), loop_clock_ms()), HOLDER_OTHER);
	CU_ASSERT_EQUAL(holder_of_process(getppid(), 1), HOLDER_UNSEEN); /* started after it connected */
	CU_ASSERT_EQUAL(holder_of_process(0, loop_clock_ms()), HOLDER_UNSEEN); /* of another namespace */
	close(held[1]);
	while (waitpid(-1, NULL, 0) > 0)
		;
	close(held[0]);
}

static void sockets(void)
{
	struct stat about;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	CU_ASSERT(fd >= 0 && fstat(fd, &about) == 0 && pipe(held) == 0);
	uint32_t inode = (uint32_t)about.st_ino;
	CU_ASSERT_EQUAL(holder_of_socket(inode, geteuid()), HOLDER_OURS);
	pid_t child = fork();
	if (child == 0) {
		close(held[1]);
		wait_for_the_end();
	}
	close(fd);
	CU_ASSERT_EQUAL(holder_of_socket(inode, geteuid()), HOLDER_OURS); /* in a child process only */
	close(held[1]);
	waitpid(child, NULL, 0);
	close(held[0]);
	CU_ASSERT_EQUAL(holder_of_socket(inode, geteuid()), HOLDER_UNSEEN);
	enum holder holder = HOLDER_UNSEEN;
	/* Searching is limited to a quarter of a core, which a busy machine may not give. */
	(void)!setpriority(PRIO_PROCESS, 0, -15);
	int64_t begun_ms = loop_clock_ms();
	while (holder == HOLDER_UNSEEN && loop_clock_ms() < begun_ms + 20000)
		holder = holder_of_socket(inode, geteuid());
	CU_ASSERT_EQUAL(holder, HOLDER_BUSY); /* the search pauses */
	while (holder == HOLDER_BUSY && loop_clock_ms() < begun_ms + 40000)
		holder = holder_of_socket(inode, geteuid());
	CU_ASSERT_EQUAL(holder, HOLDER_UNSEEN);
}

int main(void)
{
	return unit_run("owner", (const struct unit_test[]){{"peers", peers},
							    {"accounts", accounts},
							    {"descent", descent},
							    {"sockets", sockets},
							    {0}});
}
