/* SPDX-License-Identifier: Apache-2.0 */
/* fault: fills and reports a struct skymon_fault. Called by http, net and the checks that use them, on a
 * check's thread. Owns nothing. */
#include <skymon/fault.h>

#include <stdarg.h>
#include <stdio.h>

void skymon_fault_set(struct skymon_fault *fault, enum skymon_status status, enum skymon_reason reason,
		      const char *format, ...)
{
	*fault = (struct skymon_fault){.status = status, .reason = reason};
	va_list list;
	va_start(list, format);
	vsnprintf(fault->text, sizeof(fault->text), format, list);
	va_end(list);
}

enum skymon_status skymon_report(struct skymon *sm, const char *what, const struct skymon_fault *fault)
{
	const char *colon = what != NULL ? ": " : "";
	if (what == NULL)
		what = "";
	if (fault->reported)
		return fault->status;
	skymon_reason(sm, fault->reason);
	if (fault->status == SKYMON_UNKNOWN)
		return skymon_unknown(sm, "%s%s%s", what, colon, fault->text);
	return skymon_unhealthy(sm, "%s%s%s", what, colon, fault->text);
}
