/* SPDX-License-Identifier: Apache-2.0 */
/* A route whose handler writes replies of its own into the wire: broken ones, and answers to what others were
 * asked. */
#include <poll.h>
#include <skymon/routes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define WIRE_REPLY 40 /* enum wire_type */

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

/* The wire is the one socket that keeps packets whole. */
static void send_message(const struct message *message)
{
	int type;
	socklen_t size = sizeof(type);
	for (int fd = 0; fd < 4096; fd++)
		if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_SEQPACKET)
			(void)!send(fd, message, 16 + message->size, MSG_NOSIGNAL);
}

/* ?number= of the request that it claims to answer; ?code=, ?name= and ?value= of a header, ?type=, ?audit=,
 * ?cut= bytes of the end that are left out. */
static void handle(struct skymon *sm, void *state, struct skymon_request *rq)
{
	static const char *const keys[] = {"type", "audit", "name", "value"};
	const char *number = skymon_query(sm, rq, "number"), *code = skymon_query(sm, rq, "code"),
		   *cut = skymon_query(sm, rq, "cut");
	struct message message = {.magic = 0x316D6B73, .type = WIRE_REPLY};
	(void)state;
	/* The component's number: behind the five pointers that the worker's record of it begins with. */
	memcpy(&message.id, (const char *)sm + 5 * sizeof(void *), sizeof(message.id));
	const char *texts[4];
	for (int i = 0; i < 4; i++) {
		texts[i] = skymon_query(sm, rq, keys[i]);
		texts[i] = texts[i] != NULL ? texts[i] : "";
	}
	put_number(&message, number != NULL ? strtoull(number, NULL, 10) : 0, 8);
	put_number(&message, 0, 2); /* again, problem */
	put_number(&message, code != NULL ? strtoull(code, NULL, 10) : 200, 4);
	put_text(&message, texts[0]);
	put_text(&message, texts[1]);
	put_number(&message, texts[2][0] != '\0', 4);
	if (texts[2][0] != '\0') {
		put_text(&message, texts[2]);
		put_text(&message, texts[3]);
	}
	put_number(&message, strlen("forged"), 4);
	put(&message, "forged", strlen("forged") + 1);
	message.size -= cut != NULL ? (uint32_t)atoi(cut) : 0;
	send_message(&message);
	poll(NULL, 0, 200); /* so that the daemon sees it alone */
	skymon_reply(sm, rq, 200, "text/plain", "sent\n", 5);
}

static enum skymon_status check(struct skymon *sm, void *state)
{
	(void)state;
	return skymon_healthy(sm, "there");
}

static const struct skymon_route route = {.size = sizeof(route),
					  .method = "GET",
					  .path = "/w/reply",
					  .name = "reply",
					  .summary = "for tests",
					  .handle = handle};
static const struct skymon_route *const routes[] = {&route, NULL};

SKYMON_PLUGIN(t_reply_wire, "1.0", "Writes replies into the wire", .check = check, .routes = routes);
