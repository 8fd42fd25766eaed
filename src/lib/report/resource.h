/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <json-glib/json-glib.h>
#include <segfs/resource.h>

/* Members of the object that builder is in: all of a set or queue that caller may know. */
void put_resource(JsonBuilder *builder, SegfsIpc *ipc, const SegfsCaller *caller,
		  const SegfsResource *resource, const SegfsResourceUse *use);
