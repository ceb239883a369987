# SPDX-License-Identifier: Apache-2.0
"""The check `statsd`: packets over UDP and a Unix socket, as metrics, numbers and the service's metrics."""
import re
import socket

import pytest

import truth
from harness import free_port, run_skymond, wait_until


def watching(**options):
    return {"plugins": {"prometheus": {}}, "components": {"shop": {"plugin": "statsd", "interval": "1s", **options}}}


def series(sm):
    """{line's head: value} of what the component reports"""
    return {head.replace('component="shop",', "").replace('component="shop"', "").replace("{}", ""): float(value)
            for head, value in re.findall(r"^(\w+\{[^\n]*\}) (\S+)$", sm.metrics(), re.M) if 'component="shop"' in head}


def cell(sm, fault, status, reason, *words, **options):
    return truth.cell("statsd", fault, sm, "shop", status, reason, words=words, **options)


class Sender:
    def __init__(self, port):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.connect(("127.0.0.1", port))

    def __call__(self, *lines):
        self.socket.send("\n".join(lines).encode())


@pytest.fixture
def shop(skymond):
    """A daemon with one component, and what sends to it."""
    opened = []

    def start(**options):
        port = free_port()
        sm = skymond(watching(listen=f"127.0.0.1:{port}", **options))
        sm.wait_component("shop", status="healthy")
        opened.append(Sender(port))
        return sm, opened[-1]
    yield start
    for sender in opened:
        sender.socket.close()


def test_types_and_tags(shop):
    sm, send = shop()
    send("shop.orders:2|c", "shop.orders:3|c", "shop.sampled:1|c|@0.1", "queue:7|g", "queue:-2|g", "queue:+1|g",
         "cart.time:320|ms|#path:/cart,zone:eu", "cart.time:100|ms|@0.5|#zone:eu,path:/cart", "size:12|h", "size:14.5|d|c:1234|T1700000000",
         "hits:1|c|#job:x,component:y,flag,9th:z", "")
    wait_until(lambda: "shop_orders_total" in series(sm), what="the series", every=0.01)
    found = series(sm)
    expected = {
        "shop_orders_total": 5, "shop_sampled_total": 10, "queue": 6,
        'cart_time_samples_total{path="/cart",zone="eu"}': 3, 'cart_time_seconds_total{path="/cart",zone="eu"}': 0.52,
        "size_samples_total": 2, "size_sum_total": 26.5,
    }
    for head, value in expected.items():
        assert abs(found.get(head, -1) - value) < 1e-9, (head, found)
    assert found["skymon_statsd_packets_total"] == 1 and found["skymon_statsd_malformed_lines_total"] == 0
    hits = next(head for head in found if head.startswith("hits_total"))
    assert set(re.findall(r'(\w+)="(\w*)"', hits)) == {("tag_9th", "z"), ("tag_component", "y"), ("tag_job", "x")}, "an empty label is none"
    quantiles = [value for head, value in found.items() if head.startswith("cart_time_p")]
    assert all(0.097 < value < 0.33 for value in quantiles), "of the interval; gone in the next one"
    wait_until(lambda: not any(head.startswith("cart_time_p") for head in series(sm)), what="an interval without a value")
    assert series(sm)["shop_orders_total"] == 5, "a counter stays"


def test_malformed_lines_cost_themselves(shop):
    sm, send = shop()
    bad = ["shop", "shop:1", "shop:|c", ":1|c", "shop:x|c", "shop:1|", "shop:1|q", "shop:-1|c", "shop:1|c|@0", "shop:1|c|@2", "shop:1|c||", "shop:nan|g",
           "shop:inf|g", "shop:0x10|g", "shop:1|c|#a:1,a:2", "shop:1|c|#:x", "shop:1|ms|", "shop:-3|ms", "s" * 201 + ":1|c", "shop:1|c|z"]
    send(*bad, "shop:4|c", "\xff\xfe")
    wait_until(lambda: series(sm).get("shop_total") == 4, what="the good line")
    assert series(sm)["skymon_statsd_malformed_lines_total"] == len(bad) + 1
    send("x" * 9500)
    wait_until(lambda: series(sm)["skymon_statsd_malformed_lines_total"] == len(bad) + 2, what="a packet that is too long")


def test_numbers_and_the_service(skymond):
    port = free_port()
    settings = watching(listen=f"127.0.0.1:{port}", prefix="web_", warn={"value_queue": 5}, numbers=[
        {"name": "total_requests", "metric": "web_requests_total"},
        {"name": "error_rate_percent", "metric": "web_requests_total", "labels": {"code": "5*"}, "over": "web_requests_total", "change": True,
         "scale": 100},
        {"name": "average_response_time_ms", "metric": "web_time_seconds_total", "over": "web_time_samples_total", "scale": 1000},
        {"name": "queue", "metric": "web_queue", "fold": "max"}])
    settings["service"] = {"name": "api", "metrics": {"total_requests": "shop", "error_rate_percent": "shop", "average_response_time_ms": "shop"}}
    sm = skymond(settings)
    sm.wait_component("shop", status="healthy")
    send = Sender(port)
    send(*["requests:1|c|#code:200"] * 3, "requests:1|c|#code:503", "time:200|ms", "time:400|ms", "queue:3|g", "queue:4|g|#name:b")
    wait_until(lambda: 'sky_genesis_total_requests_total{service="api"} 4\n' in sm.metrics(), what="4 requests")
    assert 'sky_genesis_average_response_time_ms{service="api"} 300\n' in sm.metrics()
    send(*["requests:1|c|#code:200"] * 9, "requests:1|c|#code:500", "queue:9|g")
    wait_until(lambda: sm.component("shop")["numbers"].get("error_rate_percent") == 10, what="10 %", every=0.01)
    cell(sm, "above a limit", "degraded", "threshold_warn", "value_queue")
    send.socket.close()


def test_no_room_and_silence(shop):
    sm, send = shop(series=3, quiet="5s")
    send("a:1|c", "b:1|c", "c:1|c")
    wait_until(lambda: sm.component("shop")["numbers"]["series_used"] == 1, what="3 series")
    send("d:1|c", "a:1|c")
    cell(sm, "more series than allowed", "degraded", "full", "all 3 of `series`")
    cell(sm, "back", "healthy", "ok", "3 series")
    assert series(sm)["a_total"] == 2, "a known series goes on"
    cell(sm, "no packet", "unhealthy", "too_old", "no packet for", within=10)
    send("a:1|c")
    cell(sm, "back", "healthy", "ok")


def test_unix_socket(skymond, tmp_path):
    path = tmp_path / "statsd.sock"
    for _ in range(2):  # the second start finds the file of the first
        sm = skymond(watching(socket=str(path), socket_mode="0660"))
        sm.wait_component("shop", status="healthy")
        assert path.stat().st_mode & 0o777 == 0o660
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
            client.connect(str(path))
            client.send(b"a:5|g")
        wait_until(lambda: series(sm).get("a") == 5, what="the gauge")
        sm.stop()
    path.unlink()
    path.write_text("not a socket")
    sm = skymond(watching(socket=str(path)))
    found = sm.wait_component("shop", status="unknown", reason="other")
    wait_until(lambda: "cannot receive at" in sm.component("shop")["message"], what="the sentence")
    assert path.read_text() == "not a socket", found


def test_a_flood_is_counted(shop):
    """Each packet is either counted, or dropped by the kernel and counted as that; probes are answered meanwhile."""
    sm, send = shop()
    for _ in range(20000):
        send("flood:1|c")
    ends = 0

    def all_counted():
        nonlocal ends
        ends += 1
        send("end:1|g")  # one may be dropped; with one that is taken comes the number of those that were
        found = series(sm)
        return found["skymon_statsd_packets_total"] + found["skymon_statsd_dropped_packets_total"] >= 20001 and found
    found = wait_until(all_counted, 15, what="20,001 packets")
    assert 20000 <= found["flood_total"] + found["skymon_statsd_dropped_packets_total"] <= 20000 + ends
    assert sm.get("/api/v1/health").status_code == 200


def test_the_address_is_taken(skymond):
    port = free_port()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", port))
        sm = skymond(watching(listen=f"127.0.0.1:{port}"))
        wait_until(lambda: "Address already in use" in sm.component("shop")["message"], what="the sentence")
        cell(sm, "its address is in use", "unknown", "other", "cannot receive at")
    cell(sm, "back", "healthy", "ok", within=40)


@pytest.mark.parametrize("address", ["::1", ""])
def test_families(skymond, address):
    """[::1]; and :PORT, which is both."""
    port = free_port()
    sm = skymond(watching(listen=f"[{address}]:{port}" if address else f":{port}"))
    sm.wait_component("shop", status="healthy")
    for family, to in ((socket.AF_INET6, "::1"), *([] if address else [(socket.AF_INET, "127.0.0.1")])):
        with socket.socket(family, socket.SOCK_DGRAM) as client:
            client.sendto(b"a:1|c", (to, port))
    wait_until(lambda: series(sm).get("a_total") == (1 if address else 2), what="the packets")


@pytest.mark.parametrize("options, words", [
    ({}, "`listen` of component shop or `socket` must be set"),
    ({"listen": "127.0.0.1:nope"}, "`listen` of component shop"),
    ({"listen": ":0"}, "must end with a port"),
    ({"socket": "/" + "x" * 120}, "must be shorter"),
    ({"listen": ":8125", "socket_mode": "rw"}, "must be an octal mode"),
    ({"listen": ":8125", "prefix": "1x"}, "must be the beginning of a metric's name"),
    ({"listen": ":8125", "series": 0}, "series"),
    ({"listen": ":8125", "numbers": [{"name": "a", "metric": "a b"}]}, "must be the name of a metric"),
])
def test_mistakes(options, words):
    done = run_skymond(watching(**options), "--check-config")
    assert done.returncode == 2 and words in done.stderr, done.stderr
