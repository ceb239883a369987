/* SPDX-License-Identifier: Apache-2.0 */
/* tls_report: details, numbers and metrics of a check's connection. Called by checks that opened one, on the
 * check's thread. Owns nothing. See skymon/tls.h. */
#include <skymon/tls.h>

#include <math.h>

void skymon_tls_report(struct skymon *sm, enum skymon_tls_trust trust, bool local)
{
	static const char *const words[] = {[SKYMON_TLS_NONE] = "none",
					    [SKYMON_TLS_UNVERIFIED] = "unverified",
					    [SKYMON_TLS_VERIFIED] = "verified"};
	const struct skymon_label labels[] = {{"peer", local ? "local" : "remote"}, {"tls", words[trust]}};
	skymon_detail(sm, "tls", "%s", words[trust]);
	skymon_metric(
		sm, SKYMON_GAUGE, "skymon_component_tls",
		"1 with how the component's connection is protected (tls: none, unverified, verified) and "
		"where it leads (peer: local is a loopback address or a Unix socket)",
		1, labels, 2);
}

/* A detail has one digit, so that it does not change in each check. */
static void report_end(struct skymon *sm, const char *name, const char *metric, const char *help, double days)
{
	if (isnan(days))
		return;
	skymon_number(sm, name, days);
	skymon_detail_number(sm, name, floor(days * 10) / 10);
	skymon_gauge(sm, metric, help, days);
}

void skymon_tls_report_days(struct skymon *sm, struct skymon_tls_days days)
{
	report_end(sm, "certificate_days", "skymon_component_certificate_days",
		   "Days until the server's certificate ends", days.certificate);
	report_end(sm, "chain_days", "skymon_component_chain_days",
		   "Days until the first certificate of the server's chain ends", days.chain);
}
