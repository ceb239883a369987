# SPDX-License-Identifier: Apache-2.0
"""Alert rules: what Grafana would take and then never evaluate is refused. The double, which takes it as a real one does, says of each
what its evaluation finds, so that nothing is refused that would work. Then whose uid is taken, and which permission is missing."""
import pytest

from grafana_server import GrafanaDouble
from test_grafana import RANGE, RULE, SOURCE, Broker

INSTANT = {"expr": "up", "instant": True, "range": False}
LOKI = {"name": "L", "type": "loki", "uid": "l", "url": "http://loki:3100", "access": "proxy"}
MORE = {"evaluator": {"type": "gt", "params": [1]}, "reducer": {"type": "avg"}, "query": {"params": ["A"]}}
OTHER = {"evaluator": {"type": "no_value"}, "reducer": {"type": "last"}, "query": {"params": ["A"]}, "operator": {"type": "or"}}


@pytest.fixture
def grafana():
    with GrafanaDouble() as double:
        yield double


@pytest.fixture
def broker(skymond, grafana):
    return lambda role="admin", **options: Broker(skymond, grafana, role, **options)


def query(ref, model, source="prometheus"):
    return {"refId": ref, "queryType": "", "relativeTimeRange": RANGE, "datasourceUid": source, "model": model}


def expression(ref, kind, text=None, **more):
    return query(ref, {"type": kind, **({} if text is None else {"expression": text}), **more}, "__expr__")


def above(ref, of):
    return expression(ref, "threshold", of, conditions=[{"evaluator": {"type": "gt", "params": [5]}}])


def resample(window="10s", down="mean", up="pad", **more):
    return [query("A", {"expr": "up"}), {**expression("B", "resample", "A", window=window, downsampler=down, upsampler=up), **more},
            expression("D", "reduce", "B", reducer="mean"), above("C", "D")]


def math(text):
    return [*(query(ref, INSTANT) for ref in ("A", "Größe", "温_2", "two words")), expression("C", "math", text)]


def classic(*conditions):
    return [query("A", {"expr": "up"}), expression("C", "classic_conditions", conditions=list(conditions))]


def but(condition, **more):
    return {key: value for key, value in {**condition, **more}.items() if value is not None}


GOOD = {
    "an instant query": [query("C", INSTANT)],
    "an instant query, compared": [query("A", INSTANT), above("C", "A")],
    "an instant query of Loki": [query("C", {"expr": "x", "queryType": "instant"}, "l")],
    "resampled, then reduced": resample(),
    "resampled by all of its time": resample("10m"),
    "one classic condition": classic(MORE),
    "two classic conditions": classic(MORE, OTHER),
    **{f"math: {text}": math(text) for text in (
        "$A > 5", "1", "($A + ${A}) / 2 >= -1 && !$A", "$Größe > $温_2", "${two words} ** 2", "abs($A) - -1 != nan()",
        "is_nan( log($A) ) || 0x1F", "1.5e-3 * $A % .5")}}

WRONG = {
    "no query": ([query("A", {}), above("C", "A")], "/data/0/model/expr"),
    "an empty query": ([query("C", {**INSTANT, "expr": ""})], "/data/0/model/expr"),
    "an empty query of Loki": ([query("C", {"queryType": "instant"}, "l")], "/data/0/model/expr"),
    "a series": ([query("C", {"expr": "up"})], "/condition"),
    "a series of Loki": ([query("C", {"expr": "x"}, "l")], "/condition"),
    "a series, compared": ([query("A", {"expr": "up"}), above("C", "A")], "/condition"),
    "a series, by way of two": ([query("A", {"expr": "up"}), expression("B", "math", "$A * 2"), above("C", "B")], "/condition"),
    "a series, resampled": (resample()[:1] + [{**resample()[1], "refId": "C"}], "/condition"),
    "no window": (resample(None), "/data/1/model/window"),
    "a strange window": (resample("soon"), "/data/1/model/window"),
    "a window of nothing": (resample("0s"), "/data/1/model/window"),
    "a window that is too long": (resample("11m"), "/data/1/model/window"),
    "a strange downsampler": (resample(down="avg"), "/data/1/model/downsampler"),
    "no upsampler": (resample(up=None), "/data/1/model/upsampler"),
    "a resample of no time": (resample(relativeTimeRange={"from": 0, "to": 0}), "/data/1/relativeTimeRange/from"),
    "a strange reducer": ([query("A", {"expr": "up"}), expression("C", "reduce", "A", reducer="avg")], "/data/1/model/reducer"),
    "two thresholds": ([query("A", INSTANT), expression("C", "threshold", "A", conditions=[MORE, MORE])], "/data/1/model/conditions"),
    "classic without evaluator": (classic(but(MORE, evaluator=None)), "/data/1/model/conditions/0/evaluator/type"),
    "classic without a number": (classic(but(MORE, evaluator={"type": "gt"})), "/data/1/model/conditions/0/evaluator/params"),
    "classic without reducer": (classic(but(MORE, reducer=None)), "/data/1/model/conditions/0/reducer/type"),
    "classic with another's reducer": (classic(but(MORE, reducer={"type": "mean"})), "/data/1/model/conditions/0/reducer/type"),
    "classic, joined by nothing": (classic(MORE, but(OTHER, operator=None)), "/data/1/model/conditions/1/operator/type"),
    "classic of an expression": ([query("A", INSTANT), expression("B", "math", "$A"), expression("C", "classic_conditions", conditions=[
        but(MORE, query={"params": ["B"]})])], "/data/2/model"),
    "classic, gone on with": ([query("A", INSTANT), {**classic(MORE)[1], "refId": "B"}, expression("C", "math", "$B > 0")], "/data/2/model"),
    **{f"math: {text}": (math(text), "/data/4/model/expression") for text in (
        "$A >", "> 5", "$A 5", "($A > 5", "$A > 5)", "()", "$A >-5", "$A = 5", "A > 5", "avg($A)", "abs()", "abs($A, 1)", "nan(1)", "$", "${A",
        "$A > '5'", "1e", "$A ! 5", "--1")}}


def made(data):
    return {"title": "One", "condition": "C", "data": data, "noDataState": "NoData", "execErrState": "Error", "for": "5m",
            "folderUID": "sky-genesis", "ruleGroup": "sky-genesis", "orgID": 1}


def test_what_is_never_evaluated_is_refused(broker, grafana):
    one = broker()
    for body in (SOURCE, LOKI):
        one.ask("POST", "/datasources", body, 200)
    one.ask("POST", "/alerts", RULE, 201)  # so that the folder is there
    for name, data in GOOD.items():
        uid = one.ask("POST", "/alerts", {"title": name, "condition": "C", "data": data}, 201).json()["uid"]
        assert grafana.resolves(uid) == [], name
    for name, (data, pointer) in WRONG.items():
        assert grafana.resolves(made(data)), name
        one.refused("POST", "/alerts", {"title": name, "condition": "C", "data": data}, 422, pointer)
    assert len(grafana.rules) == 1 + len(GOOD)


def test_another_type_of_data_source_is_not_judged(broker, grafana):
    """A plugin whose queries and answers are not known here."""
    one = broker()
    one.ask("POST", "/datasources", {"name": "M", "type": "mysql", "uid": "m"}, 200)
    one.ask("POST", "/alerts", {"title": "t", "condition": "A", "data": [query("A", {"rawSql": "select 1"}, "m")]}, 201)


def test_a_taken_uid(broker, grafana):
    one = broker()
    one.ask("POST", "/datasources", SOURCE, 200)
    one.ask("POST", "/alerts", {**RULE, "uid": "own"}, 201)
    for more in ({"title": "Other"}, {"folder_uid": "ops"}, {"rule_group": "another"}):
        found = one.ask("POST", "/alerts", {**RULE, "uid": "own", **more}, 409).json()
        assert (found["uid"], found["folderUID"], found["ruleGroup"]) == ("own", "sky-genesis", "sky-genesis")
        assert 'with this uid exists already: own, "High Error Rate"' in found["detail"]
    found = one.ask("POST", "/alerts", {**RULE, "uid": "new", "rule_group": "another"}, 409).json()
    assert found["uid"] == "own" and 'with this title in this folder exists already: own, "High Error Rate"' in found["detail"]
    assert list(grafana.rules) == ["own"]


@pytest.mark.parametrize("role", ["editor", "viewer"])
@pytest.mark.parametrize("sources", [[], [SOURCE]])
def test_a_key_that_may_not(broker, grafana, role, sources):
    """It may not see data sources either: the answer names the permission all the same, and does not claim that data sources are missing."""
    for body in sources:
        grafana.org.sources._keep(body, "prometheus", 1, 1)
    one = broker(role)
    found = one.refused("POST", "/alerts", RULE, 403, None, "alert.provisioning:write", "role Admin")
    assert found["upstream_status"] == 403 and not grafana.folders


def test_a_folder_made_by_hand(broker, grafana):
    """It is looked for first: later Grafanas would make a second one of the same title."""
    grafana.org.dashboards.folders["hand"] = {"id": 99, "uid": "hand", "title": "Sky Genesis"}
    one = broker()
    one.ask("POST", "/datasources", SOURCE, 200)
    assert one.ask("POST", "/alerts", RULE, 201).json()["folderUID"] == "hand"
    assert ("POST", "/api/folders") not in one.written()
