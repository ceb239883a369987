# SPDX-License-Identifier: Apache-2.0
"""A limit on a number that the check does not report is visible: in the component's JSON, once in the log, and as a metric. A number
that it reports is one, too."""
from harness import family_values, wait_until

FAMILY = "skymon_component_limit_unmeasured"
NUMBERS = "skymon_component_number"


def test_a_limit_that_watches_nothing(skymond, tmp_path):
    path = tmp_path / "numbers"
    path.write_text("value 5\nused nan\n")
    sm = skymond({"plugins": {"prometheus": {}}, "components": {"a": {
        "plugin": "t_numbers", "path": str(path), "interval": "300ms",
        "warn": {"value": "10", "response_time": "5s"}, "crit": {"value": "20", "used": "90%", "lag": "1m"}}}})
    found = sm.wait_component("a", status="healthy")
    assert found["numbers"] == {"value": 5}, found
    limits = {(limit["number"], limit["severity"]): limit for limit in found["limits"]}
    assert limits["value", "warn"] == {"number": "value", "limit": "10", "severity": "warn", "value": 5, "why": None}
    assert limits["value", "crit"]["value"] == 5 and limits["response_time", "warn"]["value"] >= 0
    for name in ("used", "lag"):  # not a number, and absent
        assert limits[name, "crit"]["value"] is None and limits[name, "crit"]["why"] == "the check does not report this number", found
    assert family_values(sm, FAMILY) == {
        '{component="a",number="value"}': 0, '{component="a",number="response_time"}': 0, '{component="a",number="used"}': 1,
        '{component="a",number="lag"}': 1}
    checks = family_values(sm, "skymon_component_checks_total")['{component="a"}']
    wait_until(lambda: family_values(sm, "skymon_component_checks_total")['{component="a"}'] > checks + 3, 10, "some more checks")
    assert family_values(sm, NUMBERS) == {'{component="a",number="value"}': 5}  # as in `numbers`: not what was not measured
    lines = [line for line in sm.log_lines() if "watches nothing" in line]
    assert len(lines) == 2 and any("its limit 90% of used watches nothing" in line for line in lines), lines
    path.write_text("value 25\nused 0.95\nlag 1\n")  # reported at last
    found = sm.wait_component("a", status="unhealthy", reason="threshold_crit")
    assert found["numbers"] == {"lag": 1, "used": 0.95, "value": 25} or set(found["numbers"]) == {"lag", "used", "value"}
    wait_until(lambda: set(family_values(sm, FAMILY).values()) == {0}, 10, "all limits to be measured")
    wait_until(lambda: family_values(sm, NUMBERS) == {f'{{component="a",number="{name}"}}': value for name, value in
                                                       {"lag": 1, "used": 0.95, "value": 25}.items()}, 10, "all numbers")
    path.unlink()  # it cannot look: that is not the limit's fault
    sm.wait_component("a", status="unhealthy", reason="other")
    wait_until(lambda: all(limit["why"] == "the check could not measure it" for limit in sm.component("a")["limits"]
                           if limit["number"] != "response_time"), 10, "the reason")
    assert set(family_values(sm, FAMILY).values()) == {0}


def test_anonymous_callers_do_not_see_them(skymond, tmp_path):
    path = tmp_path / "numbers"
    path.write_text("value 5\n")
    sm = skymond({"access": {"token": "a-token-of-32-bytes-for-this-test"}, "components": {"a": {
        "plugin": "t_numbers", "path": str(path), "interval": "300ms", "warn": {"value": "10"}}}})
    found = wait_until(lambda: (c := sm.get("/api/v1/health/a", headers={"Authorization": "Bearer a-token-of-32-bytes-for-this-test"}).json())
                       .get("status") == "healthy" and c, 10, "a result")
    assert found["numbers"] == {"value": 5} and len(found["limits"]) == 1
    public = sm.get("/api/v1/health/a")
    assert public.status_code in (200, 401) and "10" not in str(public.json().get("limits", ""))
