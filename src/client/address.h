/* address.h - http(s)://host[:port][/path][?query], taken apart. */
#pragma once
#include "base/arena.h"
#include "base/error.h"

enum { ADDRESS_BYTES_LIMIT = 8192 };

struct address {
	bool tls;
	struct str authority;                            /* as written: what Host says */
	struct str host, port;                           /* host without the brackets of IPv6 */
	struct str path, query;                          /* "/" when there is none; query without '?', may be empty */
};

/* Slices of a copy in `arena`. */
bool address_parse(struct str url, struct arena *arena, struct address *ret_address, struct error *err);
bool address_is_here(const struct address *address);     /* this machine: no proxy */
