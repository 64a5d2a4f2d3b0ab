/* wherry-server: what `wherry server` becomes. A program of its own, so that a control plane carries none of the agent's
 * libraries. */
#include <stdio.h>
#include <stdlib.h>
#include "main/options.h"
#include "os/process.h"
#include "server/server.h"

static int64_t environment_number(const char *name)
{
	int64_t value = 0;

	str_to_long(options_environment(name), &value);
	return value;
}

/* WHERRY_READY_FD: a descriptor that the URL is written to once the server answers (`wherry up` waits for it). */
static int ready_fd(void)
{
	int64_t fd = environment_number("WHERRY_READY_FD");

	return fd > 0 ? (int)fd : -1;
}

static int run(const struct options *options)
{
	struct server_options server = {
		.listen = options->listen, .data = options->data, .account = options->account, .region = options->region,
		.certificate = options->certificate, .key = options->key, .tls = options->tls,
		.public_endpoint = options_environment("WHERRY_ENDPOINT"),
		.root_key_id = options_environment("WHERRY_ROOT_ACCESS_KEY_ID"),
		.root_secret = options_environment("WHERRY_ROOT_SECRET_ACCESS_KEY"),
		.ready_fd = ready_fd(),
		.log_requests = str_has(options_environment("WHERRY_LOG_REQUESTS")),
		.plane = {
			.task_retention = environment_number("WHERRY_TASK_RETENTION_SECONDS") * USEC_PER_SEC,
			.task_history_limit = (uint32_t)environment_number("WHERRY_TASK_HISTORY_LIMIT"),
			.lost_after = environment_number("WHERRY_LOST_AFTER_SECONDS") * USEC_PER_SEC,
			.healthy_after = environment_number("WHERRY_HEALTHY_AFTER_SECONDS") * USEC_PER_SEC,
			.public_cidr = options->public_cidr,
		},
	};

	if (str_has(options->store) && !str_starts(options->store, S("sqlite:"))) {
		fprintf(stderr, "wherry: the store '%.*s' is not supported yet; only sqlite:PATH is\n", STR(options->store));
		return 2;
	}
	if (str_has(options->store))
		server.data = str_slice(options->store, 7, options->store.len);
	return server_run(&server);
}

int main(int count, char **arguments)
{
	auto_arena arena = {0};
	struct options options;

	process_end_with_parent();
	options_read(count, arguments, &arena, &options);
	return run(&options);
}
