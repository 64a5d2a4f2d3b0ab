#include "server/websocket.h"
#include <openssl/evp.h>
#include <stdlib.h>
#include <wslay/wslay.h>

struct websocket {
	wslay_event_context_ptr context;
	struct str input; /* what wslay has not taken yet */
	struct buffer output;
	bool reading; /* what is queued meanwhile goes out when it ends */
	void (*on_message)(void *self, struct str text);
	void *self;
};

static ssize_t give_input(wslay_event_context_ptr context, uint8_t *bytes, size_t len, int flags,
			  void *self)
{
	struct websocket *websocket = self;
	size_t taken = MIN(len, websocket->input.len);

	(void)flags;
	if (taken == 0) {
		wslay_event_set_error(context, WSLAY_ERR_WOULDBLOCK);
		return -1;
	}
	memcpy(bytes, websocket->input.ptr, taken);
	websocket->input = str_slice(websocket->input, taken, websocket->input.len);
	return (ssize_t)taken;
}

static ssize_t take_output(wslay_event_context_ptr context, const uint8_t *bytes, size_t len,
			   int flags, void *self)
{
	struct websocket *websocket = self;

	(void)context, (void)flags;
	buffer_append(&websocket->output, bytes, len);
	return (ssize_t)len;
}

static void message_received(wslay_event_context_ptr context,
			     const struct wslay_event_on_msg_recv_arg *message, void *self)
{
	struct websocket *websocket = self;

	if (message->opcode == WSLAY_BINARY_FRAME)
		wslay_event_queue_close(context, WSLAY_CODE_UNSUPPORTED_DATA, NULL, 0);
	else if (message->opcode == WSLAY_TEXT_FRAME)
		websocket->on_message(websocket->self, (struct str){(const char *)message->msg,
								    message->msg_length});
}

struct websocket *websocket_new(size_t message_limit,
				void (*on_message)(void *self, struct str text), void *self)
{
	static const struct wslay_event_callbacks callbacks = {
		.recv_callback = give_input,
		.send_callback = take_output,
		.on_msg_recv_callback = message_received,
	};
	struct websocket *websocket = calloc(1, sizeof(*websocket));

	if (!websocket ||
	    wslay_event_context_server_init(&websocket->context, &callbacks, websocket) != 0)
		abort();
	wslay_event_config_set_max_recv_msg_length(websocket->context, message_limit);
	websocket->on_message = on_message;
	websocket->self = self;
	return websocket;
}

void websocket_free(struct websocket *websocket)
{
	if (!websocket)
		return;
	wslay_event_context_free(websocket->context);
	buffer_fini(&websocket->output);
	free(websocket);
}

bool websocket_read(struct websocket *websocket, struct str bytes)
{
	int result;

	websocket->input = bytes;
	websocket->reading = true;
	result = wslay_event_recv(websocket->context);
	websocket->reading = false;
	websocket->input = STR_NONE;
	/* Also after a broken frame: the goodbye that says so is queued. */
	wslay_event_send(websocket->context);
	return result == 0 && wslay_event_get_read_enabled(websocket->context);
}

void websocket_send(struct websocket *websocket, struct str text)
{
	struct wslay_event_msg message = {.opcode = WSLAY_TEXT_FRAME,
					  .msg = (const uint8_t *)text.ptr,
					  .msg_length = text.len};

	/* Refused only after a close, when nobody listens any more. */
	if (wslay_event_queue_msg(websocket->context, &message) == 0 && !websocket->reading)
		wslay_event_send(websocket->context);
}

void websocket_close(struct websocket *websocket, uint16_t code, struct str reason)
{
	if (wslay_event_queue_close(websocket->context, code, (const uint8_t *)reason.ptr,
				    reason.len) == 0 &&
	    !websocket->reading)
		wslay_event_send(websocket->context);
}

bool websocket_is_over(const struct websocket *websocket)
{
	return wslay_event_get_close_sent(websocket->context) &&
	       (wslay_event_get_close_received(websocket->context) ||
		!wslay_event_get_read_enabled(websocket->context));
}

struct buffer *websocket_output(struct websocket *websocket)
{
	return &websocket->output;
}

struct str websocket_accept(struct str key, struct arena *arena)
{
	struct str salted =
		arena_printf(arena, "%.*s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", STR(key));
	unsigned char nonce[32], digest[EVP_MAX_MD_SIZE];
	unsigned char *text = arena_alloc_bytes(arena, 32);

	if (key.len != 24 || EVP_DecodeBlock(nonce, (const unsigned char *)key.ptr, 24) != 18 ||
	    !str_ends(key, S("==")) || str_find(key, '=') != 22)
		return STR_NONE;
	if (EVP_Digest(salted.ptr, salted.len, digest, NULL, EVP_sha1(), NULL) != 1)
		return STR_NONE;
	EVP_EncodeBlock(text, digest, 20);
	return str_of((const char *)text);
}
