#include "control/ecs/state.h"
#include <assert.h>
#include <stdio.h>
#include "control/ec2/state.h"
#include "control/ecs/clusters.h"
#include "control/ecs/definitions.h"
#include "control/ecs/placement.h"
#include "control/ecs/services.h"
#include "control/ecs/sessions.h"
#include "control/ecs/tasks.h"
#include "control/efs/state.h"
#include "control/internal.h"
#include "control/logs/state.h"

/* Takes the next piece of an entry's id: "CLUSTER/NAME" → CLUSTER, then NAME. */
static struct str next_piece(struct str *rest)
{
	struct str piece = STR_NONE;

	str_cut(rest, '/', &piece);
	return piece;
}

static struct str last_piece(const struct entry *entry)
{
	struct str id = entry_id(entry);

	return str_slice(id, str_find_last(id, '/') + 1, id.len);
}

static struct cluster_entry *cluster_of(struct plane *plane, const struct entry *entry)
{
	struct str rest = entry_id(entry);
	struct cluster_entry *cluster = entry_find(plane, entry->realm, RECORD_CLUSTER, next_piece(&rest));

	assert(cluster);
	return cluster;
}

static void nothing(struct plane *plane, struct entry *entry)
{
}

/* ---- clusters */
static void cluster_wake(struct plane *plane, struct wake *wake)
{
	struct cluster_entry *cluster = CONTAINER_OF(wake, struct cluster_entry, wake);

	if (cluster_ends_at(cluster) != USEC_NEVER && !cluster_settle(plane, cluster))
		wake_set(plane, wake, plane_now(plane) + CLUSTER_RETENTION);
}

static void cluster_attach(struct plane *plane, struct entry *entry)
{
	struct cluster_entry *cluster = (struct cluster_entry *)entry;

	chain_init(&cluster->stopped);
	chain_init(&cluster->placement.classes);
	cluster->wake.run = cluster_wake;
	sorted_add(&entry->realm->clusters, &cluster->by_name, entry_id(entry));
}

static void cluster_detach(struct plane *plane, struct entry *entry)
{
	struct cluster_entry *cluster = (struct cluster_entry *)entry;

	placement_cluster_gone(plane, cluster);
	wake_clear(plane, &cluster->wake);
	sorted_remove(&entry->realm->clusters, &cluster->by_name);
}

static void cluster_add(struct plane *plane, struct entry *entry)
{
	struct cluster_entry *cluster = (struct cluster_entry *)entry;

	wake_clear(plane, &cluster->wake);
	if (cluster_ends_at(cluster) != USEC_NEVER)
		wake_set(plane, &cluster->wake, cluster_ends_at(cluster));
}

/* ---- task definitions */
static void family_attach(struct plane *plane, struct entry *entry)
{
	struct family_entry *family = (struct family_entry *)entry;

	sorted_add(&entry->realm->families, &family->by_name, entry_id(entry));
}

static void family_detach(struct plane *plane, struct entry *entry)
{
	sorted_remove(&entry->realm->families, &((struct family_entry *)entry)->by_name);
}

static void definition_wake(struct plane *plane, struct wake *wake)
{
	struct definition_entry *definition = CONTAINER_OF(wake, struct definition_entry, wake);

	if (!definition_settle(plane, definition))
		wake_set(plane, wake, plane_now(plane) + DEFINITION_RETENTION);
}

static void definition_attach(struct plane *plane, struct entry *entry)
{
	struct definition_entry *definition = (struct definition_entry *)entry;
	const struct ecs_task_definition *value = definition->record->definition;

	definition->family = entry_find(plane, entry->realm, RECORD_TASK_FAMILY, value->family);
	assert(definition->family);
	definition->wake.run = definition_wake;
	snprintf(definition->revision_key, sizeof(definition->revision_key), "%010d", value->revision.value);
	sorted_add(&definition->family->revisions, &definition->by_revision, str_of(definition->revision_key));
}

static void definition_detach(struct plane *plane, struct entry *entry)
{
	struct definition_entry *definition = (struct definition_entry *)entry;

	wake_clear(plane, &definition->wake);
	sorted_remove(&definition->family->revisions, &definition->by_revision);
}

static void definition_add(struct plane *plane, struct entry *entry)
{
	struct definition_entry *definition = (struct definition_entry *)entry;

	if (definition_ends_at(definition) != USEC_NEVER)
		wake_set(plane, &definition->wake, definition_ends_at(definition));
}

/* ---- nodes and instances */
static void node_attach(struct plane *plane, struct entry *entry)
{
	chain_init(&((struct node_entry *)entry)->memberships);
}

static void node_detach(struct plane *plane, struct entry *entry)
{
	list_fini(&((struct node_entry *)entry)->ports);
	list_fini(&((struct node_entry *)entry)->gpus);
}

/* Its totals may change while tasks are booked: only the difference moves. */
static void node_add(struct plane *plane, struct entry *entry)
{
	struct node_entry *node = (struct node_entry *)entry;

	node->cpu_free += node->record->cpu.value;
	node->memory_free += node->record->memory.value;
}

static void node_remove(struct plane *plane, struct entry *entry)
{
	struct node_entry *node = (struct node_entry *)entry;

	node->cpu_free -= node->record->cpu.value;
	node->memory_free -= node->record->memory.value;
}

static void instance_attach(struct plane *plane, struct entry *entry)
{
	struct instance_entry *instance = (struct instance_entry *)entry;

	instance->cluster = cluster_of(plane, entry);
	instance->node = entry_find(plane, entry->realm, RECORD_NODE, instance->record->node);
	assert(instance->node);
	chain_init(&instance->tasks);
	chain_init(&instance->candidates);
	chain_append(&instance->node->memberships, &instance->of_node);
	instance->silent_since = plane_now(plane);
	instance->wake.run = instance_wake;
	sorted_add(&instance->cluster->instances, &instance->by_id, last_piece(entry));
	placement_instance_new(plane, instance);
}

static void instance_detach(struct plane *plane, struct entry *entry)
{
	struct instance_entry *instance = (struct instance_entry *)entry;

	assert(chain_empty(&instance->tasks));
	placement_instance_gone(plane, instance);
	wake_clear(plane, &instance->wake);
	link_remove(&instance->of_node);
	sorted_remove(&instance->cluster->instances, &instance->by_id);
}

static void instance_add(struct plane *plane, struct entry *entry)
{
	placement_instance_changed(plane, (struct instance_entry *)entry);
}

/* ---- services and their events */
static void service_attach(struct plane *plane, struct entry *entry)
{
	struct service_entry *service = (struct service_entry *)entry;

	service->cluster = cluster_of(plane, entry);
	chain_init(&service->tasks);
	service->wake.run = service_wake;
	sorted_add(&service->cluster->services, &service->by_name, last_piece(entry));
}

static void service_detach(struct plane *plane, struct entry *entry)
{
	struct service_entry *service = (struct service_entry *)entry;

	placement_wait_end(service);
	wake_clear(plane, &service->wake);
	sorted_remove(&service->cluster->services, &service->by_name);
}

static void service_use_definitions(struct plane *plane, struct entry *entry, int change)
{
	const struct service *service = ((struct service_entry *)entry)->record;

	for (size_t i = 0; i < service->deployments.count; i++) {
		struct definition_entry *definition = entry_find(plane, entry->realm, RECORD_TASK_DEFINITION,
								 service->deployments.items[i].definition);

		if (definition)
			definition->used_by += (uint32_t)change;
	}
}

static void service_add(struct plane *plane, struct entry *entry) { service_use_definitions(plane, entry, 1); }
static void service_remove(struct plane *plane, struct entry *entry) { service_use_definitions(plane, entry, -1); }

static void event_attach(struct plane *plane, struct entry *entry)
{
	struct event_entry *event = (struct event_entry *)entry;

	event->service = entry_findf(plane, entry->realm, RECORD_SERVICE, "%.*s/%.*s",
				     STR(event->record->cluster), STR(event->record->service));
	assert(event->service);
	snprintf(event->number_key, sizeof(event->number_key), "%020lld", (long long)event->record->number.value);
	sorted_add(&event->service->events, &event->by_number, str_of(event->number_key));
}

static void event_detach(struct plane *plane, struct entry *entry)
{
	struct event_entry *event = (struct event_entry *)entry;

	sorted_remove(&event->service->events, &event->by_number);
}

/* ---- tasks */
static void task_wake(struct plane *plane, struct wake *wake);

static void count_task(struct task_counts *counts, const struct task *task, int change)
{
	bool pending = task->last_status == TASK_STATUS_PROVISIONING || task->last_status == TASK_STATUS_PENDING;

	counts->live += change;
	counts->running += task->last_status == TASK_STATUS_RUNNING ? change : 0;
	counts->pending += pending ? change : 0;
}

/* What a task's change means for its instance is told once, when the ledger has its new value: between `remove` and
 * `add` there is room that nobody can have. */
static void tell_placement(struct plane *plane, struct task_entry *task)
{
	struct instance_entry *was = task->was_on, *is = task->instance;

	task->was_on = NULL;
	if (was && was != is)
		placement_task_changed(plane, was, task->cluster, task->record->group, -1);
	if (is)
		placement_task_changed(plane, is, task->cluster, task->record->group, was == is ? 0 : 1);
}

static void task_attach(struct plane *plane, struct entry *entry)
{
	struct task_entry *task = (struct task_entry *)entry;

	task->cluster = cluster_of(plane, entry);
	task->definition = entry_find(plane, entry->realm, RECORD_TASK_DEFINITION, task->record->definition);
	if (task->definition)
		task->definition->used_by++;
	task->wake.run = task_wake;
	sorted_add(&task->cluster->tasks, &task->by_id, last_piece(entry));
}

static void task_detach(struct plane *plane, struct entry *entry)
{
	struct task_entry *task = (struct task_entry *)entry;

	tell_placement(plane, task);
	wake_clear(plane, &task->wake);
	if (task->definition)
		task->definition->used_by--;
	sorted_remove(&task->cluster->tasks, &task->by_id);
}

static bool is_hidden(const struct task *task)
{
	return task->launch_type == ECS_LAUNCH_TYPE_FARGATE;
}

static void book_ports(struct node_entry *node, const struct numbers *ports, bool udp)
{
	for (size_t i = 0; i < ports->count; i++)
		list_add(&node->ports, ((struct port_booking){ports->items[i].value, udp}));
}

static void release_ports(struct node_entry *node, const struct numbers *ports, bool udp)
{
	for (size_t i = 0; i < ports->count; i++) {
		size_t at = 0;

		while (at < node->ports.count &&
		       (node->ports.items[at].port != ports->items[i].value || node->ports.items[at].udp != udp))
			at++;
		assert(at < node->ports.count);
		list_remove_at(&node->ports, at);
	}
}

static void release_gpus(struct node_entry *node, const struct strings *gpus)
{
	for (size_t i = 0; i < gpus->count; i++) {
		size_t at = 0;

		while (at < node->gpus.count && !str_equal(node->gpus.items[at], gpus->items[i]))
			at++;
		assert(at < node->gpus.count);
		list_remove_at(&node->gpus, at);
	}
}

static void task_book(struct plane *plane, struct task_entry *task)
{
	const struct task *record = task->record;
	struct str cluster = str_has(record->instance_cluster) ? record->instance_cluster : record->cluster;
	struct node_entry *node;

	task->instance = entry_findf(plane, task->realm, RECORD_CONTAINER_INSTANCE, "%.*s/%.*s", STR(cluster),
				     STR(record->instance));
	assert(task->instance);
	node = task->instance->node;
	chain_append(&task->instance->tasks, &task->on_instance);
	node->cpu_free -= record->cpu.value;
	node->memory_free -= record->memory.value;
	book_ports(node, &record->tcp_ports, false);
	book_ports(node, &record->udp_ports, true);
	for (size_t i = 0; i < record->gpus.count; i++)
		list_add(&node->gpus, record->gpus.items[i]);
	count_task(&task->instance->counts, record, 1);
	if (is_hidden(record))
		count_task(&task->instance->fargate_counts, record, 1);
}

static void task_release(struct task_entry *task)
{
	const struct task *record = task->record;
	struct node_entry *node = task->instance->node;

	count_task(&task->instance->counts, record, -1);
	if (is_hidden(record))
		count_task(&task->instance->fargate_counts, record, -1);
	link_remove(&task->on_instance);
	node->cpu_free += record->cpu.value;
	node->memory_free += record->memory.value;
	release_ports(node, &record->tcp_ports, false);
	release_ports(node, &record->udp_ports, true);
	release_gpus(node, &record->gpus);
}

static void task_add(struct plane *plane, struct entry *entry)
{
	struct task_entry *task = (struct task_entry *)entry;
	const struct task *record = task->record;

	if (!task_is_live(record)) {
		chain_append(&task->cluster->stopped, &task->in_stopped);
		task->cluster->stopped_count++;
		wake_clear(plane, &task->wake);
		wake_set(plane, &task->wake, record->stopped_at.value + plane_options(plane)->task_retention);
		if (task->cluster->stopped_count > plane_options(plane)->task_history_limit && !plane_is_restoring(plane))
			wake_set(plane, &CONTAINER_OF(task->cluster->stopped.next, struct task_entry, in_stopped)->wake,
				 plane_now(plane));
		tell_placement(plane, task);
		return;
	}
	count_task(&task->cluster->counts, record, 1);
	count_task(&task->cluster->counts_by_launch_type[record->launch_type], record, 1);
	if (str_has(record->service)) {
		task->service = entry_findf(plane, task->realm, RECORD_SERVICE, "%.*s/%.*s", STR(record->cluster),
					    STR(record->service));
		assert(task->service);
		chain_append(&task->service->tasks, &task->of_service);
		count_task(&task->service->counts, record, 1);
	}
	if (str_has(record->instance))
		task_book(plane, task);
	tell_placement(plane, task);
}

static void task_remove(struct plane *plane, struct entry *entry)
{
	struct task_entry *task = (struct task_entry *)entry;
	const struct task *record = task->record;
	struct instance_entry *instance = task->instance;

	if (!task_is_live(record)) {
		link_remove(&task->in_stopped);
		task->cluster->stopped_count--;
		return;
	}
	count_task(&task->cluster->counts, record, -1);
	count_task(&task->cluster->counts_by_launch_type[record->launch_type], record, -1);
	if (task->service) {
		count_task(&task->service->counts, record, -1);
		link_remove(&task->of_service);
		task->service = NULL;
	}
	if (instance) {
		task_release(task);
		task->instance = NULL;
		task->was_on = instance;
	}
}

/* History ends: after plane_options.task_retention, or when the cluster holds too much of it. */
static void task_wake(struct plane *plane, struct wake *wake)
{
	struct task_entry *task = CONTAINER_OF(wake, struct task_entry, wake);

	if (!task_is_live(task->record))
		emit(plane, task->realm, RECORD_TASK, entry_id(&task->entry), NULL);
	else if (task->service)
		service_touch(plane, task->service);
}

/* ---- account settings and client tokens */
static void setting_attach(struct plane *plane, struct entry *entry)
{
	sorted_add(&entry->realm->settings, &((struct setting_entry *)entry)->by_key, entry_id(entry));
}

static void setting_detach(struct plane *plane, struct entry *entry)
{
	sorted_remove(&entry->realm->settings, &((struct setting_entry *)entry)->by_key);
}

static void token_wake(struct plane *plane, struct wake *wake)
{
	struct token_entry *token = CONTAINER_OF(wake, struct token_entry, wake);

	emit(plane, token->realm, RECORD_CLIENT_TOKEN, entry_id(&token->entry), NULL);
}

static void token_attach(struct plane *plane, struct entry *entry)
{
	struct token_entry *token = (struct token_entry *)entry;

	token->wake.run = token_wake;
	wake_set(plane, &token->wake, token->record->created_at.value + 24 * 3600 * USEC_PER_SEC);
}

static void token_detach(struct plane *plane, struct entry *entry)
{
	wake_clear(plane, &((struct token_entry *)entry)->wake);
}

const struct entry_kind entry_kinds[RECORD_KIND_LIMIT] = {
	[RECORD_CLUSTER] = {&shape_cluster, sizeof(struct cluster_entry), cluster_attach, cluster_detach,
			    cluster_add, nothing},
	[RECORD_TASK_FAMILY] = {&shape_task_family, sizeof(struct family_entry), family_attach, family_detach,
				nothing, nothing},
	[RECORD_TASK_DEFINITION] = {&shape_task_definition, sizeof(struct definition_entry), definition_attach,
				    definition_detach, definition_add, nothing},
	[RECORD_NODE] = {&shape_node, sizeof(struct node_entry), node_attach, node_detach, node_add, node_remove},
	[RECORD_CONTAINER_INSTANCE] = {&shape_container_instance, sizeof(struct instance_entry), instance_attach,
				       instance_detach, instance_add, nothing},
	[RECORD_SERVICE] = {&shape_service, sizeof(struct service_entry), service_attach, service_detach,
			    service_add, service_remove},
	[RECORD_SERVICE_EVENT] = {&shape_service_event, sizeof(struct event_entry), event_attach, event_detach,
				  nothing, nothing},
	[RECORD_TASK] = {&shape_task, sizeof(struct task_entry), task_attach, task_detach, task_add, task_remove},
	[RECORD_ACCOUNT_SETTING] = {&shape_account_setting, sizeof(struct setting_entry), setting_attach,
				    setting_detach, nothing, nothing},
	[RECORD_CLIENT_TOKEN] = {&shape_client_token, sizeof(struct token_entry), token_attach, token_detach,
				 nothing, nothing},
	EC2_ENTRY_KINDS,
	EFS_ENTRY_KINDS,
	LOGS_ENTRY_KINDS,
};

/* ---- everything agrees with everything */
static void check_instance(const struct instance_entry *instance)
{
	struct task_counts counts = {0};
	int64_t cpu = instance->node->record->cpu.value, memory = instance->node->record->memory.value;
	struct task_counts hidden = {0};
	size_t ports = 0, gpus = 0;

	CHAIN_EACH(&instance->node->memberships, struct instance_entry, of_node, member)
		CHAIN_EACH(&member->tasks, struct task_entry, on_instance, task) {
			assert(task->instance == member);
			assert(task_is_live(task->record));
			cpu -= task->record->cpu.value;
			memory -= task->record->memory.value;
			ports += task->record->tcp_ports.count + task->record->udp_ports.count;
			gpus += task->record->gpus.count;
		}
	CHAIN_EACH(&instance->tasks, struct task_entry, on_instance, task) {
		count_task(&counts, task->record, 1);
		if (is_hidden(task->record))
			count_task(&hidden, task->record, 1);
	}
	assert(gpus == instance->node->gpus.count);
	assert(memcmp(&hidden, &instance->fargate_counts, sizeof(hidden)) == 0);
	assert(cpu == instance->node->cpu_free);
	assert(memory == instance->node->memory_free);
	assert(ports == instance->node->ports.count);
	assert(memcmp(&counts, &instance->counts, sizeof(counts)) == 0);
}

static void check_service(const struct service_entry *service)
{
	struct task_counts counts = {0};

	CHAIN_EACH(&service->tasks, struct task_entry, of_service, task) {
		assert(task->service == service);
		count_task(&counts, task->record, 1);
	}
	assert(memcmp(&counts, &service->counts, sizeof(counts)) == 0);
}

static void check_cluster(const struct cluster_entry *cluster)
{
	struct task_counts counts = {0};
	size_t stopped = 0;

	SORTED_EACH(&cluster->tasks, struct task_entry, by_id, task) {
		assert(task->cluster == cluster);
		if (!task_is_live(task->record)) {
			stopped++;
			continue;
		}
		count_task(&counts, task->record, 1);
		assert(str_has(task->record->instance) == (task->instance != NULL));
		assert(str_has(task->record->service) == (task->service != NULL));
	}
	assert(stopped == cluster->stopped_count);
	assert(memcmp(&counts, &cluster->counts, sizeof(counts)) == 0);
	SORTED_EACH(&cluster->instances, struct instance_entry, by_id, instance)
		check_instance(instance);
	SORTED_EACH(&cluster->services, struct service_entry, by_name, service)
		check_service(service);
	placement_check(cluster);
}

void ecs_check(const struct plane *plane)
{
	struct realm *realm;

	for (size_t cursor = 0; (realm = plane_next_realm(plane, &cursor));) {
		SORTED_EACH(&realm->clusters, struct cluster_entry, by_name, cluster)
			check_cluster(cluster);
		placement_check_pool(realm);
	}
}

void ecs_statistics(const struct plane *plane, struct plane_statistics *ret_statistics)
{
	struct plane_statistics *sum = ret_statistics;
	struct realm *realm;

	for (size_t cursor = 0; (realm = plane_next_realm(plane, &cursor));)
		SORTED_EACH(&realm->clusters, struct cluster_entry, by_name, cluster) {
			sum->clusters += cluster->record->status == CLUSTER_STATUS_ACTIVE &&
					 !str_equal(cluster->record->name, POOL_CLUSTER);
			sum->instances += cluster->instances.count;
			sum->services += cluster->services.count;
			sum->tasks += cluster->tasks.count;
			sum->running += (uint64_t)cluster->counts.running;
			sum->pending += (uint64_t)cluster->counts.pending;
			SORTED_EACH(&cluster->instances, struct instance_entry, by_id, instance)
				sum->connected += instance->session != NULL;
			SORTED_EACH(&cluster->services, struct service_entry, by_name, service)
				sum->waiting += service->waiting != NULL;
		}
}
