/* SPDX-License-Identifier: Apache-2.0 */
/* net_tls: TLS over a connection of net, and the explanation of OpenSSL's errors. Called by net.c, on the
 * check's thread. Each connection has an SSL_CTX of its own, so that replaced certificates and keys count
 * from the next connection on; its store of authorities comes from tls_authorities.c, which caches it. */
#include <arpa/inet.h>
#include <errno.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net_private.h"
#include <skymon/tls.h>

void skymon_net_unload(void)
{
	skymon_tls_unload();
}

/* ---- A BIO over the socket: OpenSSL's own would raise SIGPIPE ---- */

static int bio_write(BIO *bio, const char *bytes, int size)
{
	ssize_t sent = send((int)(intptr_t)BIO_get_data(bio), bytes, (size_t)size, MSG_NOSIGNAL);
	BIO_clear_retry_flags(bio);
	if (sent < 0 && (errno == EAGAIN || errno == EINTR))
		BIO_set_retry_write(bio);
	return (int)sent;
}

static int bio_read(BIO *bio, char *bytes, int size)
{
	ssize_t got = recv((int)(intptr_t)BIO_get_data(bio), bytes, (size_t)size, 0);
	BIO_clear_retry_flags(bio);
	if (got == 0)
		BIO_set_flags(bio, BIO_FLAGS_IN_EOF);
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		BIO_set_retry_read(bio);
	return (int)got;
}

static long bio_control(BIO *bio, int command, long number, void *pointer)
{
	(void)number, (void)pointer;
	if (command == BIO_CTRL_EOF)
		return BIO_test_flags(bio, BIO_FLAGS_IN_EOF) != 0;
	return command == BIO_CTRL_FLUSH;
}

/* The BIO method lives as long as the session that uses it. */
static bool set_bio(SSL *tls, int fd)
{
	BIO_METHOD *method = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "net");
	BIO *bio = NULL;
	if (method != NULL && BIO_meth_set_write(method, bio_write) && BIO_meth_set_read(method, bio_read) &&
	    BIO_meth_set_ctrl(method, bio_control))
		bio = BIO_new(method);
	if (bio == NULL || !SSL_set_app_data(tls, method)) {
		BIO_free(bio);
		BIO_meth_free(method);
		return false;
	}
	BIO_set_data(bio, (void *)(intptr_t)fd);
	BIO_set_init(bio, 1);
	SSL_set_bio(tls, bio, bio);
	return true;
}

void skymon_net_tls_free(struct skymon_net *net)
{
	BIO_METHOD *method = net->tls != NULL ? SSL_get_app_data(net->tls) : NULL;
	SSL_free(net->tls);
	BIO_meth_free(method);
	net->tls = NULL;
}

/* ---- Faults ---- */

static void bad(const struct skymon_net *net, enum skymon_reason reason, const char *words,
		struct skymon_fault *fault)
{
	skymon_fault_set(fault, SKYMON_UNHEALTHY, reason, "%s: %s", net->place, words);
}

static void explain_certificate(const struct skymon_net *net, const char *name, struct skymon_fault *fault)
{
	long verdict = SSL_get_verify_result(net->tls);
	if (verdict == X509_V_ERR_HOSTNAME_MISMATCH || verdict == X509_V_ERR_IP_ADDRESS_MISMATCH)
		skymon_fault_set(fault, SKYMON_UNHEALTHY, SKYMON_TLS_UNTRUSTED,
				 "%s: the server's certificate is not for the name %.100s", net->place, name);
	else
		skymon_fault_set(fault, SKYMON_UNHEALTHY,
				 verdict == X509_V_ERR_CERT_HAS_EXPIRED ||
						 verdict == X509_V_ERR_CERT_NOT_YET_VALID
					 ? SKYMON_TLS_EXPIRED
					 : SKYMON_TLS_UNTRUSTED,
				 "%s: the server's certificate is not accepted: %s", net->place,
				 X509_verify_cert_error_string(verdict));
}

/* Explains the oldest error of OpenSSL's queue; some are alerts that the server sent. */
static void explain_library(const struct skymon_net *net, const char *name, struct skymon_fault *fault)
{
	unsigned long error = ERR_get_error();
	switch (ERR_GET_LIB(error) == ERR_LIB_SSL ? ERR_GET_REASON(error) : 0) {
	case SSL_R_CERTIFICATE_VERIFY_FAILED:
		explain_certificate(net, name, fault);
		break;
	case SSL_R_WRONG_VERSION_NUMBER:
	case SSL_R_PACKET_LENGTH_TOO_LONG:
#ifdef SSL_R_RECORD_LAYER_FAILURE
	case SSL_R_RECORD_LAYER_FAILURE:
#endif
	case SSL_R_BAD_RECORD_TYPE:
	case SSL_R_UNEXPECTED_RECORD:
	case SSL_R_HTTP_REQUEST:
		bad(net, SKYMON_TLS_OTHER, "what answers there is not TLS", fault);
		break;
	case SSL_R_UNEXPECTED_EOF_WHILE_READING:
		bad(net, SKYMON_PROTOCOL, "the server closed the connection before it answered", fault);
		fault->lost = true;
		break;
	case SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED:
		bad(net, SKYMON_TLS_OTHER, "the server asks for a certificate, and none is configured",
		    fault);
		break;
	case SSL_R_TLSV1_ALERT_UNKNOWN_CA:
		bad(net, SKYMON_TLS_OTHER, "the server does not trust the issuer of our certificate", fault);
		break;
	case SSL_R_SSLV3_ALERT_BAD_CERTIFICATE:
	case SSL_R_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE:
	case SSL_R_SSLV3_ALERT_CERTIFICATE_REVOKED:
	case SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED:
	case SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN:
	case SSL_R_TLSV1_ALERT_ACCESS_DENIED:
		bad(net, SKYMON_TLS_OTHER, "the server does not accept our certificate", fault);
		break;
	case SSL_R_TLSV1_ALERT_PROTOCOL_VERSION:
	case SSL_R_UNSUPPORTED_PROTOCOL:
		bad(net, SKYMON_TLS_OTHER, "the server and we have no version of TLS in common", fault);
		break;
	default: /* OpenSSL's texts name functions and alerts, and hold no data */
		skymon_fault_set(fault, SKYMON_UNHEALTHY, SKYMON_TLS_OTHER, "%s: TLS failed: %.120s",
				 net->place,
				 ERR_reason_error_string(error) != NULL ? ERR_reason_error_string(error)
									: "no reason given");
	}
}

enum skymon_net_wants skymon_net_tls_wants(struct skymon_net *net, int result, const char *name,
					   struct skymon_fault *fault)
{
	int error = errno, kind = SSL_get_error(net->tls, result);
	if (kind == SSL_ERROR_WANT_READ)
		return SKYMON_NET_READ;
	if (kind == SSL_ERROR_WANT_WRITE)
		return SKYMON_NET_WRITE;
	if (kind == SSL_ERROR_SSL)
		explain_library(net, name, fault);
	else
		skymon_net_broken(net->place, kind == SSL_ERROR_SYSCALL ? error : 0, fault);
	return SKYMON_NET_FAILED;
}

/* Waits as the `result` of an OpenSSL call demands. Returns true if the call can be repeated; else *fault
 * explains. */
static bool again(struct skymon *sm, struct skymon_net *net, int result, const char *late, const char *name,
		  struct skymon_fault *fault)
{
	enum skymon_net_wants wants = skymon_net_tls_wants(net, result, name, fault);
	if (wants == SKYMON_NET_FAILED)
		return false;
	if (skymon_net_wait(sm, net->fd, wants == SKYMON_NET_READ ? POLLIN : POLLOUT, net->margin_ms))
		return true;
	bad(net, SKYMON_TIMEOUT, late, fault);
	return false;
}

/* ---- Opening ---- */

static bool blind(struct skymon_fault *fault, enum skymon_reason reason, const char *words)
{
	skymon_fault_set(fault, SKYMON_UNKNOWN, reason, "%s", words);
	return false;
}

static bool trust(SSL_CTX *context, const struct skymon_tls *tls, struct skymon_fault *fault)
{
	if (tls != NULL && tls->insecure) {
		SSL_CTX_set_verify(context, SSL_VERIFY_NONE, NULL);
		return true;
	}
	const char *why;
	X509_STORE *store = skymon_tls_store(tls != NULL ? tls->ca_file : NULL, &why);
	if (store == NULL)
		return blind(fault, SKYMON_TLS_OTHER, why);
	SSL_CTX_set_cert_store(context, store); /* takes ownership */
	SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
	return true;
}

static int no_passphrase(char *to, int size, int writing, void *arg)
{
	(void)to, (void)size, (void)writing, (void)arg;
	return -1; /* never prompt on the terminal */
}

static bool show(SSL_CTX *context, const struct skymon_tls *tls, struct skymon_fault *fault)
{
	if (tls == NULL || (tls->cert_file == NULL && tls->key_file == NULL))
		return true;
	SSL_CTX_set_default_passwd_cb(context, no_passphrase);
	if (tls->cert_file == NULL || SSL_CTX_use_certificate_chain_file(context, tls->cert_file) != 1 ||
	    SSL_CTX_use_PrivateKey_file(context, tls->key_file != NULL ? tls->key_file : tls->cert_file,
					SSL_FILETYPE_PEM) != 1)
		return blind(fault, SKYMON_TLS_OTHER, "tls.cert_file and tls.key_file hold no usable pair");
	return true;
}

/* Sets the name that the certificate must have, and sends it as SNI unless it is an address (RFC 6066 3). */
static bool expect_name(SSL *tls, const char *name)
{
	unsigned char address[16];
	if (inet_pton(AF_INET, name, address) == 1 || inet_pton(AF_INET6, name, address) == 1)
		return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(tls), name) == 1;
	SSL_set_hostflags(tls, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	return SSL_set1_host(tls, name) == 1 && SSL_set_tlsext_host_name(tls, name) == 1;
}

static const char *name_of(const struct skymon_net_target *to)
{
	if (to->tls != NULL && to->tls->server_name != NULL && to->tls->server_name[0] != '\0')
		return to->tls->server_name;
	return to->host[0] == '/' ? "localhost" : to->host;
}

bool skymon_net_tls_prepare(struct skymon_net *net, const struct skymon_net_target *to,
			    struct skymon_fault *fault)
{
	SSL_CTX *context = SSL_CTX_new(TLS_client_method());
	bool done = context != NULL && SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
	*fault = (struct skymon_fault){.status = SKYMON_UNKNOWN};
	if (done) {
		SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
						  SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
		SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
		done = trust(context, to->tls, fault) && show(context, to->tls, fault);
	}
	if (done) {
		net->tls = SSL_new(context);
		done = net->tls != NULL && set_bio(net->tls, net->fd) && expect_name(net->tls, name_of(to));
	}
	SSL_CTX_free(context); /* the session holds a reference */
	if (!done && fault->text[0] == '\0')
		blind(fault, SKYMON_RESOURCE, "out of memory for TLS, or its name cannot be one");
	return done;
}

bool skymon_net_secure(struct skymon *sm, struct skymon_net *net, const struct skymon_net_target *to,
		       struct skymon_fault *fault)
{
	double began = skymon_net_clock();
	ERR_clear_error();
	if (!skymon_net_tls_prepare(net, to, fault))
		return false;
	skymon_step(sm, "TLS handshake");
	int result;
	do {
		ERR_clear_error();
		errno = 0;
		result = SSL_connect(net->tls);
	} while (result != 1 &&
		 again(sm, net, result, "accepted the connection and did not begin TLS in time", name_of(to),
		       fault));
	net->tls_seconds = skymon_net_clock() - began;
	return result == 1;
}

/* ---- Reading and writing ---- */

ssize_t skymon_net_tls_read(struct skymon *sm, struct skymon_net *net, void *bytes, size_t size,
			    struct skymon_fault *fault)
{
	int got;
	do {
		ERR_clear_error();
		errno = 0;
		got = SSL_read(net->tls, bytes, size > 1 << 30 ? 1 << 30 : (int)size);
		if (got > 0) {
			skymon_trace(sm, "received %d bytes", got);
			return got;
		}
	} while (again(sm, net, got, "no answer in time", "", fault));
	return fault->lost ? 0 : -1;
}

ssize_t skymon_net_tls_write(struct skymon *sm, struct skymon_net *net, const void *bytes, size_t size,
			     struct skymon_fault *fault)
{
	int sent;
	do {
		ERR_clear_error();
		errno = 0;
		sent = SSL_write(net->tls, bytes, size > 1 << 30 ? 1 << 30 : (int)size);
		if (sent > 0)
			return sent;
	} while (again(sm, net, sent, "no answer in time", "", fault));
	return -1;
}

/* Returns whether the certificate has expired since the connection was opened: new clients would be refused.
 */
static bool has_ended(const SSL *tls)
{
	STACK_OF(X509) *chain = SSL_get0_verified_chain(tls);
	if (SSL_get_verify_mode(tls) == SSL_VERIFY_NONE)
		return false;
	for (int i = 0; i < sk_X509_num(chain); i++)
		if (X509_cmp_current_time(X509_get0_notAfter(sk_X509_value(chain, i))) < 0)
			return true;
	return false;
}

bool skymon_net_tls_silent(struct skymon_net *net)
{
	if (has_ended(net->tls))
		return false;
	ERR_clear_error();
	char byte;
	int got = SSL_peek(net->tls, &byte, 1);
	return got <= 0 && SSL_get_error(net->tls, got) == SSL_ERROR_WANT_READ;
}
