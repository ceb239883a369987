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

void skymon_tls_report_days(struct skymon *sm, double days)
{
	if (isnan(days))
		return;
	skymon_number(sm, "certificate_days", days);
	skymon_detail_number(sm, "certificate_days", floor(days * 10) / 10);
	skymon_gauge(sm, "skymon_component_certificate_days",
		     "Days until the first certificate of the server's chain ends", days);
}
