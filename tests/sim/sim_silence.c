/* SPDX-License-Identifier: Apache-2.0 */
/* Silences: maintenance by hand, with the real core/daemon/maintenance.c. The model knows which silence must be in
 * force and which may be: one whose end the wall clock has reached is gone after the next look at it, and a clock
 * that jumps back does not bring it back. Called by sim.c, sim_plan.c and sim_check.c. */
#include "sim.h"

#include <stdio.h>
#include <string.h>

#include "daemon/maintenance.h"

enum { SILENCES = 16, LOOK_MS = 15000 + 10 };

static struct maintenance *maintenance;
static bool configured; /* requests come after a complete start */
static struct held {
	char id[9];
	unsigned names; /* bits */
	int64_t until_ms;
	int64_t over_ms; /* of sim_useful_ms: since when the wall clock has been past its end; 0: it is not */
	bool maybe;      /* the wall clock was past its end once */
} helds[SILENCES];
static size_t count;
static unsigned shown; /* bits of names */

void silences_begin(void)
{
	count = shown = 0;
	configured = false;
	maintenance = maintenance_new(sim.loop, NULL, sim.board);
}

void silences_configure(const struct settings *settings)
{
	maintenance_configure(maintenance, settings);
	configured = true;
}

void silences_forget(void)
{
	maintenance_free(maintenance);
	maintenance = NULL;
}

static void add(void)
{
	struct held *held = &helds[count++];
	*held = (struct held){.names = (unsigned)sim_between(1, (1 << NAMES) - 1)};
	char **names = x_alloc((NAMES + 1) * sizeof(*names));
	for (size_t i = 0, n = 0; i < NAMES; i++)
		if ((held->names >> i & 1) != 0)
			names[n++] = x_strdup(sim_names[i]);
	int64_t length_ms = sim_between(SILENCE_MIN_MS, sim_draw(2) == 0 ? 20000 : 600000);
	const struct silence *silence =
		maintenance_add(maintenance, names, x_alloc(sizeof(*names)), length_ms, "a test", "sim");
	memcpy(held->id, silence->id, sizeof(held->id));
	held->until_ms = wall_clock_ms() + length_ms;
	sim_trace("the silence %s of names %x, for %lld ms", held->id, held->names, (long long)length_ms);
}

void silences_change(void)
{
	if (!configured)
		return;
	if (count < SILENCES && (count == 0 || sim_draw(3) > 0)) {
		add();
		return;
	}
	size_t index = (size_t)sim_draw(count);
	struct held *held = &helds[index];
	sim_trace("the silence %s is ended", held->id);
	if (!maintenance_end(maintenance, held->id) && !held->maybe && wall_clock_ms() < held->until_ms)
		sim_fail("the silence %s has ended before its time", held->id);
	helds[index] = helds[--count];
}

void silences_pass(void)
{
	for (size_t i = count; i > 0; i--) {
		struct held *held = &helds[i - 1];
		if (wall_clock_ms() < held->until_ms) {
			held->over_ms = 0;
			continue;
		}
		held->maybe = true;
		if (held->over_ms == 0)
			held->over_ms = sim_useful_ms();
		if (sim_useful_ms() - held->over_ms > LOOK_MS)
			*held = helds[--count];
	}
}

bool silences_check(int name, bool silenced)
{
	bool must = false, may = false;
	for (size_t i = 0; i < count; i++) {
		bool named = (helds[i].names >> name & 1) != 0;
		may |= named;
		must |= named && !helds[i].maybe;
	}
	if (must && !silenced)
		sim_fail("%s is not silenced, and a silence names it", sim_names[name]);
	if (silenced && !may)
		sim_fail("%s is silenced, and no silence names it", sim_names[name]);
	bool changed = silenced != (bool)(shown >> name & 1);
	shown ^= changed ? 1u << name : 0;
	return changed;
}
