/* front.h - what a request asks for: routing, identity, decoding, and the errors of all that. */
#pragma once
#include "server/connection.h"

/* Answers the exchange, or sends it to the brain. */
void front_take(struct exchange *exchange);
/* Framing that was refused: an answer of the transport, after which the connection ends. */
void front_refuse(struct exchange *exchange, int status, const char *reason);
/* By its head: whether a request names a key of ours. */
bool front_knows(struct exchange *exchange, struct error *err);
/* A body that is not read, because of its sender or for want of room: an answer after which the connection ends. */
void front_refuse_body(struct exchange *exchange, const struct error *error);
/* WORK_STATISTICS came home. */
void front_metrics(struct exchange *exchange);
