# SPDX-License-Identifier: Apache-2.0
"""Alert rules of the Grafana of the tests (grafana_state.py says how it was made): Grafana's provisioning API, and what a real one would
find when it evaluates a rule (Rules.wrong)."""
import re

from grafana_state import Ids, bad_request, moment, refuse, to_second

UNITS = {"y": 365 * 86400000, "w": 7 * 86400000, "d": 86400000, "h": 3600000, "m": 60000, "s": 1000, "ms": 1}
WHOLE = ("y", "w")  # printed only when nothing is left over
EXPRESSIONS = ("reduce", "math", "resample", "threshold", "classic_conditions")
EXPRESSION_UIDS = ("__expr__", "-100")
EXPR_TYPES = ("prometheus", "loki")  # data sources whose model has `expr`
REDUCERS = ("sum", "mean", "min", "max", "count", "last", "median")
CLASSIC_REDUCERS = ("avg", "sum", "min", "max", "count", "last", "median", "diff", "diff_abs", "percent_diff", "percent_diff_abs",
                    "count_non_null")
COMPARISONS = ("gt", "lt", "eq", "ne", "gte", "lte", "within_range", "outside_range", "within_range_included", "outside_range_included")
FUNCTIONS = ("abs", "log", "round", "ceil", "floor", "is_nan", "is_inf", "is_null", "is_number")
TITLE_LENGTH = 190


def duration(text):
    """Prometheus' durations, printed as Grafana prints them: 90m is 1h30m. (Recorded: 5m, 10m and abc.)"""
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
              ("DELETE", "/api/v1/provisioning/alert-rules/{}", "delete"),
              ("GET", "/api/v1/provisioning/folder/{}/rule-groups/{}", "group")]
    TEXTS = ("title", "condition", "noDataState", "execErrState", "folderUID", "ruleGroup")
    TYPES = {**{name: str for name in TEXTS}, "uid": str, "for": str, "data": list, "labels": dict, "annotations": dict, "orgID": int,
             "id": int}
    NO_DATA = ("Alerting", "NoData", "OK")
    ON_ERROR = ("Alerting", "Error", "OK")

    def __init__(self, org):
        self.org, self.all, self.ids = org, {}, Ids(5)

    def list(self, call):
        """Not recorded."""
        self.org.need(call, "alert.provisioning:read")
        return [self._bare(rule) for rule in self.all.values()]

    @staticmethod
    def _bare(rule):
        """As lists and groups show it: without provenance."""
        return {key: value for key, value in rule.items() if key != "provenance"}

    def get(self, call):
        self.org.need(call, "alert.provisioning:read")
        return self.all[call.args[0]] if call.args[0] in self.all else (404, None)  # missing: not recorded

    def group(self, call):
        """Of a group without a rule, and of a folder that is not there, nothing is shown (not recorded how)."""
        self.org.need(call, "alert.provisioning:read")
        folder, name = call.args
        rules = self.visible(folder, name)
        if not rules:
            raise refuse(404, "rulegroup does not exist", traceID="")
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
        if uid in self.all:  # not recorded: Grafana knows one sentence for both indexes
            raise self._conflict()
        return 201, self._keep({**rule, "uid": uid, "id": self.ids.take()}, self._provenance(call))

    def replace(self, call):
        self.org.need(call, "alert.provisioning:write")
        rule, old = self._read(call), self.all.get(call.args[0])
        if old is None:  # not recorded
            return 404, None
        self._check_provenance(call, old, "change provenance from 'api' to ''")
        self._check(rule, old)
        return self._keep({**rule, "uid": old["uid"], "id": old["id"]}, self._provenance(call))

    def delete(self, call):
        """Not recorded."""
        self.org.need(call, "alert.provisioning:write")
        if call.args[0] in self.all:
            self._check_provenance(call, self.all[call.args[0]], "delete with provided provenance '', needs 'api'")
            del self.all[call.args[0]]
        return 204, None

    @staticmethod
    def _provenance(call):
        return None if "x-disable-provenance" in call.headers else "api"

    def _check_provenance(self, call, old, words):
        """Not recorded: what was made without X-Disable-Provenance cannot be taken over with it."""
        if old.get("provenance") and not self._provenance(call):
            raise refuse(500, f"cannot {words}", traceID="")

    @staticmethod
    def _conflict():
        return refuse(500, "a conflicting alert rule is found: rule title under the same organisation and folder should be unique",
                      traceID="")

    def _read(self, call):
        """The fields that Grafana knows; the others are dropped."""
        sent = call.body(**self.TYPES)
        rule = {"uid": sent.get("uid", ""), "orgID": 1, **{key: sent.get(key, "") for key in self.TEXTS},
                "data": [self._query(query) for query in sent.get("data", [])], "for": duration(sent.get("for", "0s"))}
        return {**rule, **{key: sent[key] for key in ("labels", "annotations") if sent.get(key)}}

    @staticmethod
    def _query(query):
        if not isinstance(query, dict) or not isinstance(query.get("model", {}), dict):
            raise bad_request()
        return {"refId": query.get("refId", ""), "queryType": query.get("queryType", ""),
                "relativeTimeRange": {"from": 0, "to": 0, **query.get("relativeTimeRange", {})},
                "datasourceUid": query.get("datasourceUid", ""),
                "model": {"intervalMs": 1000, "maxDataPoints": 43200, **query.get("model", {})}}

    def _check(self, rule, old):
        def invalid(what):
            return refuse(400, f"invalid alert rule: {what}", traceID="")
        if not rule["data"]:
            raise invalid("no queries or expressions are found")
        if not rule["title"]:
            raise invalid("title is empty")
        if len(rule["title"]) > TITLE_LENGTH:  # not recorded
            raise invalid(f"name length should not be greater than {TITLE_LENGTH}")
        if rule["execErrState"] not in self.ON_ERROR:
            raise refuse(500, f"unknown Error state option {rule['execErrState']}", traceID="")
        if rule["noDataState"] not in self.NO_DATA:
            raise refuse(500, f"unknown NoData state option {rule['noDataState']}", traceID="")
        if any((one["title"], one["folderUID"]) == (rule["title"], rule["folderUID"]) for one in self.all.values() if one is not old):
            raise self._conflict()

    def _keep(self, rule, provenance):
        when = moment()
        kept = {**rule, "updated": to_second(when), **({"provenance": provenance} if provenance else {})}
        self.all[rule["uid"]] = kept
        return {**kept, "updated": when}

    # ---- Evaluation ----

    def wrong(self, rule):
        """What a real Grafana would find when it evaluates the rule, or why nobody would see it: sentences, [] when all is well."""
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


# ---- Expressions: what Grafana's own server says when it builds or runs one (not recorded) ----

def inputs(model):
    """The refIds that an expression asks for."""
    kind, text = model.get("type"), model.get("expression") or ""
    if kind == "math":
        return [left or right for left, right in re.findall(r"\$\{([^}]+)\}|\$(\w+)", text)]
    if kind == "classic_conditions":
        return [(one.get("query", {}).get("params") or [""])[0] for one in model.get("conditions") or []]
    return [text.removeprefix("$")]


def wrong_expression(query, refs):
    model = query["model"]
    kind = model.get("type")
    if kind not in EXPRESSIONS:
        return [f"unknown type of expression {kind!r}"]
    asked = inputs(model)
    found = [f"the expression names {ref!r}, which is no refId" for ref in asked if ref not in refs]
    if query["refId"] in asked:
        found.append("the expression names itself")
    if not asked and kind != "math":
        found.append("the expression names no refId")
    if kind == "math":
        found += wrong_math(model.get("expression") or "")
    if kind == "reduce" and model.get("reducer") not in REDUCERS:
        found.append(f"reduction {model.get('reducer')} not implemented")
    if kind == "resample":
        found += wrong_resample(model, query["relativeTimeRange"])
    if kind == "threshold":
        conditions = model.get("conditions") or []
        found += [wrong for one in conditions[:1] for wrong in wrong_evaluator(one, COMPARISONS)]
        found += ["threshold expression requires exactly one condition"] if len(conditions) != 1 else []
    if kind == "classic_conditions":
        found += [wrong for at, one in enumerate(model.get("conditions") or []) for wrong in wrong_classic(at, one)]
    return found


def wrong_resample(model, time_range):
    found = [f"no {name} in resample command" for name in ("window", "downsampler", "upsampler") if not isinstance(model.get(name), str)]
    if found:
        return found
    window = re.fullmatch(r"(\d+(?:\.\d*)?)(ms|s|m|h|d|w)", model["window"])  # the forms that tests use
    seconds = float(window[1]) * UNITS[window[2]] / 1000 if window else 0
    if not 0 < seconds <= time_range["from"] - time_range["to"]:
        found.append(f"the series cannot be sampled to {model['window']!r}")
    if model["downsampler"] not in ("sum", "mean", "min", "max", "last"):
        found.append(f"downsampling {model['downsampler']} not implemented")
    if model["upsampler"] not in ("pad", "backfilling", "fillna"):
        found.append(f"upsampling {model['upsampler']} not implemented")
    return found


def wrong_evaluator(condition, kinds):
    evaluator = condition.get("evaluator") or {}
    kind, params = evaluator.get("type"), evaluator.get("params") or []
    if kind not in kinds:
        return [f"invalid evaluator type: {kind}"]
    wanted = 0 if kind == "no_value" else 2 if "range" in kind else 1
    return [] if len([one for one in params if isinstance(one, (int, float))]) >= wanted else [f"evaluator {kind} is missing a parameter"]


def wrong_classic(at, condition):
    reducer, operator = ((condition.get(name) or {}).get("type") for name in ("reducer", "operator"))
    found = wrong_evaluator(condition, (*COMPARISONS, "no_value"))
    if reducer not in CLASSIC_REDUCERS:
        found.append(f"reducer {reducer!r} in condition {at + 1} is not a valid reducer")
    if at and operator not in ("and", "or", "logic-or"):
        found.append(f"classic condition {at + 1} operator must be `and` or `or`")
    return found


def wrong_math(text):
    """By rewriting: what is left of an expression when values, then operators between them, are taken for one value again and again."""
    tokens = re.findall(r"\s+|\$\{[\w\s]+\}|\$\w+|[!<>=&|+*/%-]+|0[xX][0-9a-fA-F]+|(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|[^\W\d]+|.", text)
    signs = {"nan": "N", "inf": "N", "infn": "N", "null": "N", "(": "(", ")": ")", "!": "!", "-": "-", **{name: "F" for name in FUNCTIONS},
             **{name: "o" for name in ("&&", "||", ">", "<", ">=", "<=", "==", "!=", "+", "*", "**", "/", "%")}}
    left = "".join(signs.get(one) or ("v" if re.match(r"[$.\d]", one) and len(one.strip("$.")) else "?")
                   for one in tokens if not one.isspace()).replace("N()", "v")
    while left != (shorter := re.sub(r"F?\(v\)", "v", re.sub(r"v[o-]v", "v", re.sub(r"(?<![v)])[!-]v", "v", left)))):
        left = shorter
    return [] if left == "v" else [f"invalid math command type: {text!r}"]
