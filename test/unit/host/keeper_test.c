#include "host/keeper.h"
#include <stdlib.h>
#include <unistd.h>
#include "os/file.h"
#include "test/test.h"

struct folder { char path[32]; };

static struct str folder_new(struct folder *folder)
{
	memcpy(folder->path, "/tmp/wherry-keeper-XXXXXX", sizeof("/tmp/wherry-keeper-XXXXXX"));
	assert_non_null(mkdtemp(folder->path));
	return str_of(folder->path);
}

static void folder_free(struct folder *folder) { tree_remove(AT_FDCWD, folder->path, NULL); }

TEST(a_launch_file_says_what_was_written_into_it)
{
	struct str binds[] = {S("SAME /a/top"), S("MAP /a/bottom")}, ports[] = {S("80 32768 tcp")};
	struct keeper_launch launch = {.id = S("abc"), .log = S("file"), .input = S("closed"), .stage = S("/u x"),
				       .binds = binds, .bind_count = 2, .ports = ports, .port_count = 1}, again;
	auto_arena arena = {0};
	struct folder folder;
	struct str path = folder_new(&folder);
	struct error err = {0};

	if (!keeper_write_launch(path, &launch, &err) || !keeper_read_launch(path, &arena, &again, &err))
		fail_msg("%s", err.text);
	EXPECT_STR(again.id, S("abc"));
	EXPECT_STR(again.stage, S("/u x"));
	assert_int_equal(again.bind_count, 2);
	EXPECT_STR(again.binds[1], S("MAP /a/bottom"));
	assert_int_equal(again.port_count, 1);
	EXPECT_STR(again.ports[0], S("80 32768 tcp"));
	folder_free(&folder);
}

TEST(a_line_break_cannot_add_a_line_to_a_launch_file)
{
	struct keeper_launch launch = {.id = S("abc\nlog none"), .log = S("file"), .input = S("closed")};
	struct folder folder;
	struct str path = folder_new(&folder);
	struct error err = {0};

	assert_false(keeper_write_launch(path, &launch, &err));
	assert_int_equal(err.code, ERROR_REFUSED);
	folder_free(&folder);
}

TEST(a_state_file_tells_how_a_container_ended_without_its_keeper)
{
	auto_arena arena = {0};
	struct folder folder;
	struct str path = folder_new(&folder);
	struct keeper_event event;
	struct error err = {0};

	assert_false(keeper_read_state(path, &event, &err));
	assert_int_equal(err.code, ERROR_NOT_FOUND);
	assert_true(file_write(AT_FDCWD, arena_printf(&arena, "%s/state%c", folder.path, '\0').ptr,
			       arena_printf(&arena, "version %d\nphase exited\npid 7\nstarted_at 1000\nfinished_at 2000\n"
					    "exit_code 137\nout_of_memory 1\n", KEEPER_VERSION), 0600, &err));
	assert_true(keeper_read_state(path, &event, &err));
	assert_int_equal(event.kind, KEEPER_HAS_EXITED);
	assert_int_equal(event.exit_code, 137);
	assert_int_equal(event.out_of_memory, 1);
	assert_int_equal(event.finished_at, 2000);
	folder_free(&folder);
}

TEST(no_keeper_answers_where_there_is_none)
{
	struct folder folder;
	struct error err = {0};
	int fd;

	assert_false(keeper_connect(folder_new(&folder), &fd, &err));
	assert_int_equal(err.code, ERROR_NOT_FOUND);
	assert_false(keeper_send(0, KEEPER_START, (struct str){folder.path, KEEPER_NAME_LIMIT + 1}, 0, &err));
	assert_int_equal(err.code, ERROR_REFUSED);
	folder_free(&folder);
}
