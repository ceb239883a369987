"""Alert rules of the Grafana of the tests (grafana_state.py says how it was made): Grafana's provisioning API, and what a real one would
find when it evaluates a rule (Rules.wrong)."""
import re

from grafana_state import Ids, bad_request, moment, refuse, to_second

UNITS = {"y": 365 * 86400000, "w": 7 * 86400000, "d": 86400000, "h": 3600000, "m": 60000, "s": 1000, "ms": 1}
WHOLE = ("y", "w")  # printed only when nothing is left over
EXPRESSIONS = ("reduce", "math", "resample", "threshold", "classic_conditions")
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
        return found

    def _wrong_query(self, query, refs):
        if query["datasourceUid"] in ("__expr__", "-100"):
            return self._wrong_expression(query, refs)
        found = []
        if query["datasourceUid"] not in self.org.sources.all:
            found.append(f"failed to build query: data source {query['datasourceUid']!r} not found")
        if query["relativeTimeRange"]["from"] <= query["relativeTimeRange"]["to"]:
            found.append("invalid relative time range")
        return found

    @staticmethod
    def _wrong_expression(query, refs):
        model = query["model"]
        kind, text = model.get("type"), model.get("expression") or ""
        if kind not in EXPRESSIONS:
            return [f"unknown type of expression {kind!r}"]
        if kind == "math":
            asked = [left or right for left, right in re.findall(r"\$\{([^}]+)\}|\$(\w+)", text)]
        elif kind == "classic_conditions":
            asked = [(one.get("query", {}).get("params") or [""])[0] for one in model.get("conditions") or []]
        else:
            asked = [text.removeprefix("$")]
        found = [f"the expression names {ref!r}, which is no refId" for ref in asked if ref not in refs]
        if query["refId"] in asked:
            found.append("the expression names itself")
        return found if asked else ["the expression names no refId"]
