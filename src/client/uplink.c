#include "client/uplink.h"
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

struct uplink {
	const struct client_options *options;
	struct uplink_events events;
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

static void destroy(struct uplink *uplink)
{
	if (uplink->frames)
		wslay_event_context_free(uplink->frames);
	SSL_free(uplink->tls);
	SSL_CTX_free(uplink->tls_context);
	buffer_fini(&uplink->input);
	buffer_fini(&uplink->output);
	arena_fini(&uplink->arena);
	free(uplink);
}

static void gave_back(struct uplink *uplink)
{
	assert(uplink->open_handles > 0);
	if (--uplink->open_handles > 0)
		return;
	uplink->over = true;
	if (uplink->abandoned)
		destroy(uplink);
	else
		uplink->events.closed(uplink->arg, &uplink->error);
}

static void handle_closed(uv_handle_t *handle) { gave_back(handle->data); }

static void end(struct uplink *uplink)
{
	if (uplink->ending)
		return;
	uplink->ending = true;
	uv_cancel((uv_req_t *)&uplink->resolver);
	uv_close((uv_handle_t *)&uplink->tcp, handle_closed);
	uv_close((uv_handle_t *)&uplink->timer, handle_closed);
}

static void end_by(struct uplink *uplink, const struct error *error)
{
	if (!uplink->ending)
		uplink->error = *error;
	end(uplink);
}

static void end_by_uv(struct uplink *uplink, const char *what, int status)
{
	struct error error = {0};

	fail(&error, ERROR_NETWORK, "%s %.*s: %s", what, STR(uplink->address.authority), uv_strerror(status));
	end_by(uplink, &error);
}

void uplink_free(struct uplink *uplink)
{
	if (!uplink)
		return;
	if (uplink->over) {
		destroy(uplink);
		return;
	}
	uplink->abandoned = true;
	end(uplink);
}

static void too_late(uv_timer_t *timer)
{
	struct uplink *uplink = timer->data;

	if (uplink->phase == OPEN)                      /* the peer did not say goodbye */
		end(uplink);
	else
		end_by_uv(uplink, "connect to", UV_ETIMEDOUT);
}

/* ---- Bytes out */

struct writing {
	uv_write_t request;
	struct uplink *uplink;
	char bytes[];
};

static void written(uv_write_t *request, int status)
{
	struct writing *writing = CONTAINER_OF(request, struct writing, request);
	struct uplink *uplink = writing->uplink;

	free(writing);
	if (status < 0 && status != UV_ECANCELED && !uplink->ending)
		end_by_uv(uplink, "write to", status);
	gave_back(uplink);
}

static void write_raw(struct uplink *uplink, const void *bytes, size_t len)
{
	struct writing *writing;
	uv_buf_t buffer;
	int status;

	if (len == 0 || uplink->ending)
		return;
	writing = malloc(sizeof(*writing) + len);
	if (!writing)
		abort();
	writing->uplink = uplink;
	memcpy(writing->bytes, bytes, len);
	buffer = uv_buf_init(writing->bytes, (unsigned)len);
	status = uv_write(&writing->request, (uv_stream_t *)&uplink->tcp, &buffer, 1, written);
	if (status == 0) {
		uplink->open_handles++;
		return;
	}
	free(writing);
	end_by_uv(uplink, "write to", status);
}

static void flush_tls(struct uplink *uplink)
{
	char *bytes;
	long len = BIO_get_mem_data(SSL_get_wbio(uplink->tls), &bytes);

	if (len > 0) {
		write_raw(uplink, bytes, (size_t)len);
		(void)BIO_reset(SSL_get_wbio(uplink->tls));
	}
}

static void flush(struct uplink *uplink)
{
	struct str out = buffer_str(&uplink->output);

	if (!uplink->tls)
		write_raw(uplink, out.ptr, out.len);
	else if (out.len && SSL_write(uplink->tls, out.ptr, (int)out.len) > 0)
		flush_tls(uplink);
	buffer_clear(&uplink->output);
}

/* ---- Frames */

static ssize_t give_input(wslay_event_context_ptr context, uint8_t *bytes, size_t len, int flags, void *arg)
{
	struct uplink *uplink = arg;
	size_t taken = MIN(len, uplink->input.len);

	if (taken == 0) {
		wslay_event_set_error(context, WSLAY_ERR_WOULDBLOCK);
		return -1;
	}
	memcpy(bytes, uplink->input.bytes, taken);
	buffer_consume(&uplink->input, taken);
	return (ssize_t)taken;
}

static ssize_t take_output(wslay_event_context_ptr context, const uint8_t *bytes, size_t len, int flags, void *arg)
{
	buffer_append(&((struct uplink *)arg)->output, bytes, len);
	return (ssize_t)len;
}

static int make_mask(wslay_event_context_ptr context, uint8_t *bytes, size_t len, void *arg)
{
	entropy_fill(bytes, len);
	return 0;
}

static void got_message(wslay_event_context_ptr context, const struct wslay_event_on_msg_recv_arg *message, void *arg)
{
	struct uplink *uplink = arg;

	if (message->opcode == WSLAY_TEXT_FRAME && !uplink->ending)
		uplink->events.frame(uplink->arg, (struct str){(const char *)message->msg, message->msg_length});
}

static void start_frames(struct uplink *uplink)
{
	static const struct wslay_event_callbacks callbacks = {
		.recv_callback = give_input, .send_callback = take_output, .genmask_callback = make_mask,
		.on_msg_recv_callback = got_message,
	};

	if (wslay_event_context_client_init(&uplink->frames, &callbacks, uplink) != 0)
		abort();
	wslay_event_config_set_max_recv_msg_length(uplink->frames, ENVELOPE_BYTES_LIMIT);
}

static bool ended_well(struct uplink *uplink)
{
	uint16_t code = wslay_event_get_status_code_received(uplink->frames);

	return code == 0 || code == 1000 || code == 1001 || code == 1005 || code == 1006 || code == 1011;
}

static void read_frames(struct uplink *uplink)
{
	struct error error = {0};
	int result = wslay_event_recv(uplink->frames);

	if (result == 0)
		result = wslay_event_send(uplink->frames);
	flush(uplink);
	if (uplink->ending)
		return;
	if (result != 0) {
		fail(&error, ERROR_NETWORK, "%.*s broke the websocket protocol", STR(uplink->address.authority));
		end_by(uplink, &error);
	} else if (wslay_event_get_close_received(uplink->frames)) {
		if (!ended_well(uplink))
			fail(&error, ERROR_NETWORK, "%.*s closed with code %u", STR(uplink->address.authority),
			     wslay_event_get_status_code_received(uplink->frames));
		end_by(uplink, &error);
	}
}

void uplink_send(struct uplink *uplink, struct str text)
{
	struct wslay_event_msg message = {.opcode = WSLAY_TEXT_FRAME, .msg = (const uint8_t *)text.ptr,
					  .msg_length = text.len};

	if (uplink->phase != OPEN || uplink->ending)
		return;
	if (wslay_event_queue_msg(uplink->frames, &message) == 0)
		wslay_event_send(uplink->frames);
	flush(uplink);
}

void uplink_close(struct uplink *uplink, struct str reason)
{
	if (uplink->ending)
		return;
	if (uplink->phase != OPEN) {
		end(uplink);
		return;
	}
	reason = str_slice(reason, 0, 123);              /* a control frame's room */
	if (wslay_event_queue_close(uplink->frames, 1000, (const uint8_t *)reason.ptr, reason.len) == 0)
		wslay_event_send(uplink->frames);
	flush(uplink);
	uv_timer_start(&uplink->timer, too_late, GOODBYE_SECONDS * 1000, 0);
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

static void send_upgrade(struct uplink *uplink)
{
	const struct client_options *options = uplink->options;
	const struct address *address = &uplink->address;
	struct sigv4_header headers[1 + 3] = { { S("Host"), address->authority } };
	struct sigv4_request request = {.method = S("GET"), .path = address->path, .query = address->query,
					.headers = headers, .header_count = 1, .body = S(""), .tls = address->tls};
	struct sigv4_credentials credentials = {options->key_id, options->secret, options->session_token};
	struct sigv4 *sigv4 = sigv4_new();
	size_t count = 1 + sigv4_sign(sigv4, &request, &credentials, options->region, S("ecs"), clock_now(),
				      &uplink->arena, headers + 1);
	struct buffer *out = &uplink->output;

	sigv4_free(sigv4);
	buffer_printf(out, "GET %.*s%s%.*s HTTP/1.1\r\n", STR(address->path), address->query.len ? "?" : "",
		      STR(address->query));
	for (size_t i = 0; i < count; i++)
		buffer_printf(out, "%.*s: %.*s\r\n", STR(headers[i].name), STR(headers[i].value));
	buffer_printf(out, "User-Agent: %.*s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
		      "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %.*s\r\n\r\n", STR(options->user_agent),
		      STR(uplink->nonce));
	uplink->phase = UPGRADING;
	flush(uplink);
}

static struct str expected_accept(struct uplink *uplink)
{
	struct str salted = arena_printf(&uplink->arena, "%.*s258EAFA5-E914-47DA-95CA-C5AB0DC85B11",
					 STR(uplink->nonce));
	unsigned char digest[EVP_MAX_MD_SIZE];
	auto_buffer text = {0};

	if (EVP_Digest(salted.ptr, salted.len, digest, NULL, EVP_sha1(), NULL) != 1)
		abort();
	base64_encode((struct str){(char *)digest, 20}, &text);
	return arena_copy(&uplink->arena, buffer_str(&text));
}

/* True when the refusal's body is here, as far as it is wanted. */
static bool refused(struct uplink *uplink, struct str head, struct str body, bool at_end)
{
	struct error error = {0};
	int64_t length = REFUSAL_BYTES_LIMIT;

	str_to_long(header(head, S("Content-Length")), &length);
	if (!at_end && body.len < (size_t)MIN(MAX(length, 0), REFUSAL_BYTES_LIMIT))
		return false;
	fail(&error, ERROR_REFUSED, "the upgrade was refused: %.*s: %.*s", STR(str_slice(head, 0, str_find(head, '\r'))),
	     STR(str_slice(body, 0, REFUSAL_BYTES_LIMIT)));
	end_by(uplink, &error);
	return true;
}

static size_t find_head_end(struct str text)
{
	for (size_t i = 0; i + 4 <= text.len; i++)
		if (memcmp(text.ptr + i, "\r\n\r\n", 4) == 0)
			return i;
	return text.len;
}

static void read_head(struct uplink *uplink, bool at_end)
{
	struct str text = buffer_str(&uplink->input);
	size_t end_of_head = find_head_end(text);
	struct str head = str_slice(text, 0, end_of_head);
	struct error error = {0};

	if (end_of_head == text.len) {
		if (text.len > HEAD_BYTES_LIMIT || at_end) {
			fail(&error, ERROR_NETWORK, "%.*s did not answer the upgrade in HTTP",
			     STR(uplink->address.authority));
			end_by(uplink, &error);
		}
		return;
	}
	if (!str_starts(head, S("HTTP/1.1 101"))) {
		refused(uplink, head, str_slice(text, end_of_head + 4, text.len), at_end);
		return;
	}
	if (!str_equal(header(head, S("Sec-WebSocket-Accept")), expected_accept(uplink))) {
		fail(&error, ERROR_NETWORK, "%.*s is not a websocket server", STR(uplink->address.authority));
		end_by(uplink, &error);
		return;
	}
	buffer_consume(&uplink->input, end_of_head + 4);
	start_frames(uplink);
	uplink->phase = OPEN;
	uv_timer_stop(&uplink->timer);
	uplink->events.opened(uplink->arg);
	if (!uplink->ending)
		read_frames(uplink);
}

/* ---- TLS */

static void end_by_tls(struct uplink *uplink)
{
	struct error error = {0};
	long verdict = SSL_get_verify_result(uplink->tls);
	const char *reason = ERR_reason_error_string(ERR_get_error());

	fail(&error, ERROR_NETWORK, "TLS with %.*s: %s", STR(uplink->address.authority),
	     verdict != X509_V_OK ? X509_verify_cert_error_string(verdict) : reason ? reason : "failed");
	end_by(uplink, &error);
}

static bool prepare_tls(struct uplink *uplink)
{
	const struct client_options *options = uplink->options;
	const char *host = arena_cstr(&uplink->arena, uplink->address.host);
	X509_VERIFY_PARAM *rules;

	ERR_clear_error();
	uplink->tls_context = SSL_CTX_new(TLS_client_method());
	if (!uplink->tls_context)
		abort();
	SSL_CTX_set_min_proto_version(uplink->tls_context, TLS1_2_VERSION);
	if (!options->insecure)
		SSL_CTX_set_verify(uplink->tls_context, SSL_VERIFY_PEER, NULL);
	if (str_empty(options->ca_file))
		SSL_CTX_set_default_verify_paths(uplink->tls_context);
	else if (SSL_CTX_load_verify_locations(uplink->tls_context, arena_cstr(&uplink->arena, options->ca_file),
					       NULL) != 1)
		return false;
	uplink->tls = SSL_new(uplink->tls_context);
	if (!uplink->tls)
		abort();
	SSL_set_bio(uplink->tls, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
	SSL_set_tlsext_host_name(uplink->tls, host);
	rules = SSL_get0_param(uplink->tls);
	if (X509_VERIFY_PARAM_set1_ip_asc(rules, host) != 1)
		X509_VERIFY_PARAM_set1_host(rules, host, 0);
	SSL_set_connect_state(uplink->tls);
	return true;
}

static void shake_hands(struct uplink *uplink)
{
	int result;

	ERR_clear_error();
	result = SSL_do_handshake(uplink->tls);
	flush_tls(uplink);
	if (result == 1)
		send_upgrade(uplink);
	else if (SSL_get_error(uplink->tls, result) != SSL_ERROR_WANT_READ)
		end_by_tls(uplink);
}

/* Encrypted bytes in, plain bytes to `input`. */
static void decrypt(struct uplink *uplink, const char *bytes, size_t len)
{
	char plain[4096];
	int got;

	BIO_write(SSL_get_rbio(uplink->tls), bytes, (int)len);
	if (uplink->phase == SHAKING)
		shake_hands(uplink);
	if (uplink->ending || uplink->phase == SHAKING)
		return;
	while ((got = SSL_read(uplink->tls, plain, sizeof(plain))) > 0)
		buffer_append(&uplink->input, plain, (size_t)got);
	flush_tls(uplink);
}

/* ---- Bytes in */

static void give_room(uv_handle_t *handle, size_t suggested, uv_buf_t *buffer)
{
	struct uplink *uplink = handle->data;

	*buffer = uv_buf_init(uplink->chunk, sizeof(uplink->chunk));
}

static void at_end_of_stream(struct uplink *uplink, ssize_t status)
{
	if (uplink->phase == OPEN && status == UV_EOF)
		end(uplink);
	else if (uplink->phase == UPGRADING && status == UV_EOF)
		read_head(uplink, true);
	else
		end_by_uv(uplink, "read from", (int)status);
}

static void got_bytes(uv_stream_t *stream, ssize_t count, const uv_buf_t *buffer)
{
	struct uplink *uplink = stream->data;

	if (count < 0) {
		at_end_of_stream(uplink, count);
		return;
	}
	if (uplink->tls)
		decrypt(uplink, buffer->base, (size_t)count);
	else
		buffer_append(&uplink->input, buffer->base, (size_t)count);
	if (uplink->ending)
		return;
	if (uplink->phase == UPGRADING)
		read_head(uplink, false);
	else if (uplink->phase == OPEN)
		read_frames(uplink);
}

/* ---- The beginning */

static void connected(uv_connect_t *request, int status)
{
	struct uplink *uplink = request->data;

	if (status < 0)
		end_by_uv(uplink, "connect to", status);
	if (!uplink->ending) {
		uv_tcp_nodelay(&uplink->tcp, 1);
		uv_read_start((uv_stream_t *)&uplink->tcp, give_room, got_bytes);
		if (!uplink->address.tls) {
			send_upgrade(uplink);
		} else if (prepare_tls(uplink)) {
			uplink->phase = SHAKING;
			shake_hands(uplink);
		} else {
			struct error error = {0};

			fail(&error, ERROR_NETWORK, "read certificates from '%.*s'", STR(uplink->options->ca_file));
			end_by(uplink, &error);
		}
	}
	gave_back(uplink);
}

static void resolved(uv_getaddrinfo_t *request, int status, struct addrinfo *found)
{
	struct uplink *uplink = request->data;

	if (status == 0 && !uplink->ending)
		status = uv_tcp_connect(&uplink->connecting, &uplink->tcp, found->ai_addr, connected);
	if (status < 0)
		end_by_uv(uplink, "connect to", status);
	else if (!uplink->ending)
		uplink->open_handles++;
	uv_freeaddrinfo(found);
	gave_back(uplink);
}

static struct str make_nonce(struct arena *arena)
{
	char bytes[16];
	auto_buffer text = {0};

	entropy_fill(bytes, sizeof(bytes));
	base64_encode((struct str){bytes, sizeof(bytes)}, &text);
	return arena_copy(arena, buffer_str(&text));
}

static void start_handles(struct uplink *uplink, uv_loop_t *loop)
{
	uplink->loop = loop;
	uv_tcp_init(loop, &uplink->tcp);
	uv_timer_init(loop, &uplink->timer);
	uplink->tcp.data = uplink->timer.data = uplink->connecting.data = uplink->resolver.data = uplink;
	uplink->open_handles = 2;
	uv_timer_start(&uplink->timer, too_late, OPEN_SECONDS * 1000, 0);
}

bool uplink_open(uv_loop_t *loop, const struct client_options *options, struct str url,
		  const struct uplink_events *events, void *arg, struct uplink **ret_uplink, struct error *err)
{
	struct uplink *uplink = calloc(1, sizeof(*uplink));
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
	int status;

	if (!uplink)
		abort();
	uplink->options = options;
	uplink->events = *events;
	uplink->arg = arg;
	uplink->nonce = make_nonce(&uplink->arena);
	if (!address_parse(url, &uplink->arena, &uplink->address, err)) {
		destroy(uplink);
		return false;
	}
	start_handles(uplink, loop);
	status = uv_getaddrinfo(loop, &uplink->resolver, resolved, arena_cstr(&uplink->arena, uplink->address.host),
				arena_cstr(&uplink->arena, uplink->address.port), &hints);
	if (status < 0) {
		fail(err, ERROR_NETWORK, "look up '%.*s': %s", STR(uplink->address.host), uv_strerror(status));
		uplink_free(uplink);
		return false;
	}
	uplink->open_handles++;
	*ret_uplink = uplink;
	return true;
}
