/* SPDX-License-Identifier: Apache-2.0 */
/* The layout of every public struct on x86_64, as the first header had it: a plugin that was built then reads
 * these bytes. A line that fails means that the ABI changed. While the major is 0 that is allowed: raise the
 * minor, say so in plugin.h, and write the new layout here. From 1.0 on fields are only appended, to structs
 * that carry their size or whose stride the plugin passes; LAST says which may grow no more. */
#include <skymon/routes.h>

#include <stddef.h>

#define AT(type, member, offset)                                                                             \
	_Static_assert(offsetof(struct type, member) == (offset), "struct " #type ": " #member " has moved")
#define LAST(type, size)                                                                                     \
	_Static_assert(sizeof(struct type) == (size),                                                        \
		       "struct " #type " has another size, and nothing says it")
#define AT_LEAST(type, size) _Static_assert(sizeof(struct type) >= (size), "struct " #type " has shrunk")

_Static_assert(SKYMON_ABI_MAJOR == 0 && SKYMON_ABI_MINOR == 4, "a new ABI: review this file");
_Static_assert(sizeof(enum skymon_status) == 4 && SKYMON_UNHEALTHY == 3, "the status words");
_Static_assert(SKYMON_REASON_COUNT >= 31 && SKYMON_OTHER == 30, "the reasons: only appended");
_Static_assert(SKYMON_TEXT == 1 && SKYMON_TLS == 13, "the types of options: only appended");
_Static_assert(SKYMON_GAUGE == 1 && SKYMON_COUNTER == 2, "the types of metrics");

AT(skymon_duration, ms, 0);
LAST(skymon_duration, 8);

AT(skymon_bytes, count, 0);
LAST(skymon_bytes, 8);

AT(skymon_ratio, of_one, 0);
LAST(skymon_ratio, 8);

AT(skymon_choice, index, 0);
LAST(skymon_choice, 4);

AT(skymon_secret, bytes, 0);
AT(skymon_secret, size, 8);
LAST(skymon_secret, 16);

AT(skymon_label, name, 0);
AT(skymon_label, value, 8);
LAST(skymon_label, 16);

AT(skymon_texts, items, 0);
AT(skymon_texts, count, 8);
LAST(skymon_texts, 16);

AT(skymon_map, items, 0);
AT(skymon_map, count, 8);
LAST(skymon_map, 16);

AT(skymon_list, items, 0);
AT(skymon_list, count, 8);
LAST(skymon_list, 16);

AT(skymon_tls, ca_file, 0);
AT(skymon_tls, cert_file, 8);
AT(skymon_tls, key_file, 16);
AT(skymon_tls, server_name, 24);
AT(skymon_tls, insecure, 32);
LAST(skymon_tls, 40);

AT(skymon_option, name, 0);
AT(skymon_option, fallback, 8);
AT(skymon_option, type, 16);
AT(skymon_option, offset, 20);
AT(skymon_option, size, 24);
AT(skymon_option, help, 32);
AT(skymon_option, flags, 40);
AT(skymon_option, min, 48);
AT(skymon_option, max, 56);
AT(skymon_option, words, 64);
AT(skymon_option, item, 72);
AT(skymon_option, item_size, 80);
AT_LEAST(skymon_option, 88);

AT(skymon_number, name, 0);
AT(skymon_number, unit, 8);
AT(skymon_number, help, 16);
AT_LEAST(skymon_number, 24);

AT(skymon_part, bytes, 0);
AT(skymon_part, size, 8);
LAST(skymon_part, 16);

AT(skymon_sample, size, 0);
AT(skymon_sample, type, 4);
AT(skymon_sample, name, 8);
AT(skymon_sample, help, 16);
AT(skymon_sample, value, 24);
AT(skymon_sample, labels, 32);
AT(skymon_sample, label_count, 40);
AT_LEAST(skymon_sample, 48);

AT(skymon_host, size, 0);
AT(skymon_host, log, 8);
AT(skymon_host, say, 16);
AT(skymon_host, reason, 24);
AT(skymon_host, detail_text, 32);
AT(skymon_host, detail_number, 40);
AT(skymon_host, detail_boolean, 48);
AT(skymon_host, detail_json, 56);
AT(skymon_host, number, 64);
AT(skymon_host, sample, 72);
AT(skymon_host, ms_left, 80);
AT(skymon_host, step, 88);
AT(skymon_host, resolve, 96);
AT(skymon_host, secret_refused, 104);
AT(skymon_host, name, 112);
AT(skymon_host, state_dir, 120);
AT(skymon_host, print, 128);
AT(skymon_host, request_method, 136);
AT(skymon_host, request_param, 144);
AT(skymon_host, request_query, 152);
AT(skymon_host, request_header, 160);
AT(skymon_host, request_body, 168);
AT(skymon_host, reply_header, 176);
AT(skymon_host, reply, 184);
AT(skymon_host, reply_parts, 192);
AT(skymon_host, reply_problem, 200);
AT(skymon_host, snapshot, 208);
AT(skymon_host, release, 216);
AT(skymon_host, self, 224);
AT(skymon_host, config_public, 232);
AT(skymon_host, routes, 240);
AT(skymon_host, request_trusted, 248);
AT(skymon_host, render, 256);
AT(skymon_host, ask_path, 264);
AT(skymon_host, ask_field, 272);
AT(skymon_host, ask_fresh, 280);
AT(skymon_host, answer, 288);
AT(skymon_host, refuse, 296);
AT(skymon_host, shared, 304);
AT(skymon_host, request_caller, 312);
AT(skymon_host, request_again, 320);
AT(skymon_host, request_audit, 328);
AT(skymon_host, problem_json, 336);
AT(skymon_host, invalid, 344);
AT(skymon_host, resolve_within, 352);
AT(skymon_host, interval_ms, 360);
AT(skymon_host, done, 368);
AT(skymon_host, watch, 376);
AT(skymon_host, timer, 384);
AT(skymon_host, resolve_later, 392);
AT(skymon_host, trace, 400);
AT_LEAST(skymon_host, 408);

AT(skymon_caller, size, 0);
AT(skymon_caller, local, 4);
AT(skymon_caller, address, 8);
AT(skymon_caller, user, 16);
AT(skymon_caller, why_not_local, 24);
AT(skymon_caller, login, 32);
AT_LEAST(skymon_caller, 16);

AT(skymon, host, 0);
AT_LEAST(skymon, 8);

AT(skymon_route, size, 0);
AT(skymon_route, method, 8);
AT(skymon_route, path, 16);
AT(skymon_route, name, 24);
AT(skymon_route, summary, 32);
AT(skymon_route, handle, 40);
AT(skymon_route, flags, 48);
AT_LEAST(skymon_route, 56);

AT(skymon_plugin, abi_major, 0);
AT(skymon_plugin, abi_minor, 2);
AT(skymon_plugin, size, 4);
AT(skymon_plugin, name, 8);
AT(skymon_plugin, version, 16);
AT(skymon_plugin, summary, 24);
AT(skymon_plugin, option_size, 32);
AT(skymon_plugin, number_size, 36);
AT(skymon_plugin, flags, 40);
AT(skymon_plugin, state_size, 44);
AT(skymon_plugin, shared_size, 48);
AT(skymon_plugin, interval_ms, 52);
AT(skymon_plugin, timeout_ms, 56);
AT(skymon_plugin, options, 64);
AT(skymon_plugin, numbers, 72);
AT(skymon_plugin, load, 80);
AT(skymon_plugin, unload, 88);
AT(skymon_plugin, start, 96);
AT(skymon_plugin, stop, 104);
AT(skymon_plugin, check, 112);
AT(skymon_plugin, routes, 120);
AT(skymon_plugin, secret, 128);
AT(skymon_plugin, validate, 136);
AT(skymon_plugin, begin, 144);
AT(skymon_plugin, cancel, 152);
AT_LEAST(skymon_plugin, 160);

AT(skymon_value, size, 0);
AT(skymon_value, name, 8);
AT(skymon_value, text, 16);
AT(skymon_value, number, 24);
AT_LEAST(skymon_value, 32);

AT(skymon_family, size, 0);
AT(skymon_family, type, 4);
AT(skymon_family, name, 8);
AT(skymon_family, help, 16);
AT(skymon_family, series, 24);
AT(skymon_family, series_size, 32);
AT(skymon_family, series_count, 40);
AT_LEAST(skymon_family, 48);

AT(skymon_series, labels, 0);
AT(skymon_series, value, 8);
AT(skymon_series, labels_size, 16);
AT(skymon_series, value_size, 18);
LAST(skymon_series, 24);

AT(skymon_result, size, 0);
AT(skymon_result, status, 4);
AT(skymon_result, reason, 8);
AT(skymon_result, id, 16);
AT(skymon_result, time_ms, 24);
AT(skymon_result, duration_us, 32);
AT(skymon_result, message, 40);
AT(skymon_result, details, 48);
AT(skymon_result, numbers, 56);
AT(skymon_result, number_count, 64);
AT(skymon_result, families, 72);
AT(skymon_result, family_count, 80);
AT(skymon_result, reason_word, 88);
AT_LEAST(skymon_result, 96);

AT(skymon_component, size, 0);
AT(skymon_component, status, 4);
AT(skymon_component, reason, 8);
AT(skymon_component, impact, 12);
AT(skymon_component, configured, 16);
AT(skymon_component, stale, 17);
AT(skymon_component, starting, 18);
AT(skymon_component, consecutive_failures, 20);
AT(skymon_component, name, 24);
AT(skymon_component, plugin, 32);
AT(skymon_component, message, 40);
AT(skymon_component, labels, 48);
AT(skymon_component, since_ms, 56);
AT(skymon_component, last_success_ms, 64);
AT(skymon_component, next_check_ms, 72);
AT(skymon_component, interval_ms, 80);
AT(skymon_component, checks_total, 88);
AT(skymon_component, failures_total, 96);
AT(skymon_component, shown, 104);
AT(skymon_component, latest, 112);
AT(skymon_component, series_dropped_total, 120);
AT(skymon_component, limits, 128);
AT(skymon_component, limit_count, 136);
AT(skymon_component, reason_word, 144);
AT(skymon_component, group, 152);
AT(skymon_component, because_of, 160);
AT(skymon_component, maintenance, 168);
AT_LEAST(skymon_component, 176);

AT(skymon_maintenance, size, 0);
AT(skymon_maintenance, why, 8);
AT(skymon_maintenance, by, 16);
AT(skymon_maintenance, since_ms, 24);
AT(skymon_maintenance, until_ms, 32);
AT_LEAST(skymon_maintenance, 40);

AT(skymon_group, size, 0);
AT(skymon_group, status, 4);
AT(skymon_group, ready_reason, 8);
AT(skymon_group, name, 16);
AT_LEAST(skymon_group, 24);

AT(skymon_limit, size, 0);
AT(skymon_limit, critical, 4);
AT(skymon_limit, unmeasured, 5);
AT(skymon_limit, number, 8);
AT(skymon_limit, text, 16);
AT(skymon_limit, why, 24);
AT(skymon_limit, value, 32);
AT_LEAST(skymon_limit, 40);

AT(skymon_snapshot, size, 0);
AT(skymon_snapshot, status, 4);
AT(skymon_snapshot, ready_reason, 8);
AT(skymon_snapshot, generation, 16);
AT(skymon_snapshot, components, 24);
AT(skymon_snapshot, count, 32);
AT(skymon_snapshot, groups, 40);
AT(skymon_snapshot, group_count, 48);
AT_LEAST(skymon_snapshot, 56);

AT(skymon_http_count, size, 0);
AT(skymon_http_count, route, 8);
AT(skymon_http_count, method, 16);
AT(skymon_http_count, code, 24);
AT(skymon_http_count, requests, 32);
AT_LEAST(skymon_http_count, 40);

AT(skymon_http_time, size, 0);
AT(skymon_http_time, route, 8);
AT(skymon_http_time, count, 16);
AT(skymon_http_time, buckets, 24);
AT(skymon_http_time, sum_seconds, 32);
AT_LEAST(skymon_http_time, 40);

AT(skymon_plugin_state, size, 0);
AT(skymon_plugin_state, name, 8);
AT(skymon_plugin_state, version, 16);
AT(skymon_plugin_state, isolation, 24);
AT(skymon_plugin_state, abi_major, 32);
AT(skymon_plugin_state, abi_minor, 34);
AT(skymon_plugin_state, up, 36);
AT(skymon_plugin_state, restarts_total, 40);
AT_LEAST(skymon_plugin_state, 48);

AT(skymon_source, size, 0);
AT(skymon_source, present, 4);
AT(skymon_source, counter, 5);
AT(skymon_source, key, 8);
AT(skymon_source, value, 16);
AT_LEAST(skymon_source, 24);

AT(skymon_self, size, 0);
AT(skymon_self, phase, 4);
AT(skymon_self, version, 8);
AT(skymon_self, compiler, 16);
AT(skymon_self, service, 24);
AT(skymon_self, title, 32);
AT(skymon_self, service_version, 40);
AT(skymon_self, now_ms, 48);
AT(skymon_self, started_ms, 56);
AT(skymon_self, uptime_seconds, 64);
AT(skymon_self, loop_age_ms, 72);
AT(skymon_self, loop_lag_seconds, 80);
AT(skymon_self, open_connections, 88);
AT(skymon_self, requests_total, 96);
AT(skymon_self, resident_bytes, 104);
AT(skymon_self, cpu_seconds, 112);
AT(skymon_self, reload_ok, 120);
AT(skymon_self, reload_time_ms, 128);
AT(skymon_self, sources, 136);
AT(skymon_self, source_count, 144);
AT(skymon_self, http_counts, 152);
AT(skymon_self, http_count_count, 160);
AT(skymon_self, http_times, 168);
AT(skymon_self, http_time_count, 176);
AT(skymon_self, plugins, 184);
AT(skymon_self, plugin_count, 192);
AT(skymon_self, failed_tokens_total, 200);
AT(skymon_self, evicted_connections_total, 208);
AT(skymon_self, open_fds, 216);
AT(skymon_self, max_fds, 224);
AT(skymon_self, refused_connections_total, 232);
AT(skymon_self, isolation, 240);
AT(skymon_self, bucket_seconds, 248);
AT(skymon_self, bucket_count, 256);
AT(skymon_self, listeners, 264);
AT(skymon_self, listener_count, 272);
AT_LEAST(skymon_self, 280);

AT(skymon_listener, size, 0);
AT(skymon_listener, address, 8);
AT(skymon_listener, certificate_ends_ms, 16);
AT(skymon_listener, chain_ends_ms, 24);
AT_LEAST(skymon_listener, 32);

AT(skymon_config, size, 0);
AT(skymon_config, environment, 8);
AT(skymon_config, log_level, 16);
AT(skymon_config, features, 24);
AT(skymon_config, feature_count, 32);
AT(skymon_config, ready_follows_self, 40);
AT(skymon_config, file, 48);
AT(skymon_config, reload_ms, 56);
AT(skymon_config, errors, 64);
AT(skymon_config, error_count, 72);
AT(skymon_config, has_access_token, 80);
AT_LEAST(skymon_config, 88);

AT(skymon_route_line, size, 0);
AT(skymon_route_line, method, 8);
AT(skymon_route_line, path, 16);
AT(skymon_route_line, name, 24);
AT(skymon_route_line, summary, 32);
AT(skymon_route_line, plugin, 40);
AT_LEAST(skymon_route_line, 48);

AT(skymon_routes, size, 0);
AT(skymon_routes, lines, 8);
AT(skymon_routes, count, 16);
AT_LEAST(skymon_routes, 24);

int main(void)
{
	return 0;
}
