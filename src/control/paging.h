/* paging.h - lists that are read page by page (ecs-behaviour 13.1).
 *
 * A page goes on after the key that its token carries, so tokens stay good while things come and go. A token
 * is opaque and remembers its list: one that was made by another operation or with other filters is refused. */
#pragma once
#include "control/call.h"

enum { PAGE_TOKEN_BYTES_LIMIT = 4096 };

struct page_request {
	struct str list;                                 /* operation and filters as text */
	struct str token;
	struct maybe_integer max_results;
	int32_t fallback, limit;                         /* without maxResults; its highest value */
	struct str prefix;                               /* only keys that begin so; absent: all */
	bool descending;                                 /* from the last key to the first */
	bool (*fits)(const struct sorted_node *node, const void *arg);   /* NULL: all */
	const void *arg;
};

struct page {
	struct sorted_node **nodes;                      /* in the call's arena */
	size_t count;
	struct str next_token;                           /* absent on the last page */
};

/* The next slice of `tree`; fails with InvalidParameterException on a bad token or size. */
bool page_take(struct call *call, const struct sorted *tree, const struct page_request *request,
	       struct page *ret_page);

/* For lists that cannot be one sorted index. */
bool page_size(struct call *call, struct maybe_integer max_results, int32_t fallback, int32_t limit, size_t *ret_size);
bool page_refuse_token(struct call *call);               /* false, with AWS's error */
