#include "api/efs_handlers.h"
#include "control/efs/state.h"
#include "control/paging.h"

static void describe(struct call *call, const struct access_point *point, struct efs_access_point_description *out)
{
	*out = (struct efs_access_point_description){
		.client_token = point->client_token,
		.name = efs_name_tag(&point->tags),
		.tags = point->tags,
		.access_point_id = point->id,
		.access_point_arn = efs_arn(call, S("access-point"), point->id),
		.file_system_id = point->file_system,
		.posix_user = point->posix_user,
		.root_directory = point->root_directory,
		.owner_id = call->realm->account,
		.life_cycle_state = EFS_LIFE_CYCLE_STATE_AVAILABLE,
	};
	if (!out->tags.items)
		out->tags.items = arena_array(call->arena, struct efs_tag, 0);
}

/* "/a/b": up to four names, none of which begins with a dot or has what shells and patterns know. */
static bool is_path(struct str path)
{
	struct str rest = str_slice(path, 1, path.len), name;
	int depth = 0;

	if (!str_starts(path, S("/")))
		return false;
	if (path.len == 1)
		return true;
	while (str_cut(&rest, '/', &name)) {
		if (!name.len || name.ptr[0] == '.' || ++depth > EFS_PATH_DEPTH_LIMIT)
			return false;
		for (size_t i = 0; i < name.len; i++)
			if (memchr("$#<>;`|&?{}^*\n\0", name.ptr[i], 15))
				return false;
	}
	return true;
}

static bool is_octal(struct str text)
{
	for (size_t i = 0; i < text.len; i++)
		if (text.ptr[i] < '0' || text.ptr[i] > '7')
			return false;
	return true;
}

static bool check_root(struct call *call, const struct efs_root_directory *root)
{
	if (!root)
		return true;
	if (str_has(root->path) && !is_path(root->path))
		return fail(&call->error, ERROR_EFS_BAD_REQUEST,
			    "Invalid path '%.*s': it must be absolute and have at most %d plain names.",
			    STR(root->path), EFS_PATH_DEPTH_LIMIT);
	if (root->creation_info && !is_octal(root->creation_info->permissions))
		return efs_refuse(call, "Permissions must be an octal number.");
	return true;
}

static bool check_token(struct call *call, struct str token)
{
	struct sorted_node *node = sorted_get(&call->realm->access_point_tokens, token);
	const struct access_point *other;

	if (!node)
		return true;
	other = CONTAINER_OF(node, struct access_point_entry, by_token)->record;
	call->resource_ids.items = arena_new(call->arena, struct str);
	call->resource_ids.items[0] = other->id;
	call->resource_ids.count = 1;
	return fail(&call->error, ERROR_EFS_ACCESS_POINT_ALREADY_EXISTS,
		    "Access point '%.*s' already exists with client token '%.*s'", STR(other->id), STR(token));
}

static struct efs_root_directory *settled_root(struct call *call, const struct efs_root_directory *asked)
{
	struct efs_root_directory *root = arena_new(call->arena, struct efs_root_directory);

	if (asked)
		*root = *asked;
	if (!str_has(root->path))
		root->path = S("/");
	return root;
}

bool efs_create_access_point(struct call *call, const struct efs_create_access_point_request *in,
			     struct efs_access_point_description *out)
{
	struct file_system_entry *file_system = efs_need_file_system(call, in->file_system_id);
	struct access_point next = {
		.client_token = in->client_token, .created_at = {plane_now(call->plane), true},
		.posix_user = in->posix_user, .root_directory = settled_root(call, in->root_directory), .tags = in->tags,
	};

	if (!file_system || !check_token(call, in->client_token) || !efs_check_tags(call, &in->tags) ||
	    !check_root(call, in->root_directory))
		return false;
	if (file_system->access_points.count >= EFS_ACCESS_POINTS_LIMIT)
		return fail(&call->error, ERROR_EFS_ACCESS_POINT_LIMIT_EXCEEDED,
			    "The file system has the maximum number of access points (%d).", EFS_ACCESS_POINTS_LIMIT);
	next.id = efs_new_id(call, S("fsap"));
	next.file_system = file_system->record->id;
	emit(call->plane, call->realm, RECORD_ACCESS_POINT, next.id, &next);
	describe(call, &next, out);
	out->life_cycle_state = EFS_LIFE_CYCLE_STATE_CREATING;
	return true;
}

bool efs_delete_access_point(struct call *call, const struct efs_delete_access_point_request *in,
			     struct efs_delete_access_point_response *out)
{
	struct access_point_entry *point = efs_need_access_point(call, in->access_point_id);

	if (!point)
		return false;
	emit(call->plane, call->realm, RECORD_ACCESS_POINT, arena_copy(call->arena, entry_id(&point->entry)), NULL);
	return true;
}

static bool describe_one(struct call *call, struct str id, struct efs_describe_access_points_response *out)
{
	struct access_point_entry *point = efs_need_access_point(call, id);

	if (!point)
		return false;
	out->access_points.items = arena_new(call->arena, struct efs_access_point_description);
	out->access_points.count = 1;
	describe(call, point->record, out->access_points.items);
	return true;
}

/* Those of a file system lie in its own tree, with nodes of their own. */
static bool describe_many(struct call *call, const struct efs_describe_access_points_request *in,
			  const struct file_system_entry *file_system, struct efs_describe_access_points_response *out)
{
	struct page_request request = {
		.list = ARENA_JOIN(call->arena, S("DescribeAccessPoints/"), file_system ? file_system->record->id : S("")),
		.token = in->next_token, .max_results = in->max_results,
	};
	struct page page;

	if (!efs_page(call, file_system ? &file_system->access_points : &call->realm->access_points, &request, &page))
		return false;
	out->access_points.items = arena_array(call->arena, struct efs_access_point_description, page.count);
	out->access_points.count = page.count;
	for (size_t i = 0; i < page.count; i++) {
		const struct access_point_entry *point =
			file_system ? CONTAINER_OF(page.nodes[i], struct access_point_entry, of_file_system) :
				      CONTAINER_OF(page.nodes[i], struct access_point_entry, by_id);

		describe(call, point->record, &out->access_points.items[i]);
	}
	out->next_token = page.next_token;
	return true;
}

bool efs_describe_access_points(struct call *call, const struct efs_describe_access_points_request *in,
				struct efs_describe_access_points_response *out)
{
	struct file_system_entry *file_system = NULL;

	if (str_has(in->access_point_id) && str_has(in->file_system_id))
		return efs_refuse(call, "Only one of AccessPointId and FileSystemId can be given.");
	if (str_has(in->access_point_id))
		return describe_one(call, in->access_point_id, out);
	if (str_has(in->file_system_id)) {
		file_system = efs_need_file_system(call, in->file_system_id);
		if (!file_system)
			return false;
	}
	return describe_many(call, in, file_system, out);
}
