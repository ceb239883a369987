/* SPDX-License-Identifier: Apache-2.0 */
/* notify: datagrams to the service manager. Called by daemon, on the loop's thread; owns the socket and the
 * timers. See notify.h. */
#include "notify.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "config/config.h"

#define NAMED_MAX 5 /* components that the sentence names */
#define LOOK_MS 1000

static struct {
	int fd;
	struct sockaddr_un address;
	socklen_t size;
	struct loop *loop;
	struct board *board;
	struct timer watchdog, look;
	int64_t watchdog_ms;
	int64_t in_force_ms; /* since when the configuration is */
	bool refused;        /* the newest one */
	char sentence[512];  /* sent last; `systemctl status` shows one line */
} manager = {.fd = -1};

static void send_line(const char *text)
{
	if (manager.fd >= 0)
		sendto(manager.fd, text, strlen(text), MSG_NOSIGNAL, (struct sockaddr *)&manager.address,
		       manager.size);
}

/* ---- The sentence ---- */

void notify_describe(const struct skymon_snapshot *snapshot, struct buf *out)
{
	size_t configured = 0, healthy = 0, named = 0;
	for (size_t i = 0; i < snapshot->count; i++) {
		configured += snapshot->components[i]->configured;
		healthy += snapshot->components[i]->status == SKYMON_HEALTHY;
	}
	buf_printf(out, "%zu of %zu healthy", healthy, configured);
	for (size_t i = 0; i < snapshot->count && named < NAMED_MAX; i++) {
		const struct skymon_component *component = snapshot->components[i];
		if (component->configured && component->status != SKYMON_HEALTHY) {
			buf_printf(out, "; %s: %s", component->name, component->reason_word);
			named++;
		}
	}
	if (configured - healthy > named)
		buf_printf(out, "; and %zu more", configured - healthy - named);
}

static void describe(void)
{
	struct buf text = {0};
	const struct skymon_snapshot *snapshot = board_snapshot(manager.board);
	notify_describe(snapshot, &text);
	board_release(manager.board, snapshot);
	struct tm local;
	char time[32] = "?";
	if (localtime_r(&(time_t){manager.in_force_ms / 1000}, &local) != NULL)
		strftime(time, sizeof(time), "%F %R", &local);
	if (manager.refused)
		buf_printf(&text, "; reload failed, the config of %s is in force", time);
	if (strncmp(manager.sentence, text.data, sizeof(manager.sentence) - 1) != 0) {
		char line[sizeof(manager.sentence) + 8];
		snprintf(manager.sentence, sizeof(manager.sentence), "%s", text.data);
		snprintf(line, sizeof(line), "STATUS=%s", manager.sentence);
		send_line(line);
	}
	buf_free(&text);
}

/* Not a callback of the board, which has none for the first healthy result of a component. */
static void look(struct timer *timer, int64_t now_ms)
{
	describe();
	loop_set_timer(manager.loop, timer, now_ms + LOOK_MS);
}

/* ---- The daemon's states ---- */

static void feed_watchdog(struct timer *timer, int64_t now_ms)
{
	send_line("WATCHDOG=1");
	loop_set_timer(manager.loop, timer, now_ms + manager.watchdog_ms);
}

void notify_open(struct loop *loop, struct board *board)
{
	const char *path = config_environment("NOTIFY_SOCKET"), *usec = config_environment("WATCHDOG_USEC");
	size_t length = path != NULL ? strlen(path) : 0;
	if (length < 2 || length >= sizeof(manager.address.sun_path) || strchr("/@", path[0]) == NULL)
		return;
	manager.fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	manager.address.sun_family = AF_UNIX;
	memcpy(manager.address.sun_path, path, length);
	if (path[0] == '@')
		manager.address.sun_path[0] = '\0';
	manager.size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
	manager.loop = loop;
	manager.board = board;
	manager.look.fire = look;
	manager.watchdog.fire = feed_watchdog;
	manager.watchdog_ms = usec != NULL ? atoll(usec) / 2000 : 0;
	if (manager.watchdog_ms > 0)
		feed_watchdog(&manager.watchdog, loop_now_ms(loop));
}

void notify_close(void)
{
	if (manager.fd < 0)
		return;
	loop_clear_timer(manager.loop, &manager.watchdog);
	loop_clear_timer(manager.loop, &manager.look);
	close(manager.fd);
	manager.fd = -1;
}

void notify_ready(int64_t now_ms)
{
	if (manager.fd < 0)
		return;
	manager.in_force_ms = now_ms;
	manager.refused = false;
	look(&manager.look, loop_now_ms(manager.loop));
	send_line("READY=1");
}

void notify_reloading(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	char text[80]; /* Type=notify-reload requires the time */
	snprintf(text, sizeof(text), "RELOADING=1\nMONOTONIC_USEC=%lld",
		 (long long)now.tv_sec * 1000000 + now.tv_nsec / 1000);
	send_line(text);
}

void notify_refused(void)
{
	if (manager.fd < 0)
		return;
	manager.refused = true;
	describe();
	send_line("READY=1");
}

void notify_stopping(void)
{
	if (manager.fd < 0)
		return;
	loop_clear_timer(manager.loop, &manager.look);
	send_line("STOPPING=1\nSTATUS=stopping");
}
