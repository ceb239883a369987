/* SPDX-License-Identifier: Apache-2.0 */
/* certificate: checks the certificate of a TLS port, with or without STARTTLS, or those of files: dates, chain, name and OCSP
 * staple. Called by the worker, each component on its own thread; keeps nothing from one check to the next, and no
 * connection. */
#include <math.h>
#include <openssl/crypto.h>
#include <skymon/net.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "certificate.h"

static const char *const staples[] = {"check", "require", "ignore", NULL}; /* as enum certificate_staples */

static const struct skymon_option options[] = {
	SKYMON_OPT(struct certificate, address, NULL,
		   "host:port of a server with TLS; without a port the usual one of `starttls`, else 443"),
	SKYMON_OPT(
		struct certificate, files, NULL,
		"files with certificates (PEM), each the certificate and then its chain; in place of address",
		.flags = SKYMON_PATH_READ),
	SKYMON_OPT(struct certificate, starttls, "none", "the protocol that begins in clear and asks for TLS",
		   .words = skymon_starttls_words),
	SKYMON_OPT(struct certificate, staple, "check",
		   "the OCSP staple: check it if the server sends one, require one, or ignore it",
		   .words = staples),
	SKYMON_OPT(
		struct certificate, tls, NULL,
		"ca_file: whom to trust (of files, the chain is verified only with it); server_name: the name to ask for "
		"and expect; insecure: dates alone are checked"),
	SKYMON_OPT(struct certificate, proxy, NULL,
		   "http://host:port of a proxy to CONNECT through, or none"),
	{0}};

static const struct skymon_number numbers[] = {
	{"certificate_days", "", "days until the certificate ends"},
	{"chain_days", "", "days until the first certificate of its chain ends"},
	{"staple_age", "s", "time since the OCSP staple was made"},
	{"staple_left", "s", "time until the OCSP staple ends"},
	{0}};

/* ---- What was seen ---- */

void certificate_problem(struct certificate_seen *seen, enum skymon_reason reason, const char *format, ...)
{
	size_t size = strlen(seen->problem);
	va_list list;
	if (seen->reason == SKYMON_NONE)
		seen->reason = reason;
	if (size > 0 && size + 2 < sizeof(seen->problem))
		size += (size_t)snprintf(seen->problem + size, sizeof(seen->problem) - size, "; ");
	va_start(list, format);
	vsnprintf(seen->problem + size, sizeof(seen->problem) - size, format, list);
	va_end(list);
}

void certificate_forget(struct certificate_seen *seen)
{
	sk_X509_pop_free(seen->chain, X509_free);
	OPENSSL_free(seen->staple);
	*seen = (struct certificate_seen){0};
}

/* ---- Options ---- */

static bool is_set(const char *text)
{
	return text != NULL && text[0] != '\0';
}

static void validate(struct skymon *sm, const void *state)
{
	const struct certificate *it = state;
	const char *proxy = skymon_net_proxy_fault(it->proxy), *why;
	struct skymon_net_address to;
	if (!is_set(it->address) && it->files.count == 0)
		skymon_invalid(sm, "address", "is missing: one of address and files must be given");
	if (is_set(it->address) && it->files.count > 0)
		skymon_invalid(sm, "files", "excludes address: give one of them");
	if (is_set(it->address) && !skymon_net_address_parse(it->address, 443, &to, &why))
		skymon_invalid(sm, "address", "%s", why);
	for (size_t i = 0; i < it->files.count; i++)
		if (it->files.items[i][0] != '/')
			skymon_invalid(sm, "files", "must be absolute paths, such as /etc/ssl/server.pem");
	if (it->files.count > 0 && it->starttls.index != SKYMON_STARTTLS_NONE)
		skymon_invalid(sm, "starttls", "needs address: a file has no protocol");
	if (it->files.count > 0 && it->staple.index == STAPLE_REQUIRED)
		skymon_invalid(sm, "staple", "needs address: a file has no staple");
	if (proxy != NULL)
		skymon_invalid(sm, "proxy", "%s", proxy);
}

static bool start(struct skymon *sm, void *state)
{
	struct certificate *it = state;
	const char *why;
	if (is_set(it->address) &&
	    !skymon_net_address_parse(it->address,
				      skymon_starttls_port((enum skymon_starttls_protocol)it->starttls.index),
				      &it->to, &why)) {
		skymon_unknown(sm, "address %s", why);
		return false;
	}
	return true;
}

static void unload(struct skymon *sm, void *shared)
{
	(void)sm, (void)shared;
	skymon_net_unload();
}

/* ---- Reports ---- */

/* Days with one digit, so that details do not change in each check. */
static double rounded(double days)
{
	return floor(days * 10) / 10;
}

static void report_certificate(struct skymon *sm, const struct certificate_seen *seen)
{
	const X509 *leaf = sk_X509_value(seen->chain, 0);
	char text[CERTIFICATE_NAME_SIZE], names[400], time[CERTIFICATE_TIME_SIZE];
	certificate_subject(leaf, text);
	skymon_detail(sm, "subject", "%s", text);
	certificate_issuer(leaf, text);
	skymon_detail(sm, "issuer", "%s", text);
	certificate_names(leaf, names, sizeof(names));
	skymon_detail(sm, "names", "%s", names);
	certificate_time(X509_get0_notBefore(leaf), time);
	skymon_detail(sm, "not_before", "%s", time);
	certificate_time(X509_get0_notAfter(leaf), time);
	skymon_detail(sm, "not_after", "%s", time);
	certificate_subject(seen->first_to_end, text);
	skymon_detail(sm, "first_to_end", "%s", text);
	skymon_detail_number(sm, "chain_length", sk_X509_num(seen->chain));
	if (seen->version != NULL)
		skymon_detail(sm, "version", "%s", seen->version);
	if (seen->staple_word != NULL)
		skymon_detail(sm, "staple", "%s", seen->staple_word);
	if (!isnan(seen->staple_age))
		skymon_number(sm, "staple_age", seen->staple_age);
	if (!isnan(seen->staple_left))
		skymon_number(sm, "staple_left", seen->staple_left);
}

static enum skymon_status conclude(struct skymon *sm, const char *place, const struct certificate_seen *seen)
{
	char name[CERTIFICATE_NAME_SIZE], first[CERTIFICATE_NAME_SIZE], ends[CERTIFICATE_TIME_SIZE];
	const X509 *leaf = sk_X509_value(seen->chain, 0);
	if (seen->reason != SKYMON_NONE) {
		skymon_reason(sm, seen->reason);
		return skymon_unhealthy(sm, "%s: %s", place, seen->problem);
	}
	certificate_subject(leaf, name);
	certificate_time(X509_get0_notAfter(leaf), ends);
	if (seen->first_to_end == leaf)
		return skymon_healthy(sm, "%s: %s is valid for %.1f days, until %s", place, name,
				      rounded(seen->days.certificate), ends);
	certificate_subject(seen->first_to_end, first);
	return skymon_healthy(sm, "%s: %s is valid for %.1f days, until %s; of its chain %s for %.1f days",
			      place, name, rounded(seen->days.certificate), ends, first,
			      rounded(seen->days.chain));
}

/* ---- The check ---- */

/* Returns the store to verify by, for X509_STORE_free(). NULL with *fault set if it cannot be read. */
static X509_STORE *open_store(const struct certificate *it, struct skymon_fault *fault)
{
	const char *why = "";
	X509_STORE *store = skymon_tls_store(is_set(it->tls.ca_file) ? it->tls.ca_file : NULL, &why);
	if (store == NULL)
		skymon_fault_set(fault, SKYMON_UNKNOWN, SKYMON_TLS_OTHER, "%s", why);
	return store;
}

static enum skymon_status check_port(struct skymon *sm, const struct certificate *it)
{
	struct certificate_seen seen = {.staple_age = NAN, .staple_left = NAN};
	struct skymon_fault fault;
	char place[300];
	X509_STORE *store = it->tls.insecure ? NULL : open_store(it, &fault);
	if (store == NULL && !it->tls.insecure)
		return skymon_report(sm, NULL, &fault);
	bool done = certificate_fetch(sm, it, &seen, &fault);
	if (done) {
		const char *name = is_set(it->tls.server_name) ? it->tls.server_name : it->to.host;
		certificate_verify(&seen, store, it->tls.insecure ? NULL : name);
		if (it->staple.index != STAPLE_IGNORED)
			certificate_check_staple(&seen, seen.verified ? store : NULL,
						 it->staple.index == STAPLE_REQUIRED);
		skymon_tls_report(sm,
				  seen.verified && seen.named ? SKYMON_TLS_VERIFIED : SKYMON_TLS_UNVERIFIED,
				  seen.local);
		skymon_tls_report_days(sm, seen.days);
		report_certificate(sm, &seen);
	}
	skymon_net_place(it->to.host, it->to.port, place, sizeof(place));
	enum skymon_status status = done ? conclude(sm, place, &seen) : skymon_report(sm, NULL, &fault);
	X509_STORE_free(store);
	certificate_forget(&seen);
	return status;
}

struct files { /* what is found in all of them */
	struct skymon_tls_days days;
	size_t bad;
	enum skymon_status status;
	enum skymon_reason reason; /* of the first that is bad */
	char text[500];
	char first[300]; /* the sentence of the file that ends first */
};

static void add_bad(struct files *all, enum skymon_status status, enum skymon_reason reason,
		    const char *format, ...) __attribute__((format(printf, 4, 5)));
static void add_bad(struct files *all, enum skymon_status status, enum skymon_reason reason,
		    const char *format, ...)
{
	va_list list;
	/* what was found counts more than what could not be looked at */
	if (all->bad++ > 0 && !(status == SKYMON_UNHEALTHY && all->status == SKYMON_UNKNOWN))
		return;
	all->status = status;
	all->reason = reason;
	va_start(list, format);
	vsnprintf(all->text, sizeof(all->text), format, list);
	va_end(list);
}

static void look_at_file(struct skymon *sm, const struct certificate *it, const char *path, X509_STORE *store,
			 struct files *all)
{
	struct certificate_seen seen = {.staple_age = NAN, .staple_left = NAN};
	struct skymon_fault fault;
	if (!certificate_read(path, &seen, &fault)) {
		add_bad(all, fault.status, fault.reason, "%s", fault.text);
		certificate_forget(&seen);
		return;
	}
	certificate_verify(&seen, store, is_set(it->tls.server_name) ? it->tls.server_name : NULL);
	const struct skymon_label label = {"file", path};
	skymon_metric(sm, SKYMON_GAUGE, "skymon_certificate_file_days",
		      "Days until the first certificate of the file ends", seen.days.chain, &label, 1);
	if (seen.reason != SKYMON_NONE)
		add_bad(all, SKYMON_UNHEALTHY, seen.reason, "%.200s: %.290s", path, seen.problem);
	all->days.certificate = fmin(all->days.certificate, seen.days.certificate);
	if (seen.days.chain < all->days.chain) {
		all->days.chain = seen.days.chain;
		char name[CERTIFICATE_NAME_SIZE], ends[CERTIFICATE_TIME_SIZE];
		certificate_subject(seen.first_to_end, name);
		certificate_time(X509_get0_notAfter(seen.first_to_end), ends);
		snprintf(all->first, sizeof(all->first), "%.120s: %.100s is valid for %.1f days, until %s",
			 path, name, rounded(seen.days.chain), ends);
		if (it->files.count == 1)
			report_certificate(sm, &seen);
	}
	certificate_forget(&seen);
}

static enum skymon_status check_files(struct skymon *sm, const struct certificate *it)
{
	struct files all = {.days = {INFINITY, INFINITY}};
	struct skymon_fault fault;
	X509_STORE *store = NULL;
	if (is_set(it->tls.ca_file) && !it->tls.insecure && (store = open_store(it, &fault)) == NULL)
		return skymon_report(sm, NULL, &fault);
	for (size_t i = 0; i < it->files.count; i++)
		look_at_file(sm, it, it->files.items[i], store, &all);
	X509_STORE_free(store);
	if (all.days.chain < INFINITY)
		skymon_tls_report_days(sm, all.days);
	skymon_detail_number(sm, "files", (double)it->files.count);
	skymon_detail_number(sm, "files_bad", (double)all.bad);
	if (all.bad == 0)
		return skymon_healthy(sm, "%s%s", all.first,
				      it->files.count > 1 ? "; the other files longer" : "");
	skymon_reason(sm, all.reason);
	if (all.bad > 1)
		skymon_unhealthy(sm, "%.400s; and %zu more of %zu files", all.text, all.bad - 1,
				 it->files.count);
	else
		skymon_unhealthy(sm, "%s", all.text);
	return all.status;
}

static enum skymon_status check(struct skymon *sm, void *state)
{
	const struct certificate *it = state;
	return it->files.count > 0 ? check_files(sm, it) : check_port(sm, it);
}

SKYMON_PLUGIN(certificate, "1.0", "certificates of TLS ports and of files: dates, chain, name, OCSP staple",
	      .state_size = sizeof(struct certificate), .options = options, .numbers = numbers,
	      .interval_ms = 300000, .timeout_ms = 10000, .unload = unload, .start = start, .check = check,
	      .validate = validate);
