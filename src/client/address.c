#include "client/address.h"

static bool take_scheme(struct str *rest, struct address *address)
{
	if (str_starts(*rest, S("https://")))
		address->tls = true;
	else if (!str_starts(*rest, S("http://")))
		return false;
	*rest = str_slice(*rest, address->tls ? 8 : 7, rest->len);
	return true;
}

static bool take_host(struct address *address)
{
	struct str authority = address->authority;
	size_t end = str_find(authority, ']');
	int64_t port;

	address->port = address->tls ? S("443") : S("80");
	if (authority.len && authority.ptr[0] == '[') {
		if (end == authority.len)
			return false;
		address->host = str_slice(authority, 1, end);
		authority = str_slice(authority, end + 1, authority.len);
		end = 0;
	} else {
		end = str_find(authority, ':');
		address->host = str_slice(authority, 0, end);
	}
	if (end < authority.len) {
		if (authority.ptr[end] != ':')
			return false;
		address->port = str_slice(authority, end + 1, authority.len);
	}
	return !str_empty(address->host) && str_to_long(address->port, &port) && port > 0 && port < 65536;
}

bool address_parse(struct str url, struct arena *arena, struct address *ret_address, struct error *err)
{
	struct address address = {0};
	struct str rest = arena_copy(arena, url);
	size_t slash, question;

	if (url.len > ADDRESS_BYTES_LIMIT)
		return fail(err, ERROR_INVALID_PARAMETER, "a URL of %zu bytes is too long", url.len);
	if (!take_scheme(&rest, &address))
		return fail(err, ERROR_INVALID_PARAMETER, "'%.*s' does not begin with http:// or https://", STR(url));
	question = str_find(rest, '?');
	address.query = question < rest.len ? str_slice(rest, question + 1, rest.len) : S("");
	rest = str_slice(rest, 0, question);
	slash = str_find(rest, '/');
	address.path = slash < rest.len ? str_slice(rest, slash, rest.len) : S("/");
	address.authority = str_slice(rest, 0, slash);
	if (!take_host(&address))
		return fail(err, ERROR_INVALID_PARAMETER, "'%.*s' has no good host and port", STR(url));
	*ret_address = address;
	return true;
}

bool address_is_here(const struct address *address)
{
	return str_equal(address->host, S("localhost")) || str_starts(address->host, S("127.")) ||
	       str_equal(address->host, S("::1"));
}
