/* SPDX-License-Identifier: Apache-2.0 */
/* reload_watch: inotify on the folders of the configuration's files, and not on the files, which editors and
 * Kubernetes replace by a rename. An event only says when to look: the files' contents are compared with those of
 * the newest reload, so that other files of these folders lead to no reload, and lost events and those between
 * two sets of watches do no harm. Called by daemon.c, on the loop's thread; owns a copy of the list of sources.
 * See reload_watch.h. */
#include "reload_watch.h"

#include <errno.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "base/log.h"

#define QUIET_MS 1000
#define LINKS_MAX 16 /* symbolic links in a path */
#define EVENTS                                                                                               \
	(IN_CLOSE_WRITE | IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_ATTRIB | IN_DELETE_SELF | \
	 IN_MOVE_SELF | IN_ONLYDIR)

struct reload_watch {
	struct loop *loop;
	reload_watch_changed *changed;
	void *arg;
	struct config_source *sources;
	size_t count;
	bool enabled, failed; /* failed: the log says so already */
	struct watch events;  /* the inotify descriptor, -1 if there is none */
	struct timer quiet;
	uint64_t in_force, seen; /* hashes of the newest reload's contents, and of those of the last look */
};

/* ---- Folders ---- */

static void add_folder(struct reload_watch *rw, const char *path, size_t size)
{
	char *folder = size > 0 ? x_strndup(path, size) : x_strdup(path[0] == '/' ? "/" : ".");
	if (inotify_add_watch(rw->events.fd, folder, EVENTS) < 0) {
		const char *slash = strrchr(folder, '/');
		if (errno == ENOENT || errno == ENOTDIR) { /* it may be made: its parent shows that */
			if (size > 0)
				add_folder(rw, path, slash != NULL ? (size_t)(slash - folder) : 0);
		} else if (!rw->failed) {
			log_warn("cannot watch the folder %s, so that a change in it needs SIGHUP: %s",
				 folder, strerror(errno));
			rw->failed = true;
		}
	}
	free(folder);
}

/* Adds the folder of a path, and of each symbolic link on the way to it: any of them may be exchanged. */
static void add_path(struct reload_watch *rw, const char *path, unsigned links)
{
	size_t folder = 0; /* length of the name before the last slash */
	for (size_t at = 1; path[0] != '\0'; at++) {
		if (path[at] != '/' && path[at] != '\0')
			continue;
		char target[4096];
		char *prefix = x_strndup(path, at);
		ssize_t size = readlink(prefix, target, sizeof(target) - 1);
		free(prefix);
		if (size > 0 && links < LINKS_MAX) {
			target[size] = '\0';
			bool beside = target[0] != '/' && folder > 0;
			char *next = x_printf("%.*s%s%s%s", beside ? (int)folder : 0, path,
					      target[0] != '/' && (beside || path[0] == '/') ? "/" : "",
					      target, path + at);
			add_folder(rw, path, folder);
			add_path(rw, next, links + 1);
			free(next);
			return;
		}
		if (path[at] == '\0')
			break;
		folder = at;
	}
	add_folder(rw, path, folder);
}

/* Adds the folders in which a file or a folder of the pattern may appear. */
static void add_pattern(struct reload_watch *rw, const char *pattern)
{
	size_t wild = strcspn(pattern, "*?[");
	for (size_t at = 0; pattern[at] != '\0'; at++) {
		const char *next = strchr(pattern + at + 1, '/');
		if (pattern[at] != '/' || (next != NULL && (size_t)(next - pattern) < wild))
			continue;
		glob_t found = {0};
		char *folder = x_strndup(pattern, at + 1);
		(void)!glob(folder, GLOB_NOCHECK, NULL, &found);
		for (size_t i = 0; i < found.gl_pathc; i++)
			add_path(rw, found.gl_pathv[i], 0);
		globfree(&found);
		free(folder);
	}
	if (strchr(pattern, '/') == NULL)
		add_folder(rw, pattern, 0);
}

static void close_watches(struct reload_watch *rw)
{
	int fd = rw->events.fd;
	loop_remove(rw->loop, &rw->events);
	if (fd >= 0)
		close(fd);
}

/* Watches the folders of all sources, as they are now. Events of the old descriptor are dropped: its owner looks
 * at the files after this. */
static void arm(struct reload_watch *rw)
{
	close_watches(rw);
	int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (fd < 0) {
		if (!rw->failed)
			log_warn("cannot watch the config, so that a change needs SIGHUP: %s",
				 strerror(errno));
		rw->failed = true;
		return;
	}
	loop_add(rw->loop, &rw->events, fd, EPOLLIN);
	for (size_t i = 0; i < rw->count; i++) {
		if (rw->sources[i].pattern)
			add_pattern(rw, rw->sources[i].path);
		else
			add_path(rw, rw->sources[i].path, 0);
	}
}

/* ---- Changes ---- */

/* Sets the watches, as a folder may be another one now, and looks at the files behind them. Returns whether they
 * differ from those of the last look. */
static bool look(struct reload_watch *rw)
{
	uint64_t before = rw->seen;
	arm(rw);
	rw->seen = config_sources_hash(rw->sources, rw->count, true);
	return rw->seen != before;
}

static void wait_for_quiet(struct reload_watch *rw)
{
	loop_set_timer(rw->loop, &rw->quiet, loop_clock_ms() + QUIET_MS);
}

static void is_quiet(struct timer *timer, int64_t now_ms)
{
	struct reload_watch *rw = container_of(timer, struct reload_watch, quiet);
	(void)now_ms;
	if (look(rw))
		wait_for_quiet(rw);
	else if (rw->seen != rw->in_force)
		rw->changed(rw->arg);
}

static void on_events(struct watch *watch, uint32_t events)
{
	struct reload_watch *rw = container_of(watch, struct reload_watch, events);
	char bytes[4096];
	(void)events;
	while (read(watch->fd, bytes, sizeof(bytes)) > 0)
		; /* their number and kind do not matter, and neither does an overflow */
	if (rw->quiet.slot != 0)
		return;
	look(rw);
	wait_for_quiet(rw);
}

/* ---- Life ---- */

static void forget_sources(struct reload_watch *rw)
{
	for (size_t i = 0; i < rw->count; i++)
		free((char *)rw->sources[i].path);
	free(rw->sources);
	rw->sources = NULL;
	rw->count = 0;
}

static void restart(struct reload_watch *rw)
{
	loop_clear_timer(rw->loop, &rw->quiet);
	close_watches(rw);
	if (!rw->enabled || rw->count == 0)
		return;
	look(rw); /* what has changed since the files were read is noticed here */
	wait_for_quiet(rw);
}

void reload_watch_set_sources(struct reload_watch *rw, const struct config *config)
{
	forget_sources(rw);
	rw->count = config->source_count;
	rw->sources = x_alloc((rw->count + 1) * sizeof(*rw->sources));
	for (size_t i = 0; i < rw->count; i++) {
		rw->sources[i] = config->sources[i];
		rw->sources[i].path = x_strdup(config->sources[i].path);
	}
	rw->in_force = config_sources_hash(rw->sources, rw->count, false);
	restart(rw);
}

void reload_watch_enable(struct reload_watch *rw, bool enabled)
{
	if (rw->enabled == enabled)
		return;
	rw->enabled = enabled;
	rw->failed = false;
	restart(rw);
}

struct reload_watch *reload_watch_new(struct loop *loop, reload_watch_changed *changed, void *arg)
{
	struct reload_watch *rw = x_alloc(sizeof(*rw));
	*rw = (struct reload_watch){.loop = loop, .changed = changed, .arg = arg};
	rw->events = (struct watch){on_events, -1};
	rw->quiet.fire = is_quiet;
	return rw;
}

void reload_watch_free(struct reload_watch *rw)
{
	if (rw == NULL)
		return;
	loop_clear_timer(rw->loop, &rw->quiet);
	close_watches(rw);
	forget_sources(rw);
	free(rw);
}
