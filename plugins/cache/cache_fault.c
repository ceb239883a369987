/* SPDX-License-Identifier: Apache-2.0 */
/* cache_fault: turns the server's errors into a reason and a sentence. Called by cache_link.c, on the check's
 * thread. Pure. An error's text is untrusted: it is cleaned, and user and password are masked in it. */
#include <stdio.h>
#include <string.h>

#include "cache.h"
#include "text.h"

static bool begins(const char *text, const char *with)
{
	return strncmp(text, with, strlen(with)) == 0;
}

bool cache_refuses_secret(const char *error)
{
	return begins(error, "NOAUTH") || begins(error, "WRONGPASS") ||
	       begins(error, "ERR operation not permitted") || begins(error, "ERR invalid password") ||
	       begins(error, "ERR AUTH") || begins(error, "ERR Client sent AUTH");
}

static const struct {
	const char *begins;
	enum skymon_reason reason;
	const char *say; /* NULL for the server's own text */
} meanings[] = {
	{"WRONGPASS", SKYMON_AUTH_FAILED, "the server refused the password, or has no such user"},
	{"ERR invalid password", SKYMON_AUTH_FAILED, "the server refused the password"},
	{"NOAUTH", SKYMON_AUTH_FAILED, "the server asks for a password, and none is configured"},
	{"ERR AUTH", SKYMON_AUTH_FAILED, "a password is configured, and the server has none for this user"},
	{"ERR Client sent AUTH", SKYMON_AUTH_FAILED, "a password is configured, and the server has none"},
	{"ERR max number of clients", SKYMON_RESOURCE, "the server has no connection left (maxclients)"},
	{"DENIED", SKYMON_REFUSED,
	 "the server is in protected mode and takes no clients from other machines"},
	{"LOADING", SKYMON_OTHER, "the server is loading its data and answers nothing else"},
	{"OOM", SKYMON_RESOURCE, "the server's memory is full, and it refuses the command"},
	{"CLUSTERDOWN", SKYMON_OTHER, "the cluster is down: not all of its slots are served"},
	{"NOREPLICAS", SKYMON_OTHER,
	 "the server has too few replicas (min-replicas-to-write) to take writes"},
	{"READONLY", SKYMON_STANDBY, "the server is a read-only replica"},
	{"ERR operation not permitted", SKYMON_AUTH_FAILED,
	 "the server asks for a password, and none is configured"}, /* before 2.8 */
	{"MASTERDOWN", SKYMON_STANDBY,
	 "a replica that lost its primary, and by its settings answers nothing until it is back"},
	{"BUSY", SKYMON_OTHER, "the server is busy with a script and answers nothing else"},
	{"MISCONF", SKYMON_OTHER,
	 "the server cannot save its data to disk, and by its settings takes no writes"},
};

void cache_explain(const char *error, enum cache_question question, const char *place, const char *user,
		   const char *password, struct skymon_fault *fault)
{
	static const char *const questions[] = {"the login", "the choice of the database", "PING", "INFO",
						"CLUSTER INFO"};
	const char *const hide[2] = {user, password};
	for (size_t i = 0; i < sizeof(meanings) / sizeof(meanings[0]); i++)
		if (begins(error, meanings[i].begins)) {
			skymon_fault_set(fault, SKYMON_UNHEALTHY, meanings[i].reason, "%s: %s", place,
					 meanings[i].say);
			return;
		}
	if (begins(error, "NOPERM")) {
		skymon_fault_set(fault, SKYMON_UNHEALTHY, SKYMON_AUTH_FAILED,
				 "%s: the user may not do what the check does: give it the ACL rules +ping "
				 "+info +select",
				 place);
		return;
	}
	if (question == CACHE_LOGIN) { /* servers repeat the arguments of a command that they do not know */
		skymon_fault_set(
			fault, SKYMON_UNHEALTHY, SKYMON_AUTH_FAILED,
			"%s: the server answered the login with an error that is not shown: it may hold the "
			"password",
			place);
		return;
	}
	char line[200];
	text_copy_line(line, sizeof(line), error, hide, 2);
	skymon_fault_set(fault, SKYMON_UNHEALTHY, SKYMON_QUERY_ERROR, "%s: the server answered %s with: %s",
			 place, questions[question], line);
}
