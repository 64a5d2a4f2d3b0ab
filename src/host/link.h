/* link.h - docker's links: what a container on the bridge is told of another one of its task. */
#pragma once
#include "base/buffer.h"
#include "host/container.h"

/* A link of `container` ("name" or "name:alias") to one that has `address`: a line for /etc/hosts, and variables
 * "ALIAS_PORT=tcp://…", "ALIAS_PORT_80_TCP_ADDR=…", "ALIAS_NAME=…", "ALIAS_ENV_NAME=…" (a line each). */
void link_describe(const struct acs_container *container, const struct acs_container *target, struct str alias,
		   struct str address, struct buffer *hosts, struct buffer *variables);
/* NULL when the task has no container of that name. */
const struct acs_container *link_parse(const struct acs_task *task, struct str link, struct str *ret_alias);
