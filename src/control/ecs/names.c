#include <assert.h>
#include "control/call.h"
#include "control/ecs/state.h"

static struct str arn(struct plane *plane, const struct realm *realm, struct str type, struct str id)
{
	return ARENA_JOIN(plane_arena(plane), S("arn:aws:ecs:"), realm->region, S(":"), realm->account, S(":"), type, S("/"), id);
}

struct str ecs_arn(struct plane *plane, const struct realm *realm, const char *format, ...)
{
	struct arena *arena = plane_arena(plane);
	struct str rest;
	va_list args;

	va_start(args, format);
	rest = arena_vprintf(arena, format, args);
	va_end(args);
	return ARENA_JOIN(arena, S("arn:aws:ecs:"), realm->region, S(":"), realm->account, S(":"), rest);
}

struct str cluster_arn(struct plane *plane, const struct cluster_entry *cluster)
{
	return arn(plane, cluster->realm, S("cluster"), cluster->record->name);
}

struct str instance_arn(struct plane *plane, const struct instance_entry *instance)
{
	return arn(plane, instance->realm, S("container-instance"), entry_id(&instance->entry));
}

struct str service_arn(struct plane *plane, const struct service_entry *service)
{
	return arn(plane, service->realm, S("service"), entry_id(&service->entry));
}

struct str task_arn(struct plane *plane, const struct task_entry *task)
{
	return arn(plane, task->realm, S("task"), entry_id(&task->entry));
}

struct str container_arn(struct plane *plane, const struct task_entry *task, struct str container_id)
{
	struct arena *arena = plane_arena(plane);

	return arn(plane, task->realm, S("container"),
		   ARENA_JOIN(arena, entry_id(&task->entry), S("/"), container_id));
}

struct str definition_arn(struct plane *plane, const struct definition_entry *definition)
{
	return arn(plane, definition->realm, S("task-definition"), entry_id(&definition->entry));
}

/* A NUL would end the text where names are printed, and find what stands before it. */
static bool is_text(struct str identifier)
{
	return str_find(identifier, '\0') == identifier.len;
}

static bool is_arn(struct str identifier)
{
	return str_starts(identifier, S("arn:"));
}

/* What stands behind "arn:PART:ecs:REG:ACCT:TYPE/"; absent when account, region or type differ. */
static struct str arn_rest(const struct realm *realm, struct str arn, struct str type)
{
	struct str rest = arn, piece[5];

	for (size_t i = 0; i < COUNT(piece); i++)
		if (!str_cut(&rest, ':', &piece[i]))
			return STR_NONE;
	if (!str_has(rest) || !str_equal(piece[2], S("ecs")) || !str_equal(piece[3], realm->region) ||
	    !str_equal(piece[4], realm->account))
		return STR_NONE;
	if (!str_starts(rest, type) || rest.len <= type.len || rest.ptr[type.len] != '/')
		return STR_NONE;
	return str_slice(rest, type.len + 1, rest.len);
}

bool find_agent_cluster(struct call *call, struct str identifier, bool must_be_active, struct cluster_entry **ret_cluster)
{
	struct str name = str_empty(identifier) ? S("default") : identifier;
	struct cluster_entry *cluster;

	if (!is_text(name))
		return fail(&call->error, ERROR_INVALID_PARAMETER, "Invalid identifier.");
	if (is_arn(name)) {
		name = arn_rest(call->realm, name, S("cluster"));
		if (!str_has(name))
			return fail(&call->error, ERROR_INVALID_PARAMETER, "Invalid identifier: %.*s", STR(identifier));
	}
	cluster = entry_find(call->plane, call->realm, RECORD_CLUSTER, name);
	if (!cluster)
		return fail(&call->error, ERROR_CLUSTER_NOT_FOUND, "Cluster not found.");
	if (must_be_active && cluster->record->status != CLUSTER_STATUS_ACTIVE)
		return fail(&call->error, ERROR_CLUSTER_NOT_FOUND, "The referenced cluster was inactive.");
	*ret_cluster = cluster;
	return true;
}

bool find_cluster(struct call *call, struct str identifier, bool must_be_active, struct cluster_entry **ret_cluster)
{
	struct cluster_entry *cluster;

	if (!find_agent_cluster(call, identifier, must_be_active, &cluster))
		return false;
	if (str_equal(cluster->record->name, POOL_CLUSTER))
		return fail(&call->error, ERROR_CLUSTER_NOT_FOUND, "Cluster not found.");
	*ret_cluster = cluster;
	return true;
}

struct task_entry *find_task_by_arn(struct plane *plane, const struct realm *realm, struct str arn)
{
	struct str id = is_text(arn) ? arn_rest(realm, arn, S("task")) : STR_NONE;

	return str_has(id) ? entry_find(plane, realm, RECORD_TASK, id) : NULL;
}

static bool is_hex(struct str s)
{
	for (size_t i = 0; i < s.len; i++)
		if (!strchr("0123456789abcdefABCDEF", s.ptr[i]))
			return false;
	return s.len > 0;
}

/* Old ids are UUIDs; kept without dashes. */
static struct str plain_id(struct arena *arena, struct str id)
{
	char *plain = arena_alloc_bytes(arena, id.len);
	size_t length = 0;

	for (size_t i = 0; i < id.len; i++)
		if (id.ptr[i] != '-')
			plain[length++] = id.ptr[i];
	if (length != 32 || !is_hex((struct str){plain, length}))
		return id;
	return (struct str){plain, length};
}

struct str identifier_in_cluster(struct call *call, const struct cluster_entry *cluster, struct str type,
				 struct str identifier)
{
	struct str id = identifier;

	if (!is_text(id))
		return STR_NONE;
	if (is_arn(id)) {
		size_t slash;

		id = arn_rest(call->realm, id, type);
		slash = str_find(id, '/');
		if (slash < id.len && !str_equal(str_slice(id, 0, slash), cluster->record->name))
			return STR_NONE;
		if (slash < id.len)
			id = str_slice(id, slash + 1, id.len);
	} else if (str_find(id, '/') < id.len) {
		return STR_NONE;
	}
	if (str_empty(id))
		return STR_NONE;
	return str_equal(type, S("service")) ? id : plain_id(call->arena, id);
}

/* The newest revision that is ACTIVE. */
static struct definition_entry *newest_active(const struct family_entry *family)
{
	for (struct sorted_node *node = sorted_last(&family->revisions); node;
	     node = sorted_before(&family->revisions, node->key)) {
		struct definition_entry *definition = CONTAINER_OF(node, struct definition_entry, by_revision);

		if (definition->record->definition->status == ECS_TASK_DEFINITION_STATUS_ACTIVE)
			return definition;
	}
	return NULL;
}

struct definition_entry *find_definition(struct call *call, struct str identifier)
{
	struct str name = identifier;
	struct family_entry *family;
	uint64_t revision;
	size_t colon;

	if (!is_text(name))
		return NULL;
	if (is_arn(name)) {
		name = arn_rest(call->realm, name, S("task-definition"));
		if (!str_has(name)) {
			fail(&call->error, ERROR_INVALID_PARAMETER, "Invalid identifier: %.*s", STR(identifier));
			return NULL;
		}
	}
	colon = str_find(name, ':');
	if (colon == name.len) {
		family = entry_find(call->plane, call->realm, RECORD_TASK_FAMILY, name);
		return family ? newest_active(family) : NULL;
	}
	if (!str_to_unsigned(str_slice(name, colon + 1, name.len), &revision) || revision == 0 || revision > INT32_MAX) {
		fail(&call->error, ERROR_INVALID_PARAMETER, "Invalid revision number. Number: %.*s",
		     STR(str_slice(name, colon + 1, name.len)));
		return NULL;
	}
	return entry_findf(call->plane, call->realm, RECORD_TASK_DEFINITION, "%.*s:%d", STR(str_slice(name, 0, colon)),
			   (int)revision);
}
