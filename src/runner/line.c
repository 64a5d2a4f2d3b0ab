#include "runner/line.h"
#include "os/entropy.h"

static uint64_t jittered(uint64_t seconds, uint64_t spread)
{
	return seconds * 1000 + entropy_number() % (spread * 1000);
}

static void fell_silent(uv_timer_t *timer)
{
	uplink_close(((struct line *)timer->data)->uplink, S("no message from the server"));
}

static void grew_old(uv_timer_t *timer)
{
	uplink_close(((struct line *)timer->data)->uplink, S("ConnectionExpired: Reconnect to continue"));
}

static void listen_anew(struct line *line)
{
	uv_timer_start(&line->silence, fell_silent, jittered(LINE_SILENCE_SECONDS, LINE_SILENCE_SECONDS), 0);
}

static void opened(void *arg)
{
	struct line *line = arg;

	line->open = true;
	listen_anew(line);
	uv_timer_start(&line->life, grew_old, jittered(LINE_LIFE_SECONDS, LINE_LIFE_JITTER_SECONDS), 0);
	line->events.opened(line->arg);
}

static void frame(void *arg, struct str text)
{
	struct line *line = arg;

	listen_anew(line);
	line->events.frame(line->arg, text);
}

static void forget(struct line *line)
{
	uplink_free(line->uplink);
	line->uplink = NULL;
	line->open = false;
	uv_timer_stop(&line->silence);
	uv_timer_stop(&line->life);
}

static void closed(void *arg, const struct error *err)
{
	struct line *line = arg;
	struct error why = *err;

	forget(line);
	line->events.closed(line->arg, &why);
}

void line_init(struct line *line, uv_loop_t *loop)
{
	uv_timer_init(loop, &line->silence);
	uv_timer_init(loop, &line->life);
	line->silence.data = line->life.data = line;
}

bool line_open(struct line *line, uv_loop_t *loop, const struct client_options *options, struct str url,
	       const struct uplink_events *events, void *arg, struct error *err)
{
	static const struct uplink_events own = {.opened = opened, .frame = frame, .closed = closed};

	line->events = *events;
	line->arg = arg;
	return uplink_open(loop, options, url, &own, line, &line->uplink, err);
}

bool line_is_open(const struct line *line) { return line->open; }
bool line_is_used(const struct line *line) { return line->uplink != NULL; }

void line_send(struct line *line, struct str text)
{
	if (line->open)
		uplink_send(line->uplink, text);
}

void line_drop(struct line *line)
{
	if (line->uplink)
		forget(line);
}

void line_fini(struct line *line)
{
	line_drop(line);
	uv_close((uv_handle_t *)&line->silence, NULL);
	uv_close((uv_handle_t *)&line->life, NULL);
}
