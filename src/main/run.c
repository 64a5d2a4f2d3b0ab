/* wherry server, wherry agent: become the program beside this one. */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>
#include "main/commands.h"

static int become(const struct options *options, const char *program)
{
	auto_arena arena = {0};
	char *path = arena_cstr(&arena, arena_printf(&arena, "%.*s/%s", STR(options->programs), program));

	options->arguments[0] = path;
	execv(path, options->arguments);
	fprintf(stderr, "wherry: start %s: %s\n", path, strerror(errno));
	return 1;
}

int command_server(const struct options *options)
{
	return become(options, "wherry-server");
}

int command_agent(const struct options *options)
{
	return become(options, "wherry-agent");
}
