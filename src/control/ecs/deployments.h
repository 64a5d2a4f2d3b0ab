/* deployments.h - a service's list of deployments, and the arithmetic of rolling updates (ecs-behaviour 7.5, 7.6).
 *
 * These change a service's next value; who made it emits it. deployments.items[0] is PRIMARY. The others are ACTIVE:
 * one that completed stays listed until its successor completes (a rollback needs it), any other until it is empty. */
#pragma once
#include "control/ecs/services.h"

enum { DEPLOYMENTS_LIMIT = 20 };                         /* a service; tasks of older ones are replaced all the same */

/* How many tasks must stay healthy, and how many may exist. */
struct deployment_bounds { int32_t lower, upper; };
struct deployment_bounds deployment_bounds(int32_t desired, const struct ecs_deployment_configuration *configuration);

/* Failed tasks at which the circuit breaker trips. */
int32_t deployment_threshold(int32_t desired, const struct ecs_deployment_circuit_breaker *breaker);

/* A new PRIMARY with this definition ("FAMILY:REVISION"); starts may be tried at once again. */
void deployment_begin(struct plane *plane, struct service *next, struct str definition);
/* The PRIMARY has all it needs: the others leave the list. */
void deployment_complete(struct plane *plane, struct service *next);
/* The circuit breaker trips: the PRIMARY is FAILED; with `roll_back` the newest completed one is PRIMARY again. False:
 * there was none to go back to. */
bool deployment_fail(struct plane *plane, struct service *next, bool roll_back);
/* Takes the item off the list. */
void deployment_drop(struct service *next, size_t index);
/* Failures are forgotten and tasks may start at once. */
void deployment_reset_throttle(struct service *next);
