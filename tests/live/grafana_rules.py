# SPDX-License-Identifier: Apache-2.0
"""Alert rules of the Grafana of the tests (grafana_state.py says how it was made): Grafana's provisioning API, /api/v1/eval, and what a real
one would find when it evaluates a rule (Rules.wrong)."""
import re

from grafana_expressions import EXPRESSION_UIDS, UNITS, inputs, wrong_expression
from grafana_state import JSON, PLAIN, Ids, bad_request, moment, refuse, to_second
from grafana_unproven import NotRecorded, unproven

WHOLE = ("y", "w")  # printed only when nothing is left over
EXPR_TYPES = ("prometheus", "loki")  # data sources whose model has `expr`
TITLE_LENGTH = 190


def duration(text):
    """Prometheus' durations, printed as Grafana prints them: 90m is 1h30m."""
    unproven("rule: durations")
    found = re.fullmatch("".join(rf"(?:(\d+){unit})?" for unit in UNITS), text)
    if not text or not found and text != "0":
        raise bad_request()
    left = sum(int(count or 0) * size for count, size in zip(found.groups(), UNITS.values())) if found else 0
    words = ""
    for unit, size in UNITS.items():
        if left >= size and not (unit in WHOLE and left % size):
            words += f"{left // size}{unit}"
            left %= size
    return words or "0s"


class Rules:
    """all: {uid: the rule as GET of one gives it}"""

    ROUTES = [("GET", "/api/v1/provisioning/alert-rules", "list"), ("POST", "/api/v1/provisioning/alert-rules", "create"),
              ("GET", "/api/v1/provisioning/alert-rules/{}", "get"), ("PUT", "/api/v1/provisioning/alert-rules/{}", "replace"),
              ("DELETE", "/api/v1/provisioning/alert-rules/{}", "delete"), ("POST", "/api/v1/eval", "eval"),
              ("GET", "/api/v1/provisioning/folder/{}/rule-groups/{}", "group")]
    TEXTS = ("title", "condition", "noDataState", "execErrState", "folderUID", "ruleGroup")
    TYPES = {**{name: str for name in TEXTS}, "uid": str, "for": str, "data": list, "labels": dict, "annotations": dict, "orgID": int,
             "id": int}
    NO_DATA = ("Alerting", "NoData", "OK")
    ON_ERROR = ("Alerting", "Error", "OK")

    def __init__(self, org):
        self.org, self.all, self.ids = org, {}, Ids()
        self.frames = {}  # what a data source's query gives: {refId: frames}; without: the data source fails

    def list(self, call):
        self.org.need(call, "alert.provisioning:read")
        return [self._bare(rule) for rule in self.all.values()]

    @staticmethod
    def _bare(rule):
        """As lists and groups show it: without provenance."""
        return {key: value for key, value in rule.items() if key != "provenance"}

    def get(self, call):
        self.org.need(call, "alert.provisioning:read")
        if call.args[0] not in self.all:
            raise refuse(500, "could not find alert rule", traceID="")
        return self.all[call.args[0]]

    def group(self, call):
        """Of a group without a rule, and of a folder that is not there, nothing is shown."""
        self.org.need(call, "alert.provisioning:read")
        folder, name = call.args
        rules = self.visible(folder, name)
        if not rules:
            raise refuse(404, "rulegroup not found", traceID="")
        return {"title": name, "folderUid": folder, "interval": 60, "rules": [self._bare(rule) for rule in rules]}

    def visible(self, folder, name):
        """The rules of a group; none when the folder does not exist."""
        return [rule for rule in self.all.values()
                if folder in self.org.dashboards.folders and (rule["folderUID"], rule["ruleGroup"]) == (folder, name)]

    def create(self, call):
        self.org.need(call, "alert.provisioning:write")
        rule = self._read(call)
        uid = rule["uid"] or self.org.new_uid()
        self._check(rule, None)
        if uid in self.all:
            raise self._conflict()
        self.org.count("alert_rule", len(self.all))
        return 201, self._keep({**rule, "uid": uid, "id": self.ids.take()}, self._provenance(call))

    def replace(self, call):
        self.org.need(call, "alert.provisioning:write")
        rule, old = self._read(call), self.all.get(call.args[0])
        if old is None:
            return 404, None, PLAIN
        if old.get("provenance") and not self._provenance(call):
            raise refuse(500, "cannot changed provenance from 'api' to ''", traceID="")
        self._check(rule, old)
        return self._keep({**rule, "uid": old["uid"], "id": old["id"]}, self._provenance(call))

    def delete(self, call):
        self.org.need(call, "alert.provisioning:write")
        found = self.all.get(call.args[0], {})
        if found.get("provenance") and not self._provenance(call):
            raise NotRecorded("DELETE of a rule that has another provenance")
        self.all.pop(call.args[0], None)
        return 204, None, JSON

    @staticmethod
    def _provenance(call):
        return None if "x-disable-provenance" in call.headers else "api"

    @staticmethod
    def _conflict():
        return refuse(500, "a conflicting alert rule is found: rule title under the same organisation and folder should be unique",
                      traceID="")

    def _read(self, call):
        """The fields that Grafana 9 knows; the others are dropped."""
        sent = call.body(**self.TYPES)
        if any(not isinstance(one, str) for key in ("labels", "annotations") for one in sent.get(key, {}).values()):
            raise bad_request()
        rule = {"uid": sent.get("uid", ""), "orgID": 1, **{key: sent.get(key, "") for key in self.TEXTS},
                "data": [self._query(query) for query in sent.get("data", [])], "for": duration(sent.get("for", "0s"))}
        return {**rule, **{key: sent[key] for key in ("labels", "annotations") if sent.get(key)}}

    @staticmethod
    def _query(query):
        if not isinstance(query, dict):
            raise bad_request()
        ref, model = query.get("refId", ""), query.get("model", {})
        if not isinstance(model, dict):
            if not isinstance(model, str):
                raise NotRecorded("a model that is neither an object nor a text")
            raise refuse(500, f"invalid alert query {ref}: failed to set query type to query model: failed to unmarshal query model: json: "
                         "cannot unmarshal string into Go value of type map[string]interface {}", traceID="")
        time_range = {"from": 0, "to": 0, **query.get("relativeTimeRange", {})}
        if query.get("datasourceUid") not in EXPRESSION_UIDS and time_range["from"] <= time_range["to"]:
            raise refuse(500, f"invalid alert query {ref}: invalid relative time range: {{From:{time_range['from']}s To:{time_range['to']}s}}",
                         traceID="")
        return {"refId": ref, "queryType": query.get("queryType", ""), "relativeTimeRange": time_range,
                "datasourceUid": query.get("datasourceUid", ""), "model": {"intervalMs": 1000, "maxDataPoints": 43200, **model}}

    def _check(self, rule, old):
        def invalid(what):
            return refuse(400, f"invalid alert rule: {what}", traceID="")
        if not rule["data"]:
            raise invalid("no queries or expressions are found")
        if not rule["title"]:
            raise invalid("title is empty")
        if len(rule["title"]) > TITLE_LENGTH:
            raise invalid(f"name length should not be greater than {TITLE_LENGTH}")
        if len(rule["ruleGroup"]) > TITLE_LENGTH:
            raise invalid(f"rule group name length should not be greater than {TITLE_LENGTH}")
        if rule["execErrState"] not in self.ON_ERROR:
            raise refuse(500, f"unknown Error state option {rule['execErrState']}", traceID="")
        if rule["noDataState"] not in self.NO_DATA:
            raise refuse(500, f"unknown NoData state option {rule['noDataState']}", traceID="")
        if ("__dashboardUid__" in rule.get("annotations", {})) != ("__panelId__" in rule.get("annotations", {})):
            raise refuse(500, "both annotations __dashboardUid__ and __panelId__ must be specified", traceID="")
        if any((one["title"], one["folderUID"]) == (rule["title"], rule["folderUID"]) for one in self.all.values() if one is not old):
            raise self._conflict()

    def _keep(self, rule, provenance):
        when = moment()
        kept = {**rule, "updated": to_second(when), **({"provenance": provenance} if provenance else {})}
        self.all[rule["uid"]] = kept
        return {**kept, "updated": when}

    # ---- POST /api/v1/eval ----

    def eval(self, call):
        if call.role != "admin":
            raise NotRecorded("eval with another key than an admin's")
        sent = call.body(["data", "condition"], data=list, condition=str)
        queries = [self._query(query) for query in sent["data"]]
        refs = [query["refId"] for query in queries]
        for query in queries:
            if query["datasourceUid"] not in (*EXPRESSION_UIDS, "grafana", *self.org.sources.all):
                unproven("eval: a data source that is not there")
                raise self._not_built(f"failed to build query '{query['refId']}': data source not found")
        for query in queries:
            wrong = wrong_expression(query, refs) if query["datasourceUid"] in EXPRESSION_UIDS else []
            if wrong:
                unproven("eval: expressions")
                raise self._not_built(f"failed to parse expression '{query['refId']}': {wrong[0]}")
        return self._results(queries)

    @staticmethod
    def _not_built(words):
        return refuse(400, f"Failed to build evaluator for queries and expressions: {words}", traceID="")

    def _results(self, queries):
        number = {"schema": {"fields": [{"name": "x", "type": "number", "typeInfo": {"frame": "float64", "nullable": True}}]},
                  "data": {"values": [[1]]}}
        results = {}
        for query in queries:
            ref, field = query["refId"], {**number["schema"]["fields"][0], "name": query["refId"]}
            frames = [{"schema": {"refId": ref, "fields": [field]}, "data": number["data"]}]
            if query["datasourceUid"] not in EXPRESSION_UIDS:
                unproven("eval: results")
                frames = self.frames.get(ref)
                if frames is None:
                    raise refuse(500, f"Failed to evaluate queries and expressions: failed to execute query {ref}: connection refused",
                                 traceID="")
            results[ref] = {"status": 200, "frames": frames}
        return {"results": results}

    # ---- Evaluation ----

    def wrong(self, rule):
        """Mistakes that a real Grafana would find when it evaluates the rule, or why it would show the rule to no user: sentences, [] when all is well."""
        unproven("evaluation")
        found = []
        if rule["folderUID"] not in self.org.dashboards.folders:
            found.append(f"the folder {rule['folderUID']!r} does not exist: no rule group shows the rule")
        if not rule["ruleGroup"]:
            found.append("the rule has no group")
        refs = [query["refId"] for query in rule["data"]]
        found += [f"the refId {ref!r} is there twice" for ref in sorted(set(refs)) if refs.count(ref) > 1]
        if rule["condition"] not in refs:
            found.append(f"the condition {rule['condition']!r} names no refId")
        for query in rule["data"]:
            found += [f"query {query['refId']!r}: {words}" for words in self._wrong_query(query, refs)]
        queries = {query["refId"]: query for query in rule["data"]}
        for query in rule["data"]:
            asked = [queries[ref] for ref in inputs(query["model"]) if ref in queries] if query["datasourceUid"] in EXPRESSION_UIDS else []
            if query["model"].get("type") == "classic_conditions" and any(one["datasourceUid"] in EXPRESSION_UIDS for one in asked):
                found.append("only data source queries may be inputs to a classic condition")
            if any(one["model"].get("type") == "classic_conditions" for one in asked):
                found.append("classic conditions may not be the input for other expressions")
        if self._series(rule["condition"], queries):
            found.append("looks like time series data, only reduced data can be alerted on")
        return found

    def _wrong_query(self, query, refs):
        if query["datasourceUid"] in EXPRESSION_UIDS:
            return wrong_expression(query, refs)
        found = []
        source = self.org.sources.all.get(query["datasourceUid"])
        if query["datasourceUid"] == "grafana":
            return found
        if source is None:
            found.append(f"failed to build query: data source {query['datasourceUid']!r} not found")
        elif source["type"] in EXPR_TYPES and not query["model"].get("expr"):
            found.append("parse error: no expression found in input")
        if query["relativeTimeRange"]["from"] <= query["relativeTimeRange"]["to"]:
            found.append("invalid relative time range")
        return found

    def _series(self, ref, queries, above=()):
        """Does a time series come out at this refId? Of data sources other than Prometheus and Loki it is not known, and so not said."""
        query = queries.get(ref)
        if query is None or ref in above:
            return False
        model = query["model"]
        if query["datasourceUid"] in EXPRESSION_UIDS:
            return model.get("type") == "resample" or model.get("type") in ("math", "threshold") and any(
                self._series(one, queries, (*above, ref)) for one in inputs(model))
        kind = self.org.sources.all.get(query["datasourceUid"], {}).get("type")
        return (kind == "prometheus" and not model.get("instant")
                or kind == "loki" and not model.get("instant") and (model.get("queryType") or query["queryType"]) in ("", "range"))
