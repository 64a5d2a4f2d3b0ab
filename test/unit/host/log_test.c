/* What a keeper writes is what the shipper reads: line by line, over turned files, at the edges of the buffer. */
#include "test.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>
#include "base/buffer.h"
#include "base/random.h"
#include "host/keeper.h"
#include "host/log_options.h"
#include "host/log_reader.h"
#include "main/keeper_log.h"
#include "os/file.h"

struct place {
	char folder[64], path[80];
	struct log_writer writer;
	struct log_progress *progress;
	struct log_reader reader;
};

static void open_place(struct place *place, const char *mode, uint64_t limit)
{
	char progress[96];
	int fd;

	snprintf(place->folder, sizeof(place->folder), "/tmp/wherry-log-XXXXXX");
	assert_non_null(mkdtemp(place->folder));
	snprintf(place->path, sizeof(place->path), "%s/c.log", place->folder);
	snprintf(progress, sizeof(progress), "%s/c.progress", place->folder);
	log_writer_open(&place->writer, place->folder, "c", mode);
	place->writer.limit = limit;
	fd = open(progress, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_int_equal(ftruncate(fd, sizeof(struct log_progress)), 0);
	place->progress = mmap(NULL, sizeof(struct log_progress), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_true(place->progress != MAP_FAILED);
	close(fd);
	log_reader_init(&place->reader, place->progress, place->path, 0);
}

static void close_place(struct place *place)
{
	log_writer_close(&place->writer, true);
	log_reader_fini(&place->reader);
	munmap(place->progress, sizeof(*place->progress));
	assert_true(tree_remove(AT_FDCWD, place->folder, NULL));
}

static void write_numbered(struct place *place, unsigned number, size_t padding)
{
	char text[4096];
	int len = snprintf(text, sizeof(text), "line %u %.*s", number, (int)padding, "................................................"
			   "................................................................................................");

	log_writer_tick();
	log_writer_line(&place->writer, "stdout", 'F', text, (size_t)len);
}

static bool read_numbered(struct place *place, unsigned *ret_number)
{
	struct log_line line;
	char text[64] = "";

	if (!log_reader_next(&place->reader, &line))
		return false;
	assert_true(line.whole);
	assert_true(line.at > 0);
	memcpy(text, line.text.ptr, MIN(line.text.len, sizeof(text) - 1));
	assert_int_equal(sscanf(text, "line %u", ret_number), 1);
	return true;
}

TEST(what_a_keeper_writes_is_read_in_order_over_turned_files)
{
	for (uint64_t seed = 1; seed <= 30; seed++) {
		struct place place;
		struct random random;
		unsigned written = 0, read = 0, number;

		random_init(&random, seed, 0);
		open_place(&place, "blocking 1000000", 2000);
		while (written < 500) {
			for (uint64_t n = random_below(&random, 12); n-- > 0;)
				write_numbered(&place, written++, random_below(&random, 120));
			log_writer_flush(&place.writer);
			for (uint64_t n = random_below(&random, 14); n-- > 0 && read_numbered(&place, &number);)
				assert_int_equal(number, read++);
			if (random_below(&random, 2))
				place.progress->shipped = place.reader.position;
			if (random_below(&random, 8) == 0) {     /* the shipper begins again where it was acknowledged */
				log_reader_seek(&place.reader, place.progress->shipped);
				if (read_numbered(&place, &number))
					read = number + 1;
				else if (place.progress->shipped < place.progress->written)
					fail_msg("nothing to read at %llu", (unsigned long long)place.progress->shipped);
			}
		}
		while (read_numbered(&place, &number))
			assert_int_equal(number, read++);
		assert_int_equal(read, written);
		assert_int_equal(place.reader.position, place.progress->written);
		close_place(&place);
	}
}

TEST(a_keeper_that_starts_again_goes_on_with_its_log)
{
	struct place place;
	unsigned number, read = 0;

	open_place(&place, "blocking 1000000", 300);
	for (unsigned i = 0; i < 20; i++) {
		write_numbered(&place, i, 40);
		log_writer_flush(&place.writer);
		place.progress->shipped = place.progress->written;
		if (i % 5 == 4) {
			log_writer_close(&place.writer, false);
			if (i == 9)
				place.progress->written -= 20;     /* died between the write and saying so */
			log_writer_open(&place.writer, place.folder, "c", "blocking 1000000");
			place.writer.limit = 300;
		}
		while (read_numbered(&place, &number))
			assert_int_equal(number, read++);
	}
	assert_int_equal(read, 20);
	close_place(&place);
}

/* What turn() of keeper_log.c does, to just before its step `dies_at`. */
static void turn_until(struct place *place, unsigned dies_at)
{
	struct log_progress *progress = place->progress;
	char old[96];

	snprintf(old, sizeof(old), "%s.1", place->path);
	for (unsigned i = 0; i < dies_at; i++) {
		if (i == 0)
			progress->turns++;
		else if (i == 1)
			assert_int_equal(rename(place->path, old), 0);
		else if (i == 2)
			close(open(place->path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
		else if (i == 3)
			progress->previous = progress->turned;
		else if (i == 4)
			progress->turned = progress->written;
		else
			progress->turns++;
	}
}

static void open_written(struct place *place, unsigned count, char *progress, size_t size)
{
	open_place(place, "blocking 1000000", 100000);
	snprintf(progress, size, "%s/c.progress", place->folder);
	for (unsigned i = 0; i < count; i++)
		write_numbered(place, i, 40);
	log_writer_flush(&place->writer);
}

TEST(a_keeper_that_is_killed_while_it_turns_its_log_loses_no_line)
{
	for (unsigned dies_at = 0; dies_at <= 6; dies_at++) {
		struct place place;
		char progress[96];
		unsigned number, read = 0;

		open_written(&place, 10, progress, sizeof(progress));
		if (dies_at % 2 == 0)                    /* one reader comes in the middle of the file, one at its beginning */
			for (; read < 5; read++)
				assert_true(read_numbered(&place, &number));
		turn_until(&place, dies_at);
		log_writer_close(&place.writer, false);

		log_progress_close(progress);
		assert_int_equal(place.progress->closed, 1);
		while (read_numbered(&place, &number))
			assert_int_equal(number, read++);
		assert_int_equal(read, 10);
		assert_int_equal(place.reader.position, place.progress->written);
		close_place(&place);
	}
}

TEST(what_a_killed_keeper_wrote_and_did_not_say_is_read)
{
	struct place place;
	char progress[96];
	unsigned number, read = 0;

	open_written(&place, 10, progress, sizeof(progress));
	place.progress->written -= 100;
	log_writer_close(&place.writer, false);
	log_progress_close(progress);
	while (read_numbered(&place, &number))
		assert_int_equal(number, read++);
	assert_int_equal(read, 10);
	assert_int_equal(place.reader.position, place.progress->written);

	/* A log that its keeper has closed is left as it is, and what is not shipped has no progress to close. */
	place.progress->turns = 1;
	log_progress_close(progress);
	assert_int_equal(place.progress->turns, 1);
	assert_int_equal(unlink(progress), 0);
	log_progress_close(progress);
	assert_int_equal(access(progress, F_OK), -1);
	close_place(&place);
}

TEST(a_full_buffer_makes_a_blocking_container_wait_and_another_one_drop)
{
	struct place place;
	unsigned number, read = 0;

	open_place(&place, "blocking 1000", 100000);
	assert_false(log_writer_is_full(&place.writer));
	for (unsigned i = 0; i < 20; i++)
		write_numbered(&place, i, 40);
	log_writer_flush(&place.writer);
	assert_true(log_writer_is_full(&place.writer));
	place.progress->shipped = place.progress->written;
	assert_false(log_writer_is_full(&place.writer));
	assert_int_equal(place.progress->dropped, 0);
	close_place(&place);

	open_place(&place, "buffer 1000", 100000);
	for (unsigned i = 0; i < 20; i++)
		write_numbered(&place, i, 40);
	log_writer_flush(&place.writer);
	assert_false(log_writer_is_full(&place.writer));
	while (read_numbered(&place, &number))
		read++;
	assert_true(read > 5 && read < 20);
	assert_int_equal(read + place.progress->dropped, 20);
	close_place(&place);
}

TEST(files_of_json_file_are_bounded_by_max_size_and_max_file)
{
	struct place place;
	char path[128];

	open_place(&place, "file 500 3", 500);
	for (unsigned i = 0; i < 100; i++) {
		write_numbered(&place, i, 60);
		log_writer_flush(&place.writer);
	}
	snprintf(path, sizeof(path), "%s.2", place.path);
	assert_int_equal(access(path, F_OK), 0);
	snprintf(path, sizeof(path), "%s.3", place.path);
	assert_int_equal(access(path, F_OK), -1);
	close_place(&place);
}

static bool read_options(const char *type, const char *const *pairs, struct arena *arena, struct log_options *options,
			 struct error *err)
{
	struct docker_log_config config = {.type = str_of(type)};

	config.config.items = arena_array(arena, struct docker_string_map_entry, 16);
	for (; pairs && *pairs; pairs += 2)
		config.config.items[config.config.count++] =
			(struct docker_string_map_entry){str_of(pairs[0]), str_of(pairs[1])};
	return log_options_read(&config, arena, options, err);
}

#define PAIRS(...) (const char *const[]){__VA_ARGS__, NULL}

TEST(log_options_are_read_as_docker_reads_them)
{
	auto_arena arena = {0};
	struct log_options options;
	struct error err = {0};

	assert_true(log_options_read(NULL, &arena, &options, &err));
	EXPECT_STR(options.mode, S("file 67108864 2"));
	assert_true(read_options("json-file", PAIRS("max-size", "10m", "max-file", "5"), &arena, &options, &err));
	EXPECT_STR(options.mode, S("file 10485760 5"));
	assert_true(read_options("none", NULL, &arena, &options, &err));
	assert_int_equal(options.driver, LOG_NOTHING);
	assert_true(read_options("awslogs", PAIRS("awslogs-group", "/ecs/web", "awslogs-create-group", "true", "mode",
						  "non-blocking", "max-buffer-size", "4m"), &arena, &options, &err));
	EXPECT_STR(options.mode, S("buffer 4194304"));
	assert_true(options.target->create_group.value);
	assert_true(read_options("awslogs", PAIRS("awslogs-group", "g"), &arena, &options, &err));
	assert_true(str_starts(options.mode, S("blocking ")));
}

TEST(log_options_that_would_do_nothing_are_refused)
{
	const struct { const char *type; const char *const *pairs; const char *says; } bad[] = {
		{"json-file", PAIRS("labels-regex", "x"), "unknown log opt 'labels-regex' for json-file log driver"},
		{"json-file", PAIRS("max-size", "much"), "invalid value for log opt max-size: 'much'"},
		{"json-file", PAIRS("max-file", "0"), "max-file must be between"},
		{"awslogs", PAIRS("awslogs-region", "us-east-1"), "must specify a value for log opt 'awslogs-group'"},
		{"awslogs", PAIRS("awslogs-group", "g", "mode", "never"), "invalid logging mode: never"},
		{"awslogs", PAIRS("awslogs-group", "g", "max-buffer-size", "1m"), "only supported with 'mode=non-blocking'"},
		{"awslogs", PAIRS("awslogs-group", "g", "awslogs-create-group", "yes"), "must specify valid value"},
		{"awslogs", PAIRS("awslogs-group", "g", "awslogs-multiline-pattern", "a", "awslogs-datetime-format", "b"),
		 "at the same time"},
		{"gelf", NULL, "no log driver named 'gelf' is registered"},
	};

	for (size_t i = 0; i < COUNT(bad); i++) {
		auto_arena arena = {0};
		struct log_options options;
		struct error err = {0};

		assert_false(read_options(bad[i].type, bad[i].pairs, &arena, &options, &err));
		if (!strstr(err.text, bad[i].says))
			fail_msg("'%s' does not say '%s'", err.text, bad[i].says);
	}
}

TEST(a_date_format_becomes_a_pattern)
{
	auto_arena arena = {0};

	EXPECT_STR(log_options_time_pattern(S("[%b %d, %Y %H:%M:%S]"), &arena),
		   S("\\[(Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) [0-9]{2}, [0-9]{4} [0-9]{2}:[0-9]{2}:[0-9]{2}\\]"));
	EXPECT_STR(log_options_time_pattern(S("100%"), &arena), S("100%"));
}
