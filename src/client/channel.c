#include "client/channel.h"
#include <assert.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <uv.h>
#include <wslay/wslay.h>
#include "base/list.h"
#include "client/address.h"
#include "os/clock.h"
#include "os/entropy.h"
#include "wire/base64.h"
#include "wire/envelope.h"
#include "wire/sigv4.h"

enum {
	OPEN_SECONDS = 30,                               /* to connect, and to shake hands */
	GOODBYE_SECONDS = 5,
	HEAD_BYTES_LIMIT = 16 << 10,
	REFUSAL_BYTES_LIMIT = 1024,                      /* agent-protocol 2.1 */
	READ_BYTES = 32 << 10,
};

enum phase { CONNECTING, SHAKING, UPGRADING, OPEN };

struct channel {
	const struct client_options *options;
	struct channel_events events;
	void *arg;
	struct address address;
	struct arena arena;
	uv_loop_t *loop;

	uv_tcp_t tcp;
	uv_timer_t timer;
	uv_getaddrinfo_t resolver;
	uv_connect_t connecting;
	unsigned open_handles;                           /* handles and requests libuv has not given back */
	enum phase phase;
	bool ending, over, abandoned;
	struct error error;                              /* ERROR_NONE: it ended well */

	SSL_CTX *tls_context;
	SSL *tls;
	struct buffer input, output;                     /* plain: head or frames to be read; bytes to go out */
	struct str nonce;
	wslay_event_context_ptr frames;
	char chunk[READ_BYTES];
};

/* ---- The end */

static void destroy(struct channel *channel)
{
	if (channel->frames)
		wslay_event_context_free(channel->frames);
	SSL_free(channel->tls);
	SSL_CTX_free(channel->tls_context);
	buffer_fini(&channel->input);
	buffer_fini(&channel->output);
	arena_fini(&channel->arena);
	free(channel);
}

static void gave_back(struct channel *channel)
{
	assert(channel->open_handles > 0);
	if (--channel->open_handles > 0)
		return;
	channel->over = true;
	if (channel->abandoned)
		destroy(channel);
	else
		channel->events.closed(channel->arg, &channel->error);
}

static void handle_closed(uv_handle_t *handle) { gave_back(handle->data); }

static void end(struct channel *channel)
{
	if (channel->ending)
		return;
	channel->ending = true;
	uv_cancel((uv_req_t *)&channel->resolver);
	uv_close((uv_handle_t *)&channel->tcp, handle_closed);
	uv_close((uv_handle_t *)&channel->timer, handle_closed);
}

static void end_by(struct channel *channel, const struct error *error)
{
	if (!channel->ending)
		channel->error = *error;
	end(channel);
}

static void end_by_uv(struct channel *channel, const char *what, int status)
{
	struct error error = {0};

	fail(&error, ERROR_NETWORK, "%s %.*s: %s", what, STR(channel->address.authority), uv_strerror(status));
	end_by(channel, &error);
}

void channel_free(struct channel *channel)
{
	if (!channel)
		return;
	if (channel->over) {
		destroy(channel);
		return;
	}
	channel->abandoned = true;
	end(channel);
}

static void too_late(uv_timer_t *timer)
{
	struct channel *channel = timer->data;

	if (channel->phase == OPEN)                      /* the peer did not say goodbye */
		end(channel);
	else
		end_by_uv(channel, "connect to", UV_ETIMEDOUT);
}

/* ---- Bytes out */

struct writing {
	uv_write_t request;
	struct channel *channel;
	char bytes[];
};

static void written(uv_write_t *request, int status)
{
	struct writing *writing = CONTAINER_OF(request, struct writing, request);
	struct channel *channel = writing->channel;

	free(writing);
	if (status < 0 && status != UV_ECANCELED && !channel->ending)
		end_by_uv(channel, "write to", status);
	gave_back(channel);
}

static void write_raw(struct channel *channel, const void *bytes, size_t len)
{
	struct writing *writing;
	uv_buf_t buffer;
	int status;

	if (len == 0 || channel->ending)
		return;
	writing = malloc(sizeof(*writing) + len);
	if (!writing)
		abort();
	writing->channel = channel;
	memcpy(writing->bytes, bytes, len);
	buffer = uv_buf_init(writing->bytes, (unsigned)len);
	status = uv_write(&writing->request, (uv_stream_t *)&channel->tcp, &buffer, 1, written);
	if (status == 0) {
		channel->open_handles++;
		return;
	}
	free(writing);
	end_by_uv(channel, "write to", status);
}

static void flush_tls(struct channel *channel)
{
	char *bytes;
	long len = BIO_get_mem_data(SSL_get_wbio(channel->tls), &bytes);

	if (len > 0) {
		write_raw(channel, bytes, (size_t)len);
		(void)BIO_reset(SSL_get_wbio(channel->tls));
	}
}

static void flush(struct channel *channel)
{
	struct str out = buffer_str(&channel->output);

	if (!channel->tls)
		write_raw(channel, out.ptr, out.len);
	else if (out.len && SSL_write(channel->tls, out.ptr, (int)out.len) > 0)
		flush_tls(channel);
	buffer_clear(&channel->output);
}

/* ---- Frames */

static ssize_t give_input(wslay_event_context_ptr context, uint8_t *bytes, size_t len, int flags, void *arg)
{
	struct channel *channel = arg;
	size_t taken = MIN(len, channel->input.len);

	if (taken == 0) {
		wslay_event_set_error(context, WSLAY_ERR_WOULDBLOCK);
		return -1;
	}
	memcpy(bytes, channel->input.bytes, taken);
	buffer_consume(&channel->input, taken);
	return (ssize_t)taken;
}

static ssize_t take_output(wslay_event_context_ptr context, const uint8_t *bytes, size_t len, int flags, void *arg)
{
	buffer_append(&((struct channel *)arg)->output, bytes, len);
	return (ssize_t)len;
}

static int make_mask(wslay_event_context_ptr context, uint8_t *bytes, size_t len, void *arg)
{
	entropy_fill(bytes, len);
	return 0;
}

static void got_message(wslay_event_context_ptr context, const struct wslay_event_on_msg_recv_arg *message, void *arg)
{
	struct channel *channel = arg;

	if (message->opcode == WSLAY_TEXT_FRAME && !channel->ending)
		channel->events.frame(channel->arg, (struct str){(const char *)message->msg, message->msg_length});
}

static void start_frames(struct channel *channel)
{
	static const struct wslay_event_callbacks callbacks = {
		.recv_callback = give_input, .send_callback = take_output, .genmask_callback = make_mask,
		.on_msg_recv_callback = got_message,
	};

	if (wslay_event_context_client_init(&channel->frames, &callbacks, channel) != 0)
		abort();
	wslay_event_config_set_max_recv_msg_length(channel->frames, ENVELOPE_BYTES_LIMIT);
}

static bool ended_well(struct channel *channel)
{
	uint16_t code = wslay_event_get_status_code_received(channel->frames);

	return code == 0 || code == 1000 || code == 1001 || code == 1005 || code == 1006 || code == 1011;
}

static void read_frames(struct channel *channel)
{
	struct error error = {0};
	int result = wslay_event_recv(channel->frames);

	if (result == 0)
		result = wslay_event_send(channel->frames);
	flush(channel);
	if (channel->ending)
		return;
	if (result != 0) {
		fail(&error, ERROR_NETWORK, "%.*s broke the websocket protocol", STR(channel->address.authority));
		end_by(channel, &error);
	} else if (wslay_event_get_close_received(channel->frames)) {
		if (!ended_well(channel))
			fail(&error, ERROR_NETWORK, "%.*s closed with code %u", STR(channel->address.authority),
			     wslay_event_get_status_code_received(channel->frames));
		end_by(channel, &error);
	}
}

void channel_send(struct channel *channel, struct str text)
{
	struct wslay_event_msg message = {.opcode = WSLAY_TEXT_FRAME, .msg = (const uint8_t *)text.ptr,
					  .msg_length = text.len};

	if (channel->phase != OPEN || channel->ending)
		return;
	if (wslay_event_queue_msg(channel->frames, &message) == 0)
		wslay_event_send(channel->frames);
	flush(channel);
}

void channel_close(struct channel *channel, struct str reason)
{
	if (channel->ending)
		return;
	if (channel->phase != OPEN) {
		end(channel);
		return;
	}
	reason = str_slice(reason, 0, 123);              /* a control frame's room */
	if (wslay_event_queue_close(channel->frames, 1000, (const uint8_t *)reason.ptr, reason.len) == 0)
		wslay_event_send(channel->frames);
	flush(channel);
	uv_timer_start(&channel->timer, too_late, GOODBYE_SECONDS * 1000, 0);
}

/* ---- The upgrade */

static struct str header(struct str head, struct str name)
{
	struct str line, key;

	while (str_cut(&head, '\n', &line)) {
		struct str value = line;

		if (str_cut(&value, ':', &key) && str_has(value) && str_equal_ignoring_case(str_trim(key), name))
			return str_trim(value);
	}
	return STR_NONE;
}

static void send_upgrade(struct channel *channel)
{
	const struct client_options *options = channel->options;
	const struct address *address = &channel->address;
	struct sigv4_header headers[1 + 3] = { { S("Host"), address->authority } };
	struct sigv4_request request = {.method = S("GET"), .path = address->path, .query = address->query,
					.headers = headers, .header_count = 1, .body = S(""), .tls = address->tls};
	struct sigv4_credentials credentials = {options->key_id, options->secret, options->session_token};
	struct sigv4 *sigv4 = sigv4_new();
	size_t count = 1 + sigv4_sign(sigv4, &request, &credentials, options->region, S("ecs"), clock_now(),
				      &channel->arena, headers + 1);
	struct buffer *out = &channel->output;

	sigv4_free(sigv4);
	buffer_printf(out, "GET %.*s%s%.*s HTTP/1.1\r\n", STR(address->path), address->query.len ? "?" : "",
		      STR(address->query));
	for (size_t i = 0; i < count; i++)
		buffer_printf(out, "%.*s: %.*s\r\n", STR(headers[i].name), STR(headers[i].value));
	buffer_printf(out, "User-Agent: %.*s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
		      "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %.*s\r\n\r\n", STR(options->user_agent),
		      STR(channel->nonce));
	channel->phase = UPGRADING;
	flush(channel);
}

static struct str expected_accept(struct channel *channel)
{
	struct str salted = arena_printf(&channel->arena, "%.*s258EAFA5-E914-47DA-95CA-C5AB0DC85B11",
					 STR(channel->nonce));
	unsigned char digest[EVP_MAX_MD_SIZE];
	auto_buffer text = {0};

	if (EVP_Digest(salted.ptr, salted.len, digest, NULL, EVP_sha1(), NULL) != 1)
		abort();
	base64_encode((struct str){(char *)digest, 20}, &text);
	return arena_copy(&channel->arena, buffer_str(&text));
}

/* True when the refusal's body is here, as far as it is wanted. */
static bool refused(struct channel *channel, struct str head, struct str body, bool at_end)
{
	struct error error = {0};
	int64_t length = REFUSAL_BYTES_LIMIT;

	str_to_long(header(head, S("Content-Length")), &length);
	if (!at_end && body.len < (size_t)MIN(MAX(length, 0), REFUSAL_BYTES_LIMIT))
		return false;
	fail(&error, ERROR_REFUSED, "the upgrade was refused: %.*s: %.*s", STR(str_slice(head, 0, str_find(head, '\r'))),
	     STR(str_slice(body, 0, REFUSAL_BYTES_LIMIT)));
	end_by(channel, &error);
	return true;
}

static size_t find_head_end(struct str text)
{
	for (size_t i = 0; i + 4 <= text.len; i++)
		if (memcmp(text.ptr + i, "\r\n\r\n", 4) == 0)
			return i;
	return text.len;
}

static void read_head(struct channel *channel, bool at_end)
{
	struct str text = buffer_str(&channel->input);
	size_t end_of_head = find_head_end(text);
	struct str head = str_slice(text, 0, end_of_head);
	struct error error = {0};

	if (end_of_head == text.len) {
		if (text.len > HEAD_BYTES_LIMIT || at_end) {
			fail(&error, ERROR_NETWORK, "%.*s did not answer the upgrade in HTTP",
			     STR(channel->address.authority));
			end_by(channel, &error);
		}
		return;
	}
	if (!str_starts(head, S("HTTP/1.1 101"))) {
		refused(channel, head, str_slice(text, end_of_head + 4, text.len), at_end);
		return;
	}
	if (!str_equal(header(head, S("Sec-WebSocket-Accept")), expected_accept(channel))) {
		fail(&error, ERROR_NETWORK, "%.*s is not a websocket server", STR(channel->address.authority));
		end_by(channel, &error);
		return;
	}
	buffer_consume(&channel->input, end_of_head + 4);
	start_frames(channel);
	channel->phase = OPEN;
	uv_timer_stop(&channel->timer);
	channel->events.opened(channel->arg);
	if (!channel->ending)
		read_frames(channel);
}

/* ---- TLS */

static void end_by_tls(struct channel *channel)
{
	struct error error = {0};
	long verdict = SSL_get_verify_result(channel->tls);
	const char *reason = ERR_reason_error_string(ERR_get_error());

	fail(&error, ERROR_NETWORK, "TLS with %.*s: %s", STR(channel->address.authority),
	     verdict != X509_V_OK ? X509_verify_cert_error_string(verdict) : reason ? reason : "failed");
	end_by(channel, &error);
}

static bool prepare_tls(struct channel *channel)
{
	const struct client_options *options = channel->options;
	const char *host = arena_cstr(&channel->arena, channel->address.host);
	X509_VERIFY_PARAM *rules;

	ERR_clear_error();
	channel->tls_context = SSL_CTX_new(TLS_client_method());
	if (!channel->tls_context)
		abort();
	SSL_CTX_set_min_proto_version(channel->tls_context, TLS1_2_VERSION);
	if (!options->insecure)
		SSL_CTX_set_verify(channel->tls_context, SSL_VERIFY_PEER, NULL);
	if (str_empty(options->ca_file))
		SSL_CTX_set_default_verify_paths(channel->tls_context);
	else if (SSL_CTX_load_verify_locations(channel->tls_context, arena_cstr(&channel->arena, options->ca_file),
					       NULL) != 1)
		return false;
	channel->tls = SSL_new(channel->tls_context);
	if (!channel->tls)
		abort();
	SSL_set_bio(channel->tls, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
	SSL_set_tlsext_host_name(channel->tls, host);
	rules = SSL_get0_param(channel->tls);
	if (X509_VERIFY_PARAM_set1_ip_asc(rules, host) != 1)
		X509_VERIFY_PARAM_set1_host(rules, host, 0);
	SSL_set_connect_state(channel->tls);
	return true;
}

static void shake_hands(struct channel *channel)
{
	int result;

	ERR_clear_error();
	result = SSL_do_handshake(channel->tls);
	flush_tls(channel);
	if (result == 1)
		send_upgrade(channel);
	else if (SSL_get_error(channel->tls, result) != SSL_ERROR_WANT_READ)
		end_by_tls(channel);
}

/* Encrypted bytes in, plain bytes to `input`. */
static void decrypt(struct channel *channel, const char *bytes, size_t len)
{
	char plain[4096];
	int got;

	BIO_write(SSL_get_rbio(channel->tls), bytes, (int)len);
	if (channel->phase == SHAKING)
		shake_hands(channel);
	if (channel->ending || channel->phase == SHAKING)
		return;
	while ((got = SSL_read(channel->tls, plain, sizeof(plain))) > 0)
		buffer_append(&channel->input, plain, (size_t)got);
	flush_tls(channel);
}

/* ---- Bytes in */

static void give_room(uv_handle_t *handle, size_t suggested, uv_buf_t *buffer)
{
	struct channel *channel = handle->data;

	*buffer = uv_buf_init(channel->chunk, sizeof(channel->chunk));
}

static void at_end_of_stream(struct channel *channel, ssize_t status)
{
	if (channel->phase == OPEN && status == UV_EOF)
		end(channel);
	else if (channel->phase == UPGRADING && status == UV_EOF)
		read_head(channel, true);
	else
		end_by_uv(channel, "read from", (int)status);
}

static void got_bytes(uv_stream_t *stream, ssize_t count, const uv_buf_t *buffer)
{
	struct channel *channel = stream->data;

	if (count < 0) {
		at_end_of_stream(channel, count);
		return;
	}
	if (channel->tls)
		decrypt(channel, buffer->base, (size_t)count);
	else
		buffer_append(&channel->input, buffer->base, (size_t)count);
	if (channel->ending)
		return;
	if (channel->phase == UPGRADING)
		read_head(channel, false);
	else if (channel->phase == OPEN)
		read_frames(channel);
}

/* ---- The beginning */

static void connected(uv_connect_t *request, int status)
{
	struct channel *channel = request->data;

	if (status < 0)
		end_by_uv(channel, "connect to", status);
	if (!channel->ending) {
		uv_tcp_nodelay(&channel->tcp, 1);
		uv_read_start((uv_stream_t *)&channel->tcp, give_room, got_bytes);
		if (!channel->address.tls) {
			send_upgrade(channel);
		} else if (prepare_tls(channel)) {
			channel->phase = SHAKING;
			shake_hands(channel);
		} else {
			struct error error = {0};

			fail(&error, ERROR_NETWORK, "read certificates from '%.*s'", STR(channel->options->ca_file));
			end_by(channel, &error);
		}
	}
	gave_back(channel);
}

static void resolved(uv_getaddrinfo_t *request, int status, struct addrinfo *found)
{
	struct channel *channel = request->data;

	if (status == 0 && !channel->ending)
		status = uv_tcp_connect(&channel->connecting, &channel->tcp, found->ai_addr, connected);
	if (status < 0)
		end_by_uv(channel, "connect to", status);
	else if (!channel->ending)
		channel->open_handles++;
	uv_freeaddrinfo(found);
	gave_back(channel);
}

static struct str make_nonce(struct arena *arena)
{
	char bytes[16];
	auto_buffer text = {0};

	entropy_fill(bytes, sizeof(bytes));
	base64_encode((struct str){bytes, sizeof(bytes)}, &text);
	return arena_copy(arena, buffer_str(&text));
}

static void start_handles(struct channel *channel, uv_loop_t *loop)
{
	channel->loop = loop;
	uv_tcp_init(loop, &channel->tcp);
	uv_timer_init(loop, &channel->timer);
	channel->tcp.data = channel->timer.data = channel->connecting.data = channel->resolver.data = channel;
	channel->open_handles = 2;
	uv_timer_start(&channel->timer, too_late, OPEN_SECONDS * 1000, 0);
}

bool channel_open(uv_loop_t *loop, const struct client_options *options, struct str url,
		  const struct channel_events *events, void *arg, struct channel **ret_channel, struct error *err)
{
	struct channel *channel = calloc(1, sizeof(*channel));
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
	int status;

	if (!channel)
		abort();
	channel->options = options;
	channel->events = *events;
	channel->arg = arg;
	channel->nonce = make_nonce(&channel->arena);
	if (!address_parse(url, &channel->arena, &channel->address, err)) {
		destroy(channel);
		return false;
	}
	start_handles(channel, loop);
	status = uv_getaddrinfo(loop, &channel->resolver, resolved, arena_cstr(&channel->arena, channel->address.host),
				arena_cstr(&channel->arena, channel->address.port), &hints);
	if (status < 0) {
		fail(err, ERROR_NETWORK, "look up '%.*s': %s", STR(channel->address.host), uv_strerror(status));
		channel_free(channel);
		return false;
	}
	channel->open_handles++;
	*ret_channel = channel;
	return true;
}
