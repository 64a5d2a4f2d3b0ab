/* definition_checks.h - between definition_rules.c and definition_containers.c. */
#pragma once
#include "control/ecs/definition_rules.h"

/* A definition on its way: the request's copy, filled in as the checks pass. */
struct checks {
	struct ecs_task_definition *definition;
	struct error *err;
	bool fargate;                                    /* required by the request */
	int64_t cpu, memory;                             /* of the task; 0: not given */
};

#define refuse(checks, ...) fail((checks)->err, ERROR_CLIENT, __VA_ARGS__)

bool check_name_text(struct str name);                   /* [A-Za-z0-9_-]{1,255} */
bool check_role(const struct checks *checks, struct str role);
const struct ecs_container_definition *checks_container(const struct checks *checks, struct str name);

/* All containers, one by one and together. */
bool check_containers(struct checks *checks);
