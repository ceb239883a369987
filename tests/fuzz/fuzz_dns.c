/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes -> an answer to a question of each type, and the dialogs up to STARTTLS. Build with clang -fsanitize=fuzzer,address,undefined. */
#include <stdlib.h>
#include <string.h>

#include "../../plugins/dns/dns_message.c"
#include "starttls.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct dns_answer answer;
	if (size < 1)
		return 0;
	struct dns_question question = {.name = "a.b", .type = (enum dns_type)(data[0] % DNS_TYPES)};
	unsigned char bytes[DNS_QUESTION_SIZE + 65536];
	/* the head and question that fit, then anything */
	size_t begin = dns_build(&question, 0, bytes);
	bytes[2] |= 0x80;
	bytes[7] = size > 1 ? data[1] : 0;
	size_t rest = size - 1 < 65000 ? size - 1 : 65000;
	memcpy(bytes + begin, data + 1, rest);
	unsigned char *copy =
		malloc(begin + rest); /* its own memory, so that a read behind its end is seen */
	memcpy(copy, bytes, begin + rest);
	if (dns_parse(&question, 0, copy, begin + rest, &answer) == DNS_FITS)
		for (size_t i = 0; i < answer.count; i++)
			if (strlen(answer.texts[i]) >= sizeof(answer.room))
				abort();
	free(copy);
	(void)dns_parse(&question, (uint16_t)(data[0] << 8), data, size, &answer);
	struct skymon_starttls dialog;
	enum skymon_starttls_state state = skymon_starttls_begin(
		&dialog, (enum skymon_starttls_protocol)(data[0] % SKYMON_STARTTLS_PROTOCOLS));
	for (size_t at = 1, step = 1; at < size && state == SKYMON_STARTTLS_WAITS;
	     at += step, step = 1 + data[at - 1] % 16u) {
		step = step < size - at ? step : size - at;
		state = skymon_starttls_feed(&dialog, (const char *)data + at, step);
	}
	return 0;
}
