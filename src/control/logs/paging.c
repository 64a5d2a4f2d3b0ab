#include "control/logs/paging.h"
#include "control/paging.h"

static struct sorted_node *step(const struct sorted *tree, const struct logs_page_request *request, struct str key)
{
	return request->descending ? sorted_before(tree, key) : sorted_after(tree, key);
}

static bool find_start(struct call *call, const struct sorted *tree, const struct logs_page_request *request,
		       struct sorted_node **ret_node)
{
	struct str key;

	if (!str_has(request->token)) {
		*ret_node = request->descending	      ? sorted_last(tree)
			    : str_has(request->prefix) ? sorted_at_or_after(tree, request->prefix)
						       : sorted_first(tree);
		return true;
	}
	if (!page_token_read(call, request->list, request->token, &key))
		return fail(&call->error, ERROR_INVALID_PARAMETER, "The specified nextToken is invalid.");
	*ret_node = step(tree, request, key);
	return true;
}

bool logs_page_take(struct call *call, const struct sorted *tree, const struct logs_page_request *request,
		    struct logs_page *ret_page)
{
	struct logs_page page = {.nodes = arena_array(call->arena, struct sorted_node *, request->size)};
	struct sorted_node *node;

	if (!find_start(call, tree, request, &node))
		return false;
	for (; node; node = step(tree, request, node->key)) {
		bool inside = !str_has(request->prefix) || str_starts(node->key, request->prefix);

		if (!inside && !request->descending)
			break;
		if (!inside || (request->fits && !request->fits(node, request->arg)))
			continue;
		if (page.count == request->size) {
			page.next_token = page_token_make(call, request->list, page.nodes[page.count - 1]->key);
			break;
		}
		page.nodes[page.count++] = node;
	}
	*ret_page = page;
	return true;
}
