#include "server/keys.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "api/ecs.h"
#include "api/logs.h"
#include "api/wherry.h"
#include "os/file.h"
#include "test/test.h"

static struct str scratch(char text[32])
{
	strncpy(text, "/tmp/wherry-keys-XXXXXX", 32);
	assert_non_null(mkdtemp(text));
	return str_of(text);
}

TEST(keys_are_made_once_and_private)
{
	char folder[32];
	struct str data = scratch(folder);
	struct error error;
	struct keys *first, *second;
	const struct key *root;
	struct stat status;
	char path[64];

	assert_true(keys_open(data, S("123456789012"), STR_NONE, STR_NONE, &first, &error));
	snprintf(path, sizeof(path), "%s/credentials", folder);
	assert_int_equal(stat(path, &status), 0);
	assert_int_equal(status.st_mode & 0777, 0600);
	assert_true(keys_open(data, S("123456789012"), STR_NONE, STR_NONE, &second, &error));
	root = keys_find(second, S(""));
	assert_null(root);
	keys_free(second);
	keys_free(first);
	tree_remove(AT_FDCWD, folder, NULL);
}

TEST(given_keys_stand_instead_of_the_file)
{
	char folder[32];
	struct str data = scratch(folder);
	struct error error;
	struct keys *keys;
	const struct key *root;
	char path[64];

	assert_true(keys_open(data, S("123456789012"), S("test"), S("x"), &keys, &error));
	root = keys_find(keys, S("test"));
	assert_non_null(root);
	EXPECT_STR(root->secret, S("x"));
	EXPECT_STR(root->caller.arn, S("arn:aws:iam::123456789012:root"));
	assert_true(keys_allow(root, api_find(&api_ecs, S("RunTask"))));
	snprintf(path, sizeof(path), "%s/credentials", folder);
	assert_int_not_equal(access(path, F_OK), 0);
	keys_free(keys);
	assert_false(keys_open(data, S("123456789012"), S("test"), STR_NONE, &keys, &error));
	tree_remove(AT_FDCWD, folder, NULL);
}

TEST(the_agent_may_make_its_own_calls_only)
{
	const struct key agent = {.caller = {.kind = CALLER_AGENT}};

	assert_true(keys_allow(&agent, api_find(&api_ecs, S("RegisterContainerInstance"))));
	assert_true(keys_allow(&agent, api_find(&api_ecs, S("SubmitTaskStateChange"))));
	assert_false(keys_allow(&agent, api_find(&api_ecs, S("RunTask"))));
	assert_false(keys_allow(&agent, api_find(&api_ecs, S("DeleteCluster"))));
	assert_false(keys_allow(&agent, api_find(&api_wherry, S("Overview"))));
	assert_true(keys_allow(&agent, api_find(&api_wherry, S("WatchNetwork"))));
	assert_true(keys_allow(&agent, api_find(&api_wherry, S("DeletedFileSystems"))));
	assert_true(keys_allow(&agent, api_find(&api_logs, S("PutLogEvents"))));
	assert_false(keys_allow(&agent, api_find(&api_logs, S("GetLogEvents"))));
	assert_false(keys_allow(&agent, api_find(&api_logs, S("TagResource"))));
}

TEST(a_file_without_a_key_is_an_error)
{
	char folder[32];
	struct str data = scratch(folder);
	struct error error;
	struct keys *keys;
	char path[64];

	snprintf(path, sizeof(path), "%s/credentials", folder);
	assert_true(file_write(AT_FDCWD, path, S("[default]\n"), 0600, &error));
	assert_false(keys_open(data, S("123456789012"), STR_NONE, STR_NONE, &keys, &error));
	tree_remove(AT_FDCWD, folder, NULL);
}
