#include "server/http.h"
#include <stdlib.h>
#include "server/server.h"
#include "wire/percent.h"

enum { BODY_KEPT = 1 << 16 }; /* bytes of a body buffer that are kept for the next */

static int on_url(http_parser *parser, const char *at, size_t length)
{
	struct http_reader *reader = parser->data;

	reader->request->path = (struct str){at, length};
	return 0;
}

/* Trailers come after the head; nobody asked for them. */
static int on_header_field(http_parser *parser, const char *at, size_t length)
{
	struct http_reader *reader = parser->data;

	if (!reader->in_body)
		reader->request->headers[reader->request->header_count++].name =
			(struct str){at, length};
	return 0;
}

static int on_header_value(http_parser *parser, const char *at, size_t length)
{
	struct http_reader *reader = parser->data;
	struct http_request *request = reader->request;

	if (!reader->in_body && request->header_count)
		request->headers[request->header_count - 1].value =
			str_trim((struct str){at, length});
	return 0;
}

static int on_headers_complete(http_parser *parser)
{
	struct http_reader *reader = parser->data;

	reader->in_body = true;
	return 0;
}

static int on_body(http_parser *parser, const char *at, size_t length)
{
	struct http_reader *reader = parser->data;
	struct buffer *body = &reader->request->body;

	if (length > reader->request_limit - body->len) {
		reader->bad_body = true;
		return 1;
	}
	buffer_append(body, at, length);
	return 0;
}

/* Stops the parser, so that what follows is left to the next http_read. */
static int on_message_complete(http_parser *parser)
{
	struct http_reader *reader = parser->data;

	reader->complete = true;
	http_parser_pause(parser, 1);
	return 0;
}

static const http_parser_settings settings = {
	.on_url = on_url,
	.on_header_field = on_header_field,
	.on_header_value = on_header_value,
	.on_headers_complete = on_headers_complete,
	.on_body = on_body,
	.on_message_complete = on_message_complete,
};

static void begin(struct http_reader *reader)
{
	http_parser_init(&reader->parser, HTTP_REQUEST);
	reader->parser.data = reader;
	reader->line_length = reader->lines = 0;
	reader->raw_body = 0;
	reader->after_cr = reader->in_body = reader->complete = reader->bad_body = false;
	buffer_clear(&reader->head);
}

void http_reader_init(struct http_reader *reader, size_t body_limit)
{
	*reader = (struct http_reader){.body_limit = body_limit};
	begin(reader);
}

void http_reader_fini(struct http_reader *reader)
{
	buffer_fini(&reader->head);
}

void http_reader_limit(struct http_reader *reader, size_t limit)
{
	reader->request_limit = MIN(reader->request_limit, limit);
}

bool http_reader_is_idle(const struct http_reader *reader)
{
	return !reader->in_body && reader->lines == 0 && reader->line_length == 0;
}

static enum http_outcome refuse(struct http_reader *reader, int status, const char *reason)
{
	reader->status = status;
	reader->reason = reason;
	return HTTP_READ_REFUSED;
}

/* Looks at one more byte of a head. NULL, or what is wrong with it. */
static const char *scan_byte(struct http_reader *reader, char c, bool *ret_end)
{
	if (reader->after_cr) {
		if (c != '\n')
			return "carriage return without line feed";
		reader->after_cr = false;
		*ret_end = reader->line_length == 0 && reader->lines > 0;
		reader->lines += reader->line_length > 0;
		reader->line_length = 0;
		return NULL;
	}
	if (c == '\r') {
		reader->after_cr = true;
		return NULL;
	}
	if (c == '\n')
		return "line feed without carriage return";
	if (c == '\0')
		return "NUL in head";
	if (reader->line_length == 0 && reader->lines > 0 && (c == ' ' || c == '\t'))
		return "folded header line";
	if (reader->line_length == 0 && reader->lines == 0 && (c < 'A' || c > 'Z'))
		return "not a request line";
	reader->line_length++;
	return NULL;
}

/* How many bytes at the front are nothing special inside a line. */
static size_t plain_run(struct str bytes, size_t limit)
{
	size_t i = 0;

	limit = MIN(limit, bytes.len);
	while (i < limit && bytes.ptr[i] != '\r' && bytes.ptr[i] != '\n' && bytes.ptr[i] != '\0')
		i++;
	return i;
}

/* Takes bytes up to the head's end, or up to the first that breaks a rule: byte by byte, so that it
 * does not matter in which pieces they came. */
static const char *scan_head(struct http_reader *reader, struct str bytes, size_t *ret_used,
			     bool *ret_end, int *ret_status)
{
	const char *problem = NULL;
	size_t i = 0;

	*ret_end = false;
	*ret_status = 400;
	while (i < bytes.len && !*ret_end && !problem) {
		if (reader->line_length && !reader->after_cr) {
			size_t run = plain_run(str_slice(bytes, i, bytes.len),
					       SERVER_HEAD_LIMIT - reader->head.len - i);

			reader->line_length += (uint32_t)run;
			i += run;
			if (i == bytes.len)
				break;
		}
		problem = scan_byte(reader, bytes.ptr[i++], ret_end);
		if (!problem && reader->lines > SERVER_HEADERS_LIMIT + 1) {
			*ret_status = 431;
			problem = "too many headers";
		} else if (!problem && reader->head.len + i > SERVER_HEAD_LIMIT) {
			*ret_status = 431;
			problem = "the request's head is too large";
		}
	}
	*ret_used = i;
	return problem;
}

/* Splits the request target into path and query; absolute form is allowed to any method (RFC
 * 9112 3.2.2). */
static bool split_target(struct http_request *request)
{
	struct str target = request->path;
	size_t mark;

	if (str_starts(target, S("http://")) || str_starts(target, S("https://"))) {
		target = str_slice(target, str_find(target, ':') + 3, target.len);
		for (mark = 0;
		     mark < target.len && target.ptr[mark] != '/' && target.ptr[mark] != '?';)
			mark++;
		target = str_slice(target, mark, target.len);
	} else if (!str_starts(target, S("/")) && !str_equal(request->method, S("CONNECT")) &&
		   !str_equal(target, S("*"))) {
		return false;
	}
	mark = str_find(target, '?');
	request->path = str_slice(target, 0, mark);
	request->query = str_slice(target, mark + 1, target.len);
	return true;
}

/* http_parser as packaged takes "Name : value" and makes the space a part of the name. */
static bool has_odd_name(const struct http_request *request)
{
	for (size_t i = 0; i < request->header_count; i++)
		if (request->headers[i].name.len == 0 ||
		    memchr(request->headers[i].name.ptr, ' ', request->headers[i].name.len))
			return true;
	return false;
}

/* What http_parser lets pass. */
static const char *check_head(const struct http_reader *reader, struct http_request *request,
			      int *ret_status)
{
	struct str coding = http_header(request, S("transfer-encoding"));
	struct str expectation = http_header(request, S("expect"));

	*ret_status = 400;
	if (reader->parser.http_major != 1 || reader->parser.http_minor > 1) {
		*ret_status = 505;
		return "only HTTP/1.0 and HTTP/1.1 are spoken here";
	}
	request->http_1_0 = reader->parser.http_minor == 0;
	if (has_odd_name(request))
		return "white space in a header's name";
	if (http_header_count(request, S("host")) != 1 &&
	    !(request->http_1_0 && http_header_count(request, S("host")) == 0))
		return "exactly one Host header is required";
	if (str_has(coding) && request->http_1_0)
		return "Transfer-Encoding in HTTP/1.0";
	if (str_has(coding) && (http_header_count(request, S("transfer-encoding")) > 1 ||
				!str_equal_ignoring_case(coding, S("chunked")))) {
		*ret_status = 501;
		return "no transfer coding but chunked";
	}
	if (str_has(coding) && http_header_count(request, S("content-length")))
		return "both Content-Length and Transfer-Encoding";
	if (str_has(expectation) && !str_equal_ignoring_case(expectation, S("100-continue"))) {
		*ret_status = 417;
		return "no expectation but 100-continue";
	}
	if (!split_target(request))
		return "the request target is not a path";
	request->wants_continue = str_has(expectation) && !request->http_1_0;
	return NULL;
}

static size_t body_limit_of(const struct http_reader *reader, const struct http_request *request)
{
	if (str_equal(http_header(request, S("x-amz-target")), S("Logs_20140328.PutLogEvents")))
		return MAX(reader->body_limit, (size_t)SERVER_LOGS_BODY_LIMIT);
	return reader->body_limit;
}

static enum http_outcome parse_head(struct http_reader *reader, struct str head)
{
	struct http_request *request = reader->request;
	struct str text = arena_copy(&request->arena, head);
	uint64_t length;
	const char *problem;
	int status;

	request->headers = arena_array(&request->arena, struct sigv4_header, reader->lines);
	http_parser_execute(&reader->parser, &settings, text.ptr, text.len);
	if (!reader->in_body)
		return refuse(reader, 400,
			      http_errno_description(HTTP_PARSER_ERRNO(&reader->parser)));
	request->method = str_of(http_method_str((enum http_method)reader->parser.method));
	problem = check_head(reader, request, &status);
	if (problem)
		return refuse(reader, status, problem);
	length = reader->parser.content_length;
	reader->request_limit = body_limit_of(reader, request);
	if (length != UINT64_MAX && length > reader->request_limit)
		return refuse(reader, 413, "the body is too large");
	reader->request_limit = MIN(reader->request_limit, (uint64_t)length);
	request->upgrade = reader->parser.upgrade && reader->complete;
	if (!reader->complete) {
		if (length != UINT64_MAX)
			buffer_reserve(&request->body, MIN(length, (uint64_t)BODY_KEPT));
		return HTTP_READ_HEAD;
	}
	return HTTP_READ_REQUEST;
}

static enum http_outcome read_head(struct http_reader *reader, struct str bytes, size_t *ret_used)
{
	bool end;
	int status;
	const char *problem = scan_head(reader, bytes, ret_used, &end, &status);
	struct str piece = str_slice(bytes, 0, *ret_used);

	if (problem)
		return refuse(reader, status, problem);
	if (end && reader->head.len == 0)
		return parse_head(reader, piece);
	buffer_add(&reader->head, piece);
	return end ? parse_head(reader, buffer_str(&reader->head)) : HTTP_READ_MORE;
}

static enum http_outcome read_body(struct http_reader *reader, struct str bytes, size_t *ret_used)
{
	size_t before = reader->request->body.len;
	enum http_errno problem;

	*ret_used = http_parser_execute(&reader->parser, &settings, bytes.ptr, bytes.len);
	reader->raw_body += *ret_used - MIN(*ret_used, reader->request->body.len - before);
	problem = HTTP_PARSER_ERRNO(&reader->parser);
	if (reader->bad_body)
		return refuse(reader, 413, "the body is too large");
	if (problem != HPE_OK && problem != HPE_PAUSED)
		return refuse(reader, 400, http_errno_description(problem));
	if (reader->raw_body > HTTP_OVERHEAD_LIMIT)
		return refuse(reader, 413, "too much around the body");
	return reader->complete ? HTTP_READ_REQUEST : HTTP_READ_MORE;
}

enum http_outcome http_read(struct http_reader *reader, struct http_request *request,
			    struct str bytes, size_t *ret_used)
{
	enum http_outcome outcome;

	reader->request = request;
	*ret_used = 0;
	outcome = reader->in_body ? read_body(reader, bytes, ret_used)
				  : read_head(reader, bytes, ret_used);
	if (outcome == HTTP_READ_REQUEST) {
		request->keep_alive = http_should_keep_alive(&reader->parser) != 0;
		begin(reader);
	}
	return outcome;
}

struct str http_header(const struct http_request *request, struct str name)
{
	for (size_t i = 0; i < request->header_count; i++)
		if (str_equal_ignoring_case(request->headers[i].name, name))
			return request->headers[i].value;
	return STR_NONE;
}

size_t http_header_count(const struct http_request *request, struct str name)
{
	size_t count = 0;

	for (size_t i = 0; i < request->header_count; i++)
		count += str_equal_ignoring_case(request->headers[i].name, name);
	return count;
}

struct str http_query(const struct http_request *request, struct str name, struct arena *arena)
{
	struct str rest = request->query, pair;

	while (str_cut(&rest, '&', &pair)) {
		size_t equals = str_find(pair, '=');

		if (str_equal(percent_decode(str_slice(pair, 0, equals), true, arena), name))
			return percent_decode(str_slice(pair, equals + 1, pair.len), true, arena);
	}
	return STR_NONE;
}

static const struct {
	int status;
	const char *text;
} status_texts[] = {
	{100, "Continue"},
	{101, "Switching Protocols"},
	{200, "OK"},
	{201, "Created"},
	{202, "Accepted"},
	{204, "No Content"},
	{400, "Bad Request"},
	{401, "Unauthorized"},
	{403, "Forbidden"},
	{404, "Not Found"},
	{405, "Method Not Allowed"},
	{408, "Request Timeout"},
	{409, "Conflict"},
	{412, "Precondition Failed"},
	{413, "Content Too Large"},
	{417, "Expectation Failed"},
	{426, "Upgrade Required"},
	{431, "Request Header Fields Too Large"},
	{500, "Internal Server Error"},
	{501, "Not Implemented"},
	{503, "Service Unavailable"},
	{504, "Gateway Timeout"},
	{505, "HTTP Version Not Supported"},
};

const char *http_status_text(int status)
{
	for (size_t i = 0; i < COUNT(status_texts); i++)
		if (status_texts[i].status == status)
			return status_texts[i].text;
	return "Unknown";
}

void http_request_fini(struct http_request *request)
{
	arena_fini(&request->arena);
	buffer_fini(&request->body);
}

void http_request_reset(struct http_request *request)
{
	struct arena arena = request->arena;
	struct buffer body = request->body;

	arena_reset(&arena);
	buffer_clear(&body);
	if (body.capacity > BODY_KEPT)
		buffer_fini(&body);
	*request = (struct http_request){.arena = arena, .body = body};
}
