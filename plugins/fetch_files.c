/* SPDX-License-Identifier: Apache-2.0 */
/* fetch_files: the files that `tls` names, before libcurl, whose error does not say which of them it is. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "fetch_url.h"

static bool is_readable(const char *option, const char *path, struct fetch_fault *fault)
{
	int file;

	if (path == NULL)
		return true;
	file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (file >= 0) {
		close(file);
		return true;
	}
	fetch_fault_set(fault, SKYMON_UNKNOWN, SKYMON_TLS_OTHER, "cannot read tls.%s %.200s: %s", option,
			path, strerror(errno));
	return false;
}

bool fetch_files_are_readable(const struct skymon_tls *tls, struct fetch_fault *fault)
{
	return tls == NULL || (is_readable("ca_file", tls->ca_file, fault) &&
			       is_readable("cert_file", tls->cert_file, fault) &&
			       is_readable("key_file", tls->key_file, fault));
}
