/* SPDX-License-Identifier: Apache-2.0 */
/* dns: checks that a name server answers a question as expected. Called by the worker, on its loop; a run waits for nothing, so that one
 * thread serves thousands. Owns the texts that are expected, in a form that can be compared. */
#include <skymon/loop.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dns.h"

#define EXPECTED_SIZE 512

static const char *const transports[] = {"udp", "tcp", NULL};

static const struct skymon_option options[] = {
	SKYMON_OPT(struct dns, name, NULL, "the name to ask for; with type PTR also an address",
		   .flags = SKYMON_TARGET),
	SKYMON_OPT(struct dns, type, "A", "the type of record", .words = dns_type_words),
	SKYMON_OPT(struct dns, server, NULL,
		   "address or name of the server to ask, with :port unless it is 53; left out: the system's "
		   "(/etc/resolv.conf)"),
	SKYMON_OPT(
		struct dns, primary, NULL,
		"with type SOA another server, to compare the zone's serial number with: the number serial_lag"),
	SKYMON_OPT(struct dns, transport, "udp",
		   "udp turns to TCP for an answer that is cut; tcp asks over TCP alone",
		   .words = transports),
	SKYMON_OPT(
		struct dns, expect, NULL,
		"the answers, all of them, in any order: \"192.0.2.7\", \"mail.example.com\", \"10 mx.example.com\""),
	SKYMON_OPT(struct dns, contains, NULL, "answers of which each must be there; others may be"),
	SKYMON_OPT(struct dns, empty, "false", "the name must have no record of this type"),
	SKYMON_OPT(struct dns, rcode, "NOERROR",
		   "the response code, such as NXDOMAIN for a name that must not exist",
		   .words = dns_rcode_words),
	SKYMON_OPT(struct dns, dnssec, "false",
		   "the server must have verified the answer (flag AD); it is to be one that you trust"),
	SKYMON_OPT(struct dns, authoritative, "false",
		   "the server must hold the zone itself (flag AA): no recursion is asked for"),
	{0}};

static const struct skymon_number numbers[] = {
	{"answer_time", "s", "from the first packet to the answer"},
	{"answers", "", "records of the type in the answer"},
	{"ttl", "s", "the least time to live of these records, and of the CNAMEs before them"},
	{"serial", "", "the zone's serial number; with type SOA"},
	{"serial_lag", "", "by how much the primary's serial number is ahead; with `primary`"},
	{0}};

/* ---- Options ---- */

static bool is_set(const char *text)
{
	return text != NULL && text[0] != '\0';
}

static void validate_texts(struct skymon *sm, const char *option, const struct skymon_texts *texts, int type)
{
	char normal[EXPECTED_SIZE];
	const char *why;
	for (size_t i = 0; i < texts->count; i++)
		if (!dns_expected((enum dns_type)type, texts->items[i], normal, sizeof(normal), &why)) {
			skymon_invalid(sm, option, "%s", why);
			return;
		}
}

static void validate(struct skymon *sm, const void *state)
{
	const struct dns *dns = state;
	struct skymon_net_address address;
	unsigned char bytes[DNS_QUESTION_SIZE];
	const char *why;
	struct dns_question question = {.name = dns->name, .type = (enum dns_type)dns->type.index};
	bool some = dns->expect.count > 0 || dns->contains.count > 0;
	if (is_set(dns->name) && dns_build(&question, 0, bytes) == 0)
		skymon_invalid(
			sm, "name",
			"must be a domain name: labels of 1 to 63 characters, ASCII (xn--… for others), 253 in all");
	if (is_set(dns->server) && !skymon_net_address_parse(dns->server, 53, &address, &why))
		skymon_invalid(sm, "server", "%s", why);
	if (is_set(dns->primary) && !skymon_net_address_parse(dns->primary, 53, &address, &why))
		skymon_invalid(sm, "primary", "%s", why);
	if (is_set(dns->primary) && (dns->type.index != DNS_SOA || dns->rcode.index != 0 || dns->empty))
		skymon_invalid(sm, "primary", "needs type SOA, and excludes rcode and empty");
	validate_texts(sm, "expect", &dns->expect, dns->type.index);
	validate_texts(sm, "contains", &dns->contains, dns->type.index);
	if (dns->empty && some)
		skymon_invalid(sm, "empty", "excludes %s", dns->expect.count > 0 ? "expect" : "contains");
	if (dns->rcode.index != 0 && (some || dns->empty))
		skymon_invalid(sm, "rcode", "other than NOERROR excludes expect, contains and empty");
	if (dns->authoritative && dns->dnssec)
		skymon_invalid(sm, "dnssec", "excludes authoritative: a server does not verify its own zone");
}

static void free_texts(char **texts, size_t count)
{
	for (size_t i = 0; texts != NULL && i < count; i++)
		free(texts[i]);
	free(texts);
}

/* Returns NULL if memory is out. */
static char **normal_texts(const struct skymon_texts *texts, int type)
{
	char normal[EXPECTED_SIZE];
	const char *why;
	char **all = calloc(texts->count + 1, sizeof(*all));
	for (size_t i = 0; all != NULL && i < texts->count; i++) {
		if (!dns_expected((enum dns_type)type, texts->items[i], normal, sizeof(normal), &why))
			normal[0] = '\0'; /* validate has refused it */
		all[i] = strdup(normal);
		if (all[i] == NULL) {
			free_texts(all, i);
			return NULL;
		}
	}
	return all;
}

static void stop(struct skymon *sm, void *state)
{
	struct dns *dns = state;
	dns_drop(sm, dns);
	free_texts(dns->expected, dns->expect.count);
	free_texts(dns->contained, dns->contains.count);
	dns->expected = dns->contained = NULL;
}

static bool start(struct skymon *sm, void *state)
{
	struct dns *dns = state;
	const char *why;
	dns_forget(dns);
	dns->at.given = is_set(dns->server);
	dns->primary_at.given = is_set(dns->primary);
	if ((dns->at.given && !skymon_net_address_parse(dns->server, 53, &dns->at.address, &why)) ||
	    (dns->primary_at.given &&
	     !skymon_net_address_parse(dns->primary, 53, &dns->primary_at.address, &why))) {
		skymon_unknown(sm, "server or primary %s", why);
		return false;
	}
	dns->expected = normal_texts(&dns->expect, dns->type.index);
	dns->contained = normal_texts(&dns->contains, dns->type.index);
	if (dns->expected != NULL && dns->contained != NULL)
		return true;
	stop(sm, state);
	skymon_unknown(sm, "out of memory");
	return false;
}

/* ---- Verdict ---- */

static bool is_in(const char *text, const char *const *all, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(all[i], text) == 0)
			return true;
	return false;
}

static enum skymon_status wrong(struct skymon *sm, enum skymon_reason reason)
{
	skymon_reason(sm, reason);
	return SKYMON_UNHEALTHY;
}

/* Returns false, with the message set, if an answer is missing or, with `expect`, is too much. */
static bool compare(struct skymon *sm, const struct dns *dns, const struct dns_answer *answer)
{
	const char *place = dns->query.place, *type = dns_type_words[dns->type.index];
	const struct {
		char *const *texts;
		size_t count;
	} wanted[] = {{dns->expected, dns->expect.count}, {dns->contained, dns->contains.count}};
	for (size_t i = 0; i < 2; i++)
		for (size_t j = 0; j < wanted[i].count; j++)
			if (!is_in(wanted[i].texts[j], answer->texts, answer->count)) {
				skymon_unhealthy(sm, "%s: %s %s lacks the expected answer %.150s", place,
						 dns->name, type, wanted[i].texts[j]);
				return false;
			}
	for (size_t i = 0; dns->expect.count > 0 && i < answer->count; i++)
		if (!is_in(answer->texts[i], (const char *const *)dns->expected, dns->expect.count)) {
			skymon_unhealthy(sm, "%s: %s %s has the unexpected answer %.150s", place, dns->name,
					 type, answer->texts[i]);
			return false;
		}
	return true;
}

static enum skymon_status evaluate(struct skymon *sm, const struct dns *dns, const struct dns_answer *answer,
				   double seconds)
{
	const char *place = dns->query.place, *type = dns_type_words[dns->type.index];
	const char *rcode = answer->rcode < DNS_RCODES ? dns_rcode_words[answer->rcode] : "an unknown code";
	if (answer->rcode != dns->rcode.index) {
		skymon_unhealthy(sm, "%s: %s %s: %s%s%s", place, dns->name, type, rcode,
				 dns->rcode.index != 0 ? ", not " : "",
				 dns->rcode.index != 0 ? dns_rcode_words[dns->rcode.index] : "");
		/* an error of the server, or its word about the name */
		return wrong(sm, answer->rcode == 3   ? SKYMON_MISSING
				 : answer->rcode == 0 ? SKYMON_BODY_MISMATCH
						      : SKYMON_QUERY_ERROR);
	}
	if (dns->authoritative && !answer->authoritative) {
		skymon_unhealthy(sm, "%s: %s %s: the server does not hold the zone (no flag AA)", place,
				 dns->name, type);
		return wrong(sm, SKYMON_BODY_MISMATCH);
	}
	if (dns->dnssec && !answer->authentic) {
		skymon_unhealthy(sm, "%s: %s %s: the answer is not verified by DNSSEC (no flag AD)", place,
				 dns->name, type);
		return wrong(sm, SKYMON_BODY_MISMATCH);
	}
	if (dns->rcode.index != 0)
		return skymon_healthy(sm, "%s: %s %s: %s after %.3g ms, as expected", place, dns->name, type,
				      rcode, seconds * 1000);
	if (answer->count == 0 && !dns->empty) {
		skymon_unhealthy(sm, "%s: %s has no record of type %s", place, dns->name, type);
		return wrong(sm, SKYMON_MISSING);
	}
	if (answer->count > 0 && dns->empty) {
		skymon_unhealthy(sm, "%s: %s %s has the unexpected answer %.150s", place, dns->name, type,
				 answer->texts[0]);
		return wrong(sm, SKYMON_BODY_MISMATCH);
	}
	if (!compare(sm, dns, answer))
		return wrong(sm, SKYMON_BODY_MISMATCH);
	return skymon_healthy(sm, "%s: %s %s: %zu answer%s after %.3g ms", place, dns->name, type,
			      answer->count, answer->count == 1 ? "" : "s", seconds * 1000);
}

/* ---- Reports ---- */

static void report_answers(struct skymon *sm, const struct dns_answer *answer)
{
	char text[400];
	size_t at = 0;
	text[0] = '\0';
	for (size_t i = 0; i < answer->count && at + 1 < sizeof(text); i++) {
		int size =
			snprintf(text + at, sizeof(text) - at, "%s%s", i > 0 ? ", " : "", answer->texts[i]);
		at += size > 0 ? (size_t)size : 0;
	}
	skymon_detail(sm, "answers", "%s", text);
}

static void report(struct skymon *sm, const struct dns *dns, const struct dns_answer *answer, double seconds)
{
	skymon_detail(sm, "server", "%s", dns->query.place);
	skymon_detail(sm, "transport", "%s", dns->query.tcp ? "tcp" : "udp");
	if (answer->rcode < DNS_RCODES)
		skymon_detail(sm, "rcode", "%s", dns_rcode_words[answer->rcode]);
	skymon_detail_boolean(sm, "authoritative", answer->authoritative);
	skymon_detail_boolean(sm, "authentic", answer->authentic);
	report_answers(sm, answer);
	skymon_number(sm, "answer_time", seconds);
	skymon_number(sm, "answers", (double)answer->count);
	if (answer->count > 0)
		skymon_number(sm, "ttl", answer->ttl);
	if (answer->count > 0 && dns->type.index == DNS_SOA)
		skymon_number(sm, "serial", answer->serial);
}

/* ---- The run ---- */

/* The primary has answered. Its faults degrade only: the server itself has answered well, and its message stays otherwise. */
static void compare_serials(struct skymon *sm, const struct dns *dns, const struct dns_answer *answer)
{
	if (answer->rcode != 0 || answer->count == 0) {
		skymon_reason(sm, SKYMON_QUERY_ERROR);
		skymon_done(sm, skymon_degraded(sm, "the primary %s has no SOA record of %s",
						dns->query.place, dns->name));
		return;
	}
	skymon_detail_number(sm, "primary_serial", answer->serial);
	skymon_number(sm, "serial_lag", (int32_t)(answer->serial - dns->serial)); /* RFC 1982 */
	skymon_done(sm, SKYMON_HEALTHY);
}

void dns_answered(struct skymon *sm, struct dns *dns, const struct dns_answer *answer)
{
	double seconds = (double)dns_elapsed_us(&dns->query) / 1e6;
	dns_drop(sm, dns);
	if (dns->comparing) {
		compare_serials(sm, dns, answer);
		return;
	}
	report(sm, dns, answer, seconds);
	enum skymon_status status = evaluate(sm, dns, answer, seconds);
	dns->comparing = status == SKYMON_HEALTHY && dns->primary_at.given;
	dns->serial = answer->serial;
	if (dns->comparing)
		dns_begin_query(sm, dns, &dns->primary_at);
	else
		skymon_done(sm, status);
}

void dns_failed(struct skymon *sm, struct dns *dns, enum skymon_status status, enum skymon_reason reason,
		const char *format, ...)
{
	char text[300];
	va_list list;
	va_start(list, format);
	vsnprintf(text, sizeof(text), format, list);
	va_end(list);
	dns_drop(sm, dns);
	skymon_unhealthy(sm, "%s%s", dns->comparing ? "the primary " : "", text);
	skymon_reason(sm, reason);
	skymon_done(sm, dns->comparing ? SKYMON_DEGRADED : status);
}

static void begin(struct skymon *sm, void *state)
{
	struct dns *dns = state;
	dns->comparing = false;
	dns_begin_query(sm, dns, &dns->at);
}

static enum skymon_status cancel(struct skymon *sm, void *state)
{
	struct dns *dns = state;
	struct dns_query *query = &dns->query;
	const char *role = dns->comparing ? "the primary " : "";
	enum skymon_reason reason = query->odd > 0 ? SKYMON_PROTOCOL : SKYMON_TIMEOUT;
	if (query->place[0] == '\0')
		skymon_unhealthy(sm, "%s%s: the server's name is not resolved in time", role,
				 query->server->address.host);
	else if (query->odd > 0)
		skymon_unhealthy(sm, "%s%s: no answer in time, but %u packets that do not fit the question",
				 role, query->place, query->odd);
	else if (query->tcp)
		skymon_unhealthy(sm, "%s%s: no answer over TCP in time", role, query->place);
	else
		skymon_unhealthy(sm, "%s%s: no answer in time, asked %zu times", role, query->place,
				 query->packets);
	dns_drop(sm, dns);
	skymon_reason(sm, reason);
	return dns->comparing ? SKYMON_DEGRADED : SKYMON_UNHEALTHY;
}

SKYMON_PLUGIN(dns, "1.0", "a name server's answer: records, response code, DNSSEC, serial, time",
	      .state_size = sizeof(struct dns), .options = options, .numbers = numbers, .start = start,
	      .stop = stop, .begin = begin, .cancel = cancel, .validate = validate);
