/* SPDX-License-Identifier: Apache-2.0 */
/* tcp_text: escapes in what is sent and expected, and how an answer is shown. Called by the plugin's other files and by the unit
 * test; owns nothing. Pure. */
#include <stdlib.h>
#include <string.h>

#include "tcp.h"

static int hex(char digit)
{
	if (digit >= '0' && digit <= '9')
		return digit - '0';
	if (digit >= 'a' && digit <= 'f')
		return digit - 'a' + 10;
	return digit >= 'A' && digit <= 'F' ? digit - 'A' + 10 : -1;
}

/* Reads the escape behind a backslash. Returns how many bytes it has, 0 if it is not valid. */
static size_t read_escape(const char *at, char *byte)
{
	static const char names[] = "rnt0\\\"", values[] = "\r\n\t\0\\\"";
	const char *name = *at != '\0' ? strchr(names, *at) : NULL;
	if (name != NULL) {
		*byte = values[name - names];
		return 1;
	}
	if (*at != 'x' || hex(at[1]) < 0 || hex(at[2]) < 0)
		return 0;
	*byte = (char)(hex(at[1]) << 4 | hex(at[2]));
	return 3;
}

char *tcp_unescape(const char *text, size_t *size, const char **why)
{
	size_t length = strlen(text), used = 0;
	*size = 0;
	if (length > TCP_TEXT_MAX) {
		*why = "must not have more than 4096 bytes";
		return NULL;
	}
	char *out = malloc(length + 1);
	if (out == NULL)
		abort();
	while (*text != '\0') {
		char byte = *text++;
		if (byte == '\\') {
			size_t escape = read_escape(text, &byte);
			if (escape == 0) {
				*why = "has an escape that is not one of \\r \\n \\t \\0 \\\\ \\\" \\xHH";
				free(out);
				return NULL;
			}
			text += escape;
		}
		out[used++] = byte;
	}
	out[used] = '\0';
	*size = used;
	return out;
}

void tcp_show(const char *bytes, size_t size, char shown[64])
{
	size_t used = 0;
	while (used < size && used < 60 && bytes[used] != '\r' && bytes[used] != '\n') {
		shown[used] = bytes[used] >= ' ' && bytes[used] <= '~' ? bytes[used] : '.';
		used++;
	}
	shown[used] = '\0';
	if (used < size && used == 60)
		strcat(shown, "...");
}
