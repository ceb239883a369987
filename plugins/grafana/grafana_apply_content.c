/* SPDX-License-Identifier: Apache-2.0 */
/* grafana_apply_content: reads the folder of shipped content. Called by grafana_apply.c, on the thread of the
 * request. An administrator may put any file there: files are bounded, and a bad file is named in its item
 * and does not keep the others from being applied. */
#include "grafana_apply.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "grafana_rule.h"
#include <skymon/json.h>

#define FILE_MAX (1 << 20)
#define CONTENT_MAX (8u << 20) /* of all files; their trees take several times as much */

void apply_failed(struct apply_item *item, int code, const char *format, ...)
{
	va_list list;
	va_start(list, format);
	char text[2 * sizeof(item->message)];
	vsnprintf(text, sizeof(text), format, list);
	va_end(list);
	grafana_clean(text, item->message, sizeof(item->message));
	item->result = "failed";
	item->code = code;
}

/* Writes a sentence to `why` and returns false. */
__attribute__((format(printf, 3, 4))) static bool set_reason(char *why, size_t size, const char *format, ...)
{
	va_list list;
	va_start(list, format);
	vsnprintf(why, size, format, list);
	va_end(list);
	return false;
}

/* ---- One file ---- */

/* Returns all bytes of a regular file of at most FILE_MAX, or NULL with the reason in `why`. */
static char *read_file(const char *path, size_t *size, char *why, size_t why_size)
{
	struct stat about;
	char *bytes = NULL;
	ssize_t got = 0;
	int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (file < 0 || fstat(file, &about) != 0)
		set_reason(why, why_size, "cannot be read: %s", strerror(errno));
	else if (!S_ISREG(about.st_mode))
		set_reason(why, why_size, "is not a regular file");
	else if ((bytes = malloc(FILE_MAX + 1)) == NULL)
		set_reason(why, why_size, "out of memory");
	for (*size = 0; bytes != NULL && *size <= FILE_MAX; *size += (size_t)got)
		if ((got = read(file, bytes + *size, FILE_MAX + 1 - *size)) <= 0)
			break;
	if (bytes != NULL && (got < 0 || *size > FILE_MAX)) {
		if (got < 0)
			set_reason(why, why_size, "cannot be read: %s", strerror(errno));
		else
			set_reason(why, why_size, "is larger than %d bytes", FILE_MAX);
		free(bytes);
		bytes = NULL;
	}
	if (file >= 0)
		close(file);
	return bytes;
}

static json_t *read_json(const char *path, size_t *total, char *why, size_t why_size)
{
	size_t size;
	char *bytes = read_file(path, &size, why, why_size);
	if (bytes == NULL)
		return NULL;
	json_t *value = NULL;
	*total += size;
	json_error_t error;
	if (*total > CONTENT_MAX)
		set_reason(why, why_size,
			   "is too large: together with the files before it more than %u bytes", CONTENT_MAX);
	else if (skymon_json_is_deep(bytes, size))
		set_reason(why, why_size, "is nested deeper than %d", SKYMON_JSON_DEPTH);
	else if ((value = json_loadb(bytes, size, JSON_REJECT_DUPLICATES, &error)) == NULL)
		set_reason(why, why_size, "line %d, column %d: %s", error.line, error.column, error.text);
	free(bytes);
	return value;
}

/* ---- Validation ---- */

/* Validates a rule as a posted one, and fills in its defaults. */
static bool validate_rule(struct apply_item *item, char *why, size_t size)
{
	struct grafana_fault fault = {0};
	json_t *rule = grafana_rule_read(item->shipped, &fault);
	if (rule == NULL) {
		set_reason(why, size, "%s", fault.detail);
		grafana_forget(&fault);
		return false;
	}
	json_decref(item->shipped);
	item->shipped = rule;
	const char *folder = skymon_json_text(rule, "folderUID");
	/* Grafana accepts a rule of a folder that does not exist, and never shows it. */
	return (folder != NULL && strcmp(folder, GRAFANA_FOLDER) == 0) ||
	       set_reason(why, size, "/folderUID must be " GRAFANA_FOLDER ", the folder that is made for it");
}

static bool require_text(const struct apply_item *item, const char *key, char *why, size_t size)
{
	const char *text = skymon_json_text(item->shipped, key);
	return (text != NULL && *text != '\0') ||
	       set_reason(why, size, "/%s must be a text that is not empty", key);
}

static bool validate_item(struct apply_item *item, char *why, size_t size)
{
	if (!json_is_object(item->shipped))
		return set_reason(why, size, "must hold a JSON object");
	const char *uid = skymon_json_text(item->shipped, "uid");
	const char *fault = uid != NULL ? grafana_uid_fault(uid) : "must be a text";
	if (fault != NULL)
		return set_reason(why, size, "/uid %s", fault);
	if (item->kind == APPLY_IS_RULE)
		return validate_rule(item, why, size);
	if (item->kind == APPLY_IS_SOURCE)
		return require_text(item, "name", why, size) && require_text(item, "type", why, size);
	return require_text(item, "title", why, size);
}

static bool is_unique(const struct apply_list *list, const struct apply_item *item, char *why, size_t size)
{
	for (size_t i = 0; i < list->count; i++) {
		const struct apply_item *other = &list->items[i];
		if (other->kind == item->kind && other->shipped != NULL && strcmp(other->uid, item->uid) == 0)
			return set_reason(why, size, "/uid is also that of %s", other->file);
	}
	return true;
}

static void add_file(struct apply_list *list, enum apply_kind kind, const char *folder, const char *inner,
		     const char *name)
{
	struct apply_item *item = &list->items[list->count];
	item->kind = kind;
	snprintf(item->file, sizeof(item->file), "%s%s%s", inner, *inner != '\0' ? "/" : "", name);
	char path[4096];
	snprintf(path, sizeof(path), "%s/%s", folder, item->file);
	char why[400];
	item->shipped = read_json(path, &list->bytes, why, sizeof(why));
	bool good = item->shipped != NULL && validate_item(item, why, sizeof(why));
	if (good) {
		item->uid = skymon_json_text(item->shipped, "uid");
		item->title = skymon_json_text(item->shipped, kind == APPLY_IS_SOURCE ? "name" : "title");
		good = is_unique(list, item, why, sizeof(why));
	}
	if (!good) {
		json_decref(item->shipped);
		item->shipped = NULL;
		item->uid = "";
		grafana_clean(item->file, item->shown, sizeof(item->shown));
		item->title = item->shown;
		apply_failed(item, 500, "%s %s; correct the file", path, why);
	}
	list->count++;
}

/* ---- The folder ---- */

static int is_json(const struct dirent *entry)
{
	const char *end = strrchr(entry->d_name, '.');
	return entry->d_name[0] != '.' && end != NULL && strcmp(end, ".json") == 0;
}

static int by_name(const struct dirent **left, const struct dirent **right)
{
	return strcmp((*left)->d_name, (*right)->d_name); /* alphasort would depend on the locale */
}

/* A folder that does not exist has no files. */
static bool add_files(struct apply_list *list, enum apply_kind kind, const char *folder, const char *inner,
		      char *why, size_t size)
{
	char path[4096];
	struct dirent **names = NULL;
	snprintf(path, sizeof(path), "%s/%s", folder, inner);
	int count = scandir(path, &names, is_json, by_name);
	if (count < 0 && errno == ENOENT)
		return true;
	if (count < 0)
		return set_reason(why, size, "cannot read the folder %s: %s", path, strerror(errno));
	bool fits = list->count + (size_t)count <= APPLY_ITEMS_MAX;
	if (!fits)
		set_reason(why, size, "%s has more than %d files; remove some", folder, APPLY_ITEMS_MAX);
	for (int i = 0; i < count; i++) {
		if (fits)
			add_file(list, kind, folder, inner, names[i]->d_name);
		free(names[i]);
	}
	free(names);
	return fits;
}

bool apply_read(const char *folder, const char *prometheus_url, struct apply_list *list, char *why,
		size_t size)
{
	*list = (struct apply_list){.items = calloc(APPLY_ITEMS_MAX + 2, sizeof(*list->items))};
	if (list->items == NULL)
		return set_reason(why, size, "out of memory for reading %s", folder);
	struct apply_item *item = &list->items[list->count++];
	item->kind = APPLY_IS_FOLDER;
	item->shipped = json_pack("{s:s, s:s}", "uid", GRAFANA_FOLDER, "title", GRAFANA_FOLDER_TITLE);
	item->uid = GRAFANA_FOLDER;
	item->title = GRAFANA_FOLDER_TITLE;
	char path[4096];
	snprintf(path, sizeof(path), "%s/datasource.json", folder);
	if (access(path, F_OK) == 0) {
		add_file(list, APPLY_IS_SOURCE, folder, "", "datasource.json");
		item = &list->items[list->count - 1];
		if (item->shipped != NULL)
			json_object_set_new(item->shipped, "url", json_string(prometheus_url));
	}
	if (!add_files(list, APPLY_IS_DASHBOARD, folder, "dashboards", why, size) ||
	    !add_files(list, APPLY_IS_RULE, folder, "rules", why, size))
		return false;
	if (list->count == 1)
		return set_reason(why, size,
				  "%s has nothing to apply: no datasource.json, no dashboards, no rules; set "
				  "the option "
				  "`content` to a folder with content",
				  folder);
	return true;
}

void apply_list_free(struct apply_list *list)
{
	for (size_t i = 0; list->items != NULL && i < list->count; i++) {
		json_decref(list->items[i].shipped);
		json_decref(list->items[i].differences);
	}
	free(list->items);
	*list = (struct apply_list){0};
}
