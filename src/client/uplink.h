/* uplink.h - the agent's end of a websocket (ACS, TCS) on a libuv loop.
 *
 * RFC 6455 by wslay, TLS by OpenSSL, upgrade signed with SigV4 (agent-protocol 2.1, 6). Frames are bounded by
 * ENVELOPE_BYTES_LIMIT; pings are answered. One callback tells everything; after `closed` the channel is
 * dead and is freed by the owner. */
#pragma once
#include "base/error.h"
#include "base/str.h"
#include "client/client.h"

typedef struct uv_loop_s uv_loop_t;
struct uplink;

struct uplink_events {
	void (*opened)(void *arg);
	void (*frame)(void *arg, struct str text);       /* good during the call */
	/* `err` says why; ERROR_REFUSED with the body's text when the server refused the upgrade. */
	void (*closed)(void *arg, const struct error *err);
};

/* `url`: http(s)://host[:port]/ws?query, query keys in alphabetical order. */
bool uplink_open(uv_loop_t *loop, const struct client_options *options, struct str url,
		  const struct uplink_events *events, void *arg, struct uplink **ret_uplink, struct error *err);
void uplink_send(struct uplink *uplink, struct str text);
void uplink_close(struct uplink *uplink, struct str reason);  /* code 1000; `closed` follows */
void uplink_free(struct uplink *uplink);
