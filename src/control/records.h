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
	X(CLIENT_TOKEN,      10, client_token) \
	X(NETWORK_DEFAULTS,  11, network_defaults) \
	X(VPC,               12, vpc) \
	X(SUBNET,            13, subnet) \
	X(SECURITY_GROUP,    14, security_group) \
	X(NETWORK_INTERFACE, 15, network_interface) \
	X(ROUTE_TABLE,       16, route_table) \
	X(INTERNET_GATEWAY,  17, internet_gateway) \
	X(ELASTIC_ADDRESS,   18, elastic_address) \
	X(FILE_SYSTEM,       20, file_system) \
	X(MOUNT_TARGET,      21, mount_target) \
	X(ACCESS_POINT,      22, access_point) \
	X(LOG_GROUP,         24, log_group) \
	X(LOG_STREAM,        25, log_stream)

enum record_kind {
#define X(name, number, type) RECORD_##name = number,
	RECORDS(X)
#undef X
	RECORD_KIND_LIMIT = 26
};

/* One change of one object. A NULL value deletes it. */
struct record {
	enum record_kind kind;
	struct str key;                                  /* ACCOUNT/REGION/… (api/state.api) */
	const void *value;
};

const struct shape *record_shape(uint32_t kind);         /* NULL: no such kind */
