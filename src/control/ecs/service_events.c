#include "control/ecs/services.h"

static struct event_entry *event_at(struct sorted_node *node)
{
	return CONTAINER_OF(node, struct event_entry, by_number);
}

static void forget(struct plane *plane, struct event_entry *event)
{
	emit(plane, event->realm, RECORD_SERVICE_EVENT, entry_id(&event->entry), NULL);
}

void service_say(struct plane *plane, const struct service_entry *service, const char *format, ...)
{
	struct arena *arena = plane_arena(plane);
	struct sorted_node *last = sorted_last(&service->events);
	struct service_event event = {
		.cluster = service->record->cluster,
		.service = service->record->name,
		.number = {last ? event_at(last)->record->number.value + 1 : 1, true},
		.id = random_uuid(plane_random(plane), arena),
		.created_at = {plane_now(plane), true},
	};
	struct str text;
	va_list args;

	va_start(args, format);
	text = arena_vprintf(arena, format, args);
	va_end(args);
	/* Events of one step are a millisecond apart, as AWS shows them. */
	if (last)
		event.created_at.value = MAX(event.created_at.value,
					     event_at(last)->record->created_at.value + USEC_PER_MSEC);
	event.message = arena_printf(arena, "(service %.*s) %.*s", STR(event.service), STR(text));
	emit(plane, service->realm, RECORD_SERVICE_EVENT,
	     arena_printf(arena, "%.*s/%lld", STR(entry_id(&service->entry)), (long long)event.number.value), &event);
	if (service->events.count > SERVICE_EVENTS_LIMIT)
		forget(plane, event_at(sorted_first(&service->events)));
}

void service_complain(struct plane *plane, const struct service_entry *service, struct service *next, struct str text)
{
	if (!str_has(text)) {
		next->complaint = STR_NONE;
		next->complaint_at = (struct maybe_time){0};
		return;
	}
	if (str_has(next->complaint) && str_equal(next->complaint, text) &&
	    plane_now(plane) < next->complaint_at.value + COMPLAINT_INTERVAL)
		return;
	service_say(plane, service, "%.*s", STR(text));
	next->complaint = text;
	next->complaint_at = (struct maybe_time){plane_now(plane), true};
}

void service_forget_events(struct plane *plane, struct service_entry *service)
{
	struct sorted_node *node;

	while ((node = sorted_first(&service->events)))
		forget(plane, event_at(node));
}

struct ecs_service_events service_events(struct plane *plane, const struct service_entry *service)
{
	struct ecs_service_events events = {arena_array(plane_arena(plane), struct ecs_service_event,
							service->events.count), 0};

	for (struct sorted_node *node = sorted_last(&service->events); node;
	     node = sorted_before(&service->events, node->key)) {
		const struct service_event *event = event_at(node)->record;

		events.items[events.count++] = (struct ecs_service_event){
			.id = event->id, .created_at = event->created_at, .message = event->message};
	}
	return events;
}
