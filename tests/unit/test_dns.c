/* SPDX-License-Identifier: Apache-2.0 */
/* dns: questions, answers as bytes, and what is expected as text. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dns_message.h"
#include "unit.h"

struct packet { /* an answer that is being made */
	unsigned char bytes[20000];
	size_t size;
};

static const struct dns_question a = {
	.name = "www.example.com", .type = DNS_A, .recurse = true, .edns = true};

static void put(struct packet *packet, const void *bytes, size_t size)
{
	memcpy(packet->bytes + packet->size, bytes, size);
	packet->size += size;
}

static void put16(struct packet *packet, unsigned value)
{
	put(packet, (unsigned char[]){(unsigned char)(value >> 8), (unsigned char)value}, 2);
}

/* Begins an answer to the question: its head with these flags and count of answers, and the question. */
static void begin(struct packet *packet, const struct dns_question *question, unsigned flags,
		  unsigned answers)
{
	unsigned char asked[DNS_QUESTION_SIZE];
	struct dns_question plain = *question;
	plain.edns = plain.dnssec = false;
	size_t size = dns_build(&plain, 0x1234, asked);
	packet->size = 0;
	put16(packet, 0x1234);
	put16(packet, flags);
	put16(packet, 1);
	put16(packet, answers);
	put16(packet, 0);
	put16(packet, 0);
	put(packet, asked + 12, size - 12);
}

/* Adds a record; name: as on the wire, NULL for a pointer to the question's. */
static void record(struct packet *packet, const char *name, unsigned type, unsigned ttl, const void *data,
		   size_t size)
{
	if (name == NULL)
		put16(packet, 0xC00C);
	else
		put(packet, name, strlen(name) + 1);
	put16(packet, type);
	put16(packet, 1);
	put16(packet, 0);
	put16(packet, ttl);
	put16(packet, (unsigned)size);
	put(packet, data, size);
}

static enum dns_fit parse(const struct dns_question *question, const struct packet *packet,
			  struct dns_answer *answer)
{
	/* its own memory, so that a read behind its end is seen */
	unsigned char *bytes = malloc(packet->size + 1);
	memcpy(bytes, packet->bytes, packet->size);
	enum dns_fit fit = dns_parse(question, 0x1234, bytes, packet->size, answer);
	free(bytes);
	return fit;
}

static void questions(void)
{
	static const struct {
		struct dns_question question;
		const char *wire; /* the name; NULL if it is refused */
	} cases[] = {
		{{.name = "www.example.com"}, "\3www\7example\3com"},
		{{.name = "Example.COM."}, "\7Example\3COM"},
		{{.name = "_sip._tcp.example.com", .type = DNS_SRV}, "\4_sip\4_tcp\7example\3com"},
		{{.name = "192.0.2.7", .type = DNS_PTR}, "\0017\0012\0010\003192\7in-addr\4arpa"},
		{{.name = "example.com", .type = DNS_PTR}, "\7example\3com"},
		{{.name = "."}, ""},
		{{.name = ""}, NULL},
		{{.name = "a..b"}, NULL},
		{{.name = "caf\xc3\xa9.example"}, NULL},
		{{.name = "a b.example"}, NULL},
		{{.name = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.example"}, NULL},
	};
	unsigned char bytes[DNS_QUESTION_SIZE];
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		size_t size = dns_build(&cases[i].question, 0xABCD, bytes);
		CU_ASSERT_EQUAL(size > 0, cases[i].wire != NULL);
		if (size == 0 || cases[i].wire == NULL)
			continue;
		CU_ASSERT_EQUAL(size, 12 + strlen(cases[i].wire) + 1 + 4);
		CU_ASSERT(memcmp(bytes, "\xAB\xCD\0\0\0\1\0\0\0\0\0\0", 12) == 0);
		CU_ASSERT(memcmp(bytes + 12, cases[i].wire, strlen(cases[i].wire) + 1) == 0);
	}
	/* flags, EDNS with DO, and the nibbles of IPv6 */
	struct dns_question six = {
		.name = "2001:db8::1", .type = DNS_PTR, .recurse = true, .dnssec = true, .edns = true};
	size_t size = dns_build(&six, 1, bytes);
	CU_ASSERT_EQUAL(size, 12 + 32 * 2 + 4 + 5 + 1 + 4 + 11);
	CU_ASSERT(memcmp(bytes + 2, "\1\x20\0\1\0\0\0\0\0\1", 10) == 0);
	CU_ASSERT(memcmp(bytes + 12, "\0011\0010\0010", 6) == 0);
	CU_ASSERT(memcmp(bytes + size - 11, "\0\0\x29\4\xD0\0\0\x80\0\0\0", 11) == 0);
	char longest[300];
	memset(longest, 'a', sizeof(longest));
	for (size_t i = 63; i < sizeof(longest); i += 64)
		longest[i] = '.';
	longest[253] = '\0';
	CU_ASSERT_NOT_EQUAL(dns_build(&(struct dns_question){.name = longest, .edns = true}, 1, bytes), 0);
	memset(longest + 250, 'a', 10);
	longest[260] = '\0';
	CU_ASSERT_EQUAL(dns_build(&(struct dns_question){.name = longest}, 1, bytes), 0);
}

static void records(void)
{
	static const char name[] = "\4mail\7EXAMPLE\3com";
#define NAMED(before) before "\4mail\7EXAMPLE\3com"
	static const struct {
		enum dns_type type;
		unsigned number;
		const char *data;
		size_t size;
		const char *text; /* NULL: garbage */
	} cases[] = {
		{DNS_A, 1, "\xC0\0\2\7", 4, "192.0.2.7"},
		{DNS_A, 1, "\xC0\0\2", 3, NULL},
		{DNS_AAAA, 28, "\x20\1\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\1", 16, "2001:db8::1"},
		{DNS_AAAA, 28, "\x20\1", 2, NULL},
		{DNS_CNAME, 5, name, sizeof(name), "mail.example.com"},
		{DNS_NS, 2, "\3ns1\xC0\x0C", 6, "ns1.www.example.com"},
		{DNS_PTR, 12, "\0", 1, "."},
		{DNS_MX, 15, NAMED("\0\12"), sizeof(name) + 2, "10 mail.example.com"},
		{DNS_MX, 15, "\0", 1, NULL},
		{DNS_MX, 15, NAMED("\0\12") "\0x", sizeof(name) + 3, NULL},
		{DNS_SRV, 33, NAMED("\0\0\0\5\23\304"), sizeof(name) + 6, "0 5 5060 mail.example.com"},
		{DNS_TXT, 16, "\5v=spf\2 1\1\xC3", 11, "v=spf 1\\195"},
		{DNS_TXT, 16, "\5ab", 3, NULL},
		{DNS_TXT, 16, "", 0, ""},
		{DNS_CAA, 257, "\0\5issueletsencrypt.org", 22, "0 issue letsencrypt.org"},
		{DNS_CAA, 257, "\0\x30issue", 7, NULL},
		{DNS_SOA, 6, "\xC0\x0C\xC0\x0C\x78\xA4\xCB\x01\0\0\0\2\0\0\0\3\0\0\0\4\0\0\0\5", 24,
		 "www.example.com www.example.com 2024065793 2 3 4 5"},
		{DNS_SOA, 6, "\xC0\x0C\xC0\x0C\0\0", 6, NULL},
		/* a pointer to itself, and one behind the end */
		{DNS_CNAME, 5, "\xC0\x2D", 2, NULL},
		{DNS_CNAME, 5, "\xFF\xFF", 2, NULL},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct dns_question question = {.name = "www.example.com", .type = cases[i].type};
		struct dns_answer answer;
		struct packet packet;
		begin(&packet, &question, 0x8180, 1);
		record(&packet, NULL, cases[i].number, 300, cases[i].data, cases[i].size);
		enum dns_fit fit = parse(&question, &packet, &answer);
		CU_ASSERT_EQUAL(fit, cases[i].text != NULL ? DNS_FITS : DNS_GARBAGE);
		if (fit != DNS_FITS || cases[i].text == NULL)
			continue;
		CU_ASSERT_EQUAL(answer.count, 1);
		CU_ASSERT_EQUAL(answer.ttl, 300);
		if (answer.count == 1)
			UNIT_TEXT(answer.texts[0], cases[i].text);
		if (cases[i].type == DNS_SOA)
			CU_ASSERT_EQUAL(answer.serial, 2024065793u);
		/* cut anywhere, it is garbage, and reads nothing behind its end */
		for (size_t size = 0; size < packet.size; size++) {
			struct packet cut = packet;
			cut.size = size;
			CU_ASSERT_NOT_EQUAL(parse(&question, &cut, &answer), DNS_FITS);
		}
	}
}

static void answers(void)
{
	struct packet packet;
	struct dns_answer answer;
	/* what does not belong to the name, or leads to it only by chance, does not count */
	begin(&packet, &a, 0x8580, 6);
	record(&packet, "\4evil\3com", 1, 1, "\1\1\1\1", 4);
	record(&packet, NULL, 5, 60, "\3cdn\3net", 9);
	record(&packet, NULL, 1, 1, "\2\2\2\2", 4); /* beside a CNAME, which leads on */
	record(&packet, "\3CDN\3net", 16, 1, "\1x", 2);
	record(&packet, "\3CDN\3net", 1, 30, "\3\3\3\3", 4);
	record(&packet, "\3cdn\3net", 1, 90, "\4\4\4\4", 4);
	CU_ASSERT_EQUAL(parse(&a, &packet, &answer), DNS_FITS);
	CU_ASSERT_EQUAL(answer.count, 2);
	CU_ASSERT_EQUAL(answer.ttl, 30);
	CU_ASSERT_TRUE(answer.authoritative && !answer.truncated && !answer.authentic);
	if (answer.count == 2) {
		UNIT_TEXT(answer.texts[0], "3.3.3.3");
		UNIT_TEXT(answer.texts[1], "4.4.4.4");
	}
	/* flags and codes */
	begin(&packet, &a, 0x83A3, 0);
	CU_ASSERT_EQUAL(parse(&a, &packet, &answer), DNS_FITS);
	CU_ASSERT_TRUE(answer.rcode == 3 && answer.truncated && answer.authentic && answer.count == 0);
	/* another's: id, question, type, a question itself, an opcode */
	begin(&packet, &a, 0x8180, 0);
	CU_ASSERT_EQUAL(dns_parse(&a, 0x1235, packet.bytes, packet.size, &answer), DNS_FOREIGN);
	const struct dns_question other = {.name = "www.example.org", .type = DNS_A},
				  mx = {.name = a.name, .type = DNS_MX};
	CU_ASSERT_EQUAL(parse(&other, &packet, &answer), DNS_FOREIGN);
	CU_ASSERT_EQUAL(parse(&mx, &packet, &answer), DNS_FOREIGN);
	begin(&packet, &a, 0x0180, 0);
	CU_ASSERT_EQUAL(parse(&a, &packet, &answer), DNS_FOREIGN);
	begin(&packet, &a, 0xA180, 0);
	CU_ASSERT_EQUAL(parse(&a, &packet, &answer), DNS_FOREIGN);
	/* the letters' case is the server's */
	const struct dns_question upper = {.name = "WWW.Example.COM.", .type = DNS_A};
	begin(&packet, &a, 0x8180, 0);
	CU_ASSERT_EQUAL(parse(&upper, &packet, &answer), DNS_FITS);
	/* FORMERR without the question; others need it */
	packet.size = 0;
	put(&packet, "\x12\x34\x81\x81\0\0\0\0\0\0\0\0", 12);
	CU_ASSERT_EQUAL(parse(&a, &packet, &answer), DNS_FITS);
	packet.bytes[3] = 0x82;
	CU_ASSERT_EQUAL(parse(&a, &packet, &answer), DNS_FOREIGN);
	/* behind the end */
	begin(&packet, &a, 0x8180, 0);
	put(&packet, "x", 1);
	CU_ASSERT_EQUAL(parse(&a, &packet, &answer), DNS_GARBAGE);
	/* more answers than there is room for */
	begin(&packet, &a, 0x8180, 300);
	for (int i = 0; i < 300; i++)
		record(&packet, NULL, 1, 60, "\1\2\3\4", 4);
	CU_ASSERT_EQUAL(parse(&a, &packet, &answer), DNS_FITS);
	CU_ASSERT_TRUE(answer.count == DNS_ANSWERS_MAX && answer.more);
	const struct dns_question txt = {.name = a.name, .type = DNS_TXT};
	char many[1 + 255] = {(char)255};
	begin(&packet, &txt, 0x8180, 60);
	for (int i = 0; i < 60; i++)
		record(&packet, NULL, 16, 60, many, sizeof(many));
	CU_ASSERT_EQUAL(parse(&txt, &packet, &answer), DNS_FITS);
	CU_ASSERT_TRUE(answer.count < 60 && answer.more);
	/* noise */
	for (unsigned seed = 1; seed < 20000; seed++) {
		srand(seed);
		begin(&packet, &a, 0x8180, 3);
		for (int i = 0; i < 60; i++)
			packet.bytes[packet.size++] = (unsigned char)(rand() % 4 == 0 ? 0xC0 : rand());
		(void)parse(&a, &packet, &answer);
	}
}

static void expected(void)
{
	static const struct {
		enum dns_type type;
		const char *text, *normal, *why;
	} cases[] = {
		{DNS_A, "192.0.2.7", "192.0.2.7", NULL},
		{DNS_A, "192.0.2", NULL, "must be IPv4 addresses"},
		{DNS_A, "example.com", NULL, "must be IPv4 addresses"},
		{DNS_AAAA, "2001:DB8:0::1", "2001:db8::1", NULL},
		{DNS_AAAA, "192.0.2.7", NULL, "must be IPv6 addresses"},
		{DNS_CNAME, "Mail.Example.COM.", "mail.example.com", NULL},
		{DNS_NS, ".", ".", NULL},
		{DNS_NS, "a b", NULL, "must be names"},
		{DNS_PTR, "", NULL, "must be names"},
		{DNS_MX, "10  Mail.example.com.", "10 mail.example.com", NULL},
		{DNS_MX, "0 .", "0 .", NULL},
		{DNS_MX, "mail.example.com", NULL,
		 "must be a preference and a name, such as \"10 mail.example.com\""},
		{DNS_SRV, "0 5 5060 sip.example.com", "0 5 5060 sip.example.com", NULL},
		{DNS_SRV, "0 5 sip.example.com", NULL,
		 "must be priority, weight, port and name, such as \"0 5 5060 sip.example.com\""},
		{DNS_TXT, "v=spf1 -all", "v=spf1 -all", NULL},
		{DNS_TXT, "Case  counts", "Case  counts", NULL},
		{DNS_CAA, "0 issue \"letsencrypt.org\"", "0 issue letsencrypt.org", NULL},
		{DNS_SOA, "NS1.example.com Host.example.com 1 2 3 4 5",
		 "ns1.example.com host.example.com 1 2 3 4 5", NULL},
	};
	char normal[512];
	const char *why;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		bool ok = dns_expected(cases[i].type, cases[i].text, normal, sizeof(normal), &why);
		CU_ASSERT_EQUAL(ok, cases[i].why == NULL);
		UNIT_TEXT(ok ? normal : why, ok ? cases[i].normal : cases[i].why);
	}
	char longest[600];
	memset(longest, 'a', sizeof(longest) - 1);
	longest[599] = '\0';
	CU_ASSERT_FALSE(dns_expected(DNS_TXT, longest, normal, sizeof(normal), &why));
}

int main(void)
{
	return unit_run("dns", (const struct unit_test[]){{"questions", questions},
							  {"records", records},
							  {"answers", answers},
							  {"expected", expected},
							  {0}});
}
