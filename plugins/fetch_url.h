/* fetch's own: what fetch.c, fetch_url.c and fetch_files.c share. Nobody else includes this. */
#ifndef FETCH_URL_H
#define FETCH_URL_H

#include <curl/curl.h>

#include "fetch.h"

CURLU *fetch_parse(const char *text);             /* NULL: it is no URL; else for curl_url_cleanup */
char *fetch_part(CURLU *url, CURLUPart part);     /* NULL: there is none; else for curl_free */
const char *fetch_given_proxy(const char *proxy); /* NULL: none */
bool fetch_files_are_readable(const struct skymon_tls *tls, struct fetch_fault *fault);

#endif
