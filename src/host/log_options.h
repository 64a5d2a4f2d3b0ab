/* log_options.h - a container's logConfiguration: json-file, awslogs, none.
 *
 * Options are docker's (neighbours 4.9, ecs-behaviour 10.3). What is not known is refused with docker's text:
 * an option that does nothing would be a lie. */
#pragma once
#include "api/agent.h"
#include "api/docker.h"
#include "base/arena.h"
#include "base/error.h"

enum {
	LOG_BLOCKING_BYTES = 64 << 20,                   /* unshipped of a container in blocking mode: then it waits */
	LOG_BUFFER_BYTES = 10 << 20,                     /* in non-blocking mode without max-buffer-size: then lines drop */
	LOG_FILES_LIMIT = 1000,                          /* max-file */
};

enum log_driver { LOG_FILE, LOG_AWSLOGS, LOG_NOTHING };

struct log_options {
	enum log_driver driver;
	struct str mode;                                 /* for keeper_launch.log */
	const struct agent_log_target *target;           /* awslogs; stream absent: named by the caller */
};

/* `config` may be NULL (json-file). Error texts are whole reasons. */
bool log_options_read(const struct docker_log_config *config, struct arena *arena, struct log_options *ret_options,
		      struct error *err);

/* "10m", "512k", "1g", "100": bytes. */
bool log_options_bytes(struct str text, uint64_t *ret_bytes);
/* A strftime format ("[%b %d, %Y %H:%M:%S]") as the regular expression that finds it (awslogs-datetime-format). */
struct str log_options_time_pattern(struct str format, struct arena *arena);
