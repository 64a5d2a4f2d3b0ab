/* usage: server_standin server --listen ADDR:PORT --data DIR [--tls] [--log-requests]
 * The server on the stand-in plane, for the tests of HTTP, TLS and websockets. Keys: WHERRY_ROOT_….
 */
#include <stdlib.h>
#include "server/server.h"

static bool flag(int count, char **arguments, const char *name)
{
	for (int i = 1; i < count; i++)
		if (str_equal(str_of(arguments[i]), str_of(name)))
			return true;
	return false;
}

static struct str option(int count, char **arguments, const char *name, const char *otherwise)
{
	for (int i = 1; i + 1 < count; i++)
		if (str_equal(str_of(arguments[i]), str_of(name)))
			return str_of(arguments[i + 1]);
	return str_of(otherwise);
}

int main(int count, char **arguments)
{
	struct server_options options = {
		.listen = option(count, arguments, "--listen", "127.0.0.1:0"),
		.data = option(count, arguments, "--data", NULL),
		.account = S("000000000000"),
		.region = S("us-east-1"),
		.tls = flag(count, arguments, "--tls"),
		.log_requests = flag(count, arguments, "--log-requests"),
		.root_key_id = str_of(getenv("WHERRY_ROOT_ACCESS_KEY_ID")),
		.root_secret = str_of(getenv("WHERRY_ROOT_SECRET_ACCESS_KEY")),
		.ready_fd = -1,
	};

	return server_run(&options);
}
