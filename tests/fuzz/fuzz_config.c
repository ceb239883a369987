/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes -> config_parse -> settings_new -> print. Any config file is a seed. Build with clang
 * -fsanitize=fuzzer,address,undefined; etc/ holds the seeds. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "config/settings.h"

static const char *lookup(const char *variable)
{
	return strlen(variable) % 2 == 0 ? "value" : NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct config config;
	struct err_list errs = {0};
	bool ok = config_parse("fuzz", (const char *)data, size, lookup, &config, &errs);
	if (ok != (errs.count == 0))
		abort();
	/* also after errors: what could be read is checked too */
	struct settings *settings = settings_new(&config, lookup, &errs);
	if (settings != NULL) {
		struct buf out = {0};
		settings_print(settings, &out);
		buf_free(&out);
	} else if (errs.count == 0) {
		abort();
	}
	settings_free(settings);
	err_list_free(&errs);
	return 0;
}
