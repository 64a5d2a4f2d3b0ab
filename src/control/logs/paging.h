/* paging.h - groups and streams page by page, from either end.
 *
 * A page goes on after the key in its token, so tokens stay good while things come and go; a token of another list is
 * refused as AWS does. */
#pragma once
#include "control/call.h"

struct logs_page_request {
	struct str list;                                 /* operation and filters as text */
	struct str token;                                /* absent: the first page */
	size_t size;
	struct str prefix;                               /* only keys that begin so (ascending only); absent: all */
	bool descending;
	bool (*fits)(const struct sorted_node *node, const void *arg);   /* NULL: all */
	const void *arg;
};

struct logs_page {
	struct sorted_node **nodes;                      /* in the call's arena */
	size_t count;
	struct str next_token;                           /* absent on the last page */
};

bool logs_page_take(struct call *call, const struct sorted *tree, const struct logs_page_request *request,
		    struct logs_page *ret_page);
