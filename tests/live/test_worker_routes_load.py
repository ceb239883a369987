# SPDX-License-Identifier: Apache-2.0
"""Routes that live in a worker under load, time, crashes, reloads, hostile workers, and a secret that is refused."""
import http.client
import pathlib
import re
import signal
import threading
import time

import pytest

from harness import SLOW, wait_until
from test_reload import reload
from test_workers import component, latencies_ms, p99
from worker_routes import Asked, Held, ask, audits, config, echoed, start


def descriptors(daemon):
    return len(list(pathlib.Path(f"/proc/{daemon.pid}/fd").iterdir()))


def scrapes_ms(daemon, count):
    """Scrapes over one kept connection."""
    found, connection = [], http.client.HTTPConnection("127.0.0.1", daemon.port, timeout=10 * SLOW)
    for _ in range(count):
        began = time.perf_counter()
        connection.request("GET", "/metrics")
        assert connection.getresponse().read()
        found.append((time.perf_counter() - began) * 1000)
    connection.close()
    return sorted(found)


def at_once(count, call):
    """Calls it on so many threads at once; what each returned."""
    found, gate = [], threading.Barrier(count)

    def one():
        gate.wait()
        found.append(call())

    threads = [threading.Thread(target=one) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


# ---- Many at once ----

@pytest.mark.sanitized
def test_sixty_four_at_once(skymond, tmp_path):
    """All are answered, the next is refused with Retry-After, and neither probes nor scrapes nor the health route wait for them."""
    daemon = start(skymond, tmp_path)
    memory = daemon.memory_kb()
    held = Held(daemon, tmp_path, 64)
    began = time.monotonic()
    refused = ask(daemon, "/t/open/x")
    assert (refused.code, refused.headers["Retry-After"]) == (503, "5") and "64 unanswered requests" in refused.json()["detail"]
    assert time.monotonic() - began < 2 * SLOW
    assert ask(daemon, "/t/health").code == 200
    probes, scrapes = p99(latencies_ms(daemon, "/api/v1/health", 3000)), p99(scrapes_ms(daemon, 500))
    print(f"p99 of a probe {probes:.2f} ms, of a scrape {scrapes:.2f} ms")
    assert held.count() == 64  # none of them has waited for one of those
    assert held.count() == 64
    held.release()
    assert [answer.code for answer in held.answers()] == [200] * 64
    assert ask(daemon, "/t/open/x").code == 200
    assert daemon.memory_kb() - memory < 30000 * (20 if SLOW > 1 else 1)


def test_large_bodies_at_once_are_taken_or_refused(skymond, tmp_path):
    """64 of 1 MiB: what the worker cannot be given at once is refused at once; the rest is whole; memory is given back."""
    daemon = start(skymond, tmp_path)
    codes = at_once(64, lambda: ask(daemon, "/t/echo/x", "POST", body=b"x" * (1 << 20), timeout=30).code)
    print({code: codes.count(code) for code in set(codes)})
    assert set(codes) <= {200, 503} and codes.count(200) >= 4
    assert int(echoed(ask(daemon, "/t/echo/x", "POST", body=b"x" * (1 << 20)))["size"]) == 1 << 20
    assert daemon.memory_kb() < 400000 * SLOW


@pytest.mark.sanitized
def test_a_full_house_that_asks_again_at_once(skymond, tmp_path):
    """A handler that has answered, and is still on its way out, takes no other's place."""
    daemon = start(skymond, tmp_path)

    def many():
        connection = http.client.HTTPConnection("127.0.0.1", daemon.port, timeout=20 * SLOW)
        codes = []
        for _ in range(2):
            connection.request("GET", "/t/linger")
            answer = connection.getresponse()
            answer.read()
            codes.append(answer.status)
        connection.close()
        return codes

    assert [code for codes in at_once(64, many) for code in codes if code != 200] == []


def test_requests_leave_no_memory_behind(skymond, tmp_path):
    """Neither here nor there: each had a thread of its own."""
    daemon = start(skymond, tmp_path)
    worker = next(pid for pid, name in daemon.children().items() if name == "t_routes")

    def sizes_kb():
        texts = [pathlib.Path(f"/proc/{pid}/status").read_text() for pid in (daemon.pid, worker)]
        return [int(re.search(r"VmData:\s+(\d+)", text).group(1)) for text in texts]

    def many(count):
        connection = http.client.HTTPConnection("127.0.0.1", daemon.port, timeout=10 * SLOW)
        for _ in range(count):
            connection.request("GET", "/t/open/x")
            assert connection.getresponse().read()
        connection.close()

    many(200)
    before = sizes_kb()
    many(2000)

    def grown_kb():
        return max(after - size for after, size in zip(sizes_kb(), before))
    wait_until(lambda: grown_kb() < 4000, 10, "the last threads to end, and nothing else to stay")


# ---- Time ----

def test_thirty_seconds_and_the_grace(skymond, tmp_path):
    """504 after 30 s; a handler keeps its place until it returns; one that never does costs the worker after 60 s."""
    daemon, hung = start(skymond, tmp_path), skymond(config(tmp_path))
    hung.wait_component("t_routes", status="healthy")
    began = time.monotonic()
    held = Held(daemon, tmp_path, 64, query="&deaf=1")
    hanging, other = Asked(hung, "/t/misbehave?how=hang"), hung.component("other")
    worker = hung.children()
    answers = held.answers(40)
    assert [answer.code for answer in answers] == [504] * 64 and 29 < time.monotonic() - began < 30 + 10 * SLOW
    assert answers[0].json()["title"] == "Gateway Timeout" and "30 s" in answers[0].json()["detail"]
    assert hanging.answer(10).code == 504
    assert ask(daemon, "/t/open/x").code == 503  # their handlers do not look at the time
    held.release()
    wait_until(lambda: ask(daemon, "/t/open/x").code == 200, 10, "a place")
    daemon.wait_log("slow: no time left")
    found = hung.wait_component("t_routes", timeout=50, status="unknown", reason="killed")
    assert "a request did not return within 60000 ms" in found["message"]
    assert 59 < time.monotonic() - began < 60 + 20 * SLOW
    hung.wait_component("t_routes", timeout=20, status="healthy")
    assert ask(hung, "/t/open/x").code == 200
    assert set(worker) & set(hung.children()) == {pid for pid, name in worker.items() if name == "t_ok"}
    assert hung.component("other")["since"] == other["since"]


# ---- Clients that leave ----

@pytest.mark.sanitized
@pytest.mark.parametrize("how", ["reset", "close", "half"])
def test_a_client_that_leaves(skymond, tmp_path, how):
    """The handler has no time left from then on, its place is free, nothing is left open."""
    daemon = start(skymond, tmp_path)
    before = wait_until(lambda: descriptors(daemon), 5)
    held = Held(daemon, tmp_path, 64)
    for asked in held.asked:
        if how == "half":
            asked.connection.shutdown(1)
        else:
            getattr(asked, how)()
    daemon.wait_log("slow: no time left")
    wait_until(lambda: ask(daemon, "/t/open/x").code == 200, 10, "a place")
    held.close()
    wait_until(lambda: descriptors(daemon) <= before + 1, 10, "the descriptors to be closed")
    began = time.monotonic()
    daemon.stop()
    assert time.monotonic() - began < 5 * SLOW  # nothing is waited for


@pytest.mark.sanitized
def test_clients_that_come_and_go(skymond, tmp_path):
    """At every moment of their request."""
    daemon = start(skymond, tmp_path)

    def many():
        for turn in range(30):
            asked = Asked(daemon, ("/t/slow?ms=20", "/t/large?size=300000", "/t/echo/x", "/t/ask")[turn % 4],
                          headers={"Accept-Encoding": "gzip"} if turn % 3 else {})
            time.sleep(turn % 7 / 200)
            if turn % 5:
                asked.reset()
            else:
                asked.close()

    at_once(8, many)
    wait_until(lambda: ask(daemon, "/t/open/x").code == 200, 10, "an answer")


# ---- Crashes ----

@pytest.mark.sanitized
def test_a_crash_in_a_handler(skymond, tmp_path):
    daemon = start(skymond, tmp_path)
    others = {pid for pid, name in daemon.children().items() if name == "t_ok"}
    held = Held(daemon, tmp_path, 3)
    crashed = ask(daemon, "/t/misbehave?how=crash")
    assert crashed.code == 502 and "SIGABRT while answering GET /t/misbehave" in crashed.json()["detail"], crashed
    assert [answer.code for answer in held.answers()] == [502] * 3
    found = daemon.wait_component("t_routes", reason="crashed")
    assert "SIGABRT" in found["message"]
    answer = ask(daemon, "/t/open/x")
    assert answer.code in (200, 503)
    daemon.wait_component("t_routes", timeout=20, status="healthy")
    assert ask(daemon, "/t/open/x").code == 200
    assert others <= set(daemon.children()) and daemon.component("other")["status"] == "healthy"


# ---- A refused secret ----

def reads(tmp_path):
    """How often the store was asked for it again."""
    file = tmp_path / "keep" / "word.asked"
    return file.read_text().count("fresh") if file.exists() else 0


def reads_allowed(began):
    """One, and one more in each 5 s since then. The daemon counts them from when it asks: the store may hear of one later than
    of the next, so what lies between two is not measured there."""
    return 1 + int((time.monotonic() - began) / 5)


def store(skymond, tmp_path, key="first-key", **more):
    (tmp_path / "keep").mkdir()
    (tmp_path / "keep" / "word").write_text(key)
    (tmp_path / "accepted").write_text("first-key")
    return start(skymond, tmp_path, {"key": {"store": "word#0"}}, components={
        "store": component("t_store", folder=str(tmp_path / "keep")), "other": component("t_ok")}, **more)


def test_a_literal_key_that_is_refused(skymond, tmp_path):
    (tmp_path / "accepted").write_text("right")
    daemon = start(skymond, tmp_path, {"key": 'wrong "key" \\ of many'})
    began = time.monotonic()
    answer = ask(daemon, "/t/ask")
    assert answer.code == 502 and time.monotonic() - began < 2 * SLOW
    assert answer.json()["detail"] == "the key ******** is refused"  # with any escapes of its quotes in JSON
    (tmp_path / "accepted").write_text('wrong "key"')


def test_a_key_in_a_file(skymond, tmp_path):
    (tmp_path / "key").write_text("first-key\n")
    (tmp_path / "accepted").write_text("first-key")
    daemon = start(skymond, tmp_path, {"key": {"file": str(tmp_path / "key")}})
    assert ask(daemon, "/t/ask").body == b"accepted\n"
    (tmp_path / "accepted").write_text("second-longer-key")
    (tmp_path / "key").write_text("second-longer-key\n")
    mark = daemon.log_mark()
    assert ask(daemon, "/t/ask").body == b"accepted\n"
    daemon.wait_log("stopped, its key had 9 bytes", after=mark)
    daemon.wait_log("started, its key has 17 bytes", after=mark)
    assert "first-key" not in daemon.log_text() and "second" not in daemon.log_text()


@pytest.mark.sanitized
def test_a_key_of_a_store_that_changes(skymond, tmp_path):
    """A request that is refused meanwhile waits for the next read, at most 5 s after the last."""
    daemon = store(skymond, tmp_path)
    assert ask(daemon, "/t/ask").body == b"accepted\n" and reads(tmp_path) == 0
    (tmp_path / "accepted").write_text("second-key")
    began = time.monotonic()
    assert ask(daemon, "/t/ask").code == 502 and time.monotonic() - began < 3 * SLOW
    (tmp_path / "keep" / "word").write_text("second-key")
    assert ask(daemon, "/t/ask").body == b"accepted\n"
    assert 4 < time.monotonic() - began < 5 + 3 * SLOW
    assert ask(daemon, "/t/ask").body == b"accepted\n"
    assert reads(tmp_path) == 2


@pytest.mark.sanitized
def test_twenty_at_once_with_a_refused_key(skymond, tmp_path):
    daemon = store(skymond, tmp_path)
    (tmp_path / "accepted").write_text("second-key")
    began = time.monotonic()
    answers = at_once(20, lambda: ask(daemon, "/t/ask", timeout=20))
    assert [answer.code for answer in answers] == [502] * 20
    assert 1 <= reads(tmp_path) <= reads_allowed(began)
    (tmp_path / "keep" / "word").write_text("second-key")
    answers = at_once(20, lambda: ask(daemon, "/t/ask", timeout=20))
    assert [answer.body for answer in answers] == [b"accepted\n"] * 20
    assert 2 <= reads(tmp_path) <= reads_allowed(began)


@pytest.mark.sanitized
def test_one_that_meets_the_old_key_when_the_new_one_is_there(skymond, tmp_path):
    """It is done once more at once: what it would wait for has been."""
    daemon = store(skymond, tmp_path)
    gate = tmp_path / "go"
    late = Asked(daemon, f"/t/ask?until={gate}")
    for name in ("accepted", "keep/word"):
        (tmp_path / name).write_text("second-key")
    assert ask(daemon, "/t/ask").body == b"accepted\n"
    began = time.monotonic()
    gate.touch()
    assert late.answer().body == b"accepted\n" and time.monotonic() - began < 2 * SLOW
    assert reads(tmp_path) == 1


def test_nothing_is_read_for_one_that_left(skymond, tmp_path):
    daemon = store(skymond, tmp_path)
    (tmp_path / "accepted").write_text("second-key")
    assert ask(daemon, "/t/ask").code == 502 and reads(tmp_path) == 1
    mark = daemon.log_mark()
    waiting = Asked(daemon, "/t/ask")  # until it may be read once more
    wait_until(lambda: daemon.get("/api/v1/status").json()["health"]["metrics"]["active_connections"] >= 2, 5, "its connection")
    waiting.reset()
    began = time.monotonic()
    wait_until(lambda: time.monotonic() - began > 6, 10, "six seconds")
    assert reads(tmp_path) == 1 and "error" not in "\n".join(daemon.log_lines()[mark:])


def test_a_store_that_cannot_answer(skymond, tmp_path):
    """The request is done once more with the key that there is; the plugin goes on with it."""
    daemon = store(skymond, tmp_path)
    (tmp_path / "accepted").write_text("second-key")
    (tmp_path / "keep" / "word").unlink()
    answer = ask(daemon, "/t/ask")
    assert answer.code == 502 and "refused" in answer.json()["detail"]
    daemon.wait_log("no such secret")
    (tmp_path / "accepted").write_text("first-key")
    assert ask(daemon, "/t/ask").body == b"accepted\n"
    assert daemon.component("t_routes")["status"] == "healthy"


@pytest.mark.sanitized
def test_a_refusal_while_a_check_is_out(skymond, tmp_path):
    """The new key waits for the check, and the request for the key."""
    daemon = store(skymond, tmp_path)
    (tmp_path / "accepted").write_text("second-key")
    (tmp_path / "keep" / "word").write_text("second-key")
    (tmp_path / "busy").touch()
    before = daemon.component("t_routes")["last_check"]
    wait_until(lambda: daemon.component("t_routes")["last_check"] == before, 5)
    began = time.monotonic()
    wait_until(lambda: time.monotonic() - began > 1.5, 5, "a check to be out")
    asked = Asked(daemon, "/t/ask")
    wait_until(lambda: time.monotonic() - began > 2.5, 5, "a second")
    assert echoed(ask(daemon, "/t/open/x"))["id"] == "x"  # others need no key
    (tmp_path / "busy").unlink()
    assert asked.answer(15).body == b"accepted\n"


# ---- Reloads ----

@pytest.mark.sanitized
def test_reloads_while_requests_are_out(skymond, tmp_path):
    """Nothing changed, options changed: all are answered, and the old state is stopped only then."""
    daemon = start(skymond, tmp_path, {"key": "0123456789"})
    mark, worker = daemon.log_mark(), daemon.children()
    held = Held(daemon, tmp_path, 3)
    reload(daemon, config(tmp_path, {"key": "0123456789"}))
    assert "stopped" not in "\n".join(daemon.log_lines()[mark:])
    reload(daemon, config(tmp_path, {"key": "0123456789abcdef"}))
    daemon.wait_log("started, its key has 16 bytes", after=mark)
    assert echoed(ask(daemon, "/t/open/x"))["id"] == "x"
    assert "stopped, " not in "\n".join(daemon.log_lines()[mark:])
    held.release()
    assert [answer.code for answer in held.answers()] == [200] * 3
    daemon.wait_log("stopped, its key had 10 bytes", after=mark)
    assert daemon.children() == worker


@pytest.mark.sanitized
def test_a_plugin_that_is_removed_while_requests_are_out(skymond, tmp_path):
    """They are answered as they were asked: a route that all may read by then still says so."""
    (tmp_path / "token").write_text("the-token-of-18-b.")
    (tmp_path / "token").chmod(0o600)
    access = {"token": {"file": str(tmp_path / "token")}, "public": ["health", "component", "slow"]}
    daemon = start(skymond, tmp_path, access=access)
    held = Held(daemon, tmp_path, 3)
    changed = config(tmp_path, access={**access, "public": ["health", "component"]})
    del changed["plugins"]["t_routes"]
    reload(daemon, changed)
    assert ask(daemon, "/t/slow").code == 404
    assert "t_routes" in daemon.children().values()
    held.release()
    answers = held.answers()
    assert [(answer.code, answer.headers["Access-Control-Allow-Origin"]) for answer in answers] == [(200, "*")] * 3
    wait_until(lambda: "t_routes" not in daemon.children().values(), 10, "its worker to leave")


def test_one_that_waits_for_a_plugin_that_is_removed(skymond, tmp_path):
    """It waits for its key to be read again, which will not happen any more."""
    daemon = store(skymond, tmp_path)
    (tmp_path / "accepted").write_text("second-key")
    assert ask(daemon, "/t/ask").code == 502
    waiting, began = Asked(daemon, "/t/ask"), time.monotonic()
    wait_until(lambda: daemon.get("/api/v1/status").json()["health"]["metrics"]["active_connections"] >= 2, 5, "its connection")
    changed = config(tmp_path)
    del changed["plugins"]["t_routes"]
    reload(daemon, changed)
    answer = waiting.answer()
    assert answer.code == 503 and "reload" in answer.json()["detail"] and time.monotonic() - began < 4.5 * SLOW


def test_not_configured(skymond, tmp_path):
    """A target that is left empty: what the daemon says of it, and what its routes say."""
    daemon = start(skymond, tmp_path, {"key": "0123456789"})
    reload(daemon, config(tmp_path, {"target": ""}))
    answer = ask(daemon, "/t/open/x")
    assert answer.code == 503 and "not configured" in answer.json()["detail"], answer
    health = ask(daemon, "/t/health")
    assert (health.code, health.json()["healthy"]) == (503, False) and "target" in health.json()["message"]
    assert "Retry-After" not in health.headers
    assert ask(daemon, "/api/v1/health/t_routes").json()["reason"] == "not_configured"
    reload(daemon, config(tmp_path))
    daemon.wait_component("t_routes", status="healthy")
    assert ask(daemon, "/t/open/x").code == 200


# ---- The end ----

@pytest.mark.sanitized
def test_sigterm_while_requests_are_out(skymond, tmp_path):
    daemon = start(skymond, tmp_path, shutdown={"drain": "0s", "timeout": "20s"})
    held = Held(daemon, tmp_path, 3)
    daemon.process.send_signal(signal.SIGTERM)
    daemon.wait_log("stopping on SIGTERM")
    began = time.monotonic()
    wait_until(lambda: time.monotonic() - began > 0.5, 5, "half a second")
    assert daemon.process.poll() is None
    held.release()
    assert [answer.code for answer in held.answers()] == [200] * 3
    wait_until(lambda: daemon.process.poll() is not None, 10, "its end")
    assert daemon.process.returncode == 0 and daemon.stop(expect=None) == 0


@pytest.mark.sanitized
def test_sigterm_and_requests_that_do_not_end(skymond, tmp_path):
    daemon = start(skymond, tmp_path, shutdown={"drain": "0s", "timeout": "1s"})
    held = Held(daemon, tmp_path, 3, query="&deaf=1")
    writing = Held(daemon, tmp_path, 1, "writing", method="POST", body=b"{}")
    daemon.process.send_signal(signal.SIGTERM)
    answers = held.answers() + writing.answers()
    assert [answer.code for answer in answers] == [503] * 4 and "stopping" in answers[0].json()["detail"]
    wait_until(lambda: daemon.process.poll() is not None, 10, "its end")
    assert daemon.process.returncode == 0 and daemon.stop(expect=None) == 0
    assert "code=503" in audits(daemon)[-1]


@pytest.mark.sanitized
def test_a_second_sigterm(skymond, tmp_path):
    daemon = start(skymond, tmp_path, shutdown={"drain": "0s", "timeout": "60s"})
    held = Held(daemon, tmp_path, 3)
    daemon.process.send_signal(signal.SIGTERM)
    daemon.wait_log("stopping on SIGTERM")
    daemon.process.send_signal(signal.SIGTERM)
    wait_until(lambda: daemon.process.poll() is not None, 10, "its end")
    for asked in held.asked:
        with pytest.raises((http.client.BadStatusLine, ConnectionError)):
            asked.answer()
    assert daemon.process.returncode == 0 and daemon.stop(expect=None) == 0


# ---- Hostile workers ----

def hostile(skymond, tmp_path):
    routes = config(tmp_path)
    routes["plugins"]["t_reply_wire"] = {"interval": "500ms"}
    daemon = skymond(routes)
    daemon.wait_component("t_routes", status="healthy")
    daemon.wait_component("t_reply_wire", status="healthy")
    return daemon


@pytest.mark.asan
def test_forged_answers(skymond, tmp_path):
    """No worker answers a request to another; a reply to no request reaches no client."""
    daemon = hostile(skymond, tmp_path)
    held = Held(daemon, tmp_path, 2)
    for number in [1, 3, 2**64 - 1]:
        answer = ask(daemon, f"/w/reply?number={number}")
        assert answer.code == 502 and b"forged" not in answer.body, answer
        daemon.wait_log('plugin=t_reply_wire msg="worker sent a reply to a request that it did not get')
        daemon.wait_component("t_reply_wire", timeout=20, status="healthy")
    held.release()
    assert [answer.body for answer in held.answers()] == [b"done\n"] * 2


@pytest.mark.asan
@pytest.mark.parametrize("query", ["cut=1", "cut=12", "code=99", "code=1000", "name=X-A&value=a%0d%0aX-Forged:%20b", "name=a%20b&value=c",
                                   "name=Content-Length&value=1", "type=text%0aX-Forged:%20b"])
def test_broken_replies_end_the_worker(skymond, tmp_path, query):
    daemon = hostile(skymond, tmp_path)
    others = {pid for pid, name in daemon.children().items() if name != "t_reply_wire"}
    held = Held(daemon, tmp_path, 1)
    answer = ask(daemon, f"/w/reply?{query}")
    assert answer.code == 502 and "sent a reply that is broken" in answer.json()["detail"], answer
    found = daemon.wait_component("t_reply_wire", status="unknown", reason="crashed")
    assert "broken" in found["message"]
    held.release()
    assert [answer.code for answer in held.answers()] == [200]
    assert others <= set(daemon.children())
    daemon.wait_component("t_reply_wire", timeout=20, status="healthy")
