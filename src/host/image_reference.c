/* The grammar of image references, as docker's clients read them. */
#include "host/image_private.h"

enum { REPOSITORY_LIMIT = 255, TAG_LIMIT = 128, DIGEST_LEN = 7 + 64 };

static bool is_small(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }
static bool is_letter(char c) { return is_small(c) || (c >= 'A' && c <= 'Z'); }

/* strchr alone would find the NUL that ends `set`. */
static bool is_one_of(char c, const char *set) { return c != '\0' && strchr(set, c); }

bool is_digest(struct str text)
{
	if (text.len != DIGEST_LEN || !str_starts(text, S("sha256:")))
		return false;
	for (size_t i = 7; i < text.len; i++)
		if (!is_small(text.ptr[i]) || text.ptr[i] > 'f')
			return false;
	return true;
}

static bool is_tag(struct str tag)
{
	if (str_empty(tag) || tag.len > TAG_LIMIT || tag.ptr[0] == '.' || tag.ptr[0] == '-')
		return false;
	for (size_t i = 0; i < tag.len; i++)
		if (!is_letter(tag.ptr[i]) && !is_one_of(tag.ptr[i], "_.-"))
			return false;
	return true;
}

/* How long the separator at `text` is: one `.`, one or two `_`, any number of `-`; 0: none. */
static size_t separator_len(struct str text)
{
	size_t len = 0;

	if (str_starts(text, S(".")))
		return 1;
	if (str_starts(text, S("_")))
		return str_starts(text, S("__")) ? 2 : 1;
	while (len < text.len && text.ptr[len] == '-')
		len++;
	return len;
}

static bool is_path_part(struct str part)
{
	size_t i = 0;

	if (str_empty(part) || !is_small(part.ptr[0]) || !is_small(part.ptr[part.len - 1]))
		return false;
	while (i < part.len) {
		size_t skip = is_small(part.ptr[i]) ? 1 : separator_len(str_slice(part, i, part.len));

		if (skip == 0 || (skip + i < part.len && !is_small(part.ptr[i]) && !is_small(part.ptr[i + skip])))
			return false;
		i += skip;
	}
	return true;
}

static bool is_repository(struct str path)
{
	struct str part;

	if (str_empty(path) || path.len > REPOSITORY_LIMIT)
		return false;
	while (str_cut(&path, '/', &part))
		if (!is_path_part(part))
			return false;
	return true;
}

static bool is_port(struct str port)
{
	uint64_t value;

	return port.len <= 5 && str_to_unsigned(port, &value) && value > 0 && value < 65536;
}

static bool is_host_name(struct str name)
{
	for (size_t i = 0; i < name.len; i++)
		if (!is_letter(name.ptr[i]) && !is_one_of(name.ptr[i], ".-"))
			return false;
	return name.len > 0 && is_letter(name.ptr[0]) && is_letter(name.ptr[name.len - 1]);
}

static bool is_ip6(struct str name)
{
	if (!str_starts(name, S("[")) || !str_ends(name, S("]")) || name.len < 4)
		return false;
	for (size_t i = 1; i + 1 < name.len; i++)
		if (!is_one_of(name.ptr[i], "0123456789abcdefABCDEF:."))
			return false;
	return true;
}

static bool is_registry(struct str host)
{
	size_t end = str_starts(host, S("[")) ? str_find(host, ']') + 1 : str_find(host, ':');
	struct str name = str_slice(host, 0, end), port = str_slice(host, end, host.len);

	if (!is_host_name(name) && !is_ip6(name))
		return false;
	return str_empty(port) || (port.ptr[0] == ':' && is_port(str_slice(port, 1, port.len)));
}

/* The first part is a registry when it looks like a host and could not be a user of docker.io. */
static bool looks_like_registry(struct str part)
{
	for (size_t i = 0; i < part.len; i++)
		if (part.ptr[i] == '.' || part.ptr[i] == ':' || (part.ptr[i] >= 'A' && part.ptr[i] <= 'Z'))
			return true;
	return str_equal(part, S("localhost"));
}

/* Docker Hub's names are one. */
static struct str registry_named(struct str host)
{
	bool hub = str_equal_ignoring_case(host, S("index.docker.io")) || str_equal_ignoring_case(host, S("registry-1.docker.io"));

	return hub ? S("docker.io") : host;
}

bool image_registry_parse(struct str text, struct str *ret_registry)
{
	static const struct str schemes[] = {STR_INIT("https://"), STR_INIT("http://")};
	struct str host = text;

	for (size_t i = 0; i < COUNT(schemes); i++)
		if (str_starts(text, schemes[i]))
			host = str_slice(text, schemes[i].len, text.len);
	host = str_slice(host, 0, str_find(host, '/'));
	if (!is_registry(host))
		return false;
	*ret_registry = registry_named(host);
	return true;
}

const struct image_login *image_login_find(const struct image_logins *logins, struct str name, struct arena *arena)
{
	struct image_reference reference;

	if (!image_reference_parse(name, arena, &reference, NULL))
		return NULL;
	for (size_t i = 0; i < logins->count; i++)
		if (str_equal_ignoring_case(logins->items[i].registry, reference.registry))
			return &logins->items[i].login;
	return NULL;
}

static bool malformed(struct str text, const char *why, struct error *err)
{
	return fail(err, ERROR_INVALID_PARAMETER, "invalid reference format%s: '%.*s'", why,
		    (int)MIN(text.len, 200), text.ptr ? text.ptr : "");
}

static bool has_upper_case(struct str text)
{
	for (size_t i = 0; i < text.len; i++)
		if (text.ptr[i] >= 'A' && text.ptr[i] <= 'Z')
			return true;
	return false;
}

/* Takes "@digest" and ":tag" off the end of *rest. */
static bool ends_take(struct str *rest, struct image_reference *reference)
{
	size_t at = str_find(*rest, '@'), colon;

	if (at < rest->len) {
		reference->digest = str_slice(*rest, at + 1, rest->len);
		*rest = str_slice(*rest, 0, at);
	}
	colon = str_find_last(*rest, ':');
	if (colon < rest->len && str_find(str_slice(*rest, colon, rest->len), '/') == rest->len - colon) {
		reference->tag = str_slice(*rest, colon + 1, rest->len);
		*rest = str_slice(*rest, 0, colon);
	}
	return (!str_has(reference->tag) || is_tag(reference->tag)) &&
	       (!str_has(reference->digest) || is_digest(reference->digest));
}

bool image_reference_parse(struct str text, struct arena *arena, struct image_reference *ret_reference,
			   struct error *err)
{
	struct image_reference reference = {.registry = S("docker.io")};
	struct str rest = text;
	size_t slash;

	if (text.len > IMAGE_NAME_LIMIT)
		return fail(err, ERROR_INVALID_PARAMETER, "image name is longer than %d bytes", IMAGE_NAME_LIMIT);
	if (!ends_take(&rest, &reference))
		return malformed(text, "", err);
	slash = str_find(rest, '/');
	if (slash < rest.len && looks_like_registry(str_slice(rest, 0, slash))) {
		reference.registry = str_slice(rest, 0, slash);
		rest = str_slice(rest, slash + 1, rest.len);
	}
	reference.registry = registry_named(reference.registry);
	reference.repository = rest;
	if (str_equal(reference.registry, S("docker.io")) && str_find(rest, '/') == rest.len && !str_empty(rest))
		reference.repository = arena_printf(arena, "library/%.*s", STR(rest));
	if (!is_registry(reference.registry) || !is_repository(reference.repository))
		return malformed(text, has_upper_case(rest) ? ": repository name must be lowercase" : "", err);
	if (!str_has(reference.tag) && !str_has(reference.digest))
		reference.tag = S("latest");
	*ret_reference = reference;
	return true;
}

struct str reference_text(const struct image_reference *reference, struct arena *arena)
{
	return arena_printf(arena, "%.*s/%.*s%s%.*s%s%.*s", STR(reference->registry), STR(reference->repository),
			    str_has(reference->tag) ? ":" : "", STR(reference->tag),
			    str_has(reference->digest) ? "@" : "", STR(reference->digest));
}
