/* local_private.h - what local.c (who asks) and local_routes.c (what is answered) share. */
#pragma once
#include "api/metadata.h"
#include "runner/endpoint.h"
#include "runner/local.h"

/* Names of places that are no task's and no container's. */
#define HOST_PLACE S("host")
#define INTROSPECTION_PLACE S("introspection")

/* Who asks: a copy, in the request's arena. */
struct visitor {
	struct str task_id, container;
	const struct agent_task *task;                   /* good until the next step */
};

struct local_request {
	struct local *local;
	struct endpoint_call *call;
	struct str place;
	const struct request *request;
	struct arena arena;
};

/* False when the id is none, or one of another network. */
bool local_visitor(struct local *local, struct str place, struct str id, struct arena *arena, struct visitor *ret_visitor);
/* Of an awsvpc task's place: the task (v2 asks without an id). */
bool local_place_task(struct local *local, struct str place, struct arena *arena, struct visitor *ret_visitor);
const struct agent_task *local_find_task(struct local *local, struct str task_id);
const struct local_options *local_options(const struct local *local);

size_t local_addresses(void *local, struct str task_id, struct str container, struct arena *arena, struct str **ret_texts);
bool local_is_here(void *local, struct str task_id, struct str container);

void local_serve(void *local, struct endpoint_call *call, struct str place, const struct request *request);
