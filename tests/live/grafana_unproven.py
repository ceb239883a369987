# SPDX-License-Identifier: Apache-2.0
"""Answers of the tests' Grafana that no recorded exchange shows: the plugin needs it, or is tried with it. UNPROVEN is the
whole list, each entry with its source; the code says unproven(NAME) where it follows one, and raises NotRecorded for anything else that
no exchange shows. test_grafana_double.py holds list and code together."""

API = "https://grafana.com/docs/grafana/latest/developers/http_api"
CODE = "https://github.com/grafana/grafana, v9.4,"

UNPROVEN = {
    "key: expired": f"{CODE} pkg/services/contexthandler: 401 \"Expired API key\"",
    "key: of a deleted account, by its link": f"{CODE} pkg/services/contexthandler: 500 \"Unable to link API key to service account\"",
    "permissions: of what is new": f"{API}/dashboard_permissions: viewers may read what is new and editors may write it, so nothing gives "
                                   "them a uid that is not there (403; recorded for viewer and editor)",
    "body: types": f"{API}: JSON, decoded by Go: null is absent, another type is \"bad request data\" (recorded for some fields)",
    "slug: other characters": f"{CODE} pkg/infra/slugify: letters with marks are written without them, what is no letter or digit is a hyphen",
    "dashboard: id and uid of two": f"{CODE} pkg/services/dashboards/database: 400 \"A dashboard with the same uid already exists\"",
    "dashboard: uid of a folder": f"{CODE} pkg/services/dashboards/database: 400 \"Dashboard cannot be changed to a folder\"",
    "dashboard: get a provisioned one": f"{API}/dashboard: meta.provisioned",
    "dashboard: delete a provisioned one": f"{API}/dashboard: 400 \"provisioned dashboard cannot be deleted\"",
    "data source: put a provisioned one": f"{API}/data_source: 403 \"Cannot update read-only data source\"",
    "quota: rules and data sources": f"{CODE} pkg/services/ngalert/api and pkg/middleware/quota.go: 403 \"quota has been exceeded\" and "
                                     "\"Quota reached\"",
    "rule: folder by dashboards": f"{API}/folder: a folder is deleted with the rules in it",
    "rule: durations": f"{API}/alerting_provisioning: `for` as Prometheus writes durations, printed in the largest units (recorded: 5m, 10m, abc)",
    "eval: expressions": f"{CODE} pkg/expr: the sentences of the parser (recorded: that of a mode of reduce)",
    "eval: a data source that is not there": f"{CODE} pkg/services/ngalert/eval: 400 \"failed to build query 'A': data source not found\"",
    "eval: results": f"{API}/query_history and pkg/services/ngalert/api/api_testing.go: frames by refId; 500 when a data source fails",
    "evaluation": f"{CODE} pkg/services/ngalert/eval: what a stored rule finds when it is evaluated (not an answer of the API)",
}


class NotRecorded(Exception):
    """No exchange shows what Grafana answers to this: the answer is 500 "not recorded: …"."""


def unproven(name):
    """Marks code that follows an entry of the list."""
    assert name in UNPROVEN, name
