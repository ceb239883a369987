/* SPDX-License-Identifier: Apache-2.0 */
/* starttls: the dialogs of SMTP (RFC 3207), IMAP (RFC 9051), POP3 (RFC 2595), LDAP (RFC 4511) and PostgreSQL up to TLS. Called by checks,
 * on their thread; owns nothing. See starttls.h. */
#include "starttls.h"

#include <string.h>
#include <strings.h>

#define TOTAL_MAX 65536u /* no server says more before TLS */

const char *const skymon_starttls_words[SKYMON_STARTTLS_PROTOCOLS + 1] = {
	"none", "smtp", "imap", "pop3", "ldap", "postgresql", NULL};

/* ExtendedRequest, message 1, of the OID of StartTLS */
static const char ldap_request[] = "\x30\x1d\x02\x01\x01\x77\x18\x80\x16"
				   "1.3.6.1.4.1.1466.20037";
/* SSLRequest: its length, and 1234.5679 */
static const char postgresql_request[8] = {0, 0, 0, 8, 0x04, (char)0xd2, 0x16, 0x2f};

uint16_t skymon_starttls_port(enum skymon_starttls_protocol protocol)
{
	static const uint16_t ports[] = {443, 25, 143, 110, 389, 5432};
	return ports[protocol];
}

static enum skymon_starttls_state fail(struct skymon_starttls *d, const char *why)
{
	d->why = why;
	return SKYMON_STARTTLS_FAILED;
}

static enum skymon_starttls_state say(struct skymon_starttls *d, const char *bytes, size_t size)
{
	d->send = bytes;
	d->send_size = size;
	d->phase++;
	return SKYMON_STARTTLS_WAITS;
}

static enum skymon_starttls_state say_line(struct skymon_starttls *d, const char *line)
{
	return say(d, line, strlen(line));
}

enum skymon_starttls_state skymon_starttls_begin(struct skymon_starttls *d,
						 enum skymon_starttls_protocol protocol)
{
	*d = (struct skymon_starttls){.protocol = protocol};
	if (protocol == SKYMON_STARTTLS_NONE)
		return SKYMON_STARTTLS_READY;
	if (protocol == SKYMON_STARTTLS_LDAP)
		return say(d, ldap_request, sizeof(ldap_request) - 1);
	if (protocol == SKYMON_STARTTLS_POSTGRESQL)
		return say(d, postgresql_request, sizeof(postgresql_request));
	return SKYMON_STARTTLS_WAITS;
}

/* ---- Lines ---- */

static bool begins(const char *line, const char *with)
{
	return strncasecmp(line, with, strlen(with)) == 0;
}

static enum skymon_starttls_state smtp(struct skymon_starttls *d)
{
	const char *line = d->line;
	bool last = line[0] != '\0' && strspn(line, "0123456789") == 3 && line[3] != '-';
	if (strspn(line, "0123456789") != 3 || (line[3] != '-' && line[3] != ' ' && line[3] != '\0'))
		return fail(d, "what answers there is not SMTP");
	if (d->phase == 1 && line[0] == '2' && line[3] != '\0' && strcasecmp(line + 4, "STARTTLS") == 0)
		d->offered = true;
	if (!last)
		return SKYMON_STARTTLS_WAITS;
	if (d->phase == 0)
		return begins(line, "220") ? say_line(d, "EHLO skymon.invalid\r\n")
					   : fail(d, "the server greets with an error");
	if (d->phase == 1 && line[0] != '2')
		return fail(d, "the server does not accept EHLO");
	if (d->phase == 1)
		return d->offered ? say_line(d, "STARTTLS\r\n")
				  : fail(d, "the server does not offer STARTTLS");
	return begins(line, "220") ? SKYMON_STARTTLS_READY : fail(d, "the server refuses STARTTLS");
}

static enum skymon_starttls_state imap(struct skymon_starttls *d)
{
	if (d->phase == 0) {
		if (begins(d->line, "* OK"))
			return say_line(d, "a STARTTLS\r\n");
		return fail(d, begins(d->line, "* ") ? "the server greets with an error"
						     : "what answers there is not IMAP");
	}
	if (begins(d->line, "* "))
		return SKYMON_STARTTLS_WAITS;
	return begins(d->line, "a OK") ? SKYMON_STARTTLS_READY : fail(d, "the server refuses STARTTLS");
}

static enum skymon_starttls_state pop3(struct skymon_starttls *d)
{
	if (!begins(d->line, "+OK"))
		return fail(d, !begins(d->line, "-ERR") ? "what answers there is not POP3"
			       : d->phase == 0          ? "the server greets with an error"
							: "the server refuses STLS");
	return d->phase == 0 ? say_line(d, "STLS\r\n") : SKYMON_STARTTLS_READY;
}

static enum skymon_starttls_state line_done(struct skymon_starttls *d)
{
	if (d->size > 0 && d->line[d->size - 1] == '\r')
		d->size--;
	d->line[d->size] = '\0';
	d->size = 0;
	return d->protocol == SKYMON_STARTTLS_SMTP   ? smtp(d)
	       : d->protocol == SKYMON_STARTTLS_IMAP ? imap(d)
						     : pop3(d);
}

/* ---- LDAP and PostgreSQL ---- */

/* Reads one tag and length of BER at *at. Returns false if it is not whole yet or not valid; *at is then unchanged. */
static bool ber(const unsigned char *bytes, size_t size, size_t *at, unsigned char tag, size_t *length)
{
	size_t i = *at;
	if (size < i + 2 || bytes[i] != tag)
		return false;
	*length = bytes[i + 1];
	i += 2;
	if (*length >= 0x80) {
		size_t count = *length & 0x7F;
		if (count == 0 || count > 4 || size < i + count)
			return false;
		for (*length = 0; count > 0; count--)
			*length = *length << 8 | bytes[i++];
	}
	*at = i;
	return true;
}

static enum skymon_starttls_state ldap(struct skymon_starttls *d)
{
	const unsigned char *bytes = (const unsigned char *)d->line;
	size_t at = 0, whole = 0, length = 0;
	if (bytes[0] != 0x30)
		return fail(d, "what answers there is not LDAP");
	if (!ber(bytes, d->size, &at, 0x30, &whole) || d->size < at + whole)
		return d->size < sizeof(d->line) - 1 ? SKYMON_STARTTLS_WAITS
						     : fail(d, "what answers there is not LDAP");
	if (d->size > at + whole)
		return fail(d, "the server sends more than its reply before TLS begins");
	/* the message's number, which is 1 or, in a notice of disconnection, 0; then resultCode of an ExtendedResponse */
	if (!ber(bytes, d->size, &at, 0x02, &length) || length != 1 || d->size < at + 1)
		return fail(d, "what answers there is not LDAP");
	at++;
	if (!ber(bytes, d->size, &at, 0x78, &length) || !ber(bytes, d->size, &at, 0x0A, &length) ||
	    length != 1 || d->size < at + 1)
		return fail(d, "what answers there is not LDAP");
	return bytes[at] == 0 ? SKYMON_STARTTLS_READY : fail(d, "the server refuses StartTLS");
}

static enum skymon_starttls_state binary(struct skymon_starttls *d, const char *bytes, size_t size)
{
	if (d->protocol == SKYMON_STARTTLS_POSTGRESQL && (bytes[0] == 'N' || bytes[0] == 'E'))
		return fail(d, "the server refuses TLS");
	if (d->protocol == SKYMON_STARTTLS_POSTGRESQL && bytes[0] != 'S')
		return fail(d, "what answers there is not PostgreSQL");
	if (d->protocol == SKYMON_STARTTLS_POSTGRESQL)
		return size == 1 ? SKYMON_STARTTLS_READY
				 : fail(d, "the server sends more than its reply before TLS begins");
	size_t room = sizeof(d->line) - 1 - d->size;
	memcpy(d->line + d->size, bytes, size < room ? size : room);
	d->size += size < room ? size : room;
	return ldap(d);
}

/* ---- The two ways in ---- */

enum skymon_starttls_state skymon_starttls_feed(struct skymon_starttls *d, const char *bytes, size_t size)
{
	d->send_size = 0;
	d->total += size;
	if (size == 0)
		return SKYMON_STARTTLS_WAITS;
	if (d->protocol == SKYMON_STARTTLS_LDAP || d->protocol == SKYMON_STARTTLS_POSTGRESQL)
		return binary(d, bytes, size);
	if (d->total > TOTAL_MAX)
		return fail(d, "the server sends more than 64 KiB before TLS begins");
	for (size_t i = 0; i < size; i++) {
		if (bytes[i] != '\n') {
			if (d->size < sizeof(d->line) - 1)
				d->line[d->size++] = bytes[i] != '\0' ? bytes[i] : ' ';
			continue;
		}
		enum skymon_starttls_state state = line_done(d);
		/* a reply to what is not sent yet would be taken for one from inside of TLS (CVE-2011-0411) */
		if ((state == SKYMON_STARTTLS_READY || d->send_size > 0) && i + 1 < size)
			return fail(d, "the server sends more than its reply before TLS begins");
		if (state != SKYMON_STARTTLS_WAITS || d->send_size > 0)
			return state;
	}
	return SKYMON_STARTTLS_WAITS;
}
