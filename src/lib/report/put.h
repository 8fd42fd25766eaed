/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>
#include <json-glib/json-glib.h>
#include <stdbool.h>
#include <stdint.h>

/* A member and its value, of the object that builder is in. */
void put_number(JsonBuilder *builder, const char *member, int64_t number);
void put_size(JsonBuilder *builder, const char *member, uint64_t size);
void put_bool(JsonBuilder *builder, const char *member, bool value);
void put_null(JsonBuilder *builder, const char *member);
void put_time(JsonBuilder *builder, const char *member, int64_t when); /* 0: null */
void put_text(JsonBuilder *builder, const char *member, const char *text);
void put_name(JsonBuilder *builder, const char *member, const char *name);

/* The name of a user or group, which ask() knows and names remembers; null: there is none. */
typedef char *(*NameOf)(guint id);
void put_owner(JsonBuilder *builder, const char *member, GHashTable *names, NameOf ask, guint id);
