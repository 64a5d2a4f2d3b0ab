#include <assert.h>
#include "server/faults.h"
#include "server/protocol.h"
#include "wire/json.h"
#include "wire/rest.h"

static bool is_rest(const struct api *api)
{
	return str_equal(api->protocol, S("rest-json"));
}

static bool find_path(const struct http_request *request, const struct service_list *services,
		      struct rest_match *ret_match)
{
	struct str scope = protocol_signed_service(request);

	for (size_t i = 0; i < services->count; i++) {
		const struct api *api = services->items[i];

		if (is_rest(api) && (!str_has(scope) || str_equal(api->signing_name, scope)) &&
		    rest_find(api, request->method, request->path, ret_match))
			return true;
	}
	return false;
}

/* Signed for such a service, or unsigned with a path that one has. */
static bool speaks(const struct http_request *request, const struct service_list *services)
{
	struct str scope = protocol_signed_service(request);
	struct rest_match match;

	if (str_has(http_header(request, S("x-amz-target"))) || request->path.len < 2)
		return false;
	if (!str_has(scope))
		return find_path(request, services, &match);
	for (size_t i = 0; i < services->count; i++)
		if (is_rest(services->items[i]) && str_equal(services->items[i]->signing_name, scope))
			return true;
	return false;
}

static const struct operation *find(const struct http_request *request, const struct service_list *services,
				    struct error *err)
{
	struct rest_match match;

	if (find_path(request, services, &match))
		return match.operation;
	fail(err, ERROR_UNKNOWN_OPERATION, "No operation has this method and path.");
	return NULL;
}

static bool read_request(const struct http_request *request, const struct operation *operation,
			 struct arena *arena, void **ret_input, struct error *err)
{
	const struct rest_request parts = {.query = request->query,
					   .headers = request->headers,
					   .header_count = request->header_count,
					   .body = buffer_str(&request->body)};
	struct json_fault fault = {0};
	struct rest_match match;

	if (operation->unbuilt) {
		*ret_input = arena_alloc(arena, 1, operation->input->size, 16);
		return true;
	}
	if (!rest_fits(str_of(operation->http), request->method, request->path, &match))
		assert(!"an operation that was found does not fit");
	match.operation = operation;
	if (rest_decode(&match, &parts, arena, ret_input, &fault))
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
	if (rest_status(operation) != 204)
		json_encode(operation->output, output, out);
}

/* Who may not, gets 403 here where the JSON protocols say 400 (neighbours 0.7); what nobody has is not found. */
static struct error_form error_form(const struct error *error)
{
	struct error_form form = protocol_plain_error(error);

	switch (error->code) {
	case ERROR_MISSING_AUTHENTICATION_TOKEN:
	case ERROR_INCOMPLETE_SIGNATURE:
	case ERROR_UNRECOGNIZED_CLIENT:
	case ERROR_INVALID_SIGNATURE:
	case ERROR_EXPIRED_TOKEN:
	case ERROR_ACCESS_DENIED:
		form.status = 403;
		break;
	case ERROR_UNKNOWN_OPERATION:
		form.status = 404;
		break;
	case ERROR_SERVER:
		form.name = S("InternalServerError");
		break;
	default:
		break;
	}
	return form;
}

/* What an error names beside its text: the thing that is there already. */
static const struct {
	enum error_code code;
	struct str member;
} culprits[] = {
	{ERROR_EFS_FILE_SYSTEM_ALREADY_EXISTS, STR_INIT("FileSystemId")},
	{ERROR_EFS_ACCESS_POINT_ALREADY_EXISTS, STR_INIT("AccessPointId")},
};

static void write_culprit(const struct protocol_error *error, struct buffer *out)
{
	for (size_t i = 0; i < COUNT(culprits); i++) {
		if (culprits[i].code != error->error.code || !error->resource_id_count)
			continue;
		buffer_printf(out, ",\"%.*s\":", STR(culprits[i].member));
		json_encode_text(error->resource_ids[0], out);
	}
}

/* EFS says ErrorCode and Message; who looks for `message`, as other services say it, finds that, too. */
static void write_error(const struct protocol_error *error, struct buffer *out)
{
	struct str name = error_form(&error->error).name;
	struct str text = error->error.text[0] ? str_of(error->error.text) : name;

	buffer_add(out, S("{\"ErrorCode\":"));
	json_encode_text(name, out);
	buffer_add(out, S(",\"Message\":"));
	json_encode_text(text, out);
	buffer_add(out, S(",\"message\":"));
	json_encode_text(text, out);
	write_culprit(error, out);
	buffer_add_char(out, '}');
}

const struct protocol protocol_rest_json = {
	.name = STR_INIT("restJson1"),
	.content_type = STR_INIT("application/json"),
	.speaks = speaks,
	.find = find,
	.read_request = read_request,
	.reply_status = rest_status,
	.write_reply = write_reply,
	.error_form = error_form,
	.write_error = write_error,
};
