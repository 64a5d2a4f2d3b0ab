/* options.h - what every subcommand of wherry understands (design: fixed names). */
#pragma once
#include "base/arena.h"
#include "base/error.h"
#include "client/client.h"

struct options {
	struct str listen, data, run;                    /* run: /run/wherry, or DATA/run when DATA is given */
	struct str account, region;
	struct str store;                                /* "sqlite:PATH"; absent: in DATA */
	struct str certificate, key;
	bool tls, detach, follow, json, all, sweep, once, fargate;
	struct str cluster, name, container;
	struct str bridge_cidr, public_cidr, runtime, fargate_runtime;
	struct str self, programs, keeper;               /* this program, its folder, the keeper in it */
	char **arguments;                                /* as they came, ended by NULL */
	char **rest;                                     /* what is not an option */
	int rest_count;
};

struct str options_environment(const char *name);       /* absent when it is not set, or empty */

/* Flags, then WHERRY_* variables, then defaults. Strings live in `arena`. Says on stderr what is wrong and exits 2. */
void options_read(int count, char **arguments, struct arena *arena, struct options *ret_options);

/* The address that clients on this machine use: "http://127.0.0.1:4566". */
struct str options_endpoint(const struct options *options, struct arena *arena);
/* The root key of DATA (or WHERRY_ROOT_…); ERROR_NOT_FOUND before the first start. */
bool options_root_key(const struct options *options, struct arena *arena, struct str *ret_key_id, struct str *ret_secret,
		      struct error *err);
struct client *options_client(const struct options *options, struct arena *arena);       /* or exits 1 with a word */
