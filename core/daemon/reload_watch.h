/* SPDX-License-Identifier: Apache-2.0 */
/* reload_watch: `reload: watch`. Notices that a file of the configuration has changed, appeared or vanished, and
 * calls once what was read newest has been different for a second without a further change. */
#ifndef RELOAD_WATCH_H
#define RELOAD_WATCH_H

#include "base/loop.h"
#include "config/config.h"

struct reload_watch;
typedef void reload_watch_changed(void *arg);

struct reload_watch *reload_watch_new(struct loop *loop, reload_watch_changed *changed, void *arg);
void reload_watch_free(struct reload_watch *rw); /* may be NULL */
/* The configuration has been read: these are its files and patterns, whether it is good or not. */
void reload_watch_set_sources(struct reload_watch *rw, const struct config *config);
void reload_watch_enable(struct reload_watch *rw, bool enabled);

#endif
