/* WatchNetwork: what a machine is told of the VPCs, and when. */
#include "agent/network_view.h"
#include "api/ec2.h"
#include "api/wherry.h"
#include "base/buffer.h"
#include "control/call.h"
#include "control/ec2/ec2.h"
#include "control/ec2/state.h"
#include "test/unit/control/desk.h"
#include "wire/json.h"

/* The plane's answers as text; a plane of one instance "default/…" that watches. */
struct watcher {
	struct desk desk;
	struct str instance;                             /* ARN */
	struct str subnet, group;
};

static void watcher_init(struct watcher *watcher)
{
	*watcher = (struct watcher){0};
	desk_init(&watcher->desk);
	desk_call(&watcher->desk, "CreateCluster", "{}");
	watcher->instance = desk_instance(&watcher->desk, "default");
	watcher->subnet = desk_subnet(&watcher->desk, "us-east-1a");
	watcher->group = desk_pick(&watcher->desk, desk_call(&watcher->desk, "DescribeSecurityGroups", "{}"), "groupId");
}

static struct str make_group(struct watcher *watcher, const char *name)
{
	return desk_pick(&watcher->desk, desk_ask(&watcher->desk, "CreateSecurityGroup", "{'GroupName':'%s','GroupDescription':'d'}", name),
		    "groupId");
}

static void watcher_fini(struct watcher *watcher) { desk_fini(&watcher->desk); }
#define auto_watcher __attribute__((cleanup(watcher_fini))) struct watcher

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

	desk_step(&watcher->desk, (struct event){
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
	struct str instance, deleted;                    /* instance absent: the interface is on none */
	struct str address;                              /* absent: a free one */
	struct ecs_string_list groups;                   /* none: the watcher's */
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
		.subnet_id = maker->watcher->subnet, .groups = maker->groups.count ? maker->groups : (struct ecs_string_list){&group, 1},
		.address = maker->address, .public_address = maker->public_address,
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
	desk_step(&watcher->desk, (struct event){.type = EVENT_TICK});
}

static struct str own_id(const struct watcher *watcher)
{
	return str_slice(watcher->instance, str_find_last(watcher->instance, '/') + 1, watcher->instance.len);
}

static struct interface_view attach(struct watcher *watcher)
{
	struct maker maker = {.instance = own_id(watcher), .public_address = true};

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

/* desk_call wants one reply; a call that answers one that waits has two. */
static void request(struct watcher *watcher, const char *name, const char *text)
{
	const struct operation *operation = api_find(&api_ec2, str_of(name));
	struct json_fault fault = {0};
	void *input;

	assert_true(json_decode(operation->input, str_of(text), &watcher->desk.arena, &input, &fault));
	desk_step(&watcher->desk, (struct event){
		.type = EVENT_CALL,
		.call = {.ticket = 1, .operation = operation, .input = input, .region = S("us-east-1"),
			 .caller = {.account = S("123456789012"), .arn = S("arn")}}});
}

static const char *rule_of(struct watcher *watcher, struct str group, struct str source)
{
	return desk_text(&watcher->desk, "{\"GroupId\":\"%.*s\",\"IpPermissions\":[{\"ipProtocol\":\"tcp\",\"fromPort\":80,\"toPort\":80,"
		    "\"groups\":[{\"groupId\":\"%.*s\"}]}]}", STR(group), STR(source));
}

static void authorize(struct watcher *watcher, struct str group, struct str source)
{
	request(watcher, "AuthorizeSecurityGroupIngress", rule_of(watcher, group, source));
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
	desk_step(&watcher.desk, (struct event){.type = EVENT_TICK});
	desk_ask(&watcher.desk, "AuthorizeSecurityGroupIngress", "{'GroupId':'%.*s','IpProtocol':'tcp','FromPort':80,"
		"'ToPort':80,'CidrIp':'10.0.0.0/8'}", STR(other));
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
	interface = desk_pick(&watcher.desk, desk_call(&watcher.desk, "CreateNetworkInterface",
					     desk_text(&watcher.desk, "{'subnetId':'%.*s','SecurityGroupId':['%.*s']}", STR(watcher.subnet),
						  STR(other))), "networkInterfaceId");
	news = watch(&watcher, news->epoch, version_of(news));
	assert_non_null(news);
	assert_int_equal(news->groups.count, 0);
	assert_int_equal(news->changes.count, 1);
	EXPECT_STR(news->changes.items[0].group, other);
	assert_int_equal(news->changes.items[0].added.count, 1);
	desk_ask(&watcher.desk, "DeleteNetworkInterface", "{'networkInterfaceId':'%.*s'}", STR(interface));
	news = watch(&watcher, news->epoch, version_of(news));
	assert_int_equal(news->changes.items[0].added.count, 0);
	assert_int_equal(news->changes.items[0].removed.count, 1);
}

TEST(an_interface_that_left_is_told_as_gone)
{
	auto_watcher watcher;
	const struct wherry_watch_network_response *news;
	struct interface_view first;

	watcher_init(&watcher);
	first = attach(&watcher);
	attach(&watcher);
	news = watch_all(&watcher);
	assert_int_equal(news->interfaces.count, 2);
	assert_null(watch(&watcher, news->epoch, version_of(news)));
	detach(&watcher, first.id);
	news = answer(&watcher, 0);
	assert_false(news->full.value);
	assert_int_equal(news->gone.count, 1);
	EXPECT_STR(news->gone.items[0], first.id);
	assert_int_equal(news->interfaces.count, 0);
	assert_int_equal(news->groups.count, 0);
	assert_int_equal(news->changes.items[0].removed.count, 1);
	EXPECT_STR(news->changes.items[0].removed.items[0], first.private_address);
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
	desk_step(&watcher.desk, (struct event){.type = EVENT_TICK});
	assert_null(answer(&watcher, 0));
	assert_true(watcher.desk.effects.wake_at <= watcher.desk.now + 2 * USEC_PER_SEC);
	watcher.desk.now += 2 * USEC_PER_SEC;
	desk_step(&watcher.desk, (struct event){.type = EVENT_TICK});
	news = answer(&watcher, 0);
	assert_non_null(news);
	assert_false(news->full.value);
	assert_int_equal(news->interfaces.count, 0);
	assert_null(watch(&watcher, epoch, version_of(news)));
	/* The older of two is answered when the newer one comes, which waits. */
	assert_null(watch(&watcher, epoch, version_of(news)));
	assert_non_null(answer(&watcher, 0));
	assert_null(answer(&watcher, 1));
	desk_step(&watcher.desk, (struct event){.type = EVENT_STOP});
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
	table = desk_pick(&watcher.desk, desk_call(&watcher.desk, "DescribeRouteTables", "{}"), "routeTableId");
	desk_ask(&watcher.desk, "DeleteRoute", "{'routeTableId':'%.*s','destinationCidrBlock':'0.0.0.0/0'}", STR(table));
	news = watch(&watcher, epoch, version);
	assert_int_equal(news->interfaces.count, 1);
	assert_false(news->interfaces.items[0].internet.value);
}

/* ---- what an agent makes of it */
static void take(struct network_view *view, const struct wherry_watch_network_response *news, struct arena *arena)
{
	struct wherry_watch_network_response told;
	struct error error = {0};

	if (!network_view_take(view, news, arena, &told, &error))
		fail_msg("%s", error.text);
	assert_int_equal(told.groups.count, news->groups.count + news->changes.count);
}

static int by_text(const void *a, const void *b) { return str_compare(*(const struct str *)a, *(const struct str *)b); }

static void expect_same_group(const struct wherry_group *a, const struct wherry_group *b)
{
	assert_non_null(b);
	qsort(a->members.items, a->members.count, sizeof(*a->members.items), by_text);
	qsort(b->members.items, b->members.count, sizeof(*b->members.items), by_text);
	assert_true(shape_equal(&shape_wherry_group, a, b));
}

static void expect_same(const struct network_view *a, const struct network_view *b)
{
	const struct wherry_interface *interface;
	const struct wherry_group *group;

	assert_int_equal(a->interfaces.count, b->interfaces.count);
	for (size_t at = 0; (interface = map_next(&a->interfaces, &at));) {
		assert_non_null(map_get(&b->interfaces, interface->id));
		assert_true(shape_equal(&shape_wherry_interface, interface, map_get(&b->interfaces, interface->id)));
	}
	assert_int_equal(a->groups.count, b->groups.count);
	for (size_t at = 0; (group = map_next(&a->groups, &at));)
		expect_same_group(group, map_get(&b->groups, group->id));
}

enum { STORY_GROUPS = 6, STORY_STEPS = 400 };

/* Random changes, and an agent that asks now and then, loses answers, and knows some version. */
struct story {
	struct watcher watcher;
	struct random random;
	struct str groups[STORY_GROUPS];
	LIST_OF(struct str) interfaces;
	struct network_view view;
	struct str epoch;                                /* of the answer that the view is from */
	int64_t version;
	size_t whole, by_change;                         /* groups told */
};

static struct str any_group(struct story *story) { return story->groups[random_below(&story->random, STORY_GROUPS)]; }

/* Half of them with one of a few addresses, so that these come back in other groups and on other machines. */
static void make_interface(struct story *story)
{
	struct str groups[] = {any_group(story), any_group(story)};
	struct maker maker = {.instance = random_below(&story->random, 2) ? own_id(&story->watcher) : STR_NONE,
			      .groups = {groups, str_equal(groups[0], groups[1]) ? 1 : 2}};

	if (random_below(&story->random, 2))
		maker.address = str_of(desk_text(&story->watcher.desk, "172.31.8.%d", 1 + (int)random_below(&story->random, 16)));
	run_maker(&story->watcher, &maker);
	assert_true(maker.made || str_has(maker.address));
	if (maker.made)
		list_add(&story->interfaces, maker.view.id);
}

static void delete_interface(struct story *story)
{
	size_t place;

	if (!story->interfaces.count)
		return;
	place = random_below(&story->random, story->interfaces.count);
	detach(&story->watcher, story->interfaces.items[place]);
	list_remove_at(&story->interfaces, place);
}

static void change_rule(struct story *story)
{
	const char *rule = rule_of(&story->watcher, any_group(story), any_group(story));

	request(&story->watcher, random_below(&story->random, 2) ? "AuthorizeSecurityGroupIngress" : "RevokeSecurityGroupIngress", rule);
}

static void ask(struct story *story)
{
	const struct wherry_watch_network_response *news = watch(&story->watcher, story->epoch, story->version);

	if (!news || !random_below(&story->random, 4))
		return;                                  /* it waits, or the answer is lost */
	take(&story->view, news, &story->watcher.desk.arena);
	story->whole += news->groups.count;
	story->by_change += news->changes.count;
	story->epoch = news->epoch;
	story->version = version_of(news);
}

/* What the agent knows, after it has heard what it does not know yet, is what one hears that knows nothing. */
static void compare(struct story *story)
{
	const struct wherry_watch_network_response *news = watch(&story->watcher, story->epoch, story->version);
	struct network_view all = {0};

	if (news) {
		take(&story->view, news, &story->watcher.desk.arena);
		story->epoch = news->epoch;
		story->version = version_of(news);
	}
	take(&all, watch_all(&story->watcher), &story->watcher.desk.arena);
	expect_same(&story->view, &all);
	network_view_fini(&all);
}

static void happen(struct story *story)
{
	switch (random_below(&story->random, 10)) {
	case 0: case 1: case 2: case 3:
		make_interface(story);
		break;
	case 4: case 5:
		delete_interface(story);
		break;
	case 6:
		change_rule(story);
		break;
	default:
		ask(story);
	}
}

static void story_run(uint64_t seed)
{
	struct story story = {0};

	watcher_init(&story.watcher);
	random_init(&story.random, seed, 0);
	for (size_t i = 0; i < STORY_GROUPS; i++)
		story.groups[i] = make_group(&story.watcher, desk_text(&story.watcher.desk, "g%zu", i));
	for (size_t i = 0; i < STORY_STEPS; i++) {
		happen(&story);
		if (!random_below(&story.random, 20))
			compare(&story);
	}
	compare(&story);
	assert_true(story.whole > 0);
	assert_true(story.by_change > 0);
	list_fini(&story.interfaces);
	network_view_fini(&story.view);
	watcher_fini(&story.watcher);
}

TEST(an_agent_that_hears_of_changes_knows_what_one_knows_that_hears_everything)
{
	for (uint64_t seed = 1; seed <= 20; seed++)
		story_run(seed);
}

static size_t bytes_of(const struct wherry_watch_network_response *news)
{
	auto_buffer out = {0};

	json_encode(&shape_wherry_watch_network_response, news, &out);
	return out.len;
}

TEST(what_is_told_of_a_group_is_as_long_as_what_changed)
{
	auto_watcher watcher;
	const struct wherry_watch_network_response *news;
	size_t told = 0, first = 0;

	watcher_init(&watcher);
	news = watch_all(&watcher);
	for (int i = 0; i < 500; i++) {
		assert_null(watch(&watcher, news->epoch, version_of(news)));
		attach(&watcher);
		news = answer(&watcher, 0);
		told += bytes_of(news);
		first = first ? first : told;
	}
	print_message("500 interfaces of one group: %zu bytes told\n", told);
	assert_true(told < 500 * (first + 10));
}

TEST(a_group_that_changed_more_than_is_remembered_is_told_whole)
{
	auto_watcher watcher;
	const struct wherry_watch_network_response *news, *first;

	watcher_init(&watcher);
	attach(&watcher);
	first = watch_all(&watcher);
	/* The one that is there is the first. */
	for (int i = 1; i < MEMBER_CHANGES_LIMIT; i++)
		run_maker(&watcher, &(struct maker){.public_address = false});
	news = watch(&watcher, first->epoch, version_of(first));
	assert_int_equal(news->groups.count, 0);
	assert_int_equal(news->changes.items[0].added.count, MEMBER_CHANGES_LIMIT - 1);
	run_maker(&watcher, &(struct maker){.public_address = false});
	news = watch(&watcher, first->epoch, version_of(first));
	assert_false(news->full.value);
	assert_int_equal(news->interfaces.count, 0);
	assert_int_equal(news->changes.count, 0);
	assert_int_equal(news->groups.items[0].members.count, MEMBER_CHANGES_LIMIT + 1);
}

TEST(members_of_a_group_that_is_not_known_are_an_error)
{
	auto_arena arena = {0};
	struct network_view view = {0};
	struct wherry_member_change change = {.group = S("sg-1")};
	const struct wherry_watch_network_response news = {.changes = {&change, 1}};
	struct wherry_watch_network_response told;
	struct error error = {0};

	assert_false(network_view_take(&view, &news, &arena, &told, &error));
	assert_int_equal(error.code, ERROR_CORRUPT);
	network_view_fini(&view);
}
