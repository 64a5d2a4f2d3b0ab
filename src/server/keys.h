/* keys.h - who may call: the root key and the agent's.
 *
 * Made at first start into DIR/credentials and DIR/agent-credentials (AWS shared-credentials format, mode 0600);
 * read-only afterwards, so that I/O threads look keys up without a lock. */
#pragma once
#include "control/plane.h"

struct key {
	struct str key_id, secret;
	struct caller caller;
};

struct keys;

bool keys_open(struct str data, struct str account, struct str root_key_id, struct str root_secret,
	       struct keys **ret_keys, struct error *err);
void keys_free(struct keys *keys);
const struct key *keys_find(const struct keys *keys, struct str key_id);         /* NULL: unknown */

/* The agent's calls, by name (the managed policy AmazonEC2ContainerServiceforEC2Role) and its channels. */
bool keys_allow(const struct key *key, const struct operation *operation);
