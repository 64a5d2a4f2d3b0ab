/* credentials.c - the AWS shared-credentials file: [profile] lines and key = value below them. */
#include "client/client.h"
#include "os/file.h"

enum { CREDENTIALS_BYTES_LIMIT = 1 << 20 };

static bool is_section(struct str line, struct str *ret_name)
{
	if (line.len < 2 || line.ptr[0] != '[' || line.ptr[line.len - 1] != ']')
		return false;
	*ret_name = str_trim(str_slice(line, 1, line.len - 1));
	return true;
}

static void take_line(struct str line, struct str *key_id, struct str *secret)
{
	struct str name = STR_NONE, rest = line;

	if (!str_cut(&rest, '=', &name) || !str_has(rest))
		return;
	name = str_trim(name);
	if (str_equal(name, S("aws_access_key_id")))
		*key_id = str_trim(rest);
	else if (str_equal(name, S("aws_secret_access_key")))
		*secret = str_trim(rest);
}

bool client_read_credentials(struct str path, struct str profile, struct arena *arena, struct str *ret_key_id,
			     struct str *ret_secret, struct error *err)
{
	struct str text, line, section = STR_NONE, key_id = STR_NONE, secret = STR_NONE;

	if (!file_read(AT_FDCWD, arena_cstr(arena, path), CREDENTIALS_BYTES_LIMIT, arena, &text, err))
		return fail_context(err, "read credentials");
	while (str_cut(&text, '\n', &line)) {
		line = str_trim(line);
		if (!is_section(line, &section) && str_equal(section, profile))
			take_line(line, &key_id, &secret);
	}
	if (str_empty(key_id) || str_empty(secret))
		return fail(err, ERROR_NOT_FOUND, "'%.*s' has no keys of profile '%.*s'", STR(path), STR(profile));
	*ret_key_id = key_id;
	*ret_secret = secret;
	return true;
}
