/* SPDX-License-Identifier: Apache-2.0 */
/* Everything that a hostile worker may send in a message: bytes -> result_decode, then everything that a
 * reader does with a result; and the hello -> plugin_info_decode, option values. Build with clang
 * -fsanitize=fuzzer,address,undefined. */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "plugin/plugin.h"
#include "wire/result.h"

static void must(bool ok)
{
	if (!ok)
		abort();
}

/* Checks what the rest of the daemon relies on. */
static void walk(const struct skymon_result *result)
{
	must(result->status >= 0 && result->status <= SKYMON_UNHEALTHY && result->reason > 0);
	must(result->message[0] != '\0' && strchr(result->message, '\n') == NULL &&
	     result->details[0] != '\0');
	for (size_t i = 0; i < result->number_count; i++)
		must(isfinite(result->numbers[i]->number) && label_name_ok(result->numbers[i]->name));
	for (size_t i = 0; i < result->family_count; i++) {
		const struct skymon_family *family = result->families[i];
		uint32_t count = 0;
		must(metric_name_ok(family->name));
		struct skymon_series series;
		for (size_t at = 0; skymon_series_next(family, &at, &series); count++) {
			must(series.value_size > 0 && wire_text_ok(series.labels, series.labels_size));
			must(memchr(series.labels, '\n', series.labels_size) == NULL);
			must(memchr(series.value, '\n', series.value_size) == NULL);
		}
		must(count == family->series_count);
	}
}

static void decode_result(const uint8_t *data, size_t size)
{
	char *copy = malloc(size + 1);
	memcpy(copy, data, size);
	struct err err = {""};
	struct result *result = result_decode(copy, wire_reader(copy, size), 0, &err);
	must((result == NULL) == (err.text[0] != '\0'));
	if (result != NULL)
		walk(&result->view);
	result_unref(result);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	struct wire_reader in = wire_reader(data + 1, size - 1);
	struct err err = {""};
	switch (data[0] % 3) {
	case 0:
		decode_result(data + 1, size - 1);
		break;
	case 1:
		plugin_info_free(plugin_info_decode(&in, &err));
		break;
	default:
		option_values_free(option_values_decode(&in, &err));
	}
	return 0;
}
