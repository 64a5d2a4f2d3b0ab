/* records.h - the kinds of objects that the control plane keeps.
 *
 * A record is the newest value of one object: kind, key, value (api/state.api). The numbers are stored: never
 * change or re-use one. Recovery reads kinds in this order, so what others point to comes first.
 * To add a kind: a struct in api/state.api, a row here, an entry type and its two index functions in its room. */
#pragma once
#include "api/state.h"

/*        kind                number  struct in api/state.api */
#define RECORDS(X) \
	X(CLUSTER,            1, cluster) \
	X(TASK_FAMILY,        2, task_family) \
	X(TASK_DEFINITION,    3, task_definition) \
	X(NODE,               4, node) \
	X(CONTAINER_INSTANCE, 5, container_instance) \
	X(SERVICE,            6, service) \
	X(SERVICE_EVENT,      7, service_event) \
	X(TASK,               8, task) \
	X(ACCOUNT_SETTING,    9, account_setting) \
	X(CLIENT_TOKEN,      10, client_token)

enum record_kind {
#define X(name, number, type) RECORD_##name = number,
	RECORDS(X)
#undef X
	RECORD_KIND_LIMIT = 11
};

/* One change of one object. A NULL value deletes it. */
struct record {
	enum record_kind kind;
	struct str key;                                  /* ACCOUNT/REGION/… (api/state.api) */
	const void *value;
};

const struct shape *record_shape(uint32_t kind);         /* NULL: no such kind */
