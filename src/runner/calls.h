/* calls.h - API calls on libuv's worker threads, each thread with a client of its own that keeps its connection. */
#pragma once
#include "client/client.h"
#include <uv.h>

struct calls;

struct calls *calls_new(uv_loop_t *loop, const struct client_options *options);
void calls_free(struct calls *calls);                    /* after the loop has ended */

/* Copies the input. `done` runs on the loop: `output` is NULL on an error and good during the call. */
void calls_make(struct calls *calls, const struct operation *operation, const void *input,
		void (*done)(void *arg, uint64_t ticket, const void *output, const struct error *err),
		void *arg, uint64_t ticket);
