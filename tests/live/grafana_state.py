# SPDX-License-Identifier: Apache-2.0
"""The state of the tests' Grafana and its behaviour, without its HTTP server (grafana_server.py): keys' roles, data sources; folders and
dashboards are in grafana_dashboards.py, alert rules in grafana_rules.py. Made from the exchanges recorded with a real one
(grafana_exchanges.json, grafana_exchanges_2.json), which test_grafana_double.py replays. What no exchange shows is answered 500
"not recorded", but for what grafana_unproven.py lists.

Org.answer(call) does one request under the one lock, and returns (status, content type or None, body).
"""
import json
import pathlib
import random
import re
import string
import threading
import time
import urllib.parse

from grafana_unproven import NotRecorded, unproven

FOLDER = pathlib.Path(__file__).parent
EXCHANGES, EXCHANGES_2 = (json.loads((FOLDER / name).read_text()) for name in ("grafana_exchanges.json", "grafana_exchanges_2.json"))
JSON, JSON_UTF8, PLAIN = "application/json", "application/json; charset=UTF-8", "text/plain; charset=utf-8"
UID_SIGNS = string.ascii_letters + string.digits + "-_"


def recorded(case):
    return next(row["response"]["body"] for row in EXCHANGES + EXCHANGES_2 if row["case"] == case)


def moment():
    """Now, as an answer to a write has it: with all of the clock's digits."""
    now = time.time_ns()
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now // 10**9)) + f".{now % 10**9:09d}".rstrip("0").rstrip(".") + "Z"


def to_second(when):
    """The same time as it is read back from the database."""
    return re.sub(r"\.\d+Z$", "Z", when)


class Refused(Exception):
    def __init__(self, status, body, content_type=JSON):
        super().__init__(body)
        self.status, self.body, self.content_type = status, body, content_type


def refuse(code, message, **more):
    return Refused(code, {"message": message, **more})


def bad_request():
    return refuse(400, "bad request data", traceID="")


class Call:
    """One request, as the handlers see it; args are what stood in the path."""

    def __init__(self, method, target, headers, body):
        self.method, self.headers, self.raw = method, headers, body
        self.path, _, query = target.partition("?")
        self.query = urllib.parse.parse_qs(query)
        self.args, self.role, self.held = (), None, None

    def body(self, required=(), **types):
        """The body's object, as Go's decoder reads it: what follows the first value is not looked at."""
        unproven("body: types")
        if self.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            raise bad_request()
        try:
            found, _ = json.JSONDecoder().raw_decode(self.raw.decode().lstrip())
        except ValueError:
            raise bad_request() from None
        if not isinstance(found, dict):
            raise bad_request()
        found = {key: value for key, value in found.items() if value is not None}
        for key, kind in types.items():
            if key in found and (not isinstance(found[key], kind) or kind is int and isinstance(found[key], bool)):
                raise bad_request()
        if any(found.get(key) in (None, "") for key in required):
            raise bad_request()
        return found

    def number(self, name, otherwise):
        text = self.query.get(name, [""])[0]
        return int(text) if text.isdigit() and int(text) > 0 else otherwise


def covers(held, scope):
    return held == scope or held.endswith("*") and scope.startswith(held[:-1])


class Org:
    """The one organisation. parts: what serves routes; each has ROUTES: [(method, path with {} for an argument, name of its method)].
    keys: {key: role}; refused: {key: (status, message)} of those that are gone; quotas: {"dashboard": 1, …}."""

    GONE = {"deleted": (500, {"message": "invalid API key", "traceID": ""}), "disabled": (401, {"message": "Service account is disabled"}),
            "expired": (401, {"message": "Expired API key"}), "unlinked": (500, {"message": "Unable to link API key to service account"})}

    def __init__(self, url_prefix=""):
        self.lock = threading.RLock()
        self.url_prefix, self.quotas = url_prefix, {}
        self.keys, self.refused = {}, {}
        self.routes = [("GET", re.compile("/api/org$"), self._org),
                       ("GET", re.compile("/api/access-control/user/permissions$"), lambda call: self.permissions(call.role))]
        self.sources = Sources(self)
        self.add(self.sources)

    def add(self, part):
        for method, path, name in part.ROUTES:
            pattern = "([^/]+)".join(re.escape(piece) for piece in path.split("{}")) + "$"
            self.routes.append((method, re.compile(pattern), getattr(part, name)))

    def answer(self, call):
        if call.path == "/api/health":
            return 200, JSON_UTF8, json.dumps(recorded("health")).encode()
        with self.lock:
            try:
                self._authenticate(call)
                done = self._dispatch(call)
            except Refused as refusal:
                return refusal.status, refusal.content_type, json.dumps(refusal.body).encode()
            except NotRecorded as what:
                return 500, JSON, json.dumps({"message": f"not recorded: {what}"}).encode()
            status, body, *kind = done if isinstance(done, tuple) else (200, done)
            return (status, kind[0] if kind else JSON, b"" if body is None else json.dumps(body).encode())

    def _authenticate(self, call):
        scheme, _, key = call.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not key:
            raise Refused(401, {"message": "Unauthorized"}, JSON_UTF8)
        if key in self.refused:
            status, body = self.GONE[self.refused[key]]
            unproven("key: expired")
            unproven("key: of a deleted account, by its link")
            raise Refused(status, body, JSON_UTF8)
        if key not in self.keys:
            raise Refused(401, {"message": "invalid API key", "traceID": ""}, JSON_UTF8)
        call.role = self.keys[key]

    def _dispatch(self, call):
        for method, pattern, handler in self.routes:
            found = pattern.match(call.path)
            if found and method == call.method:
                call.args = tuple(urllib.parse.unquote(word) for word in found.groups())
                return handler(call)
        raise Refused(404, {"message": "Not found"}, JSON_UTF8)

    def _org(self, call):
        self.need(call, "orgs:read")
        return recorded("org: does the key work")

    def count(self, target, there):
        """Is there one more of this kind to be had?"""
        if there >= self.quotas.get(target, there + 1):
            if target != "dashboard":
                unproven("quota: rules and data sources")
            raise refuse(403, "quota has been exceeded" if target == "alert_rule" else "Quota reached")

    def permissions(self, role):
        """As recorded for an empty Grafana, and what each new folder and dashboard adds."""
        case = {"admin": "permissions of an admin key", "viewer": "permissions of a viewer key", "editor": "permissions of an editor key"}[role]
        held = json.loads(json.dumps(recorded(case)))
        if role == "admin":
            return held
        unproven("permissions: of what is new")

        def give(scope, *actions):
            for action in actions:
                held.setdefault(action, []).append(scope)

        editor = role == "editor"
        for uid in self.dashboards.folders:
            give(f"folders:uid:{uid}", "folders:read", "dashboards:read")
            if editor:
                give(f"folders:uid:{uid}", "folders:write", "folders:delete", "dashboards:create", "dashboards:write", "dashboards:delete")
        for uid, found in self.dashboards.all.items():
            if not found["folder"]:
                give(f"dashboards:uid:{uid}", "dashboards:read", *(["dashboards:write", "dashboards:delete"] if editor else []))
        return held

    def may(self, call, *actions, scopes=None):
        held = call.held = call.held or self.permissions(call.role)
        return any(action in held and (scopes is None or any(covers(one, scope) for one in held[action] for scope in scopes))
                   for action in actions)

    def need(self, call, *actions, scopes=None):
        """Any one of the actions, on any one of the scopes."""
        if not self.may(call, *actions, scopes=scopes):
            words = f"any of {', '.join(actions)}" if len(actions) > 1 else actions[0]
            raise Refused(403, {"accessErrorId": f"ACE{random.randrange(10**10):010d}", "title": "Access denied", "message":
                                f"You'll need additional permissions to perform this action. Permissions needed: {words}"}, JSON_UTF8)

    @staticmethod
    def new_uid():
        return "".join(random.choices(UID_SIGNS, k=9))


class Ids:
    """Grafana's own numbers."""

    def __init__(self):
        self.next = 1

    def take(self):
        self.next += 1
        return self.next - 1


class Sources:
    """Data sources. all: {uid: the data source as GET of one gives it}"""

    ROUTES = [("GET", "/api/datasources", "list"), ("POST", "/api/datasources", "create"),
              ("GET", "/api/datasources/uid/{}", "by_uid"), ("PUT", "/api/datasources/uid/{}", "replace"),
              ("DELETE", "/api/datasources/uid/{}", "delete"), ("GET", "/api/datasources/name/{}", "by_name")]
    TEXTS = ("name", "type", "access", "url", "uid", "user", "database", "basicAuthUser")
    TYPES = {**{name: str for name in TEXTS}, "basicAuth": bool, "withCredentials": bool, "isDefault": bool, "version": int,
             "secureJsonData": dict}
    REQUIRED = ("name", "type", "access")

    def __init__(self, org):
        self.org, self.all, self.ids = org, {}, Ids()

    def list(self, call):
        self.org.need(call, "datasources:read")
        return [self._row(one) for one in sorted(self.all.values(), key=lambda one: (one["name"].lower(), one["name"]))]

    @staticmethod
    def _row(source):
        kept = {key: value for key, value in source.items()
                if key not in ("basicAuthUser", "withCredentials", "secureJsonFields", "version")}
        known = source["type"] == "prometheus"
        return {**kept, "typeName": "Prometheus" if known else source["type"], "typeLogoUrl":
                "public/app/plugins/datasource/prometheus/img/prometheus_logo.svg" if known else "public/img/icn-datasource.svg"}

    def _find(self, uid):
        if uid not in self.all:
            raise refuse(404, "Data source not found")
        return self.all[uid]

    def by_uid(self, call):
        self.org.need(call, "datasources:read", scopes=[f"datasources:uid:{call.args[0]}"])
        return self._find(call.args[0])

    def by_name(self, call):
        self.org.need(call, "datasources:read")
        return self._find(next((uid for uid, one in self.all.items() if one["name"] == call.args[0]), None))

    def _keep(self, wanted, uid, number, version, secrets=()):
        source = {"id": number, "uid": uid, "orgId": 1, "typeLogoUrl": "", "jsonData": wanted.get("jsonData", {}), "version": version,
                  "secureJsonFields": {key: True for key in (*secrets, *wanted.get("secureJsonData", {}))}, "readOnly": False,
                  **{key: wanted.get(key, "") for key in self.TEXTS if key != "uid"},
                  **{key: wanted.get(key, False) for key in ("basicAuth", "withCredentials", "isDefault")}}
        if source["isDefault"]:
            for other in self.all.values():
                other["isDefault"] = False
        self.all[uid] = source
        return source

    def _answer(self, source, message):
        return {"datasource": source, "id": source["id"], "message": message, "name": source["name"]}

    @staticmethod
    def _check_url(wanted):
        url = wanted.get("url", "")
        if url.startswith(":"):
            raise refuse(400, "Validation error, invalid URL", traceID="")
        if url and not re.match(r"https?://[^/]", url):
            raise NotRecorded(f"the URL {url} of a data source")

    def create(self, call):
        self.org.need(call, "datasources:create")
        wanted = call.body(self.REQUIRED, **self.TYPES)
        if any(one["name"] == wanted["name"] for one in self.all.values()):
            raise refuse(409, "data source with the same name already exists", traceID="")
        uid = wanted.get("uid") or self.org.new_uid()
        if uid in self.all:
            raise refuse(409, "data source with the same uid already exists", traceID="")
        self._check_url(wanted)
        self.org.count("data_source", len(self.all))
        return self._answer(self._keep(wanted, uid, self.ids.take(), 1), "Datasource added")

    def replace(self, call):
        """A field that the body leaves out is reset, isDefault too, but for secrets, which stay; a version refuses when it is older than what
        is there."""
        uid = call.args[0]
        self.org.need(call, "datasources:write", scopes=[f"datasources:uid:{uid}"])
        wanted = call.body(self.REQUIRED, **self.TYPES)
        old = self._find(uid)
        if old["readOnly"]:
            unproven("data source: put a provisioned one")
            raise refuse(403, "Cannot update read-only data source")
        self._check_url(wanted)
        if wanted.get("version") and wanted["version"] < old["version"]:
            raise refuse(409, "Datasource has already been updated by someone else. Please reload and try again", traceID="")
        if any(one["name"] == wanted["name"] for one in self.all.values() if one is not old):
            raise NotRecorded("PUT of a data source with the name of another")
        new = wanted.get("uid") or uid
        if new != uid and new in self.all:
            raise NotRecorded("PUT of a data source to the uid of another")
        del self.all[uid]
        return self._answer(self._keep(wanted, new, old["id"], wanted.get("version", 0) + 1, old["secureJsonFields"]), "Datasource updated")

    def delete(self, call):
        self.org.need(call, "datasources:delete", scopes=[f"datasources:uid:{call.args[0]}"])
        source = self._find(call.args[0])
        del self.all[call.args[0]]
        return {"id": source["id"], "message": "Data source deleted"}

    def provision(self, uid, name, url):
        """As if a file of Grafana's own had it."""
        self._keep({"name": name, "type": "prometheus", "access": "proxy", "url": url, "isDefault": True}, uid, self.ids.take(), 1)
        self.all[uid]["readOnly"] = True

    def default(self):
        return next((one for one in self.all.values() if one["isDefault"]), None)
