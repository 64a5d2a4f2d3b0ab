/* user.c - a restless client that asks for one random thing after another and remembers every answer.
 *
 * A cell is something that the user alone changes, with the values it may have now: the one acknowledged last, and
 * those whose answer was lost, until their request cannot arrive any more. One change of a cell is under way at a time. */
#include "sim/world.h"
#include "api/ec2.h"
#include "api/ecs.h"
#include "api/state.h"

enum { FAMILIES = 6, SERVICES = 3 };

struct value { char text[96]; usec sent; bool acknowledged, under_way; };

struct cell {
	char name[200];                                  /* "service/web", "instance/ID" */
	LIST_OF(struct value) values;
	bool busy;
};

struct run {
	char token[24], definition[48];
	const char *network;                             /* the same each time */
	int count;
	bool asked, answered, refused;                   /* refused: an earlier request may still be taken */
	LIST_OF(struct str) ids;
};

struct known_task { struct str id; bool stop_promised, seen_stopped; int64_t version; };
struct definition { char name[48]; bool lasts, awsvpc; };

/* What a call that is under way was about. */
struct asked { uint64_t ticket; struct cell *cell; struct run *run; struct known_task *task; };

struct user {
	LIST_OF(struct cell *) cells;
	LIST_OF(struct run *) runs;
	LIST_OF(struct known_task *) tasks;
	LIST_OF(struct definition) definitions;
	LIST_OF(struct asked) asked;
	char subnets[3][32];
	unsigned subnet_count;
};

struct user *user_new(struct sim *sim)
{
	struct user *user = calloc(1, sizeof(*user));

	if (!user)
		abort();
	return user;
}

void user_free(struct user *user)
{
	if (!user)
		return;
	for (size_t i = 0; i < user->cells.count; i++) {
		list_fini(&user->cells.items[i]->values);
		free(user->cells.items[i]);
	}
	for (size_t i = 0; i < user->runs.count; i++) {
		list_fini(&user->runs.items[i]->ids);
		free(user->runs.items[i]);
	}
	for (size_t i = 0; i < user->tasks.count; i++)
		free(user->tasks.items[i]);
	list_fini(&user->cells);
	list_fini(&user->runs);
	list_fini(&user->tasks);
	list_fini(&user->definitions);
	list_fini(&user->asked);
	free(user);
}

bool user_is_waiting(const struct sim *sim)
{
	const struct user *user = sim->user;

	for (size_t i = 0; i < user->runs.count; i++)
		if (!user->runs.items[i]->answered && !user->runs.items[i]->refused)
			return true;
	return user->asked.count > 0;
}

static struct asked *ask(struct sim *sim, const char *operation, struct str body)
{
	const struct operation *found = api_find(&api_ecs, str_of(operation));
	struct asked *asked;

	assert(found);
	asked = list_push(&sim->user->asked);
	asked->ticket = network_call(sim, (struct asker){0}, found, body);
	return asked;
}

static struct str last_part(struct str arn) { return str_slice(arn, str_find_last(arn, '/') + 1, arn.len); }

/* ---- Cells */

static struct cell *cell_get(struct user *user, struct str name, const char *initial)
{
	struct cell *cell;

	for (size_t i = 0; i < user->cells.count; i++)
		if (str_equal(str_of(user->cells.items[i]->name), name))
			return user->cells.items[i];
	cell = calloc(1, sizeof(*cell));
	if (!cell)
		abort();
	snprintf(cell->name, sizeof(cell->name), "%.*s", STR(name));
	snprintf(list_push(&cell->values)->text, sizeof(cell->values.items[0].text), "%s", initial);
	cell->values.items[0].acknowledged = true;
	list_add(&user->cells, cell);
	return cell;
}

static void cell_begin(struct sim *sim, struct cell *cell, struct str text)
{
	struct value *value = list_push(&cell->values);

	snprintf(value->text, sizeof(value->text), "%.*s", STR(text));
	value->sent = sim->now;
	value->under_way = true;
	cell->busy = true;
}

static bool may_still_arrive(const struct value *value, usec at)
{
	return !value->acknowledged && value->sent + SECONDS(CALL_LATEST_SECONDS + 1) >= at;
}

static void cell_acknowledged(struct cell *cell, const struct value *done)
{
	struct value kept = *done;

	for (size_t i = cell->values.count; i-- > 0;) {
		struct value *value = &cell->values.items[i];

		if (value->under_way || !may_still_arrive(value, kept.sent))
			list_remove_at(&cell->values, i);
	}
	kept.under_way = false;
	kept.acknowledged = true;
	list_add(&cell->values, kept);
}

static void cell_end(struct cell *cell, enum error_code error)
{
	for (size_t i = cell->values.count; i-- > 0;) {
		struct value *value = &cell->values.items[i];

		if (!value->under_way)
			continue;
		if (error == ERROR_NONE)
			cell_acknowledged(cell, value);
		else if (error == ERROR_NETWORK)
			value->under_way = false;
		else
			list_remove_at(&cell->values, i);
		break;
	}
	cell->busy = false;
}

static void cell_check(struct sim *sim, const struct cell *cell, struct str actual)
{
	auto_buffer expected = {0};

	for (size_t i = 0; i < cell->values.count; i++) {
		if (str_equal(str_of(cell->values.items[i].text), actual))
			return;
		buffer_printf(&expected, " '%s'", cell->values.items[i].text);
	}
	violation(sim, "acknowledged is durable", "%s is '%.*s', not one of%.*s", cell->name, STR(actual),
		  STR(buffer_str(&expected)));
}

/* ---- Task definitions */

static const struct { const char *family, *image; bool lasts, awsvpc; } families[FAMILIES] = {
	{ "web", "web:1", true, false }, { "api", "web:2", true, false },         { "job", "job:1", false, false },
	{ "restless", "restless:1", false, false }, { "net", "web:1", true, true }, { "netjob", "job:1", false, true },
};

/* Of a random definition: `main` is essential and may wait for those before it; they may wait for one another. What a
 * service runs can come up when nothing is wrong; what is run once may also be impossible. */
enum { CONTAINERS_LIMIT = 4 };

struct draft { bool ends, checked, essential, possible; };

static void add_dependency(struct sim *sim, struct buffer *body, const struct draft *drafts, int on, bool *first)
{
	const struct draft *other = &drafts[on];
	const char *condition = "START";

	if (other->checked && !(other->ends && other->possible) && chance(sim, 600))
		condition = "HEALTHY";
	else if (other->ends && !other->essential && chance(sim, 800))
		condition = chance(sim, 500) ? "SUCCESS" : "COMPLETE";
	buffer_printf(body, "%s{\"containerName\":\"c%d\",\"condition\":\"%s\"}", *first ? ",\"dependsOn\":[" : ",", on,
		      condition);
	*first = false;
}

static void add_dependencies(struct sim *sim, struct buffer *body, const struct draft *drafts, int index)
{
	bool first = true;

	for (int on = 0; on < index; on++)
		if (chance(sim, 500))
			add_dependency(sim, body, drafts, on, &first);
	if (!first)
		buffer_printf(body, "]");
	if (index > 0 && chance(sim, 150))
		buffer_printf(body, ",\"volumesFrom\":[{\"sourceContainer\":\"c%d\"}]", (int)below(sim, (uint64_t)index));
}

static void add_check(struct sim *sim, struct buffer *body, struct draft *draft)
{
	draft->checked = chance(sim, 350);
	if (!draft->checked)
		return;
	buffer_printf(body, ",\"healthCheck\":{\"command\":[\"CMD-SHELL\",\"ok\"],\"interval\":%d,\"timeout\":2,"
		      "\"retries\":%d", 5 + (int)below(sim, 10), 1 + (int)below(sim, 3));
	if (chance(sim, 400))
		buffer_printf(body, ",\"startPeriod\":%d", (int)below(sim, 40));
	buffer_printf(body, "}");
}

static void add_lifetime(struct sim *sim, struct buffer *body, const struct draft *draft)
{
	if (chance(sim, 300))
		buffer_printf(body, ",\"stopTimeout\":%d", 2 + (int)below(sim, 10));
	if (chance(sim, 300))
		buffer_printf(body, ",\"startTimeout\":%d", (draft->possible ? 60 : 2) + (int)below(sim, 60));
	if (chance(sim, 300))
		buffer_printf(body, ",\"restartPolicy\":{\"enabled\":%s,\"ignoredExitCodes\":[%s],\"restartAttemptPeriod\":%d}",
			      chance(sim, 900) ? "true" : "false", chance(sim, 500) ? "0" : "1,143",
			      60 + (int)below(sim, 40));
}

/* Beside the main container: one that ends, or one that lasts like it. */
static void add_side(struct sim *sim, struct buffer *body, struct draft *drafts, int index, bool must_last)
{
	struct draft *draft = &drafts[index];

	draft->ends = chance(sim, 500);
	draft->possible = must_last;
	draft->essential = (!draft->ends || !must_last) && chance(sim, 300);
	buffer_printf(body, "{\"name\":\"c%d\",\"image\":\"%s\",\"memory\":32,\"essential\":%s", index,
		      !draft->ends ? "web:3" : must_last || chance(sim, 700) ? "job:2" : "restless:2", draft->essential ? "true" : "false");
	add_check(sim, body, draft);
	add_lifetime(sim, body, draft);
	add_dependencies(sim, body, drafts, index);
	buffer_printf(body, "},");
}

static void add_main(struct sim *sim, struct buffer *body, struct draft *drafts, int index, const char *image, bool awsvpc)
{
	buffer_printf(body, "{\"name\":\"main\",\"image\":\"%s\",\"cpu\":%d,\"memory\":%d", image,
		      (int)(64 << below(sim, awsvpc ? 3 : 4)), (int)(64 << below(sim, 3)));
	if (chance(sim, 250) && !awsvpc)
		buffer_printf(body, ",\"portMappings\":[{\"containerPort\":80,\"hostPort\":%d}]",
			      chance(sim, 600) ? 0 : 8080 + (int)below(sim, 2));
	add_check(sim, body, &drafts[index]);
	add_lifetime(sim, body, &drafts[index]);
	add_dependencies(sim, body, drafts, index);
	buffer_printf(body, "}");
}

static void register_definition(struct sim *sim)
{
	struct draft drafts[CONTAINERS_LIMIT] = {{0}};
	int sides = chance(sim, 500) ? (int)below(sim, CONTAINERS_LIMIT) : 0;
	size_t which = below(sim, FAMILIES);
	bool awsvpc = families[which].awsvpc;
	auto_buffer body = {0};

	buffer_printf(&body, "{\"family\":\"%s\",%s\"containerDefinitions\":[", families[which].family,
		      awsvpc ? "\"networkMode\":\"awsvpc\",\"requiresCompatibilities\":[\"EC2\",\"FARGATE\"],"
			       "\"cpu\":\"256\",\"memory\":\"512\"," : "");
	for (int i = 0; i < sides; i++)
		add_side(sim, &body, drafts, i, families[which].lasts);
	add_main(sim, &body, drafts, sides, families[which].image, awsvpc);
	buffer_printf(&body, "]}");
	ask(sim, "RegisterTaskDefinition", buffer_str(&body));
}

static void definition_registered(struct sim *sim, const struct ecs_register_task_definition_response *output)
{
	const struct ecs_task_definition *from = output->task_definition;
	struct definition *definition = list_push(&sim->user->definitions);

	snprintf(definition->name, sizeof(definition->name), "%.*s:%d", STR(from->family), from->revision.value);
	for (size_t i = 0; i < FAMILIES; i++)
		if (str_equal(from->family, str_of(families[i].family))) {
			definition->lasts = families[i].lasts;
			definition->awsvpc = families[i].awsvpc;
		}
}

static const struct definition *choose_definition(struct sim *sim, bool must_last)
{
	struct user *user = sim->user;

	for (int i = 0; i < 8 && user->definitions.count; i++) {
		const struct definition *definition = &user->definitions.items[below(sim, user->definitions.count)];

		if (definition->lasts || !must_last)
			return definition;
	}
	return NULL;
}

static void deregister_definition(struct sim *sim)
{
	const struct definition *definition = choose_definition(sim, false);
	struct cell *cell;

	if (!definition || chance(sim, 500))
		return;
	cell = cell_get(sim->user, arena_printf(&sim->arena, "definition/%s", definition->name), "ACTIVE");
	if (cell->busy)
		return;
	ask(sim, "DeregisterTaskDefinition",
	    arena_printf(&sim->arena, "{\"taskDefinition\":\"%s\"}", definition->name))->cell = cell;
	cell_begin(sim, cell, S("INACTIVE"));
}

static void check_definition(struct sim *sim, const struct cell *cell, const struct snapshot *snapshot)
{
	const char *name = cell->name + strlen("definition/");
	const struct task_definition *record = snapshot_find(snapshot, RECORD_TASK_DEFINITION,
		arena_printf(&sim->arena, "000000000000/us-east-1/%s", name));

	cell_check(sim, cell, record && record->definition->status == ECS_TASK_DEFINITION_STATUS_ACTIVE ? S("ACTIVE")
													  : S("INACTIVE"));
}

/* ---- Clusters: one that is made and unmade, and has nothing in it */

static void change_cluster(struct sim *sim, const char *operation, const char *member, struct str value)
{
	struct cell *cell = cell_get(sim->user, S("cluster/other"), "gone");

	if (cell->busy)
		return;
	ask(sim, operation, arena_printf(&sim->arena, "{\"%s\":\"other\"}", member))->cell = cell;
	cell_begin(sim, cell, value);
}

static void create_cluster(struct sim *sim) { change_cluster(sim, "CreateCluster", "clusterName", S("there")); }
static void delete_cluster(struct sim *sim) { change_cluster(sim, "DeleteCluster", "cluster", S("gone")); }

static void check_cluster(struct sim *sim, const struct cell *cell, const struct snapshot *snapshot)
{
	const struct cluster *record = snapshot_find(snapshot, RECORD_CLUSTER, S("000000000000/us-east-1/other"));

	cell_check(sim, cell, record && record->status == CLUSTER_STATUS_ACTIVE ? S("there") : S("gone"));
}

/* ---- Networks: the subnets of the default VPC, asked for at the beginning */

static void learn_subnets(struct sim *sim)
{
	const struct operation *found = api_find(&api_ec2, S("DescribeSubnets"));

	if (found->unbuilt)
		return;
	list_push(&sim->user->asked)->ticket = network_call(sim, (struct asker){0}, found, S("{}"));
}

static void subnets_learnt(struct sim *sim, const struct ec2_describe_subnets_result *output)
{
	struct user *user = sim->user;

	user->subnet_count = 0;
	for (size_t i = 0; i < output->subnets.count && user->subnet_count < COUNT(user->subnets); i++)
		snprintf(user->subnets[user->subnet_count++], sizeof(user->subnets[0]), "%.*s",
			 STR(output->subnets.items[i].subnet_id));
}

/* What a call that makes tasks of this definition needs besides; NULL while there is no subnet to name. */
static const char *network_of(struct sim *sim, const struct definition *definition, bool may_be_fargate)
{
	struct user *user = sim->user;
	auto_buffer text = {0};

	if (!definition->awsvpc)
		return "";
	if (user->subnet_count == 0) {
		learn_subnets(sim);
		return NULL;
	}
	buffer_printf(&text, "%s,\"networkConfiguration\":{\"awsvpcConfiguration\":{\"subnets\":[",
		      may_be_fargate && chance(sim, 500) ? ",\"launchType\":\"FARGATE\"" : "");
	for (unsigned i = 0; i < user->subnet_count; i++)
		buffer_printf(&text, "%s\"%s\"", i ? "," : "", user->subnets[i]);
	buffer_printf(&text, "]}}%c", 0);
	return arena_copy(&sim->arena, buffer_str(&text)).ptr;
}

/* ---- Services */

/* Percentages with which a service of this size can be updated at all (ecs-behaviour 7.5). */
static struct str percentages(struct sim *sim, int desired)
{
	static const struct str any[] = { STR_INIT("\"minimumHealthyPercent\":100,\"maximumPercent\":200"),
					  STR_INIT("\"minimumHealthyPercent\":0,\"maximumPercent\":100"),
					  STR_INIT("\"minimumHealthyPercent\":50,\"maximumPercent\":100"),
					  STR_INIT("\"minimumHealthyPercent\":100,\"maximumPercent\":150"),
					  STR_INIT("\"minimumHealthyPercent\":50,\"maximumPercent\":200") };

	return any[below(sim, desired > 1 ? COUNT(any) : 2)];
}

static struct str service_value(struct sim *sim, int desired, const char *definition)
{
	return arena_printf(&sim->arena, "%d of %s", desired, definition);
}

static struct cell *choose_service(struct sim *sim)
{
	struct str name = arena_printf(&sim->arena, "service/s%d", (int)below(sim, SERVICES));
	struct cell *cell = cell_get(sim->user, name, "gone");

	return cell->busy ? NULL : cell;
}

/* What a service may ask of placement; kept by updates that do not speak of it. */
static struct str placement(struct sim *sim)
{
	static const struct str any[] = {
		STR_INIT(""), STR_INIT(",\"placementStrategy\":[{\"type\":\"spread\",\"field\":\"instanceId\"}]"),
		STR_INIT(",\"placementStrategy\":[{\"type\":\"binpack\",\"field\":\"memory\"}]"),
		STR_INIT(",\"placementStrategy\":[{\"type\":\"random\"}]"),
		STR_INIT(",\"placementConstraints\":[{\"type\":\"distinctInstance\"}]"),
	};

	return any[below(sim, COUNT(any))];
}

static void change_service(struct sim *sim, bool create)
{
	struct cell *cell = choose_service(sim);
	const struct definition *definition = choose_definition(sim, true);
	int desired = (int)below(sim, 6);
	struct str percent = percentages(sim, desired), body;
	const char *network;
	struct str tail = create ? placement(sim) : chance(sim, 200) ? S(",\"forceNewDeployment\":true") : S("");

	network = definition ? network_of(sim, definition, false) : NULL;
	if (!cell || !network)
		return;
	body = arena_printf(&sim->arena, "{\"%s\":\"%s\",\"taskDefinition\":\"%s\",\"desiredCount\":%d,"
			    "\"deploymentConfiguration\":{%.*s}%s%.*s}", create ? "serviceName" : "service",
			    cell->name + strlen("service/"), definition->name, desired, STR(percent), network,
			    STR(tail));
	ask(sim, create ? "CreateService" : "UpdateService", body)->cell = cell;
	cell_begin(sim, cell, service_value(sim, desired, definition->name));
}

static void create_service(struct sim *sim) { change_service(sim, true); }
static void update_service(struct sim *sim) { change_service(sim, false); }

static void delete_service(struct sim *sim)
{
	struct cell *cell = choose_service(sim);

	if (!cell)
		return;
	ask(sim, "DeleteService", arena_printf(&sim->arena, "{\"service\":\"%s\",\"force\":true}",
					       cell->name + strlen("service/")))->cell = cell;
	cell_begin(sim, cell, S("gone"));
}

static void check_service(struct sim *sim, const struct cell *cell, const struct snapshot *snapshot)
{
	struct str name = str_of(cell->name + strlen("service/")), actual = S("gone");

	EACH_OBJECT(snapshot, SERVICE, service, record)
		if (str_equal(record->name, name) && record->status == SERVICE_STATUS_ACTIVE)
			actual = service_value(sim, record->desired_count.value,
					       arena_cstr(&sim->arena, record->deployments.items[0].definition));
	cell_check(sim, cell, actual);
}

/* ---- Tasks */

static struct known_task *know_task(struct user *user, struct str id)
{
	struct known_task *known;

	for (size_t i = 0; i < user->tasks.count; i++)
		if (str_equal(user->tasks.items[i]->id, id))
			return user->tasks.items[i];
	known = calloc(1, sizeof(*known));
	if (!known)
		abort();
	known->id = id;
	list_add(&user->tasks, known);
	return known;
}

static void ask_run(struct sim *sim, struct run *run)
{
	run->asked = true;
	ask(sim, "RunTask", arena_printf(&sim->arena, "{\"taskDefinition\":\"%s\",\"count\":%d,\"clientToken\":\"%s\","
					 "\"startedBy\":\"%s\"%s}", run->definition, run->count, run->token, run->token,
					 run->network))->run = run;
}

static void run_task(struct sim *sim)
{
	struct user *user = sim->user;
	const struct definition *definition = choose_definition(sim, false);
	const char *network = definition ? network_of(sim, definition, true) : NULL;
	struct run *run;

	if (!network)
		return;
	run = calloc(1, sizeof(*run));
	if (!run)
		abort();
	list_add(&user->runs, run);
	snprintf(run->token, sizeof(run->token), "token-%zu", user->runs.count);
	snprintf(run->definition, sizeof(run->definition), "%s", definition->name);
	run->count = 1 + (int)below(sim, 3);
	run->network = network;
	ask_run(sim, run);
}

static void repeat_run(struct sim *sim)
{
	struct user *user = sim->user;
	struct run *run = user->runs.count ? user->runs.items[below(sim, user->runs.count)] : NULL;

	if (run && !run->asked && !run->refused)
		ask_run(sim, run);
}

static bool has_id(const struct run *run, struct str id)
{
	for (size_t i = 0; i < run->ids.count; i++)
		if (str_equal(run->ids.items[i], id))
			return true;
	return false;
}

static void run_answered(struct sim *sim, struct run *run, const struct ecs_run_task_response *output)
{
	if (!run->answered && output->tasks.count + output->failures.count != (size_t)run->count &&
	    output->failures.count == 0)
		violation(sim, "an answer accounts for all", "%s gave %zu tasks of %d", run->token, output->tasks.count,
			  run->count);
	for (size_t i = 0; i < output->tasks.count; i++) {
		struct str id = arena_copy(&sim->arena, last_part(output->tasks.items[i].task_arn));

		know_task(sim->user, id);
		if (!run->answered)
			list_add(&run->ids, id);
		else if (!has_id(run, id))
			violation(sim, "a client token runs once", "%s gave %.*s only the second time", run->token, STR(id));
	}
	if (run->answered && output->tasks.count != run->ids.count)
		violation(sim, "a client token runs once", "%s gave %zu tasks, then %zu", run->token, run->ids.count,
			  output->tasks.count);
	run->answered = true;
}

static void check_run(struct sim *sim, const struct run *run, const struct snapshot *snapshot)
{
	size_t found = 0;

	EACH_OBJECT(snapshot, TASK, task, record) {
		if (!str_equal(record->started_by, str_of(run->token)))
			continue;
		found++;
		if (run->answered && !has_id(run, record->id))
			violation(sim, "a client token runs once", "%s also made %.*s", run->token, STR(record->id));
	}
	if (run->answered && found != run->ids.count)
		violation(sim, "acknowledged is durable", "%s was answered with %zu tasks, %zu are there", run->token,
			  run->ids.count, found);
	if (found > (size_t)run->count)
		violation(sim, "a client token runs once", "%s made %zu tasks", run->token, found);
}

static struct known_task *choose_task(struct sim *sim)
{
	struct user *user = sim->user;

	return user->tasks.count ? user->tasks.items[below(sim, user->tasks.count)] : NULL;
}

static void start_task(struct sim *sim)
{
	const struct definition *definition = choose_definition(sim, false);
	struct str arn = agent_instance_arn(sim->machines[below(sim, sim->machine_count)]->agent);
	const char *network = definition ? network_of(sim, definition, false) : NULL;

	if (network && str_has(arn))
		ask(sim, "StartTask", arena_printf(&sim->arena, "{\"taskDefinition\":\"%s\",\"containerInstances\":[\"%.*s\"]%s}",
						   definition->name, STR(arn), network));
}

static void task_started(struct sim *sim, const struct ecs_start_task_response *output)
{
	for (size_t i = 0; i < output->tasks.count; i++)
		know_task(sim->user, arena_copy(&sim->arena, last_part(output->tasks.items[i].task_arn)));
}

static void stop_task(struct sim *sim)
{
	struct known_task *task = choose_task(sim);

	if (task)
		ask(sim, "StopTask", arena_printf(&sim->arena, "{\"task\":\"%.*s\",\"reason\":\"enough\"}",
						  STR(task->id)))->task = task;
}

static void describe_tasks(struct sim *sim)
{
	struct known_task *task = choose_task(sim);

	if (task)
		ask(sim, "DescribeTasks", arena_printf(&sim->arena, "{\"tasks\":[\"%.*s\"]}", STR(task->id)));
}

static void list_tasks(struct sim *sim)
{
	ask(sim, "ListTasks", chance(sim, 500) ? S("{}") : S("{\"desiredStatus\":\"STOPPED\"}"));
}

static void tasks_listed(struct sim *sim, const struct ecs_list_tasks_response *output)
{
	for (size_t i = 0; i < output->task_arns.count; i++)
		know_task(sim->user, arena_copy(&sim->arena, last_part(output->task_arns.items[i])));
}

/* Reads, too, are answered from what is durable: a task never goes back behind what was seen of it. */
static void tasks_described(struct sim *sim, const struct ecs_describe_tasks_response *output)
{
	for (size_t i = 0; i < output->tasks.count; i++) {
		const struct ecs_task *task = &output->tasks.items[i];
		struct known_task *known = know_task(sim->user, arena_copy(&sim->arena, last_part(task->task_arn)));

		known->version = MAX(known->version, task->version.value);
		known->seen_stopped |= str_equal(task->last_status, S("STOPPED"));
	}
}

static void check_task(struct sim *sim, const struct known_task *known, const struct snapshot *snapshot)
{
	const struct task *task = NULL;

	EACH_OBJECT(snapshot, TASK, task, record)
		if (str_equal(record->id, known->id))
			task = record;
	if (!task)
		violation(sim, "acknowledged is durable", "task %.*s was answered and is not there", STR(known->id));
	else if (known->stop_promised && task->desired_status != ECS_DESIRED_STATUS_STOPPED)
		violation(sim, "acknowledged is durable", "task %.*s was promised to stop and is not", STR(known->id));
	else if (known->seen_stopped && task->last_status != TASK_STATUS_STOPPED)
		violation(sim, "acknowledged is durable", "task %.*s was seen STOPPED and is not", STR(known->id));
	else if (task->version.value < known->version)
		violation(sim, "acknowledged is durable", "task %.*s was seen at version %lld and is at %lld", STR(known->id),
			  (long long)known->version, (long long)task->version.value);
}

/* ---- Container instances */

static struct cell *choose_instance(struct sim *sim, struct str *ret_id)
{
	struct machine *machine = sim->machines[below(sim, sim->machine_count)];
	struct str arn = agent_instance_arn(machine->agent);
	struct cell *cell;

	if (!str_has(arn))
		return NULL;
	*ret_id = arena_copy(&sim->arena, last_part(arn));
	cell = cell_get(sim->user, arena_printf(&sim->arena, "instance/%.*s", STR(*ret_id)), "ACTIVE");
	return cell->busy ? NULL : cell;
}

static void update_state(struct sim *sim)
{
	struct str id, state = chance(sim, 400) ? S("DRAINING") : S("ACTIVE");
	struct cell *cell = choose_instance(sim, &id);

	if (!cell)
		return;
	ask(sim, "UpdateContainerInstancesState",
	    arena_printf(&sim->arena, "{\"containerInstances\":[\"%.*s\"],\"status\":\"%.*s\"}", STR(id), STR(state)))->cell = cell;
	cell_begin(sim, cell, state);
}

static void deregister(struct sim *sim)
{
	struct str id;
	struct cell *cell = choose_instance(sim, &id);

	if (!cell)
		return;
	ask(sim, "DeregisterContainerInstance",
	    arena_printf(&sim->arena, "{\"containerInstance\":\"%.*s\",\"force\":%s}", STR(id),
			 chance(sim, 500) ? "true" : "false"))->cell = cell;
	cell_begin(sim, cell, S("INACTIVE"));
}

static void check_instance(struct sim *sim, const struct cell *cell, const struct snapshot *snapshot)
{
	struct str id = str_of(cell->name + strlen("instance/")), actual = S("INACTIVE");

	EACH_OBJECT(snapshot, CONTAINER_INSTANCE, container_instance, record)
		if (str_equal(record->id, id))
			actual = shape_word_text(&shape_instance_status, (int32_t)record->status);
	cell_check(sim, cell, actual);
}

/* ---- One thing at a time */

static const struct { unsigned weight; bool calm; void (*act)(struct sim *sim); } acts[] = {
	{ 8, true, register_definition }, { 8, true, create_service }, { 14, true, update_service },
	{ 3, true, delete_service },      { 14, true, run_task },      { 2, true, repeat_run },
	{ 8, false, stop_task },          { 4, true, describe_tasks }, { 3, true, list_tasks },
	{ 4, false, update_state },       { 1, false, deregister },    { 3, true, start_task },
	{ 2, true, deregister_definition }, { 2, true, create_cluster }, { 1, true, delete_cluster },
};

void user_act(struct sim *sim)
{
	unsigned total = 0, chosen;

	for (size_t i = 0; i < COUNT(acts); i++)
		total += acts[i].weight;
	chosen = (unsigned)below(sim, total);
	for (size_t i = 0; i < COUNT(acts); i++) {
		if (chosen < acts[i].weight) {
			if (acts[i].calm || !sim->bounds_watched)
				acts[i].act(sim);
			return;
		}
		chosen -= acts[i].weight;
	}
}

static void take_output(struct sim *sim, const struct asked *asked, const struct operation *operation, const void *output)
{
	if (asked->run)
		run_answered(sim, asked->run, output);
	if (asked->task)
		asked->task->stop_promised = true;
	if (operation->api == &api_ec2) {
		subnets_learnt(sim, output);
		return;
	}
	if (operation->index == ECS_OPERATION_REGISTER_TASK_DEFINITION)
		definition_registered(sim, output);
	if (operation->index == ECS_OPERATION_DESCRIBE_TASKS)
		tasks_described(sim, output);
	if (operation->index == ECS_OPERATION_START_TASK)
		task_started(sim, output);
	if (operation->index == ECS_OPERATION_LIST_TASKS)
		tasks_listed(sim, output);
}

/* A call about an instance may succeed and say inside that it did nothing. */
static bool is_refused_inside(const struct operation *operation, const void *output)
{
	const struct ecs_update_container_instances_state_response *state = output;

	return operation->api == &api_ecs && operation->index == ECS_OPERATION_UPDATE_CONTAINER_INSTANCES_STATE && state->failures.count;
}

void user_answer(struct sim *sim, uint64_t ticket, const struct operation *operation, struct answer answer)
{
	struct user *user = sim->user;
	enum error_code error = answer.error;
	struct asked asked = {0};
	auto_arena arena = {0};
	struct json_fault fault;
	void *output = NULL;

	for (size_t i = 0; i < user->asked.count; i++) {
		if (user->asked.items[i].ticket != ticket)
			continue;
		asked = user->asked.items[i];
		list_remove_at(&user->asked, i);
		break;
	}
	if (error)
		trace(sim, "user: %.*s: %.*s: %.*s", STR(operation->name), STR(error_wire_name(error)), STR(answer.text));
	else if (!json_decode(operation->output, answer.text, &arena, &output, &fault))
		violation(sim, "answers are well formed", "%s in %.*s", fault.error.text, STR(answer.text));
	else
		trace(sim, "user: %.*s is answered", STR(operation->name));
	if (asked.run)
		asked.run->asked = false;
	if (asked.run && error == ERROR_NETWORK)
		ask_run(sim, asked.run);
	else if (asked.run && error)
		asked.run->refused = true;
	if (output)
		take_output(sim, &asked, operation, output);
	if (asked.cell)
		cell_end(asked.cell, output && is_refused_inside(operation, output) ? ERROR_INVALID_PARAMETER : error);
}

void user_check(struct sim *sim, const struct snapshot *snapshot)
{
	static const struct {
		struct str prefix;
		void (*check)(struct sim *sim, const struct cell *cell, const struct snapshot *snapshot);
	} kinds[] = {
		{ STR_INIT("service/"), check_service },       { STR_INIT("instance/"), check_instance },
		{ STR_INIT("definition/"), check_definition }, { STR_INIT("cluster/"), check_cluster },
	};
	const struct user *user = sim->user;

	if (!user)
		return;
	for (size_t i = 0; i < user->definitions.count; i++)
		if (!snapshot_find(snapshot, RECORD_TASK_DEFINITION,
				   arena_printf(&sim->arena, "000000000000/us-east-1/%s", user->definitions.items[i].name)))
			violation(sim, "acknowledged is durable", "task definition %s is not there",
				  user->definitions.items[i].name);
	for (size_t i = 0; i < user->cells.count; i++)
		for (size_t kind = 0; kind < COUNT(kinds); kind++)
			if (str_starts(str_of(user->cells.items[i]->name), kinds[kind].prefix))
				kinds[kind].check(sim, user->cells.items[i], snapshot);
	for (size_t i = 0; i < user->runs.count; i++)
		check_run(sim, user->runs.items[i], snapshot);
	for (size_t i = 0; i < user->tasks.count; i++)
		check_task(sim, user->tasks.items[i], snapshot);
}
