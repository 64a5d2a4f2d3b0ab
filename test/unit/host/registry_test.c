#include "host/registry.h"
#include <stdio.h>
#include <stdlib.h>
#include "image_support.h"
#include "os/clock.h"
#include "test/test.h"

/* One repository of the test registry. */
struct client { struct arena arena; struct registry *registry; struct error error; };

static void client_open(struct client *client, const char *repository, struct str username, struct str password,
			int seconds)
{
	*client = (struct client){0};
	client->registry = registry_new(&(struct registry_options){
		.host = arena_printf(&client->arena, "127.0.0.1:%d", test_registry()->port),
		.repository = str_of(repository),
		.username = username,
		.password = password,
		.inactivity_seconds = seconds,
	});
}

static void client_fini(struct client *client)
{
	registry_free(client->registry);
	arena_fini(&client->arena);
}

#define auto_client __attribute__((cleanup(client_fini))) struct client

static bool manifest(struct client *client, struct registry_document *ret_document)
{
	return registry_manifest(client->registry, S("app"), 1 << 20, &client->arena, ret_document, &client->error);
}

static bool count_write(void *arg, struct str bytes, struct error *err)
{
	*(size_t *)arg += bytes.len;
	return true;
}

/* The largest blob there is: the layer of noise. */
static struct str noise(struct client *client, size_t *ret_size)
{
	struct str line = run_output(&client->arena, "cd '%s/blobs/sha256' && wc -c * | sort -n | tail -2 | head -1",
				     test_registry()->layout);
	char hex[65];

	assert_int_equal(sscanf(arena_cstr(&client->arena, line), "%zu %64s", ret_size, hex), 2);
	return arena_printf(&client->arena, "sha256:%s", hex);
}

static bool blob(struct client *client, size_t *ret_len, size_t *ret_size)
{
	struct registry_sink sink = {count_write, ret_len};

	*ret_len = 0;
	return registry_blob(client->registry, noise(client, ret_size), &sink, &client->error);
}

static const struct str nobody = {NULL, 0};

TEST(challenges_are_read)
{
	static const struct { struct str header, scheme, realm, service, scope; } rows[] = {
		{STR_INIT("Bearer realm=\"https://a/b\",service=\"s\",scope=\"repository:x/y:pull\""), STR_INIT("Bearer"),
		 STR_INIT("https://a/b"), STR_INIT("s"), STR_INIT("repository:x/y:pull")},
		{STR_INIT("Basic realm=\"say \\\"hi\\\"\""), STR_INIT("Basic"), STR_INIT("say \"hi\""), {0}, {0}},
		{STR_INIT("bearer  scope=\"a:b:pull,push\" , realm=bare , error=\"x\""), STR_INIT("bearer"), STR_INIT("bare"),
		 {0}, STR_INIT("a:b:pull,push")},
		{STR_INIT("Negotiate"), STR_INIT("Negotiate"), {0}, {0}, {0}},
		{STR_INIT("Bearer realm=\"unclosed"), STR_INIT("Bearer"), STR_INIT("unclosed"), {0}, {0}},
		{STR_INIT("Bearer realm="), STR_INIT("Bearer"), STR_INIT(""), {0}, {0}},
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct registry_challenge challenge;
		auto_arena arena = {0};

		assert_true(registry_challenge_parse(rows[i].header, &arena, &challenge));
		EXPECT_STR(challenge.scheme, rows[i].scheme);
		EXPECT_STR(challenge.realm, rows[i].realm);
		EXPECT_STR(challenge.service, rows[i].service);
		EXPECT_STR(challenge.scope, rows[i].scope);
	}
	assert_false(registry_challenge_parse(S("  "), &(struct arena){0}, &(struct registry_challenge){0}));
}

TEST(only_this_machine_is_here)
{
	static const struct { const char *host; bool here; } rows[] = {
		{"localhost", true}, {"localhost:5000", true}, {"127.0.0.1:5000", true}, {"127.9.8.7", true},
		{"[::1]:5000", true}, {"128.0.0.1", false}, {"127.0.0.1.example.com", false}, {"localhost.example", false},
		{"docker.io", false}, {"127.1", false}, {"[::2]", false}, {"127.0.0.1x", false}, {"", false},
	};

	for (size_t i = 0; i < COUNT(rows); i++)
		assert_int_equal(registry_host_is_here(str_of(rows[i].host)), rows[i].here);
}

TEST(every_way_to_log_in_works)
{
	static const struct { const char *repository; struct str username, password; bool fine; } rows[] = {
		{"open/app", {0}, {0}, true},
		{"public/app", {0}, {0}, true},
		{"basic/app", STR_INIT("robot"), STR_INIT("secret"), true},
		{"bearer/app", STR_INIT("robot"), STR_INIT("secret"), true},
		{"basic/app", STR_INIT("robot"), STR_INIT("wrong"), false},
		{"basic/app", {0}, {0}, false},
		{"bearer/app", STR_INIT("robot"), STR_INIT("wrong"), false},
		{"bearer/app", {0}, {0}, false},
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct registry_document document;
		auto_client client;

		client_open(&client, rows[i].repository, rows[i].username, rows[i].password, 0);
		assert_int_equal(manifest(&client, &document), rows[i].fine);
		if (!rows[i].fine)
			assert_int_equal(client.error.code, ERROR_ACCESS_DENIED);
		else
			EXPECT_STR(document.media_type, S("application/vnd.oci.image.manifest.v1+json"));
	}
}

TEST(a_login_is_not_sent_to_a_token_server_without_https_elsewhere)
{
	struct registry_document document;
	auto_client client;

	client_open(&client, "leaky/app", S("robot"), S("secret"), 0);
	assert_false(manifest(&client, &document));
	/* the registry itself is plain http, so http is tried; the name does not exist, but is not asked silently */
	assert_true(strstr(client.error.text, "tokens.example") != NULL);
}

TEST(redirects_do_not_show_the_login_to_other_hosts)
{
	size_t len, size;
	auto_client client;

	client_open(&client, "redirect/app", S("robot"), S("secret"), 0);
	assert_true(blob(&client, &len, &size));
	assert_int_equal(len, size);
}

TEST(redirects_end)
{
	size_t len, size;
	auto_client client;

	client_open(&client, "loop/app", nobody, nobody, 0);
	assert_false(blob(&client, &len, &size));
	assert_true(strstr(client.error.text, "redirects more than 5 times") != NULL);
}

TEST(a_broken_stream_goes_on_where_it_broke)
{
	static const char *const repositories[] = {"broken/app", "stubborn/app"};

	for (size_t i = 0; i < COUNT(repositories); i++) {
		size_t len, size;
		auto_client client;

		client_open(&client, repositories[i], nobody, nobody, 0);
		assert_true(blob(&client, &len, &size));
		assert_int_equal(len, size);
	}
}

TEST(a_server_out_of_breath_is_asked_again)
{
	struct registry_document document;
	auto_client client;

	client_open(&client, "flaky/app", nobody, nobody, 0);
	assert_true(manifest(&client, &document));
}

TEST(too_many_requests_say_so)
{
	struct registry_document document;
	auto_client client;

	client_open(&client, "limited/app", nobody, nobody, 0);
	assert_false(manifest(&client, &document));
	assert_int_equal(client.error.code, ERROR_THROTTLING);
	EXPECT_STR(str_of(client.error.text), S("toomanyrequests: slow down"));
}

TEST(a_silent_server_is_given_up)
{
	size_t len, size;
	usec started = clock_monotonic();
	auto_client client;

	client_open(&client, "slow/app", nobody, nobody, 1);
	assert_false(blob(&client, &len, &size));
	assert_int_equal(client.error.code, ERROR_NETWORK);
	assert_true(clock_monotonic() - started < 60 * USEC_PER_SEC);
}

TEST(an_endless_manifest_is_cut_off)
{
	struct registry_document document;
	auto_client client;

	client_open(&client, "endless/app", nobody, nobody, 0);
	assert_false(manifest(&client, &document));
	assert_int_equal(client.error.code, ERROR_REFUSED);
	EXPECT_STR(str_of(client.error.text), S("the registry's answer is longer than 1048576 bytes"));
}

TEST(a_manifest_that_is_not_what_the_header_says_is_refused)
{
	struct registry_document document;
	auto_client client;

	client_open(&client, "lying/app", nobody, nobody, 0);
	assert_false(manifest(&client, &document));
	assert_int_equal(client.error.code, ERROR_CORRUPT);
}

TEST(https_needs_an_authority_that_is_known)
{
	const struct test_registry *tls = test_registry_tls();

	for (int known = 0; known < 2; known++) {
		struct registry_document document;
		auto_client client = {0};

		client.registry = registry_new(&(struct registry_options){
			.host = arena_printf(&client.arena, "127.0.0.1:%d", tls->port),
			.repository = S("public/app"),
			.certificates = known ? str_of(tls_folder()) : STR_NONE,
		});
		assert_int_equal(manifest(&client, &document), known);
	}
}

TEST(plain_http_is_only_for_this_machine)
{
	struct registry_document document;
	auto_client client = {0};

	/* a name that leads here, but by which we cannot know that */
	client.registry = registry_new(&(struct registry_options){
		.host = arena_printf(&client.arena, "0.0.0.0:%d", test_registry()->port), .repository = S("open/app")});
	assert_false(manifest(&client, &document));
	registry_free(client.registry);
	client.registry = registry_new(&(struct registry_options){
		.host = arena_printf(&client.arena, "0.0.0.0:%d", test_registry()->port), .repository = S("open/app"),
		.allow_http = true});
	assert_true(manifest(&client, &document));
}
