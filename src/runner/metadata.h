/* metadata.h - what a task may read of itself: task metadata v2 to v4, and the introspection's look at all tasks
 * (agent-protocol 7.2, 7.5). Made from the brain's records and what is known of the network; makes no calls. */
#pragma once
#include "agent/agent.h"
#include "api/metadata.h"

struct metadata_view {
	struct str task_id;
	const struct agent_task *task;
	struct str cluster, volumes;                     /* volumes: folder of the task's own ones */
	int version;                                     /* 2, 3, 4 */
	/* IPv4 addresses of a container's own network; 0 when it has none, or does not run. */
	size_t (*addresses)(void *arg, struct str task_id, struct str container, struct arena *arena, struct str **ret_texts);
	/* Whether it has a network and a name by now, though the brain may not have heard of its start. */
	bool (*is_here)(void *arg, struct str task_id, struct str container);
	void *arg;
};

/* Members borrow from the task's record. */
struct metadata_task *metadata_task(const struct metadata_view *view, struct arena *arena);
/* NULL when there is none of that name. */
struct metadata_container *metadata_container(const struct metadata_view *view, struct str name, struct arena *arena);
struct metadata_seen_task metadata_seen_task(const struct metadata_view *view, struct arena *arena);

struct str metadata_docker_name(const struct metadata_view *view, struct str container, struct arena *arena);
