#include "main/options.h"
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "base/ipv4.h"

enum option_id {
	OPTION_LISTEN = 256, OPTION_DATA, OPTION_ACCOUNT, OPTION_REGION, OPTION_STORE, OPTION_CERTIFICATE, OPTION_KEY, OPTION_TLS,
	OPTION_DETACH, OPTION_JSON, OPTION_CLUSTER, OPTION_NAME, OPTION_CONTAINER, OPTION_BRIDGE, OPTION_RUNTIME, OPTION_FARGATE_RUNTIME,
	OPTION_SWEEP, OPTION_ONCE, OPTION_FARGATE, OPTION_PUBLIC,
};

static const struct option known[] = {
	{"listen", required_argument, NULL, OPTION_LISTEN},
	{"data", required_argument, NULL, OPTION_DATA},
	{"account", required_argument, NULL, OPTION_ACCOUNT},
	{"region", required_argument, NULL, OPTION_REGION},
	{"store", required_argument, NULL, OPTION_STORE},
	{"tls-certificate", required_argument, NULL, OPTION_CERTIFICATE},
	{"tls-key", required_argument, NULL, OPTION_KEY},
	{"tls", no_argument, NULL, OPTION_TLS},
	{"detach", no_argument, NULL, OPTION_DETACH},
	{"follow", no_argument, NULL, 'f'},
	{"json", no_argument, NULL, OPTION_JSON},
	{"all", no_argument, NULL, 'a'},
	{"cluster", required_argument, NULL, OPTION_CLUSTER},
	{"name", required_argument, NULL, OPTION_NAME},
	{"container", required_argument, NULL, OPTION_CONTAINER},
	{"bridge-cidr", required_argument, NULL, OPTION_BRIDGE},
	{"public-cidr", required_argument, NULL, OPTION_PUBLIC},
	{"runtime", required_argument, NULL, OPTION_RUNTIME},
	{"fargate-runtime", required_argument, NULL, OPTION_FARGATE_RUNTIME},
	{"sweep", no_argument, NULL, OPTION_SWEEP},
	{"once", no_argument, NULL, OPTION_ONCE},
	{"fargate", no_argument, NULL, OPTION_FARGATE},
	{NULL, 0, NULL, 0},
};

struct str options_environment(const char *name)
{
	const char *value = getenv(name);

	return value && *value ? str_of(value) : STR_NONE;
}

static struct str from_environment(const char *name, const char *fallback)
{
	struct str value = options_environment(name);

	return str_has(value) ? value : str_of(fallback);
}

static void take(struct options *options, int id, struct str value)
{
	switch (id) {
	case OPTION_LISTEN: options->listen = value; break;
	case OPTION_DATA: options->data = value; break;
	case OPTION_ACCOUNT: options->account = value; break;
	case OPTION_REGION: options->region = value; break;
	case OPTION_STORE: options->store = value; break;
	case OPTION_CERTIFICATE: options->certificate = value; break;
	case OPTION_KEY: options->key = value; break;
	case OPTION_TLS: options->tls = true; break;
	case OPTION_DETACH: options->detach = true; break;
	case 'f': options->follow = true; break;
	case OPTION_JSON: options->json = true; break;
	case 'a': options->all = true; break;
	case OPTION_CLUSTER: options->cluster = value; break;
	case OPTION_NAME: options->name = value; break;
	case OPTION_CONTAINER: options->container = value; break;
	case OPTION_BRIDGE: options->bridge_cidr = value; break;
	case OPTION_PUBLIC: options->public_cidr = value; break;
	case OPTION_RUNTIME: options->runtime = value; break;
	case OPTION_FARGATE_RUNTIME: options->fargate_runtime = value; break;
	case OPTION_SWEEP: options->sweep = true; break;
	case OPTION_ONCE: options->once = true; break;
	case OPTION_FARGATE: options->fargate = true; break;
	default: exit(2);                        /* getopt has said why */
	}
}

/* Paths must hold wherever a child is started from. */
static struct str absolute(struct arena *arena, struct str path)
{
	char here[4096];

	if (str_starts(path, S("/")) || !getcwd(here, sizeof(here)))
		return path;
	return arena_printf(arena, "%s/%.*s", here, STR(path));
}

static void find_programs(struct options *options, struct arena *arena)
{
	char path[4096];
	ssize_t length = readlink("/proc/self/exe", path, sizeof(path) - 1);
	struct str self = {path, length > 0 ? (size_t)length : 0};

	options->self = arena_copy(arena, self);
	options->programs = str_slice(options->self, 0, str_find_last(options->self, '/'));
	options->keeper = arena_printf(arena, "%.*s/wherry-keeper", STR(options->programs));
}

static bool is_account(struct str account)
{
	uint64_t number;

	return account.len == 12 && str_to_unsigned(account, &number);
}

/* Of the size that plane_options and fabric_options both take. */
static bool is_public_block(struct str cidr)
{
	enum { WIDEST = 8, NARROWEST = 29 };
	struct ipv4_block block;

	return ipv4_block_parse(cidr, &block) && block.prefix >= WIDEST && block.prefix <= NARROWEST;
}

static void check(const struct options *options)
{
	if (!is_account(options->account)) {
		fprintf(stderr, "wherry: the account id '%.*s' is not 12 digits\n", STR(options->account));
		exit(2);
	}
	if (!is_public_block(options->public_cidr)) {
		fprintf(stderr, "wherry: the range of public addresses '%.*s' is not a block from /8 to /29, like 198.18.0.0/15\n",
			STR(options->public_cidr));
		exit(2);
	}
}

void options_read(int count, char **arguments, struct arena *arena, struct options *ret_options)
{
	struct str data = from_environment("WHERRY_DATA", NULL);
	struct options options = {
		.listen = from_environment("WHERRY_LISTEN", "127.0.0.1:4566"),
		.account = from_environment("WHERRY_ACCOUNT_ID", "000000000000"),
		.region = from_environment("WHERRY_REGION", "us-east-1"),
		.store = from_environment("WHERRY_STORE", NULL),
		.runtime = from_environment("WHERRY_RUNTIME", "/usr/bin/crun"),
		.fargate_runtime = from_environment("WHERRY_FARGATE_RUNTIME", NULL),
		.bridge_cidr = from_environment("WHERRY_BRIDGE_CIDR", "172.31.224.1/20"),
		.public_cidr = from_environment("WHERRY_PUBLIC_CIDR", "198.18.0.0/15"),
		.data = data,
	};
	int id;

	/* getopt moves things about: who becomes another program needs them as they were. */
	options.arguments = arena_array(arena, char *, (size_t)count + 1);
	memcpy(options.arguments, arguments, (size_t)count * sizeof(*arguments));
	while ((id = getopt_long(count, arguments, "+fa", known, NULL)) != -1 || optind < count) {
		if (id == -1) {
			arguments[options.rest_count++] = arguments[optind++];
			continue;
		}
		take(&options, id, str_of(optarg));
	}
	options.rest = arguments;
	check(&options);
	options.run = str_has(options.data) ? arena_printf(arena, "%.*s/run", STR(absolute(arena, options.data))) : S("/run/wherry");
	options.data = absolute(arena, str_has(options.data) ? options.data : S("/var/lib/wherry"));
	find_programs(&options, arena);
	*ret_options = options;
}
