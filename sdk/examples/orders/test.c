/* SPDX-License-Identifier: Apache-2.0 */
/* The same in C as the first lines of ./test: `make check` runs both. */
#include <skymon/test.h>

#define RUN " --token secret -- $SKYMON run orders --plugin-path . url={url} tls.ca_file={ca} token=secret"

int main(void)
{
	bool good = skymon_test(SKYMON_HEALTHY, SKYMON_OK, "/queue/state is open",
				"$SKYMON test-server http --tls good --body '{\"queue\": {\"state\": \"open\"}}'" RUN);
	good &= skymon_test(SKYMON_UNHEALTHY, SKYMON_BODY_MISMATCH, "is missing", "$SKYMON test-server http --tls good --body '{}'" RUN);
	good &= skymon_test(SKYMON_UNHEALTHY, SKYMON_REFUSED, NULL, "$SKYMON test-server refuse --tls good" RUN);
	return !good;
}
