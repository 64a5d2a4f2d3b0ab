#include "control/paging.h"
#include <inttypes.h>
#include "wire/base64.h"

enum { LIST_HASH_DIGITS = 16 };

bool page_refuse_token(struct call *call)
{
	return fail(&call->error, ERROR_INVALID_PARAMETER, "Invalid token.");
}

bool page_size(struct call *call, struct maybe_integer max_results, int32_t fallback, int32_t limit,
	       size_t *ret_size)
{
	int32_t size = max_results.has ? max_results.value : fallback;

	if (size < 1 || size > limit)
		return fail(&call->error, ERROR_INVALID_PARAMETER,
			    "maxResults must be between 1 and %d", limit);
	*ret_size = (size_t)size;
	return true;
}

static struct str list_hash(struct call *call, struct str list)
{
	return arena_printf(call->arena, "%016" PRIx64, str_hash(list, 0));
}

static struct str token_make(struct call *call, struct str list, struct str key)
{
	auto_buffer text = {0};

	base64_encode(arena_printf(call->arena, "%.*s%.*s", STR(list_hash(call, list)), STR(key)),
		      &text);
	return arena_copy(call->arena, buffer_str(&text));
}

/* False: it is none, or of another list. */
static bool token_read(struct call *call, struct str list, struct str token, struct str *ret_key)
{
	struct str bytes;

	if (token.len > PAGE_TOKEN_BYTES_LIMIT || !base64_decode(token, call->arena, &bytes) ||
	    !str_starts(bytes, list_hash(call, list)))
		return false;
	*ret_key = str_slice(bytes, LIST_HASH_DIGITS, bytes.len);
	return true;
}

static struct sorted_node *step(const struct sorted *tree, const struct page_request *request, struct str key)
{
	return request->descending ? sorted_before(tree, key) : sorted_after(tree, key);
}

/* Where the page begins; its first node may still not fit. */
static bool page_start(struct call *call, const struct sorted *tree,
		       const struct page_request *request, struct sorted_node **ret_node)
{
	struct str key;

	if (str_empty(request->token)) {
		*ret_node = request->descending	      ? sorted_last(tree)
			    : str_has(request->prefix) ? sorted_at_or_after(tree, request->prefix)
						       : sorted_first(tree);
		return true;
	}
	if (!token_read(call, request->list, request->token, &key))
		return page_refuse_token(call);
	*ret_node = step(tree, request, key);
	return true;
}

bool page_take(struct call *call, const struct sorted *tree, const struct page_request *request,
	       struct page *ret_page)
{
	struct page page = {0};
	struct sorted_node *node;
	size_t size;

	if (!page_size(call, request->max_results, request->fallback, request->limit, &size) ||
	    !page_start(call, tree, request, &node))
		return false;
	page.nodes = arena_array(call->arena, struct sorted_node *, size);
	for (; node; node = step(tree, request, node->key)) {
		bool inside = !str_has(request->prefix) || str_starts(node->key, request->prefix);

		if (!inside && !request->descending)
			break;
		if (!inside || (request->fits && !request->fits(node, request->arg)))
			continue;
		if (page.count == size) {
			page.next_token = token_make(call, request->list, page.nodes[size - 1]->key);
			break;
		}
		page.nodes[page.count++] = node;
	}
	*ret_page = page;
	return true;
}
