/* SPDX-License-Identifier: Apache-2.0 */
/* The host's functions for a component that is traced (skymon run --trace): each reports its call and then is
 * the runner's own. A component that is not traced has the runner's table, and pays nothing. Called by plugins
 * on all threads of the runner; owns the table, which is made once, on the main thread. */
#include "plugin/plugin.h"
#include "runner_private.h"

#include <string.h>

static struct runner_component *of(struct skymon *sm)
{
	return (struct runner_component *)sm;
}

static int cut(size_t size)
{
	return size < 500 ? (int)size : 500;
}

static void say(struct skymon *sm, const char *text, size_t size)
{
	runner_trace(of(sm), "message: %.*s", cut(size), text);
	runner_host.say(sm, text, size);
}

static void reason(struct skymon *sm, int value)
{
	bool known = value >= 0 && value < SKYMON_REASON_COUNT;
	runner_trace(of(sm), "reason: %s", known ? skymon_reason_word((enum skymon_reason)value) : "unknown");
	runner_host.reason(sm, value);
}

static void detail_text(struct skymon *sm, const char *key, const char *text, size_t size)
{
	runner_trace(of(sm), "detail %s: %.*s", key, cut(size), text);
	runner_host.detail_text(sm, key, text, size);
}

static void detail_number(struct skymon *sm, const char *key, double value)
{
	runner_trace(of(sm), "detail %s: %g", key, value);
	runner_host.detail_number(sm, key, value);
}

static void detail_boolean(struct skymon *sm, const char *key, bool value)
{
	runner_trace(of(sm), "detail %s: %s", key, value ? "true" : "false");
	runner_host.detail_boolean(sm, key, value);
}

static void detail_json(struct skymon *sm, const char *key, const char *json)
{
	runner_trace(of(sm), "detail %s: %.500s", key, json != NULL ? json : "");
	runner_host.detail_json(sm, key, json);
}

static void number(struct skymon *sm, const char *name, double value)
{
	runner_trace(of(sm), "number %s: %g", name != NULL ? name : "", value);
	runner_host.number(sm, name, value);
}

static void sample(struct skymon *sm, const struct skymon_sample *given)
{
	runner_trace(of(sm), "metric %s: %g", given->name != NULL ? given->name : "", given->value);
	runner_host.sample(sm, given);
}

static void step(struct skymon *sm, const char *text)
{
	runner_trace(of(sm), "step: %s", text != NULL ? text : "");
	runner_host.step(sm, text);
}

static bool resolve_within(struct skymon *sm, const char *host, int64_t ms, char *addresses, size_t size)
{
	int64_t began_us = runner_clock_us();
	bool found = runner_host.resolve_within(sm, host, ms, addresses, size);
	runner_trace(of(sm), "resolved %s in %.3f ms: %s", host != NULL ? host : "",
		     (double)(runner_clock_us() - began_us) / 1000,
		     found ? addresses : result_builder_message(of(sm)->builder));
	return found;
}

static bool resolve(struct skymon *sm, const char *host, char *addresses, size_t size)
{
	return resolve_within(sm, host, INT64_MAX, addresses, size);
}

static void resolve_later(struct skymon *sm, const char *host,
			  void (*resolved)(struct skymon *, void *, const char *), void *argument)
{
	runner_trace(of(sm), "resolving %s", host != NULL ? host : "");
	runner_host.resolve_later(sm, host, resolved, argument);
}

static void trace(struct skymon *sm, const char *text, size_t size)
{
	runner_trace(of(sm), "%.*s", cut(size), text);
}

static void secret_refused(struct skymon *sm)
{
	runner_trace(of(sm), "the secret was refused");
	runner_host.secret_refused(sm);
}

const struct skymon_host *runner_trace_host(void)
{
	static struct skymon_host traced;
	if (traced.size != 0)
		return &traced;
	traced = runner_host;
	traced.say = say;
	traced.reason = reason;
	traced.detail_text = detail_text;
	traced.detail_number = detail_number;
	traced.detail_boolean = detail_boolean;
	traced.detail_json = detail_json;
	traced.number = number;
	traced.sample = sample;
	traced.step = step;
	traced.resolve = resolve;
	traced.resolve_within = resolve_within;
	traced.resolve_later = resolve_later;
	traced.trace = trace;
	traced.secret_refused = secret_refused;
	return &traced;
}
