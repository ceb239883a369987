/* SPDX-License-Identifier: Apache-2.0 */
/* A server with a password: healthy while the secret is what the file says. */
#include <skymon/plugin.h>
#include <stdio.h>
#include <string.h>

struct lock {
	const char *file;
	struct skymon_secret secret;
};

static const struct skymon_option options[] = {
	SKYMON_OPT(struct lock, file, "", "what the secret must be", .flags = SKYMON_TARGET),
	SKYMON_OPT(struct lock, secret, NULL, "the secret"),
	{0}};

static enum skymon_status check(struct skymon *sm, void *state)
{
	const struct lock *lock = state;
	FILE *file = fopen(lock->file, "re");
	if (file == NULL)
		return skymon_unknown(sm, "cannot read %s", lock->file);
	char right[512];
	size_t size = fread(right, 1, sizeof(right), file);
	fclose(file);
	skymon_detail_number(sm, "secret_size", (double)lock->secret.size);
	if (size == lock->secret.size && memcmp(right, lock->secret.bytes, size) == 0)
		return skymon_healthy(sm, "it fits");
	skymon_reason(sm, SKYMON_AUTH_FAILED);
	skymon_secret_refused(sm);
	return skymon_unhealthy(sm, "the secret %s was refused", lock->secret.bytes);
}

SKYMON_PLUGIN(t_lock, "1.0", "Takes one secret", .state_size = sizeof(struct lock), .options = options,
	      .check = check);
