#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "test.h"
#include "api/ecs.h"
#include "client/address.h"
#include "client/uplink.h"
#include "client/client.h"
#include "peer.h"
#include <uv.h>

static struct client_options options_for(const struct peer *peer)
{
	return (struct client_options){.endpoint = str_of(peer_endpoint(peer)), .region = S("us-east-1"),
				       .key_id = S("AKIATEST"), .secret = S("secret"), .user_agent = S("test"),
				       .timeout = 5 * USEC_PER_SEC};
}

TEST(an_address_is_taken_apart)
{
	auto_arena arena = {0};
	struct address address;
	struct error error;

	assert_true(address_parse(S("https://a.example:8443/ws?x=1&y=%20"), &arena, &address, &error));
	assert_true(address.tls);
	EXPECT_STR(address.authority, S("a.example:8443"));
	EXPECT_STR(address.host, S("a.example"));
	EXPECT_STR(address.port, S("8443"));
	EXPECT_STR(address.path, S("/ws"));
	EXPECT_STR(address.query, S("x=1&y=%20"));
	assert_true(address_parse(S("http://[::1]:80"), &arena, &address, &error));
	EXPECT_STR(address.host, S("::1"));
	EXPECT_STR(address.path, S("/"));
	assert_true(address_is_here(&address));
}

TEST(a_bad_address_is_refused)
{
	static const char *const bad[] = { "", "ftp://x", "http://", "http://x:0", "http://x:65536", "http://x:y",
					   "http://[::1", "http://[::1]x" };
	auto_arena arena = {0};
	struct address address;
	struct error error;

	for (size_t i = 0; i < COUNT(bad); i++)
		if (address_parse(str_of(bad[i]), &arena, &address, &error))
			fail_msg("'%s' was taken", bad[i]);
}

TEST(a_call_is_signed_and_its_answer_decoded_and_the_connection_kept)
{
	static const char *const answers[] = {
		"HTTP/1.1 200 OK\r\nContent-Length: 25\r\n\r\n{\"acknowledgment\":\"done\"}",
		"HTTP/1.1 200 OK\r\nContent-Length: 26\r\n\r\n{\"acknowledgment\":\"again\"}", NULL,
	};
	struct peer *peer = peer_start(answers);
	struct client_options options = options_for(peer);
	const struct operation *operation = &api_ecs.operations[ECS_OPERATION_SUBMIT_TASK_STATE_CHANGE];
	struct ecs_submit_task_state_change_request input = {.task = S("arn")};
	struct ecs_submit_task_state_change_response *output = NULL;
	auto_arena arena = {0};
	struct client *client;
	struct error error;
	struct str heard;

	assert_true(client_new(&options, &client, &error));
	assert_true(client_call(client, operation, &input, &arena, (void **)&output, &error));
	EXPECT_STR(output->acknowledgment, S("done"));
	assert_true(client_call(client, operation, &input, &arena, (void **)&output, &error));
	EXPECT_STR(output->acknowledgment, S("again"));
	heard = peer_finish(peer);
	assert_true(str_contains(heard, S("AmazonEC2ContainerServiceV20141113.SubmitTaskStateChange")));
	assert_true(str_contains(heard, S("Authorization: AWS4-HMAC-SHA256 Credential=AKIATEST/")));
	assert_true(str_contains(heard, S("{\"task\":\"arn\"}")));
	client_free(client);
	peer_free(peer);
}

TEST(an_error_of_the_server_keeps_its_code_and_text)
{
	static const struct { const char *answer; enum error_code code; const char *text; } cases[] = {
		{ "HTTP/1.1 400 Bad\r\nContent-Length: 63\r\n\r\n"
		  "{\"__type\":\"ClusterNotFoundException\",\"message\":\"Cluster gone.\"}", ERROR_CLUSTER_NOT_FOUND,
		  "Cluster gone." },
		{ "HTTP/1.1 400 Bad\r\nContent-Length: 46\r\n\r\n"
		  "{\"__type\":\"a.b#NewException\",\"Message\":\"what\"}", ERROR_CLIENT, "what" },
		{ "HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy", ERROR_SERVER, "HTTP status 503: busy" },
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		const char *const answers[] = { cases[i].answer, NULL };
		struct peer *peer = peer_start(answers);
		struct client_options options = options_for(peer);
		struct ecs_list_clusters_request input = {0};
		auto_arena arena = {0};
		struct client *client;
		struct error error;
		void *output;

		assert_true(client_new(&options, &client, &error));
		assert_false(client_call(client, &api_ecs.operations[ECS_OPERATION_LIST_CLUSTERS], &input, &arena,
					 &output, &error));
		assert_int_equal(error.code, cases[i].code);
		EXPECT_STR(str_of(error.text), str_of(cases[i].text));
		client_free(client);
		peer_finish(peer);
		peer_free(peer);
	}
}

TEST(nobody_there_is_a_network_error)
{
	struct client_options options = {.endpoint = S("http://127.0.0.1:1"), .region = S("r"), .key_id = S("k"),
					 .secret = S("s"), .user_agent = S("t")};
	auto_arena arena = {0};
	struct ecs_list_clusters_request input = {0};
	struct client *client;
	struct error error;
	void *output;

	assert_true(client_new(&options, &client, &error));
	assert_false(client_call(client, &api_ecs.operations[ECS_OPERATION_LIST_CLUSTERS], &input, &arena, &output, &error));
	assert_int_equal(error.code, ERROR_NETWORK);
	client_free(client);
}

TEST(a_profile_is_found_among_others)
{
	char path[] = "/tmp/credentials-XXXXXX";
	int fd = mkstemp(path);
	static const char text[] = "[other]\naws_access_key_id = no\naws_secret_access_key = no\n"
				   "[default]\naws_access_key_id=AKIA1\n  aws_secret_access_key = s/e=c \n";
	auto_arena arena = {0};
	struct str key_id, secret;
	struct error error;

	assert_int_equal(write(fd, text, sizeof(text) - 1), sizeof(text) - 1);
	close(fd);
	assert_true(client_read_credentials(str_of(path), S("default"), &arena, &key_id, &secret, &error));
	EXPECT_STR(key_id, S("AKIA1"));
	EXPECT_STR(secret, S("s/e=c"));
	assert_false(client_read_credentials(str_of(path), S("none"), &arena, &key_id, &secret, &error));
	unlink(path);
}

/* ---- The channel */

struct heard { unsigned opened, closed; struct buffer text; struct error error; struct uplink *uplink; };

static void opened(void *arg)
{
	struct heard *heard = arg;

	heard->opened++;
	uplink_send(heard->uplink, S("{\"hello\":1}"));
}

static void frame(void *arg, struct str text) { buffer_add(&((struct heard *)arg)->text, text); }

static void closed(void *arg, const struct error *err)
{
	struct heard *heard = arg;

	heard->closed++;
	heard->error = *err;
	uplink_free(heard->uplink);
}

static struct heard converse(const char *const *answers)
{
	static const struct uplink_events events = { opened, frame, closed };
	struct peer *peer = peer_start(answers);
	struct client_options options = options_for(peer);
	struct heard heard = {0};
	char url[128];
	uv_loop_t loop;
	struct error error;

	snprintf(url, sizeof(url), "%s/ws?clusterArn=prod&seqNum=1", peer_endpoint(peer));
	uv_loop_init(&loop);
	assert_true(uplink_open(&loop, &options, str_of(url), &events, &heard, &heard.uplink, &error));
	uv_run(&loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&loop), 0);
	assert_true(str_starts(peer_finish(peer), S("GET /ws?clusterArn=prod&seqNum=1 HTTP/1.1\r\n")));
	peer_free(peer);
	assert_int_equal(heard.closed, 1);
	return heard;
}

#define UPGRADED "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" \
	"Sec-WebSocket-Accept: %ACCEPT%\r\n\r\n"

TEST(a_channel_opens_hears_frames_and_ends_well)
{
	static const char *const answers[] = { UPGRADED "\x81\x05" "first", "\x81\x06" "second\x88\x02\x03\xe8", NULL };
	struct heard heard = converse(answers);

	assert_int_equal(heard.opened, 1);
	EXPECT_STR(buffer_str(&heard.text), S("firstsecond"));
	assert_int_equal(heard.error.code, ERROR_NONE);
	buffer_fini(&heard.text);
}

TEST(a_refused_upgrade_tells_the_body)
{
	static const char *const answers[] = {
		"HTTP/1.1 400 Bad Request\r\nContent-Length: 36\r\n\r\n{\"InactiveInstanceException\":\"gone\"}", NULL };
	struct heard heard = converse(answers);

	assert_int_equal(heard.opened, 0);
	assert_int_equal(heard.error.code, ERROR_REFUSED);
	assert_true(str_contains(str_of(heard.error.text), S("InactiveInstanceException")));
}

TEST(a_wrong_accept_is_no_websocket)
{
	static const char *const answers[] = {
		"HTTP/1.1 101 Yes\r\nSec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n\r\n", NULL };
	struct heard heard = converse(answers);

	assert_int_equal(heard.opened, 0);
	assert_int_equal(heard.error.code, ERROR_NETWORK);
}

TEST(rubbish_after_the_upgrade_ends_the_channel_with_an_error)
{
	static const char *const answers[] = { UPGRADED "\xff\xff\xff\xff\xff\xff", NULL };
	struct heard heard = converse(answers);

	assert_int_equal(heard.error.code, ERROR_NETWORK);
}

TEST(a_channel_freed_while_it_connects_says_nothing)
{
	static const struct uplink_events events = { opened, frame, closed };
	struct client_options options = {.region = S("r"), .key_id = S("k"), .secret = S("s"), .user_agent = S("t")};
	struct heard heard = {0};
	struct uplink *uplink;
	struct error error;
	uv_loop_t loop;

	uv_loop_init(&loop);
	assert_true(uplink_open(&loop, &options, S("http://127.0.0.1:1/ws?a=b"), &events, &heard, &uplink, &error));
	uplink_free(uplink);
	uv_run(&loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&loop), 0);
	assert_int_equal(heard.closed, 0);
}
