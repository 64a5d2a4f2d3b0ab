/* peer.h - a server of few words on loopback: takes one connection at a time, reads a request, says its script. */
#pragma once
#include "base/buffer.h"

struct peer;

/* `answers`: one for each request or, after an upgrade, bytes sent at once; "%ACCEPT%" in one becomes the right
 * Sec-WebSocket-Accept. NULL ends the list; after the last the connection is closed. */
struct peer *peer_start(const char *const *answers);
const char *peer_endpoint(const struct peer *peer);      /* "http://127.0.0.1:PORT" */
/* Waits for its end; all that it heard. */
struct str peer_finish(struct peer *peer);
void peer_free(struct peer *peer);
