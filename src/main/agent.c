/* wherry-agent: what `wherry agent` becomes; with --fargate its machine serves Fargate tasks only, with --sweep it takes
 * away what agents that crashed have left. */
#include <stdlib.h>
#include "main/options.h"
#include "os/process.h"
#include "runner/runner.h"

static int run(const struct options *options)
{
	struct runner_options runner = {
		.endpoint = options_environment("ECS_BACKEND_HOST"), .region = options_environment("AWS_DEFAULT_REGION"),
		.key_id = options_environment("AWS_ACCESS_KEY_ID"), .secret = options_environment("AWS_SECRET_ACCESS_KEY"),
		.data = options->data, .run = options->run, .runtime = options->runtime,
		.fargate_runtime = options->fargate_runtime,
		.s3_endpoint = str_has(options_environment("ECS_S3_ENDPOINT")) ? options_environment("ECS_S3_ENDPOINT")
								       : options_environment("AWS_ENDPOINT_URL_S3"),
		.session_token = options_environment("AWS_SESSION_TOKEN"), .keeper = options->keeper,
		.bridge_cidr = options->bridge_cidr, .public_cidr = options->public_cidr,
		.insecure_tls = options->tls,
		.allow_http_registries = str_has(options_environment("WHERRY_ALLOW_HTTP_REGISTRIES")), .announce = true,
	};

	return options->sweep ? runner_sweep(&runner) : runner_run(&runner);
}

int main(int count, char **arguments)
{
	auto_arena arena = {0};
	struct options options;

	process_end_with_parent();
	process_raise_descriptors();             /* each running task is one */
	options_read(count, arguments, &arena, &options);
	if (options.fargate)
		setenv("WHERRY_FARGATE", "only", 1);     /* settings.h */
	return run(&options);
}
