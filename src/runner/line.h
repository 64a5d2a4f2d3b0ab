/* line.h - a channel to the server that watches itself: silence and age end it (agent-protocol 2.3, 6). */
#pragma once
#include "client/uplink.h"
#include <uv.h>

enum {
	LINE_SILENCE_SECONDS = 60,                       /* and up to as much again, by chance */
	LINE_LIFE_SECONDS = 1800, LINE_LIFE_JITTER_SECONDS = 300,
};

struct line {
	struct uplink *uplink;
	uv_timer_t silence, life;
	bool open;
	struct uplink_events events;
	void *arg;
};

/* `line` is zeroed before the first time; events as in uplink.h. */
void line_init(struct line *line, uv_loop_t *loop);
bool line_open(struct line *line, uv_loop_t *loop, const struct client_options *options, struct str url,
	       const struct uplink_events *events, void *arg, struct error *err);
bool line_is_open(const struct line *line);
bool line_is_used(const struct line *line);              /* opening, open or closing */
void line_send(struct line *line, struct str text);
void line_drop(struct line *line);                       /* without a word */
void line_fini(struct line *line);                       /* its memory is needed until the loop has ended */
