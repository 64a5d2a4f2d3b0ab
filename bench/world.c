#include "bench/world.h"
#include "api/ecs.h"
#include "os/clock.h"
#include "wire/envelope.h"
#include "wire/json.h"

enum { MACHINE_CPU = 16384, MACHINE_MIB = 65536, STEPS_A_COMMIT = 256 };

const struct caller world_root = {CALLER_ROOT, STR_INIT("000000000000"), STR_INIT("arn:aws:iam::000000000000:root")};
const struct caller world_agent = {CALLER_AGENT, STR_INIT("000000000000"), STR_INIT("arn:aws:iam::000000000000:user/agent")};

void world_init(struct world *world, struct str folder, struct str database)
{
	struct error err;

	*world = (struct world){0};
	if (!store_open_sqlite(folder, database, &world->store, &err))
		give_up("store", &err);
	world->plane = plane_new(&(struct plane_options){.account = S("000000000000"), .endpoint = S("http://127.0.0.1:4566"),
							 .heartbeat = 3600 * USEC_PER_SEC});
}

void world_fini(struct world *world)
{
	world_commit(world);
	store_close(world->store);
	plane_free(world->plane);
	effects_fini(&world->effects);
	arena_fini(&world->arena);
	arena_fini(&world->pending);
	list_fini(&world->changes);
	buffer_fini(&world->scratch);
}

static void encode_records(struct world *world)
{
	for (size_t i = 0; i < world->effects.records.count; i++) {
		const struct record *record = &world->effects.records.items[i];
		struct store_change change = {.kind = record->kind, .key = arena_copy(&world->pending, record->key)};

		if (record->value) {
			buffer_clear(&world->scratch);
			json_encode(record_shape(record->kind), record->value, &world->scratch);
			change.value = arena_copy(&world->pending, buffer_str(&world->scratch));
		}
		list_add(&world->changes, change);
	}
	world->records += world->effects.records.count;
}

static void encode_replies(struct world *world)
{
	for (size_t i = 0; i < world->effects.replies.count; i++) {
		const struct reply *reply = &world->effects.replies.items[i];

		if (!reply->output)
			give_up("call", &reply->error);
		buffer_clear(&world->scratch);
		json_encode(reply->operation->output, reply->output, &world->scratch);
	}
}

static void encode_messages(struct world *world)
{
	for (size_t i = 0; i < world->effects.messages.count; i++) {
		const struct message *message = &world->effects.messages.items[i];

		buffer_clear(&world->scratch);
		envelope_encode(message->type, message->shape, message->value, &world->scratch);
	}
}

/* Adds what passed since *since to a sum. */
static void spend(struct world *world, enum spending what, int64_t *since)
{
	int64_t now = nanoseconds();

	world->spent[what] += now - *since;
	*since = now;
}

void world_step(struct world *world, struct event *event)
{
	int64_t since;

	arena_reset(&world->arena);
	effects_clear(&world->effects);
	event->now = clock_now();
	event->seed = ++world->seed;
	event->arena = &world->arena;
	since = nanoseconds();
	plane_step(world->plane, event, &world->effects);
	spend(world, SPENT_STEP, &since);
	encode_records(world);
	spend(world, SPENT_RECORDS, &since);
	encode_replies(world);
	spend(world, SPENT_REPLIES, &since);
	encode_messages(world);
	spend(world, SPENT_MESSAGES, &since);
}

void world_commit(struct world *world)
{
	int64_t since = nanoseconds();
	struct error err;

	if (world->changes.count && !store_append(world->store, world->changes.items, world->changes.count, &err))
		give_up("append", &err);
	world->changes.count = 0;
	arena_reset(&world->pending);
	spend(world, SPENT_COMMIT, &since);
}

const void *world_decode(const struct operation *operation, const char *request, struct arena *arena)
{
	char *text = arena_cstr(arena, str_of(request));
	struct json_fault fault = {0};
	void *input;

	for (char *at = text; *at; at++)
		*at = *at == '\'' ? '"' : *at;
	if (!json_decode(operation->input, str_of(text), arena, &input, &fault))
		give_up(request, &fault.error);
	return input;
}

const void *world_call(struct world *world, const struct caller *caller, const char *operation, const void *input)
{
	struct event event = {.type = EVENT_CALL, .call = {.operation = api_find(&api_ecs, str_of(operation)), .input = input,
							   .caller = *caller, .region = S("us-east-1")}};

	world_step(world, &event);
	if (world->changes.count >= STEPS_A_COMMIT)
		world_commit(world);
	return world->effects.replies.items[0].output;
}

const void *world_ask(struct world *world, const struct caller *caller, const char *operation, const char *request)
{
	auto_arena arena = {0};

	return world_call(world, caller, operation, world_decode(api_find(&api_ecs, str_of(operation)), request, &arena));
}

struct str *world_register(struct world *world, size_t count, struct arena *arena)
{
	struct str *arns = arena_array(arena, struct str, count);
	const char *request = arena_cstr(arena, arena_printf(arena,
		"{'cluster':'default','totalResources':[{'name':'CPU','type':'INTEGER','integerValue':%d},"
		"{'name':'MEMORY','type':'INTEGER','integerValue':%d},{'name':'PORTS','type':'STRINGSET','stringSetValue':['22']},"
		"{'name':'PORTS_UDP','type':'STRINGSET','stringSetValue':[]}],"
		"'attributes':[{'name':'ecs.os-type','value':'linux'},"
		"{'name':'com.amazonaws.ecs.capability.docker-remote-api.1.18'},"
		"{'name':'com.amazonaws.ecs.capability.docker-remote-api.1.21'}],"
		"'versionInfo':{'agentVersion':'1.99.0','dockerVersion':'DockerVersion: 26.0.0'}}", MACHINE_CPU, MACHINE_MIB));

	world_ask(world, &world_root, "CreateCluster", "{}");
	for (size_t i = 0; i < count; i++) {
		const struct ecs_register_container_instance_response *reply =
			world_ask(world, &world_agent, "RegisterContainerInstance", request);

		arns[i] = arena_copy(arena, reply->container_instance->container_instance_arn);
	}
	world_commit(world);
	return arns;
}

void world_connect(struct world *world, struct str instance)
{
	struct event event = {.type = EVENT_SESSION_OPENED,
			      .session = {.session = ++world->sessions, .caller = world_agent, .region = S("us-east-1"),
					  .cluster = S("default"), .container_instance = instance,
					  .agent_version = S("1.99.0"), .docker_version = S("26.0.0")}};

	world_step(world, &event);
	if (world->effects.hangups.count)
		give_up("a refused session", NULL);
}

void world_define(struct world *world, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		auto_arena arena = {0};
		struct str request = arena_printf(&arena,
			"{'family':'family%zu','networkMode':'bridge','containerDefinitions':[{'name':'main','cpu':64,'memory':128,"
			"'essential':true,'image':'registry.example.com/team/application:1','portMappings':[{'containerPort':8080}],"
			"'environment':[{'name':'LOG_LEVEL','value':'info'}]}]}", i);

		world_ask(world, &world_root, "RegisterTaskDefinition", arena_cstr(&arena, request));
	}
	world_commit(world);
}
