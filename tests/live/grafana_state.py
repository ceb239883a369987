# SPDX-License-Identifier: Apache-2.0
"""What the Grafana of the tests knows and does, without its HTTP server (grafana_server.py): keys' roles, data sources, folders and
dashboards; alert rules are in grafana_rules.py. Made from the exchanges recorded with a real one (grafana_exchanges.json), which
test_grafana_double.py replays. What no exchange records follows Grafana's HTTP API documentation, and is marked "not recorded".

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

EXCHANGES = json.loads((pathlib.Path(__file__).parent / "grafana_exchanges.json").read_text())
JSON, JSON_UTF8 = "application/json", "application/json; charset=UTF-8"
UID_SIGNS = string.ascii_letters + string.digits + "-_"


def recorded(case):
    return next(row["response"]["body"] for row in EXCHANGES if row["case"] == case)


def slug(title):
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")


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
        """The body's object. As Go's decoder: null is the same as absent, any other wrong type is a bad request (not recorded, as is
        that a body without the JSON content type is one)."""
        if self.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            raise bad_request()
        try:
            found = json.loads(self.raw)
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
    """The one organisation. parts: what serves routes; each has ROUTES: [(method, path with {} for an argument, name of its method)]."""

    def __init__(self, url_prefix=""):
        self.lock = threading.RLock()
        self.url_prefix = url_prefix
        self.keys = {}  # key: role
        self.routes = [("GET", re.compile("/api/org$"), self._org),
                       ("GET", re.compile("/api/access-control/user/permissions$"), lambda call: self.permissions(call.role))]
        self.sources, self.dashboards = Sources(self), Dashboards(self)
        self.add(self.sources)
        self.add(self.dashboards)

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
            status, body = done if isinstance(done, tuple) else (200, done)
            return (status, None, b"") if body is None else (status, JSON, json.dumps(body).encode())

    def _authenticate(self, call):
        scheme, _, key = call.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not key:
            raise Refused(401, {"message": "Unauthorized"}, JSON_UTF8)
        if key not in self.keys:
            raise Refused(401, {"message": "invalid API key", "traceID": ""}, JSON_UTF8)
        call.role = self.keys[key]

    def _dispatch(self, call):
        for method, pattern, handler in self.routes:
            found = pattern.match(call.path)
            if found and method == call.method:
                call.args = tuple(urllib.parse.unquote(word) for word in found.groups())
                return handler(call)
        raise Refused(404, {"message": "Not found"}, JSON_UTF8)  # not recorded

    def _org(self, call):
        self.need(call, "orgs:read")
        return recorded("org: does the key work")

    def permissions(self, role):
        """As recorded for an empty Grafana. Not recorded, after Grafana's list of fixed roles: the editor's, and that a new folder, and a
        new dashboard in General, is there for viewers to read and for editors to write. It follows that of what is not there (404 for an
        admin) an editor and a viewer hear 403: nothing gives them that uid."""
        held = json.loads(json.dumps(recorded(f"permissions of {'an admin' if role == 'admin' else 'a viewer'} key")))

        def give(scope, *actions):
            for action in actions:
                held.setdefault(action, []).append(scope)

        if role == "admin":
            return held
        editor = role == "editor"
        if editor:
            give("folders:uid:general", "dashboards:create", "folders:read")
            give("", "folders:create", "datasources:explore", "alert.instances:create", "alert.instances:write",
                 "alert.notifications:write")
            give("folders:*", "alert.rules:create", "alert.rules:write", "alert.rules:delete")
            give("datasources:*", "alert.rules.external:write", "alert.instances.external:write", "alert.notifications.external:write")
            give("annotations:*", "annotations:create", "annotations:write", "annotations:delete")
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
    """Grafana's own numbers. They begin where the recording did, so that they follow from it."""

    def __init__(self, first):
        self.next = first

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
             "jsonData": dict, "secureJsonData": dict}
    REQUIRED = ("name", "type", "access")

    def __init__(self, org):
        self.org, self.all, self.ids = org, {}, Ids(3)

    def list(self, call):
        self.org.need(call, "datasources:read")
        return [self._row(one) for one in sorted(self.all.values(), key=lambda one: one["name"].lower())]

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
        if source["isDefault"]:  # not recorded
            for other in self.all.values():
                other["isDefault"] = False
        self.all[uid] = source
        return source

    def _answer(self, source, message):
        return {"datasource": source, "id": source["id"], "message": message, "name": source["name"]}

    def create(self, call):
        self.org.need(call, "datasources:create")
        wanted = call.body(self.REQUIRED, **self.TYPES)
        if any(one["name"] == wanted["name"] for one in self.all.values()):
            raise refuse(409, "data source with the same name already exists", traceID="")
        uid = wanted.get("uid") or self.org.new_uid()
        if uid in self.all:
            raise refuse(409, "data source with the same uid already exists", traceID="")
        return self._answer(self._keep(wanted, uid, self.ids.take(), 1), "Datasource added")

    def replace(self, call):
        """Not recorded. What the body leaves out is reset, isDefault too, but for secrets, which stay; a version refuses when it is
        older than what is there."""
        uid = call.args[0]
        self.org.need(call, "datasources:write", scopes=[f"datasources:uid:{uid}"])
        wanted = call.body(self.REQUIRED, **self.TYPES)
        old = self._find(uid)
        if wanted.get("version") and wanted["version"] < old["version"]:
            raise refuse(409, "Datasource has already been updated by someone else. Please reload and try again", traceID="")
        if any(one["name"] == wanted["name"] for one in self.all.values() if one is not old):
            raise refuse(409, "data source with the same name already exists", traceID="")
        new = wanted.get("uid") or uid
        if new != uid and new in self.all:
            raise refuse(409, "data source with the same uid already exists", traceID="")
        del self.all[uid]
        return self._answer(self._keep(wanted, new, old["id"], wanted.get("version", 0) + 1, old["secureJsonFields"]), "Datasource updated")

    def delete(self, call):
        """Not recorded."""
        self.org.need(call, "datasources:delete", scopes=[f"datasources:uid:{call.args[0]}"])
        source = self._find(call.args[0])
        del self.all[call.args[0]]
        return {"id": source["id"], "message": "Data source deleted"}

    def default(self):
        return next((one for one in self.all.values() if one["isDefault"]), None)


class Dashboards:
    """Folders and dashboards, which share their numbers. folders: {uid: as GET gives it}
    all: {uid: {"model": the dashboard, "folder": uid or "", "created", "updated", "versions": [(version, message, model)]}}"""

    ROUTES = [("GET", "/api/search", "search"), ("POST", "/api/dashboards/db", "save"), ("GET", "/api/dashboards/uid/{}", "get"),
              ("DELETE", "/api/dashboards/uid/{}", "delete"), ("GET", "/api/folders", "list_folders"),
              ("POST", "/api/folders", "create_folder"), ("GET", "/api/folders/{}", "get_folder"),
              ("GET", "/api/folders/id/{}", "get_folder_by_id")]

    def __init__(self, org):
        self.org, self.all, self.folders, self.ids = org, {}, {}, Ids(3)

    # ---- Folders ----

    def _folder_url(self, folder):
        return f"{self.org.url_prefix}/dashboards/f/{folder['uid']}/{slug(folder['title'])}"

    def _readable_folders(self, call):
        return [one for one in self.folders.values() if self.org.may(call, "folders:read", scopes=[f"folders:uid:{one['uid']}"])]

    def list_folders(self, call):
        """Not recorded."""
        limit, page = call.number("limit", 1000), call.number("page", 1)
        found = sorted(self._readable_folders(call), key=lambda one: one["title"].lower())
        return [{key: one[key] for key in ("id", "uid", "title")} for one in found[limit * (page - 1):limit * page]]

    def create_folder(self, call):
        self.org.need(call, "folders:create")
        wanted = call.body(uid=str, title=str)
        title = wanted.get("title", "").strip()
        uid = self._wanted_uid(wanted) or self.org.new_uid()
        if not title:  # not recorded
            raise refuse(400, "folder title cannot be empty")
        if uid in self.folders or uid in self.all:
            raise refuse(412, "the folder has been changed by someone else", status="version-mismatch")
        general = [one["model"]["title"] for one in self.all.values() if not one["folder"]]
        if title in [one["title"] for one in self.folders.values()] + general:
            raise refuse(409, "a folder or dashboard in the general folder with the same name already exists")
        when = moment()
        folder = {"id": self.ids.take(), "uid": uid, "title": title, "hasAcl": False, "canSave": True, "canEdit": True, "canAdmin": True,
                  "canDelete": True, "createdBy": "Anonymous", "created": to_second(when), "updatedBy": "Anonymous",
                  "updated": to_second(when), "version": 1}
        self.folders[uid] = {**folder, "url": self._folder_url(folder)}
        return {**self.folders[uid], "created": when, "updated": when}

    def _find_folder(self, call, uid):
        self.org.need(call, "folders:read", scopes=[f"folders:uid:{uid}"])
        if uid not in self.folders:
            raise refuse(404, "folder not found", status="not-found")
        writes = self.org.may(call, "folders:write", scopes=[f"folders:uid:{uid}"])
        return {**self.folders[uid], "canSave": writes, "canEdit": writes, "canAdmin": call.role == "admin", "canDelete": writes}

    def get_folder(self, call):
        return self._find_folder(call, call.args[0])

    def get_folder_by_id(self, call):
        """Not recorded."""
        return self._find_folder(call, next((uid for uid, one in self.folders.items() if str(one["id"]) == call.args[0]), ""))

    # ---- Dashboards ----

    @staticmethod
    def _wanted_uid(wanted):
        uid = wanted.get("uid") or ""
        if len(uid) > 40:
            raise refuse(400, "uid too long, max 40 characters")
        if not re.fullmatch("[A-Za-z0-9_-]*", uid):
            raise refuse(400, "uid contains illegal characters")
        return uid

    def _wanted_folder(self, command):
        if command.get("folderUid"):
            if command["folderUid"] not in self.folders:
                raise refuse(400, "Folder not found", traceID="")
            return command["folderUid"]
        if not command.get("folderId"):
            return ""
        for folder in self.folders.values():  # by number: not recorded
            if folder["id"] == command["folderId"]:
                return folder["uid"]
        raise refuse(400, "folder not found", status="not-found")

    def save(self, call):
        self.org.need(call, "dashboards:create", "dashboards:write")
        command = call.body(["dashboard"], overwrite=bool, message=str, folderId=int, folderUid=str)
        model = command["dashboard"]
        folder = self._wanted_folder(command)
        if not isinstance(model, dict) or not str(model.get("title") or "").strip():
            raise refuse(400, "Dashboard title cannot be empty", status="empty-name")
        model = {**model, "title": str(model["title"]).strip()}
        uid = self._replaced(model, self._wanted_uid(model), folder, command.get("overwrite", False))
        when = to_second(moment())
        kept = self.all.get(uid)
        model |= {"uid": uid, "id": kept["model"]["id"] if kept else self.ids.take(),
                  "version": kept["model"]["version"] + 1 if kept else 1}
        self.all[uid] = {"model": model, "folder": folder, "created": kept["created"] if kept else when, "updated": when,
                         "versions": [*(kept["versions"] if kept else []), (model["version"], command.get("message", ""), model)]}
        return {"id": model["id"], "uid": uid, "url": self._url(model), "slug": slug(model["title"]), "status": "success",
                "version": model["version"]}

    def _replaced(self, model, uid, folder, overwrite):
        """The uid to write at: of the dashboard that is replaced, or a new one."""
        old = None
        if model.get("id"):
            old = next((one for one in self.all.values() if one["model"]["id"] == model["id"]), None)
            if old is None:
                raise refuse(404, "Dashboard not found", status="not-found")
            if uid and uid != old["model"]["uid"] and uid in self.all:  # not recorded
                raise refuse(400, "A dashboard with the same uid already exists")
        elif uid in self.all:
            old = self.all[uid]
        if old and not overwrite and model.get("version") != old["model"]["version"]:
            raise refuse(412, "The dashboard has been changed by someone else", status="version-mismatch")
        if model["title"] in [one["title"] for one in self.folders.values()]:  # not recorded
            raise refuse(400, "Dashboard name cannot be the same as folder", status="name-match")
        for one in self.all.values():
            if one["model"]["title"] == model["title"] and one["folder"] == folder and one is not old:
                if not overwrite:
                    raise refuse(412, "A dashboard with the same name in the folder already exists", status="name-exists")
                old = one
        return old["model"]["uid"] if old else uid or self.org.new_uid()

    def _url(self, model):
        return f"{self.org.url_prefix}/d/{model['uid']}/{slug(model['title'])}"

    def _scopes(self, uid):
        folder = self.all[uid]["folder"] if uid in self.all else ""
        return [f"dashboards:uid:{uid}", f"folders:uid:{folder or 'general'}"]

    def _find(self, call, action):
        uid = call.args[0]
        self.org.need(call, action, scopes=self._scopes(uid))
        if uid not in self.all:
            raise refuse(404, "Dashboard not found", traceID="")
        return self.all[uid]

    def get(self, call):
        found = self._find(call, "dashboards:read")
        model, folder = found["model"], self.folders.get(found["folder"])
        writes = self.org.may(call, "dashboards:write", scopes=self._scopes(model["uid"]))
        notes = {"canAdd": writes, "canEdit": writes, "canDelete": writes}
        meta = {"type": "db", "canSave": writes, "canEdit": writes, "canAdmin": call.role == "admin", "canStar": True, "canDelete": writes,
                "slug": slug(model["title"]), "url": self._url(model), "expires": "0001-01-01T00:00:00Z", "created": found["created"],
                "updated": found["updated"], "updatedBy": "Anonymous", "createdBy": "Anonymous", "version": model["version"],
                "hasAcl": False, "isFolder": False, "folderId": folder["id"] if folder else 0, "folderUid": found["folder"],
                "folderTitle": folder["title"] if folder else "General", "folderUrl": self._folder_url(folder) if folder else "",
                "provisioned": False, "provisionedExternalId": "", "annotationsPermissions": {"dashboard": notes, "organization": notes},
                "hasPublicDashboard": False, "publicDashboardAccessToken": "", "publicDashboardUid": "", "publicDashboardEnabled": False}
        return {"meta": meta, "dashboard": model}

    def delete(self, call):
        model = self._find(call, "dashboards:delete")["model"]
        del self.all[model["uid"]]
        return {"id": model["id"], "message": f"Dashboard {model['title']} deleted", "title": model["title"]}

    # ---- Search ----

    def search(self, call):
        """Not recorded: folders, and the filters by tag, folder and uid; that a limit above 5000 is refused."""
        limit, page = call.number("limit", 1000), call.number("page", 1)
        if limit > 5000:
            raise refuse(422, "Limit is above maximum allowed (5000), use page parameter to access hits beyond limit")
        hits = [self._folder_hit(one) for one in self._readable_folders(call)]
        hits += [self._hit(one) for uid, one in self.all.items() if self.org.may(call, "dashboards:read", scopes=self._scopes(uid))]
        hits = [hit for hit in hits if self._wanted(hit, call.query)]
        hits.sort(key=lambda hit: (hit["type"] == "dash-db", hit["title"].lower()))
        return hits[limit * (page - 1):limit * page]

    @staticmethod
    def _wanted(hit, query):
        folder_uids = query.get("folderUIDs", []) + query.get("folderUids", [])
        return (query.get("type", [hit["type"]])[0] == hit["type"] and query.get("query", [""])[0].lower() in hit["title"].lower()
                and set(query.get("tag", [])) <= set(hit["tags"])
                and hit["uid"] in query.get("dashboardUIDs", [hit["uid"]])
                and str(hit.get("folderId", 0)) in query.get("folderIds", [str(hit.get("folderId", 0))])
                and (not folder_uids or hit.get("folderUid", "general") in folder_uids))

    def _folder_hit(self, folder):
        return {"id": folder["id"], "uid": folder["uid"], "title": folder["title"], "uri": f"db/{slug(folder['title'])}",
                "url": self._folder_url(folder), "slug": "", "type": "dash-folder", "tags": [], "isStarred": False, "sortMeta": 0}

    def _hit(self, found):
        model, folder = found["model"], self.folders.get(found["folder"])
        tags = sorted(tag for tag in model.get("tags") or [] if isinstance(tag, str))
        hit = {"id": model["id"], "uid": model["uid"], "title": model["title"], "uri": f"db/{slug(model['title'])}",
               "url": self._url(model), "slug": "", "type": "dash-db", "tags": tags, "isStarred": False, "sortMeta": 0}
        if folder:
            hit |= {"folderId": folder["id"], "folderUid": folder["uid"], "folderTitle": folder["title"],
                    "folderUrl": self._folder_url(folder)}
        return hit

    # ---- What a panel would ask ----

    def panel_source(self, model, panel):
        """(uid, None), or (None, what is wrong)."""
        wanted = panel.get("datasource")
        if isinstance(wanted, dict):
            wanted = wanted.get("uid")
        if wanted in (None, "", "default"):
            source = self.org.sources.default()
            return (source["uid"], None) if source else (None, "names no data source and the org has no default: it asks Grafana's own")
        variable = re.fullmatch(r"\$\{?(\w+)(?::\w+)?\}?", wanted)
        if variable:
            return self._variable_source(model, variable.group(1))
        for source in self.org.sources.all.values():
            if wanted in (source["uid"], source["name"]):
                return source["uid"], None
        return None, f"the data source {wanted!r} does not exist"

    def _variable_source(self, model, name):
        variable = next((one for one in model.get("templating", {}).get("list", []) if one.get("name") == name), None)
        if variable is None or variable.get("type") != "datasource":
            return None, f"the variable {name!r} is not one of type datasource of this dashboard"
        fitting = sorted((one for one in self.org.sources.all.values() if one["type"] == variable.get("query")),
                         key=lambda one: (not one["isDefault"], one["name"].lower()))
        current = (variable.get("current") or {}).get("value")
        chosen = [one for one in fitting if current in (one["uid"], one["name"])] or fitting
        return (chosen[0]["uid"], None) if chosen else (None, f"no data source of type {variable.get('query')!r} for the variable {name!r}")
