/* definition_rules.h - what RegisterTaskDefinition accepts and what it makes of it (ecs-behaviour 4.1-4.5).
 *
 * Pure functions of the request: no family, revision, caller or time. */
#pragma once
#include "api/ecs.h"
#include "base/error.h"

enum {
	DEFINITION_BYTES_LIMIT = 65536,                  /* as JSON */
	DEFINITION_CONTAINERS_LIMIT = 10,
	DEFINITION_CONSTRAINTS_LIMIT = 10,
	DEFINITION_NAME_LIMIT = 255,                     /* family, containers, volumes */
	DEFINITION_IMAGE_LIMIT = 255,                    /* before a digest */
	DEFINITION_REVISIONS_LIMIT = 1000000,            /* a family */
	CONTAINER_PORT_RANGES_LIMIT = 100,
	CONTAINER_ENVIRONMENT_FILES_LIMIT = 10,
	CONTAINER_EXIT_CODES_LIMIT = 50,                 /* of a restart policy */
	CONTAINER_MEMORY_MINIMUM = 4,                    /* MiB */
};

/* Checks a request and gives its definition with AWS's defaults filled in, compatibilities and attributes
 * included; in `arena`, strings borrowed from the request. */
bool definition_settle_request(const struct ecs_register_task_definition_request *in, struct arena *arena,
			       struct ecs_task_definition **ret_definition, struct error *err);

/* Refuses what AWS accepts and Wherry does not do (definition_unbuilt.c): asked last, so that AWS's own texts come first. */
bool definition_check_built(const struct ecs_task_definition *definition, struct error *err);

/* What RunTask asks of overrides, too. A NUL, found in the JSON of a value, would end a word for every program; the fault is
 * a sentence, or NULL. */
bool definition_has_nul(struct str json);
const char *definition_variables_fault(const struct ecs_environment_variables *variables);

/* "1 vCPU" → 1024, "0.5 GB" → 512, "256" → 256; false when it is no positive whole number of units. */
bool definition_parse_cpu(struct str text, int64_t *ret_units);
bool definition_parse_memory(struct str text, int64_t *ret_mebibytes);

bool definition_is_fargate_size(const struct ecs_task_definition *definition, int64_t cpu, int64_t memory);

/* What of a definition Fargate cannot do, as words of an error; NULL: nothing. */
const char *definition_fargate_obstacle(const struct ecs_task_definition *definition);
bool definition_is_windows(const struct ecs_task_definition *definition);
bool definition_requires(const struct ecs_task_definition *definition, enum ecs_compatibility compatibility);
bool definition_is_ecr_image(struct str image);

/* Fill `compatibilities` and `requiresAttributes` of a checked definition (definition_attributes.c). */
void definition_derive_compatibilities(struct ecs_task_definition *definition, struct arena *arena);
void definition_derive_attributes(struct ecs_task_definition *definition, struct arena *arena);
