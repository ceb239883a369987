/* SPDX-License-Identifier: Apache-2.0 */
/* dns_message: a question and its answer as bytes (RFC 1035, 6891). Pure; on the parser of glibc's libresolv, which checks all bounds. */
#ifndef DNS_MESSAGE_H
#define DNS_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum dns_type {
	DNS_A,
	DNS_AAAA,
	DNS_CNAME,
	DNS_MX,
	DNS_NS,
	DNS_PTR,
	DNS_SOA,
	DNS_SRV,
	DNS_TXT,
	DNS_CAA,
	DNS_TYPES
};
extern const char *const dns_type_words[DNS_TYPES + 1]; /* ends with NULL */

#define DNS_RCODES 6
extern const char *const dns_rcode_words[DNS_RCODES + 1]; /* by number: NOERROR to REFUSED; ends with NULL */

struct dns_question {
	const char *name; /* an address for DNS_PTR, or a name */
	enum dns_type type;
	bool recurse; /* RD */
	bool dnssec;  /* AD and DO: the answer's AD is wanted */
	bool edns;    /* without it dnssec is AD alone */
};

#define DNS_QUESTION_SIZE 320
/* Returns the size; 0 if the name is not a valid one. */
size_t dns_build(const struct dns_question *question, uint16_t id, unsigned char bytes[DNS_QUESTION_SIZE]);

#define DNS_ANSWERS_MAX 256u
struct dns_answer {
	int rcode;
	bool authoritative, truncated, authentic; /* AA, TC, AD */
	size_t count; /* answers of the asked type, of this name or where its CNAMEs lead */
	const char *texts[DNS_ANSWERS_MAX]; /* as the option `expect` has them; into room */
	bool more;                          /* than there is room for */
	uint32_t ttl;                       /* the least of them, CNAMEs too; s */
	uint32_t serial;                    /* of the first SOA */
	char room[16384];
};

enum dns_fit {
	DNS_FITS,
	DNS_FOREIGN, /* the answer to another question: another id or name, or a question itself */
	DNS_GARBAGE  /* not a DNS message */
};
/* Parses what came as an answer to this question. */
enum dns_fit dns_parse(const struct dns_question *question, uint16_t id, const unsigned char *bytes,
		       size_t size, struct dns_answer *answer);

/* Writes an expected answer as dns_parse writes answers: without the last dot, in lower case where it is a name, addresses in their
 * short form. Returns false with *why set, as in "expect %s", if no answer of this type can look so. */
bool dns_expected(enum dns_type type, const char *text, char *normal, size_t size, const char **why);

#endif
