# SPDX-License-Identifier: Apache-2.0
"""Folders and dashboards of the Grafana of the tests (grafana_state.py says how it was made). A folder is a dashboard to Grafana 9: both share
numbers, uids and slugs, and a folder answers under its uid on the dashboards' routes."""
import re
import unicodedata

from grafana_state import Ids, moment, refuse, to_second
from grafana_unproven import NotRecorded, unproven


def slug(title):
    """The slug of a title, as it stands in URLs; titles of one slug count as the same. Recorded: letters, digits, spaces, "?", and that other scripts vanish."""
    if not re.fullmatch(r"[A-Za-z0-9 ?]*", title):
        unproven("slug: other characters")
    plain = unicodedata.normalize("NFD", title.lower().replace("ß", "ss"))
    plain = "".join(one for one in plain if not unicodedata.combining(one))
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")


class Dashboards:
    """Folders and dashboards, which share their numbers. folders: {uid: as GET gives it}
    all: {uid: {"model": the dashboard, "folder": uid or "", "created", "updated", "versions": [(version, message, model)]}}"""

    ROUTES = [("GET", "/api/search", "search"), ("POST", "/api/dashboards/db", "save"), ("GET", "/api/dashboards/uid/{}", "get"),
              ("DELETE", "/api/dashboards/uid/{}", "delete"), ("GET", "/api/folders", "list_folders"),
              ("POST", "/api/folders", "create_folder"), ("GET", "/api/folders/{}", "get_folder"),
              ("GET", "/api/folders/id/{}", "get_folder_by_id")]

    def __init__(self, org):
        self.org, self.all, self.folders, self.ids = org, {}, {}, Ids()

    # ---- Folders ----

    def _folder_url(self, folder):
        return f"{self.org.url_prefix}/dashboards/f/{folder['uid']}/{slug(folder['title'])}"

    def _readable_folders(self, call):
        return [one for one in self.folders.values() if self.org.may(call, "folders:read", scopes=[f"folders:uid:{one['uid']}"])]

    def list_folders(self, call):
        limit, page = call.number("limit", 1000), call.number("page", 1)
        found = sorted(self._readable_folders(call), key=lambda one: one["title"].lower())
        return [{key: one[key] for key in ("id", "uid", "title")} for one in found[limit * (page - 1):limit * page]]

    def create_folder(self, call):
        self.org.need(call, "folders:create")
        wanted = call.body(uid=str, title=str)
        title = wanted.get("title", "").strip()
        uid = self._wanted_uid(wanted) or self.org.new_uid()
        if not title:
            raise refuse(400, "folder title cannot be empty")
        if uid == "general":
            raise refuse(500, "Folder API error", traceID="")
        if uid in self.folders or uid in self.all:
            raise refuse(412, "the folder has been changed by someone else", status="version-mismatch")
        if slug(title) in self._general_slugs():
            raise refuse(409, "a folder or dashboard in the general folder with the same name already exists")
        return self._make_folder(uid, title)

    def _general_slugs(self):
        return [slug(one["title"]) for one in self.folders.values()] + [
            slug(one["model"]["title"]) for one in self.all.values() if not one["folder"]]

    def _make_folder(self, uid, title):
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
        for folder in self.folders.values():
            if folder["id"] == command["folderId"]:
                return folder["uid"]
        raise refuse(404, "Folder not found", traceID="")

    def save(self, call):
        self.org.need(call, "dashboards:create", "dashboards:write")
        command = call.body(["dashboard"], overwrite=bool, message=str, folderId=int, folderUid=str, isFolder=bool)
        model = command["dashboard"]
        folder = self._wanted_folder(command)
        if not isinstance(model, dict) or not str(model.get("title") or "").strip():
            raise refuse(400, "Dashboard title cannot be empty", status="empty-name")
        model = {**model, "title": str(model["title"]).strip()}
        if command.get("isFolder"):
            return self._save_folder(model)
        uid = self._replaced(model, self._wanted_uid(model), folder, command.get("overwrite", False))
        when = to_second(moment())
        kept = self.all.get(uid)
        if not kept:
            self.org.count("dashboard", len(self.all) + len(self.folders))
        model |= {"uid": uid, "id": kept["model"]["id"] if kept else self.ids.take(),
                  "version": kept["model"]["version"] + 1 if kept else 1}
        self.all[uid] = {"model": model, "folder": folder, "created": kept["created"] if kept else when, "updated": when,
                         "versions": [*(kept["versions"] if kept else []), (model["version"], command.get("message", ""), model)]}
        if any(isinstance(panel, dict) and panel.get("libraryPanel") for panel in model.get("panels") or []):
            raise refuse(500, "Error while connecting library panels", traceID="")
        return {"id": model["id"], "uid": uid, "url": self._url(model), "slug": slug(model["title"]), "status": "success",
                "version": model["version"]}

    def _save_folder(self, model):
        uid = self._wanted_uid(model)
        if not uid or uid in self.folders or uid in self.all or slug(model["title"]) in self._general_slugs():
            raise NotRecorded("a folder by way of the dashboards' route that is there, or has no uid")
        folder = self._make_folder(uid, model["title"])
        return {"id": folder["id"], "uid": uid, "url": folder["url"], "slug": slug(folder["title"]), "status": "success", "version": 1}

    def _by_id(self, number):
        found = next((one for one in self.all.values() if one["model"]["id"] == number), None)
        if found is None:
            if number in [one["id"] for one in self.folders.values()]:
                raise NotRecorded("a dashboard with the id of a folder")
            raise refuse(404, "Dashboard not found", status="not-found")
        return found

    def _replaced(self, model, uid, folder, overwrite):
        """The uid to write at: of the dashboard that is replaced, or a new one. An id that is not a number counts as none."""
        old = None
        if uid in self.folders:
            unproven("dashboard: uid of a folder")
            raise refuse(400, "Dashboard cannot be changed to a folder")
        if model.get("id") and isinstance(model["id"], int):
            old = self._by_id(model["id"])
            if uid and uid != old["model"]["uid"] and uid in self.all:
                unproven("dashboard: id and uid of two")
                raise refuse(400, "A dashboard with the same uid already exists")
        elif uid in self.all:
            old = self.all[uid]
        if old and old.get("provisioned"):
            raise refuse(400, "Cannot save provisioned dashboard")
        if old and not overwrite and model.get("version") != old["model"]["version"]:
            raise refuse(412, "The dashboard has been changed by someone else", status="version-mismatch")
        if slug(model["title"]) in [slug(one["title"]) for one in self.folders.values()]:
            if folder:
                raise NotRecorded("a dashboard in a folder with the title of a folder")
            raise refuse(400, "Dashboard name cannot be the same as folder", status="name-match")
        for one in self.all.values():
            if slug(one["model"]["title"]) == slug(model["title"]) and one["folder"] == folder and one is not old:
                if not overwrite:
                    raise refuse(412, "A dashboard with the same name in the folder already exists", status="name-exists")
                old = one
        return old["model"]["uid"] if old else uid or self.org.new_uid()

    def provision(self, uid, title):
        """As if a file of Grafana's own had it."""
        when = to_second(moment())
        model = {"uid": uid, "title": title, "id": self.ids.take(), "version": 1, "panels": []}
        self.all[uid] = {"model": model, "folder": "", "created": when, "updated": when, "versions": [], "provisioned": True}

    def _url(self, model):
        return f"{self.org.url_prefix}/d/{model['uid']}/{slug(model['title'])}"

    def _scopes(self, uid):
        folder = self.all[uid]["folder"] if uid in self.all else ""
        return [f"dashboards:uid:{uid}", f"folders:uid:{folder or 'general'}"]

    def _find(self, call, action):
        """(the dashboard, is it a folder)"""
        uid = call.args[0]
        self.org.need(call, action, scopes=self._scopes(uid))
        if uid in self.folders:
            folder = self.folders[uid]
            model = {"id": folder["id"], "schemaVersion": 17, "title": folder["title"], "uid": uid, "version": folder["version"]}
            return {"model": model, "folder": "", "created": folder["created"], "updated": folder["updated"]}, True
        if uid not in self.all:
            raise refuse(404, "Dashboard not found", traceID="")
        return self.all[uid], False

    def get(self, call):
        found, is_folder = self._find(call, "dashboards:read")
        model, folder = found["model"], self.folders.get(found["folder"])
        writes = self.org.may(call, "dashboards:write", scopes=self._scopes(model["uid"]))
        notes = {"canAdd": writes, "canEdit": writes, "canDelete": writes}
        meta = {"type": "db", "canSave": writes, "canEdit": writes, "canAdmin": call.role == "admin", "canStar": True, "canDelete": writes,
                "slug": slug(model["title"]), "url": self._folder_url(model) if is_folder else self._url(model),
                "expires": "0001-01-01T00:00:00Z", "created": found["created"],
                "updated": found["updated"], "updatedBy": "Anonymous", "createdBy": "Anonymous", "version": model["version"],
                "hasAcl": False, "isFolder": is_folder, "folderId": folder["id"] if folder else 0, "folderUid": found["folder"],
                "folderTitle": folder["title"] if folder else "General", "folderUrl": self._folder_url(folder) if folder else "",
                "provisioned": False, "provisionedExternalId": "", "annotationsPermissions": {"dashboard": notes, "organization": notes},
                "hasPublicDashboard": False, "publicDashboardAccessToken": "", "publicDashboardUid": "", "publicDashboardEnabled": False}
        if found.get("provisioned"):
            unproven("dashboard: get a provisioned one")
            meta["provisioned"] = True
        return {"meta": meta, "dashboard": model}

    def delete(self, call):
        found, is_folder = self._find(call, "dashboards:delete")
        model = found["model"]
        if found.get("provisioned"):
            unproven("dashboard: delete a provisioned one")
            raise refuse(400, "provisioned dashboard cannot be deleted")
        if is_folder:
            self._delete_folder(model["uid"])
        else:
            del self.all[model["uid"]]
        return {"id": model["id"], "message": f"Dashboard {model['title']} deleted", "title": model["title"]}

    def _delete_folder(self, uid):
        del self.folders[uid]
        for one in [key for key, found in self.all.items() if found["folder"] == uid]:
            del self.all[one]
        inside = [key for key, rule in self.org.rules.all.items() if rule["folderUID"] == uid]
        if inside:
            unproven("rule: folder by dashboards")
        for one in inside:
            del self.org.rules.all[one]

    # ---- Search ----

    FILTERS = ("type", "limit", "page", "query", "tag", "folderIds", "dashboardUIDs")

    def search(self, call):
        unknown = set(call.query) - set(self.FILTERS)
        if unknown or call.query.get("type", ["dash-db"]) != ["dash-db"]:
            raise NotRecorded(f"a search by {', '.join(sorted(unknown)) or 'type'}")
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
        return (query.get("type", [hit["type"]])[0] == hit["type"] and query.get("query", [""])[0].lower() in hit["title"].lower()
                and set(query.get("tag", [])) <= set(hit["tags"])
                and hit["uid"] in query.get("dashboardUIDs", [hit["uid"]])
                and str(hit.get("folderId", 0)) in query.get("folderIds", [str(hit.get("folderId", 0))]))

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
