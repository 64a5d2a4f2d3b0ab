#include "client/client.h"
#include <assert.h>
#include <curl/curl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include "client/address.h"
#include "os/clock.h"
#include "wire/json.h"
#include "wire/sigv4.h"

enum { ANSWER_BYTES_LIMIT = 16 << 20, DEFAULT_TIMEOUT_SECONDS = 30, POLL_MSEC = 1000 };

struct client {
	const struct client_options *options;
	struct address address;
	struct arena arena;                              /* of the address */
	CURL *curl;
	CURLM *multi;                                    /* keeps the connection, and can be woken */
	atomic_bool cancelled;
	struct sigv4 *sigv4;
	struct buffer answer;
	char problem[CURL_ERROR_SIZE];
};

static pthread_once_t once = PTHREAD_ONCE_INIT;

static void start_curl(void) { curl_global_init(CURL_GLOBAL_DEFAULT); }

bool client_new(const struct client_options *options, struct client **ret_client, struct error *err)
{
	struct client *client = calloc(1, sizeof(*client));

	if (!client)
		abort();
	pthread_once(&once, start_curl);
	client->options = options;
	client->curl = curl_easy_init();
	client->multi = curl_multi_init();
	client->sigv4 = sigv4_new();
	if (!client->curl || !client->multi) {
		client_free(client);
		return fail(err, ERROR_NETWORK, "start libcurl");
	}
	if (!address_parse(options->endpoint, &client->arena, &client->address, err)) {
		client_free(client);
		return false;
	}
	*ret_client = client;
	return true;
}

void client_free(struct client *client)
{
	if (!client)
		return;
	if (client->curl)
		curl_easy_cleanup(client->curl);
	if (client->multi)
		curl_multi_cleanup(client->multi);
	sigv4_free(client->sigv4);
	buffer_fini(&client->answer);
	arena_fini(&client->arena);
	free(client);
}

static size_t take_answer(char *bytes, size_t size, size_t count, void *arg)
{
	struct buffer *answer = arg;

	if (answer->len + size * count > ANSWER_BYTES_LIMIT)
		return 0;
	buffer_append(answer, bytes, size * count);
	return size * count;
}

static void prepare(struct client *client, struct arena *arena)
{
	const struct client_options *options = client->options;
	const struct address *address = &client->address;
	struct str url = arena_printf(arena, "%s://%.*s/", address->tls ? "https" : "http", STR(address->authority));
	usec timeout = options->timeout ? options->timeout : DEFAULT_TIMEOUT_SECONDS * USEC_PER_SEC;
	CURL *curl = client->curl;

	curl_easy_reset(curl);                           /* keeps the connection */
	buffer_clear(&client->answer);
	client->problem[0] = '\0';
	curl_easy_setopt(curl, CURLOPT_URL, arena_cstr(arena, url));
	curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)(timeout / USEC_PER_MSEC));
	curl_easy_setopt(curl, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, client->problem);
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_answer);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, &client->answer);
	if (address_is_here(address))
		curl_easy_setopt(curl, CURLOPT_PROXY, "");
	if (options->insecure) {
		curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 0L);
		curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 0L);
	}
	if (!str_empty(options->ca_file))
		curl_easy_setopt(curl, CURLOPT_CAINFO, arena_cstr(arena, options->ca_file));
}

void client_cancel(struct client *client)
{
	atomic_store(&client->cancelled, true);
	curl_multi_wakeup(client->multi);
}

static CURLcode result_of(struct client *client)
{
	int left;
	CURLMsg *message = curl_multi_info_read(client->multi, &left);

	return message ? message->data.result : CURLE_ABORTED_BY_CALLBACK;
}

/* What curl_easy_perform does, and wakes up for client_cancel. */
static CURLcode transfer(struct client *client)
{
	CURLMcode multi = curl_multi_add_handle(client->multi, client->curl);
	CURLcode result;
	int running = 1;

	while (multi == CURLM_OK && !atomic_load(&client->cancelled)) {
		multi = curl_multi_perform(client->multi, &running);
		if (multi != CURLM_OK || !running)
			break;
		multi = curl_multi_poll(client->multi, NULL, 0, POLL_MSEC, NULL);
	}
	result = multi == CURLM_OK ? result_of(client) : CURLE_FAILED_INIT;
	curl_multi_remove_handle(client->multi, client->curl);
	return result;
}

static bool perform(struct client *client, struct curl_slist *headers, long *ret_status, struct error *err)
{
	CURLcode code;

	curl_easy_setopt(client->curl, CURLOPT_HTTPHEADER, headers);
	code = transfer(client);
	curl_slist_free_all(headers);
	if (code != CURLE_OK)
		return fail(err, ERROR_NETWORK, "call %.*s: %s", STR(client->options->endpoint),
			    client->problem[0] ? client->problem : curl_easy_strerror(code));
	curl_easy_getinfo(client->curl, CURLINFO_RESPONSE_CODE, ret_status);
	return true;
}

/* ---- Errors of the server */

static enum error_code code_of(struct str name, long status)
{
	size_t hash = str_find(name, '#');

	if (hash < name.len)
		name = str_slice(name, hash + 1, name.len);
	for (int code = 1; code < ERROR_OS; code++)
		if (str_equal(error_wire_name((enum error_code)code), name))
			return (enum error_code)code;
	return status >= 500 ? ERROR_SERVER : ERROR_CLIENT;
}

static struct str text_member(struct str body, const char *name, struct arena *arena)
{
	struct str raw = json_member_text(body, str_of(name)), value = STR_NONE;

	if (str_has(raw) && json_string_value(raw, arena, &value))
		return value;
	return STR_NONE;
}

static bool fail_as_told(struct str body, long status, struct arena *arena, struct error *err)
{
	struct str name = text_member(body, "__type", arena);
	struct str text = text_member(body, "message", arena);

	if (!str_has(text))
		text = text_member(body, "Message", arena);
	if (!str_has(text))
		text = str_slice(body, 0, 200);
	if (!str_has(name))
		return fail(err, status >= 500 ? ERROR_SERVER : ERROR_NETWORK, "HTTP status %ld: %.*s", status, STR(text));
	return fail(err, code_of(name, status), "%.*s", STR(text));
}

/* ---- Calls */

static struct curl_slist *add_header(struct curl_slist *list, struct str name, struct str value, struct arena *arena)
{
	struct str line = arena_printf(arena, "%.*s: %.*s", STR(name), STR(value));

	return curl_slist_append(list, arena_cstr(arena, line));
}

static struct curl_slist *signed_headers(struct client *client, const struct operation *operation, struct str body,
					 struct arena *arena)
{
	const struct client_options *options = client->options;
	bool old = str_ends(operation->api->protocol, S("1.0"));
	struct sigv4_header headers[3 + 3] = {
		{ S("Host"), client->address.authority },
		{ S("Content-Type"), old ? S("application/x-amz-json-1.0") : S("application/x-amz-json-1.1") },
		{ S("X-Amz-Target"), arena_printf(arena, "%.*s.%.*s", STR(operation->api->target_prefix),
						  STR(operation->name)) },
	};
	struct sigv4_request request = {.method = S("POST"), .path = S("/"), .query = S(""), .headers = headers,
					.header_count = 3, .body = body, .tls = client->address.tls};
	struct sigv4_credentials credentials = {options->key_id, options->secret, options->session_token};
	size_t count = 3 + sigv4_sign(client->sigv4, &request, &credentials, options->region,
				      operation->api->signing_name, clock_now(), arena, headers + 3);
	struct curl_slist *list = NULL;

	for (size_t i = 0; i < count; i++)
		list = add_header(list, headers[i].name, headers[i].value, arena);
	list = add_header(list, S("User-Agent"), options->user_agent, arena);
	return curl_slist_append(list, "Expect:");
}

static bool decode_answer(struct client *client, const struct operation *operation, struct arena *arena,
			  void **ret_output, struct error *err)
{
	struct str text = arena_copy(arena, buffer_str(&client->answer));
	struct json_fault fault = {0};

	if (json_decode(operation->output, text, arena, ret_output, &fault))
		return true;
	return fail(err, ERROR_SERVER, "the answer of %.*s does not decode: %s", STR(operation->name), fault.error.text);
}

bool client_call(struct client *client, const struct operation *operation, const void *input,
		 struct arena *arena, void **ret_output, struct error *err)
{
	auto_buffer body = {0};
	auto_arena scratch = {0};
	long status = 0;

	assert(!operation->http);
	json_encode(operation->input, input, &body);
	prepare(client, &scratch);
	curl_easy_setopt(client->curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body.len);
	curl_easy_setopt(client->curl, CURLOPT_POSTFIELDS, buffer_str(&body).ptr);
	if (!perform(client, signed_headers(client, operation, buffer_str(&body), &scratch), &status, err))
		return false;
	if (status != 200)
		return fail_as_told(buffer_str(&client->answer), status, &scratch, err);
	return decode_answer(client, operation, arena, ret_output, err);
}
