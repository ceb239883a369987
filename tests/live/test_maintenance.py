# SPDX-License-Identifier: Apache-2.0
"""Maintenance: silences by the API and by `skymon silence`, kept over a restart; windows of the configuration; what they change and what they do not."""
import datetime
import signal
import zoneinfo

from harness import family_values, run_skymond, run_tool, wait_until
from test_each import HEAD, folder  # noqa: F401 (a fixture)
from test_groups import files
from test_reload import reload

ROUTE = "/api/v1/maintenance"


def post(daemon, headers=None, **wish):
    return daemon.request("POST", ROUTE, json={"why": "disks", "for": "2h", **wish}, headers=headers)


def codes(daemon, query=""):
    return [daemon.get(f"/api/v1/{route}{query}").status_code for route in ("health", "ready")]


def measured(daemon, name):
    """It is still checked."""
    def checks():
        return family_values(daemon, "skymon_component_checks_total")[f'{{component="{name}"}}']
    before = checks()
    wait_until(lambda: checks() > before, 15, f"another check of {name}")
    return True


def silenced(daemon):
    return {labels for labels, value in family_values(daemon, "skymon_component_maintenance").items() if value == 1}


def settled(daemon):
    for name, status in (("db", "unhealthy"), ("card", "unhealthy"), ("fine", "healthy")):
        daemon.wait_component(name, status=status, starting=False)


def config_of(tmp_path, **more):
    parts = files(tmp_path, db="unhealthy", card="unhealthy", fine="healthy")
    parts["card"]["group"] = "payments"
    return {"plugins": {"prometheus": {}}, "state_dir": str(tmp_path / "state"), "components": parts, **more}


def test_a_silence(skymond, tmp_path):
    config = config_of(tmp_path)
    daemon = skymond(config)
    settled(daemon)
    assert codes(daemon) == [503, 503] and silenced(daemon) == set()
    mark = daemon.log_mark()
    made = post(daemon, components=["db"], why="new disks é")
    assert made.status_code == 201, made.text
    one = made.json()
    assert (one["components"], one["groups"], one["why"], one["by"]) == (["db"], [], "new disks é", "root")
    line = daemon.wait_log("silence made", after=mark)
    assert "uid=0" in line and "method=POST" in line and "code=201" in line
    # shown as it is, and measured; the other one still counts
    shown = daemon.component("db")
    assert shown["status"] == "unhealthy" and shown["maintenance"] == {key: one[key] for key in ("since", "until", "why", "by")}
    assert daemon.get("/api/v1/health/db").status_code == 503
    assert codes(daemon) == [503, 503] and silenced(daemon) == {'{component="db"}'}
    assert codes(daemon, "?group=payments") == [503, 503]
    made = post(daemon, groups=["payments"])
    assert codes(daemon) == [200, 200] and codes(daemon, "?group=payments") == [200, 200]
    assert daemon.get("/api/v1/health").json()["status"] == "healthy" and daemon.component("fine")["maintenance"] is None
    assert measured(daemon, "db") and "skymon_up 1" in daemon.metrics()
    # a reload changes nothing of it, and a component that joins the group is silenced too
    config["components"] |= files(tmp_path, late="unhealthy")
    config["components"]["late"]["group"] = "payments"
    reload(daemon, config)
    daemon.wait_component("late", status="unhealthy")
    assert codes(daemon) == [200, 200] and len(silenced(daemon)) == 3
    listed = daemon.get(ROUTE).json()
    assert [each["id"] for each in listed["silences"]] == [one["id"], made.json()["id"]] and listed["windows"] == []
    # over a restart, and by a kill too
    for how in (signal.SIGTERM, signal.SIGKILL):
        daemon.stop(how, expect=-9 if how == signal.SIGKILL else 0)
        daemon = skymond(config)
        assert daemon.get(ROUTE).json()["silences"] == listed["silences"]
        assert codes(daemon)[1] == 200 and daemon.component("db")["maintenance"]["why"] == "new disks é"
    # ended: by its id, once
    mark = daemon.log_mark()
    assert daemon.request("DELETE", f"{ROUTE}/{one['id']}").status_code == 204
    daemon.wait_log(f"silence {one['id']} ended", after=mark)
    assert daemon.request("DELETE", f"{ROUTE}/{one['id']}").status_code == 404
    daemon.wait_component("db", maintenance=None)
    wait_until(lambda: codes(daemon) == [503, 503], 15, "the silenced component to count again")
    # and by itself
    assert post(daemon, components=["db"], **{"for": "2s"}).status_code == 201
    assert daemon.component("db")["maintenance"] is not None
    daemon.wait_component("db", maintenance=None)
    assert [each["id"] for each in daemon.get(ROUTE).json()["silences"]] == [made.json()["id"]]


def test_refused(skymond, tmp_path):
    daemon = skymond(config_of(tmp_path))
    for wish, code, said in (
            ({"components": ["dc"]}, 422, 'no component of the name "dc"'), ({"groups": ["db"]}, 422, 'no group of the name "db"'),
            ({}, 422, "needs `components` or `groups`"), ({"components": "db"}, 422, "`components` must be a list"),
            ({"components": [1]}, 422, "no component"), ({"components": ["db"], "for": "31d"}, 422, "from 1s to 30d"),
            ({"components": ["db"], "for": "0s"}, 422, "from 1s to 30d"), ({"components": ["db"], "for": 5}, 422, "`for`"),
            ({"components": ["db"], "for": "soon"}, 422, "`for`"), ({"components": ["db"], "why": ""}, 422, "`why`"),
            ({"components": ["db"], "why": "a\nb"}, 422, "`why`"), ({"components": ["db"], "why": "x" * 201}, 422, "`why`"),
            ({"components": ["db"], "who": "me"}, 422, 'no such key: "who"'), ({"components": ["db"] * 101}, 422, "at most 100")):
        found = post(daemon, **wish)
        assert found.status_code == code and said in found.json()["detail"], found.text
    for headers in ({"X-Forwarded-For": "192.0.2.1"}, {"Host": "evil.example"}, {"Origin": "http://evil.example"}):
        assert post(daemon, components=["db"], headers=headers).status_code == 403
        assert daemon.request("DELETE", f"{ROUTE}/s1", headers=headers).status_code == 403
    for body, code in (("{", 400), ("[]", 422), ('{"for":"1h","for":"2h"}', 400), ("[" * 3000, 400)):
        found = daemon.request("POST", ROUTE, data=body, headers={"Content-Type": "application/json"})
        assert found.status_code == code, found.text
    assert daemon.request("POST", ROUTE, data="x").status_code == 415
    assert daemon.get(ROUTE).json()["silences"] == []
    # bounded
    for _ in range(100):
        assert post(daemon, components=["fine"]).status_code == 201
    found = post(daemon, components=["fine"])
    assert found.status_code == 422 and "100 silences already" in found.json()["detail"]


def test_with_a_token(skymond, tmp_path):
    """A caller from elsewhere needs the token of `access`; where one is asked for, a local caller needs it too. Anonymous readers see no reason."""
    token = tmp_path / "token"
    token.write_text("0123456789abcdef0123\n")
    token.chmod(0o600)
    daemon = skymond(config_of(tmp_path, access={"token": {"file": str(token)}, "public": ["health"]}))
    bearer = {"Authorization": "Bearer 0123456789abcdef0123"}
    assert post(daemon, components=["db"]).status_code == 401 and daemon.get(ROUTE).status_code == 401
    made = post(daemon, components=["db"], headers={**bearer, "X-Forwarded-For": "192.0.2.1"})
    assert made.status_code == 201 and made.json()["by"] == "token from 127.0.0.1"
    assert daemon.component("db")["maintenance"]["why"] == ""
    assert daemon.get("/api/v1/health/db", headers=bearer).json()["maintenance"]["why"] == "disks"
    done = run_tool("silence", "--list", "--url", f"http://127.0.0.1:{daemon.port}", "--token-file", str(token))
    assert done.returncode == 0 and "db: disks (token from 127.0.0.1)" in done.stdout, done.stderr


def test_the_tool(skymond, tmp_path):
    daemon = skymond(config_of(tmp_path))
    settled(daemon)
    url = ("--url", f"http://127.0.0.1:{daemon.port}")
    for name, kind in (("db", "components"), ("payments", "groups")):
        done = run_tool("silence", name, "--for", "90m", "--why", "new disks", *url)
        assert done.returncode == 0 and f"{name}: new disks (root)" in done.stdout, done.stderr
        assert daemon.get(ROUTE).json()["silences"][-1][kind] == [name]
    assert codes(daemon) == [200, 200]
    done = run_tool("silence", "--list", *url)
    assert done.returncode == 0 and len(done.stdout.splitlines()) == 2 and done.stdout.startswith("s1 ")
    assert run_tool("silence", "--end", "s1", *url).returncode == 0
    assert [one["id"] for one in daemon.get(ROUTE).json()["silences"]] == ["s2"]
    for words, said in ((("--end", "s1"), "no such silence"), (("nope", "--for", "1h", "--why", "x"), "neither a component nor a group"),
                        (("db", "--for", "1y", "--why", "x"), "`for`"), (("db",), "silence takes NAME"), (("--list", "--end", "s2"), "silence takes NAME"),
                        (("db", "--for", "1h"), "silence takes NAME"), (("--end", "../x"), "--end takes an id")):
        done = run_tool("silence", *words, *url)
        assert done.returncode == 3 and said in done.stderr, (words, done.stderr)
    assert "skymon silence NAME --for 2h --why TEXT" in run_tool("silence", "--help").stdout


def test_a_window(skymond, tmp_path):
    """One that is open now, by the clock of a zone; one of a group that begins tomorrow."""
    zone = "Australia/Adelaide"
    here = datetime.datetime.now(zoneinfo.ZoneInfo(zone)) - datetime.timedelta(minutes=30)
    later = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=12)
    windows = [{"components": ["db"], "every": f"day {here:%H:%M}", "for": "2h", "zone": zone, "why": "backups"},
               {"groups": ["payments"], "every": f"day {later:%H:%M}", "for": "1h"}]
    config = config_of(tmp_path, maintenance=windows)
    daemon = skymond(config)
    settled(daemon)
    shown = daemon.component("db")["maintenance"]
    assert (shown["why"], shown["by"]) == ("backups", "config") and daemon.component("card")["maintenance"] is None
    begin, end = (datetime.datetime.fromisoformat(shown[key].replace("Z", "+00:00")) for key in ("since", "until"))
    assert end - begin == datetime.timedelta(hours=2) and f"{begin.astimezone(zoneinfo.ZoneInfo(zone)):%H:%M}" == f"{here:%H:%M}"
    assert [(one["open"], one["every"], one["zone"]) for one in daemon.get(ROUTE).json()["windows"]] == [
        (True, windows[0]["every"], zone), (False, windows[1]["every"], "UTC")]
    assert silenced(daemon) == {'{component="db"}'}
    assert "open" in run_tool("silence", "--list", "--url", f"http://127.0.0.1:{daemon.port}").stdout
    printed = run_skymond(config, "--print-config").stdout
    assert "maintenance:\n  - components: [db]" in printed and f"zone: \"{zone}\"" in printed or f"zone: {zone}" in printed
    # a reload moves it to the group, and takes it away
    windows[0] = {**windows[0], "groups": ["payments"]}
    del windows[0]["components"]
    reload(daemon, config)
    assert silenced(daemon) == {'{component="card"}'}
    del config["maintenance"]
    reload(daemon, config)
    assert silenced(daemon) == set() and codes(daemon) == [503, 503]


def test_mistakes_of_windows(folder):  # noqa: F811
    good = 'components: [a], every: "sun 02:00", for: 2h'
    for text, said in (
            ("maintenance: {a: 1}", "c.yaml:5:14: `maintenance` must be a list"), ("maintenance: [1]", "a window of maintenance must be a map"),
            ('maintenance: [{components: [b], every: "sun 02:00", for: 2h}]', "c.yaml:5:29: `b` of maintenance is not a component"),
            ('maintenance: [{groups: [a], every: "sun 02:00", for: 2h}]', "`a` of maintenance is not a group"),
            ('maintenance: [{every: "sun 02:00", for: 2h}]', "maintenance needs `components` or `groups`"),
            ("maintenance: [{components: [a], for: 2h}]", "needs the option `every`"), ('maintenance: [{components: [a], every: "sun 02:00"}]', "needs the option `for`"),
            ('maintenance: [{components: [a], every: sunday, for: 2h}]', "`sunday` is not a time that comes back"),
            ('maintenance: [{components: [a], every: "sun 02:00", for: 8d}]', "option `for` of maintenance must be 1m to 6d"),
            ('maintenance: [{components: [a], every: "day 02:00", for: 24h}]', "it would never end"),
            ('maintenance: [{components: [a], every: "sat,sun 02:00", for: 25h}]', "it would never end"),
            (f"maintenance: [{{{good}, zone: Europe/Berlim}}]", "c.yaml:5:68: no time zone `Europe/Berlim`"),
            (f"maintenance: [{{{good}, zone: /etc/passwd}}]", "`/etc/passwd` is not a time zone"), (f"maintenance: [{{{good}, zon: UTC}}]", "did you mean `zone`?")):
        (folder / "c.yaml").write_text(HEAD + "components: {a: {plugin: t_ok}}\n" + "# \n" * 1 + text + "\n")
        done = run_skymond(None, "-c", str(folder / "c.yaml"), "--check-config")
        assert done.returncode == 2 and said in done.stderr, done.stderr
    (folder / "c.yaml").write_text(HEAD + f"components: {{a: {{plugin: t_ok}}}}\nmaintenance: [{{{good}, zone: Europe/Berlin}}]\n")
    assert run_skymond(None, "-c", str(folder / "c.yaml"), "--check-config").returncode == 0
