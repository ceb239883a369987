/* SPDX-License-Identifier: Apache-2.0 */
/* certificate_port: gets the chain and the OCSP staple of a TLS port, after STARTTLS where the protocol has it. Called by
 * certificate.c, on the check's thread; owns the connection until it returns.
 *
 * The handshake itself verifies nothing, so that an expired or untrusted certificate can be looked at. OpenSSL works on
 * memory: net.h does the waiting, within the deadline. */
#include <arpa/inet.h>
#include <openssl/err.h>
#include <skymon/net.h>
#include <string.h>

#include "certificate.h"

struct port {
	struct skymon *sm;
	struct skymon_net *net;
	SSL *tls;
	BIO *in, *out; /* the session's */
};

/* ---- STARTTLS ---- */

static bool clear_dialog(struct port *port, enum skymon_starttls_protocol protocol,
			 struct skymon_fault *fault)
{
	struct skymon_starttls dialog;
	enum skymon_starttls_state state = skymon_starttls_begin(&dialog, protocol);
	char bytes[4096];
	if (state != SKYMON_STARTTLS_READY)
		skymon_step(port->sm, "STARTTLS");
	while (state == SKYMON_STARTTLS_WAITS) {
		if (dialog.send_size > 0 &&
		    !skymon_net_write(port->sm, port->net, dialog.send, dialog.send_size, fault))
			return false;
		ssize_t got = skymon_net_read(port->sm, port->net, bytes, sizeof(bytes), fault);
		if (got < 0)
			return false;
		if (got == 0) {
			skymon_fault_set(fault, SKYMON_UNHEALTHY, SKYMON_PROTOCOL,
					 "%s: the server closed the connection before TLS began",
					 port->net->place);
			return false;
		}
		state = skymon_starttls_feed(&dialog, bytes, (size_t)got);
	}
	if (state == SKYMON_STARTTLS_FAILED)
		skymon_fault_set(fault, SKYMON_UNHEALTHY, SKYMON_PROTOCOL, "%s: %s", port->net->place,
				 dialog.why);
	return state == SKYMON_STARTTLS_READY;
}

/* ---- TLS ---- */

static bool explain(const struct port *port, struct skymon_fault *fault)
{
	unsigned long error = ERR_get_error();
	int reason = ERR_GET_LIB(error) == ERR_LIB_SSL ? ERR_GET_REASON(error) : 0;
	const char *text = ERR_reason_error_string(error);
	if (reason == SSL_R_WRONG_VERSION_NUMBER || reason == SSL_R_PACKET_LENGTH_TOO_LONG ||
#ifdef SSL_R_RECORD_LAYER_FAILURE
	    reason == SSL_R_RECORD_LAYER_FAILURE ||
#endif
	    reason == SSL_R_HTTP_REQUEST || reason == SSL_R_BAD_RECORD_TYPE ||
	    reason == SSL_R_UNEXPECTED_RECORD)
		text = "what answers there is not TLS";
	else if (reason == SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED)
		text = "the server asks for a certificate, and none is configured";
	else if (reason == SSL_R_TLSV1_ALERT_PROTOCOL_VERSION || reason == SSL_R_UNSUPPORTED_PROTOCOL)
		text = "the server and we have no version of TLS in common";
	skymon_fault_set(fault, SKYMON_UNHEALTHY, SKYMON_TLS_OTHER, "%s: TLS failed: %.120s",
			 port->net->place, text != NULL ? text : "no reason given");
	return false;
}

static bool flush(struct port *port, struct skymon_fault *fault)
{
	char *bytes;
	long size = BIO_get_mem_data(port->out, &bytes);
	if (size > 0 && !skymon_net_write(port->sm, port->net, bytes, (size_t)size, fault))
		return false;
	(void)BIO_reset(port->out);
	return true;
}

static bool shake_hands(struct port *port, struct skymon_fault *fault)
{
	char bytes[16384];
	skymon_step(port->sm, "TLS handshake");
	for (;;) {
		ERR_clear_error();
		int result = SSL_connect(port->tls), kind = SSL_get_error(port->tls, result);
		struct skymon_fault unsent;
		/* an alert of ours that cannot be sent is not what went wrong */
		bool sent = flush(port, kind == SSL_ERROR_SSL ? &unsent : fault);
		if (kind == SSL_ERROR_SSL)
			return explain(port, fault);
		if (!sent)
			return false;
		if (result == 1)
			return true;
		ssize_t got = skymon_net_read(port->sm, port->net, bytes, sizeof(bytes), fault);
		if (got < 0)
			return false;
		if (got == 0) {
			skymon_fault_set(fault, SKYMON_UNHEALTHY, SKYMON_PROTOCOL,
					 "%s: the server closed the connection during the TLS handshake",
					 port->net->place);
			return false;
		}
		BIO_write(port->in, bytes, (int)got);
	}
}

static int no_passphrase(char *to, int size, int writing, void *arg)
{
	(void)to, (void)size, (void)writing, (void)arg;
	return -1; /* never prompt on the terminal */
}

/* Shows our certificate to servers that ask for one. */
static bool show(SSL_CTX *context, const struct skymon_tls *tls)
{
	const char *key = tls->key_file != NULL ? tls->key_file : tls->cert_file;
	SSL_CTX_set_default_passwd_cb(context, no_passphrase);
	return tls->cert_file == NULL || (SSL_CTX_use_certificate_chain_file(context, tls->cert_file) == 1 &&
					  SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) == 1);
}

static bool new_session(struct port *port, const struct certificate *it, const char *name)
{
	unsigned char address[16];
	SSL_CTX *context = SSL_CTX_new(TLS_client_method());
	bool done = context != NULL && show(context, &it->tls);
	if (done) {
		SSL_CTX_set_verify(context, SSL_VERIFY_NONE, NULL);
		SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
		port->tls = SSL_new(context);
		port->in = BIO_new(BIO_s_mem());
		port->out = BIO_new(BIO_s_mem());
		done = port->tls != NULL && port->in != NULL && port->out != NULL;
	}
	SSL_CTX_free(context); /* the session holds a reference */
	if (!done) {
		BIO_free(port->in);
		BIO_free(port->out);
		return false;
	}
	BIO_set_mem_eof_return(port->in, -1); /* empty: more is to come */
	SSL_set_bio(port->tls, port->in, port->out);
	SSL_set_tlsext_status_type(port->tls, TLSEXT_STATUSTYPE_ocsp);
	/* the name, unless it is an address (RFC 6066 3) */
	return inet_pton(AF_INET, name, address) == 1 || inet_pton(AF_INET6, name, address) == 1 ||
	       SSL_set_tlsext_host_name(port->tls, name) == 1;
}

/* ---- What the server sent ---- */

static bool keep(const struct port *port, struct certificate_seen *seen)
{
	unsigned char *staple = NULL;
	long size = SSL_get_tlsext_status_ocsp_resp(port->tls, &staple);
	STACK_OF(X509) *sent = SSL_get_peer_cert_chain(port->tls);
	seen->version = SSL_get_version(port->tls);
	if (size > 0) {
		seen->staple = OPENSSL_memdup(staple, (size_t)size);
		seen->staple_size = (size_t)size;
	}
	seen->chain = sent != NULL ? X509_chain_up_ref(sent) : NULL;
	return sk_X509_num(seen->chain) > 0;
}

bool certificate_fetch(struct skymon *sm, const struct certificate *it, struct certificate_seen *seen,
		       struct skymon_fault *fault)
{
	const char *name = it->tls.server_name != NULL && it->tls.server_name[0] != '\0' ? it->tls.server_name
											 : it->to.host;
	struct skymon_net_target to = {.host = it->to.host, .port = it->to.port, .proxy = it->proxy};
	struct port port = {.sm = sm, .net = skymon_net_open(sm, &to, fault)};
	if (port.net == NULL)
		return false;
	bool done = clear_dialog(&port, (enum skymon_starttls_protocol)it->starttls.index, fault);
	if (done && !new_session(&port, it, name)) {
		skymon_fault_set(
			fault, SKYMON_UNKNOWN, SKYMON_TLS_OTHER,
			"no TLS: out of memory, or tls.cert_file and tls.key_file hold no usable pair");
		done = false;
	}
	done = done && shake_hands(&port, fault);
	if (done && !keep(&port, seen)) {
		skymon_fault_set(fault, SKYMON_UNHEALTHY, SKYMON_TLS_OTHER,
				 "%s: the server sent no certificate", port.net->place);
		done = false;
	}
	if (done) {
		seen->local = skymon_net_no_proxy(it->proxy) && skymon_net_peer_is_local(port.net->fd);
		char address[64];
		if (skymon_net_peer_address(port.net->fd, address, sizeof(address)))
			skymon_detail(sm, "peer", "%s", address);
		SSL_shutdown(port.tls); /* politely, so that the server does not log an error */
		struct skymon_fault late;
		(void)flush(&port, &late);
	}
	SSL_free(port.tls);
	skymon_net_close(port.net);
	ERR_clear_error();
	return done;
}
