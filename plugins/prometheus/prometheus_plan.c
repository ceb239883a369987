/* SPDX-License-Identifier: Apache-2.0 */
/* prometheus_plan: the order of all families, and which component wins a name that two report. Called by
 * prometheus.c, on the HTTP thread. Owns plans and layouts. */
#include "prometheus.h"

#include <stdlib.h>
#include <string.h>

enum { SMALL = 1024 }; /* bytes: below this, a copy is cheaper than a part of its own */

static bool ends_with(const char *text, const char *end)
{
	size_t size = strlen(text), end_size = strlen(end);
	return size > end_size && strcmp(text + size - end_size, end) == 0;
}

/* ---- Families: members by name, then in config order ---- */

static void add_members(struct plan *plan, struct record *record)
{
	struct chunk *chunk = record->chunk;
	if (chunk == NULL)
		return;
	size_t count = chunk->family_count;
	plan->members =
		grow(plan->members, &plan->member_room, plan->member_count + count, sizeof(*plan->members));
	for (size_t i = 0; i < count; i++) {
		plan->members[plan->member_count] = (struct member){.record = record,
								    .chunk = chunk,
								    .family = &chunk->families[i],
								    .order = plan->member_count};
		plan->member_count++;
		chunk->references++;
	}
}

static int compare_members(const void *a, const void *b)
{
	const struct member *one = a, *other = b;
	int by_name = strcmp(one->family->name, other->family->name);
	if (by_name != 0)
		return by_name;
	return one->order < other->order ? -1 : 1;
}

static void make_groups(struct plan *plan)
{
	if (plan->member_count == 0)
		return;
	qsort(plan->members, plan->member_count, sizeof(*plan->members), compare_members);
	plan->groups = make(plan->member_count * sizeof(*plan->groups));
	for (size_t i = 0; i < plan->member_count; i++) {
		const struct member *member = &plan->members[i];
		struct group *group = plan->group_count > 0 ? &plan->groups[plan->group_count - 1] : NULL;
		if (group == NULL || strcmp(group->name, member->family->name) != 0) {
			group = &plan->groups[plan->group_count++];
			*group = (struct group){
				.name = member->family->name, .first = i, .order = member->order};
		}
		group->count++;
	}
}

static int compare_group_name(const void *key, const void *group)
{
	return strcmp(key, ((const struct group *)group)->name);
}

static bool is_accepted(const struct plan *plan, const char *stem, size_t stem_size, const char *suffix)
{
	char name[512];
	if (stem_size + strlen(suffix) >= sizeof(name))
		return false;
	memcpy(name, stem, stem_size);
	strcpy(name + stem_size, suffix);
	const struct group *group = plan->group_count == 0 ? NULL
							   : bsearch(name, plan->groups, plan->group_count,
								     sizeof(*group), compare_group_name);
	return group != NULL && group->accepted;
}

/* In OpenMetrics the counter x_total is the family x, which also owns x_created. */
static const char *why_not(const struct plan *plan, const struct group *group)
{
	const struct chunk_family *family = plan->members[group->first].family;
	const struct own *own = own_find(group->name);
	size_t size = strlen(group->name), stem = size - strlen("_total");
	if (own != NULL)
		return own->open && own->type == family->type ? NULL : "the name is one of skymon's own";
	if (family->type != SKYMON_GAUGE && family->type != SKYMON_COUNTER)
		return "its type is unknown";
	if (family->type == SKYMON_COUNTER) {
		if (!ends_with(group->name, "_total"))
			return "the name of a counter must end in _total";
		char base[512];
		if (size + strlen("_created") >= sizeof(base))
			return "its name is too long";
		memcpy(base, group->name, stem);
		base[stem] = '\0';
		char created[sizeof(base)];
		strcpy(stpcpy(created, base), "_created");
		if (own_claims(base) || own_claims(created))
			return "the name clashes with one of skymon's own in OpenMetrics";
		if (is_accepted(plan, base, stem, "") || is_accepted(plan, created, strlen(created), ""))
			return "the name clashes with a metric that came first";
	}
	if (own_claims(group->name))
		return "the name clashes with one of skymon's own";
	if (is_accepted(plan, group->name, size, "_total") ||
	    (ends_with(group->name, "_created") &&
	     is_accepted(plan, group->name, size - strlen("_created"), "_total")))
		return "the name clashes with a counter that came first";
	return NULL;
}

/* ---- Conflicts ---- */

static void drop(struct skymon *sm, struct member *member, const char *why, uint64_t *dropped_total)
{
	struct chunk_family *family = member->family;
	if (!family->dropped)
		++*dropped_total;
	if (!family->reported)
		skymon_warn(sm, "metric %s of component %s is left out: %s", family->name,
			    member->record->name, why);
	family->dropped = family->reported = true;
}

static void resolve_group(struct skymon *sm, struct plan *plan, struct group *group, uint64_t *dropped_total)
{
	const char *why = why_not(plan, group);
	int type = plan->members[group->first].family->type;
	group->accepted = why == NULL;
	for (size_t i = group->first; i < group->first + group->count; i++) {
		struct member *member = &plan->members[i];
		if (why != NULL)
			drop(sm, member, why, dropped_total);
		else if (member->family->type != type)
			drop(sm, member, "a component before it reports it with another type", dropped_total);
		else
			member->family->dropped = member->family->reported = false;
	}
}

static int compare_orders(const void *a, const void *b)
{
	const struct group *one = *(struct group *const *)a, *other = *(struct group *const *)b;
	return one->order < other->order ? -1 : one->order > other->order;
}

static void resolve_groups(struct skymon *sm, struct plan *plan, uint64_t *dropped_total)
{
	struct group **by_order = make(plan->group_count * sizeof(*by_order));
	for (size_t i = 0; i < plan->group_count; i++)
		by_order[i] = &plan->groups[i];
	qsort(by_order, plan->group_count, sizeof(*by_order), compare_orders);
	for (size_t i = 0; i < plan->group_count; i++)
		resolve_group(sm, plan, by_order[i], dropped_total);
	free(by_order);
}

/* ---- A plan ---- */

static void gather_own(struct plan *plan, const struct records *records)
{
	for (size_t i = 0; i < records->count; i++) {
		const struct record *record = records->list[i];
		for (size_t n = 0, from = 0; n < OWN_COMPONENT; from = record->own_end[n++])
			text_add(&plan->own[n], record->own.data + from, record->own_end[n] - from);
	}
}

struct plan *plan_new(struct skymon *sm, struct records *records, const struct skymon_snapshot *snapshot,
		      uint64_t *dropped_total)
{
	struct plan *plan = make(sizeof(*plan));
	plan->references = 1;
	plan->generation = snapshot->generation;
	plan->status = snapshot->status;
	records_update(records, snapshot);
	gather_own(plan, records);
	for (size_t i = 0; i < records->count; i++)
		add_members(plan, records->list[i]);
	make_groups(plan);
	resolve_groups(sm, plan, dropped_total);
	return plan;
}

void plan_unref(struct plan *plan)
{
	if (plan == NULL || --plan->references > 0)
		return;
	for (size_t i = 0; i < plan->member_count; i++)
		chunk_unref(plan->members[i].chunk);
	for (size_t i = 0; i < OWN_COMPONENT; i++)
		free(plan->own[i].data);
	for (size_t i = 0; i < FORMAT_COUNT; i++) {
		free(plan->layouts[i].kept.data);
		free(plan->layouts[i].pieces);
		free(plan->layouts[i].parts);
	}
	free(plan->members);
	free(plan->groups);
	free(plan);
}

/* ---- A layout: the pieces of one format, in their order ---- */

static void add_piece(struct layout *layout, struct piece piece)
{
	layout->pieces = grow(layout->pieces, &layout->room, layout->count + 1, sizeof(*layout->pieces));
	layout->pieces[layout->count++] = piece;
}

/* Adds the text appended to `kept` since `from` as a piece; adjacent pieces are merged. */
static void keep(struct layout *layout, size_t from)
{
	struct piece *last = layout->count > 0 ? &layout->pieces[layout->count - 1] : NULL;
	size_t size = layout->kept.size - from;
	if (size == 0)
		return;
	if (last != NULL && last->kind == PIECE_KEPT)
		last->size += size;
	else
		add_piece(layout, (struct piece){.kind = PIECE_KEPT, .offset = from, .size = size});
}

static void put_members(struct layout *layout, const struct plan *plan, const struct group *group)
{
	for (size_t i = group->first; i < group->first + group->count; i++) {
		const struct chunk_family *family = plan->members[i].family;
		const char *bytes = plan->members[i].chunk->text + family->offset;
		size_t from = layout->kept.size;
		if (family->dropped || family->size == 0)
			continue;
		if (family->size > SMALL) {
			add_piece(layout,
				  (struct piece){.kind = PIECE_CHUNK, .bytes = bytes, .size = family->size});
			continue;
		}
		text_add(&layout->kept, bytes, family->size);
		keep(layout, from);
	}
}

static bool has_samples(const struct plan *plan, const struct group *group)
{
	for (size_t i = group->first; i < group->first + group->count; i++)
		if (!plan->members[i].family->dropped && plan->members[i].family->size > 0)
			return true;
	return false;
}

static void put_group(struct layout *layout, const struct plan *plan, const struct group *group,
		      enum format format)
{
	const struct member *first = &plan->members[group->first];
	size_t from = layout->kept.size;
	if (!group->accepted || !has_samples(plan, group))
		return;
	if (first->family->help[0] != '\0') {
		text_head(&layout->kept, format, group->name, first->family->type, first->family->help);
	} else {
		struct text help = {0};
		text_put(&help, "Reported by the plugin ");
		text_add(&help, first->record->plugin, strlen(first->record->plugin) + 1);
		text_head(&layout->kept, format, group->name, first->family->type, help.data);
		free(help.data);
	}
	keep(layout, from);
	put_members(layout, plan, group);
}

/* Adds an own family: printed at the scrape, or the kept texts of the components. */
static void put_own(struct layout *layout, const struct plan *plan, size_t index, size_t *component_index,
		    enum format format)
{
	const struct own *own = &own_families[index];
	if (own->print_component == NULL) {
		struct piece *last = layout->count > 0 ? &layout->pieces[layout->count - 1] : NULL;
		if (last != NULL && last->kind == PIECE_LIVE)
			last->size = index; /* up to and including this one */
		else
			add_piece(layout, (struct piece){.kind = PIECE_LIVE, .offset = index, .size = index});
		return;
	}
	const struct text *samples = &plan->own[(*component_index)++];
	size_t from = layout->kept.size;
	if (samples->size == 0)
		return;
	text_head(&layout->kept, format, own->name, own->type, own->help);
	text_add(&layout->kept, samples->data, samples->size);
	keep(layout, from);
}

static void make_layout(struct layout *layout, const struct plan *plan, enum format format)
{
	size_t component_index = 0, next = 0;
	for (size_t i = 0; i < own_count; i++) {
		const char *name = own_families[i].name;
		for (; i >= OWN_SEED && next < plan->group_count && strcmp(plan->groups[next].name, name) < 0;
		     next++)
			put_group(layout, plan, &plan->groups[next], format);
		put_own(layout, plan, i, &component_index, format);
		if (i < OWN_SEED || next == plan->group_count || strcmp(plan->groups[next].name, name) != 0)
			continue;
		if (plan->groups[next].accepted) /* under the own family's head */
			put_members(layout, plan, &plan->groups[next]);
		next++;
	}
	for (; next < plan->group_count; next++)
		put_group(layout, plan, &plan->groups[next], format);
	size_t from = layout->kept.size;
	if (format == FORMAT_OPENMETRICS)
		text_put(&layout->kept, "# EOF\n");
	keep(layout, from);
	layout->parts = make(layout->count * sizeof(*layout->parts));
	layout->made = true;
}

struct layout *plan_layout(struct plan *plan, enum format format)
{
	struct layout *layout = &plan->layouts[format];
	if (!layout->made)
		make_layout(layout, plan, format);
	return layout;
}

size_t layout_parts(struct layout *layout, const char *live_text, const size_t *live_ends)
{
	size_t count = 0;
	for (size_t i = 0; i < layout->count; i++) {
		const struct piece *piece = &layout->pieces[i];
		struct skymon_part part = {piece->bytes, piece->size};
		if (piece->kind == PIECE_KEPT) {
			part.bytes = layout->kept.data + piece->offset;
		} else if (piece->kind == PIECE_LIVE) {
			size_t from = piece->offset > 0 ? live_ends[piece->offset - 1] : 0;
			part = (struct skymon_part){live_text + from, live_ends[piece->size] - from};
		}
		if (part.size > 0)
			layout->parts[count++] = part;
	}
	return count;
}
