/* trace.c - what happened, for people: a tail of everything, and the facts that tests compare. */
#include "sim/world.h"
#include <stdarg.h>
#include "api/state.h"

static void keep_line(struct sim *sim, const char *mark, const char *format, va_list args)
{
	char *line = sim->trace.lines[sim->trace.count++ % TRACE_TAIL];
	double at = (double)(sim->now - START_OF_TIME) / (double)USEC_PER_SEC;
	int length = snprintf(line, TRACE_WIDTH, "%s[%8.3f] ", mark, at);
	va_list again;

	va_copy(again, args);
	vsnprintf(line + length, (size_t)(TRACE_WIDTH - length), format, args);
	if (sim->options.trace) {                        /* whole, however long */
		fprintf(sim->options.trace, "%s[%8.3f] ", mark, at);
		vfprintf(sim->options.trace, format, again);
		fputc('\n', sim->options.trace);
	}
	va_end(again);
}

void trace(struct sim *sim, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	keep_line(sim, "  ", format, args);
	va_end(args);
}

void trace_fact(struct sim *sim, const char *format, ...)
{
	va_list args, again;
	char line[TRACE_WIDTH];

	va_start(args, format);
	va_copy(again, args);
	vsnprintf(line, sizeof(line), format, args);
	keep_line(sim, "* ", format, again);
	va_end(again);
	va_end(args);
	buffer_printf(&sim->trace.facts, "[%5.1f] %s\n", (double)(sim->now - START_OF_TIME) / (double)USEC_PER_SEC, line);
}

void sim_print_tail(const struct sim *sim, FILE *out)
{
	size_t count = sim->trace.count, from = count > TRACE_TAIL ? count - TRACE_TAIL : 0;

	for (size_t i = from; i < count; i++)
		fprintf(out, "%s\n", sim->trace.lines[i % TRACE_TAIL]);
}

struct str sim_take_facts(struct sim *sim)
{
	struct str facts = arena_copy(&sim->arena, buffer_str(&sim->trace.facts));

	buffer_clear(&sim->trace.facts);
	return facts;
}

/* ---- Names: tasks are numbered as they appear, instances have their machine's number. */

static void give_name(struct sim *sim, struct str id, const char *name)
{
	map_put(&sim->trace.names, arena_copy(&sim->arena, id), arena_cstr(&sim->arena, str_of(name)));
}

const char *trace_name(struct sim *sim, struct str id)
{
	const char *name = map_get(&sim->trace.names, id);

	return name ? name : "?";
}

static struct str last_part(struct str key) { return str_slice(key, str_find_last(key, '/') + 1, key.len); }

/* The value that a durable record had before; the caller frees it. */
static void *previous(struct sim *sim, uint32_t kind, struct str key, const void *value)
{
	struct str name = arena_printf(&sim->arena, "%u %.*s", kind, STR(key));
	struct trace_value *kept = map_get(&sim->trace.values, name);
	void *old;

	if (!kept) {
		kept = arena_new(&sim->arena, struct trace_value);
		map_put(&sim->trace.values, name, kept);
	}
	old = kept->value;
	kept->value = value ? shape_clone(record_shape(kind), value) : NULL;
	return old;
}

static struct str word(const struct shape *shape, int32_t value) { return shape_word_text(shape, value); }

static void new_task(struct sim *sim, const struct task *task)
{
	char name[24];

	snprintf(name, sizeof(name), "task %u", ++sim->trace.tasks);
	give_name(sim, task->id, name);
	trace_fact(sim, "%-12s placed on %s%s%.*s", name, trace_name(sim, task->instance),
		   str_has(task->service) ? " for service " : "", STR(task->service));
	trace(sim, "%s is %.*s of %.*s", name, STR(task->id), STR(task->definition));
}

static void task_changed(struct sim *sim, const struct task *old, const struct task *task)
{
	const char *name = trace_name(sim, task->id);

	if (old->last_status != task->last_status && task->last_status == TASK_STATUS_STOPPED)
		trace_fact(sim, "%-12s %.*s -> STOPPED (%.*s)", name, STR(word(&shape_task_status, (int32_t)old->last_status)),
			   STR(task->stopped_reason));
	else if (old->last_status != task->last_status)
		trace_fact(sim, "%-12s %.*s -> %.*s", name, STR(word(&shape_task_status, (int32_t)old->last_status)),
			   STR(word(&shape_task_status, (int32_t)task->last_status)));
	else if (old->desired_status != task->desired_status)
		trace_fact(sim, "%-12s is to stop (%.*s)", name, STR(task->stopped_reason));
}

static void instance_changed(struct sim *sim, const struct container_instance *old,
			     const struct container_instance *instance)
{
	if (!old || old->status != instance->status)
		trace_fact(sim, "%-12s is %.*s", trace_name(sim, instance->id),
			   STR(word(&shape_instance_status, (int32_t)instance->status)));
}

static void service_changed(struct sim *sim, const struct service *old, const struct service *service)
{
	if (!old || old->desired_count.value != service->desired_count.value || old->status != service->status)
		trace_fact(sim, "service %.*s %.*s, wants %d", STR(service->name),
			   STR(word(&shape_service_status, (int32_t)service->status)), service->desired_count.value);
}

/* An instance's id is learnt here: its machine said so in no other durable place. */
static void new_instance(struct sim *sim, struct str id)
{
	char name[40];

	if (map_get(&sim->trace.names, id))
		return;
	for (unsigned i = 0; i < sim->machine_count; i++) {
		struct str arn = agent_instance_arn(sim->machines[i]->agent);

		if (!str_ends(arn, id))
			continue;
		snprintf(name, sizeof(name), "instance %u", sim->machines[i]->number);
		give_name(sim, id, name);
	}
}

void trace_change(struct sim *sim, uint32_t kind, struct str key, const void *value)
{
	void *old;

	if (kind != RECORD_TASK && kind != RECORD_CONTAINER_INSTANCE && kind != RECORD_SERVICE && kind != RECORD_SERVICE_EVENT)
		return;
	if (kind == RECORD_TASK && value)
		new_instance(sim, ((const struct task *)value)->instance);
	if (kind == RECORD_CONTAINER_INSTANCE)
		new_instance(sim, last_part(key));
	if (kind == RECORD_SERVICE_EVENT) {
		if (value)
			trace(sim, "event: %.*s", STR(((const struct service_event *)value)->message));
		return;
	}
	old = previous(sim, kind, key, value);
	if (!value)
		trace(sim, "forgotten: %.*s", STR(key));
	else if (kind == RECORD_TASK && !old)
		new_task(sim, value);
	else if (kind == RECORD_TASK)
		task_changed(sim, old, value);
	else if (kind == RECORD_CONTAINER_INSTANCE)
		instance_changed(sim, old, value);
	else
		service_changed(sim, old, value);
	free(old);
}

void trace_fini(struct trace *trace)
{
	struct trace_value *kept;

	for (size_t cursor = 0; (kept = map_next(&trace->values, &cursor));)
		free(kept->value);
	map_fini(&trace->values);
	map_fini(&trace->names);
	buffer_fini(&trace->facts);
}
