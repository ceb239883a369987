/* SPDX-License-Identifier: Apache-2.0 */
/* dns_message: builds questions and parses answers. Called by dns.c and dns_query.c, on the worker's main thread; owns nothing. See
 * dns_message.h. */
#include "dns_message.h"

#include <arpa/inet.h>
#include <arpa/nameser.h>
#include <ctype.h>
#include <resolv.h>
#include <stdio.h>
#include <string.h>

#define EDNS_SIZE 1232 /* what fits into a packet of every network (DNS flag day 2020) */
#define TYPE_CAA 257   /* newer than glibc's list */

const char *const dns_type_words[DNS_TYPES + 1] = {"A",   "AAAA", "CNAME", "MX",  "NS", "PTR",
						   "SOA", "SRV",  "TXT",   "CAA", NULL};
static const uint16_t type_numbers[DNS_TYPES] = {ns_t_a,   ns_t_aaaa, ns_t_cname, ns_t_mx,  ns_t_ns,
						 ns_t_ptr, ns_t_soa,  ns_t_srv,   ns_t_txt, TYPE_CAA};
const char *const dns_rcode_words[DNS_RCODES + 1] = {"NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN",
						     "NOTIMP",  "REFUSED", NULL};

/* ---- The question ---- */

/* Writes the name that is asked: of an address, its name for PTR. */
static void asked_name(const struct dns_question *question, char name[NS_MAXDNAME])
{
	unsigned char bytes[16];
	size_t at = 0;
	if (question->type == DNS_PTR && inet_pton(AF_INET, question->name, bytes) == 1) {
		snprintf(name, NS_MAXDNAME, "%u.%u.%u.%u.in-addr.arpa", bytes[3], bytes[2], bytes[1],
			 bytes[0]);
	} else if (question->type == DNS_PTR && inet_pton(AF_INET6, question->name, bytes) == 1) {
		for (int i = 15; i >= 0; i--)
			at += (size_t)snprintf(name + at, NS_MAXDNAME - at, "%x.%x.", bytes[i] & 15u,
					       bytes[i] >> 4u);
		snprintf(name + at, NS_MAXDNAME - at, "ip6.arpa");
	} else {
		snprintf(name, NS_MAXDNAME, "%s", question->name);
	}
}

static bool is_ascii(const char *text)
{
	for (; *text != '\0'; text++)
		if (*text <= ' ' || (unsigned char)*text >= 0x7F)
			return false;
	return true;
}

static unsigned char *put16(unsigned char *at, unsigned value)
{
	*at++ = (unsigned char)(value >> 8u);
	*at++ = (unsigned char)value;
	return at;
}

size_t dns_build(const struct dns_question *question, uint16_t id, unsigned char bytes[DNS_QUESTION_SIZE])
{
	unsigned char name[NS_MAXCDNAME], *at = bytes;
	char asked[NS_MAXDNAME];
	asked_name(question, asked);
	if (strlen(question->name) >= NS_MAXDNAME || question->name[0] == '\0' || !is_ascii(asked) ||
	    ns_name_pton(asked, name, sizeof(name)) < 0)
		return 0;
	at = put16(at, id);
	at = put16(at, (question->recurse ? 0x0100u : 0) | (question->dnssec ? 0x0020u : 0));
	at = put16(at, 1);
	at = put16(at, 0);
	at = put16(at, 0);
	at = put16(at, question->edns);
	size_t size = 0;
	while (name[size] != 0) /* labels end with an empty one */
		size += name[size] + 1u;
	memcpy(at, name, size + 1);
	at += size + 1;
	at = put16(at, type_numbers[question->type]);
	at = put16(at, ns_c_in);
	if (question->edns) {
		*at++ = 0; /* the root */
		at = put16(at, ns_t_opt);
		at = put16(at, EDNS_SIZE);
		at = put16(at, 0);
		at = put16(at, question->dnssec ? 0x8000u : 0); /* DO */
		at = put16(at, 0);
	}
	return (size_t)(at - bytes);
}

/* ---- Answers as text ---- */

struct text { /* in answer->room */
	char *at;
	size_t left;
};

static void add(struct text *text, const char *bytes, size_t size)
{
	size = size < text->left ? size : text->left - 1;
	memcpy(text->at, bytes, size);
	text->at += size;
	text->left -= size;
	*text->at = '\0';
}

static void add_number(struct text *text, unsigned long value)
{
	char number[24];
	add(text, number, (size_t)snprintf(number, sizeof(number), "%lu ", value));
}

/* Adds the name at *from, which it moves behind the name; in lower case, without the last dot. */
static bool add_name(struct text *text, const ns_msg *message, const unsigned char **from)
{
	char name[NS_MAXDNAME];
	int used = ns_name_uncompress(ns_msg_base(*message), ns_msg_end(*message), *from, name, sizeof(name));
	if (used < 0)
		return false;
	*from += used;
	for (char *at = name; *at != '\0'; at++)
		*at = (char)tolower((unsigned char)*at);
	add(text, name[0] != '\0' ? name : ".", name[0] != '\0' ? strlen(name) : 1);
	return true;
}

/* Adds character strings; what cannot be printed shows as in zone files, \DDD. */
static void add_bytes(struct text *text, const unsigned char *bytes, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		char escaped[8];
		int length = snprintf(escaped, sizeof(escaped),
				      bytes[i] >= ' ' && bytes[i] < 0x7F ? "%c" : "\\%03u", bytes[i]);
		add(text, escaped, (size_t)length);
	}
}

static bool add_txt(struct text *text, const unsigned char *data, size_t size)
{
	while (size > 0) {
		size_t length = *data;
		if (length + 1 > size)
			return false;
		add_bytes(text, data + 1, length);
		data += length + 1;
		size -= length + 1;
	}
	return true;
}

static bool add_caa(struct text *text, const unsigned char *data, size_t size)
{
	if (size < 2 || data[1] == 0 || 2u + data[1] > size)
		return false;
	add_number(text, data[0]);
	add_bytes(text, data + 2, data[1]);
	add(text, " ", 1);
	add_bytes(text, data + 2 + data[1], size - 2 - data[1]);
	return true;
}

static bool add_soa(struct text *text, const ns_msg *message, const ns_rr *rr, struct dns_answer *answer)
{
	const unsigned char *at = ns_rr_rdata(*rr), *end = at + ns_rr_rdlen(*rr);
	if (!add_name(text, message, &at))
		return false;
	add(text, " ", 1);
	if (!add_name(text, message, &at) || end - at != 20)
		return false;
	if (answer->count == 0)
		answer->serial = (uint32_t)ns_get32(at);
	add(text, " ", 1);
	for (; at < end; at += 4)
		add_number(text, ns_get32(at));
	text->at[-1] = '\0';
	return true;
}

/* Returns false if the record's data are not what its type says. */
static bool print_record(struct text *text, const ns_msg *message, const ns_rr *rr, enum dns_type type,
			 struct dns_answer *answer)
{
	static const unsigned char numbers[DNS_TYPES] = {[DNS_MX] = 1, [DNS_SRV] = 3}; /* before the name */
	const unsigned char *at = ns_rr_rdata(*rr), *end = at + ns_rr_rdlen(*rr);
	size_t size = ns_rr_rdlen(*rr);
	char address[INET6_ADDRSTRLEN];
	if (type == DNS_TXT)
		return add_txt(text, at, size);
	if (type == DNS_CAA)
		return add_caa(text, at, size);
	if (type == DNS_SOA)
		return add_soa(text, message, rr, answer);
	if (type == DNS_A || type == DNS_AAAA) {
		if (size != (type == DNS_A ? 4u : 16u) ||
		    inet_ntop(type == DNS_A ? AF_INET : AF_INET6, at, address, sizeof(address)) == NULL)
			return false;
		add(text, address, strlen(address));
		return true;
	}
	for (int i = 0; i < numbers[type]; i++, at += 2) {
		if (end - at < 2)
			return false;
		add_number(text, ns_get16(at));
	}
	return add_name(text, message, &at) && at == end;
}

/* ---- The answer ---- */

static bool same_name(const char *a, const char *b)
{
	unsigned char wire_a[NS_MAXCDNAME], wire_b[NS_MAXCDNAME];
	if (ns_name_pton(a, wire_a, sizeof(wire_a)) < 0 || ns_name_pton(b, wire_b, sizeof(wire_b)) < 0)
		return false;
	/* lengths of labels are below the letters, and so in no case */
	for (size_t i = 0;; i++) {
		if (tolower(wire_a[i]) != tolower(wire_b[i]))
			return false;
		if (wire_a[i] == 0)
			return true;
	}
}

static bool is_question(const ns_msg *message, const struct dns_question *question)
{
	char asked[NS_MAXDNAME];
	ns_rr rr;
	ns_msg copy = *message;
	asked_name(question, asked);
	return ns_msg_count(*message, ns_s_qd) == 1 && ns_parserr(&copy, ns_s_qd, 0, &rr) == 0 &&
	       same_name(ns_rr_name(rr), asked) && ns_rr_type(rr) == type_numbers[question->type] &&
	       ns_rr_class(rr) == ns_c_in;
}

/* Reads the records of the asked type that belong to the name, or to where its CNAMEs lead, which come in this order from every
 * server. Returns false if one cannot be read. */
static bool read_records(ns_msg *message, const struct dns_question *question, struct dns_answer *answer)
{
	char owner[NS_MAXDNAME];
	struct text text = {.at = answer->room, .left = sizeof(answer->room)};
	asked_name(question, owner);
	for (int i = 0; i < ns_msg_count(*message, ns_s_an); i++) {
		ns_rr rr;
		if (ns_parserr(message, ns_s_an, i, &rr) != 0)
			return false;
		bool asked = ns_rr_type(rr) == type_numbers[question->type];
		if (ns_rr_class(rr) != ns_c_in || !same_name(ns_rr_name(rr), owner) ||
		    (!asked && ns_rr_type(rr) != ns_t_cname))
			continue;
		answer->ttl = ns_rr_ttl(rr) < answer->ttl ? ns_rr_ttl(rr) : answer->ttl;
		if (!asked) {
			if (ns_name_uncompress(ns_msg_base(*message), ns_msg_end(*message), ns_rr_rdata(rr),
					       owner, sizeof(owner)) < 0)
				return false;
			continue;
		}
		if (answer->count == DNS_ANSWERS_MAX || text.left < 1024) {
			answer->more = true;
			continue;
		}
		const char *begin = text.at;
		if (!print_record(&text, message, &rr, question->type, answer))
			return false;
		text.at++; /* behind the NUL */
		text.left--;
		answer->texts[answer->count++] = begin;
	}
	return true;
}

enum dns_fit dns_parse(const struct dns_question *question, uint16_t id, const unsigned char *bytes,
		       size_t size, struct dns_answer *answer)
{
	ns_msg message;
	memset(answer, 0, offsetof(struct dns_answer, room));
	answer->room[0] = '\0';
	answer->ttl = UINT32_MAX;
	if (size < NS_HFIXEDSZ)
		return DNS_GARBAGE;
	if (ns_get16(bytes) != id || (bytes[2] & 0x80u) == 0 || (bytes[2] & 0x78u) != 0)
		return DNS_FOREIGN;
	answer->rcode = bytes[3] & 15;
	answer->authoritative = (bytes[2] & 0x04u) != 0;
	answer->truncated = (bytes[2] & 0x02u) != 0;
	answer->authentic = (bytes[3] & 0x20u) != 0;
	/* a server that does not understand the question need not repeat it */
	if (answer->rcode == ns_r_formerr && size == NS_HFIXEDSZ)
		return DNS_FITS;
	if (size > 65535 || ns_initparse(bytes, (int)size, &message) != 0)
		return answer->truncated ? DNS_FITS : DNS_GARBAGE; /* cut in the middle of a record */
	if (!is_question(&message, question))
		return DNS_FOREIGN;
	return read_records(&message, question, answer) ? DNS_FITS : DNS_GARBAGE;
}

/* ---- What is expected ---- */

static bool expected_address(int family, const char *text, char *normal, size_t size)
{
	unsigned char bytes[16];
	return inet_pton(family, text, bytes) == 1 &&
	       inet_ntop(family, bytes, normal, (socklen_t)size) != NULL;
}

/* Returns whether the text has `count` numbers of 16 bits and then a name. */
static bool numbers_and_name(const char *text, int count)
{
	for (; count > 0; count--) {
		size_t digits = strspn(text, "0123456789");
		if (digits == 0 || digits > 5 || text[digits] != ' ')
			return false;
		text += digits + 1;
	}
	return text[0] != '\0' && strchr(text, ' ') == NULL;
}

/* Copies it with single spaces, without quotes if `unquote`, and in lower case if `lower`. */
static void tidy(const char *text, bool lower, bool unquote, char *normal, size_t size)
{
	size_t at = 0;
	for (; *text != '\0' && at + 1 < size; text++) {
		if ((*text == ' ' && (at == 0 || normal[at - 1] == ' ')) || (*text == '"' && unquote))
			continue;
		normal[at++] = lower ? (char)tolower((unsigned char)*text) : *text;
	}
	while (at > 0 && normal[at - 1] == ' ')
		at--;
	normal[at] = '\0';
}

bool dns_expected(enum dns_type type, const char *text, char *normal, size_t size, const char **why)
{
	*why = NULL;
	if (strlen(text) >= size) {
		*why = "has an entry of more than 511 characters";
	} else if (type == DNS_A || type == DNS_AAAA) {
		if (!expected_address(type == DNS_A ? AF_INET : AF_INET6, text, normal, size))
			*why = type == DNS_A ? "must be IPv4 addresses" : "must be IPv6 addresses";
	} else if (type == DNS_TXT) {
		snprintf(normal, size, "%s", text);
	} else if (type == DNS_CAA || type == DNS_SOA) {
		tidy(text, type == DNS_SOA, type == DNS_CAA, normal, size);
	} else {
		tidy(text, true, false, normal, size);
		size_t length = strlen(normal);
		if (length > 1 && normal[length - 1] == '.' && normal[length - 2] != ' ')
			normal[length - 1] = '\0';
		if (type == DNS_MX && !numbers_and_name(normal, 1))
			*why = "must be a preference and a name, such as \"10 mail.example.com\"";
		else if (type == DNS_SRV && !numbers_and_name(normal, 3))
			*why = "must be priority, weight, port and name, such as \"0 5 5060 sip.example.com\"";
		else if (type != DNS_MX && type != DNS_SRV && !numbers_and_name(normal, 0))
			*why = "must be names";
	}
	return *why == NULL;
}
