# SPDX-License-Identifier: Apache-2.0
"""The status page and the badges: what they show and escape, what a browser may do with them, and a real Chromium that looks at them in light, dark and
narrow, with 500 components, with and without JavaScript; axe-core finds nothing."""
import base64
import hashlib
import html
import json
import os
import re
import xml.dom.minidom

import pytest

from harness import SLOW, SOURCE, need, wait_until
from test_workers import component

BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"}
SERVED = {"prometheus": {}, "page": {}}
HOSTILE = """<script>document.title="taken"</script><img src=x onerror="document.title='taken'">&lt;b&gt;'"`"""


def says(tmp_path, name, text, **options):
    (tmp_path / name).write_text(text)
    return component("t_file", path=str(tmp_path / name), impact="unhealthy", **options)


def few(tmp_path, **more):
    return {"service": {"name": "api", "title": "Sky <b>Genesis</b> & Co"}, "plugins": SERVED, "components": {
        "fine": says(tmp_path, "fine", "healthy all is well"),
        "db": says(tmp_path, "db", "unhealthy " + HOSTILE),
        "slow": says(tmp_path, "slow", "degraded rather slow", ),
        "later": component("t_file", path=""),
        "aside": {**says(tmp_path, "aside", "unhealthy nobody waits for it"), "impact": "none"}}, **more}


def shown(page):
    """The text of each row, by the component's name."""
    rows = re.findall(r'<tr role="row"><th scope="row" role="rowheader">(?:<a [^>]*>)?([^<]*)(.*?)</tr>', page, re.S)
    return {name: html.unescape(re.sub(r"<[^>]+>", " ", rest)) for name, rest in rows}


# ---- Without a browser ----

def test_what_it_shows(skymond, tmp_path):
    sm = skymond(few(tmp_path))
    for name in ("fine", "db", "slow", "aside"):
        sm.wait_component(name, reason="ok" if name == "fine" else "other")
    for path, headers in (("/", BROWSER), ("/index.html", {}), ("/status.html", {})):
        answer = sm.get(path, headers=headers)
        assert answer.status_code == 200 and answer.headers["Content-Type"] == "text/html; charset=utf-8"
        assert answer.headers["X-Health-Status"] == "unhealthy" and answer.headers["Cache-Control"] == "no-store"
        page, rows = answer.text, shown(answer.text)
        assert list(rows)[:5] == ["db", "aside", "slow", "fine", "later"], "problems first, the worst first"
        assert "unhealthy" in rows["db"] and "other" in rows["db"] and HOSTILE in rows["db"] and "t_file" in rows["db"]
        assert "degraded" in rows["slow"] and "does not count for the whole" in rows["aside"]
        assert "not configured" in rows["later"] and re.search(r"\d s ago .*\d m?s\s+in \d s", rows["fine"], re.S), rows["fine"]
        assert "3 of 5 components have a problem" in page and "Sky &lt;b&gt;Genesis&lt;/b&gt; &amp; Co" in page
        assert HOSTILE not in page and "<b>Genesis" not in page and page.count("<script") == 1
        numbers = dict(re.findall(r"<dt>([^<]*)</dt><dd[^>]*>([^<]*)", page))
        assert len(numbers) == 8 and numbers["Database connections"] == "not measured" and numbers["Memory"].endswith(" MB")
        assert ("Routes" in page) == (path != "/status.html") == ("href=\"api/v1" in page)
        assert not re.search(r"""(src|href|action)=["']?(https?:)?//""", page), "no other host"
        assert not re.search(r"""<[^>]* (on[a-z]+|style)=""", page), "no inline handler"
    assert sm.get("/", headers={"Accept": "*/*"}).json()["routes"], "curl gets the list"
    assert sm.get("/", headers={**BROWSER, "Accept-Encoding": "gzip"}).headers["Content-Encoding"] == "gzip"


def test_groups(skymond, tmp_path):
    sm = skymond({"plugins": SERVED, "components": {
        "solo": says(tmp_path, "solo", "healthy alone"), "pay-b": says(tmp_path, "pay-b", "unhealthy broken", group="payments"),
        "pay-c": says(tmp_path, "pay-c", "degraded slow", group="payments", depends_on=["pay-b"]),
        "web-a": says(tmp_path, "web-a", "healthy fine", group="a-web"), "pay-a": says(tmp_path, "pay-a", "healthy fine", group="payments")}})
    sm.wait_component("pay-b", status="unhealthy")
    for name in ("solo", "web-a", "pay-a"):
        sm.wait_component(name, status="healthy")
    sm.wait_component("pay-c", because_of="pay-b")
    page = sm.get("/status.html").text
    assert re.findall(r"<h2>([^<]*)(?:<small>([^<]*))?", page) == [
        ("Problems ", "2"), ("Numbers", ""), ("a-web ", "1 · the group is healthy"), ("payments ", "1 · the group is unhealthy"), ("Components ", "1")]
    assert list(shown(page)) == ["pay-b", "pay-c", "web-a", "pay-a", "solo"] and "because of pay-b" in shown(page)["pay-c"] and "payments · t_file" in shown(page)["pay-b"]


def test_the_policy_admits_its_style_and_script_alone(skymond, tmp_path):
    sm = skymond(few(tmp_path))
    for path in ("/", "/index.html", "/status.html"):
        answer = sm.get(path, headers=BROWSER)
        policy, = answer.raw.headers.getlist("Content-Security-Policy")
        for name in ("style", "script"):
            text, = re.findall(rf"<{name}>(.*?)</{name}>", answer.text, re.S)
            digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
            assert f"{name}-src 'sha256-{digest}';" in policy
        assert policy.startswith("default-src 'none'; ") and "unsafe" not in policy
        assert answer.raw.headers.getlist("X-Content-Type-Options") == ["nosniff"]


def test_callers_without_the_token(skymond, tmp_path):
    token = "the-token-of-this-test"
    sm = skymond(few(tmp_path, access={"token": token, "public": ["page"]}))
    wait_until(lambda: "rather slow" in sm.get("/status.html", headers={"Authorization": f"Bearer {token}"}).text, what="the message")
    page = sm.get("/status.html").text
    assert "degraded" in shown(page)["slow"] and "rather slow" not in page and HOSTILE not in html.unescape(page)
    assert sm.get("/", headers=BROWSER).status_code == 401


def test_without_the_plugin(skymond, tmp_path):
    sm = skymond({**few(tmp_path), "plugins": {}})
    assert "page: {}" in sm.get("/", headers=BROWSER).text and sm.get("/status.html").status_code == 404


def test_badges(skymond, tmp_path):
    sm = skymond(few(tmp_path))
    sm.wait_component("db", status="unhealthy")
    sm.wait_component("slow", status="degraded")
    for path, code, text in [("/api/v1/health/db/badge.svg", 200, "db: unhealthy"), ("/api/v1/health/slow/badge.svg", 200, "slow: degraded"),
                             ("/api/v1/health/later/badge.svg", 200, "later: not configured"), ("/api/v1/health/badge.svg", 200, "api: unhealthy"),
                             ("/api/v1/health/nope/badge.svg", 404, "component: not in the configuration"),
                             ("/api/v1/health/%3Cscript%3E%FF/badge.svg", 404, "component: not in the configuration")]:
        answer = sm.get(path)
        assert answer.status_code == code and answer.headers["Content-Type"] == "image/svg+xml"
        assert answer.raw.headers.getlist("Cache-Control") == ["max-age=10"] and "default-src 'none'" in answer.headers["Content-Security-Policy"]
        svg = xml.dom.minidom.parseString(answer.text).documentElement
        assert svg.getAttribute("aria-label") == text == svg.getElementsByTagName("title")[0].firstChild.data
        assert ": ".join(each.firstChild.data for each in svg.getElementsByTagName("text")) == text
    named = skymond({**few(tmp_path), "service": {"name": """a<&>"'b"""}})
    svg = xml.dom.minidom.parseString(named.get("/api/v1/health/badge.svg").text).documentElement
    assert svg.getAttribute("aria-label").startswith("""a<&>"'b: """)


def test_maintenance(skymond, tmp_path):
    sm = skymond(few(tmp_path))
    for name in ("fine", "db", "slow", "aside"):
        sm.wait_component(name, reason="ok" if name == "fine" else "other")
    made = sm.request("POST", "/api/v1/maintenance", json={"components": ["db"], "for": "2h", "why": "disk <swap>"})
    assert made.status_code < 300, made.text
    page = sm.get("/status.html").text
    assert list(shown(page))[:2] == ["aside", "slow"] and "2 of 5 components have a problem" in page
    row = shown(page)["db"]
    assert "unhealthy" in row and re.search("in maintenance, ends +in (2 h|119 min)", row) and "disk <swap> (root)" in row and "<swap>" not in page
    svg = xml.dom.minidom.parseString(sm.get("/api/v1/health/db/badge.svg").text).documentElement
    assert svg.getAttribute("aria-label") == "db: maintenance"


# ---- In Chromium ----

@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    """One browser for all tests of this file."""
    webdriver = pytest.importorskip("selenium.webdriver")
    from selenium.webdriver.chrome.options import Options
    from selenium.webdriver.chrome.service import Service
    driver = need("chromedriver")
    options = Options()
    options.binary_location = need("chromium")
    home = tmp_path_factory.mktemp("chromium")
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--disable-background-networking",
                     "--disable-component-update", f"--user-data-dir={home / 'profile'}"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    browser = webdriver.Chrome(service=Service(driver, env={**os.environ, "HOME": str(home)}), options=options)
    browser.set_page_load_timeout(60 * SLOW)
    browser.set_script_timeout(60 * SLOW)
    yield browser
    browser.quit()


def look(browser, scheme="light", width=1200):
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]})
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False})


def faults(browser):
    """The faults that axe-core finds."""
    path = SOURCE / "build" / "axe" / "node_modules" / "axe-core" / "axe.min.js"
    if not path.exists():
        if os.environ.get("CI") == "true":
            pytest.fail("axe-core is missing, and under CI nothing is skipped")
        pytest.skip("axe-core is missing")
    browser.execute_script(path.read_text())
    found = browser.execute_async_script("const end = arguments[0]; axe.run().then(all => end(all.violations));")
    return [(each["id"], each["help"], [node["html"][:200] for node in each["nodes"]][:3]) for each in found]


def background(browser):
    return browser.execute_script("return getComputedStyle(document.body).backgroundColor")


def test_light_dark_and_narrow(skymond, tmp_path, chromium):
    sm = skymond(few(tmp_path))
    for name in ("fine", "db", "slow", "aside"):
        sm.wait_component(name, reason="ok" if name == "fine" else "other")
    for path in ("/", "/status.html"):
        for scheme, width, colour in (("light", 1200, "rgb(255, 255, 255)"), ("dark", 1200, "rgb(13, 17, 23)"), ("light", 360, "rgb(255, 255, 255)")):
            look(chromium, scheme, width)
            chromium.get(sm.url + path)
            assert background(chromium) == colour
            assert chromium.execute_script("return document.documentElement.scrollWidth <= document.documentElement.clientWidth"), "it fits"
            assert chromium.execute_script("return document.querySelector('td.message').textContent") == HOSTILE
            assert chromium.title == "unhealthy: Sky <b>Genesis</b> & Co"
            assert faults(chromium) == []
    assert chromium.get_log("browser") == []


def test_it_follows_without_a_reload(skymond, tmp_path, chromium):
    sm = skymond(few(tmp_path))
    sm.wait_component("db", status="unhealthy")
    look(chromium)
    chromium.get(sm.url + "/")
    chromium.execute_script("window.mark = 1; document.querySelector('a[href=\"api/v1/health/fine\"]').focus()")
    (tmp_path / "db").write_text("healthy again")
    sm.wait_component("db", status="healthy")
    wait_until(lambda: chromium.execute_script("return document.querySelector('main').innerText.includes('healthy again') || "
                                               "[...document.querySelectorAll('td.message')].some(each => each.textContent === 'again')"), 20, "the new message")
    assert "2 of 5" in chromium.execute_script("return document.querySelector('[role=status]').textContent")
    assert chromium.execute_script("return window.mark === 1 && document.activeElement.tagName") == "A", "focus stays"
    chromium.execute_script("document.getElementById('pause').click()")
    assert chromium.execute_script("return document.getElementById('pause').getAttribute('aria-pressed')") == "true"
    chromium.execute_script("document.getElementById('pause').click()")
    sm.stop()
    wait_until(lambda: "may be out of date" in chromium.execute_script("return document.getElementById('lost').textContent"), 30, "the warning")
    chromium.get("about:blank")
    chromium.get_log("browser")


def test_without_javascript(skymond, tmp_path, chromium):
    sm = skymond(few(tmp_path))
    sm.wait_component("slow", status="degraded")
    look(chromium)
    chromium.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        chromium.get(sm.url + "/")
        page = chromium.page_source
        assert '<meta http-equiv="refresh" content="30">' in page and "rather slow" in page
        assert not chromium.find_element("id", "pause").is_displayed()
    finally:
        chromium.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


def test_five_hundred(skymond, tmp_path, chromium):
    (tmp_path / "many").write_text("healthy one of many")
    many = {f"c{i}": component("t_file", path=str(tmp_path / "many"), interval="1h", timeout="60s") for i in range(500)}
    sm = skymond({"plugins": SERVED, "components": many})
    wait_until(lambda: sm.get("/status.html").text.count("one of many") == 500, 60, "all results")

    def seconds():
        fields = (tmp_path / f"/proc/{sm.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    before = seconds()
    for _ in range(20):
        assert sm.get("/", headers=BROWSER).status_code == 200
    assert (seconds() - before) / 20 < 0.2, "seconds of CPU for a page"
    look(chromium)
    chromium.get(sm.url + "/")
    assert chromium.execute_script("return document.querySelectorAll('tbody tr').length") > 500
    assert "500 components without a problem" in chromium.execute_script("return document.querySelector('[role=status]').textContent")
    print(json.dumps(chromium.execute_script("const t = performance.getEntriesByType('navigation')[0]; return [t.responseEnd - t.requestStart, t.domComplete - t.responseEnd]")))
    assert faults(chromium) == []
