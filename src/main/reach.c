/* How commands reach the server. */
#include <stdio.h>
#include <stdlib.h>
#include "main/options.h"

struct str options_endpoint(const struct options *options, struct arena *arena)
{
	struct str listen = options->listen;
	const char *scheme = options->tls || str_has(options->certificate) ? "https" : "http";

	if (str_starts(listen, S("0.0.0.0:")))
		return arena_printf(arena, "%s://127.0.0.1:%.*s", scheme, STR(str_slice(listen, 8, listen.len)));
	if (str_starts(listen, S("[::]:")))
		return arena_printf(arena, "%s://[::1]:%.*s", scheme, STR(str_slice(listen, 5, listen.len)));
	return arena_printf(arena, "%s://%.*s", scheme, STR(listen));
}

bool options_root_key(const struct options *options, struct arena *arena, struct str *ret_key_id, struct str *ret_secret,
		      struct error *err)
{
	struct str key_id = options_environment("WHERRY_ROOT_ACCESS_KEY_ID");
	struct str secret = options_environment("WHERRY_ROOT_SECRET_ACCESS_KEY");

	if (str_has(key_id) && str_has(secret)) {
		*ret_key_id = key_id;
		*ret_secret = secret;
		return true;
	}
	return client_read_credentials(arena_printf(arena, "%.*s/credentials", STR(options->data)), S("default"), arena,
				       ret_key_id, ret_secret, err);
}

struct client *options_client(const struct options *options, struct arena *arena)
{
	struct client_options *settings = arena_new(arena, struct client_options);
	struct client *client;
	struct error err;

	*settings = (struct client_options){.endpoint = options_endpoint(options, arena), .region = options->region,
					    .user_agent = S("wherry/" WHERRY_VERSION), .insecure = options->tls};
	if (!options_root_key(options, arena, &settings->key_id, &settings->secret, &err) ||
	    !client_new(settings, &client, &err)) {
		fprintf(stderr, "wherry: %s\n", err.text);
		exit(1);
	}
	return client;
}
