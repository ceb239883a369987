/* SPDX-License-Identifier: Apache-2.0 */
/* Asks the daemon for its guarded routes as if it were a local caller, from the worker and, if it may fork,
 * from processes around it. Details: for each way and target the codes of all requests, 0 without an answer.
 * t_caller_alone.c is the same without the right to start processes. */
#include <arpa/inet.h>
#include <errno.h>
#include <skymon/plugin.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef NAME
#define NAME t_caller
#define FLAGS SKYMON_NEEDS_EXEC
#endif

struct caller {
	struct skymon_texts targets, requests;
	const char *program;
	int64_t user;
};

static const struct skymon_option options[] = {
	SKYMON_OPT(struct caller, targets, NULL, "the listeners: \"ADDRESS PORT\", or \"@PATH 0\""),
	SKYMON_OPT(struct caller, requests, NULL, "METHOD ROUTE"),
	SKYMON_OPT(struct caller, program, "/usr/bin/curl", "curl"),
	SKYMON_OPT(struct caller, user, "0", "another user's number, which a worker of root's can become"),
	{0},
};

struct work {
	const struct caller *caller;
	char host[200], request[400];
	const char *route;
	char method[10];
	int port;
};

/* ---- One request ---- */

static int dial(const struct work *work)
{
	struct sockaddr_in four = {.sin_family = AF_INET, .sin_port = htons((uint16_t)work->port)};
	struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)work->port)};
	struct sockaddr_un path = {.sun_family = AF_UNIX};
	struct timeval patience = {.tv_sec = 10};
	const struct sockaddr *address = (struct sockaddr *)&four;
	socklen_t size = sizeof(four);
	if (work->host[0] == '@') {
		snprintf(path.sun_path, sizeof(path.sun_path), "%.100s", work->host + 1);
		address = (struct sockaddr *)&path;
		size = sizeof(path);
	} else if (inet_pton(AF_INET, work->host, &four.sin_addr) != 1) {
		inet_pton(AF_INET6, work->host, &six.sin6_addr);
		address = (struct sockaddr *)&six;
		size = sizeof(six);
	}
	int fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	if (connect(fd, address, size) == 0)
		return fd;
	close(fd);
	return -1;
}

static void put(int fd, const struct work *work)
{
	(void)!write(fd, work->request, strlen(work->request));
}

static int take(int fd)
{
	char head[13] = "";
	int code = 0;
	if (recv(fd, head, sizeof(head) - 1, MSG_WAITALL) == sizeof(head) - 1)
		code = atoi(head + 9);
	close(fd);
	return code;
}

static int ask(const struct work *work)
{
	int fd = dial(work);
	if (fd < 0)
		return 0;
	put(fd, work);
	return take(fd);
}

static void hand(int to, int fd)
{
	char byte = 'x', control[CMSG_SPACE(sizeof(int))] = {0};
	struct iovec bytes = {&byte, 1};
	struct msghdr message = {.msg_iov = &bytes,
				 .msg_iovlen = 1,
				 .msg_control = control,
				 .msg_controllen = sizeof(control)};
	struct cmsghdr *part = CMSG_FIRSTHDR(&message);
	part->cmsg_level = SOL_SOCKET;
	part->cmsg_type = SCM_RIGHTS;
	part->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(part), &fd, sizeof(fd));
	(void)!sendmsg(to, &message, 0);
	close(fd);
}

static int catch (int from)
{
	char byte, control[CMSG_SPACE(sizeof(int))] = {0};
	struct iovec bytes = {&byte, 1};
	struct msghdr message = {.msg_iov = &bytes,
				 .msg_iovlen = 1,
				 .msg_control = control,
				 .msg_controllen = sizeof(control)};
	int fd = -1;
	if (recvmsg(from, &message, MSG_CMSG_CLOEXEC) == 1 && CMSG_FIRSTHDR(&message) != NULL)
		memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(fd));
	return fd;
}

/* ---- The ways ---- */

static int visible(const struct work *work) /* its descriptors are readable for the daemon's user */
{
	prctl(PR_SET_DUMPABLE, 1);
	int code = ask(work);
	prctl(PR_SET_DUMPABLE, 0);
	return code;
}

static int closed(const struct work *work)
{
	int fd = dial(work);
	put(fd, work);
	close(fd);
	return 0;
}

/* The connection is in no process while the daemon looks. */
static int in_flight(const struct work *work)
{
	int pair[2], fd = dial(work);
	if (fd < 0 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
		return 0;
	int copy = dup(fd);
	hand(pair[0], copy);
	put(fd, work);
	close(fd);
	usleep(50000);
	fd = catch (pair[1]);
	close(pair[0]);
	close(pair[1]);
	return take(fd);
}

/* Runs a part in another process; it returns the code. */
static int in_child(int (*part)(const struct work *work, int wire), const struct work *work, int wire)
{
	int tell[2], code = 0;
	if (pipe(tell) != 0)
		return 0;
	pid_t child = fork();
	if (child == 0) {
		code = part(work, wire);
		(void)!write(tell[1], &code, sizeof(code));
		_exit(0);
	}
	close(tell[1]);
	if (read(tell[0], &code, sizeof(code)) != sizeof(code))
		code = 0;
	close(tell[0]);
	if (child > 0)
		waitpid(child, NULL, 0);
	return code;
}

static int part_ask(const struct work *work, int wire)
{
	(void)wire;
	return ask(work);
}

static int part_visible(const struct work *work, int wire)
{
	(void)wire;
	return visible(work);
}

static int part_other_user(const struct work *work, int wire)
{
	(void)wire;
	(void)!setuid((uid_t)work->caller->user);
	return visible(work);
}

static int part_finish(const struct work *work, int wire)
{
	int fd = catch (wire);
	put(fd, work);
	return take(fd);
}

static int part_connect(const struct work *work, int wire)
{
	int fd = dial(work);
	if (fd >= 0)
		hand(wire, fd);
	return 0;
}

static int child(const struct work *work)
{
	return in_child(part_ask, work, -1);
}

static int visible_child(const struct work *work)
{
	return in_child(part_visible, work, -1);
}

static int other_user(const struct work *work)
{
	return in_child(part_other_user, work, -1);
}

/* As daemons do; its parent is the keeper in the end. */
static int detached(const struct work *work)
{
	int tell[2], code = 0;
	if (pipe(tell) != 0)
		return 0;
	pid_t first = fork();
	if (first == 0) {
		setsid();
		pid_t middle = getpid();
		if (fork() != 0)
			_exit(0);
		for (int i = 0; i < 5000 && getppid() == middle; i++)
			usleep(1000);
		code = visible(work);
		(void)!write(tell[1], &code, sizeof(code));
		_exit(0);
	}
	close(tell[1]);
	if (first > 0)
		waitpid(first, NULL, 0);
	if (read(tell[0], &code, sizeof(code)) != sizeof(code))
		code = 0;
	close(tell[0]);
	return code;
}

static int passed_on(const struct work *work)
{
	int pair[2], fd = dial(work);
	if (fd < 0 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
		return 0;
	hand(pair[0], fd);
	int code = in_child(part_finish, work, pair[1]);
	close(pair[0]);
	close(pair[1]);
	return code;
}

/* The process that connected is gone. */
static int left_behind(const struct work *work)
{
	int pair[2];
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
		return 0;
	(void)in_child(part_connect, work, pair[0]);
	close(pair[0]);
	int fd = catch (pair[1]);
	close(pair[1]);
	if (fd < 0)
		return 0;
	put(fd, work);
	return take(fd);
}

static int program(const struct work *work)
{
	char url[600], code[8] = "";
	bool six = strchr(work->host, ':') != NULL, file = work->host[0] == '@';
	snprintf(url, sizeof(url), "http://%s%s%s:%d/api/v1/grafana/%s", six ? "[" : "",
		 file ? "localhost" : work->host, six ? "]" : "", file ? 80 : work->port, work->route);
	bool write = work->method[0] == 'P';
	char command[900];
	snprintf(command, sizeof(command), "%s -gs -m 10 -o /dev/null -w '%%{http_code}' -X %s %s%s %s '%s'",
		 work->caller->program, work->method, file ? "--unix-socket " : "",
		 file ? work->host + 1 : "", write ? "-H 'Content-Type: application/json' -d '{}'" : "", url);
	FILE *curl = popen(command, "r");
	if (curl == NULL || fgets(code, sizeof(code), curl) == NULL)
		code[0] = '\0';
	if (curl != NULL)
		pclose(curl);
	return atoi(code);
}

static const struct {
	const char *name;
	int (*ask)(const struct work *work);
	bool forks;
} ways[] = {
	{"itself", ask, false},
	{"visible", visible, false},
	{"closed", closed, false},
	{"in_flight", in_flight, false},
	{"child", child, true},
	{"visible_child", visible_child, true},
	{"detached", detached, true},
	{"passed_on", passed_on, true},
	{"left_behind", left_behind, true},
	{"program", program, true},
	{"other_user", other_user, true},
};

static void prepare(struct work *work, const char *request)
{
	sscanf(request, "%9s", work->method);
	work->route = strchr(request, ' ') + 1;
	bool write = work->method[0] == 'P';
	snprintf(work->request, sizeof(work->request),
		 "%s /api/v1/grafana/%s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n%s\r\n%s",
		 work->method, work->route,
		 write ? "Content-Type: application/json\r\nContent-Length: 2\r\n" : "", write ? "{}" : "");
}

static enum skymon_status check(struct skymon *sm, void *state)
{
	const struct caller *caller = state;
	for (size_t way = 0; way < sizeof(ways) / sizeof(ways[0]); way++)
		for (size_t target = 0; target < caller->targets.count; target++) {
			struct work work = {.caller = caller};
			char codes[200] = "";
			if (ways[way].forks && FLAGS == 0)
				continue;
			sscanf(caller->targets.items[target], "%199s %d", work.host, &work.port);
			for (size_t i = 0; i < caller->requests.count; i++) {
				prepare(&work, caller->requests.items[i]);
				size_t used = strlen(codes);
				snprintf(codes + used, sizeof(codes) - used, "%d ", ways[way].ask(&work));
			}
			char name[64];
			snprintf(name, sizeof(name), "%s_%zu", ways[way].name, target);
			skymon_detail(sm, name, "%s", codes);
		}
	return skymon_healthy(sm, "asked");
}

#define DEFINE(name, flags_)                                                                                 \
	SKYMON_PLUGIN(name, "1.0", "Asks for guarded routes", .state_size = sizeof(struct caller),           \
		      .options = options, .check = check, .flags = (flags_))
DEFINE(NAME, FLAGS);
