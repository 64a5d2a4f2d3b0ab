/* settings.h - what the stock agent is configured by, read the same way (agent-protocol 1.1).
 *
 * ECS_* variables of the environment come first, then those of /etc/ecs/ecs.config, then the default. A value
 * that cannot be read is an error that names the variable, not a silent default. */
#pragma once
#include "agent/agent.h"
#include "host/image.h"
#include "runner/runner.h"

enum { SETTINGS_FILE_LIMIT = 1 << 20, SETTINGS_ENTRIES_LIMIT = 1000 };

struct settings {
	struct agent_options agent;                      /* points into the arena */
	struct ecs_attributes attributes, user_attributes;
	struct ecs_tags tags;
	struct str backend_host, region;                 /* absent when not set */
	struct str pull_behavior;
	struct image_logins logins;
	uint16_t port_low, port_high;
	int64_t introspection_port;                      /* 0: none */
	bool disable_metrics, disable_health;
};

/* Of our own, besides what the stock agent knows: WHERRY_FARGATE gives the machine to the provider's pool for Fargate tasks,
 * beside its cluster ("also", as `wherry up` sets it) or instead of one ("only": `wherry agent --fargate`). Otherwise than the
 * stock agent, ECS_ENABLE_GPU_SUPPORT is on when nobody says: a machine with devices offers them. */

/* `file`: usually /etc/ecs/ecs.config; fine when there is none. */
bool settings_read(const char *file, struct arena *arena, struct settings *ret_settings, struct error *err);

/* "1h30m", "45s", "500ms": Go's durations. */
bool settings_duration(struct str text, usec *ret_span);
