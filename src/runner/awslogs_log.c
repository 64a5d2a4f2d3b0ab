#include "runner/awslogs_private.h"
#include <errno.h>
#include <stdlib.h>
#include "os/clock.h"

enum {
	MULTILINE_MSEC = 1000,                           /* after which a message that may go on is taken to be whole */
	SPAN_HOURS = 23,                                 /* of a batch: the service takes 24 */
	COMPLAINT_BYTES = 128,                           /* what a batch keeps free for the word about dropped lines */
};

void log_free(struct log *log)
{
	log_progress_unmap(log->progress);
	log_reader_fini(&log->reader);
	buffer_fini(&log->joint.text);
	if (log->has_pattern)
		regfree(&log->pattern);
	arena_fini(&log->arena);
	free(log);
}

static bool compile_pattern(struct log *log, struct error *err)
{
	char why[120];
	int code;

	if (str_empty(log->target->multiline_pattern))
		return true;
	code = regcomp(&log->pattern, arena_cstr(&log->arena, log->target->multiline_pattern), REG_EXTENDED | REG_NOSUB);
	log->has_pattern = code == 0;
	if (code == 0)
		return true;
	regerror(code, &log->pattern, why, sizeof(why));
	return fail(err, ERROR_REFUSED, "awslogs could not parse multiline pattern key '%.*s': %s",
		    STR(log->target->multiline_pattern), why);
}

struct log *log_new(struct str folder, struct str task_id, struct str container, const struct agent_log_target *target,
		    struct error *err)
{
	struct log *log = calloc(1, sizeof(*log));
	struct str base;
	const char *progress;

	if (!log)
		abort();
	base = arena_printf(&log->arena, "%.*s/%.*s/%.*s", STR(folder), STR(task_id), STR(container));
	log->name = arena_printf(&log->arena, "%.*s/%.*s", STR(task_id), STR(container));
	log->target = shape_copy(&shape_agent_log_target, target, &log->arena);
	log->path = arena_cstr(&log->arena, arena_printf(&log->arena, "%.*s.log", STR(base)));
	log->ship_path = arena_cstr(&log->arena, arena_printf(&log->arena, "%.*s.ship", STR(base)));
	log->reader.fd = -1;
	progress = arena_cstr(&log->arena, arena_printf(&log->arena, "%.*s.progress", STR(base)));
	log->progress = log_progress_map(progress, true);
	if (!log->progress)
		fail_os(err, errno, "map '%s'", progress);
	if (!log->progress || !compile_pattern(log, err)) {
		log_free(log);
		return NULL;
	}
	log_reader_init(&log->reader, log->progress, log->path, log->progress->shipped);
	return log;
}

static void batch_add(struct batch *batch, usec at, struct str text, uint64_t end)
{
	/* The service wants them in order; a clock may have been set back. */
	int64_t timestamp = MAX(at / USEC_PER_MSEC, batch->last);
	struct logs_input_log_event *event;

	batch->end = end;
	if (text.len == 0)
		return;
	if (batch->events.count == 0)
		batch->first = timestamp;
	batch->last = timestamp;
	batch->bytes += text.len + LOG_EVENT_OVERHEAD;
	event = list_push(&batch->events);
	*event = (struct logs_input_log_event){.timestamp = {timestamp, true}, .message = arena_copy(&batch->arena, text)};
}

static bool batch_has_room(const struct batch *batch)
{
	return batch->events.count < LOG_BATCH_EVENTS_LIMIT - 1 &&
	       batch->bytes + AWSLOGS_EVENT_BYTES + COMPLAINT_BYTES + 2 * LOG_EVENT_OVERHEAD <= LOG_BATCH_BYTES_LIMIT;
}

/* A line that is much later than the first begins another batch. */
static bool batch_spans(const struct batch *batch, usec at)
{
	return batch->events.count == 0 || at / USEC_PER_MSEC - batch->first < (usec)SPAN_HOURS * 3600 * 1000;
}

static void joint_flush(struct joint *joint, struct batch *batch)
{
	if (joint->open)
		batch_add(batch, joint->at, buffer_str(&joint->text), joint->end);
	buffer_clear(&joint->text);
	joint->open = false;
}

/* Not in the middle of a character. */
static size_t piece_of(struct str text, size_t room)
{
	size_t cut = room;

	while (cut > 0 && room - cut < 4 && ((unsigned char)text.ptr[cut] & 0xc0) == 0x80)
		cut--;
	return cut > 0 ? cut : room;
}

static void joint_add(struct joint *joint, struct batch *batch, const struct log_line *line, uint64_t end)
{
	struct str text = line->text;

	while (joint->text.len + text.len > AWSLOGS_EVENT_BYTES) {
		size_t room = piece_of(text, AWSLOGS_EVENT_BYTES - joint->text.len);

		buffer_add(&joint->text, str_slice(text, 0, room));
		/* Not its end yet: should this batch be refused, the whole line is read again. */
		batch_add(batch, joint->at, buffer_str(&joint->text), batch->end);
		buffer_clear(&joint->text);
		text = str_slice(text, room, text.len);
	}
	buffer_add(&joint->text, text);
	joint->end = end;
}

static bool begins_message(const struct log *log, struct str text)
{
	regmatch_t where = {.rm_so = 0, .rm_eo = (regoff_t)text.len};

	return regexec(&log->pattern, text.ptr ? text.ptr : "", 1, &where, REG_STARTEND) == 0;
}

static void take_line(struct log *log, struct batch *batch, const struct log_line *line, uint64_t end, usec now)
{
	struct joint *joint = &log->joint;
	bool continues = joint->partial;

	if (!log->has_pattern && !joint->open && line->whole) {
		batch_add(batch, line->at, line->text, end);
		return;
	}
	if (!continues && joint->open && (!log->has_pattern || begins_message(log, line->text)))
		joint_flush(joint, batch);
	if (!joint->open)
		joint->at = line->at;
	else if (!continues)
		buffer_add_char(&joint->text, '\n');
	joint->open = true;
	joint->partial = !line->whole;
	joint->touched = now;
	joint_add(joint, batch, line, end);
	if (!log->has_pattern && line->whole)
		joint_flush(joint, batch);
}

static void gather_messages(struct log *log, struct batch *batch, bool ended, usec now)
{
	struct log_line line;

	batch->end = log->progress->shipped;
	while (batch_has_room(batch)) {
		uint64_t before = log->reader.position;

		if (!log_reader_next(&log->reader, &line))
			break;
		if (!batch_spans(batch, line.at)) {
			log_reader_seek(&log->reader, before);
			return;
		}
		take_line(log, batch, &line, log->reader.position, now);
	}
	if (!batch_has_room(batch) || !log->joint.open)
		return;
	/* Nothing follows: a message that could go on is whole after a moment, a line without its end only when all ended. */
	if (ended || (!log->joint.partial && now - log->joint.touched >= (usec)MULTILINE_MSEC * USEC_PER_MSEC))
		joint_flush(&log->joint, batch);
}

static void add_complaint(struct log *log, struct batch *batch)
{
	uint64_t dropped = log->progress->dropped, lost = dropped - log->progress->told;
	usec at = batch->events.count ? batch->last * USEC_PER_MSEC : clock_now();

	batch->told = dropped;
	if (lost > 0)
		batch_add(batch, at, arena_printf(&batch->arena, "wherry: %llu lines were dropped here: the log's buffer was full "
			  "(max-buffer-size)", (unsigned long long)lost), batch->end);
}

void log_gather(struct log *log, struct batch *batch, bool ended, usec now)
{
	gather_messages(log, batch, ended, now);
	add_complaint(log, batch);
}

void log_start_over(struct log *log)
{
	log_reader_seek(&log->reader, log->progress->shipped);
	buffer_clear(&log->joint.text);
	log->joint.open = log->joint.partial = false;
}

void batch_fini(struct batch *batch)
{
	list_fini(&batch->events);
	arena_fini(&batch->arena);
}
