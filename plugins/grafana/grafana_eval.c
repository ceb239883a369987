/* SPDX-License-Identifier: Apache-2.0 */
/* grafana_eval: has Grafana evaluate a rule without storing it (POST /api/v1/eval), and refuses a rule that
 * this version of Grafana cannot evaluate. Called by grafana_rules.c before a rule is created, on the thread
 * of the request. Owns nothing. */
#include <stdio.h>
#include <string.h>

#include "grafana_rule.h"
#include <skymon/json.h>

#define ANSWER_MAX (1u << 20) /* of results; larger ones are not checked */

/* Points to the query that the sentence names, as in "failed to parse expression 'B': …", or else to all. */
static void find_place(const json_t *data, const char *sentence, char *pointer, size_t size)
{
	snprintf(pointer, size, "/data");
	json_t *query;
	size_t i;
	json_array_foreach(data, i, query) {
		const char *ref = skymon_json_text(query, "refId");
		char quoted[80];
		snprintf(quoted, sizeof(quoted), " '%.60s':", ref != NULL ? ref : "");
		if (strstr(sentence, quoted) != NULL) {
			snprintf(pointer, size, "/data/%zu", i);
			return;
		}
	}
}

/* ---- Results ---- */

static size_t count_items(struct grafana_span list)
{
	struct grafana_span value;
	size_t count = 0;
	while (list.text != NULL && grafana_walk(&list, NULL, &value))
		count++;
	return count;
}

static size_t count_rows(struct grafana_span frame)
{
	struct grafana_span values = grafana_find(grafana_find(frame, "data"), "values"), column;
	return values.text != NULL && grafana_walk(&values, NULL, &column) ? count_items(column) : 0;
}

/* Returns why Grafana cannot alert on a frame of the condition, or NULL if it can or if the frame is empty
 * now. */
static const char *frame_fault(struct grafana_span frame)
{
	json_t *fields = grafana_pick(grafana_find(frame, "schema"), "fields"), *field;
	size_t rows = count_rows(frame), i;
	const char *fault = NULL;
	json_array_foreach(fields, i, field) {
		const char *type = skymon_json_text(field, "type");
		if (rows > 0 && type != NULL && strcmp(type, "time") == 0)
			fault = "gives a time series, and Grafana can alert on reduced data only: add a "
				"reduce "
				"expression";
	}
	if (rows > 0 && fault == NULL && (rows > 1 || json_array_size(fields) > 1))
		fault = "gives a table, and Grafana can alert on single numbers only: ask for one number for "
			"each set of labels, or reduce it";
	if (rows > 0 && fault == NULL && json_array_size(fields) == 1) {
		const char *type = skymon_json_text(json_array_get(fields, 0), "type");
		if (type != NULL && strcmp(type, "number") != 0)
			fault = "gives a value that is not a number, and Grafana can alert on numbers only";
	}
	json_decref(fields);
	return fault;
}

static bool check_results(struct grafana_ctx *ctx, const struct grafana_text *answer, const char *condition,
			  const char *output)
{
	struct grafana_span whole = {answer->bytes, answer->size}, frame,
			    frames = grafana_find(grafana_find(grafana_find(whole, "results"), condition),
						  "frames");
	const char *fault = NULL;
	while (fault == NULL && frames.text != NULL && grafana_walk(&frames, NULL, &frame))
		fault = frame_fault(frame);
	return fault == NULL || grafana_invalid(&ctx->fault, output, "%s", fault);
}

/* ---- Evaluation ---- */

bool grafana_rule_eval(struct grafana_ctx *ctx, const json_t *rule)
{
	const json_t *data = json_object_get(rule, "data");
	const char *output, *condition = grafana_rule_output(rule, &output);
	json_t *body = json_pack("{s:O, s:s}", "data", data, "condition", condition);
	char *printed = grafana_print(body);
	struct grafana_fault *fault = &ctx->fault;
	/* Grafana refuses a wrong rule at once. The queries of a right one may be slow, and their results
	 * matter less. */
	ctx->limit_ms = ctx->grafana->timeout.ms / 4;
	ctx->repeatable = true;
	struct grafana_text answer;
	bool good = grafana_ask_text(ctx, "POST", "/api/v1/eval",
				     (struct grafana_span){printed, strlen(printed)}, ANSWER_MAX, &answer);

	char pointer[40];
	if (good) {
		good = check_results(ctx, &answer, condition, output);
	} else if (fault->upstream_status == 400 && fault->upstream_message[0] != '\0') {
		find_place(data, fault->upstream_message, pointer, sizeof(pointer));
		grafana_reword(ctx, 422, pointer, "cannot be evaluated by this Grafana: %.320s",
			       fault->upstream_message);
	} else if (strstr(fault->upstream_message, "wide series") != NULL) {
		grafana_reword(ctx, 422, output,
			       "gives a table, and Grafana can alert on numbers only: %.320s",
			       fault->upstream_message);
	} else if (!fault->key_refused) {
		/* a data source fails at the moment, the key may not evaluate, or this Grafana has no such
		 * route: not the rule's fault */
		grafana_forget(fault);
		good = true;
	}
	grafana_text_free(&answer);
	grafana_free_text(printed);
	json_decref(body);
	return good;
}
