/* SPDX-License-Identifier: Apache-2.0 */
/* board_fixture: a board of three components that notes what it reports, for the tests of the board. */
#ifndef BOARD_FIXTURE_H
#define BOARD_FIXTURE_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "board/board.h"
#include "unit.h"

struct told {
	char text[1024];
};

static void note(void *arg, const struct skymon_component *now, int from)
{
	struct told *told = arg;
	size_t used = strlen(told->text);
	snprintf(told->text + used, sizeof(told->text) - used, "%s:%d->%s/%s ", now->name, from,
		 skymon_status_word(now->status), skymon_reason_word(now->reason));
}

struct fixture {
	struct told told;
	struct board *board;
	struct board_item *items[3];
};

static struct board_traits traits(const char *name)
{
	return (struct board_traits){.name = name,
				     .plugin = "tcp",
				     .labels = "",
				     .impact = SKYMON_IMPACT_UNHEALTHY,
				     .rise = 1,
				     .fall = 1,
				     .interval_ms = 30000,
				     .timeout_ms = 5000};
}

static void set_up(struct fixture *f, struct board_traits *first)
{
	struct board_traits all[3] = {traits("a"), traits("b"), traits("c")};
	if (first != NULL)
		all[0] = *first;
	*f = (struct fixture){0};
	f->board = board_new(note, &f->told);
	for (size_t i = 0; i < 3; i++)
		f->items[i] = board_item_new(&all[i]);
	board_set_items(f->board, f->items, 3);
}

static void tear_down(struct fixture *f)
{
	for (size_t i = 0; i < 3; i++)
		board_item_free(f->items[i]);
	board_free(f->board);
}

static void publish(struct fixture *f, size_t index, enum skymon_status status, int64_t time_ms,
		    const char *message)
{
	board_publish(f->board, f->items[index],
		      result_new(status, status == SKYMON_HEALTHY ? SKYMON_OK : SKYMON_OTHER, time_ms, 1500,
				 "%s", message),
		      true);
}

#define EXPECT_STATUS(view, status_, reason_, message_)                                                      \
	do {                                                                                                 \
		const struct skymon_component *v_ = (view);                                                  \
		UNIT_TEXT(skymon_status_word(v_->status), status_);                                          \
		UNIT_TEXT(skymon_reason_word(v_->reason), reason_);                                          \
		UNIT_TEXT(v_->message, message_);                                                            \
	} while (0)

#endif
