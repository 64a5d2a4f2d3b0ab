/* client.h - calls to an AWS-shaped API: sign, send, decode.
 *
 * For the agent and for `wherry ps|why|…`. One client is used by one thread; it keeps its connection. Errors are
 * the server's own (`__type` mapped back to a code of base/error.h when we know it, else ERROR_CLIENT or
 * ERROR_SERVER by status) or ERROR_NETWORK. */
#pragma once
#include "base/error.h"
#include "base/shape.h"

struct client;

/* Borrowed; must outlive the client. */
struct client_options {
	struct str endpoint;                             /* "http://127.0.0.1:4566" */
	struct str region;
	struct str key_id, secret, session_token;
	struct str user_agent;
	bool insecure;                                   /* take any TLS certificate (agent's -k) */
	struct str ca_file;                              /* or absent */
	usec timeout;                                    /* of one call; 0: 30 s */
};

bool client_new(const struct client_options *options, struct client **ret_client, struct error *err);
void client_free(struct client *client);

/* *ret_output by operation->output, in `arena`. */
bool client_call(struct client *client, const struct operation *operation, const void *input,
		 struct arena *arena, void **ret_output, struct error *err);
/* From any thread: the call under way fails at once, as does every later one. */
void client_cancel(struct client *client);

/* Reads a profile of an AWS shared-credentials file. */
bool client_read_credentials(struct str path, struct str profile, struct arena *arena, struct str *ret_key_id,
			     struct str *ret_secret, struct error *err);
