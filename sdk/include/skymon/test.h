/* SPDX-License-Identifier: Apache-2.0 */
/* skymon/test.h - for the tests of a plugin's author in C: runs a command that ends in `skymon run`, and compares the result. In shell
 * scripts `skymon test-server` and `skymon run` suffice; sdk/examples/orders has a test of each kind.
 *
 *	skymon_test(SKYMON_UNHEALTHY, SKYMON_TLS_EXPIRED, "expired",
 *		    "skymon test-server http --tls expired -- skymon run orders --plugin-path . url={url} tls.ca_file={ca}");
 *
 * Not for a plugin itself. Of the helper library (`pkg-config skymon-lib`), which a test links statically. It is outside of the ABI's
 * promise: a newer skymon may change it. */
#ifndef SKYMON_TEST_H
#define SKYMON_TEST_H

#include <skymon/plugin.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Runs the command by sh -c, with skymon as PATH finds it, and waits for its end; `skymon run` ends by itself after its --timeout.
 * Compares the status and the reason of the JSON that it prints (--output json, which is the default), and looks for `text` in it, in
 * the message, details or numbers; NULL for any. Returns whether all agree; otherwise it prints the command, what was expected and the
 * output on stderr. Any thread. */
bool skymon_test(enum skymon_status status, enum skymon_reason reason, const char *text, const char *command);

#ifdef __cplusplus
}
#endif

#endif
