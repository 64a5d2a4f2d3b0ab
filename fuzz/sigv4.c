/* Any bytes as the head of a signed request: lines "Name: value", the first is "METHOD path?query". */
#include <stdlib.h>
#include "wire/sigv4.h"

enum { HEADERS_LIMIT = 100 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_target(struct str line, struct sigv4_request *request)
{
	size_t space = str_find(line, ' ');
	struct str target = str_slice(line, space + 1, line.len);
	size_t mark = str_find(target, '?');

	request->method = str_slice(line, 0, space);
	request->path = str_slice(target, 0, mark);
	request->query = str_slice(target, mark + 1, target.len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str rest = {(const char *)data, size}, line = S("");
	struct sigv4_header headers[HEADERS_LIMIT];
	struct sigv4_request request = {.headers = headers, .body = S("{}")};
	struct sigv4 *sigv4 = sigv4_new();
	auto_arena arena = {0};
	struct sigv4_claim claim;
	struct error err;

	str_cut(&rest, '\n', &line);
	read_target(line, &request);
	while (request.header_count < HEADERS_LIMIT && str_cut(&rest, '\n', &line)) {
		size_t colon = str_find(line, ':');

		headers[request.header_count++] = (struct sigv4_header){
			str_slice(line, 0, colon), str_slice(line, colon + 1, line.len)};
	}
	if (sigv4_read(&request, &arena, &claim, &err))
		sigv4_verify(sigv4, &request, &claim, S("secret"), claim.service, true, 1440938160 * USEC_PER_SEC,
			     &arena, &err);
	sigv4_free(sigv4);
	return 0;
}
