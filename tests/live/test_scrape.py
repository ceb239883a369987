# SPDX-License-Identifier: Apache-2.0
"""The check `scrape`: a real Prometheus' own metrics, a file behind nginx that changes, and servers that misbehave."""

import pytest

import truth
from double import Raw
from harness import end_process, free_port, run_skymond, wait_until

TOKEN = "s3cret-token"
SHOP = """# HELP shop_requests_total Requests.
# TYPE shop_requests_total counter
shop_requests_total{{code="200",path="/a \\"b\\""}} {good}
shop_requests_total{{code="404",path="/"}} {lost}
shop_requests_total{{code="500",path="/"}} {bad}
shop_seconds_sum {seconds}
shop_seconds_count {count}
shop_queue{{name="mail"}} 7
shop_queue{{name="print"}} 3
shop_memory_bytes 2.5e+08
shop_nothing NaN
"""
NUMBERS = [
    {"name": "total_requests", "metric": "shop_requests_total"},
    {"name": "error_rate_percent", "metric": "shop_requests_total", "labels": {"code": "5*"}, "over": "shop_requests_total",
     "change": True, "scale": 100},
    {"name": "average_response_time_ms", "metric": "shop_seconds_sum", "over": "shop_seconds_count", "change": True, "scale": 1000},
    {"name": "memory_usage_mb", "metric": "shop_memory_bytes", "scale": 1e-6},
    {"name": "queue", "metric": "shop_queue", "fold": "max"},
    {"name": "mail", "metric": "shop_queue", "labels": {"name": "mail"}},
    {"name": "nothing", "metric": "shop_nothing"},
]


def watching(url, **options):
    return {"plugins": {"prometheus": {}},
            "components": {"shop": {"plugin": "scrape", "interval": "1s", "timeout": "2s", "url": url, "token": TOKEN, **options}}}


def cell(sm, fault, status, reason, *words, **options):
    return truth.cell("scrape", fault, sm, "shop", status, reason, secrets=[TOKEN], words=words, **options)


class Exporter:
    """nginx with a file that changes, behind a token."""

    def __init__(self, nginx, listen=""):
        self.port = free_port()
        self.server = nginx(
            f"server {{ listen 127.0.0.1:{self.port}{listen}; keepalive_timeout 60; root {{folder}}; default_type text/plain;\n"
            f"if ($http_authorization != 'Bearer {TOKEN}') {{ return 401; }} }}", self.port)
        self.write()

    def write(self, text=None, good=1000, lost=10, bad=5, seconds=10.0, count=1015):
        text = text if text is not None else SHOP.format(good=good, lost=lost, bad=bad, seconds=seconds, count=count)
        path = self.server.folder.path / "metrics"
        fresh = path.with_suffix(".new")
        fresh.write_text(text)
        fresh.chmod(0o644)
        fresh.rename(path)

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}/metrics"


def test_numbers(skymond, nginx):
    """Sums, shares, the increase of counters, a counter that begins again; as the service's metrics."""
    shop = Exporter(nginx)
    settings = watching(shop.url, numbers=NUMBERS, warn={"value_queue": 100})
    settings["service"] = {"name": "api", "metrics": {"total_requests": "shop", "error_rate_percent": "shop",
                                                      "average_response_time_ms": "shop", "memory_usage_mb": "shop"}}
    sm = skymond(settings)
    found = sm.wait_component("shop", status="healthy", reason="ok")
    numbers = found["numbers"]
    assert {key: numbers[key] for key in ("total_requests", "memory_usage_mb", "value_queue", "value_mail", "samples", "malformed_lines")} == {
        "total_requests": 1015, "memory_usage_mb": 250, "value_queue": 7, "value_mail": 7, "samples": 9, "malformed_lines": 0}
    assert "error_rate_percent" not in numbers or numbers["error_rate_percent"] == 0, "the first check has no increase"
    assert "value_nothing" not in numbers, "NaN is not a measurement"
    wait_until(lambda: sm.component("shop")["numbers"].get("error_rate_percent") == 0, what="an interval without a request")

    def seen(share, mean):
        wait_until(lambda: abs(sm.component("shop")["numbers"]["error_rate_percent"] - share) < 1e-9 and
                   abs(sm.component("shop")["numbers"]["average_response_time_ms"] - mean) < 1e-9, what=f"{share} %", every=0.01)
    shop.write(good=1070, bad=35, seconds=25.0, count=1115)   # 30 of 100 more are errors, 15 s for 100 more
    seen(30, 150)
    shop.write(good=6, lost=0, bad=2, seconds=4.0, count=8)   # restarted: 8 requests since, 2 of them errors
    seen(25, 500)
    assert 'sky_genesis_total_requests_total{service="api"} 8\n' in sm.metrics()
    assert 'sky_genesis_memory_usage_mb{service="api"} 250\n' in sm.metrics()
    shop.write(SHOP.format(good=1, lost=1, bad=1, seconds=1, count=3).replace("shop_queue", "shop_line"))
    cell(sm, "a series is gone", "degraded", "missing", "no series of shop_queue")
    assert "value_queue" not in sm.component("shop")["numbers"] and sm.component("shop")["numbers"]["total_requests"] == 3
    shop.write(bad="1e", good="0x10")
    cell(sm, "malformed lines", "healthy", "ok", "7 samples")
    found = sm.component("shop")
    assert found["numbers"]["malformed_lines"] == 2 and found["details"]["first_malformed_line"] == 3
    assert found["numbers"]["total_requests"] == 10, "its siblings are read"


def test_faults(skymond, nginx):
    shop = Exporter(nginx)
    sm = skymond(watching(shop.url, numbers=NUMBERS[:1]))
    cell(sm, "none", "healthy", "ok", "1 number")
    shop.server.pause()
    cell(sm, "frozen", "unhealthy", "timeout")
    shop.server.resume()
    cell(sm, "back", "healthy", "ok")
    command = shop.server.process.args
    end_process(shop.server.process)
    cell(sm, "stopped", "unhealthy", "refused")
    shop.server.launch(command)
    shop.server.wait_port(shop.port)
    cell(sm, "started again", "healthy", "ok")
    shop.write("")
    cell(sm, "an empty answer", "unhealthy", "protocol", "holds no sample")
    shop.write("<html><body>Welcome</body></html>\n")
    cell(sm, "a page of HTML", "unhealthy", "protocol", "holds no sample")
    shop.write()
    cell(sm, "back", "healthy", "ok")
    (shop.server.folder.path / "metrics").unlink()
    cell(sm, "HTTP 404", "unhealthy", "http_status", "HTTP 404")


def test_token(skymond, nginx, tmp_path):
    shop = Exporter(nginx)
    secret = tmp_path / "token"
    secret.write_text("wrong")
    secret.chmod(0o600)
    sm = skymond(watching(shop.url, numbers=NUMBERS[:1], token={"file": str(secret)}))
    cell(sm, "wrong token", "unhealthy", "auth_failed", "HTTP 401")
    secret.write_text(TOKEN)
    cell(sm, "back", "healthy", "ok", within=15)


def test_tls(skymond, nginx, certs):
    for name, reason in (("good", "ok"), ("expired", "tls_expired"), ("untrusted", "tls_untrusted"), ("wrong_name", "tls_untrusted")):
        port = free_port()
        server = nginx(f"server {{ listen 127.0.0.1:{port} ssl; ssl_certificate CERT; ssl_certificate_key KEY;\n"
                       "location / { return 200 'up 1\\n'; } }".replace("CERT", str(certs.pem(name))).replace("KEY", str(certs.key(name))), port,
                       user="root")
        sm = skymond(watching(f"https://127.0.0.1:{port}/", tls={"ca_file": str(certs.ca)}))
        fault = {"good": "none"}.get(name, f"certificate: {name}")
        found = cell(sm, fault, "healthy" if name == "good" else "unhealthy", reason)
        assert name != "good" or 28 < found["numbers"]["certificate_days"] < 31
        sm.stop()
        server.close()


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"


@pytest.mark.parametrize("fault, answer, more, reason", [
    ("accepts and is silent", b"", {"hang": True}, "timeout"),
    ("garbage", b"\xff\x00\x17\r\n" * 100, {}, "protocol"),
    ("half an answer and silent", HEAD + b"Content-Length: 900\r\n\r\nup 1\n", {"hang": True}, "timeout"),
    ("half an answer", HEAD + b"Content-Length: 900\r\n\r\nup 1\n", {}, "protocol"),
    ("huge answer", HEAD + b"\r\n", {"flood": b"up 1\n" * 10000}, "protocol"),
])
def test_misbehaving(skymond, fault, answer, more, reason):
    server = Raw(answer, **more)
    try:
        cell(skymond(watching(server.url + "/metrics", timeout="5s")), fault, "unhealthy", reason)
    finally:
        server.close()


def test_a_real_prometheus(skymond, prometheus):
    """Its own exposition: histograms, summaries with NaN, hundreds of series."""
    server = prometheus([])
    sm = skymond({"components": {"prometheus": {"plugin": "scrape", "interval": "1s", "url": f"{server.url}/metrics", "numbers": [
        {"name": "goroutines", "metric": "go_goroutines"},
        {"name": "requests", "metric": "prometheus_http_requests_total", "labels": {"code": "2*"}},
        {"name": "handlers", "metric": "prometheus_http_requests_total", "fold": "count"},
        {"name": "memory_usage_mb", "metric": "process_resident_memory_bytes", "scale": 1e-6}]}}})
    found = sm.wait_component("prometheus", status="healthy")
    numbers = found["numbers"]
    assert numbers["samples"] > 200 and numbers["malformed_lines"] == 0
    assert numbers["value_goroutines"] > 1 and 5 < numbers["memory_usage_mb"] < 2000 and numbers["value_handlers"] >= 1


@pytest.mark.parametrize("options, words", [
    ({"url": "ftp://127.0.0.1/"}, "`url` of component shop must"),
    ({"url": "http://192.0.2.1/metrics"}, "must begin with https://"),
    ({"numbers": [{"name": "A-b", "metric": "up"}]}, "`numbers[0].name` of component shop must consist of"),
    ({"numbers": [{"name": "a", "metric": "up"}, {"name": "a", "metric": "down"}]}, "`numbers[1].name` of component shop is `a`, which is used twice"),
    ({"numbers": [{"name": "a", "metric": "up{job=\"x\"}"}]}, "`numbers[0].metric` of component shop must be the name of a metric"),
    ({"numbers": [{"name": "a", "metric": "up", "labels": {"0x": "1"}}]}, "`numbers[0].labels` of component shop has `0x`"),
    ({"numbers": [{"name": "a", "metric": "up", "over_labels": {"x": "1"}}]}, "`numbers[0].over` of component shop is missing"),
    ({"numbers": [{"name": "a", "metric": "up", "fold": "avg"}]}, "sum, min, max, mean"),
    ({"numbers": [{"metric": "up"}]}, "name"),
    ({"warn": {"valeu_a": 1}}, "valeu_a"),
])
def test_mistakes(options, words):
    done = run_skymond(watching(options.pop("url", "http://127.0.0.1:9/metrics"), **options), "--check-config")
    assert done.returncode == 2 and words in done.stderr, done.stderr
