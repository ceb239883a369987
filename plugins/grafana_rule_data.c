/* grafana_rule_data: the queries and expressions of a rule: what they must have, whom they name. */
#include <stdio.h>
#include <string.h>

#include "grafana_rule.h"
#include "json_read.h"

#define QUERIES_MAX 200 /* of one rule: it is looked for circles */
#define MODEL "model"

static const struct grafana_name names[] = {{"ref_id", "refId"},
					    {"query_type", "queryType"},
					    {"relative_time_range", "relativeTimeRange"},
					    {"datasource_uid", "datasourceUid"},
					    {NULL, NULL}};

/* Grafana's own arithmetic: it is no data source, and never looked up. */
static bool is_expression(const json_t *query)
{
	const char *source = json_read_text(query, "datasourceUid");

	return source != NULL && (strcmp(source, "__expr__") == 0 || strcmp(source, "-100") == 0);
}

bool grafana_rule_has_ref(const json_t *data, const char *ref)
{
	json_t *query;
	size_t i;

	json_array_foreach(data, i, query)
	{
		const char *its = json_read_text(query, "refId");

		if (its != NULL && strcmp(its, ref) == 0)
			return true;
	}
	return false;
}

/* ---- One query ---- */

static bool judge_range(const struct grafana_spot *spot, bool expression)
{
	const json_t *range = grafana_field(spot, "relativeTimeRange");
	char pointer[80];
	const struct grafana_spot inner = {range, NULL, pointer, spot->fault};
	json_int_t from, to;

	if (range == NULL)
		return expression || grafana_wrong_field(spot, "relativeTimeRange", "is missing");
	snprintf(pointer, sizeof(pointer), "%s/%s", spot->pointer,
		 json_object_get(spot->sent, "relative_time_range") != NULL ? "relative_time_range"
									    : "relativeTimeRange");
	if (!grafana_is(spot, "relativeTimeRange", GRAFANA_OBJECT) ||
	    !grafana_is(&inner, "from", GRAFANA_INTEGER) || !grafana_is(&inner, "to", GRAFANA_INTEGER))
		return false;
	from = json_integer_value(json_object_get(range, "from"));
	to = json_integer_value(json_object_get(range, "to"));
	if (to < 0)
		return grafana_wrong_field(&inner, "to", "must be 0 or more seconds before now");
	return expression || from > to ||
	       grafana_wrong_field(&inner, "from", "must be more seconds before now than `to` is");
}

/* *out: the query with Grafana's names. */
static json_t *read_query(const json_t *sent, const char *pointer, const json_t *before,
			  struct grafana_fault *fault)
{
	const struct grafana_spot spot = {sent, names, pointer, fault};
	const json_t *model;
	json_t *out;

	if (!json_is_object(sent)) {
		grafana_wrong(fault, pointer, "must be an object");
		return NULL;
	}
	if (!grafana_needs(&spot, "refId", GRAFANA_TEXT) ||
	    !grafana_needs(&spot, "datasourceUid", GRAFANA_TEXT) ||
	    !grafana_is(&spot, "queryType", GRAFANA_TEXT) || !grafana_is(&spot, MODEL, GRAFANA_OBJECT))
		return NULL;
	if (grafana_rule_has_ref(before, json_string_value(grafana_field(&spot, "refId")))) {
		grafana_wrong_field(&spot, "refId", "is the same as that of another query");
		return NULL;
	}
	model = grafana_field(&spot, MODEL);
	if (model == NULL) {
		grafana_wrong_field(&spot, MODEL, "is missing");
		return NULL;
	}
	out = grafana_rename(&spot);
	if (out != NULL && !judge_range(&spot, is_expression(out))) {
		json_decref(out);
		out = NULL;
	}
	return out;
}

/* ---- Expressions ---- */

struct view { /* an expression, and all queries */
	const json_t *data, *model;
	char pointer[60]; /* to its model */
	struct grafana_fault *fault;
	json_t *refs; /* whom it names */
};

static bool add_ref(struct view *view, const char *ref, size_t size, const char *where)
{
	json_t *name = json_stringn(ref, size);
	const char *text = json_string_value(name);
	char pointer[140], shown[60];
	bool known = text != NULL && grafana_rule_has_ref(view->data, text);

	if (!known) {
		snprintf(pointer, sizeof(pointer), "%s/%s", view->pointer, where);
		grafana_clean(text != NULL ? text : "", shown, sizeof(shown));
		grafana_wrong(view->fault, pointer, "names a query that is not in `data`: %s", shown);
	} else {
		json_array_append(view->refs, name);
	}
	json_decref(name);
	return known;
}

/* "$A + ${B} > 2" */
static bool read_math(struct view *view, const char *text)
{
	static const char word[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_";
	bool good = true;

	for (const char *at = strchr(text, '$'); good && at != NULL; at = strchr(at + 1, '$')) {
		if (at[1] == '{')
			good = add_ref(view, at + 2, strcspn(at + 2, "}"), "expression");
		else
			good = add_ref(view, at + 1, strspn(at + 1, word), "expression");
	}
	return good;
}

/* Conditions on queries: each names one in query.params[0]. */
static bool read_classic(struct view *view)
{
	const json_t *list = json_object_get(view->model, "conditions");
	json_t *condition;
	size_t i;

	json_array_foreach(list, i, condition)
	{
		const char *ref = json_string_value(
			json_array_get(json_object_get(json_object_get(condition, "query"), "params"), 0));
		char where[60];

		snprintf(where, sizeof(where), "conditions/%zu/query/params/0", i);
		if (!add_ref(view, ref != NULL ? ref : "", ref != NULL ? strlen(ref) : 0, where))
			return false;
	}
	return true;
}

static bool is_one_of(const char *word, const char *const *words)
{
	while (*words != NULL && strcmp(*words, word) != 0)
		words++;
	return *words != NULL;
}

static bool read_reduce(const struct grafana_spot *spot)
{
	static const char *const reducers[] = {"sum", "mean", "min", "max", "count", "last", "median", NULL};

	return grafana_needs(spot, "reducer", GRAFANA_TEXT) &&
	       (is_one_of(json_read_text(spot->sent, "reducer"), reducers) ||
		grafana_wrong_field(spot, "reducer", "must be sum, mean, min, max, count, last or median"));
}

/* What the value is compared with is in the first condition's evaluator. */
static bool read_threshold(const struct view *view, const struct grafana_spot *spot)
{
	static const char *const types[] = {"gt",
					    "lt",
					    "eq",
					    "ne",
					    "gte",
					    "lte",
					    "within_range",
					    "outside_range",
					    "within_range_included",
					    "outside_range_included",
					    NULL};
	const json_t *evaluator, *params;
	char pointer[120];
	struct grafana_spot there = {NULL, NULL, pointer, view->fault};
	size_t wanted;

	if (!grafana_needs(spot, "conditions", GRAFANA_ARRAY))
		return false;
	evaluator =
		json_object_get(json_array_get(json_object_get(view->model, "conditions"), 0), "evaluator");
	snprintf(pointer, sizeof(pointer), "%s/conditions/0/evaluator", view->pointer);
	there.sent = evaluator;
	if (!grafana_needs(&there, "type", GRAFANA_TEXT) || !grafana_needs(&there, "params", GRAFANA_ARRAY))
		return false;
	if (!is_one_of(json_read_text(evaluator, "type"), types))
		return grafana_wrong_field(&there, "type", "must be gt, lt, eq, ne, gte, lte or a range");
	params = json_object_get(evaluator, "params");
	wanted = strstr(json_read_text(evaluator, "type"), "range") != NULL ? 2 : 1;
	for (size_t i = 0; i < wanted; i++)
		if (!json_is_number(json_array_get(params, i)))
			return grafana_wrong_field(&there, "params", "must have %zu number%s", wanted,
						   wanted > 1 ? "s" : "");
	return true;
}

static bool read_expression(struct view *view)
{
	static const char *const types[] = {"math", "reduce", "resample", "threshold", "classic_conditions",
					    "sql",  NULL};
	const struct grafana_spot spot = {view->model, NULL, view->pointer, view->fault};
	const char *type, *text;

	if (!grafana_needs(&spot, "type", GRAFANA_TEXT))
		return false;
	type = json_read_text(view->model, "type");
	if (!is_one_of(type, types))
		return grafana_wrong_field(&spot, "type",
					   "must be math, reduce, resample, threshold, "
					   "classic_conditions or sql");
	if (strcmp(type, "classic_conditions") == 0)
		return grafana_needs(&spot, "conditions", GRAFANA_ARRAY) && read_classic(view);
	if (!grafana_needs(&spot, "expression", GRAFANA_TEXT))
		return false;
	text = json_read_text(view->model, "expression");
	if (strcmp(type, "math") == 0)
		return read_math(view, text);
	if (strcmp(type, "sql") == 0) /* of later Grafanas; its text is not read here */
		return true;
	if ((strcmp(type, "threshold") == 0 && !read_threshold(view, &spot)) ||
	    (strcmp(type, "reduce") == 0 && !read_reduce(&spot)))
		return false;
	text += text[0] == '$';
	return add_ref(view, text, strlen(text), "expression");
}

/* Are all of these known to be computed? */
static bool all_done(const json_t *refs, const json_t *done)
{
	json_t *ref;
	size_t i;

	json_array_foreach(refs, i,
			   ref) if (json_object_get(done, json_string_value(ref)) == NULL) return false;
	return true;
}

/* Takes away, again and again, what needs only what was taken away. What is left needs itself. `refs`: for
 * each query in `data` whom it names. */
static bool has_no_circle(const json_t *data, const json_t *refs, struct grafana_fault *fault)
{
	json_t *done = json_object();
	bool more = true;
	json_t *query;
	size_t i, left = 0;
	char pointer[60];

	while (more) {
		more = false;
		left = json_array_size(data);
		json_array_foreach(data, i, query)
		{
			const char *ref = json_read_text(query, "refId");

			if (json_object_get(done, ref) == NULL && all_done(json_array_get(refs, i), done)) {
				json_object_set_new(done, ref, json_true());
				more = true;
			} else if (json_object_get(done, ref) == NULL) {
				left = i;
			}
		}
	}
	json_decref(done);
	if (left == json_array_size(data))
		return true;
	snprintf(pointer, sizeof(pointer), "/data/%zu/" MODEL, left);
	return grafana_wrong(fault, pointer, "needs its own result, perhaps by way of others");
}

static bool judge_expressions(const json_t *data, struct grafana_fault *fault)
{
	json_t *all = json_array(), *query;
	bool good = true;
	size_t i;

	json_array_foreach(data, i, query)
	{
		struct view view = {data, json_object_get(query, MODEL), "", fault, json_array()};

		snprintf(view.pointer, sizeof(view.pointer), "/data/%zu/" MODEL, i);
		good = good && (!is_expression(query) || read_expression(&view));
		json_array_append_new(all, view.refs);
	}
	good = good && has_no_circle(data, all, fault);
	json_decref(all);
	return good;
}

json_t *grafana_rule_data(const json_t *sent, struct grafana_fault *fault)
{
	json_t *out = json_array(), *item;
	bool good = json_array_size(sent) <= QUERIES_MAX ||
		    grafana_wrong(fault, "/data", "has more than %d queries", QUERIES_MAX);
	char pointer[40];
	size_t i;

	json_array_foreach(sent, i, item)
	{
		json_t *query = NULL;

		snprintf(pointer, sizeof(pointer), "/data/%zu", i);
		if (good)
			query = read_query(item, pointer, out, fault);
		good = query != NULL;
		if (!good)
			break;
		json_array_append_new(out, query);
	}
	if (good && judge_expressions(out, fault))
		return out;
	json_decref(out);
	return NULL;
}

/* ---- Data sources ---- */

bool grafana_rule_has_query(const json_t *rule)
{
	json_t *query;
	size_t i;

	json_array_foreach(json_object_get(rule, "data"), i, query) if (!is_expression(query)) return true;
	return false;
}

/* The uid itself; else of those with that type or name. *count: how many fit; `first` and `all`: their uids.
 */
static const char *look_up(const json_t *sources, const char *wanted, size_t *count, char *all, size_t size)
{
	const char *first = NULL;
	json_t *source;
	size_t i, used = 0;

	*count = 0;
	all[0] = '\0';
	json_array_foreach(sources, i, source)
	{
		const char *uid = json_read_text(source, "uid"), *type = json_read_text(source, "type"),
			   *name = json_read_text(source, "name");

		if (uid == NULL)
			continue;
		if (strcmp(uid, wanted) == 0) {
			*count = 1;
			return uid;
		}
		if ((type == NULL || strcmp(type, wanted) != 0) &&
		    (name == NULL || strcmp(name, wanted) != 0))
			continue;
		first = first != NULL ? first : uid;
		if (used < size)
			used += (size_t)snprintf(all + used, size - used, "%s%.40s", *count > 0 ? ", " : "",
						 uid);
		++*count;
	}
	return first;
}

/* A query may name its source once more, in its model: for Grafana's editor. */
static void rename_in_model(json_t *query, const char *was, const char *uid)
{
	json_t *model = json_object_get(query, MODEL), *source = json_object_get(model, "datasource");
	const char *its = json_read_text(source, "uid");

	if (its == NULL || strcmp(its, was) != 0)
		return;
	model = json_copy(model);
	source = json_copy(source);
	json_object_set_new(source, "uid", json_string(uid));
	json_object_set_new(model, "datasource", source);
	json_object_set_new(query, MODEL, model);
}

bool grafana_rule_match(json_t *rule, const json_t *sent, const json_t *sources, struct grafana_fault *fault)
{
	const json_t *list = json_object_get(sent, "data");
	json_t *query;
	size_t i, count;

	json_array_foreach(json_object_get(rule, "data"), i, query)
	{
		const char *wanted = json_read_text(query, "datasourceUid"), *uid;
		char pointer[40], all[200], shown[80];
		const struct grafana_spot spot = {json_array_get(list, i), names, pointer, fault};

		if (is_expression(query))
			continue;
		uid = look_up(sources, wanted, &count, all, sizeof(all));
		snprintf(pointer, sizeof(pointer), "/data/%zu", i);
		grafana_clean(wanted, shown, sizeof(shown));
		if (count == 0)
			return grafana_wrong_field(&spot, "datasourceUid",
						   "is the uid, type or name of no data source: %s", shown);
		if (count > 1)
			return grafana_wrong_field(
				&spot, "datasourceUid",
				"fits %zu data sources (%s), of which %.180s may be named by uid", count,
				shown, all);
		if (strcmp(uid, wanted) == 0)
			continue;
		rename_in_model(query, wanted, uid);
		json_object_set_new(query, "datasourceUid", json_string(uid));
	}
	return true;
}
