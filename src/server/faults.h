/* faults.h - what a broken rule of the model is called towards the client (ecs-behaviour 2.2, 2.4; neighbours 0.7).
 *
 * ECS has words of its own for each, EC2 its MissingParameter and InvalidParameterValue, most others one sentence
 * ("1 validation error detected: …") under a code of their own: a row in `services` each.
 * The one place for wordings that come from the tables, and for the rules that a handler words better than a
 * table can: those pass here and the handler sees the member absent. */
#pragma once
#include "base/error.h"
#include "base/shape.h"

/* Checks a decoded input: required members, lengths and ranges. */
bool fault_check(const struct operation *operation, const void *input, struct arena *arena, struct error *err);
/* A word that an enum does not have. */
bool fault_word(const struct operation *operation, const struct violation *violation, struct error *err);
