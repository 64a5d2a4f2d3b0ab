/* Frames of an agent: no message over the limit, nothing after the end, the same whatever the
 * pieces. The first byte says how large the pieces are. */
#include <assert.h>
#include "server/websocket.h"

enum { MESSAGE_LIMIT = 4096 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct summary {
	uint64_t hash;
	size_t messages;
};

static void on_message(void *self, struct str text)
{
	struct summary *summary = self;

	assert(text.len <= MESSAGE_LIMIT);
	summary->hash = str_hash(text, summary->hash);
	summary->messages++;
}

static struct summary read_all(struct str text, size_t piece)
{
	struct summary summary = {0};
	struct websocket *websocket = websocket_new(MESSAGE_LIMIT, on_message, &summary);

	for (size_t at = 0; at < text.len; at += piece)
		if (!websocket_read(websocket, str_slice(text, at, at + piece)))
			break;
	websocket_send(websocket, S("after"));
	websocket_close(websocket, 1001, S(""));
	websocket_free(websocket);
	return summary;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str text = {(const char *)data + 1, size - 1};
	struct summary whole, pieces;
	auto_arena arena = {0};

	if (size < 2)
		return 0;
	websocket_accept(text, &arena);
	whole = read_all(text, text.len);
	pieces = read_all(text, 1 + data[0] % 64);
	assert(whole.messages == pieces.messages);
	assert(whole.hash == pieces.hash);
	return 0;
}
