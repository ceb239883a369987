/* SPDX-License-Identifier: Apache-2.0 */
/* skymon/secrets.h - for plugins that keep secrets: a component of such a plugin may be named by any secret option of any other
 * plugin, as in `password: {vault: "database/orders#password"}`, where `vault` is the component's name.
 *
 * The descriptor's `secret` is called for each such option when its component is started, when its server refused the bytes
 * (skymon_ask_fresh), and when the lease ends. It must answer or refuse exactly once before it returns, within skymon_ms_left.
 *
 * Threads  On a thread of the worker, concurrently with checks and other requests of the same component: protect shared data by your
 *          own lock. Memory: values that you pass are copied; wipe your own copy. Options of a plugin with this role may take secrets from
 *          literals, env and file only.
 * Outage   While the server is down, answer with the last good value unless a fresh one is requested, so that consumers that start
 *          again keep working. Back off on your own; after a refusal skymon asks again after 1 s, doubling to 30 s.
 */
#ifndef SKYMON_SECRETS_H
#define SKYMON_SECRETS_H

#include <skymon/plugin.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The two sides of the requested "path#field". Valid until the callback returns. */
static inline const char *skymon_ask_path(struct skymon *sm, struct skymon_ask *ask) { return sm->host->ask_path(ask); }
static inline const char *skymon_ask_field(struct skymon *sm, struct skymon_ask *ask) { return sm->host->ask_field(ask); }
/* Whether a consumer's server refused the last value: then read it again, do not answer from memory. */
static inline bool skymon_ask_fresh(struct skymon *sm, struct skymon_ask *ask) { return sm->host->ask_fresh(ask); }
/* Answers with a value of at most 64 KiB. lease_ms: how long it is valid; then skymon asks again. 0: until it is refused. */
static inline void skymon_answer(struct skymon *sm, struct skymon_ask *ask, const void *bytes, size_t size, int64_t lease_ms)
{ sm->host->answer(ask, bytes, size, lease_ms); }
/* Refuses with one sentence that names the cause, without any secret. */
SKYMON_SAYS(4) void skymon_refuse(struct skymon *sm, struct skymon_ask *ask, enum skymon_reason reason, const char *format, ...)
{ SKYMON_TELL(sm->host->refuse(ask, (int)reason, text_, size_)); }

#ifdef __cplusplus
}
#endif
#endif
