#include "host/user.h"
#include <errno.h>
#include "os/fd.h"
#include "os/file.h"

#define ID_GREATEST INT64_C(0xfffffffe)

/* Absent when there is none: images need no such files. */
static bool read_inside(int root, const char *path, struct arena *arena, struct str *ret_text, struct error *err)
{
	auto_fd fd = file_open_inside(root, path, O_RDONLY | O_NONBLOCK | O_NOCTTY);

	*ret_text = STR_NONE;
	if (fd < 0)
		return errno == ENOENT || errno == ENOTDIR || fail_os(err, errno, "open the image's %s", path);
	if (!file_read_fd(fd, USER_FILE_LIMIT, arena, ret_text, err))
		return fail_context(err, "the image's %s", path);
	return true;
}

static bool is_number(struct str text, int64_t *ret_id)
{
	return str_to_long(text, ret_id) && *ret_id >= 0 && *ret_id <= ID_GREATEST;
}

struct passwd_row { struct str name, home; int64_t uid, gid; };
struct group_row { struct str name, members; int64_t gid; };

/* "name:password:uid:gid:comment:home:shell" */
static bool parse_passwd(struct str line, struct passwd_row *row)
{
	struct str fields[6] = {{0}};

	for (size_t i = 0; i < COUNT(fields); i++)
		if (!str_cut(&line, ':', &fields[i]))
			return false;
	row->name = fields[0];
	row->home = fields[5];
	return is_number(fields[2], &row->uid) && is_number(fields[3], &row->gid);
}

/* "name:password:gid:member,member" */
static bool parse_group(struct str line, struct group_row *row)
{
	struct str fields[3] = {{0}};

	for (size_t i = 0; i < COUNT(fields); i++)
		if (!str_cut(&line, ':', &fields[i]))
			return false;
	row->name = fields[0];
	row->members = line;
	return is_number(fields[2], &row->gid);
}

static bool find_passwd(struct str text, struct str wanted, struct passwd_row *ret_row)
{
	struct passwd_row row;
	struct str line;
	int64_t uid = -1;
	bool number = is_number(wanted, &uid);

	while (str_cut(&text, '\n', &line))
		if (parse_passwd(line, &row) && (str_equal(row.name, wanted) || (number && row.uid == uid))) {
			*ret_row = row;
			return true;
		}
	return false;
}

static bool find_group(struct str text, struct str wanted, int64_t *ret_gid, struct error *err)
{
	struct group_row row;
	struct str line;

	if (is_number(wanted, ret_gid))
		return true;
	while (str_cut(&text, '\n', &line))
		if (parse_group(line, &row) && str_equal(row.name, wanted)) {
			*ret_gid = row.gid;
			return true;
		}
	return fail(err, ERROR_REFUSED, "unable to find group %.*s: no matching entries in group file",
		    STR(wanted));
}

static bool is_member(struct str members, struct str name)
{
	struct str member;

	while (str_cut(&members, ',', &member))
		if (str_equal(str_trim(member), name))
			return true;
	return false;
}

static void find_memberships(struct str text, struct str name, struct user *user)
{
	struct group_row row;
	struct str line;

	while (str_cut(&text, '\n', &line))
		if (parse_group(line, &row) && is_member(row.members, name) && row.gid != user->gid &&
		    user->group_count < USER_GROUPS_LIMIT)
			user->groups[user->group_count++] = row.gid;
}

bool user_find(int root, struct str text, struct arena *arena, struct user *ret_user, struct error *err)
{
	struct str passwd, groups, name = STR_NONE, group = text;
	struct user user = {.home = S("/")};
	struct passwd_row row = {.name = STR_NONE};
	bool known;

	if (!read_inside(root, "/etc/passwd", arena, &passwd, err) ||
	    !read_inside(root, "/etc/group", arena, &groups, err))
		return false;
	str_cut(&group, ':', &name);
	if (str_empty(name))
		name = S("0");
	known = find_passwd(passwd, name, &row);
	if (!known && !is_number(name, &user.uid))
		return fail(err, ERROR_REFUSED, "unable to find user %.*s: no matching entries in passwd file",
			    STR(name));
	if (known) {
		user.uid = row.uid;
		user.gid = row.gid;
		user.home = row.home.len > 0 ? row.home : user.home;
	}
	if (!str_empty(group) && !find_group(groups, group, &user.gid, err))
		return false;
	/* The first group is a supplementary one, too, or dropping it would gain what it is denied. */
	user.groups = arena_array(arena, int64_t, USER_GROUPS_LIMIT);
	user.groups[user.group_count++] = user.gid;
	if (str_empty(group) && known)
		find_memberships(groups, row.name, &user);
	*ret_user = user;
	return true;
}
