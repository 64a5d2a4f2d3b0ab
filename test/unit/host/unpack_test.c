#include "host/unpack.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>
#include "image_support.h"
#include "os/fd.h"
#include "os/file.h"
#include "test/test.h"

/* A folder with a root to unpack into, and beside it what must not change. */
struct bench { struct arena arena; const char *folder, *root; struct str outside; struct error error; };

static const struct unpack_limits plenty = {1 << 30, 100000};

static void bench_init(struct bench *bench)
{
	*bench = (struct bench){0};
	bench->folder = scratch_folder(&bench->arena);
	bench->root = arena_cstr(&bench->arena, arena_printf(&bench->arena, "%s/root", bench->folder));
	run_output(&bench->arena, "cd '%s' && mkdir root secret && echo mine >secret/file && echo mine >passwd",
		   bench->folder);
	bench->outside = run_output(&bench->arena, "cd '%s' && find passwd secret -printf '%%y %%m %%n %%s %%T@ %%p\\n' "
				    "-type f -exec cat {} +; ls", bench->folder);
}

static void bench_fini(struct bench *bench)
{
	EXPECT_STR(run_output(&bench->arena, "cd '%s' && find passwd secret -printf '%%y %%m %%n %%s %%T@ %%p\\n' "
			      "-type f -exec cat {} +; ls", bench->folder), bench->outside);
	arena_fini(&bench->arena);
}

#define auto_bench __attribute__((cleanup(bench_fini))) struct bench

static bool unpack_limited(struct bench *bench, struct str bytes, size_t step, const struct unpack_limits *limits)
{
	auto_fd root_fd = open(bench->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct unpack *unpack = unpack_new(root_fd, limits);
	unsigned char hash[32], diff[32];
	bool done = true;

	for (size_t i = 0; i < bytes.len && done; i += step)
		done = unpack_write(unpack, str_slice(bytes, i, MIN(i + step, bytes.len)), &bench->error);
	done = done && unpack_finish(unpack, hash, diff, &bench->error);
	unpack_free(unpack);
	return done;
}

static bool unpack_all(struct bench *bench, struct str bytes)
{
	return unpack_limited(bench, bytes, 65536, &plenty);
}

static struct stat status_of(struct bench *bench, const char *name)
{
	struct stat status;
	const char *path = arena_cstr(&bench->arena, arena_printf(&bench->arena, "%s/%s", bench->root, name));

	assert_int_equal(lstat(path, &status), 0);
	return status;
}

static bool is_there(struct bench *bench, const char *name)
{
	struct stat status;

	return lstat(arena_cstr(&bench->arena, arena_printf(&bench->arena, "%s/%s", bench->root, name)), &status) == 0;
}

static struct str contents(struct bench *bench, const char *name)
{
	return run_output(&bench->arena, "cat '%s/%s'", bench->root, name);
}

static struct str xattr_of(struct bench *bench, const char *name, const char *key)
{
	const char *path = arena_cstr(&bench->arena, arena_printf(&bench->arena, "%s/%s", bench->root, name));
	char *value = arena_alloc_bytes(&bench->arena, 256);
	ssize_t len = lgetxattr(path, key, value, 256);

	return len < 0 ? STR_NONE : (struct str){value, (size_t)len};
}

static void expect_refused(struct bench *bench, struct buffer *tar, const char *text)
{
	tar_end(tar);
	assert_false(unpack_all(bench, buffer_str(tar)));
	EXPECT_STR(str_of(bench->error.text), str_of(text));
	assert_int_equal(bench->error.code, ERROR_REFUSED);
}

#define HOSTILE(sentence, text, ...) \
	TEST(sentence) \
	{ \
		const struct tar_member members[] = {__VA_ARGS__}; \
		auto_buffer tar = {0}; \
		auto_bench bench; \
		bench_init(&bench); \
		for (size_t i = 0; i < COUNT(members); i++) \
			tar_add(&tar, &members[i]); \
		expect_refused(&bench, &tar, text); \
	}

HOSTILE(a_member_with_dots_is_refused, "layer member '../passwd' leads out of the image's root",
	{"../passwd", .data = "evil"})
HOSTILE(dots_in_the_middle_are_refused, "layer member 'a/../../passwd' leads out of the image's root",
	{"a/", .type = '5'}, {"a/../../passwd", .data = "evil"})
HOSTILE(a_folder_that_is_dots_is_refused, "layer member '..' leads out of the image's root", {"..", .type = '5'})
HOSTILE(an_absolute_name_is_refused, "layer member '/tmp/wherry-evil' has an absolute name",
	{"/tmp/wherry-evil", .data = "evil"})
HOSTILE(a_link_out_is_not_gone_through,
	"layer member 'way/file' goes through what is no folder but a link or a file",
	{"way", "../secret", .type = '2'}, {"way/file", .data = "evil"})
HOSTILE(an_absolute_link_is_not_gone_through,
	"layer member 'way/file' goes through what is no folder but a link or a file",
	{"way", "/tmp", .type = '2'}, {"way/file", .data = "evil"})
HOSTILE(a_link_to_a_link_is_not_gone_through,
	"layer member 'b/file' goes through what is no folder but a link or a file",
	{"a", "..", .type = '2'}, {"b", "a/secret", .type = '2'}, {"b/file", .data = "evil"})
HOSTILE(a_link_planted_where_we_are_writing_is_not_gone_through,
	"layer member 'a/b/file' goes through what is no folder but a link or a file",
	{"a/b/other", .data = "fine"}, {"a/b", "../../secret", .type = '2'}, {"a/b/file", .data = "evil"})
HOSTILE(a_whiteout_does_not_go_through_a_link,
	"layer member 'way/.wh.file' goes through what is no folder but a link or a file",
	{"way", "../secret", .type = '2'}, {"way/.wh.file"})
HOSTILE(a_whiteout_of_dots_is_refused, "layer member '.wh...' hides no proper name", {".wh..."})
HOSTILE(a_whiteout_of_nothing_is_refused, "layer member 'a/.wh.' hides no proper name", {"a/.wh."})
HOSTILE(a_hard_link_to_outside_is_refused,
	"target of a hard link: layer member '../passwd' leads out of the image's root",
	{"a", "../passwd", .type = '1'})
HOSTILE(a_hard_link_to_an_absolute_name_is_refused,
	"target of a hard link: layer member '/etc/passwd' has an absolute name", {"a", "/etc/passwd", .type = '1'})
HOSTILE(a_hard_link_through_a_link_is_refused, "layer member 'a' is a hard link to what is not in the layer",
	{"way", "../secret", .type = '2'}, {"a", "way/file", .type = '1'})
HOSTILE(a_hard_link_to_nothing_is_refused,
	"layer member 'a' is a hard link to what is not in the layer or no file", {"a", "b", .type = '1'})
HOSTILE(a_hard_link_to_a_folder_is_refused,
	"layer member 'a' is a hard link to what is not in the layer or no file",
	{"b/", .type = '5'}, {"a", "b", .type = '1'})
HOSTILE(a_character_device_is_refused, "layer member 'dev/mem' is a device node",
	{"dev/mem", .type = '3', .device_major = 1, .device_minor = 1})
HOSTILE(a_block_device_is_refused, "layer member 'disk' is a device node",
	{"disk", .type = '4', .device_major = 8})
HOSTILE(a_block_device_of_zero_is_no_whiteout, "layer member 'disk' is a device node", {"disk", .type = '4'})
HOSTILE(a_root_that_is_a_link_is_refused, "layer member './' stands for the root but is no folder",
	{"./", "../secret", .type = '2'})
HOSTILE(an_absurd_size_is_refused, "layer member 'huge' makes the layer larger than allowed",
	{"huge", .size = 1ull << 32})
HOSTILE(a_file_is_no_folder, "layer member 'a/b' goes through what is no folder but a link or a file",
	{"a", .data = "x"}, {"a/b", .data = "y"})
HOSTILE(strange_bytes_in_a_name_are_shown_as_marks, "layer member '../?[31m?' leads out of the image's root",
	{"../\033[31m\xff"})

/* A hard link to a link gives the link another name; what it points to stays out of reach. */
TEST(writing_to_a_hard_link_of_a_link_replaces_it)
{
	auto_buffer tar = {0};
	auto_bench bench;

	bench_init(&bench);
	tar_add(&tar, &(struct tar_member){"link", "../passwd", .type = '2'});
	tar_add(&tar, &(struct tar_member){"again", "link", .type = '1'});
	tar_add(&tar, &(struct tar_member){"again", .data = "evil"});
	tar_add(&tar, &(struct tar_member){"link", .data = "evil"});
	tar_end(&tar);
	assert_true(unpack_all(&bench, buffer_str(&tar)));
	EXPECT_STR(contents(&bench, "again"), S("evil"));
	assert_true(S_ISREG(status_of(&bench, "link").st_mode));
}

TEST(a_link_may_say_what_it_likes)
{
	auto_buffer tar = {0};
	auto_bench bench;

	bench_init(&bench);
	tar_add(&tar, &(struct tar_member){"mtab", "/proc/mounts", .type = '2', .uid = 7, .mtime = 1000});
	tar_add(&tar, &(struct tar_member){"up", "../../..", .type = '2'});
	tar_end(&tar);
	assert_true(unpack_all(&bench, buffer_str(&tar)));
	assert_true(S_ISLNK(status_of(&bench, "mtab").st_mode));
	assert_int_equal(status_of(&bench, "mtab").st_uid, geteuid() == 0 ? 7 : geteuid());
	assert_int_equal(status_of(&bench, "mtab").st_mtime, 1000);
}

TEST(a_name_too_long_or_too_deep_is_refused)
{
	char name[UNPACK_PATH_LIMIT + 2], deep[2 * UNPACK_DEPTH_LIMIT + 2] = "";

	memset(name, 'n', sizeof(name) - 1);
	for (size_t i = 200; i < sizeof(name) - 1; i += 200)
		name[i] = '/';
	name[sizeof(name) - 1] = '\0';
	for (int i = 0; i < UNPACK_DEPTH_LIMIT + 1; i++)
		strcat(deep, i ? "/d" : "d");
	for (int i = 0; i < 3; i++) {
		struct str names[] = {{name, UNPACK_NAME_LIMIT + 1}, str_of(name), str_of(deep)};
		auto_buffer tar = {0};
		auto_bench bench;

		bench_init(&bench);
		if (i == 0)
			memset(name, 'n', UNPACK_NAME_LIMIT + 1);
		tar_add_pax(&tar, "path", names[i]);
		tar_add(&tar, &(struct tar_member){"short"});
		tar_end(&tar);
		assert_false(unpack_all(&bench, buffer_str(&tar)));
		assert_int_equal(bench.error.code, ERROR_REFUSED);
		assert_true(strstr(bench.error.text, i == 2 ? "lies too deep" : "has too long a name") != NULL);
	}
}

TEST(a_name_at_the_limit_is_fine)
{
	char deep[2 * UNPACK_DEPTH_LIMIT + 2] = "", name[UNPACK_NAME_LIMIT + 1] = "";
	auto_buffer tar = {0};
	auto_bench bench;

	bench_init(&bench);
	for (int i = 0; i < UNPACK_DEPTH_LIMIT; i++)
		strcat(deep, i ? "/d" : "d");
	memset(name, 'n', UNPACK_NAME_LIMIT);
	tar_add_pax(&tar, "path", str_of(deep));
	tar_add(&tar, &(struct tar_member){"short", .data = "deep"});
	tar_add_pax(&tar, "path", str_of(name));
	tar_add(&tar, &(struct tar_member){"short", .data = "long"});
	tar_end(&tar);
	assert_true(unpack_all(&bench, buffer_str(&tar)));
	EXPECT_STR(contents(&bench, deep), S("deep"));
	EXPECT_STR(contents(&bench, name), S("long"));
}

TEST(more_members_than_allowed_are_refused)
{
	for (uint64_t limit = 2; limit <= 3; limit++) {
		auto_buffer tar = {0};
		auto_bench bench;

		bench_init(&bench);
		for (int i = 0; i < 3; i++)
			tar_add(&tar, &(struct tar_member){(const char *[]){"a", "b", "c"}[i]});
		tar_end(&tar);
		assert_int_equal(unpack_limited(&bench, buffer_str(&tar), 100, &(struct unpack_limits){1 << 20, limit}),
				 limit == 3);
		if (limit == 2)
			EXPECT_STR(str_of(bench.error.text), S("the layer has more than 2 members"));
	}
}

static void gzip_add(struct buffer *out, struct str bytes)
{
	z_stream stream = {0};

	assert_int_equal(deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
	buffer_reserve(out, deflateBound(&stream, bytes.len));
	stream.next_in = (unsigned char *)(uintptr_t)bytes.ptr;
	stream.avail_in = (unsigned)bytes.len;
	stream.next_out = (unsigned char *)out->bytes + out->len;
	stream.avail_out = (unsigned)(out->capacity - out->len);
	assert_int_equal(deflate(&stream, Z_FINISH), Z_STREAM_END);
	out->len += stream.total_out;
	deflateEnd(&stream);
}

static void zstd_add(struct buffer *out, struct str bytes)
{
	buffer_reserve(out, ZSTD_compressBound(bytes.len));
	out->len += ZSTD_compress(out->bytes + out->len, out->capacity - out->len, bytes.ptr, bytes.len, 3);
}

TEST(a_small_bomb_is_stopped_at_the_limit)
{
	auto_buffer tar = {0}, bomb = {0};
	auto_bench bench;

	bench_init(&bench);
	tar_add(&tar, &(struct tar_member){"a"});
	tar_end(&tar);
	buffer_reserve(&tar, 64 << 20);
	memset(tar.bytes + tar.len, 0, 64 << 20);
	tar.len += 64 << 20;
	gzip_add(&bomb, buffer_str(&tar));
	assert_false(unpack_limited(&bench, buffer_str(&bomb), 65536, &(struct unpack_limits){32 << 20, 10}));
	EXPECT_STR(str_of(bench.error.text), S("the layer unpacks to more than 33554432 bytes"));
}

/* The same layer in every form, in one piece and byte by byte. */
TEST(gzip_zstd_and_plain_unpack_alike)
{
	auto_buffer tar = {0}, gzip = {0}, zstd = {0}, pieces = {0};
	struct buffer *forms[] = {&tar, &gzip, &zstd, &pieces};

	tar_add(&tar, &(struct tar_member){"a/b/c", .data = "hello", .mode = 0640});
	tar_end(&tar);
	gzip_add(&gzip, buffer_str(&tar));
	zstd_add(&zstd, buffer_str(&tar));
	gzip_add(&pieces, str_slice(buffer_str(&tar), 0, 700));
	gzip_add(&pieces, str_slice(buffer_str(&tar), 700, tar.len));
	for (size_t i = 0; i < 2 * COUNT(forms); i++) {
		auto_bench bench;

		bench_init(&bench);
		assert_true(unpack_limited(&bench, buffer_str(forms[i / 2]), i % 2 ? 1 : 100000, &plenty));
		EXPECT_STR(contents(&bench, "a/b/c"), S("hello"));
		assert_int_equal(status_of(&bench, "a/b/c").st_mode & 07777, 0640);
	}
}

TEST(a_stream_cut_off_anywhere_is_refused)
{
	auto_buffer tar = {0}, gzip = {0}, zstd = {0};
	struct buffer *forms[] = {&gzip, &zstd};

	tar_add(&tar, &(struct tar_member){"a", .data = "hello"});
	tar_end(&tar);
	gzip_add(&gzip, buffer_str(&tar));
	zstd_add(&zstd, buffer_str(&tar));
	for (size_t form = 0; form < COUNT(forms); form++)
		for (size_t len = 0; len < forms[form]->len; len += 17) {
			auto_bench bench;

			bench_init(&bench);
			assert_false(unpack_all(&bench, str_slice(buffer_str(forms[form]), 0, len)));
			assert_int_equal(bench.error.code, ERROR_CORRUPT);
		}
	for (size_t len = 100; len < 1024; len += 300) { /* the head, or the data, of the only member */
		auto_bench bench;

		bench_init(&bench);
		if (len != 700)
			assert_false(unpack_all(&bench, str_slice(buffer_str(&tar), 0, MIN(len, 516))));
	}
}

TEST(rubbish_is_refused)
{
	struct str rubbish[] = {S("x"), S("hello, I am no tar at all"), S("\x1f\x8b\x08 but no gzip behind it"),
				S("\x28\xb5\x2f\xfd but no zstd")};

	for (size_t i = 0; i < COUNT(rubbish); i++) {
		auto_bench bench;

		bench_init(&bench);
		assert_false(unpack_all(&bench, rubbish[i]));
		assert_int_equal(bench.error.code, ERROR_CORRUPT);
	}
}

TEST(mode_owner_time_and_setuid_are_kept)
{
	auto_buffer tar = {0};
	auto_bench bench;
	struct stat status;

	bench_init(&bench);
	tar_add(&tar, &(struct tar_member){"./", .type = '5', .mode = 0751, .mtime = 900});
	tar_add(&tar, &(struct tar_member){"bin/", .type = '5', .mode = 02755, .mtime = 1000});
	tar_add(&tar, &(struct tar_member){"bin/su", .data = "x", .mode = 04755, .uid = 12, .gid = 34, .mtime = 2000});
	tar_add(&tar, &(struct tar_member){"tmp/", .type = '5', .mode = 01777, .mtime = 3000});
	tar_add(&tar, &(struct tar_member){"bin/two", .data = "y"});
	tar_add(&tar, &(struct tar_member){"pipe", .type = '6', .mode = 0622, .uid = 12});
	tar_end(&tar);
	assert_true(unpack_all(&bench, buffer_str(&tar)));
	status = status_of(&bench, "bin/su");
	assert_int_equal(status.st_mode, S_IFREG | 04755);
	if (geteuid() == 0) {
		assert_int_equal(status.st_uid, 12);
		assert_int_equal(status.st_gid, 34);
	}
	assert_int_equal(status.st_mtime, 2000);
	assert_int_equal(status_of(&bench, "bin").st_mode, S_IFDIR | 02755);
	assert_int_equal(status_of(&bench, "bin").st_mtime, 1000); /* filled twice, later */
	assert_int_equal(status_of(&bench, "tmp").st_mode, S_IFDIR | 01777);
	assert_int_equal(status_of(&bench, "pipe").st_mode, S_IFIFO | 0622);
	assert_int_equal(status_of(&bench, ".").st_mode, S_IFDIR | 0751);
	assert_int_equal(status_of(&bench, ".").st_mtime, 900);
}

TEST(user_xattrs_and_capabilities_are_kept_and_no_others)
{
	static const char capability[] = {1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
	auto_buffer tar = {0};
	auto_bench bench;

	if (geteuid() != 0)
		skip();
	bench_init(&bench);
	tar_add_pax(&tar, "SCHILY.xattr.user.note", S("hello"));
	tar_add_pax(&tar, "SCHILY.xattr.user.overlay.opaque", S("y"));
	tar_add(&tar, &(struct tar_member){"dir/", .type = '5'});
	tar_add_pax(&tar, "SCHILY.xattr.trusted.overlay.redirect", S("/etc"));
	tar_add(&tar, &(struct tar_member){"dir2/", .type = '5'});
	tar_add_pax(&tar, "SCHILY.xattr.security.capability", (struct str){capability, sizeof(capability)});
	tar_add(&tar, &(struct tar_member){"ping", .data = "x", .mode = 0755, .uid = 3});
	tar_add_pax(&tar, "SCHILY.xattr.user.note", S("hello"));
	tar_add(&tar, &(struct tar_member){"noted", .data = "x"});
	tar_end(&tar);
	assert_true(unpack_all(&bench, buffer_str(&tar)));
	EXPECT_STR(xattr_of(&bench, "noted", "user.note"), S("hello"));
	assert_false(str_has(xattr_of(&bench, "dir", "user.overlay.opaque")));
	assert_false(str_has(xattr_of(&bench, "dir2", "trusted.overlay.redirect")));
	EXPECT_STR(xattr_of(&bench, "ping", "security.capability"), ((struct str){capability, sizeof(capability)}));
}

TEST(whiteouts_become_those_of_overlayfs)
{
	auto_buffer tar = {0};
	auto_bench bench;
	struct stat status;

	if (geteuid() != 0)
		skip();
	bench_init(&bench);
	tar_add(&tar, &(struct tar_member){"etc/.wh.gone"});
	tar_add(&tar, &(struct tar_member){"var/.wh..wh..opq"});
	tar_add(&tar, &(struct tar_member){"var/new", .data = "x"});
	tar_add(&tar, &(struct tar_member){".wh..wh.plnk", .type = '5'});
	tar_add(&tar, &(struct tar_member){"given", .type = '3'});
	/* a folder that the layer both removes and makes anew hides what was below, in either order */
	tar_add(&tar, &(struct tar_member){".wh.first"});
	tar_add(&tar, &(struct tar_member){"first/", .type = '5'});
	tar_add(&tar, &(struct tar_member){"second/file"});
	tar_add(&tar, &(struct tar_member){".wh.second"});
	tar_add(&tar, &(struct tar_member){".wh.third"});
	tar_add(&tar, &(struct tar_member){"third/file"});
	tar_add(&tar, &(struct tar_member){"kept", .data = "x"});
	tar_add(&tar, &(struct tar_member){".wh.kept"});
	tar_end(&tar);
	assert_true(unpack_all(&bench, buffer_str(&tar)));
	for (int i = 0; i < 2; i++) {
		status = status_of(&bench, i ? "given" : "etc/gone");
		assert_true(S_ISCHR(status.st_mode));
		assert_int_equal(status.st_rdev, makedev(0, 0));
	}
	for (int i = 0; i < 4; i++)
		EXPECT_STR(xattr_of(&bench, (const char *[]){"var", "first", "second", "third"}[i],
				    "trusted.overlay.opaque"), S("y"));
	EXPECT_STR(contents(&bench, "kept"), S("x"));
	assert_true(is_there(&bench, "third/file"));
	assert_false(is_there(&bench, ".wh..wh.plnk"));
}

TEST(the_latest_member_of_a_name_wins)
{
	auto_buffer tar = {0};
	auto_bench bench;

	bench_init(&bench);
	tar_add(&tar, &(struct tar_member){"a/b/c", .data = "x"});
	tar_add(&tar, &(struct tar_member){"a", .data = "file"});
	tar_add(&tar, &(struct tar_member){"l", "a", .type = '1'});
	tar_add(&tar, &(struct tar_member){"a", .data = "other"});
	tar_add(&tar, &(struct tar_member){"d", "nowhere", .type = '2'});
	tar_add(&tar, &(struct tar_member){"d/", .type = '5'});
	tar_add(&tar, &(struct tar_member){"d/e", .data = "e"});
	tar_add(&tar, &(struct tar_member){"d/", .type = '5', .mode = 0700});
	tar_end(&tar);
	assert_true(unpack_all(&bench, buffer_str(&tar)));
	EXPECT_STR(contents(&bench, "a"), S("other"));
	EXPECT_STR(contents(&bench, "l"), S("file"));
	EXPECT_STR(contents(&bench, "d/e"), S("e"));
	assert_int_equal(status_of(&bench, "d").st_mode & 07777, 0700);
}

TEST(what_gnu_tar_makes_unpacks_the_same)
{
	static const char *const formats[] = {"gnu", "pax"};

	for (size_t i = 0; i < COUNT(formats); i++) {
		struct str text;
		auto_bench bench;

		bench_init(&bench);
		run_output(&bench.arena,
			   "mkdir '%s/secret/t' && cd '%s/secret/t' && mkdir -p gr\303\266\303\237e && echo 1 >gr\303\266\303\237e/f\303\274nf && "
			   "long=$(printf 'x%%.0s' $(seq 150)) && mkdir -p $long/$long && echo 2 >$long/$long/file && "
			   "ln -s $long/$long/file link && ln $long/$long/file hard && truncate -s 300M sparse && "
			   "echo middle | dd of=sparse bs=1M seek=150 conv=notrunc 2>/dev/null && chmod 4711 hard && "
			   "tar --format=%s -S -cf '%s/root/../t.tar' . ", bench.folder, bench.folder, formats[i],
			   bench.folder);
		assert_true(file_read(AT_FDCWD, arena_cstr(&bench.arena, arena_printf(&bench.arena, "%s/t.tar", bench.folder)),
				      1 << 20, &bench.arena, &text, NULL));
		assert_true(unpack_limited(&bench, text, 1000, &(struct unpack_limits){4ull << 30, 100}));
		EXPECT_STR(folder_listing(&bench.arena, bench.root),
			   folder_listing(&bench.arena, arena_cstr(&bench.arena, arena_printf(&bench.arena, "%s/secret/t", bench.folder))));
		run_output(&bench.arena, "cd '%s' && cmp root/sparse secret/t/sparse && rm -r secret/t t.tar && touch -d @1 secret",
			   bench.folder);
		assert_true(status_of(&bench, "sparse").st_blocks < 10000);
		bench.outside = run_output(&bench.arena, "cd '%s' && find passwd secret -printf '%%y %%m %%n %%s %%T@ %%p\\n' "
					   "-type f -exec cat {} +; ls", bench.folder);
	}
}

TEST(an_unpack_given_up_in_the_middle_ends)
{
	auto_buffer tar = {0};
	auto_bench bench;
	auto_fd root_fd = -1;
	struct unpack *unpack;

	bench_init(&bench);
	root_fd = open(bench.root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	unpack = unpack_new(root_fd, &plenty);
	tar_add(&tar, &(struct tar_member){"a", .data = "hello"});
	assert_true(unpack_write(unpack, str_slice(buffer_str(&tar), 0, 600), &bench.error));
	unpack_free(unpack);
	unpack_free(unpack_new(root_fd, &plenty));
}
