/* HTTP heads and bodies: whatever the pieces, the same requests come out, and none of them holds
 * what the front must never see. The first byte says how large the pieces are. */
#include <assert.h>
#include <stdlib.h>
#include "server/http.h"

enum { BODY_LIMIT = 4096 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct summary {
	uint64_t hash;
	size_t requests;
	int status;
};

static void add(struct summary *summary, struct str s)
{
	summary->hash = str_hash(s, summary->hash);
}

static void check(struct summary *summary, const struct http_request *request)
{
	assert(request->method.len > 0);
	assert(request->body.len <= BODY_LIMIT);
	assert(http_header_count(request, S("host")) <= 1);
	assert(http_header_count(request, S("content-length")) == 0 ||
	       http_header_count(request, S("transfer-encoding")) == 0);
	add(summary, request->method);
	add(summary, request->path);
	add(summary, request->query);
	for (size_t i = 0; i < request->header_count; i++) {
		struct str name = request->headers[i].name, value = request->headers[i].value;

		assert(name.len > 0 && !memchr(name.ptr, ' ', name.len) &&
		       !memchr(name.ptr, '\0', name.len));
		assert(value.len == 0 || (!memchr(value.ptr, '\n', value.len) &&
					  !memchr(value.ptr, '\0', value.len)));
		add(summary, name);
		add(summary, value);
	}
	add(summary, buffer_str(&request->body));
	summary->requests++;
}

static struct summary read_all(struct str text, size_t piece)
{
	struct http_reader reader;
	struct http_request request = {0};
	struct summary summary = {0};
	size_t at = 0, used;

	http_reader_init(&reader, BODY_LIMIT);
	while (at < text.len && !summary.status) {
		struct str bytes = str_slice(text, at, at + piece);
		enum http_outcome outcome = http_read(&reader, &request, bytes, &used);

		assert(used <= bytes.len);
		assert(used > 0 || outcome == HTTP_READ_REFUSED);
		at += used;
		if (outcome == HTTP_READ_REFUSED)
			summary.status = reader.status;
		if (outcome == HTTP_READ_REQUEST) {
			auto_arena arena = {0};

			http_query(&request, S("clusterArn"), &arena);
			check(&summary, &request);
			http_request_reset(&request);
		}
	}
	http_request_fini(&request);
	http_reader_fini(&reader);
	return summary;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str text = {(const char *)data + 1, size - 1};
	struct summary whole, pieces;

	if (size < 2)
		return 0;
	whole = read_all(text, text.len);
	pieces = read_all(text, 1 + data[0] % 64);
	assert(whole.requests == pieces.requests);
	assert(whole.hash == pieces.hash);
	assert(whole.status == pieces.status);
	return 0;
}
