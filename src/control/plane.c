#include "control/plane.h"
#include <assert.h>
#include <stdio.h>
#include "api/ec2.h"
#include "api/efs.h"
#include "api/logs.h"
#include "api/wherry.h"
#include "control/ec2/ec2.h"
#include "control/internal.h"
#include "control/logs/room.h"

enum { WAKES_PER_STEP_LIMIT = 1 << 22 };                 /* more means that two wakes feed each other */

struct plane {
	struct plane_options options;
	struct map realms;
	struct map entries[RECORD_KIND_LIMIT];
	struct heap wakes;
	LIST_OF(void *) graveyard;                       /* freed when the next step begins */
	struct ecs *ecs;
	struct ec2 *ec2;
	usec now;
	bool restoring;                                  /* nothing is linked yet; ends with the first step */
	/* of the step under way */
	struct arena *arena;
	struct random random;
	struct effects *out;
};

static bool wakes_earlier(const struct heap_node *a, const struct heap_node *b)
{
	return CONTAINER_OF(a, struct wake, node)->at < CONTAINER_OF(b, struct wake, node)->at;
}

static const struct {
	const struct api *api;
	handler (*find)(const struct operation *operation);
} rooms[] = {
	{&api_ecs, ecs_handler},
	{&api_ec2, ec2_handler},
	{&api_efs, efs_handler},
	{&api_logs, logs_handler},
	{&api_wherry, wherry_handler},
};

struct plane *plane_new(const struct plane_options *options)
{
	struct plane *plane = calloc(1, sizeof(*plane));
	struct plane_options *own;

	if (!plane)
		abort();
	own = &plane->options;
	*own = *options;
	if (!own->task_retention)
		own->task_retention = 7 * 24 * 3600 * USEC_PER_SEC;
	if (!own->task_history_limit)
		own->task_history_limit = 100000;
	if (!own->heartbeat)
		own->heartbeat = 3 * USEC_PER_SEC;
	if (!own->lost_after)
		own->lost_after = 8 * USEC_PER_SEC;
	if (!own->gone_after)
		own->gone_after = 600 * USEC_PER_SEC;
	plane->wakes.before = wakes_earlier;
	plane->ecs = ecs_new();
	plane->ec2 = ec2_new(own);
	plane->restoring = true;
	return plane;
}

static void bury(struct plane *plane, const void *memory)
{
	list_add(&plane->graveyard, (void *)memory);
}

static void clear_graveyard(struct plane *plane)
{
	for (size_t i = 0; i < plane->graveyard.count; i++)
		free(plane->graveyard.items[i]);
	plane->graveyard.count = 0;
}

void plane_free(struct plane *plane)
{
	if (!plane)
		return;
	/* Backwards, so that what points to others goes first. */
	for (int kind = RECORD_KIND_LIMIT - 1; kind > 0; kind--) {
		struct entry *entry;

		for (size_t cursor = 0; (entry = map_next(&plane->entries[kind], &cursor));) {
			if (!plane->restoring) {
				entry_kinds[kind].remove(plane, entry);
				entry_kinds[kind].detach(plane, entry);
			}
			bury(plane, entry->value);
			bury(plane, entry->key.ptr);
			bury(plane, entry);
		}
		map_fini(&plane->entries[kind]);
		clear_graveyard(plane);
	}
	for (size_t cursor = 0; true;) {
		struct realm *realm = map_next(&plane->realms, &cursor);

		if (!realm)
			break;
		free((void *)realm->key.ptr);
		free(realm);
	}
	map_fini(&plane->realms);
	heap_fini(&plane->wakes);
	ecs_free(plane->ecs);
	ec2_free(plane->ec2);
	list_fini(&plane->graveyard);
	free(plane);
}

static char *copy_bytes(struct str s)
{
	char *bytes = malloc(s.len + 1);

	if (!bytes)
		abort();
	memcpy(bytes, s.ptr, s.len);
	bytes[s.len] = '\0';
	return bytes;
}

static struct realm *realm_get(struct plane *plane, struct str key)
{
	struct realm *realm = map_get(&plane->realms, key);
	size_t slash = str_find(key, '/');

	if (realm)
		return realm;
	realm = calloc(1, sizeof(*realm));
	if (!realm)
		abort();
	realm->key = (struct str){copy_bytes(key), key.len};
	realm->account = str_slice(realm->key, 0, slash);
	realm->region = str_slice(realm->key, slash + 1, key.len);
	chain_init(&realm->pool);
	chain_init(&realm->fargate.classes);
	map_put(&plane->realms, realm->key, realm);
	return realm;
}

struct realm *plane_realm(struct plane *plane, struct str account, struct str region)
{
	return realm_get(plane, arena_printf(plane->arena, "%.*s/%.*s", STR(account), STR(region)));
}

struct realm *plane_next_realm(const struct plane *plane, size_t *cursor)
{
	return map_next(&plane->realms, cursor);
}

static void entry_delete(struct plane *plane, enum record_kind kind, struct entry *entry)
{
	map_remove(&plane->entries[kind], entry->key);
	entry_kinds[kind].remove(plane, entry);
	entry_kinds[kind].detach(plane, entry);
	bury(plane, entry->value);
	bury(plane, entry->key.ptr);
	bury(plane, entry);
}

static struct entry *entry_make(struct plane *plane, struct realm *realm, enum record_kind kind,
				struct str key, const void *value)
{
	struct entry *entry = calloc(1, entry_kinds[kind].size);

	if (!entry)
		abort();
	entry->key = (struct str){copy_bytes(key), key.len};
	entry->realm = realm;
	entry->value = value;
	map_put(&plane->entries[kind], entry->key, entry);
	return entry;
}

static void entry_link(struct plane *plane, enum record_kind kind, struct entry *entry)
{
	entry_kinds[kind].attach(plane, entry);
	entry_kinds[kind].add(plane, entry);
}

/* Gives the entry with its new value, or NULL when deleted. */
static struct entry *apply(struct plane *plane, struct realm *realm, enum record_kind kind, struct str key,
			   const void *value)
{
	struct entry *entry = map_get(&plane->entries[kind], key);
	const void *clone, *old;

	if (!value) {
		if (entry)
			entry_delete(plane, kind, entry);
		return NULL;
	}
	clone = shape_clone(entry_kinds[kind].shape, value);
	if (!entry) {
		entry = entry_make(plane, realm, kind, key, clone);
		entry_link(plane, kind, entry);
		return entry;
	}
	entry_kinds[kind].remove(plane, entry);
	old = entry->value;
	entry->value = clone;
	entry_kinds[kind].add(plane, entry);
	bury(plane, old);
	return entry;
}

void *emit(struct plane *plane, struct realm *realm, enum record_kind kind, struct str id, const void *value)
{
	struct str key = ARENA_JOIN(plane->arena, realm->key, S("/"), id);
	struct entry *entry;

	assert(!plane->restoring);
	entry = apply(plane, realm, kind, key, value);
	list_add(&plane->out->records, ((struct record){kind, key, entry ? entry->value : NULL}));
	return entry;
}

/* Values only: entries are linked to each other by the first step, when all are there (store_load visits them in no
 * useful order, and only its end is a state that ever was). */
bool plane_restore(struct plane *plane, uint32_t kind, struct str key, const void *value, struct error *err)
{
	size_t account = str_find(key, '/');
	size_t region = account + 1 + str_find(str_slice(key, account + 1, key.len), '/');
	struct entry *entry;

	assert(plane->restoring);
	if (!record_shape(kind))
		return fail(err, ERROR_CORRUPT, "record kind %u is unknown", kind);
	if (region >= key.len)
		return fail(err, ERROR_CORRUPT, "record key '%.*s' has no account and region", STR(key));
	entry = map_get(&plane->entries[kind], key);
	if (!entry) {
		entry_make(plane, realm_get(plane, str_slice(key, 0, region)), kind, key,
			   shape_clone(record_shape(kind), value));
		return true;
	}
	bury(plane, entry->value);
	entry->value = shape_clone(record_shape(kind), value);
	return true;
}

static int by_key(const void *a, const void *b)
{
	return str_compare((*(struct entry *const *)a)->key, (*(struct entry *const *)b)->key);
}

/* What stopped first stands first in the history. */
static int by_end(const void *a, const void *b)
{
	const struct task *left = (*(struct entry *const *)a)->value, *right = (*(struct entry *const *)b)->value;
	usec difference = left->stopped_at.value - right->stopped_at.value;

	return difference ? (difference > 0) - (difference < 0) : by_key(a, b);
}

static void sort_entries(const struct plane *plane, uint32_t kind, struct entry ***ret_items, size_t *ret_count)
{
	const struct map *map = &plane->entries[kind];
	struct entry **items = calloc(map->count + 1, sizeof(*items)), *entry;
	size_t count = 0;

	if (!items)
		abort();
	for (size_t cursor = 0; (entry = map_next(map, &cursor));)
		items[count++] = entry;
	qsort(items, count, sizeof(*items), kind == RECORD_TASK && plane->restoring ? by_end : by_key);
	*ret_items = items;
	*ret_count = count;
}

static void link_restored(struct plane *plane)
{
	for (uint32_t kind = 1; kind < RECORD_KIND_LIMIT; kind++) {
		struct entry **items;
		size_t count;

		sort_entries(plane, kind, &items, &count);
		for (size_t i = 0; i < count; i++)
			entry_link(plane, kind, items[i]);
		free(items);
	}
}

void *entry_find(struct plane *plane, const struct realm *realm, enum record_kind kind, struct str id)
{
	char key[1024];
	int length = snprintf(key, sizeof(key), "%.*s/%.*s", STR(realm->key), STR(id));

	if (length < 0 || (size_t)length >= sizeof(key))
		return NULL;
	return map_get(&plane->entries[kind], (struct str){key, (size_t)length});
}

void *entry_findf(struct plane *plane, const struct realm *realm, enum record_kind kind, const char *format, ...)
{
	char id[800];
	va_list args;
	int length;

	va_start(args, format);
	length = vsnprintf(id, sizeof(id), format, args);
	va_end(args);
	if (length < 0 || (size_t)length >= sizeof(id))
		return NULL;
	return entry_find(plane, realm, kind, (struct str){id, (size_t)length});
}

size_t entry_count(const struct plane *plane, enum record_kind kind)
{
	return plane->entries[kind].count;
}

struct str entry_id(const struct entry *entry)
{
	return str_slice(entry->key, entry->realm->key.len + 1, entry->key.len);
}

usec plane_now(const struct plane *plane) { return plane->now; }
struct arena *plane_arena(struct plane *plane) { return plane->arena; }
struct random *plane_random(struct plane *plane) { return &plane->random; }
const struct plane_options *plane_options(const struct plane *plane) { return &plane->options; }
struct effects *plane_effects(struct plane *plane) { return plane->out; }
struct ecs *plane_ecs(const struct plane *plane) { return plane->ecs; }
struct ec2 *plane_ec2(const struct plane *plane) { return plane->ec2; }
bool plane_is_restoring(const struct plane *plane) { return plane->restoring; }

void wake_set(struct plane *plane, struct wake *wake, usec at)
{
	assert(wake->run);
	if (wake->node.position == 0) {
		wake->at = at;
		heap_add(&plane->wakes, &wake->node);
	} else if (at < wake->at) {
		wake->at = at;
		heap_fix(&plane->wakes, &wake->node);
	}
}

void wake_clear(struct plane *plane, struct wake *wake)
{
	heap_remove(&plane->wakes, &wake->node);
}

static void run_wakes(struct plane *plane)
{
	struct heap_node *first;
	size_t count = 0;

	while ((first = heap_first(&plane->wakes))) {
		struct wake *wake = CONTAINER_OF(first, struct wake, node);

		if (wake->at > plane->now)
			break;
		count++;
		assert(count < WAKES_PER_STEP_LIMIT);
		heap_remove(&plane->wakes, first);
		wake->run(plane, wake);
	}
}

static usec next_wake(const struct plane *plane)
{
	const struct heap_node *first = heap_first(&plane->wakes);

	return first ? CONTAINER_OF(first, struct wake, node)->at : USEC_NEVER;
}

static handler find_handler(const struct operation *operation)
{
	for (size_t i = 0; i < COUNT(rooms); i++)
		if (rooms[i].api == operation->api)
			return rooms[i].find(operation);
	return NULL;
}

static void answer_call(struct plane *plane, const struct event *event)
{
	const struct operation *operation = event->call.operation;
	handler handle = find_handler(operation);
	struct call call = {.plane = plane,
			    .realm = plane_realm(plane, event->call.caller.account, event->call.region),
			    .caller = &event->call.caller, .arena = plane->arena, .operation = operation,
			    .ticket = event->call.ticket};
	size_t emitted;
	struct reply *reply;
	void *output = arena_alloc(plane->arena, 1, operation->output->size, 16);
	bool done;

	if (operation->api == &api_ec2)
		ec2_realm_prepare(plane, call.realm);
	emitted = plane->out->records.count;
	if (handle)
		done = handle(&call, event->call.input, output);
	else
		done = fail(&call.error, ERROR_UNSUPPORTED_FEATURE,
			    "Wherry knows the operation %.*s but does not do it yet.", STR(operation->name));
	assert(done || plane->out->records.count == emitted);
	if (done && call.parked)
		return;
	reply = list_push(&plane->out->replies);
	*reply = (struct reply){.ticket = event->call.ticket, .operation = operation,
				.output = done ? output : NULL, .error = call.error,
				.resource_ids = call.resource_ids};
}

void plane_answer(struct plane *plane, uint64_t ticket, const struct operation *operation, const void *output,
		  const struct error *error)
{
	struct reply *reply = list_push(&plane->out->replies);

	*reply = (struct reply){.ticket = ticket, .operation = operation, .output = output};
	if (!output)
		reply->error = *error;
}

static void ignore(struct plane *plane, const struct event *event)
{
}

static void stop_waiting(struct plane *plane, const struct event *event)
{
	ec2_stop(plane);
}

static void open_session(struct plane *plane, const struct event *event) { ecs_session_opened(plane, &event->session); }
static void hear_session(struct plane *plane, const struct event *event) { ecs_session_message(plane, &event->session); }
static void close_session(struct plane *plane, const struct event *event) { ecs_session_closed(plane, &event->session); }

static void logs_swept(struct plane *plane, const struct event *event) { logs_forget(plane, &event->swept); }

static void (*const decide[])(struct plane *plane, const struct event *event) = {
	[EVENT_CALL] = answer_call,
	[EVENT_SESSION_OPENED] = open_session,
	[EVENT_SESSION_MESSAGE] = hear_session,
	[EVENT_SESSION_CLOSED] = close_session,
	[EVENT_LOGS_SWEPT] = logs_swept,
	[EVENT_TICK] = ignore,
	[EVENT_STOP] = stop_waiting,
};
static_assert(COUNT(decide) == EVENT_TYPE_COUNT, "a row for every event");

void plane_step(struct plane *plane, const struct event *event, struct effects *out)
{
	assert(event->type < EVENT_TYPE_COUNT);
	assert(out->records.count == 0);
	clear_graveyard(plane);
	/* Whole milliseconds, as records are stored: memory and its replay have the same times. Rounded up, so that a wake
	 * whose time has come finds it so. */
	plane->now = MAX(plane->now, (event->now + USEC_PER_MSEC - 1) / USEC_PER_MSEC * USEC_PER_MSEC);
	plane->arena = event->arena;
	plane->out = out;
	random_init(&plane->random, event->seed, 1);
	if (plane->restoring) {
		link_restored(plane);
		plane->restoring = false;
		ecs_start(plane);
		logs_start(plane);
		ec2_start(plane);
	}
	decide[event->type](plane, event);
	run_wakes(plane);
	ecs_step_end(plane);
	ec2_step_end(plane);
	out->wake_at = next_wake(plane);
	plane->arena = NULL;
	plane->out = NULL;
}

void effects_clear(struct effects *effects)
{
	effects->records.count = effects->messages.count = 0;
	effects->hangups.count = effects->replies.count = 0;
	effects->logs.count = 0;
	effects->wake_at = USEC_NEVER;
}

void effects_fini(struct effects *effects)
{
	list_fini(&effects->records);
	list_fini(&effects->messages);
	list_fini(&effects->hangups);
	list_fini(&effects->replies);
	list_fini(&effects->logs);
}

void plane_check(const struct plane *plane)
{
	for (size_t kind = 1; kind < RECORD_KIND_LIMIT; kind++) {
		const struct entry *entry;

		for (size_t cursor = 0; (entry = map_next(&plane->entries[kind], &cursor));) {
			assert(entry->value);
			assert(map_get(&plane->entries[kind], entry->key) == entry);
		}
	}
	ecs_check(plane);
	ec2_check(plane);
	efs_check(plane);
	logs_check(plane);
}

void plane_visit(const struct plane *plane,
		 void (*visit)(void *arg, enum record_kind kind, struct str key, const void *value), void *arg)
{
	for (uint32_t kind = 1; kind < RECORD_KIND_LIMIT; kind++) {
		struct entry **items;
		size_t count;

		sort_entries(plane, kind, &items, &count);
		for (size_t i = 0; i < count; i++)
			visit(arg, kind, items[i]->key, items[i]->value);
		free(items);
	}
}

void plane_statistics(const struct plane *plane, struct plane_statistics *ret_statistics)
{
	*ret_statistics = (struct plane_statistics){0};
	ecs_statistics(plane, ret_statistics);
}
