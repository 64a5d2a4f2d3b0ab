/* WatchNetwork: what a machine is told of the VPCs, and when. */
#include "api/ec2.h"
#include "api/wherry.h"
#include "control/call.h"
#include "control/ec2/ec2.h"
#include "test/unit/control/desk.h"
#include "wire/json.h"

/* The plane's answers as text; a plane of one instance "default/…" that watches. */
struct watcher {
	struct desk desk;
	struct str instance;                             /* ARN */
	struct str subnet, group;
};

static const char *text(struct watcher *watcher, const char *format, ...) PRINTF_LIKE(2, 3);

static const char *text(struct watcher *watcher, const char *format, ...)
{
	struct str made;
	va_list args;

	va_start(args, format);
	made = arena_vprintf(&watcher->desk.arena, format, args);
	va_end(args);
	return arena_cstr(&watcher->desk.arena, made);
}

/* The text behind the first 'name':'…' of a reply. */
static struct str pick(struct watcher *watcher, struct str reply, const char *name)
{
	struct str label = str_of(text(watcher, "'%s':'", name));
	const char *at = memmem(reply.ptr, reply.len, label.ptr, label.len);
	struct str rest;

	if (!at)
		fail_msg("no %s in %.*s", name, STR(reply));
	rest = str_slice(reply, (size_t)(at - reply.ptr) + label.len, reply.len);
	return str_slice(rest, 0, str_find(rest, '\''));
}

static void watcher_init(struct watcher *watcher)
{
	*watcher = (struct watcher){0};
	desk_init(&watcher->desk);
	desk_call(&watcher->desk, "CreateCluster", "{}");
	watcher->instance = desk_instance(&watcher->desk, "default");
	watcher->subnet = pick(watcher, desk_call(&watcher->desk, "DescribeSubnets",
						 "{'Filter':[{'Name':'availability-zone','Value':['us-east-1a']}]}"), "subnetId");
	watcher->group = pick(watcher, desk_call(&watcher->desk, "DescribeSecurityGroups", "{}"), "groupId");
}

static struct str make_group(struct watcher *watcher, const char *name)
{
	return pick(watcher, desk_call(&watcher->desk, "CreateSecurityGroup", text(watcher, "{'GroupName':'%s','GroupDescription':'d'}", name)),
		    "groupId");
}

static void watcher_fini(struct watcher *watcher) { desk_fini(&watcher->desk); }
#define auto_watcher __attribute__((cleanup(watcher_fini))) struct watcher

static void step(struct watcher *watcher, struct event event)
{
	struct desk *desk = &watcher->desk;

	event.now = desk->now;
	event.seed = ++desk->seed;
	event.arena = &desk->arena;
	effects_clear(&desk->effects);
	plane_step(desk->plane, &event, &desk->effects);
	plane_check(desk->plane);
}

/* The answers of the last step to WatchNetwork. */
static const struct wherry_watch_network_response *answer(struct watcher *watcher, size_t number)
{
	size_t seen = 0;

	for (size_t i = 0; i < watcher->desk.effects.replies.count; i++) {
		const struct reply *reply = &watcher->desk.effects.replies.items[i];

		if (str_equal(reply->operation->name, S("WatchNetwork")) && seen++ == number)
			return reply->output;
	}
	return NULL;
}

/* NULL: it waits. (An older call that waited is answered first.) */
static const struct wherry_watch_network_response *watch(struct watcher *watcher, struct str epoch, int64_t version)
{
	const struct wherry_watch_network_request in = {
		.container_instance = watcher->instance, .cluster = S("default"), .epoch = epoch,
		.version = {version, str_has(epoch)}};

	step(watcher, (struct event){
		.type = EVENT_CALL,
		.call = {.ticket = 1001 + watcher->desk.seed, .operation = &api_wherry.operations[WHERRY_OPERATION_WATCH_NETWORK],
			 .input = &in, .region = S("us-east-1"),
			 .caller = {.kind = CALLER_AGENT, .account = S("123456789012"), .arn = S("arn")}}});
	for (size_t i = 0; i < watcher->desk.effects.replies.count; i++)
		if (watcher->desk.effects.replies.items[i].ticket == 1000 + watcher->desk.seed)
			return watcher->desk.effects.replies.items[i].output;
	return NULL;
}

static const struct wherry_watch_network_response *watch_all(struct watcher *watcher)
{
	const struct wherry_watch_network_response *news = watch(watcher, STR_NONE, 0);

	assert_non_null(news);
	assert_true(news->full.value);
	return news;
}

/* What happens inside of the plane, as the ECS room does it: within an API call's step there is no other way in. Here an
 * interface is made by a wake that the test owns. */
struct maker {
	struct wake wake;
	struct watcher *watcher;
	struct str instance, deleted;
	bool public_address;
	struct interface_view view;
	bool made;
};

static void make(struct plane *plane, struct wake *wake)
{
	struct maker *maker = CONTAINER_OF(wake, struct maker, wake);
	const struct entry *cluster = entry_find(plane, &(struct realm){.key = S("123456789012/us-east-1")}, RECORD_CLUSTER, S("default"));
	struct error error = {0};
	struct str group = maker->watcher->group;
	const struct interface_plan plan = {
		.subnet_id = maker->watcher->subnet, .groups = {&group, 1}, .public_address = maker->public_address,
		.instance_account = S("123456789012"), .instance_region = S("us-east-1"), .instance_cluster = S("default"),
		.instance_id = maker->instance};

	if (str_has(maker->deleted))
		ec2_interface_delete(plane, cluster->realm, maker->deleted);
	else
		maker->made = ec2_interface_create(plane, cluster->realm, &plan, &maker->view, &error);
}

static void run_maker(struct watcher *watcher, struct maker *maker)
{
	maker->watcher = watcher;
	maker->wake.run = make;
	wake_set(watcher->desk.plane, &maker->wake, 0);
	step(watcher, (struct event){.type = EVENT_TICK});
}

static struct interface_view attach(struct watcher *watcher)
{
	struct str id = str_slice(watcher->instance, str_find_last(watcher->instance, '/') + 1, watcher->instance.len);
	struct maker maker = {.instance = id, .public_address = true};

	run_maker(watcher, &maker);
	assert_true(maker.made);
	return maker.view;
}

static void detach(struct watcher *watcher, struct str id)
{
	struct maker maker = {.deleted = id};

	run_maker(watcher, &maker);
}

static int64_t version_of(const struct wherry_watch_network_response *news) { return news->version.value; }

TEST(a_machine_is_told_everything_first_and_then_waits)
{
	auto_watcher watcher;
	const struct wherry_watch_network_response *news;

	watcher_init(&watcher);
	news = watch_all(&watcher);
	assert_int_equal(news->interfaces.count, 0);
	assert_null(watch(&watcher, news->epoch, version_of(news)));
	/* An epoch of another life, a version from the future: everything again. */
	news = watch(&watcher, S("other"), version_of(news));
	assert_true(news->full.value);
	news = watch(&watcher, news->epoch, version_of(news) + 1000);
	assert_true(news->full.value);
}

TEST(a_new_interface_is_told_at_once_with_its_vpc_and_groups)
{
	auto_watcher watcher;
	const struct wherry_watch_network_response *news;
	struct interface_view view;

	watcher_init(&watcher);
	news = watch_all(&watcher);
	assert_null(watch(&watcher, news->epoch, version_of(news)));
	view = attach(&watcher);
	news = answer(&watcher, 0);
	assert_non_null(news);
	assert_false(news->full.value);
	assert_int_equal(news->interfaces.count, 1);
	assert_int_equal(news->vpcs.count, 1);
	assert_int_equal(news->groups.count, 1);
	EXPECT_STR(news->interfaces.items[0].id, view.id);
	EXPECT_STR(news->interfaces.items[0].mac, view.mac_address);
	EXPECT_STR(news->interfaces.items[0].address, view.private_address);
	EXPECT_STR(news->interfaces.items[0].public_address, S("198.18.0.1"));
	assert_true(news->interfaces.items[0].internet.value);
	EXPECT_STR(news->groups.items[0].members.items[0], view.private_address);
	EXPECT_STR(news->groups.items[0].ingress.items[0].groups.items[0], watcher.group);
	EXPECT_STR(news->groups.items[0].egress.items[0].blocks.items[0], S("0.0.0.0/0"));
	assert_true(news->vpcs.items[0].resolver.value);
	EXPECT_STR(view.gateway, S("172.31.0.1/20"));
	EXPECT_STR(view.resolver, S("172.31.0.2"));
	assert_null(watch(&watcher, news->epoch, version_of(news)));
}

/* desk_call wants one reply; a rule of a watched group has two. */
static void authorize(struct watcher *watcher, struct str group, struct str source)
{
	const char *request = text(watcher, "{\"GroupId\":\"%.*s\",\"IpPermissions\":[{\"ipProtocol\":\"tcp\",\"fromPort\":80,\"toPort\":80,"
				   "\"groups\":[{\"groupId\":\"%.*s\"}]}]}", STR(group), STR(source));
	const struct operation *operation = api_find(&api_ec2, S("AuthorizeSecurityGroupIngress"));
	struct json_fault fault = {0};
	void *input;

	assert_true(json_decode(operation->input, str_of(request), &watcher->desk.arena, &input, &fault));
	step(watcher, (struct event){
		.type = EVENT_CALL,
		.call = {.ticket = 1, .operation = operation, .input = input, .region = S("us-east-1"),
			 .caller = {.account = S("123456789012"), .arn = S("arn")}}});
}

TEST(a_rule_reaches_the_machines_that_it_concerns_and_no_other)
{
	auto_watcher watcher;
	const struct wherry_watch_network_response *news;
	struct str other;

	watcher_init(&watcher);
	attach(&watcher);
	other = make_group(&watcher, "other");
	news = watch_all(&watcher);
	assert_int_equal(news->groups.count, 1);
	assert_null(watch(&watcher, news->epoch, version_of(news)));
	/* The other group is not of this machine. */
	step(&watcher, (struct event){.type = EVENT_TICK});
	desk_call(&watcher.desk, "AuthorizeSecurityGroupIngress", text(&watcher, "{'GroupId':'%.*s','IpProtocol':'tcp','FromPort':80,"
								       "'ToPort':80,'CidrIp':'10.0.0.0/8'}", STR(other)));
	assert_null(answer(&watcher, 0));
	detach(&watcher, S("eni-none"));
	assert_null(answer(&watcher, 0));
	authorize(&watcher, watcher.group, other);
	news = answer(&watcher, 0);
	assert_non_null(news);
	assert_int_equal(news->groups.count, 2);
}

TEST(a_group_that_a_rule_names_comes_along_and_is_followed)
{
	auto_watcher watcher;
	const struct wherry_watch_network_response *news;
	struct str other, interface;

	watcher_init(&watcher);
	attach(&watcher);
	other = make_group(&watcher, "other");
	news = watch_all(&watcher);
	assert_null(watch(&watcher, news->epoch, version_of(news)));
	authorize(&watcher, watcher.group, other);
	news = answer(&watcher, 0);
	assert_non_null(news);
	assert_int_equal(news->interfaces.count, 0);
	assert_int_equal(news->groups.count, 2);
	/* Its members change far away from this machine. */
	interface = pick(&watcher, desk_call(&watcher.desk, "CreateNetworkInterface",
					     text(&watcher, "{'subnetId':'%.*s','SecurityGroupId':['%.*s']}", STR(watcher.subnet),
						  STR(other))), "networkInterfaceId");
	news = watch(&watcher, news->epoch, version_of(news));
	assert_non_null(news);
	assert_int_equal(news->groups.count, 1);
	EXPECT_STR(news->groups.items[0].id, other);
	assert_int_equal(news->groups.items[0].members.count, 1);
	desk_call(&watcher.desk, "DeleteNetworkInterface", text(&watcher, "{'networkInterfaceId':'%.*s'}", STR(interface)));
	news = watch(&watcher, news->epoch, version_of(news));
	assert_int_equal(news->groups.items[0].members.count, 0);
}

TEST(an_interface_that_left_is_told_as_gone)
{
	auto_watcher watcher;
	const struct wherry_watch_network_response *news;
	struct interface_view first, second;

	watcher_init(&watcher);
	first = attach(&watcher);
	second = attach(&watcher);
	news = watch_all(&watcher);
	assert_int_equal(news->interfaces.count, 2);
	assert_null(watch(&watcher, news->epoch, version_of(news)));
	detach(&watcher, first.id);
	news = answer(&watcher, 0);
	assert_false(news->full.value);
	assert_int_equal(news->gone.count, 1);
	EXPECT_STR(news->gone.items[0], first.id);
	assert_int_equal(news->interfaces.count, 0);
	assert_int_equal(news->groups.items[0].members.count, 1);
	EXPECT_STR(news->groups.items[0].members.items[0], second.private_address);
}

TEST(who_has_missed_too_much_is_told_everything)
{
	auto_watcher watcher;
	const struct wherry_watch_network_response *news;
	struct str epoch;
	int64_t version;

	watcher_init(&watcher);
	attach(&watcher);
	news = watch_all(&watcher);
	epoch = news->epoch;
	version = version_of(news);
	for (int i = 0; i < 1100; i++)
		detach(&watcher, attach(&watcher).id);
	news = watch(&watcher, epoch, version);
	assert_true(news->full.value);
	assert_int_equal(news->interfaces.count, 1);
	assert_int_equal(news->gone.count, 0);
}

TEST(a_parked_call_is_answered_after_a_while_or_by_its_successor)
{
	auto_watcher watcher;
	const struct wherry_watch_network_response *news;
	struct str epoch;
	int64_t version;

	watcher_init(&watcher);
	news = watch_all(&watcher);
	epoch = news->epoch;
	version = version_of(news);
	assert_null(watch(&watcher, epoch, version));
	watcher.desk.now += 24 * USEC_PER_SEC;
	step(&watcher, (struct event){.type = EVENT_TICK});
	assert_null(answer(&watcher, 0));
	assert_true(watcher.desk.effects.wake_at <= watcher.desk.now + 2 * USEC_PER_SEC);
	watcher.desk.now += 2 * USEC_PER_SEC;
	step(&watcher, (struct event){.type = EVENT_TICK});
	news = answer(&watcher, 0);
	assert_non_null(news);
	assert_false(news->full.value);
	assert_int_equal(news->interfaces.count, 0);
	assert_null(watch(&watcher, epoch, version_of(news)));
	/* The older of two is answered when the newer one comes, which waits. */
	assert_null(watch(&watcher, epoch, version_of(news)));
	assert_non_null(answer(&watcher, 0));
	assert_null(answer(&watcher, 1));
	step(&watcher, (struct event){.type = EVENT_STOP});
	assert_non_null(answer(&watcher, 0));
	/* Nobody waits any more. */
	assert_non_null(watch(&watcher, epoch, version_of(news)));
}

TEST(a_machine_that_nobody_knows_watches_nothing)
{
	auto_watcher watcher;

	watcher_init(&watcher);
	watcher.instance = S("0123456789abcdef0123456789abcdef");
	assert_null(watch(&watcher, STR_NONE, 0));
	assert_int_equal(watcher.desk.effects.replies.items[0].error.code, ERROR_INVALID_PARAMETER);
}

TEST(a_change_of_routes_changes_what_is_public)
{
	auto_watcher watcher;
	const struct wherry_watch_network_response *news;
	struct str table, epoch;
	int64_t version;

	watcher_init(&watcher);
	attach(&watcher);
	news = watch_all(&watcher);
	assert_true(news->interfaces.items[0].internet.value);
	epoch = news->epoch;
	version = version_of(news);
	table = pick(&watcher, desk_call(&watcher.desk, "DescribeRouteTables", "{}"), "routeTableId");
	desk_call(&watcher.desk, "DeleteRoute", text(&watcher, "{'routeTableId':'%.*s','destinationCidrBlock':'0.0.0.0/0'}", STR(table)));
	news = watch(&watcher, epoch, version);
	assert_int_equal(news->interfaces.count, 1);
	assert_false(news->interfaces.items[0].internet.value);
}
