/* SPDX-License-Identifier: Apache-2.0 */
/* daemon: puts the modules together: start, reload, drain and stop. Called by main; runs the loop on the main
 * thread, and owns every module and the plans in force, being carried out and retired. See daemon.h. */
#include "daemon.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon_start.h"
#include "daemon_user.h"
#include "history.h"
#include "maintenance.h"
#include "http/http.h"
#include "notify.h"
#include "supervisor/orphan.h"
#include "reload.h"
#include "reload_request.h"
#include "reload_route.h"
#include "reload_watch.h"
#include "api.h"
#include "supervisor/sched.h"

#define LEAVE_MIN_MS 1000 /* time for workers to exit if HTTP has used up shutdown.timeout */
#define KILL_MS 500       /* … and then for being killed */
#define RETIRED_LOOK_MS 1000
#define IDLE_LOOK_MS 50 /* while stopping, how often HTTP is polled for being idle */

enum phase { STARTING, RUNNING, DRAINING, CLOSING, LEAVING };

struct daemon {
	const struct daemon_options *options;
	struct loop *loop;
	struct board *board;
	struct sched *sched;
	struct http *http;
	struct plugin_api *plugin_api;
	struct reload *reload;
	struct reload_watch *watch;
	struct maintenance *maintenance; /* NULL before the start */
	struct history *history;         /* NULL before the start is complete, and without state_dir */
	struct plan *plan;               /* in force */
	struct plan *next;               /* being carried out */
	struct plan *old;                /* retired, while requests in flight still use them */
	struct timer free_retired;
	enum phase phase;
	int exit_code;
	int64_t give_up_ms;
	struct watch signals;
	struct timer stop;
	struct reload_requester requester;
	uint64_t requester_turn; /* the reload that it waits for, or a later one */
	struct reload_route reload_route;
	struct reload_outcome outcome; /* of the newest reload */
};

/* ---- Exit ---- */

static void leave(void *arg)
{
	struct daemon *daemon = arg;
	loop_stop(daemon->loop);
}

/* Stops the workers, the last step before the exit. */
static void finish(struct daemon *daemon, int exit_code)
{
	daemon->exit_code = exit_code;
	daemon->phase = LEAVING;
	reload_in_force(daemon->reload, NULL);
	history_free(daemon->history);
	daemon->history = NULL;
	int64_t now_ms = loop_now_ms(daemon->loop), patience_ms = daemon->give_up_ms - now_ms;
	if (patience_ms < LEAVE_MIN_MS)
		patience_ms = LEAVE_MIN_MS;
	loop_set_timer(daemon->loop, &daemon->stop, now_ms + patience_ms + KILL_MS);
	sched_end(daemon->sched, patience_ms, leave, daemon);
}

/* ---- Reload and start ---- */

/* Reports the outcome to all that wait for it. refused: a sentence, or NULL. */
static void answer_reload(struct daemon *daemon, const char *refused)
{
	uint64_t turn = reload_turn(daemon->reload);
	if (turn >= daemon->requester_turn)
		reload_answer(&daemon->requester, refused);
	reload_route_answer(&daemon->reload_route, turn, &daemon->outcome);
}

static void refuse(struct daemon *daemon, const struct err_list *errors)
{
	if (daemon->phase == STARTING) {
		finish(daemon, DAEMON_BAD_CONFIG);
	} else {
		struct err err;
		size_t count = errors->count;
		reload_outcome_free(&daemon->outcome);
		for (size_t i = 0; i < count; i++)
			err_add(&daemon->outcome.errors, "%s", errors->texts[i]);
		(void)err_set(&err,
			      "the new config has %zu error%s and is refused; the old one stays in force",
			      count, count == 1 ? "" : "s");
		log_error("%s", err.text);
		plugin_api_set_reload(daemon->plugin_api, &daemon->outcome.errors);
		answer_reload(daemon, err.text);
		notify_refused();
	}
}

static void log_setting_change(void *arg, const char *key, enum settings_reload reload)
{
	struct daemon *daemon = arg;
	if (reload == SETTINGS_RESTART) {
		log_warn("`%s` has changed: restart skymond to apply it", key);
		err_add(&daemon->outcome.restart, "%s", key);
	} else {
		log_info("`%s` has changed: it applies to workers that start from now on", key);
	}
}

/* A reply in flight may still use a route plugin's state, which is freed after the last such reply. */
static void free_retired(struct timer *timer, int64_t now_ms)
{
	struct daemon *daemon = container_of(timer, struct daemon, free_retired);
	for (struct plan **link = &daemon->old; *link != NULL;) {
		struct plan *plan = *link;
		if (route_table_is_shared(served_routes(plan->served))) {
			link = &plan->next;
			continue;
		}
		*link = plan->next;
		plan_free(plan);
	}
	if (daemon->old != NULL)
		loop_set_timer(daemon->loop, timer, now_ms + RETIRED_LOOK_MS);
}

static void retire(struct daemon *daemon, struct plan *plan)
{
	if (plan == NULL)
		return;
	plan->next = daemon->old;
	daemon->old = plan;
	daemon->free_retired.fire = free_retired;
	loop_set_timer(daemon->loop, &daemon->free_retired, loop_now_ms(daemon->loop) + RETIRED_LOOK_MS);
}

static bool carry_out(struct daemon *daemon, struct err *err)
{
	struct plan *plan = daemon->next, *before = daemon->plan;
	const struct settings *settings = plan->settings;
	if (!served_start(plan->served, before != NULL ? before->served : NULL, daemon->plugin_api,
			  before == NULL, err))
		return false;
	if (before != NULL)
		settings_compare(before->settings, settings, log_setting_change, daemon);
	struct pool *pool = sched_pool(daemon->sched);
	log_configure((enum log_level)settings->log.level.index, (enum log_format)settings->log.format.index);
	pool_configure(pool, before == NULL ? settings->places.state_dir : NULL,
		       settings->limits.worker_memory.count, (uint32_t)settings->limits.series,
		       config_environment);
	pool_set_isolation(pool, settings->places.isolation.index == SETTINGS_ISOLATION_STRICT);
	for (size_t i = 0; i < settings->plugin_count; i++)
		pool_set_daemon_plugin(pool, settings->plugins[i].plugin);
	plugin_api_set_settings(daemon->plugin_api, settings);
	plugin_api_set_routes(daemon->plugin_api, served_routes(plan->served));
	http_configure(daemon->http, plan->settings);
	http_set_routes(daemon->http, served_routes(plan->served));
	sched_configure(daemon->sched, settings);
	sched_apply(daemon->sched, plan->specs, plan->spec_count);
	plan->spec_count = 0; /* owned by sched now */
	maintenance_configure(daemon->maintenance, settings);
	reload_watch_enable(daemon->watch, settings->places.reload.index == SETTINGS_RELOAD_WATCH);
	pool_tidy(pool, true);
	plugin_api_set_reload(daemon->plugin_api, NULL);
	daemon->plan = plan;
	daemon->next = NULL;
	reload_in_force(daemon->reload, plan);
	retire(daemon, before);
	return true;
}

static bool listen_all(struct daemon *daemon)
{
	struct err err = {""};
	const struct settings *settings = daemon->plan->settings;
	bool done = true;
	daemon_user_powers(true);
	for (size_t i = 0; i < daemon->options->listen_count && done; i++) {
		struct settings_listen *listen = settings_listen_new(daemon->options->listens[i], &err);
		done = listen != NULL && http_listen(daemon->http, listen, &err);
		settings_listen_free(listen);
	}
	for (size_t i = 0; daemon->options->listen_count == 0 && i < settings->listen_count && done; i++)
		done = http_listen(daemon->http, settings->listens[i], &err);
	daemon_user_powers(false);
	http_warn_of_sockets(daemon->http);
	if (!done)
		log_error("%s", err.text);
	return done;
}

static void log_start(const struct daemon *daemon)
{
	const struct settings *settings = daemon->plan->settings;
	log_info("skymond %s started: config %s, %zu component%s, %zu plugin%s served", SKYMON_VERSION,
		 daemon->options->config_path, settings->component_count,
		 settings->component_count == 1 ? "" : "s", settings->plugin_count,
		 settings->plugin_count == 1 ? "" : "s");
}

static void begin(struct daemon *daemon)
{
	daemon_warn_of_isolation();
	struct err err;
	const char *state_dir = daemon->next->settings->places.state_dir;
	bool kept = access(state_dir, F_OK) == 0; /* else daemon_take_state_dir has logged why */
	daemon->maintenance = maintenance_new(daemon->loop, kept ? state_dir : NULL, daemon->board);
	plugin_api_set_maintenance(daemon->plugin_api, daemon->maintenance);
	if (kept)
		daemon->history = history_new(daemon->loop, state_dir, daemon->sched, daemon->board);
	if (!carry_out(daemon, &err)) {
		log_error("%s", err.text);
		finish(daemon, DAEMON_FAILED);
	} else if (!listen_all(daemon)) {
		finish(daemon, DAEMON_FAILED);
	} else {
		if (daemon->history != NULL)
			history_begin(daemon->history);
		log_start(daemon);
		daemon->phase = RUNNING;
		plugin_api_set_phase(daemon->plugin_api, SKYMON_PHASE_RUNNING);
		notify_ready(wall_clock_ms());
	}
}

/* again: not asked for by a signal; plugins that could not be used have become usable. */
static void finish_reload(struct daemon *daemon, bool again)
{
	struct err err;
	struct buf changes = {0};
	reload_outcome_free(&daemon->outcome);
	reload_compare(daemon->plan, daemon->next, &daemon->outcome.changes);
	reload_changes_print(&daemon->outcome.changes, &changes);
	if (carry_out(daemon, &err)) {
		if (again)
			log_info("plugins that could not be used were opened: %s", changes.data);
		else
			log_info("config reloaded from %s: %s", daemon->options->config_path, changes.data);
		if (!again)
			answer_reload(daemon, NULL);
		notify_ready(wall_clock_ms());
	} else {
		log_error("%s", err.text);
		plan_free(daemon->next);
		daemon->next = NULL;
		struct err_list errors = {0};
		err_add(&errors, "%s", err.text);
		refuse(daemon, &errors);
		err_list_free(&errors);
		pool_tidy(sched_pool(daemon->sched), false);
	}
	buf_free(&changes);
}

/* ---- Requests for plugins in a worker: from http to pool and back ---- */

static void answered(void *arg, const struct http_message_reply *reply, int code, const char *why)
{
	http_forward_reply(arg, reply, code, why);
}

static uint64_t request_reload(struct daemon *daemon, const struct http_message_request *asked,
			       struct skymon_request *rq)
{
	if (daemon->phase != RUNNING) {
		http_forward_reply(rq, NULL, 503, "skymond stops");
		return 0;
	}
	uint64_t number = reload_route_add(&daemon->reload_route, rq, asked,
					   settings_token(daemon->plan->settings) != NULL,
					   reload_turn(daemon->reload) + 1);
	if (number == 0)
		return 0;
	notify_reloading();
	reload_begin(daemon->reload, false);
	return reload_route_waits(&daemon->reload_route, number) ? number : 0;
}

static uint64_t hand_over(void *arg, const struct route_entry *entry,
			  const struct http_message_request *asked, struct skymon_request *rq)
{
	struct daemon *daemon = arg;
	if (entry->route == &api_reload_route)
		return request_reload(daemon, asked, rq);
	const char *name = entry->plugin; /* a served plugin's component has its name */
	if ((entry->route->flags & SKYMON_ROUTE_COMPONENT) != 0) {
		name = asked->params[0].value;
		if (!plan_has_component(daemon->plan, name, entry->plugin)) {
			http_forward_reply(rq, NULL, 404, "no such component of this plugin");
			return 0;
		}
	}
	return pool_request(sched_pool(daemon->sched), name, asked, answered, rq);
}

static void withdraw(void *arg, uint64_t number)
{
	struct daemon *daemon = arg;
	if (!reload_route_withdraw(&daemon->reload_route, number))
		pool_withdraw(sched_pool(daemon->sched), number);
}

static const struct http_forward forward = {hand_over, withdraw};

static const struct skymon_plugin_state *const *plugin_states(void *arg, size_t *count)
{
	struct daemon *daemon = arg;
	return pool_plugin_states(sched_pool(daemon->sched), count);
}

/* Creates the modules that need settings. */
static void assemble(struct daemon *daemon)
{
	struct settings *settings = daemon->next->settings;
	daemon->http = http_new(daemon->loop, settings, daemon_fit_descriptors(settings));
	http_set_forward(daemon->http, &forward, daemon);
	daemon->plugin_api =
		plugin_api_new(daemon->loop, daemon->http, daemon->board, daemon->options->config_path);
	plugin_api_set_plugins(daemon->plugin_api, plugin_states, daemon);
}

static void do_mode(struct daemon *daemon)
{
	int exit_code = DAEMON_OK;
	if (daemon->options->mode == DAEMON_PRINT_CONFIG)
		daemon_print_plan(daemon->next);
	else if (daemon->options->mode == DAEMON_LIST_ROUTES)
		exit_code = daemon_print_routes(daemon->next, daemon->plugin_api);
	finish(daemon, exit_code);
}

static void settings_are_read(void *arg, const struct settings *settings)
{
	struct daemon *daemon = arg;
	reload_watch_set_sources(daemon->watch, &settings->config);
	if (daemon->phase != STARTING)
		return;
	log_configure((enum log_level)settings->log.level.index, (enum log_format)settings->log.format.index);
	pool_configure(sched_pool(daemon->sched), settings->places.state_dir,
		       settings->limits.worker_memory.count, (uint32_t)settings->limits.series,
		       config_environment);
	pool_set_isolation(sched_pool(daemon->sched),
			   settings->places.isolation.index == SETTINGS_ISOLATION_STRICT);
	struct err err;
	bool run = daemon->options->mode == DAEMON_RUN;
	if (!daemon_become_user(settings, run, &err) ||
	    (run && !daemon_take_state_dir(settings->places.state_dir, &err))) {
		log_error("%s", err.text);
		finish(daemon, DAEMON_FAILED);
		return;
	}
	if (access(daemon->options->config_path, R_OK) != 0)
		log_warn("%s: this user cannot read it, so a reload will be refused: %s",
			 daemon->options->config_path, strerror(errno));
	if (run) /* otherwise nothing will be written */
		pool_make_folders(sched_pool(daemon->sched));
}

static void plan_is_good(void *arg, struct plan *plan, bool again)
{
	struct daemon *daemon = arg;
	if (daemon->phase > RUNNING) {
		plan_free(plan);
		return;
	}
	daemon->next = plan;
	if (daemon->phase == RUNNING) {
		finish_reload(daemon, again);
		return;
	}
	assemble(daemon);
	if (daemon->options->mode == DAEMON_RUN)
		begin(daemon);
	else
		do_mode(daemon);
}

static void plan_is_bad(void *arg, const struct err_list *errors)
{
	struct daemon *daemon = arg;
	if (daemon->phase <= RUNNING)
		refuse(daemon, errors);
}

static const struct reload_events reload_events = {
	.read = settings_are_read, .good = plan_is_good, .bad = plan_is_bad};

static void reload(struct daemon *daemon, const struct signalfd_siginfo *info)
{
	struct reload_requester requester = reload_requester_of(info);
	if (requester.pid != 0) {
		daemon->requester = requester;
		daemon->requester_turn = reload_turn(daemon->reload) + 1;
	}
	notify_reloading();
	reload_begin(daemon->reload, false);
}

static void files_have_changed(void *arg)
{
	struct daemon *daemon = arg;
	if (daemon->phase != RUNNING)
		return;
	log_info("files of the config have changed: reloading");
	notify_reloading();
	reload_begin(daemon->reload, false);
}

/* ---- Stop: readiness first, drain, HTTP, workers ---- */

static void go_on_stopping(struct timer *timer, int64_t now_ms)
{
	struct daemon *daemon = container_of(timer, struct daemon, stop);
	if (daemon->phase == DRAINING) {
		daemon->phase = CLOSING;
		http_quiesce(daemon->http);
		loop_set_timer(daemon->loop, timer, now_ms + 1); /* a turn, for requests that have arrived */
		return;
	}
	if (daemon->phase == LEAVING) {
		log_warn("workers did not exit in time and are killed");
		loop_stop(daemon->loop);
	} else if (http_is_idle(daemon->http) || now_ms >= daemon->give_up_ms) {
		finish(daemon, DAEMON_OK);
	} else {
		loop_set_timer(daemon->loop, timer, now_ms + IDLE_LOOK_MS);
	}
}

static void stop(struct daemon *daemon, const char *why)
{
	if (daemon->phase != RUNNING) {
		loop_stop(daemon->loop); /* asked twice, or before the start was complete: exit now */
		return;
	}
	const struct settings *settings = daemon->plan->settings;
	int64_t now_ms = loop_now_ms(daemon->loop);
	log_info("stopping on %s: not ready from now on, draining for %lld ms", why,
		 (long long)settings->shutdown.drain.ms);
	notify_stopping();
	daemon->phase = DRAINING;
	reload_route_end(&daemon->reload_route);
	/* Where systemd keeps the sockets for the next skymond, a restart without drain shows nowhere. */
	if (settings->shutdown.drain.ms > 0 || !http_keeps_sockets(daemon->http))
		plugin_api_set_phase(daemon->plugin_api, SKYMON_PHASE_DRAINING);
	daemon->give_up_ms = now_ms + settings->shutdown.drain.ms + settings->shutdown.timeout.ms;
	loop_set_timer(daemon->loop, &daemon->stop, now_ms + settings->shutdown.drain.ms);
}

static bool is_worker(void *arg, pid_t pid)
{
	return pool_has_process(arg, pid);
}

static void signals_ready(struct watch *watch, uint32_t events)
{
	(void)events;
	struct daemon *daemon = container_of(watch, struct daemon, signals);
	struct signalfd_siginfo info;
	while (read(watch->fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
		if (info.ssi_signo == SIGCHLD)
			orphan_tend(is_worker, sched_pool(daemon->sched));
		else if (info.ssi_signo != SIGHUP)
			stop(daemon, info.ssi_signo == SIGINT ? "SIGINT" : "SIGTERM");
		else if (daemon->phase == RUNNING)
			reload(daemon, &info);
	}
}

/* ---- Assembly ---- */

static void log_change(void *arg, const struct skymon_component *now, int from)
{
	(void)arg;
	enum log_level level = now->status == SKYMON_HEALTHY     ? LOG_LEVEL_INFO
			       : now->status == SKYMON_UNHEALTHY ? LOG_LEVEL_ERROR
								 : LOG_LEVEL_WARN;
	bool turned = from >= 0 && from != now->status;
	log_line(level,
		 (const char *[]){"component", now->name, "status", skymon_status_word(now->status), "reason",
				  skymon_reason_word(now->reason), turned ? "from" : NULL,
				  turned ? skymon_status_word(from) : NULL, NULL},
		 "%s%s%s", now->message, now->because_of[0] != '\0' ? "; because of " : "", now->because_of);
}

static void note_lag(void *arg, double seconds)
{
	struct daemon *daemon = arg;
	plugin_api_set_lag(daemon->plugin_api, seconds);
}

static bool watch_signals(struct daemon *daemon)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (fd < 0)
		return false;
	daemon->signals.ready = signals_ready;
	loop_add(daemon->loop, &daemon->signals, fd, EPOLLIN);
	return true;
}

static void tear_down(struct daemon *daemon)
{
	int fd = daemon->signals.fd;
	loop_remove(daemon->loop, &daemon->signals);
	if (fd >= 0)
		close(fd);
	loop_clear_timer(daemon->loop, &daemon->stop);
	loop_clear_timer(daemon->loop, &daemon->free_retired);
	notify_close();
	if (daemon->http != NULL)
		http_free(daemon->http);
	maintenance_free(daemon->maintenance);
	plan_free(daemon->next);
	plan_free(daemon->plan);
	for (struct plan *plan = daemon->old, *next; plan != NULL; plan = next) {
		next = plan->next;
		plan_free(plan);
	}
	reload_watch_free(daemon->watch);
	reload_free(daemon->reload);
	reload_outcome_free(&daemon->outcome);
	history_free(daemon->history);
	if (daemon->plugin_api != NULL)
		plugin_api_free(daemon->plugin_api);
	sched_free(daemon->sched);
	board_free(daemon->board);
	loop_free(daemon->loop);
}

static bool check_arguments(const struct daemon_options *options)
{
	struct err err;
	bool fine = true;
	for (size_t i = 0; i < options->listen_count; i++) {
		struct settings_listen *listen = settings_listen_new(options->listens[i], &err);
		if (listen == NULL) {
			log_error("--listen: %s", err.text);
			fine = false;
		}
		settings_listen_free(listen);
	}
	return fine;
}

int daemon_run(const struct daemon_options *options)
{
	if (!check_arguments(options))
		return DAEMON_BAD_CONFIG;
	struct daemon daemon = {.options = options, .signals = {.fd = -1}, .stop = {.fire = go_on_stopping}};
	daemon.loop = loop_new();
	orphan_begin();
	if (daemon.loop == NULL || !watch_signals(&daemon)) {
		log_error("cannot make the event loop: %s", strerror(errno));
		return DAEMON_FAILED;
	}
	daemon.board = board_new(log_change, &daemon);
	daemon.sched = sched_new(daemon.loop, daemon.board, options->worker_program, note_lag, &daemon);
	daemon.reload = reload_new(daemon.loop, sched_pool(daemon.sched), options->config_path,
				   &reload_events, &daemon);
	daemon.watch = reload_watch_new(daemon.loop, files_have_changed, &daemon);
	if (options->mode == DAEMON_RUN)
		notify_open(daemon.loop, daemon.board);
	daemon.phase = STARTING;
	reload_begin(daemon.reload, options->mode == DAEMON_RUN);
	loop_run(daemon.loop);
	tear_down(&daemon);
	return daemon.exit_code;
}
