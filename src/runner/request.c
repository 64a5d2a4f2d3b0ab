#include "runner/request.h"

static bool add(struct request_reader *reader, struct buffer *to, const char *at, size_t length, size_t limit, int status)
{
	if (length > limit - MIN(to->len, limit)) {
		reader->status = status;
		return false;
	}
	buffer_append(to, at, length);
	return true;
}

static int on_target(http_parser *parser, const char *at, size_t length)
{
	struct request_reader *reader = parser->data;

	return add(reader, &reader->target, at, length, REQUEST_TARGET_LIMIT, 414) ? 0 : 1;
}

static int on_head(http_parser *parser)
{
	struct request_reader *reader = parser->data;

	reader->in_body = true;
	if (parser->flags & F_CHUNKED)
		reader->status = 411;
	else if ((parser->flags & F_CONTENTLENGTH) && parser->content_length > REQUEST_BODY_LIMIT)
		reader->status = 413;
	/* -1 would be the parser's word for: no body follows. */
	return reader->status ? -2 : 0;
}

static int on_body(http_parser *parser, const char *at, size_t length)
{
	struct request_reader *reader = parser->data;

	return add(reader, &reader->body, at, length, REQUEST_BODY_LIMIT, 413) ? 0 : 1;
}

/* Stops the parser, so that what follows is left. */
static int on_end(http_parser *parser)
{
	((struct request_reader *)parser->data)->done = true;
	http_parser_pause(parser, 1);
	return 0;
}

static const http_parser_settings settings = {
	.on_url = on_target, .on_headers_complete = on_head, .on_body = on_body, .on_message_complete = on_end,
};

void request_begin(struct request_reader *reader)
{
	http_parser_init(&reader->parser, HTTP_REQUEST);
	reader->parser.data = reader;
	buffer_clear(&reader->target);
	buffer_clear(&reader->body);
	reader->head_bytes = 0;
	reader->in_body = reader->done = false;
	reader->status = 0;
}

void request_fini(struct request_reader *reader)
{
	buffer_fini(&reader->target);
	buffer_fini(&reader->body);
}

static void fill(struct request_reader *reader, struct request *request)
{
	*request = (struct request){
		.method = str_of(http_method_str((enum http_method)reader->parser.method)),
		.query = buffer_str(&reader->target),
		.body = buffer_str(&reader->body),
		.keep_alive = http_should_keep_alive(&reader->parser),
	};
	str_cut(&request->query, '?', &request->path);
}

enum request_outcome request_read(struct request_reader *reader, struct str bytes, size_t *ret_used,
				  struct request *ret_request)
{
	/* Of a head no more is looked at than may belong to it. */
	size_t room = REQUEST_HEAD_LIMIT + 1 - reader->head_bytes;
	struct str part = reader->in_body ? bytes : str_slice(bytes, 0, room);

	*ret_used = http_parser_execute(&reader->parser, &settings, part.ptr, part.len);
	if (reader->done) {
		fill(reader, ret_request);
		return reader->parser.upgrade ? (reader->status = 400, REQUEST_REFUSED) : REQUEST_DONE;
	}
	if (!reader->in_body)
		reader->head_bytes += part.len;
	if (!reader->status && HTTP_PARSER_ERRNO(&reader->parser) != HPE_OK)
		reader->status = HTTP_PARSER_ERRNO(&reader->parser) == HPE_HEADER_OVERFLOW ? 431 : 400;
	if (!reader->status && !reader->in_body && reader->head_bytes > REQUEST_HEAD_LIMIT)
		reader->status = 431;
	return reader->status ? REQUEST_REFUSED : REQUEST_MORE;
}

struct str request_query(struct str query, struct str name)
{
	struct str part, key;

	while (str_cut(&query, '&', &part))
		if (str_cut(&part, '=', &key) && str_equal(key, name))
			return str_has(part) ? part : S("");
	return STR_NONE;
}

const char *request_status_text(int status)
{
	static const struct { int status; const char *text; } texts[] = {
		{200, "OK"}, {400, "Bad Request"}, {403, "Forbidden"}, {404, "Not Found"}, {405, "Method Not Allowed"},
		{411, "Length Required"}, {413, "Payload Too Large"}, {414, "URI Too Long"}, {429, "Too Many Requests"},
		{431, "Request Header Fields Too Large"}, {500, "Internal Server Error"}, {503, "Service Unavailable"},
		{504, "Gateway Timeout"},
	};

	for (size_t i = 0; i < COUNT(texts); i++)
		if (texts[i].status == status)
			return texts[i].text;
	return "";
}
