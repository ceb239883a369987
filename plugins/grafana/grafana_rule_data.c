/* SPDX-License-Identifier: Apache-2.0 */
/* grafana_rule_data: validates each query and expression of a rule by itself, and collects the refIds that it
 * uses. Called by grafana_rule.c, on the thread of the request; pure. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "grafana_rule.h"
#include <skymon/json.h>

#define QUERIES_MAX 200 /* of one rule: the search for cycles is quadratic */
#define MODEL "model"

const struct grafana_name grafana_rule_query_names[] = {{"ref_id", "refId"},
							{"query_type", "queryType"},
							{"relative_time_range", "relativeTimeRange"},
							{"datasource_uid", "datasourceUid"},
							{NULL, NULL}};

bool grafana_rule_is_expression(const json_t *query)
{
	const char *source = skymon_json_text(query, "datasourceUid");
	return source != NULL && (strcmp(source, "__expr__") == 0 || strcmp(source, "-100") == 0);
}

json_t *grafana_rule_find(const json_t *data, const char *ref)
{
	json_t *query;
	size_t i;
	json_array_foreach(data, i, query) {
		const char *its = skymon_json_text(query, "refId");
		if (its != NULL && strcmp(its, ref) == 0)
			return query;
	}
	return NULL;
}

/* ---- One query ---- */

/* Of the expressions, only a resample needs a time range. */
static bool needs_range(const json_t *query)
{
	const char *type = skymon_json_text(json_object_get(query, MODEL), "type");
	return !grafana_rule_is_expression(query) || (type != NULL && strcmp(type, "resample") == 0);
}

static bool validate_range(const struct grafana_fields *fields, bool needed)
{
	const json_t *range = grafana_field(fields, "relativeTimeRange");
	char pointer[80];
	const struct grafana_fields inner = {range, NULL, pointer, fields->fault};
	if (range == NULL)
		return !needed || grafana_invalid_field(fields, "relativeTimeRange", "is missing");
	snprintf(pointer, sizeof(pointer), "%s/%s", fields->pointer,
		 json_object_get(fields->sent, "relative_time_range") != NULL ? "relative_time_range"
									      : "relativeTimeRange");
	if (!grafana_is(fields, "relativeTimeRange", GRAFANA_OBJECT) ||
	    !grafana_is(&inner, "from", GRAFANA_INTEGER) || !grafana_is(&inner, "to", GRAFANA_INTEGER))
		return false;
	json_int_t from = json_integer_value(json_object_get(range, "from"));
	json_int_t to = json_integer_value(json_object_get(range, "to"));
	if (to < 0)
		return grafana_invalid_field(&inner, "to", "must be 0 or more seconds before now");
	return !needed || from > to ||
	       grafana_invalid_field(&inner, "from", "must be more seconds before now than `to` is");
}

/* Returns the query with Grafana's names, or NULL with *fault. */
static json_t *read_query(const json_t *sent, const char *pointer, const json_t *before,
			  struct grafana_fault *fault)
{
	const struct grafana_fields fields = {sent, grafana_rule_query_names, pointer, fault};
	if (!json_is_object(sent)) {
		grafana_invalid(fault, pointer, "must be an object");
		return NULL;
	}
	if (!grafana_needs(&fields, "refId", GRAFANA_TEXT) ||
	    !grafana_needs(&fields, "datasourceUid", GRAFANA_TEXT) ||
	    !grafana_is(&fields, "queryType", GRAFANA_TEXT) || !grafana_is(&fields, MODEL, GRAFANA_OBJECT))
		return NULL;
	if (grafana_rule_find(before, json_string_value(grafana_field(&fields, "refId"))) != NULL) {
		grafana_invalid_field(&fields, "refId", "is the same as that of another query");
		return NULL;
	}
	const json_t *model = grafana_field(&fields, MODEL);
	if (model == NULL) {
		grafana_invalid_field(&fields, MODEL, "is missing");
		return NULL;
	}
	json_t *out = grafana_rename(&fields);
	if (out != NULL && !validate_range(&fields, needs_range(out))) {
		json_decref(out);
		out = NULL;
	}
	return out;
}

/* ---- Expressions ---- */

struct view { /* an expression, and all queries */
	const json_t *data, *query, *model;
	char pointer[60]; /* to its model */
	struct grafana_fault *fault;
	json_t *refs; /* the refIds that it uses */
};

static bool add_ref(struct view *view, const char *ref, size_t size, const char *where)
{
	json_t *name = json_stringn(ref, size);
	const char *text = json_string_value(name);
	char pointer[140], shown[60];
	bool known = text != NULL && grafana_rule_find(view->data, text) != NULL;
	if (!known) {
		snprintf(pointer, sizeof(pointer), "%s/%s", view->pointer, where);
		grafana_clean(text != NULL ? text : "", shown, sizeof(shown));
		grafana_invalid(view->fault, pointer, "refers to a query that is not in `data`: %s", shown);
	} else {
		json_array_append(view->refs, name);
	}
	json_decref(name);
	return known;
}

/* ---- Math: "($A + ${B}) / 2 > 5 && !is_nan($A)" ---- */

/* Reads from left to right, as Grafana does: it only checks that each token may follow the one before. A run
 * of operators is one token, so that ">-" is invalid; a function takes one value or none. */
struct math {
	struct view *view;
	const char *at;
	size_t open; /* open parentheses */
	bool wants;  /* a value must follow, not an operator */
};

static bool wrong_math(const struct math *math, const char *what)
{
	char pointer[80];
	snprintf(pointer, sizeof(pointer), "%s/expression", math->view->pointer);
	char shown[24];
	grafana_clean(math->at, shown, sizeof(shown));
	return grafana_invalid(math->view->fault, pointer, "is not math that Grafana can compute: %s %s%s",
			       what, *math->at != '\0' ? "at: " : "at its end", shown);
}

/* Returns the bytes of a white-space character of Unicode, or 0. */
static size_t space_size(const char *text)
{
	static const char *const wide[] = {"\xc2\x85",     "\xc2\xa0",     "\xe1\x9a\x80", "\xe2\x80\xa8",
					   "\xe2\x80\xa9", "\xe2\x80\xaf", "\xe2\x81\x9f", "\xe3\x80\x80"};
	if (*text != '\0' && strchr(" \t\n\v\f\r", *text) != NULL)
		return 1;
	for (size_t i = 0; i < sizeof(wide) / sizeof(wide[0]); i++)
		if (strncmp(text, wide[i], strlen(wide[i])) == 0)
			return strlen(wide[i]);
	return strncmp(text, "\xe2\x80", 2) == 0 && (unsigned char)text[2] >= 0x80 &&
			       (unsigned char)text[2] <= 0x8a
		       ? 3
		       : 0;
}

/* Returns the bytes of a word: letters of all scripts, and characters of `more`. Characters beyond ASCII
 * count as letters: a name must be one of the known ones in any case. */
static size_t word_size(const char *text, const char *more)
{
	static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_";
	size_t size = 0;
	while (text[size] != '\0' &&
	       (strchr(letters, text[size]) != NULL || strchr(more, text[size]) != NULL ||
		((unsigned char)text[size] >= 0x80 && space_size(text + size) == 0)))
		size++;
	return size;
}

/* "5", ".5", "1e-3", "0x1F"; 0 if it is not a number. */
static size_t number_size(const char *text)
{
	static const char digits[] = "0123456789";
	size_t size = strspn(text, digits), count = size, more;
	if (text[0] == '0' && (text[1] == 'x' || text[1] == 'X')) {
		more = strspn(text + 2, "0123456789abcdefABCDEF");
		return more > 0 && text[2 + more] != '.' ? 2 + more : 0;
	}
	if (text[size] == '.') {
		more = strspn(text + size + 1, digits);
		count += more;
		size += 1 + more;
	}
	if (text[size] == 'e' || text[size] == 'E') {
		size += text[size + 1] == '+' || text[size + 1] == '-' ? 2 : 1;
		more = strspn(text + size, digits);
		count = more > 0 ? count : 0;
		size += more;
	}
	return count > 0 ? size : 0;
}

static bool is_one_of(const char *word, size_t size, const char *const *words)
{
	while (*words != NULL && (strlen(*words) != size || strncmp(*words, word, size) != 0))
		words++;
	return *words != NULL;
}

/* "$A", "${A B}" */
static bool read_variable(struct math *math)
{
	const char *name = math->at + 1;
	size_t size = 0;
	if (*name != '{') {
		size = word_size(name, "0123456789");
		if (size == 0)
			return wrong_math(math, "a $ without the refId of a query");
		math->at = name + size;
		return add_ref(math->view, name, size, "expression");
	}
	size_t more;
	for (name++; (more = word_size(name + size, "0123456789") + space_size(name + size)) > 0;)
		size += more;
	if (size == 0 || name[size] != '}')
		return wrong_math(math, "a ${ without a refId and }");
	math->at = name + size + 1;
	return add_ref(math->view, name, size, "expression");
}

static bool read_function(struct math *math)
{
	static const char *const constants[] = {"nan", "inf", "infn", "null", NULL};
	static const char *const functions[] = {"abs",    "log",    "round",   "ceil",      "floor",
						"is_nan", "is_inf", "is_null", "is_number", NULL};
	size_t size = word_size(math->at, "");
	bool constant = is_one_of(math->at, size, constants);
	const char *open = math->at + size;
	if (!constant && !is_one_of(math->at, size, functions))
		return wrong_math(math, size > 0 ? "unknown function (a query is named with $ before it)"
						 : "unknown character");
	while (space_size(open) > 0)
		open += space_size(open);
	if (*open != '(')
		return wrong_math(math, "a function without (");
	math->at = open + 1;
	math->open++;
	while (constant && space_size(math->at) > 0)
		math->at += space_size(math->at);
	if (constant && *math->at != ')')
		return wrong_math(math, "this function takes no value");
	math->wants = !constant;
	return true;
}

static bool read_operator(struct math *math, size_t size)
{
	static const char *const before[] = {"!", "-", NULL};
	static const char *const between[] = {
		"&&", "||", ">", "<", ">=", "<=", "==", "!=", "+", "-", "*", "**", "/", "%", NULL};
	bool known = is_one_of(math->at, size, between);
	if (math->wants && !is_one_of(math->at, size, before))
		return wrong_math(math, known ? "a value is missing"
					      : "unknown operator (put a space between two)");
	if (!math->wants && !known)
		return wrong_math(math, "unknown operator (put a space between two)");
	math->at += size;
	math->wants = true;
	return true;
}

static bool read_value(struct math *math)
{
	size_t size = number_size(math->at);
	if (!math->wants)
		return wrong_math(math, "an operator is missing");
	if (*math->at == '(') {
		math->at++;
		math->open++;
		return true;
	}
	if (size == 0 && *math->at != '$')
		return read_function(math);
	math->wants = false;
	math->at += size;
	return size > 0 || read_variable(math);
}

static bool read_math(struct view *view, const char *text)
{
	struct math math = {view, text, 0, true};
	bool good = true;
	while (good && *(math.at += space_size(math.at)) != '\0') {
		size_t symbols = strspn(math.at, "!<>=&|+-*/%");
		if (space_size(math.at) > 0)
			continue;
		if (*math.at == ')') {
			good = (!math.wants || wrong_math(&math, "a value is missing")) &&
			       (math.open > 0 || wrong_math(&math, "a ) without ("));
			math.open--;
			math.at++;
		} else {
			good = symbols > 0 ? read_operator(&math, symbols) : read_value(&math);
		}
	}
	return good && (!math.wants || wrong_math(&math, "a value is missing")) &&
	       (math.open == 0 || wrong_math(&math, "a ) is missing"));
}

/* ---- The other expressions ---- */

static bool is_word(const struct grafana_fields *fields, const char *own, const char *const *words,
		    const char *choices)
{
	const char *word = json_string_value(grafana_field(fields, own));
	return grafana_needs(fields, own, GRAFANA_TEXT) &&
	       (is_one_of(word, strlen(word), words) ||
		grafana_invalid_field(fields, own, "must be %s", choices));
}

/* The comparison in conditions[at].evaluator. */
static bool validate_evaluator(const struct view *view, size_t at, const char *const *types,
			       const char *choices)
{
	const json_t *evaluator =
		json_object_get(json_array_get(json_object_get(view->model, "conditions"), at), "evaluator");
	char pointer[120];
	const struct grafana_fields fields = {evaluator, NULL, pointer, view->fault};
	snprintf(pointer, sizeof(pointer), "%s/conditions/%zu/evaluator", view->pointer, at);
	if (!is_word(&fields, "type", types, choices))
		return false;
	const char *type = skymon_json_text(evaluator, "type");
	if (strcmp(type, "no_value") == 0)
		return true;
	if (!grafana_needs(&fields, "params", GRAFANA_ARRAY))
		return false;
	size_t wanted = strstr(type, "range") != NULL ? 2 : 1;
	for (size_t i = 0; i < wanted; i++)
		if (!json_is_number(json_array_get(json_object_get(evaluator, "params"), i)))
			return grafana_invalid_field(&fields, "params", "must have %zu number%s", wanted,
						     wanted > 1 ? "s" : "");
	return true;
}

/* One condition: its query, its reducer, and the operator that joins it to the one before. */
static bool validate_classic(struct view *view, size_t at)
{
	static const char *const types[] = {"gt",
					    "lt",
					    "eq",
					    "ne",
					    "gte",
					    "lte",
					    "ge",
					    "le",
					    "within_range",
					    "outside_range",
					    "within_range_included",
					    "outside_range_included",
					    "no_value",
					    NULL};
	static const char *const reducers[] = {"avg",
					       "sum",
					       "min",
					       "max",
					       "count",
					       "last",
					       "median",
					       "diff",
					       "diff_abs",
					       "percent_diff",
					       "percent_diff_abs",
					       "count_non_null",
					       NULL};
	static const char *const operators[] = {"and", "or", "logic-or", NULL};
	const json_t *condition = json_array_get(json_object_get(view->model, "conditions"), at);
	const char *ref = json_string_value(
		json_array_get(json_object_get(json_object_get(condition, "query"), "params"), 0));
	char where[60], reducer[120], joined[120];
	const struct grafana_fields reduces = {json_object_get(condition, "reducer"), NULL, reducer,
					       view->fault};
	const struct grafana_fields joins = {json_object_get(condition, "operator"), NULL, joined,
					     view->fault};
	snprintf(where, sizeof(where), "conditions/%zu/query/params/0", at);
	snprintf(reducer, sizeof(reducer), "%s/conditions/%zu/reducer", view->pointer, at);
	snprintf(joined, sizeof(joined), "%s/conditions/%zu/operator", view->pointer, at);
	return add_ref(view, ref != NULL ? ref : "", ref != NULL ? strlen(ref) : 0, where) &&
	       is_word(&reduces, "type", reducers,
		       "avg, sum, min, max, count, last, median, diff, percent_diff or count_non_null") &&
	       validate_evaluator(view, at, types, "gt, lt, eq, ne, gte, lte, a range or no_value") &&
	       (at == 0 || is_word(&joins, "type", operators, "and, or, or logic-or"));
}

static bool read_classic(struct view *view, const struct grafana_fields *fields)
{
	if (!grafana_needs(fields, "conditions", GRAFANA_ARRAY))
		return false;
	for (size_t i = 0; i < json_array_size(json_object_get(view->model, "conditions")); i++)
		if (!validate_classic(view, i))
			return false;
	return true;
}

/* Grafana accepts a reducer's name in any case. `settings` says how it treats values that are not numbers. */
static bool read_reduce(const struct grafana_fields *fields)
{
	static const char *const reducers[] = {"sum", "mean", "min", "max", "count", "last", "median"};
	static const char *const modes[] = {"", "dropNN", "replaceNN"};
	const char *reducer = json_string_value(grafana_field(fields, "reducer"));
	const json_t *settings = grafana_field(fields, "settings");
	char pointer[80];
	const struct grafana_fields inner = {settings, NULL, pointer, fields->fault};
	const char *mode = json_string_value(grafana_field(&inner, "mode"));
	size_t i = 0;
	if (!grafana_needs(fields, "reducer", GRAFANA_TEXT) ||
	    !grafana_is(fields, "settings", GRAFANA_OBJECT))
		return false;
	while (i < 7 && strcasecmp(reducers[i], reducer) != 0)
		i++;
	if (i == 7)
		return grafana_invalid_field(fields, "reducer",
					     "must be sum, mean, min, max, count, last or median");
	snprintf(pointer, sizeof(pointer), "%s/settings", fields->pointer);
	if (!grafana_is(&inner, "mode", GRAFANA_TEXT))
		return false;
	for (i = 0; mode != NULL && i < 3 && strcmp(modes[i], mode) != 0;)
		i++;
	if (mode != NULL && i == 3)
		return grafana_invalid_field(&inner, "mode", "must be dropNN or replaceNN, or be omitted");
	return mode == NULL || i != 2 || json_is_number(json_object_get(settings, "replaceWithValue")) ||
	       grafana_invalid_field(&inner, "replaceWithValue",
				     "must be a number where the mode is replaceNN");
}

static bool read_threshold(const struct view *view, const struct grafana_fields *fields)
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
	return grafana_needs(fields, "conditions", GRAFANA_ARRAY) &&
	       validate_evaluator(view, 0, types, "gt, lt, eq, ne, gte, lte or a range") &&
	       (json_array_size(json_object_get(view->model, "conditions")) == 1 ||
		grafana_invalid_field(fields, "conditions", "must have exactly one condition"));
}

/* Returns the milliseconds of "10s", "1h30m", "1.5h", "1d", "1M"; the least for units of varying length. 0 or
 * less if it is invalid. */
static double window_ms(const char *text)
{
	static const struct {
		const char *unit;
		double ms;
	} units[] = {{"ns", 1e-6}, {"us", 1e-3},  {"\xc2\xb5s", 1e-3}, {"\xce\xbcs", 1e-3},
		     {"ms", 1},    {"s", 1e3},    {"m", 6e4},          {"h", 36e5},
		     {"d", 864e5}, {"w", 6048e5}, {"M", 28 * 864e5},   {"y", 365 * 864e5}};
	double ms = 0;
	while (*text != '\0') {
		size_t digits = strspn(text, "0123456789."), letters = strcspn(text + digits, "0123456789."),
		       unit = 0;
		char *end = NULL;
		double count = digits > 0 ? strtod(text, &end) : 0;
		while (unit < sizeof(units) / sizeof(units[0]) &&
		       (strlen(units[unit].unit) != letters ||
			strncmp(units[unit].unit, text + digits, letters) != 0))
			unit++;
		if (end != text + digits || unit == sizeof(units) / sizeof(units[0]))
			return 0;
		ms += count * units[unit].ms;
		text = end + letters;
	}
	return ms;
}

static bool read_resample(const struct view *view, const struct grafana_fields *fields)
{
	static const char *const down[] = {"sum", "mean", "min", "max", "last", NULL};
	static const char *const up[] = {"pad", "backfilling", "fillna", NULL};
	const json_t *range = json_object_get(view->query, "relativeTimeRange");
	if (!grafana_needs(fields, "window", GRAFANA_TEXT) ||
	    !is_word(fields, "downsampler", down, "sum, mean, min, max or last") ||
	    !is_word(fields, "upsampler", up, "pad, backfilling or fillna"))
		return false;
	double ms = window_ms(skymon_json_text(view->model, "window"));
	if (ms <= 0)
		return grafana_invalid_field(fields, "window", "is not a duration such as 10s, 5m or 1d");
	return ms <= 1e3 * (double)(json_integer_value(json_object_get(range, "from")) -
				    json_integer_value(json_object_get(range, "to"))) ||
	       grafana_invalid_field(fields, "window",
				     "is longer than the relativeTimeRange of the expression");
}

static bool read_expression(struct view *view)
{
	static const char *const types[] = {"math", "reduce", "resample", "threshold", "classic_conditions",
					    "sql",  NULL};
	const struct grafana_fields fields = {view->model, NULL, view->pointer, view->fault};
	if (!is_word(&fields, "type", types, "math, reduce, resample, threshold, classic_conditions or sql"))
		return false;
	const char *type = skymon_json_text(view->model, "type");
	if (strcmp(type, "classic_conditions") == 0)
		return read_classic(view, &fields);
	if (!grafana_needs(&fields, "expression", GRAFANA_TEXT))
		return false;
	const char *text = skymon_json_text(view->model, "expression");
	if (strcmp(type, "math") == 0)
		return read_math(view, text);
	if (strcmp(type, "sql") == 0) /* of later versions; its text is not parsed here */
		return true;
	if ((strcmp(type, "threshold") == 0 && !read_threshold(view, &fields)) ||
	    (strcmp(type, "resample") == 0 && !read_resample(view, &fields)) ||
	    (strcmp(type, "reduce") == 0 && !read_reduce(&fields)))
		return false;
	text += text[0] == '$';
	return add_ref(view, text, strlen(text), "expression");
}

json_t *grafana_rule_refs(const json_t *data, struct grafana_fault *fault)
{
	json_t *all = json_array(), *query;
	bool good = true;
	size_t i;
	json_array_foreach(data, i, query) {
		struct view view = {data, query, json_object_get(query, MODEL), "", fault, json_array()};
		snprintf(view.pointer, sizeof(view.pointer), "/data/%zu/" MODEL, i);
		good = good && (!grafana_rule_is_expression(query) || read_expression(&view));
		json_array_append_new(all, view.refs);
	}
	if (good)
		return all;
	json_decref(all);
	return NULL;
}

/* ---- All queries ---- */

json_t *grafana_rule_data(const json_t *sent, struct grafana_fault *fault)
{
	json_t *out = json_array(), *item;
	bool good = json_array_size(sent) <= QUERIES_MAX ||
		    grafana_invalid(fault, "/data", "has more than %d queries", QUERIES_MAX);
	char pointer[40];
	size_t i;
	json_array_foreach(sent, i, item) {
		json_t *query = NULL;
		snprintf(pointer, sizeof(pointer), "/data/%zu", i);
		if (good)
			query = read_query(item, pointer, out, fault);
		good = query != NULL;
		if (!good)
			break;
		json_array_append_new(out, query);
	}
	if (good)
		return out;
	json_decref(out);
	return NULL;
}
