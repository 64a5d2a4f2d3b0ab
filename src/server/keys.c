#include "server/keys.h"
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/arena.h"
#include "os/entropy.h"
#include "os/file.h"

enum { KEY_FILE_LIMIT = 4096, KEY_ID_RANDOM = 16, SECRET_LENGTH = 40, KEY_COUNT = 2 };

struct keys {
	struct arena arena;
	struct key keys[KEY_COUNT]; /* root, agent */
};

/* What the managed policy AmazonEC2ContainerServiceforEC2Role allows of ECS (neighbours.md), and
 * ListTagsForResource, which the agent asks for a task's metadata with tags. */
static const struct str agent_operations[] = {
	STR_INIT("CreateCluster"),
	STR_INIT("DeregisterContainerInstance"),
	STR_INIT("DiscoverPollEndpoint"),
	STR_INIT("GetTaskProtection"),
	STR_INIT("ListTagsForResource"),
	STR_INIT("RegisterContainerInstance"),
	STR_INIT("SubmitAttachmentStateChanges"),
	STR_INIT("SubmitContainerStateChange"),
	STR_INIT("SubmitTaskStateChange"),
	STR_INIT("UpdateContainerInstancesState"),
	STR_INIT("UpdateTaskProtection"),
};

/* What that policy allows of Logs, and what the awslogs driver asks besides: whether a stream is there, and a group with
 * awslogs-create-group. */
static const struct str agent_log_operations[] = {
	STR_INIT("CreateLogGroup"),
	STR_INIT("CreateLogStream"),
	STR_INIT("DescribeLogStreams"),
	STR_INIT("PutLogEvents"),
};

/* `count` divides 256, so no letter is likelier than another. */
static struct str random_text(struct arena *arena, const char *letters, unsigned count, size_t len)
{
	unsigned char bytes[64];
	char *text = arena_alloc_bytes(arena, len);

	entropy_fill(bytes, len);
	for (size_t i = 0; i < len; i++)
		text[i] = letters[bytes[i] % count];
	return (struct str){text, len};
}

static void make_key(struct arena *arena, struct key *key)
{
	struct str tail = random_text(arena, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", 32, KEY_ID_RANDOM);

	key->key_id = arena_printf(arena, "AKIA%.*s", STR(tail));
	key->secret = random_text(
		arena, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", 64,
		SECRET_LENGTH);
}

static bool parse_key(struct str text, struct key *ret_key)
{
	struct str line, name;

	while (str_cut(&text, '\n', &line)) {
		name = line;
		if (!str_cut(&line, '=', &name))
			continue;
		if (str_equal(str_trim(name), S("aws_access_key_id")))
			ret_key->key_id = str_trim(line);
		if (str_equal(str_trim(name), S("aws_secret_access_key")))
			ret_key->secret = str_trim(line);
	}
	return ret_key->key_id.len && ret_key->secret.len;
}

static bool write_key(const char *path, const struct key *key, struct error *err)
{
	auto_arena arena = {0};
	struct str text = arena_printf(
		&arena, "[default]\naws_access_key_id = %.*s\naws_secret_access_key = %.*s\n",
		STR(key->key_id), STR(key->secret));
	int fd;
	bool synced;

	if (!file_write(AT_FDCWD, path, text, 0600, err))
		return false;
	/* The key is told to people right away, so it must outlive a crash of the machine. */
	fd = open(path, O_RDONLY | O_CLOEXEC);
	synced = fd >= 0 && fsync(fd) == 0;
	if (fd >= 0)
		close(fd);
	return synced || fail(err, ERROR_OS, "sync '%s'", path);
}

static bool open_key(struct keys *keys, struct str data, const char *name, struct key *key,
		     struct error *err)
{
	struct str path = arena_printf(&keys->arena, "%.*s/%s", STR(data), name);
	struct error missing = {0};
	struct str text;

	if (file_read(AT_FDCWD, path.ptr, KEY_FILE_LIMIT, &keys->arena, &text, &missing))
		return parse_key(text, key) ||
		       fail(err, ERROR_CORRUPT, "'%s' holds no access key", path.ptr);
	if (missing.code != ERROR_NOT_FOUND) {
		*err = missing;
		return false;
	}
	make_key(&keys->arena, key);
	return write_key(path.ptr, key, err);
}

static bool open_root(struct keys *keys, struct str data, struct str key_id, struct str secret,
		      struct error *err)
{
	struct key *root = &keys->keys[0];

	if (!key_id.len && !secret.len)
		return open_key(keys, data, "credentials", root, err);
	if (!key_id.len || !secret.len)
		return fail(err, ERROR_INVALID_PARAMETER,
			    "WHERRY_ROOT_ACCESS_KEY_ID and WHERRY_ROOT_SECRET_ACCESS_KEY must be "
			    "set together");
	root->key_id = arena_copy(&keys->arena, key_id);
	root->secret = arena_copy(&keys->arena, secret);
	return true;
}

bool keys_open(struct str data, struct str account, struct str root_key_id, struct str root_secret,
	       struct keys **ret_keys, struct error *err)
{
	struct keys *keys = calloc(1, sizeof(*keys));
	struct str owner;

	if (!keys)
		abort();
	owner = arena_copy(&keys->arena, account);
	keys->keys[0].caller =
		(struct caller){CALLER_ROOT, owner,
				arena_printf(&keys->arena, "arn:aws:iam::%.*s:root", STR(owner))};
	keys->keys[1].caller = (struct caller){
		CALLER_AGENT, owner,
		arena_printf(&keys->arena,
			     "arn:aws:sts::%.*s:assumed-role/ecsInstanceRole/wherry-agent",
			     STR(owner))};
	if (!open_root(keys, data, root_key_id, root_secret, err) ||
	    !open_key(keys, data, "agent-credentials", &keys->keys[1], err)) {
		keys_free(keys);
		return false;
	}
	*ret_keys = keys;
	return true;
}

void keys_free(struct keys *keys)
{
	if (!keys)
		return;
	arena_fini(&keys->arena);
	free(keys);
}

const struct key *keys_find(const struct keys *keys, struct str key_id)
{
	for (size_t i = 0; i < KEY_COUNT; i++)
		if (str_equal(keys->keys[i].key_id, key_id))
			return &keys->keys[i];
	return NULL;
}

/* Of our own operations: its part of the VPCs, and which files on its disk nobody needs. */
static bool is_for_agents(const struct operation *operation)
{
	return str_equal(operation->api->signing_name, S("wherry")) &&
	       (str_equal(operation->name, S("WatchNetwork")) || str_equal(operation->name, S("DeletedFileSystems")));
}

static bool is_listed(const struct operation *operation, const struct str *names, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (str_equal(operation->name, names[i]))
			return true;
	return false;
}

bool keys_allow(const struct key *key, const struct operation *operation)
{
	if (key->caller.kind == CALLER_ROOT || is_for_agents(operation))
		return true;
	if (str_equal(operation->api->signing_name, S("ecs")))
		return is_listed(operation, agent_operations, COUNT(agent_operations));
	return str_equal(operation->api->signing_name, S("logs")) &&
	       is_listed(operation, agent_log_operations, COUNT(agent_log_operations));
}
