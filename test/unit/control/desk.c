#include "test/unit/control/desk.h"
#include "api/ec2.h"
#include "api/ecs.h"
#include "api/efs.h"
#include "api/wherry.h"
#include "api/logs.h"
#include "wire/json.h"

#define START ((usec)1700000000 * USEC_PER_SEC)

void desk_init(struct desk *desk)
{
	*desk = (struct desk){.now = START, .arn = "arn:aws:iam::123456789012:root", .region = "us-east-1"};
	desk->plane = plane_new(&(struct plane_options){.account = S("123456789012"), .endpoint = S("http://127.0.0.1:4566")});
}

void desk_fini(struct desk *desk)
{
	plane_free(desk->plane);
	effects_fini(&desk->effects);
	arena_fini(&desk->arena);
}

static struct str swap(struct arena *arena, struct str text, char from, char to)
{
	char *copy = arena_cstr(arena, text);

	for (size_t i = 0; i < text.len; i++)
		copy[i] = copy[i] == from ? to : copy[i];
	return (struct str){copy, text.len};
}

static void *decode(struct desk *desk, const struct operation *operation, const char *request)
{
	struct json_fault fault = {0};
	void *input;

	if (!json_decode(operation->input, swap(&desk->arena, str_of(request), '\'', '"'), &desk->arena, &input, &fault))
		fail_msg("%s: %s", request, fault.error.text);
	return input;
}

static struct str answer(struct desk *desk, const struct reply *reply)
{
	auto_buffer text = {0};

	if (!reply->output) {
		assert_int_equal(desk->effects.records.count, 0);
		return arena_printf(&desk->arena, "%.*s: %s", STR(error_wire_name(reply->error.code)), reply->error.text);
	}
	json_encode(reply->operation->output, reply->output, &text);
	return swap(&desk->arena, buffer_str(&text), '"', '\'');
}

/* "efs:TagResource", or a plain name of ECS or else EC2. */
static const struct operation *find_operation(const char *name)
{
	static const struct { struct str prefix; const struct api *api; } services[] = {
		{STR_INIT("wherry:"), &api_wherry},
		{STR_INIT("logs:"), &api_logs}, {STR_INIT("efs:"), &api_efs}, {STR_INIT("ec2:"), &api_ec2}, {STR_INIT(""), &api_ecs}, {STR_INIT(""), &api_ec2},
	};
	const struct operation *operation = NULL;

	for (size_t i = 0; i < COUNT(services) && !operation; i++)
		if (str_starts(str_of(name), services[i].prefix))
			operation = api_find(services[i].api, str_of(name + services[i].prefix.len));
	return operation;
}

void desk_step(struct desk *desk, struct event event)
{
	event.now = desk->now;
	event.seed = ++desk->seed;
	event.arena = &desk->arena;
	effects_clear(&desk->effects);
	plane_step(desk->plane, &event, &desk->effects);
	plane_check(desk->plane);
}

struct str desk_call(struct desk *desk, const char *operation, const char *request)
{
	const struct operation *row = find_operation(operation);
	struct event event = {
		.type = EVENT_CALL,
		.call = {.ticket = desk->seed + 1, .operation = row, .region = str_of(desk->region),
			 .caller = {.kind = desk->caller, .account = S("123456789012"), .arn = str_of(desk->arn)}},
	};

	assert_non_null(row);
	event.call.input = decode(desk, row, request);
	desk_step(desk, event);
	if (desk->effects.logs.count && desk->effects.logs.items[0].ticket == event.call.ticket)
		return S("parked");
	assert_int_equal(desk->effects.replies.count, 1);
	assert_int_equal(desk->effects.replies.items[0].ticket, event.call.ticket);
	return answer(desk, &desk->effects.replies.items[0]);
}

struct str desk_member(struct desk *desk, const char *operation, const char *request, const char *member)
{
	struct str reply = swap(&desk->arena, desk_call(desk, operation, request), '\'', '"');
	struct str raw = json_member_text(reply, str_of(member));

	if (!str_has(raw))
		return S("absent");
	return swap(&desk->arena, raw, '"', '\'');
}

const char *desk_text(struct desk *desk, const char *format, ...)
{
	struct str made;
	va_list args;

	va_start(args, format);
	made = arena_vprintf(&desk->arena, format, args);
	va_end(args);
	return arena_cstr(&desk->arena, made);
}

struct str desk_ask(struct desk *desk, const char *operation, const char *format, ...)
{
	struct str request;
	va_list args;

	va_start(args, format);
	request = arena_vprintf(&desk->arena, format, args);
	va_end(args);
	return desk_call(desk, operation, arena_cstr(&desk->arena, request));
}

struct str desk_pick(struct desk *desk, struct str reply, const char *name)
{
	struct str label = arena_printf(&desk->arena, "'%s':'", name);
	const char *at = memmem(reply.ptr, reply.len, label.ptr, label.len);
	struct str rest;

	if (!at)
		fail_msg("no %s in %.*s", name, STR(reply));
	rest = str_slice(reply, (size_t)(at - reply.ptr) + label.len, reply.len);
	return arena_copy(&desk->arena, str_slice(rest, 0, str_find(rest, '\'')));
}

struct str desk_subnet(struct desk *desk, const char *zone)
{
	return desk_pick(desk, desk_ask(desk, "DescribeSubnets", "{'Filter':[{'Name':'availability-zone','Value':['%s']},"
					"{'Name':'default-for-az','Value':['true']}]}", zone), "subnetId");
}

void desk_wait(struct desk *desk, usec span)
{
	desk->now += span;
	desk_step(desk, (struct event){.type = EVENT_TICK});
}

void desk_telemetry(struct desk *desk, const char *type, const void *message)
{
	desk_step(desk, (struct event){
		.type = EVENT_SESSION_MESSAGE,
		.session = {.session = 999999, .region = str_of(desk->region), .type = str_of(type), .message = message,
			    .caller = {.kind = CALLER_AGENT, .account = S("123456789012"), .arn = str_of(desk->arn)}},
	});
}

struct str desk_instance(struct desk *desk, const char *cluster)
{
	return desk_machine(desk, cluster, "", "");
}

struct str desk_machine(struct desk *desk, const char *cluster, const char *resources, const char *attributes)
{
	struct str request = arena_printf(&desk->arena, "{'cluster':'%s','totalResources':["
					  "{'name':'CPU','type':'INTEGER','integerValue':4096},"
					  "{'name':'MEMORY','type':'INTEGER','integerValue':8192},"
					  "{'name':'PORTS','type':'STRINGSET','stringSetValue':['22']},"
					  "{'name':'PORTS_UDP','type':'STRINGSET','stringSetValue':[]}%s],'attributes':[%s],"
					  "'versionInfo':{'agentVersion':'1.99.0','dockerVersion':'DockerVersion: 26.0.0'}}", cluster,
					  resources, attributes);
	struct str instance = desk_member(desk, "RegisterContainerInstance", arena_cstr(&desk->arena, request),
					  "containerInstance");
	struct str arn;

	instance = json_member_text(swap(&desk->arena, instance, '\'', '"'), S("containerInstanceArn"));
	assert_true(json_string_value(instance, &desk->arena, &arn));
	desk_step(desk, (struct event){
		.type = EVENT_SESSION_OPENED,
		.session = {.session = desk->seed, .region = str_of(desk->region), .cluster = str_of(cluster),
			    .container_instance = arn, .agent_version = S("1.99.0"), .docker_version = S("26.0.0"),
			    .caller = {.kind = CALLER_AGENT, .account = S("123456789012"), .arn = str_of(desk->arn)}},
	});
	assert_int_equal(desk->effects.hangups.count, 0);
	return arn;
}
