/* SPDX-License-Identifier: Apache-2.0 */
// A plugin in C++20, for test_outsider.py: every kind of option, a number, a label, RAII over a callback's early return.
#include <skymon/plugin.h>
#include <skymon/routes.h>

#include <memory>
#include <string>
#include <vector>

namespace {

struct gauge {
	const char *word;
	bool yes;
	int64_t count;
	double real;
	skymon_duration pause;
	skymon_bytes room;
	skymon_ratio share;
	skymon_choice colour;
	skymon_secret password;
	skymon_texts texts;
	skymon_map map;
	skymon_tls tls;
	std::vector<double> *seen; // made in start, ended in stop: state itself is plain memory
};

constexpr const char *colours[] = {"red", "green", nullptr};

const skymon_option options[] = {
	SKYMON_OPT(gauge, word, "hello", "a text"),
	SKYMON_OPT(gauge, yes, "true", "a boolean"),
	SKYMON_OPT(gauge, count, "3", "an integer", .flags = 0, .min = 1, .max = 9),
	SKYMON_OPT(gauge, real, "0.5", "a real"),
	SKYMON_OPT(gauge, pause, "250ms", "a duration"),
	SKYMON_OPT(gauge, room, "64KiB", "a size"),
	SKYMON_OPT(gauge, share, "80%", "a ratio"),
	SKYMON_OPT(gauge, colour, "green", "a choice", .words = colours),
	SKYMON_OPT(gauge, password, nullptr, "a secret"),
	SKYMON_OPT(gauge, texts, nullptr, "texts"),
	SKYMON_OPT(gauge, map, nullptr, "a map of texts"),
	SKYMON_OPT(gauge, tls, nullptr, "TLS"),
	{},
};

const struct skymon_number numbers[] = {{"level", "ratio", "the level"}, {}};

bool start(skymon *, void *state)
{
	static_cast<gauge *>(state)->seen = new std::vector<double>;
	return true;
}

void stop(skymon *, void *state)
{
	delete static_cast<gauge *>(state)->seen;
}

skymon_status check(skymon *sm, void *state)
{
	auto *g = static_cast<gauge *>(state);
	auto text = std::make_unique<std::string>(g->word);
	const skymon_label label{"colour", colours[g->colour.index]};

	g->seen->push_back(g->share.of_one);
	skymon_number(sm, "level", g->share.of_one);
	skymon_metric(sm, SKYMON_GAUGE, "gauge_level_ratio", "The level", g->share.of_one, &label, 1);
	skymon_detail(sm, "word", "%s", text->c_str());
	skymon_detail_number(sm, "pause_ms", static_cast<double>(g->pause.ms));
	skymon_detail_number(sm, "room_bytes", static_cast<double>(g->room.count));
	return skymon_verdict(sm, g->yes && g->count == 3 && g->real == 0.5, "%s from C++", text->c_str());
}

} // namespace

SKYMON_PLUGIN(gauge, "1.0", "A plugin in C++", .state_size = sizeof(gauge), .options = options, .numbers = numbers,
	      .start = start, .stop = stop, .check = check);
