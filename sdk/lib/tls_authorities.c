/* SPDX-License-Identifier: Apache-2.0 */
/* tls_authorities: X509 stores, cached by the files that they were read from. net and http take one for each
 * new connection, on any thread of a worker's process; the cache is the process's and has a lock. See
 * skymon/tls.h. */
#include <skymon/tls.h>

#include <math.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509_vfy.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SETS_MAX 32 /* more than a worker's components name, after some reloads too */

/* Identity of a file or directory when it was read. It holds the inode's change time, so that a file whose
 * modification time was set back counts as changed. */
struct stamp {
	bool exists;
	dev_t device;
	ino_t inode;
	off_t size;
	struct timespec modified, changed;
};

struct trust_set {
	struct trust_set *next;
	char *file, *directory; /* NULL if unused */
	struct stamp of_file, of_directory;
	X509_STORE *store;
};

static struct {
	pthread_mutex_t lock;    /* held while a file is read: other users of the same file wait for it */
	struct trust_set *first; /* most recently used first */
} trusted = {.lock = PTHREAD_MUTEX_INITIALIZER};

static struct stamp stamp_of(const char *path)
{
	struct stat is;
	if (path == NULL || stat(path, &is) != 0)
		return (struct stamp){.exists = false};
	return (struct stamp){true, is.st_dev, is.st_ino, is.st_size, is.st_mtim, is.st_ctim};
}

static bool same_time(struct timespec a, struct timespec b)
{
	return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

static bool same_stamp(const struct stamp *a, const struct stamp *b)
{
	return a->exists == b->exists && a->device == b->device && a->inode == b->inode &&
	       a->size == b->size && same_time(a->modified, b->modified) && same_time(a->changed, b->changed);
}

static bool same_path(const char *a, const char *b)
{
	return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static const char *from_environment(const char *name)
{
	const char *value = secure_getenv(name);
	return value != NULL && value[0] != '\0' ? value : NULL;
}

const char *skymon_tls_system_file(void)
{
	static const char *const places[] = {"/etc/ssl/certs/ca-certificates.crt",
					     "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem",
					     "/etc/ssl/cert.pem"};
	const char *file = from_environment(X509_get_default_cert_file_env());
	if (file != NULL)
		return file;
	file = X509_get_default_cert_file();
	if (access(file, R_OK) == 0)
		return file;
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++)
		if (access(places[i], R_OK) == 0)
			return places[i];
	return NULL;
}

static const char *system_directory(void)
{
	const char *directory = from_environment(X509_get_default_cert_dir_env());
	return directory != NULL ? directory : X509_get_default_cert_dir();
}

static void free_set(struct trust_set *set)
{
	X509_STORE_free(set->store);
	free(set->file);
	free(set->directory);
	free(set);
}

/* The stamps are taken before reading, so that a change in between is noticed the next time. */
static bool read_set(struct trust_set *set, const char **why)
{
	bool some = set->of_directory.exists && X509_STORE_load_path(set->store, set->directory) == 1;
	/* A configured authority is trusted even if it is not a root, as in libcurl. */
	X509_STORE_set_flags(set->store, X509_V_FLAG_PARTIAL_CHAIN);
	if (set->of_file.exists && X509_STORE_load_file(set->store, set->file) == 1)
		some = true;
	ERR_clear_error(); /* a TLS session on this thread would read what is left in the queue */
	if (!some)
		*why = set->directory == NULL ? "tls.ca_file holds no certificate that can be read"
					      : "the system's certificates cannot be read";
	return some;
}

static struct trust_set *new_set(const char *file, const char *directory, const char **why)
{
	struct trust_set *set = calloc(1, sizeof(*set));
	*why = "out of memory for the certificates";
	if (set == NULL)
		return NULL;
	set->file = file != NULL ? strdup(file) : NULL;
	set->directory = directory != NULL ? strdup(directory) : NULL;
	set->store = X509_STORE_new();
	set->of_file = stamp_of(file);
	set->of_directory = stamp_of(directory);
	if (set->store != NULL && (file == NULL || set->file != NULL) &&
	    (directory == NULL || set->directory != NULL) && read_set(set, why))
		return set;
	free_set(set);
	return NULL;
}

/* Unlinks and returns the set; NULL if it is missing or its files have changed since. */
static struct trust_set *take_kept(const char *file, const char *directory)
{
	struct trust_set **link = &trusted.first;
	struct stamp of_file = stamp_of(file), of_directory = stamp_of(directory);
	while (*link != NULL &&
	       (!same_path((*link)->file, file) || !same_path((*link)->directory, directory)))
		link = &(*link)->next;
	struct trust_set *set = *link;
	if (set == NULL)
		return NULL;
	*link = set->next;
	if (same_stamp(&set->of_file, &of_file) && same_stamp(&set->of_directory, &of_directory))
		return set;
	free_set(set);
	return NULL;
}

static void keep_set(struct trust_set *set)
{
	struct trust_set **link = &trusted.first;
	set->next = trusted.first;
	trusted.first = set;
	for (unsigned count = 0; *link != NULL && count < SETS_MAX; count++)
		link = &(*link)->next;
	while (*link != NULL) {
		struct trust_set *old = *link;
		*link = old->next;
		free_set(old);
	}
}

X509_STORE *skymon_tls_store(const char *ca_file, const char **why)
{
	const char *file = ca_file != NULL ? ca_file : skymon_tls_system_file();
	const char *directory = ca_file != NULL ? NULL : system_directory();
	X509_STORE *store = NULL;
	pthread_mutex_lock(&trusted.lock);
	struct trust_set *set = take_kept(file, directory);
	if (set == NULL)
		set = new_set(file, directory, why);
	if (set != NULL) {
		keep_set(set);
		store = set->store;
		X509_STORE_up_ref(store);
	}
	pthread_mutex_unlock(&trusted.lock);
	return store;
}

struct skymon_tls_days skymon_tls_days_of(const SSL *tls)
{
	struct skymon_tls_days found = {NAN, NAN};
	STACK_OF(X509) *chain = tls != NULL ? SSL_get0_verified_chain(tls) : NULL;
	if (chain == NULL && tls != NULL)
		chain = SSL_get_peer_cert_chain(tls);
	for (int i = 0; i < sk_X509_num(chain); i++) { /* the leaf is the first */
		int days, seconds;
		if (ASN1_TIME_diff(&days, &seconds, NULL, X509_get0_notAfter(sk_X509_value(chain, i))) != 1)
			continue;
		double left = days + seconds / 86400.0;
		if (i == 0)
			found.certificate = left;
		found.chain = fmin(found.chain, left); /* of NaN and a number it is the number */
	}
	return found;
}

void skymon_tls_unload(void)
{
	pthread_mutex_lock(&trusted.lock);
	while (trusted.first != NULL) {
		struct trust_set *set = trusted.first;
		trusted.first = set->next;
		free_set(set);
	}
	pthread_mutex_unlock(&trusted.lock);
}
