/* container.h - what the agent protocol says of one container, decoded and checked.
 *
 * The protocol carries docker's words as JSON inside strings (agent-protocol 3.4). What this host cannot do
 * is refused here with a reason for the container, never passed over. */
#pragma once
#include "api/acs.h"
#include "api/docker.h"
#include "api/oci.h"
#include "base/arena.h"
#include "base/error.h"
#include "base/time.h"
#include "host/log_options.h"

enum {
	CONTAINER_ARGUMENTS_LIMIT = 4096,
	CONTAINER_MOUNTS_LIMIT = 256,
	CONTAINER_GPUS_LIMIT = 32,
};

enum container_network { NETWORK_BRIDGE, NETWORK_HOST, NETWORK_NONE, NETWORK_TASK };     /* TASK: awsvpc, its own interface */

struct container {
	const struct acs_task *task;
	const struct acs_container *acs;
	const struct docker_config *config;
	const struct docker_host_config *host;
	enum container_network network;
	bool shares_pid, shares_ipc;                     /* with the task's other containers */
	bool own_users;                                  /* in the task's user namespace: launch type FARGATE */
	struct oci_strings gpus;                         /* ids */
	struct oci_strings command;                      /* with the override; absent: the image's */
	struct log_options log;
	int64_t memory_bytes;                            /* 0: none */
};

/* Error texts are whole reasons: "HostConfigError: …" (agent-protocol 5.3). */
bool container_decode(const struct acs_task *task, const struct acs_container *acs, struct arena *arena,
		      struct container *ret_container, struct error *err);

const struct acs_volume *container_find_volume(const struct acs_task *task, struct str name);
/* Names and paths that mean one folder only. */
bool container_check_volume(const struct acs_volume *volume, struct error *err);

/* Of a task: launch type FARGATE, networkMode awsvpc. */
bool container_is_fargate(const struct acs_task *task);
bool container_has_interface(const struct acs_task *task);
/* The bytes of /dev/shm, docker's default included. */
int64_t container_memory_file_bytes(const struct docker_host_config *host);

/* How long a health check may take; 0: there is none. */
usec container_probe_timeout(const struct container *container);

/* One mount of a container, its own or taken over by volumesFrom. */
struct container_mount {
	struct str volume, path;
	bool read_only;
};

/* In order; what stands later covers what it shares a path with. */
bool container_mounts(const struct acs_task *task, const struct acs_container *container, struct arena *arena,
		      struct container_mount **ret_mounts, size_t *ret_count, struct error *err);
