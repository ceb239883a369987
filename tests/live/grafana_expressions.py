# SPDX-License-Identifier: Apache-2.0
"""Expressions of alert rules in the Grafana of the tests: what the server of Grafana 9.4 says when it builds one (pkg/expr; recorded is the
sentence for a mode of reduce, the rest is the entry "eval: expressions" of grafana_unproven.py)."""
import re

UNITS = {"y": 365 * 86400000, "w": 7 * 86400000, "d": 86400000, "h": 3600000, "m": 60000, "s": 1000, "ms": 1}
EXPRESSIONS = ("reduce", "math", "resample", "threshold", "classic_conditions")
EXPRESSION_UIDS = ("__expr__", "-100")
REDUCERS = ("sum", "mean", "min", "max", "count", "last")
CLASSIC_REDUCERS = ("avg", "sum", "min", "max", "count", "last", "median", "diff", "diff_abs", "percent_diff", "percent_diff_abs",
                    "count_non_null")
COMPARISONS = ("gt", "lt", "within_range", "outside_range")
FUNCTIONS = ("abs", "log", "round", "ceil", "floor", "is_nan", "is_inf", "is_null", "is_number")


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
        return [f"'{kind}' is not a recognized expression type"]
    asked = inputs(model)
    found = [f"the expression names {ref!r}, which is no refId" for ref in asked if ref not in refs]
    if query["refId"] in asked:
        found.append("the expression names itself")
    if not asked and kind != "math":
        found.append("the expression names no refId")
    if kind == "math":
        found += wrong_math(model.get("expression") or "")
    if kind == "reduce":
        found += wrong_reduce(model)
    if kind == "resample":
        found += wrong_resample(model, query["relativeTimeRange"])
    if kind == "threshold":
        conditions = model.get("conditions") or []
        found += [wrong for one in conditions[:1] for wrong in wrong_evaluator(one, COMPARISONS)]
        found += ["threshold expression requires exactly one condition"] if len(conditions) != 1 else []
    if kind == "classic_conditions":
        found += [wrong for at, one in enumerate(model.get("conditions") or []) for wrong in wrong_classic(at, one)]
    return found


def wrong_reduce(model):
    mode = (model.get("settings") or {}).get("mode", "")
    if mode not in ("", "dropNN", "replaceNN"):
        return [f"reducer mode '{mode}' is not supported. Supported only: [dropNN,replaceNN]"]
    if mode == "replaceNN" and not isinstance(model["settings"].get("replaceWithValue"), (int, float)):
        return ["setting replaceWithValue must be specified when mode is 'replaceNN'"]
    reducer = model.get("reducer")
    return [] if isinstance(reducer, str) and reducer.lower() in REDUCERS else [f"reduction {reducer} not implemented"]


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
        return [f"invalid condition: expected threshold function to be one of [{', '.join(COMPARISONS)}], got {kind}"]
    wanted = 0 if kind == "no_value" else 2 if "range" in kind else 1
    return [] if len([one for one in params if isinstance(one, (int, float))]) >= wanted else [f"evaluator {kind} is missing a parameter"]


def wrong_classic(at, condition):
    reducer, operator = ((condition.get(name) or {}).get("type") for name in ("reducer", "operator"))
    found = wrong_evaluator(condition, (*COMPARISONS, "no_value"))
    if reducer not in CLASSIC_REDUCERS:
        found.append(f"reducer {reducer!r} in condition {at + 1} is not a valid reducer")
    if at and operator not in ("and", "or"):
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
