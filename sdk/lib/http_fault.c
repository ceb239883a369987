/* SPDX-License-Identifier: Apache-2.0 */
/* http_fault: explains libcurl's errors. Called by skymon_http_do, on the check's thread. libcurl's own texts
 * quote URLs, and so are used only where they can hold nothing but a certificate's fault. Pure. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "http_private.h"

#define X509_NOT_YET_VALID 9 /* X509_V_ERR_…, which OpenSSL and GnuTLS builds of libcurl both report */
#define X509_EXPIRED 10

/* Sets "HOST:PORT: words", unhealthy. */
static void bad(struct skymon_fault *fault, const struct skymon_http_failure *failure,
		enum skymon_reason reason, const char *words)
{
	skymon_fault_set(fault, SKYMON_UNHEALTHY, reason, "%s%s: %s", failure->by_proxy ? "proxy " : "",
			 failure->place, words);
}

static void blind(struct skymon_fault *fault, enum skymon_reason reason, const char *words)
{
	skymon_fault_set(fault, SKYMON_UNKNOWN, reason, "%s", words);
}

static const struct {
	int os_errno;
	enum skymon_reason reason;
	const char *say;
} connect_errors[] = {
	{ECONNREFUSED, SKYMON_REFUSED, "connection refused"},
	{ENOENT, SKYMON_REFUSED, "no such socket: no server listens"},
	{EHOSTUNREACH, SKYMON_UNREACHABLE, "no route to host"},
	{ENETUNREACH, SKYMON_UNREACHABLE, "network is unreachable"},
	{EHOSTDOWN, SKYMON_UNREACHABLE, "host is down"},
	{EADDRNOTAVAIL, SKYMON_UNREACHABLE, "this machine has no address that reaches it"},
	{EAFNOSUPPORT, SKYMON_UNREACHABLE, "this machine does not speak that kind of address"},
	{EACCES, SKYMON_UNREACHABLE, "this machine's firewall or rights forbid the connection"},
	{EPERM, SKYMON_UNREACHABLE, "this machine's firewall or rights forbid the connection"},
	{ETIMEDOUT, SKYMON_TIMEOUT, "no answer to the connection attempt in time"},
	{ECONNRESET, SKYMON_PROTOCOL, "the server closed the connection before it answered"},
};

static void explain_connect(const struct skymon_http_failure *failure, struct skymon_fault *fault)
{
	if (failure->os_errno == EMFILE || failure->os_errno == ENFILE || failure->os_errno == ENOMEM) {
		blind(fault, SKYMON_RESOURCE, "this machine or process has no descriptor or memory left");
		return;
	}
	for (size_t i = 0; i < sizeof(connect_errors) / sizeof(connect_errors[0]); i++)
		if (connect_errors[i].os_errno == failure->os_errno) {
			bad(fault, failure, connect_errors[i].reason, connect_errors[i].say);
			return;
		}
	bad(fault, failure, SKYMON_UNREACHABLE, "cannot be connected to");
}

static void explain_late(const struct skymon_http_failure *failure, struct skymon_fault *fault)
{
	const char *words = "accepted the connection and did not begin its answer in time";
	if (failure->answered)
		words = "began its answer and did not end it in time";
	else if (failure->reused || failure->asked)
		words = "accepted the request and did not answer in time";
	else if (!failure->connected)
		words = "no answer to the connection attempt in time";
	else if (failure->by_proxy)
		words = "accepted the connection and did not connect it further in time";
	else if (failure->tls && !failure->secured)
		words = "accepted the connection and did not begin TLS in time";
	bad(fault, failure, SKYMON_TIMEOUT, words);
}

static void explain_certificate(const struct skymon_http_failure *failure, struct skymon_fault *fault)
{
	const char *problem = strstr(failure->words, "certificate problem: ");
	bool of_time = failure->verify == X509_EXPIRED || failure->verify == X509_NOT_YET_VALID;
	if (problem == NULL &&
	    strstr(failure->words, "match") != NULL) /* the chain verified, the name did not */
		skymon_fault_set(fault, SKYMON_UNHEALTHY, SKYMON_TLS_UNTRUSTED,
				 "%s: the server's certificate is not for the name %s", failure->place,
				 failure->name);
	else
		skymon_fault_set(fault, SKYMON_UNHEALTHY, of_time ? SKYMON_TLS_EXPIRED : SKYMON_TLS_UNTRUSTED,
				 "%s: the server's certificate is not accepted: %.120s", failure->place,
				 problem != NULL ? problem + 21 : "it cannot be verified");
}

/* Explains a failed handshake from OpenSSL's text, which holds no data of the connection. */
static void explain_tls(const struct skymon_http_failure *failure, struct skymon_fault *fault)
{
	const char *words = failure->words;
	if (strstr(words, "wrong version number") != NULL || strstr(words, "record layer failure") != NULL ||
	    strstr(words, "packet length too long") != NULL)
		bad(fault, failure, SKYMON_TLS_OTHER, "what answers there is not TLS");
	else if (strstr(words, "certificate required") != NULL)
		bad(fault, failure, SKYMON_TLS_OTHER,
		    "the server asks for a certificate, and none is configured");
	else if (strstr(words, "alert") != NULL && strstr(words, "certificate") != NULL)
		bad(fault, failure, SKYMON_TLS_OTHER, "the server does not accept our certificate");
	else if (strstr(words, "alert handshake failure") != NULL)
		bad(fault, failure, SKYMON_TLS_OTHER,
		    "the server refuses TLS's handshake: no version or cipher in common, or it asks for a "
		    "certificate");
	else if (strstr(words, "alert unknown ca") != NULL)
		bad(fault, failure, SKYMON_TLS_OTHER,
		    "the server does not trust the issuer of our certificate");
	else if (strstr(words, "SSL_ERROR_SYSCALL") != NULL || strstr(words, "unexpected eof") != NULL ||
		 strstr(words, "reset by peer") != NULL || strstr(words, "Broken pipe") != NULL)
		bad(fault, failure, SKYMON_PROTOCOL,
		    "the server closed the connection during TLS's handshake");
	else
		bad(fault, failure, SKYMON_TLS_OTHER, "no TLS connection comes about");
}

static void explain_proxy(const struct skymon_http_failure *failure, struct skymon_fault *fault)
{
	char words[80];
	snprintf(words, sizeof(words), "refuses the connection to the server with HTTP %ld",
		 failure->connect_code);
	if (failure->connect_code == 407)
		bad(fault, failure, SKYMON_AUTH_FAILED, "asks for a login, or refuses ours (HTTP 407)");
	else
		bad(fault, failure, SKYMON_UNREACHABLE, words);
}

/* Explains a connection that broke before the answer was complete. */
static void explain_broken(const struct skymon_http_failure *failure, struct skymon_fault *fault)
{
	if (failure->by_proxy && failure->connect_code >= 300)
		explain_proxy(failure, fault);
	else if (strstr(failure->words, "alert") != NULL)
		explain_tls(failure, fault);
	else {
		bad(fault, failure, SKYMON_PROTOCOL,
		    failure->answered ? "the server broke off in the middle of its answer"
				      : "the server closed the connection before it answered");
		fault->lost = true;
	}
}

static void explain_large(const struct skymon_http_failure *failure, struct skymon_fault *fault)
{
	char words[80];
	snprintf(words, sizeof(words), "the answer is larger than the %zu bytes that are read",
		 failure->body_max);
	bad(fault, failure, SKYMON_PROTOCOL, words);
}

static void explain_code(const struct skymon_http_failure *failure, struct skymon_fault *fault)
{
	switch (failure->code) {
	case CURLE_COULDNT_CONNECT:
		explain_connect(failure, fault);
		break;
	case CURLE_OPERATION_TIMEDOUT:
	case CURLE_ABORTED_BY_CALLBACK: /* skymon_ms_left became 0 */
		explain_late(failure, fault);
		break;
	case CURLE_COULDNT_RESOLVE_HOST:
	case CURLE_COULDNT_RESOLVE_PROXY:
		bad(fault, failure, SKYMON_DNS, "its name cannot be resolved");
		break;
	case CURLE_PEER_FAILED_VERIFICATION:
		explain_certificate(failure, fault);
		break;
	case CURLE_SSL_CONNECT_ERROR:
		explain_tls(failure, fault);
		break;
	case CURLE_SSL_CACERT_BADFILE:
		blind(fault, SKYMON_TLS_OTHER, "tls.ca_file holds no certificate that can be read");
		break;
	case CURLE_SSL_CERTPROBLEM:
		blind(fault, SKYMON_TLS_OTHER, "tls.cert_file and tls.key_file hold no usable pair");
		break;
	case CURLE_GOT_NOTHING:
	case CURLE_SEND_ERROR:
	case CURLE_RECV_ERROR:
	case CURLE_PARTIAL_FILE:
		explain_broken(failure, fault);
		break;
	case CURLE_WRITE_ERROR:
		if (failure->too_large)
			explain_large(failure, fault);
		else
			blind(fault, SKYMON_RESOURCE, "out of memory for the answer");
		break;
#if LIBCURL_VERSION_NUM >= 0x080600
	case CURLE_TOO_LARGE: /* endless headers */
		explain_large(failure, fault);
		break;
#endif
	case CURLE_OUT_OF_MEMORY:
		blind(fault, SKYMON_RESOURCE, "out of memory for the request");
		break;
#if LIBCURL_VERSION_NUM >= 0x074900
	case CURLE_PROXY:
		bad(fault, failure, SKYMON_UNREACHABLE, "the proxy does not connect to the server");
		break;
#endif
	case CURLE_UNSUPPORTED_PROTOCOL: /* HTTP/0.9: arbitrary bytes */
	case CURLE_WEIRD_SERVER_REPLY:
	case CURLE_HTTP2:
	case CURLE_BAD_CONTENT_ENCODING:
		bad(fault, failure, SKYMON_PROTOCOL, "what answers there is not HTTP");
		break;
	default:
		skymon_fault_set(fault, SKYMON_UNKNOWN, SKYMON_OTHER, "%s: %s", failure->place,
				 curl_easy_strerror((CURLcode)failure->code));
	}
}

void skymon_http_explain(const struct skymon_http_failure *failure, struct skymon_fault *fault)
{
	explain_code(failure, fault);
	fault->sent = failure->asked || failure->reused || failure->answered;
	if (!fault->sent && fault->reason == SKYMON_PROTOCOL) /* while connecting */
		fault->lost = true;
}
