/* desk.h - a control plane that answers API calls written as text.
 *
 * Requests and replies are JSON with ' for ". A refusal reads "ClientException: its text". */
#pragma once
#include "control/plane.h"
#include "test/test.h"

struct desk {
	struct plane *plane;
	struct effects effects;
	struct arena arena;                              /* of all answers */
	usec now;
	uint64_t seed;
	enum caller_kind caller;
	const char *arn, *region;
};

void desk_init(struct desk *desk);
void desk_fini(struct desk *desk);
#define auto_desk __attribute__((cleanup(desk_fini))) struct desk

/* `operation`: "efs:TagResource", or a plain name of ECS or EC2. Any failing answer, and records of a refused call, end the test.
 * A call that the log desk answers gives "parked". */
struct str desk_call(struct desk *desk, const char *operation, const char *request);
struct str desk_member(struct desk *desk, const char *operation, const char *request, const char *member);
/* As desk_call, of a request made as printf would. */
struct str desk_ask(struct desk *desk, const char *operation, const char *format, ...) PRINTF_LIKE(3, 4);
const char *desk_text(struct desk *desk, const char *format, ...) PRINTF_LIKE(2, 3);
/* The text behind the first 'name':'…' of a reply, which must have one. */
struct str desk_pick(struct desk *desk, struct str reply, const char *name);
struct str desk_subnet(struct desk *desk, const char *zone);             /* the default VPC's there: its id */

/* Registers an instance of 4 CPUs and 8 GiB with `cluster` and connects its agent; gives its ARN. */
struct str desk_instance(struct desk *desk, const char *cluster);
/* The same with more resources (", {…}" or "") and with attributes ("{…},{…}"). */
struct str desk_machine(struct desk *desk, const char *cluster, const char *resources, const char *attributes);
void desk_wait(struct desk *desk, usec span);            /* time passes */
/* Now, and with a seed and memory of the desk's; the plane is checked after it. */
void desk_step(struct desk *desk, struct event event);
/* A message of the telemetry channel. */
void desk_telemetry(struct desk *desk, const char *type, const void *message);

#define EXPECT_CALL(desk, operation, request, expected) \
	EXPECT_STR(desk_call((desk), (operation), (request)), str_of(expected))
#define EXPECT_MEMBER(desk, operation, request, member, expected) \
	EXPECT_STR(desk_member((desk), (operation), (request), (member)), str_of(expected))
