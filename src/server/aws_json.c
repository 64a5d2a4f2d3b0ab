#include "server/faults.h"
#include "server/protocol.h"
#include "wire/json.h"

static bool speaks_1_0(const struct http_request *request, const struct service_list *services)
{
	(void)services;
	return str_starts(http_header(request, S("content-type")), S("application/x-amz-json-1.0"));
}

/* Also what names no protocol at all: its error must have some form. */
static bool speaks_1_1(const struct http_request *request, const struct service_list *services)
{
	(void)request;
	(void)services;
	return true;
}

static const struct operation *find(const struct http_request *request,
				    const struct service_list *services, struct error *err)
{
	struct str target = http_header(request, S("x-amz-target"));
	size_t dot = str_find_last(target, '.');
	const struct operation *operation = NULL;

	for (size_t i = 0; i < services->count && dot < target.len && !operation; i++)
		if (str_equal(str_slice(target, 0, dot), services->items[i]->target_prefix))
			operation = api_find(services->items[i], str_slice(target, dot + 1, target.len));
	if (!operation)
		fail(err, ERROR_UNKNOWN_OPERATION, "%s", "");
	return operation;
}

static bool read_request(const struct http_request *request, const struct operation *operation,
			 struct arena *arena, void **ret_input, struct error *err)
{
	struct json_fault fault = {0};

	if (operation->unbuilt) {
		*ret_input = arena_alloc(arena, 1, operation->input->size, 16);
		return true;
	}
	if (json_decode(operation->input, buffer_str(&request->body), arena, ret_input, &fault))
		return true;
	if (fault.unknown_word)
		return fault_word(operation, &fault.violation, err);
	*err = fault.error;
	return false;
}

static void write_reply(const struct operation *operation, const void *output, struct str request_id,
			struct buffer *out)
{
	(void)request_id;
	json_encode(operation->output, output, out);
}

static void write_resource_ids(const struct protocol_error *error, struct buffer *out)
{
	buffer_add(out, S(",\"resourceIds\":["));
	for (size_t i = 0; i < error->resource_id_count; i++) {
		if (i)
			buffer_add_char(out, ',');
		json_encode_text(error->resource_ids[i], out);
	}
	buffer_add_char(out, ']');
}

static void write_error(const struct protocol_error *error, struct buffer *out)
{
	struct str name = error_wire_name(error->error.code);

	buffer_add(out, S("{\"__type\":\""));
	if (error->front_door)
		buffer_add(out, S("com.amazon.coral.service#"));
	buffer_add(out, name);
	buffer_add_char(out, '"');
	if (error->error.text[0]) {
		buffer_add(out, S(",\"message\":"));
		json_encode_text(str_of(error->error.text), out);
	}
	if (error->resource_ids)
		write_resource_ids(error, out);
	buffer_add_char(out, '}');
}

const struct protocol protocol_json_1_1 = {
	.name = STR_INIT("awsJson1_1"),
	.content_type = STR_INIT("application/x-amz-json-1.1"),
	.post_only = true,
	.speaks = speaks_1_1,
	.find = find,
	.read_request = read_request,
	.reply_status = protocol_status_ok,
	.write_reply = write_reply,
	.error_form = protocol_plain_error,
	.write_error = write_error,
};

const struct protocol protocol_json_1_0 = {
	.name = STR_INIT("awsJson1_0"),
	.content_type = STR_INIT("application/x-amz-json-1.0"),
	.post_only = true,
	.speaks = speaks_1_0,
	.find = find,
	.read_request = read_request,
	.reply_status = protocol_status_ok,
	.write_reply = write_reply,
	.error_form = protocol_plain_error,
	.write_error = write_error,
};
