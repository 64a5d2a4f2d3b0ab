/* websocket.h - RFC 6455 on the server's side: bytes in, messages out, and back. wslay frames; no socket here. */
#pragma once
#include "base/arena.h"
#include "base/buffer.h"

struct websocket;

/* `on_message` gets each complete text message, good during the call. */
struct websocket *websocket_new(size_t message_limit, void (*on_message)(void *self, struct str text), void *self);
void websocket_free(struct websocket *websocket);

/* False when the peer broke the protocol or closed: what is in the output still goes out, then the connection ends. */
bool websocket_read(struct websocket *websocket, struct str bytes);
void websocket_send(struct websocket *websocket, struct str text);
void websocket_close(struct websocket *websocket, uint16_t code, struct str reason);
/* Both sides have said goodbye, or nothing more can be read. */
bool websocket_is_over(const struct websocket *websocket);

/* What is to be written to the peer; the caller clears it. */
struct buffer *websocket_output(struct websocket *websocket);

/* The value of Sec-WebSocket-Accept; absent when the key is not the base64 text of 16 bytes. */
struct str websocket_accept(struct str key, struct arena *arena);
