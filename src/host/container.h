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

enum {
	CONTAINER_ARGUMENTS_LIMIT = 4096,
	CONTAINER_MOUNTS_LIMIT = 256,
};

enum container_network { NETWORK_BRIDGE, NETWORK_HOST, NETWORK_NONE };

struct container {
	const struct acs_task *task;
	const struct acs_container *acs;
	const struct docker_config *config;
	const struct docker_host_config *host;
	enum container_network network;
	struct oci_strings command;                      /* with the override; absent: the image's */
	bool log_file;                                   /* false: driver none */
	int64_t memory_bytes;                            /* 0: none */
};

/* Error texts are whole reasons: "HostConfigError: …" (agent-protocol 5.3). */
bool container_decode(const struct acs_task *task, const struct acs_container *acs, struct arena *arena,
		      struct container *ret_container, struct error *err);

const struct acs_volume *container_find_volume(const struct acs_task *task, struct str name);
