/* SPDX-License-Identifier: Apache-2.0 */
/* authorities: one store for all users of a file, a new one once the file has changed in any way; many
 * threads at once. The effect of a replaced file on a check: tests/live/test_tls_store.py. */
#include <fcntl.h>
#include <openssl/pem.h>
#include <stdatomic.h>
#include <stdio.h>
#include <utime.h>

#include "unit.h"

#include "../../sdk/lib/tls_authorities.c"

static char folder[] = "/tmp/skymon-trust-XXXXXX";
static char path_of[8][80];

/* Makes a self-signed certificate with this name. */
static X509 *certificate(const char *name)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *made = X509_new();
	X509_NAME *subject = X509_get_subject_name(made);
	ASN1_INTEGER_set(X509_get_serialNumber(made), 1);
	X509_gmtime_adj(X509_getm_notBefore(made), -60);
	X509_gmtime_adj(X509_getm_notAfter(made), 3600);
	X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1, 0);
	X509_set_issuer_name(made, subject);
	X509_set_pubkey(made, key);
	X509_sign(made, key, EVP_sha256());
	EVP_PKEY_free(key);
	return made;
}

static void write_to(const char *path, X509 *one, X509 *two)
{
	FILE *file = fopen(path, "w");
	CU_ASSERT_FATAL(file != NULL);
	if (one != NULL)
		PEM_write_X509(file, one);
	if (two != NULL)
		PEM_write_X509(file, two);
	fclose(file);
}

static const char *path(const char *name)
{
	static int next;
	char *text = path_of[next++ % 8];
	snprintf(text, sizeof(path_of[0]), "%s/%s", folder, name);
	return text;
}

static bool verifies(X509_STORE *store, X509 *one)
{
	X509_STORE_CTX *context = X509_STORE_CTX_new();
	bool good = X509_STORE_CTX_init(context, store, one, NULL) == 1 && X509_verify_cert(context) == 1;
	X509_STORE_CTX_free(context);
	return good;
}

/* Returns whether the file's present content trusts `one`. */
static bool file_verifies(const char *file, X509 *one)
{
	const char *why;
	X509_STORE *store = skymon_tls_store(file, &why);
	bool good = store != NULL && verifies(store, one);
	X509_STORE_free(store);
	return good;
}

static void one_store_for_all(void)
{
	const char *file = path("same.pem");
	X509 *good = certificate("same");
	write_to(file, good, NULL);
	const char *why;
	X509_STORE *first = skymon_tls_store(file, &why);
	X509_STORE *second = skymon_tls_store(file, &why);
	CU_ASSERT(first != NULL && first == second && verifies(first, good));
	X509_STORE_free(second);
	skymon_tls_unload();
	CU_ASSERT(verifies(first, good)); /* a connection may outlive the cache */
	X509_STORE_free(first);
	X509_free(good);
}

static void by_rename(const char *file, X509 *now)
{
	const char *beside = path("beside.pem");
	write_to(beside, now, NULL);
	CU_ASSERT_FATAL(rename(beside, file) == 0);
}

static void in_place(const char *file, X509 *now)
{
	write_to(file, now, NULL);
}

static void in_place_with_old_times(const char *file, X509 *now)
{
	struct stat is;
	CU_ASSERT_FATAL(stat(file, &is) == 0);
	struct timespec times[2];
	times[0] = is.st_atim;
	times[1] = is.st_mtim;
	write_to(file, now, NULL);
	CU_ASSERT_FATAL(utimensat(AT_FDCWD, file, times, 0) == 0);
}

/* As Kubernetes does: the file is a link whose target changes. */
static void by_link(const char *file, X509 *now)
{
	const char *target = path("target.pem"), *link = path("link.pem");
	write_to(target, now, NULL);
	CU_ASSERT_FATAL(symlink(target, link) == 0 && rename(link, file) == 0);
}

static void replaced(void)
{
	void (*const ways[])(const char *, X509 *) = {by_rename, in_place, in_place_with_old_times, by_link};
	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		const char *file = path("replaced.pem");
		X509 *before = certificate("one"), *after = certificate("two");
		unlink(file);
		write_to(file, before, NULL);
		CU_ASSERT(file_verifies(file, before) && !file_verifies(file, after));
		usleep(20000); /* the kernel's clock for files ticks every 4 to 10 ms */
		ways[i](file, after);
		CU_ASSERT(!file_verifies(file, before) && file_verifies(file, after));
		X509_free(before);
		X509_free(after);
	}
}

static void unreadable(void)
{
	const char *file = path("broken.pem"), *why = NULL;
	X509 *good = certificate("good");
	CU_ASSERT(skymon_tls_store(path("none.pem"), &why) == NULL);
	CU_ASSERT(strcmp(why, "tls.ca_file holds no certificate that can be read") == 0);
	write_to(file, NULL, NULL);
	CU_ASSERT(skymon_tls_store(file, &why) == NULL);
	usleep(20000);
	write_to(file, good, NULL);
	CU_ASSERT(file_verifies(file, good));
	CU_ASSERT(ERR_peek_error() == 0); /* the next TLS session of this thread would read it */
	X509_free(good);
}

/* SSL_CERT_FILE and SSL_CERT_DIR replace the system's; a new file in a hashed directory is noticed. */
static void system_places(void)
{
	X509 *of_file = certificate("in the file"), *of_directory = certificate("in the directory");
	const char *file = path("system.pem"), *directory = path("hashed"), *why = NULL;
	write_to(file, of_file, NULL);
	CU_ASSERT_FATAL(mkdir(directory, 0755) == 0);
	setenv("SSL_CERT_FILE", file, 1);
	setenv("SSL_CERT_DIR", directory, 1);
	CU_ASSERT(strcmp(skymon_tls_system_file(), file) == 0);
	CU_ASSERT(file_verifies(NULL, of_file) && !file_verifies(NULL, of_directory));
	X509_STORE *first = skymon_tls_store(NULL, &why);
	X509_STORE *second = skymon_tls_store(NULL, &why);
	CU_ASSERT(first == second);
	X509_STORE_free(second);
	usleep(20000);
	char name[160];
	snprintf(name, sizeof(name), "%s/%08lx.0", directory,
		 X509_NAME_hash_ex(X509_get_subject_name(of_directory), NULL, NULL, NULL));
	write_to(name, of_directory, NULL);
	CU_ASSERT(file_verifies(NULL, of_file) && file_verifies(NULL, of_directory));
	usleep(20000);
	unlink(name);
	CU_ASSERT(file_verifies(NULL, of_file) && !file_verifies(NULL, of_directory));
	X509_STORE_free(first);
	unlink(file);
	CU_ASSERT(!file_verifies(NULL, of_file));
	rmdir(directory);
	CU_ASSERT(skymon_tls_store(NULL, &why) == NULL &&
		  strcmp(why, "the system's certificates cannot be read") == 0);
	unsetenv("SSL_CERT_FILE");
	unsetenv("SSL_CERT_DIR");
	X509_free(of_file);
	X509_free(of_directory);
}

static void bounded(void)
{
	X509 *good = certificate("good");
	size_t count = 0;
	skymon_tls_unload();
	const char *why;
	for (int i = 0; i < SETS_MAX + 5; i++) {
		char name[20];
		snprintf(name, sizeof(name), "many%d.pem", i);
		const char *file = path(name);
		write_to(file, good, NULL);
		X509_STORE_free(skymon_tls_store(file, &why));
	}
	for (struct trust_set *set = trusted.first; set != NULL; set = set->next)
		count++;
	CU_ASSERT(count == SETS_MAX);
	CU_ASSERT(strstr(trusted.first->file, "many36.pem") != NULL);
	X509_free(good);
}

/* ---- Many threads, while the files change ---- */

static X509 *always;
static char shared_file[80];
static atomic_bool over;

static void *use(void *arg)
{
	atomic_uint *failed = arg;
	while (!over)
		if (!file_verifies(shared_file, always))
			++*failed;
	return NULL;
}

static void threads(void)
{
	atomic_uint failed = 0;
	always = certificate("always");
	snprintf(shared_file, sizeof(shared_file), "%s", path("shared.pem"));
	write_to(shared_file, always, NULL);
	pthread_t user[6];
	for (size_t i = 0; i < 6; i++)
		CU_ASSERT_FATAL(pthread_create(&user[i], NULL, use, &failed) == 0);
	for (int i = 0; i < 40; i++) {
		X509 *other = certificate("other");
		const char *beside = path("beside.pem");
		write_to(beside, always, other);
		rename(beside, shared_file);
		if (i == 20)
			skymon_tls_unload();
		usleep(2000);
		X509_free(other);
	}
	over = true;
	for (size_t i = 0; i < 6; i++)
		pthread_join(user[i], NULL);
	CU_ASSERT(failed == 0);
	X509_free(always);
}

static void clean(void)
{
	skymon_tls_unload();
	char command[100];
	snprintf(command, sizeof(command), "rm -rf %s", folder);
	CU_ASSERT(system(command) == 0);
}

int main(void)
{
	const struct unit_test tests[] = {{"one store for all", one_store_for_all},
					  {"replaced", replaced},
					  {"unreadable", unreadable},
					  {"the system's", system_places},
					  {"bounded", bounded},
					  {"threads", threads},
					  {"clean", clean},
					  {0}};
	if (mkdtemp(folder) == NULL)
		return 1;
	return unit_run("trust", tests);
}
