#include "host/image.h"
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "image_support.h"
#include "test/test.h"

struct bench { struct arena arena; const char *folder; struct images *images; struct error error; };

static void bench_init(struct bench *bench)
{
	*bench = (struct bench){0};
	bench->folder = scratch_folder(&bench->arena);
	assert_true(images_open(&(struct images_options){
		.folder = arena_printf(&bench->arena, "%s/images", bench->folder), .inactivity_seconds = 1},
		&bench->images, &bench->error));
}

static void bench_fini(struct bench *bench)
{
	images_close(bench->images);
	arena_fini(&bench->arena);
}

#define auto_bench __attribute__((cleanup(bench_fini))) struct bench

static struct str name_of(struct bench *bench, const char *path)
{
	return arena_printf(&bench->arena, "127.0.0.1:%d/%s", test_registry()->port, path);
}

static bool pull(struct bench *bench, const char *path, struct image *ret_image)
{
	return images_pull(bench->images, name_of(bench, path), NULL, &bench->arena, ret_image, &bench->error);
}

static struct str layer_file(struct bench *bench, const struct image *image, size_t layer, const char *path)
{
	return run_output(&bench->arena, "cat '%.*s/%s'", STR(image->layers[layer]), path);
}

static struct str layout(void) { return str_of(test_registry()->layout); }

/* A layout of one image of it. */
static struct str layout_of(struct bench *bench, const char *tag)
{
	run_output(&bench->arena, "skopeo copy -q oci:%.*s:%s oci:%s/%s", STR(layout()), tag, bench->folder, tag);
	return arena_printf(&bench->arena, "%s/%s", bench->folder, tag);
}

/* What must be left after a failure and a collection: nothing. */
static void expect_empty(struct bench *bench)
{
	uint64_t freed;

	assert_true(images_collect(bench->images, &freed, &bench->error));
	EXPECT_STR(run_output(&bench->arena, "cd '%s/images' && find . -mindepth 2 -not -name sha256", bench->folder), S(""));
}

TEST(references_are_read_as_docker_reads_them)
{
	static const char hex[] = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
	static const struct { const char *text, *registry, *repository, *tag; } rows[] = {
		{"busybox", "docker.io", "library/busybox", "latest"},
		{"busybox:1.36", "docker.io", "library/busybox", "1.36"},
		{"me/app", "docker.io", "me/app", "latest"},
		{"docker.io/busybox", "docker.io", "library/busybox", "latest"},
		{"index.docker.io/a/b:c", "docker.io", "a/b", "c"},
		{"localhost/a", "localhost", "a", "latest"},
		{"localhost:5000/a/b:tag", "localhost:5000", "a/b", "tag"},
		{"123456789012.dkr.ecr.us-east-1.amazonaws.com/x/y:V_1.2-3", "123456789012.dkr.ecr.us-east-1.amazonaws.com", "x/y",
		 "V_1.2-3"},
		{"[::1]:5000/a", "[::1]:5000", "a", "latest"},
		{"a__b/c-d---e/f.g_h", "docker.io", "a__b/c-d---e/f.g_h", "latest"},
	};
	static const char *const bad[] = {
		"", ":", "a:", "A", "a/B", "a b", "a//b", "/a", "a/", "a:b:c/d:", "a@sha256:12", "a@md5:00", "-a", "a-", "a___b", "a..b",
		"a:.x", "a:-x", "host:99999/a", "host.:5000/a", "host:/a", "a@", "a\n", "\xc3\xa4", "http://a/b", "[::1/a",
	};
	struct image_reference reference;
	auto_arena arena = {0};
	struct error error;

	for (size_t i = 0; i < COUNT(rows); i++) {
		assert_true(image_reference_parse(str_of(rows[i].text), &arena, &reference, &error));
		EXPECT_STR(reference.registry, str_of(rows[i].registry));
		EXPECT_STR(reference.repository, str_of(rows[i].repository));
		EXPECT_STR(reference.tag, str_of(rows[i].tag));
	}
	for (size_t i = 0; i < COUNT(bad); i++)
		if (image_reference_parse(str_of(bad[i]), &arena, &reference, &error))
			fail_msg("'%s' was taken", bad[i]);
	assert_false(image_reference_parse(S("ho\0st:5000/a"), &arena, &reference, &error));
	assert_false(image_reference_parse(S("a:b\0c"), &arena, &reference, &error));
	assert_true(image_reference_parse(arena_printf(&arena, "a@%s", hex), &arena, &reference, &error));
	EXPECT_STR(reference.digest, str_of(hex));
	assert_false(str_has(reference.tag));
	image_reference_parse(S("Upper"), &arena, &reference, &error);
	EXPECT_STR(str_of(error.text), S("invalid reference format: repository name must be lowercase: 'Upper'"));
}

TEST(a_login_is_found_by_its_registry)
{
	static const struct { const char *text, *registry; } rows[] = {
		{"https://index.docker.io/v1/", "docker.io"}, {"docker.io", "docker.io"}, {"registry-1.docker.io", "docker.io"},
		{"Host:5000", "Host:5000"}, {"http://localhost/v2/", "localhost"}, {"https://[::1]:5000", "[::1]:5000"},
	};
	static const char *const bad[] = {"", "https://", "/v1/", "ftp://host", "host:", "a b", "user@host"};
	struct image_registry_login items[] = {{S("docker.io"), {S("hub"), S("a")}}, {S("Host:5000"), {S("own"), S("b")}}};
	struct image_logins logins = {items, COUNT(items)};
	auto_arena arena = {0};
	struct str registry;

	for (size_t i = 0; i < COUNT(rows); i++) {
		assert_true(image_registry_parse(str_of(rows[i].text), &registry));
		EXPECT_STR(registry, str_of(rows[i].registry));
	}
	for (size_t i = 0; i < COUNT(bad); i++)
		if (image_registry_parse(str_of(bad[i]), &registry))
			fail_msg("'%s' was taken", bad[i]);
	EXPECT_STR(image_login_find(&logins, S("busybox"), &arena)->username, S("hub"));
	EXPECT_STR(image_login_find(&logins, S("index.docker.io/me/app:1"), &arena)->username, S("hub"));
	EXPECT_STR(image_login_find(&logins, S("host:5000/app"), &arena)->username, S("own"));
	assert_null(image_login_find(&logins, S("host.example/app"), &arena));
	assert_null(image_login_find(&logins, S("NOT AN IMAGE"), &arena));
}

TEST(a_name_has_a_limit)
{
	char name[IMAGE_NAME_LIMIT + 1];
	struct image_reference reference;
	auto_arena arena = {0};
	struct error error;

	memset(name, 'a', sizeof(name));
	assert_true(image_reference_parse((struct str){name, 247}, &arena, &reference, &error));
	assert_false(image_reference_parse((struct str){name, 248}, &arena, &reference, &error));
	assert_false(image_reference_parse((struct str){name, sizeof(name)}, &arena, &reference, &error));
	EXPECT_STR(str_of(error.text), S("image name is longer than 4096 bytes"));
}

TEST(a_pulled_image_is_whole_and_found_again)
{
	struct image image, found;
	auto_bench bench;
	int blobs;

	bench_init(&bench);
	assert_false(images_find(bench.images, name_of(&bench, "open/x:app"), &bench.arena, &found, &bench.error));
	assert_int_equal(bench.error.code, ERROR_NOT_FOUND);
	if (!pull(&bench, "open/x:app", &image))
		fail_msg("%s", bench.error.text);
	assert_int_equal(image.layer_count, 3);
	EXPECT_STR(layer_file(&bench, &image, 0, "etc/motd"), S("lower\n"));
	EXPECT_STR(layer_file(&bench, &image, 1, "etc/motd"), S("upper\n"));
	run_output(&bench.arena, "cmp /bin/busybox '%.*s/bin/busybox'", STR(image.layers[0]));
	EXPECT_STR(image.config->config->cmd.items[0], S("/bin/busybox"));
	blobs = test_registry_blobs(test_registry());
	assert_true(images_find(bench.images, name_of(&bench, "open/x:app"), &bench.arena, &found, &bench.error));
	EXPECT_STR(found.digest, image.digest);
	EXPECT_STR(found.layers[2], image.layers[2]);
	assert_true(pull(&bench, "open/x:app", &image)); /* nothing is fetched twice */
	assert_int_equal(test_registry_blobs(test_registry()), blobs);
}

TEST(an_image_by_digest_is_not_asked_for_again)
{
	struct image image;
	auto_bench bench;
	const char *path;

	bench_init(&bench);
	assert_true(pull(&bench, "open/x:app", &image));
	path = arena_cstr(&bench.arena, arena_printf(&bench.arena, "open/x@%.*s", STR(image.digest)));
	assert_true(pull(&bench, path, &image));
	path = arena_cstr(&bench.arena, arena_printf(&bench.arena, "127.0.0.1:%d/open/x@%.*s", test_registry()->port,
						     STR(image.digest)));
	assert_true(images_pull(bench.images, str_of(path), NULL, &bench.arena, &image, &bench.error));
}

TEST(an_index_gives_this_machines_image)
{
	struct image image;
	auto_bench bench;

	bench_init(&bench);
	assert_true(pull(&bench, "open/x:multi", &image));
	EXPECT_STR(layer_file(&bench, &image, 1, "arch"), image.config->architecture);
	assert_false(pull(&bench, "open/x:foreign", &image));
	assert_true(strstr(bench.error.text, "image Manifest does not contain descriptor matching platform 'linux/"));
}

TEST(errors_say_what_is_wrong)
{
	static const struct { const char *path; enum error_code code; const char *text; } rows[] = {
		{"open/x:nothing", ERROR_NOT_FOUND, "pull image manifest has been retried 1 time(s): failed to resolve ref "},
		{"open/x:wrong-diff", ERROR_CORRUPT, "the digest of its tar is sha256:"},
		{"open/x:traversal", ERROR_REFUSED, "layer member '../outside' leads out of the image's root"},
		{"open/x:no-size", ERROR_REFUSED, "the image's manifest has no size for its layer"},
		{"open/x:many", ERROR_REFUSED, "the image has 128 layers; 1 to 127 are supported"},
		{"wrong/x:app", ERROR_CORRUPT, "layer sha256:"},
		{"truncated/x:app", ERROR_CORRUPT, "layer sha256:"},
		{"lying/x:app", ERROR_CORRUPT, "as the registry says"},
		{"slow/x:app", ERROR_NETWORK, "failed to do request"},
		{"basic/x:app", ERROR_ACCESS_DENIED, "no basic auth credentials"},
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct image image;
		auto_bench bench;

		bench_init(&bench);
		assert_false(pull(&bench, rows[i].path, &image));
		if (bench.error.code != rows[i].code || !strstr(bench.error.text, rows[i].text))
			fail_msg("%s: %d %s", rows[i].path, (int)bench.error.code, bench.error.text);
		expect_empty(&bench);
	}
}

TEST(a_login_pulls_what_needs_one)
{
	static const char *const paths[] = {"basic/x:app", "bearer/x:app", "redirect/x:app"};
	struct image_login login = {S("robot"), S("secret")};

	for (size_t i = 0; i < COUNT(paths); i++) {
		struct image image;
		auto_bench bench;

		bench_init(&bench);
		if (!images_pull(bench.images, name_of(&bench, paths[i]), &login, &bench.arena, &image, &bench.error))
			fail_msg("%s: %s", paths[i], bench.error.text);
	}
}

TEST(a_breaking_connection_still_brings_the_image)
{
	struct image image;
	auto_bench bench;

	bench_init(&bench);
	if (!pull(&bench, "broken/x:app", &image))
		fail_msg("%s", bench.error.text);
}

static void *pull_thread(void *arg)
{
	struct bench *bench = arg;
	auto_arena arena = {0};
	struct error error;
	struct image image;
	struct str name = arena_printf(&arena, "127.0.0.1:%d/open/x:app", test_registry()->port);

	if (!images_pull(bench->images, name, NULL, &arena, &image, &error))
		fail_msg("%s", error.text);
	return NULL;
}

TEST(pulls_at_the_same_time_fetch_each_layer_once)
{
	pthread_t threads[4];
	auto_bench bench;
	int blobs;

	bench_init(&bench);
	blobs = test_registry_blobs(test_registry());
	for (size_t i = 0; i < COUNT(threads); i++)
		pthread_create(&threads[i], NULL, pull_thread, &bench);
	for (size_t i = 0; i < COUNT(threads); i++)
		pthread_join(threads[i], NULL);
	/* three layers, and the config at most once a pull */
	assert_in_range(test_registry_blobs(test_registry()) - blobs, 4, 3 + COUNT(threads));
}

TEST(a_layout_is_loaded_from_folder_and_tar)
{
	struct image image;
	auto_bench bench;
	size_t count;

	bench_init(&bench);
	run_output(&bench.arena, "cd '%s' && skopeo copy -q oci:%.*s:app oci:small:me/app:7 && tar -C small -czf small.tar.gz .",
		   bench.folder, STR(layout()));
	for (int i = 0; i < 2; i++) {
		struct str path = arena_printf(&bench.arena, "%s/%s", bench.folder, i ? "small.tar.gz" : "small");

		if (!images_load(bench.images, path, STR_NONE, &bench.arena, &count, &bench.error))
			fail_msg("%s", bench.error.text);
		assert_int_equal(count, 1);
		assert_true(images_find(bench.images, S("me/app:7"), &bench.arena, &image, &bench.error));
		EXPECT_STR(layer_file(&bench, &image, 1, "etc/motd"), S("upper\n"));
		assert_true(images_remove(bench.images, S("docker.io/me/app:7"), &bench.error));
		assert_false(images_find(bench.images, S("me/app:7"), &bench.arena, &image, &bench.error));
		expect_empty(&bench);
	}
	assert_true(images_load(bench.images, arena_printf(&bench.arena, "%s/small", bench.folder), S("other"), &bench.arena,
				&count, &bench.error));
	assert_true(images_find(bench.images, S("other:latest"), &bench.arena, &image, &bench.error));
}

TEST(a_name_remembers_whether_it_was_imported_last)
{
	struct image image, *list;
	auto_bench bench;
	struct str name;
	size_t count;

	bench_init(&bench);
	name = name_of(&bench, "open/x:app");
	assert_true(pull(&bench, "open/x:app", &image));
	assert_true(images_find(bench.images, name, &bench.arena, &image, &bench.error));
	assert_false(image.imported);
	if (!images_load(bench.images, layout_of(&bench, "app"), name, &bench.arena, &count, &bench.error))
		fail_msg("%s", bench.error.text);
	assert_true(images_find(bench.images, name, &bench.arena, &image, &bench.error));
	assert_true(image.imported);
	assert_true(images_list(bench.images, &bench.arena, &list, &count, &bench.error));
	assert_true(count == 1 && list[0].imported);
	assert_true(pull(&bench, "open/x:app", &image));
	assert_true(images_find(bench.images, name, &bench.arena, &image, &bench.error));
	assert_false(image.imported);
}

TEST(a_docker_archive_is_loaded)
{
	struct image image;
	auto_bench bench;
	size_t count;
	struct str path;

	bench_init(&bench);
	run_output(&bench.arena, "cd '%s' && skopeo copy -q oci:%.*s:app docker-archive:a.tar:me/app:7 && zstd -q a.tar",
		   bench.folder, STR(layout()));
	for (int i = 0; i < 2; i++) {
		path = arena_printf(&bench.arena, "%s/a.tar%s", bench.folder, i ? ".zst" : "");
		if (!images_load(bench.images, path, i ? S("renamed") : STR_NONE, &bench.arena, &count, &bench.error))
			fail_msg("%s", bench.error.text);
		assert_int_equal(count, 1);
		assert_true(images_find(bench.images, i ? S("renamed") : S("me/app:7"), &bench.arena, &image, &bench.error));
		assert_int_equal(image.layer_count, 3);
		EXPECT_STR(layer_file(&bench, &image, 1, "etc/motd"), S("upper\n"));
	}
}

TEST(zstd_layers_are_pulled_and_loaded)
{
	struct image image;
	auto_bench bench;
	size_t count;

	bench_init(&bench);
	run_output(&bench.arena, "cd '%s' && skopeo copy -q --dest-compress-format zstd --dest-compress oci:%.*s:app dir:d && "
		   "skopeo copy -q dir:d oci:z:zapp && grep -rq tar+zstd z/blobs",
		   bench.folder, STR(layout()));
	if (!images_load(bench.images, arena_printf(&bench.arena, "%s/z", bench.folder), STR_NONE, &bench.arena, &count,
			 &bench.error))
		fail_msg("%s", bench.error.text);
	assert_true(images_find(bench.images, S("zapp"), &bench.arena, &image, &bench.error));
}

TEST(hostile_archives_change_nothing_outside)
{
	static const struct { const char *make, *text; } rows[] = {
		{"printf '[{\"Config\":\"../../secret\",\"Layers\":[],\"RepoTags\":[\"a\"]}]' >x/manifest.json", "there is no"},
		{"ln -s /etc/passwd x/c; printf '[{\"Config\":\"c\",\"Layers\":[],\"RepoTags\":[\"a\"]}]' >x/manifest.json", "there is no"},
		{"mkfifo x/c; printf '[{\"Config\":\"c\",\"Layers\":[],\"RepoTags\":[\"a\"]}]' >x/manifest.json", "'c' is no file"},
		{"printf '[{\"Config\":' >x/manifest.json", "manifest.json is malformed"},
		{"printf '{}' >x/index.json", "it names no image: say which name it shall have"},
		{"true", "there is no 'index.json' in it"},
		{"printf '{\"manifests\":[{\"digest\":\"sha256:../../../etc\",\"annotations\":"
		 "{\"org.opencontainers.image.ref.name\":\"a\"}}]}' >x/index.json", "malformed digest"},
	};

	for (size_t i = 0; i < COUNT(rows); i++)
		for (int tar = 0; tar < 2; tar++) {
			auto_bench bench;
			size_t count;

			bench_init(&bench);
			run_output(&bench.arena, "cd '%s' && mkdir x && echo mine >secret && %s; tar -C x -cf x.tar .", bench.folder,
				   rows[i].make);
			assert_false(images_load(bench.images, arena_printf(&bench.arena, "%s/%s", bench.folder, tar ? "x.tar" : "x"),
						 STR_NONE, &bench.arena, &count, &bench.error));
			if (!strstr(bench.error.text, rows[i].text))
				fail_msg("row %zu: %s", i, bench.error.text);
			expect_empty(&bench);
		}
}

TEST(held_layers_outlive_their_name)
{
	uint64_t freed;
	struct image image;
	auto_bench bench;

	bench_init(&bench);
	assert_true(pull(&bench, "open/x:app", &image));
	assert_true(images_hold(bench.images, S("task/one"), &image, &bench.error));
	assert_true(images_remove(bench.images, name_of(&bench, "open/x:app"), &bench.error));
	assert_true(images_collect(bench.images, &freed, &bench.error));
	assert_int_equal(freed, 0);
	EXPECT_STR(layer_file(&bench, &image, 1, "etc/motd"), S("upper\n"));
	assert_true(images_release(bench.images, S("task/one"), &bench.error));
	assert_true(images_release(bench.images, S("task/one"), &bench.error));
	assert_true(images_collect(bench.images, &freed, &bench.error));
	assert_true(freed > 4 << 20);
	assert_false(images_hold(bench.images, S("task/one"), &image, &bench.error));
	expect_empty(&bench);
}

TEST(layers_that_images_share_stay)
{
	uint64_t freed;
	struct image image, *list;
	size_t count;
	auto_bench bench;

	bench_init(&bench);
	assert_true(pull(&bench, "open/x:app", &image));
	assert_true(pull(&bench, "open/x:multi", &image));
	assert_true(images_list(bench.images, &bench.arena, &list, &count, &bench.error));
	assert_int_equal(count, 2);
	EXPECT_STR(list[1].name, name_of(&bench, "open/x:multi"));
	assert_true(images_remove(bench.images, name_of(&bench, "open/x:app"), &bench.error));
	assert_true(images_collect(bench.images, &freed, &bench.error));
	run_output(&bench.arena, "cmp /bin/busybox '%.*s/bin/busybox'", STR(image.layers[0]));
}

TEST(what_a_crash_left_is_taken_away_or_made_anew)
{
	struct image image;
	auto_bench bench;
	uint64_t freed;

	bench_init(&bench);
	assert_true(pull(&bench, "open/x:app", &image));
	/* as if the first layer had been half unpacked when the power went */
	run_output(&bench.arena, "cd '%s/images' && c=$(basename '%.*s') && mkdir -p tmp/$c && mv layers/sha256/$c tmp/$c/root && "
		   "rm tmp/$c/root/etc/motd && mkdir -p tmp/load-1/x && touch tmp/file-1", bench.folder, STR(image.layers[0]));
	assert_false(images_find(bench.images, image.name, &bench.arena, &image, &bench.error));
	assert_int_equal(bench.error.code, ERROR_NOT_FOUND);
	assert_true(pull(&bench, "open/x:app", &image));
	EXPECT_STR(layer_file(&bench, &image, 0, "etc/motd"), S("lower\n"));
	assert_true(images_collect(bench.images, &freed, &bench.error));
	EXPECT_STR(run_output(&bench.arena, "ls '%s/images/tmp'", bench.folder), S(""));
	assert_true(images_find(bench.images, image.name, &bench.arena, &image, &bench.error));
}

TEST(a_document_changed_on_the_disk_is_noticed)
{
	struct image image;
	auto_bench bench;

	bench_init(&bench);
	assert_true(pull(&bench, "open/x:app", &image));
	run_output(&bench.arena, "cd '%s/images/blobs/sha256' && for f in *; do printf ' ' >>$f; done", bench.folder);
	assert_false(images_find(bench.images, image.name, &bench.arena, &image, &bench.error));
	assert_int_equal(bench.error.code, ERROR_CORRUPT);
	assert_true(pull(&bench, "open/x:app", &image));
}

TEST(a_layer_larger_than_allowed_leaves_nothing)
{
	struct image image;
	struct images *images;
	auto_bench bench;

	bench_init(&bench);
	assert_true(images_open(&(struct images_options){.folder = arena_printf(&bench.arena, "%s/images", bench.folder),
				.layer_limit = 1 << 20}, &images, &bench.error));
	assert_false(images_pull(images, name_of(&bench, "open/x:app"), NULL, &bench.arena, &image, &bench.error));
	assert_true(strstr(bench.error.text, "larger than allowed") || strstr(bench.error.text, "unpacks to more than"));
	images_close(images);
	expect_empty(&bench);
}

TEST(a_full_disk_is_said_and_cleaned_up)
{
	struct image image;
	struct images *images;
	auto_bench bench;

	if (geteuid() != 0)
		skip();
	bench_init(&bench);
	run_output(&bench.arena, "mkdir '%s/small' && mount -t tmpfs -o size=2m none '%s/small'", bench.folder, bench.folder);
	assert_true(images_open(&(struct images_options){.folder = arena_printf(&bench.arena, "%s/small", bench.folder)},
				&images, &bench.error));
	assert_false(images_pull(images, name_of(&bench, "open/x:app"), NULL, &bench.arena, &image, &bench.error));
	images_close(images);
	/* layers that came whole may stay for the next try */
	EXPECT_STR(run_output(&bench.arena, "cd '%s/small' && find tmp names -type f; cd / && umount '%s/small'",
			      bench.folder, bench.folder), S(""));
	assert_true(strstr(bench.error.text, "No space left on device") != NULL);
}

/* Debian's docker-registry, pushed to by skopeo: what people really run. */
TEST(an_image_comes_from_a_real_registry)
{
	struct image image;
	auto_bench bench;
	int port = 20000 + getpid() % 20000;

	if (access("/usr/bin/docker-registry", X_OK) != 0)
		skip();
	bench_init(&bench);
	run_output(&bench.arena, "cd '%s' && mkdir store && printf 'version: 0.1\\nlog: {level: error}\\nstorage: {filesystem: {rootdirectory: "
		   "%s/store}}\\nhttp: {addr: 127.0.0.1:%d}\\n' >config.yml && { timeout 60 docker-registry serve config.yml >log 2>&1 & echo $! >pid; } && "
		   "for i in $(seq 50); do curl -sf --noproxy '*' http://127.0.0.1:%d/v2/ >/dev/null && break; sleep 0.1; done; "
		   "skopeo copy -q --dest-tls-verify=false --all oci:%.*s:multi docker://127.0.0.1:%d/me/app:1 && "
		   "skopeo copy -q --dest-tls-verify=false --dest-compress-format zstd --format oci oci:%.*s:app docker://127.0.0.1:%d/me/app:2",
		   bench.folder, bench.folder, port, port, STR(layout()), port, STR(layout()), port);
	for (int i = 1; i <= 2; i++)
		if (!images_pull(bench.images, arena_printf(&bench.arena, "127.0.0.1:%d/me/app:%d", port, i), NULL, &bench.arena,
				 &image, &bench.error))
			fail_msg("%d: %s", i, bench.error.text);
	run_output(&bench.arena, "kill $(cat '%s/pid')", bench.folder);
}
