/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by the files of certificate: the options, and what is found at one port or in one file. */
#ifndef CERTIFICATE_H
#define CERTIFICATE_H

#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <skymon/fault.h>
#include <skymon/plugin.h>
#include <skymon/tls.h>

#include <skymon/net.h>
#include "starttls.h"

enum certificate_staples { STAPLE_CHECKED, STAPLE_REQUIRED, STAPLE_IGNORED };

struct certificate {
	const char *address, *proxy;
	struct skymon_texts files;
	struct skymon_choice starttls, staple;
	struct skymon_tls tls;
	struct skymon_net_address to;
};

#define CERTIFICATE_TIME_SIZE 32  /* "2026-11-27T10:00:00Z" */
#define CERTIFICATE_NAME_SIZE 200 /* a subject, cut */

struct certificate_seen {
	STACK_OF(X509) * chain; /* the leaf first: as sent, or as in the file; if verified, as verified */
	bool verified;          /* the chain */
	bool named;             /* for the expected name */
	bool local;             /* the peer is on this machine */
	struct skymon_tls_days days;
	X509 *first_to_end;    /* of the chain */
	unsigned char *staple; /* as sent; NULL if none was */
	size_t staple_size;
	const char *staple_word;        /* for the detail; NULL if staples are ignored */
	double staple_age, staple_left; /* s; NaN without a valid one */
	const char *version;            /* of TLS; NULL of a file */
	enum skymon_reason reason;      /* of the worst problem; SKYMON_NONE if there is none */
	char problem[400];              /* all of them, as in "PLACE: %s" */
};

/* Frees what it holds. */
void certificate_forget(struct certificate_seen *seen);
/* Adds a problem. The reason of the first counts. */
void certificate_problem(struct certificate_seen *seen, enum skymon_reason reason, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* certificate_port.c: gets the chain and the staple. Returns false with *fault set. */
bool certificate_fetch(struct skymon *sm, const struct certificate *it, struct certificate_seen *seen,
		       struct skymon_fault *fault);
/* certificate_file.c: reads the chain of a PEM file. Returns false with *fault set. */
bool certificate_read(const char *path, struct certificate_seen *seen, struct skymon_fault *fault);

/* certificate_verify.c: dates, name and chain. store and name are NULL if they are not to be verified. */
void certificate_verify(struct certificate_seen *seen, X509_STORE *store, const char *name);
void certificate_subject(const X509 *certificate, char text[CERTIFICATE_NAME_SIZE]);
void certificate_issuer(const X509 *certificate, char text[CERTIFICATE_NAME_SIZE]);
void certificate_time(const ASN1_TIME *time, char text[CERTIFICATE_TIME_SIZE]);
/* The names (DNS and addresses) that it is for, joined by commas and cut to size. */
void certificate_names(const X509 *certificate, char *text, size_t size);

/* certificate_staple.c: the OCSP staple. store is NULL if its signature is not to be verified. */
void certificate_check_staple(struct certificate_seen *seen, X509_STORE *store, bool required);

#endif
