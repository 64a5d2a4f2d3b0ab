/* front.h - what a request asks for: routing, identity, decoding, and the errors of all that. */
#pragma once
#include "server/connection.h"

/* Answers the exchange, or sends it to the brain. */
void front_take(struct exchange *exchange);
/* Framing that was refused: an answer of the transport, after which the connection ends. */
void front_refuse(struct exchange *exchange, int status, const char *reason);
/* WORK_STATISTICS came home. */
void front_metrics(struct exchange *exchange);
