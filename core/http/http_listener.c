/* SPDX-License-Identifier: Apache-2.0 */
/* http_listener: accepts connections at one address and runs libmicrohttpd for them. http.c makes a listener
 * for each entry of `listen`. Its engine is a libmicrohttpd daemon without a thread, whose epoll descriptor
 * the loop watches: MHD_run is called when it is readable, and in each turn when libmicrohttpd has something
 * to do without waiting. Owns its sockets, engines and certificates; runs on the loop's thread. */
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/pem.h"
#include "http_private.h"

/* Holds a head of HEAD_MAX bytes, an entry for each of its headers, and the head of the reply. Not larger, as
 * libmicrohttpd 0.9 clears all of it after each request. */
#define CONNECTION_MEMORY 32768u
#define ACCEPT_AT_ONCE 64
#define ENDING_MAX 1024    /* connections beyond the limit: ended but not yet closed, and the reserve */
#define ACCEPT_PAUSE_MS 50 /* when descriptors have run out */
#define CERT_LOOK_MS 10000 /* between two looks at the files of certificates */
/* RFC 9325: no version below 1.2, and in 1.2 neither RSA key transport nor CBC; no SHA-1. */
#define PRIORITIES                                                                                           \
	"NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2:-KX-ALL:+ECDHE-ECDSA:+ECDHE-RSA:-CIPHER-ALL:"            \
	"+AES-256-GCM:+CHACHA20-POLY1305:+AES-128-GCM:-MAC-ALL:+AEAD:-SIGN-RSA-SHA1:-SIGN-ECDSA-SHA1"

/* One libmicrohttpd daemon of a listener. New certificates make a new engine for the connections that come
 * from then on; the old one ends with its last connection. */
struct engine {
	struct engine *next;
	struct listener *listener;
	struct MHD_Daemon *daemon;
	struct watch watch;
	struct tls_files tls;
};

/* ---- libmicrohttpd ---- */

static size_t unescape_nothing(void *arg, struct MHD_Connection *connection, char *text)
{
	(void)arg;
	(void)connection;
	return strlen(text);
}

static void log_library(void *arg, const char *format, va_list list)
{
	(void)arg;
	char text[512];
	if (log_level() < LOG_LEVEL_DEBUG)
		return;
	vsnprintf(text, sizeof(text), format, list);
	text[strcspn(text, "\n")] = '\0';
	log_debug("libmicrohttpd: %s", text);
}

static unsigned seconds_up(int64_t ms)
{
	return (unsigned)((ms + 999) / 1000);
}

static struct MHD_Daemon *start_daemon(struct listener *listener, const struct tls_files *tls)
{
	const struct http *http = listener->http;
	struct MHD_OptionItem options[6];
	size_t count = 0;
	/* http_reply.c adds the Date, which it prints once in a second and not for each reply */
	unsigned flags = MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET | MHD_USE_ERROR_LOG |
			 MHD_ALLOW_SUSPEND_RESUME | MHD_USE_SUPPRESS_DATE_NO_CLOCK;
	if (tls->cert != NULL) {
		flags |= MHD_USE_TLS;
		options[count++] = (struct MHD_OptionItem){MHD_OPTION_HTTPS_MEM_CERT, 0, tls->cert};
		options[count++] = (struct MHD_OptionItem){MHD_OPTION_HTTPS_MEM_KEY, 0, tls->key};
		options[count++] = (struct MHD_OptionItem){MHD_OPTION_HTTPS_PRIORITIES, 0,
							   (void *)(uintptr_t)PRIORITIES};
	}
	if (tls->client_ca != NULL)
		options[count++] = (struct MHD_OptionItem){MHD_OPTION_HTTPS_MEM_TRUST, 0, tls->client_ca};
#if MHD_VERSION >= 0x01000000
	/* http_framing.c passes nothing that this level refuses */
	options[count++] = (struct MHD_OptionItem){MHD_OPTION_CLIENT_DISCIPLINE_LVL, 2, NULL};
#endif
	options[count] = (struct MHD_OptionItem){MHD_OPTION_END, 0, NULL};
	return MHD_start_daemon(
		flags, 0, NULL, NULL, request_handle, listener, MHD_OPTION_EXTERNAL_LOGGER, log_library, NULL,
		MHD_OPTION_UNESCAPE_CALLBACK, unescape_nothing, NULL, MHD_OPTION_URI_LOG_CALLBACK,
		request_begin, listener, MHD_OPTION_NOTIFY_COMPLETED, request_completed, listener,
		MHD_OPTION_NOTIFY_CONNECTION, peer_notify, listener, MHD_OPTION_CONNECTION_LIMIT,
		http->connections_max + ENDING_MAX, MHD_OPTION_CONNECTION_TIMEOUT,
		seconds_up(http->idle_timeout_ms), MHD_OPTION_CONNECTION_MEMORY_LIMIT,
		(size_t)CONNECTION_MEMORY, MHD_OPTION_ARRAY, options, MHD_OPTION_END);
}

/* ---- Engines ---- */

static void run_engine(struct watch *watch, uint32_t events)
{
	(void)events;
	MHD_run(container_of(watch, struct engine, watch)->daemon);
}

/* Reports which of the files libmicrohttpd cannot use, and why. */
static void explain(const struct settings_tls *tls, struct err *err)
{
	if (tls->cert_file == NULL ||
	    (pem_check(PEM_CERT, tls->cert_file, true, err) && pem_check(PEM_KEY, tls->key_file, true, err) &&
	     pem_match(tls->cert_file, tls->key_file, true, err) &&
	     (tls->client_ca_file == NULL || pem_check(PEM_CA, tls->client_ca_file, true, err))))
		err_set(err, "libmicrohttpd does not start; the debug log says why");
}

/* Takes ownership of tls, on failure too. */
static bool start_engine(struct listener *listener, struct tls_files *tls, struct err *err)
{
	struct client_rules *clients;
	if (!client_rules_new(&listener->settings->tls, tls, &clients, err)) {
		tls_free(tls);
		return false;
	}
	struct engine *engine = x_alloc(sizeof(*engine));
	engine->listener = listener;
	engine->tls = *tls;
	engine->daemon = start_daemon(listener, tls);
	if (engine->daemon == NULL) {
		tls_free(&engine->tls);
		client_rules_free(clients);
		free(engine);
		explain(&listener->settings->tls, err);
		return false;
	}
	const union MHD_DaemonInfo *info = MHD_get_daemon_info(engine->daemon, MHD_DAEMON_INFO_EPOLL_FD);
	engine->watch.ready = run_engine;
	loop_add(listener->http->loop, &engine->watch, info->epoll_fd, EPOLLIN);
	engine->next = listener->engines;
	listener->engines = engine;
	if (tls->cert != NULL)
		tls_ends(tls->cert, &listener->certificate);
	client_rules_free(listener->clients);
	listener->clients = clients;
	listener->rules_number++;
	return true;
}

static void free_engine(struct engine *engine)
{
	loop_remove(engine->listener->http->loop, &engine->watch);
	MHD_run(engine->daemon); /* send the replies that are queued */
	MHD_stop_daemon(engine->daemon);
	tls_free(&engine->tls);
	free(engine);
}

/* Returns how long libmicrohttpd can wait, or -1 if only events matter. */
static int timeout_ms(struct MHD_Daemon *daemon)
{
	MHD_UNSIGNED_LONG_LONG left;
	if (MHD_get_timeout(daemon, &left) != MHD_YES)
		return -1;
	return left > 3600000 ? 3600000 : (int)left;
}

static int engine_turn(struct engine *engine, bool resumed)
{
	int left = timeout_ms(engine->daemon);
	if (left == 0 || resumed) {
		MHD_run(engine->daemon);
		left = timeout_ms(engine->daemon);
	}
	return left;
}

static bool has_no_connection(const struct engine *engine)
{
	return MHD_get_daemon_info(engine->daemon, MHD_DAEMON_INFO_CURRENT_CONNECTIONS)->num_connections == 0;
}

int listener_turn(struct listener *listener)
{
	bool resumed = listener->resumed;
	int wait = -1;
	listener->resumed = false;
	for (struct engine **place = &listener->engines; *place != NULL;) {
		struct engine *engine = *place;
		int left = engine_turn(engine, resumed);
		if (left >= 0 && (wait < 0 || left < wait))
			wait = left;
		if (engine != listener->engines && has_no_connection(engine)) {
			*place = engine->next;
			free_engine(engine);
		} else {
			place = &engine->next;
		}
	}
	return listener->resumed ? 0 : wait; /* by what was closed in this turn */
}

/* ---- Accepting ---- */

/* Handles a lack of descriptors: ends the connection that has waited longest, and accepts the new one later.
 */
static void pause_accepting(struct listener *listener)
{
	struct loop *loop = listener->http->loop;
	connections_make_room(listener->http);
	loop_change(loop, &listener->accept, 0);
	loop_set_timer(loop, &listener->pause, loop_now_ms(loop) + ACCEPT_PAUSE_MS);
}

static void accept_again(struct timer *timer, int64_t now_ms)
{
	(void)now_ms;
	struct listener *listener = container_of(timer, struct listener, pause);
	loop_change(listener->http->loop, &listener->accept, EPOLLIN);
}

/* libmicrohttpd could accept by itself, but stops when its limit is reached, so that idle clients would keep
 * out all others. */
static void accept_ready(struct watch *watch, uint32_t events)
{
	(void)events;
	struct listener *listener = container_of(watch, struct listener, accept);
	for (int i = 0; i < ACCEPT_AT_ONCE; i++) {
		struct sockaddr_storage address = {0};
		socklen_t size = sizeof(address);
		int fd = accept4(watch->fd, (struct sockaddr *)&address, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
		int why = fd < 0 ? errno : 0;
		if (why == EMFILE || why == ENFILE || why == ENOBUFS || why == ENOMEM)
			pause_accepting(listener);
		if (fd < 0 && why != ECONNABORTED && why != EINTR)
			return;
		if (fd < 0)
			continue;
		if (!connections_admit(listener->http, &address))
			close(fd);
		else if (MHD_add_connection(listener->engines->daemon, fd, (struct sockaddr *)&address,
					    size) != MHD_YES)
			log_debug("libmicrohttpd refused a connection");
	}
}

/* ---- Certificates that change ---- */

static bool is_same_text(const char *a, const char *b)
{
	return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

void listener_renew(struct listener *listener)
{
	struct tls_files tls;
	struct err err;
	const struct tls_files *old = &listener->engines->tls;
	if (listener->settings->tls.cert_file == NULL || listener->accept.fd < 0)
		return;
	listener->files_seen = tls_mark(&listener->settings->tls);
	if (!tls_read(&listener->settings->tls, &tls, &err)) {
		log_error("the old certificate of %s stays: %s", listener->settings->entry.address, err.text);
		return;
	}
	if (is_same_text(tls.cert, old->cert) && is_same_text(tls.key, old->key) &&
	    is_same_text(tls.client_ca, old->client_ca) && is_same_text(tls.client_crl, old->client_crl)) {
		tls_free(&tls);
		return;
	}
	if (!start_engine(listener, &tls, &err)) {
		log_error("the old certificate of %s stays: %s", listener->settings->entry.address, err.text);
		return;
	}
	log_info("%s has a new certificate; connections that are open keep the old one",
		 listener->settings->entry.address);
}

static void look_at_files(struct timer *timer, int64_t now_ms)
{
	struct listener *listener = container_of(timer, struct listener, look);
	if (tls_mark(&listener->settings->tls) != listener->files_seen)
		listener_renew(listener);
	loop_set_timer(listener->http->loop, timer, now_ms + CERT_LOOK_MS);
}

/* ---- Listeners ---- */

/* Returns the configured address, to be freed. The real port replaces a port 0 at its end, and follows the name of sockets that
 * systemd passes, so that no two listeners have the same label. */
static char *label_of(const struct settings_listen *settings, int fd)
{
	const char *text = settings->entry.address;
	struct sockaddr_storage bound;
	socklen_t size = sizeof(bound);
	if (settings->unix_path != NULL || settings->port != 0 ||
	    getsockname(fd, (struct sockaddr *)&bound, &size) != 0 || bound.ss_family == AF_UNIX)
		return x_strdup(text);
	/* the port is in the same place for both families */
	unsigned port = ntohs(((struct sockaddr_in *)&bound)->sin_port);
	return settings->passed != NULL ? x_printf("%s:%u", text, port)
					: x_printf("%.*s%u", (int)strlen(text) - 1, text, port);
}

struct listener *listener_new(struct http *http, struct settings_listen *settings, int fd, struct err *err)
{
	struct tls_files tls = {0};
	struct listener *listener = x_alloc(sizeof(*listener));
	listener->http = http;
	listener->look.fire = look_at_files;
	listener->accept = (struct watch){.ready = accept_ready, .fd = -1};
	listener->pause.fire = accept_again;
	listener->settings = settings_listen_ref(settings);
	listener->passed = fd >= 0;
	if (!tls_read(&settings->tls, &tls, err) || (fd < 0 && !socket_open(settings, &fd, err))) {
		tls_free(&tls);
		if (fd >= 0)
			close(fd);
		listener_free(listener);
		return NULL;
	}
	socket_log(fd);
	loop_add(http->loop, &listener->accept, fd, EPOLLIN);
	listener->label = label_of(settings, fd);
	listener->certificate =
		(struct skymon_listener){.size = sizeof(listener->certificate), .address = listener->label};
	listener->files_seen = tls_mark(&settings->tls);
	if (!start_engine(listener, &tls, err)) {
		(void)err_prefix(err, "cannot listen on %s: ", settings->entry.address);
		listener_free(listener);
		return NULL;
	}
	if (settings->tls.cert_file != NULL)
		loop_set_timer(http->loop, &listener->look, loop_now_ms(http->loop) + CERT_LOOK_MS);
	return listener;
}

void listener_quiesce(struct listener *listener)
{
	loop_clear_timer(listener->http->loop, &listener->look);
	loop_clear_timer(listener->http->loop, &listener->pause);
	int fd = listener->accept.fd;
	if (fd < 0)
		return;
	loop_remove(listener->http->loop, &listener->accept);
	close(fd);
	if (listener->settings->unix_path != NULL && !listener->passed)
		unlink(listener->settings->unix_path);
}

void listener_free(struct listener *listener)
{
	listener_quiesce(listener);
	for (struct engine *engine = listener->engines, *next; engine != NULL; engine = next) {
		next = engine->next;
		free_engine(engine);
	}
	client_rules_free(listener->clients);
	settings_listen_free(listener->settings);
	free(listener->allowed);
	free(listener->label);
	free(listener);
}
