/* channel.h - an agent's websocket: ACS, whose messages go to the brain, and TCS, whose messages are counted and
 * acknowledged here. */
#pragma once
#include "server/connection.h"
#include "server/websocket.h"

enum channel_kind { CHANNEL_ACS, CHANNEL_TCS };

/* The upgrade request was signed by `caller`. ACS: answered after the brain agreed; TCS: at once. */
void channel_open(struct exchange *exchange, enum channel_kind kind, const struct caller *caller, struct str region);

/* Works that came home. */
void channel_opened(struct exchange *exchange);
void channel_message_done(struct work *work);
void channel_closed(struct work *work);
void channel_send(struct work *work);
void channel_hangup(struct work *work);

/* From the connection. */
void channel_start(struct channel *channel, struct connection *connection);
bool channel_can_read(const struct channel *channel);
void channel_read(struct channel *channel, struct str bytes);
void channel_tick(struct channel *channel, usec now);
void channel_shutdown(struct channel *channel);          /* says 1001 */
void channel_detach(struct channel *channel);            /* the connection is gone; frees it when nothing is under way */
