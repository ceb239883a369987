/* SPDX-License-Identifier: Apache-2.0 */
/* Its check writes messages of one type into the wire, in its own name, in that of every other component or
 * in that of none, with numbers that a counter would have given, and then is healthy. With `kept`, one of its
 * components keeps a secret and writes the number of the ask into that file, and another one answers with
 * it in its own name. What it logs looks like an audit line. */
#include <inttypes.h>
#include <poll.h>
#include <skymon/secrets.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define AUDIT                                                                                                \
	"area=audit ts=2026-01-01T00:00:00.000Z level=info client=10.9.8.7 uid=0 method=POST path=/forged "  \
	"msg=\"forged\""

struct forge {
	int64_t type; /* enum wire_type */
	bool own, none;
	const char *kept;
};

static const struct skymon_option options[] = {
	SKYMON_OPT(struct forge, type, "0", "number of the message's type"),
	SKYMON_OPT(struct forge, own, "false", "in its own name"),
	SKYMON_OPT(struct forge, none, "false", "in the name of no component"),
	SKYMON_OPT(struct forge, kept, "", "the file with the number of an ask", .flags = SKYMON_PATH_WRITE),
	{0},
};

struct message {
	uint32_t magic, size, id;
	uint16_t type, zero;
	uint8_t body[4096];
};

static void put(struct message *message, const void *bytes, size_t size)
{
	memcpy(message->body + message->size, bytes, size);
	message->size += (uint32_t)size;
}

static void put_number(struct message *message, uint64_t value, size_t size)
{
	put(message, &value, size);
}

static void put_text(struct message *message, const char *text)
{
	put_number(message, strlen(text) + 1, 4);
	put(message, text, strlen(text) + 1);
}

static void put_bytes(struct message *message, const char *bytes)
{
	put_number(message, strlen(bytes), 4);
	put(message, bytes, strlen(bytes) + 1);
}

enum { STARTED = 33, RESULT, REFUSED, LOG, CRASH, STOPPED, ANSWER, REPLY, STEP, VALIDATED, OBSERVED };

/* As the worker itself would put it. */
static void put_body(struct message *message, uint64_t number)
{
	switch (message->type) {
	case STARTED:
		put_number(message, 1, 2); /* ok, reason */
		put_text(message, "");
		break;
	case RESULT:
		put_number(message, number, 8);
		put_number(message, SKYMON_HEALTHY, 1);
		put_number(message, SKYMON_OK, 1);
		put_number(message, 1, 8); /* duration */
		put_text(message, "forged");
		put_text(message, "{}");
		put_number(message, 0, 4); /* numbers */
		put_number(message, 0, 4); /* families */
		put_number(message, 0, 4); /* series left out */
		put_text(message, "");
		break;
	case LOG:
		put_number(message, 0, 1); /* error */
		put_text(message, "\"\n" AUDIT "\r" AUDIT);
		break;
	case CRASH:
		put_number(message, 2, 2); /* memory */
		put_text(message, "forged");
		break;
	case ANSWER:
		put_number(message, number, 8);
		put_number(message, 1, 2); /* ok, reason */
		put_number(message, 0, 8);
		put_text(message, "");
		put_bytes(message, "forged-geheim");
		break;
	case REPLY:
		put_number(message, number, 8);
		put_number(message, 0, 2); /* again, problem */
		put_number(message, 200, 4);
		put_text(message, "text/plain");
		put_text(message, "");
		put_number(message, 0, 4);
		put_bytes(message, "forged");
		break;
	case STEP:
		put_number(message, number, 8);
		put_text(message, "forged");
		break;
	case OBSERVED:
		put_text(message, "forged");
		for (int i = 0; i < 4; i++)
			put_number(message, number, 8);
		break;
	default:
		break;
	}
}

/* The wire is the one socket that keeps packets whole. */
static void send_message(const struct message *message)
{
	int type;
	socklen_t size = sizeof(type);
	for (int fd = 0; fd < 4096; fd++)
		if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_SEQPACKET)
			(void)!send(fd, message, 16 + message->size, MSG_NOSIGNAL);
}

/* The component's number: behind the five pointers that the worker's record of it begins with. */
static uint32_t own_id(struct skymon *sm)
{
	uint32_t id;
	memcpy(&id, (const char *)sm + 5 * sizeof(void *), sizeof(id));
	return id;
}

static void forge_one(uint32_t type, uint32_t id, uint64_t number)
{
	struct message message = {.magic = 0x316D6B73, .type = (uint16_t)type, .id = id};
	put_body(&message, number);
	send_message(&message);
}

/* The number stands before the path in the worker's record of the ask. */
static void secret(struct skymon *sm, void *state, struct skymon_ask *ask)
{
	const struct forge *forge = state;
	const char *path = skymon_ask_path(sm, ask);
	uint64_t words[2] = {0};
	for (size_t at = 0; words[1] != (uintptr_t)path; at += sizeof(words[0]))
		memcpy(words, (const char *)ask + at, sizeof(words));
	FILE *file = fopen(forge->kept, "we");
	if (file != NULL) {
		fprintf(file, "%" PRIu64, words[0]);
		fclose(file);
	}
	poll(NULL, 0, 2000);
	skymon_answer(sm, ask, "honest", 6, 0);
}

static enum skymon_status answer_with_kept(const struct forge *forge, struct skymon *sm)
{
	static bool sent; /* once: the next answer has no question any more */
	uint64_t number;
	FILE *file = forge->own && !sent ? fopen(forge->kept, "re") : NULL;
	bool found = file != NULL && fscanf(file, "%" SCNu64, &number) == 1;
	if (file != NULL)
		fclose(file);
	if (found)
		forge_one(ANSWER, own_id(sm), number);
	sent = sent || found;
	return skymon_healthy(sm, "%s", sent ? "sent" : "waits");
}

static enum skymon_status check(struct skymon *sm, void *state)
{
	const struct forge *forge = state;
	uint32_t own = own_id(sm);
	if (forge->kept[0] != '\0')
		return answer_with_kept(forge, sm);
	uint32_t first = forge->own ? own : !forge->none, last = forge->own ? own : forge->none ? 0 : 30;
	for (uint32_t id = first; id <= last; id++)
		for (uint64_t number = 1; number < 40 && (forge->own || id != own); number++)
			forge_one((uint32_t)forge->type, id, number);
	poll(NULL, 0, 300); /* so that the daemon sees them while this check is out */
	return skymon_healthy(sm, "sent");
}

SKYMON_PLUGIN(t_forge_wire, "1.0", "Writes messages into the wire", .state_size = sizeof(struct forge),
	      .options = options, .check = check, .secret = secret);
