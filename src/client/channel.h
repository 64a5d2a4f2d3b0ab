/* channel.h - the agent's end of a websocket (ACS, TCS) on a libuv loop.
 *
 * RFC 6455 by wslay, TLS by OpenSSL, upgrade signed with SigV4 (agent-protocol 2.1, 6). Frames are bounded by
 * ENVELOPE_BYTES_LIMIT; pings are answered. One callback tells everything; after `closed` the channel is
 * dead and is freed by the owner. */
#pragma once
#include "base/error.h"
#include "base/str.h"
#include "client/client.h"

typedef struct uv_loop_s uv_loop_t;
struct channel;

struct channel_events {
	void (*opened)(void *arg);
	void (*frame)(void *arg, struct str text);       /* good during the call */
	/* `err` says why; ERROR_REFUSED with the body's text when the server refused the upgrade. */
	void (*closed)(void *arg, const struct error *err);
};

/* `url`: http(s)://host[:port]/ws?query, query keys in alphabetical order. */
bool channel_open(uv_loop_t *loop, const struct client_options *options, struct str url,
		  const struct channel_events *events, void *arg, struct channel **ret_channel, struct error *err);
void channel_send(struct channel *channel, struct str text);
void channel_close(struct channel *channel, struct str reason);  /* code 1000; `closed` follows */
void channel_free(struct channel *channel);
