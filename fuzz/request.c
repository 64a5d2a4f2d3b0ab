/* Requests of the local endpoints: whatever the pieces, the same requests come out, within their limits. The first byte
 * says how large the pieces are. */
#include <assert.h>
#include "runner/request.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct summary {
	uint64_t hash;
	size_t requests;
	int status;
};

static void add(struct summary *summary, const struct request *request)
{
	assert(request->method.len > 0);
	assert(request->path.len + request->query.len <= REQUEST_TARGET_LIMIT);
	assert(request->body.len <= REQUEST_BODY_LIMIT);
	assert(!memchr(request->path.ptr, '\0', request->path.len));
	summary->hash = str_hash(request->path, str_hash(request->method, summary->hash));
	summary->hash = str_hash(request->body, str_hash(request->query, summary->hash));
	summary->requests++;
	request_query(request->query, S("id"));
}

static struct summary read_all(struct str text, size_t piece)
{
	struct request_reader reader = {0};
	struct summary summary = {0};
	struct request request;
	size_t at = 0, used;

	request_begin(&reader);
	while (at < text.len && !summary.status) {
		struct str bytes = str_slice(text, at, at + piece);
		enum request_outcome outcome = request_read(&reader, bytes, &used, &request);

		assert(used <= bytes.len);
		at += used;
		if (outcome == REQUEST_DONE) {
			add(&summary, &request);
			request_begin(&reader);
		} else if (outcome == REQUEST_REFUSED) {
			summary.status = reader.status;
			assert(summary.status >= 400);
		} else {
			assert(used > 0);
		}
	}
	request_fini(&reader);
	return summary;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str text = {(const char *)data + 1, size ? size - 1 : 0};
	struct summary whole, pieces;

	if (size < 2)
		return 0;
	whole = read_all(text, text.len);
	pieces = read_all(text, (size_t)data[0] % 64 + 1);
	assert(whole.requests == pieces.requests);
	assert(whole.hash == pieces.hash);
	assert((whole.status != 0) == (pieces.status != 0));
	return 0;
}
