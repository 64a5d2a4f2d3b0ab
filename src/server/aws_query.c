#include <assert.h>
#include "server/faults.h"
#include "server/protocol.h"
#include "wire/form.h"
#include "wire/xml.h"

/* What the two protocols call the errors that any service can give, where base/error.h has JSON's names
 * (neighbours 0.7). */
static const struct {
	enum error_code code;
	struct error_form ec2, query;
} names[] = {
	{ERROR_MISSING_AUTHENTICATION_TOKEN, {STR_INIT("AuthFailure"), 401}, {STR_INIT("MissingAuthenticationToken"), 403}},
	{ERROR_INCOMPLETE_SIGNATURE, {STR_INIT("AuthFailure"), 401}, {STR_INIT("IncompleteSignature"), 400}},
	{ERROR_UNRECOGNIZED_CLIENT, {STR_INIT("AuthFailure"), 401}, {STR_INIT("InvalidClientTokenId"), 403}},
	{ERROR_INVALID_SIGNATURE, {STR_INIT("AuthFailure"), 401}, {STR_INIT("SignatureDoesNotMatch"), 403}},
	{ERROR_EXPIRED_TOKEN, {STR_INIT("RequestExpired"), 400}, {STR_INIT("ExpiredToken"), 403}},
	{ERROR_ACCESS_DENIED, {STR_INIT("UnauthorizedOperation"), 403}, {STR_INIT("AccessDenied"), 403}},
	{ERROR_UNKNOWN_OPERATION, {STR_INIT("InvalidAction"), 400}, {STR_INIT("InvalidAction"), 400}},
	{ERROR_UNSUPPORTED_FEATURE, {STR_INIT("UnsupportedOperation"), 400}, {STR_INIT("UnsupportedOperation"), 400}},
	{ERROR_SERIALIZATION, {STR_INIT("MalformedQueryString"), 400}, {STR_INIT("MalformedQueryString"), 400}},
	{ERROR_INVALID_PARAMETER, {STR_INIT("InvalidParameterValue"), 400}, {STR_INIT("InvalidParameterValue"), 400}},
	{ERROR_VALIDATION, {STR_INIT("InvalidParameterValue"), 400}, {STR_INIT("ValidationError"), 400}},
	{ERROR_CLIENT, {STR_INIT("InvalidRequest"), 400}, {STR_INIT("InvalidRequest"), 400}},
	{ERROR_REQUEST_ENTITY_TOO_LARGE, {STR_INIT("RequestEntityTooLarge"), 413}, {STR_INIT("RequestEntityTooLarge"), 413}},
	{ERROR_THROTTLING, {STR_INIT("RequestLimitExceeded"), 503}, {STR_INIT("Throttling"), 400}},
	{ERROR_SERVICE_UNAVAILABLE, {STR_INIT("Unavailable"), 503}, {STR_INIT("ServiceUnavailable"), 503}},
};

static const struct error_form ec2_internal = {STR_INIT("InternalError"), 500};
static const struct error_form query_internal = {STR_INIT("InternalFailure"), 500};

static bool is_late(const struct error *error)
{
	struct str text = str_of(error->text);

	return str_starts(text, S("Signature expired")) || str_starts(text, S("Signature not yet current"));
}

static size_t find_name(enum error_code code)
{
	size_t i = 0;

	while (i < COUNT(names) && names[i].code != code)
		i++;
	return i;
}

static struct error_form ec2_form(const struct error *error)
{
	size_t row = find_name(error->code);

	if (error->code == ERROR_INVALID_SIGNATURE && is_late(error))
		return (struct error_form){S("RequestExpired"), 400};
	if (row < COUNT(names))
		return names[row].ec2;
	return error_http_status(error->code) >= 500 ? ec2_internal : protocol_plain_error(error);
}

static struct error_form query_form(const struct error *error)
{
	size_t row = find_name(error->code);

	if (row < COUNT(names))
		return names[row].query;
	return error_http_status(error->code) >= 500 ? query_internal : protocol_plain_error(error);
}

/* ---- requests */

/* The parameters: of a POST its body, of a GET its query string. */
static struct str form_of(const struct http_request *request)
{
	if (str_equal(request->method, S("POST")))
		return buffer_str(&request->body);
	return request->query;
}

static bool is_form(const struct http_request *request)
{
	if (str_has(http_header(request, S("x-amz-target"))) || (request->path.len && !str_equal(request->path, S("/"))))
		return false;
	if (str_equal(request->method, S("GET")))
		return str_has(form_raw_value(request->query, S("Action")));
	return str_equal(request->method, S("POST")) &&
	       str_starts(http_header(request, S("content-type")), S("application/x-www-form-urlencoded"));
}

/* By the service of the signature's scope and the Version; unsigned by the Version alone, which no two services of
 * these protocols share. */
static const struct api *find_api(const struct http_request *request, const struct service_list *services)
{
	struct str scope = protocol_signed_service(request);
	struct str version = form_raw_value(form_of(request), S("Version"));

	for (size_t i = 0; i < services->count; i++) {
		const struct api *api = services->items[i];
		bool form = str_equal(api->protocol, S("ec2")) || str_equal(api->protocol, S("query"));

		if (form && str_equal(api->version, version) &&
		    (!str_has(scope) || str_equal(api->signing_name, scope)))
			return api;
	}
	return NULL;
}

static bool speaks_ec2(const struct http_request *request, const struct service_list *services)
{
	struct str scope;
	const struct api *api;

	if (!is_form(request))
		return false;
	scope = protocol_signed_service(request);
	api = find_api(request, services);
	return str_has(scope) ? str_equal(scope, S("ec2")) : api && str_equal(api->protocol, S("ec2"));
}

static bool speaks_query(const struct http_request *request, const struct service_list *services)
{
	(void)services;
	return is_form(request);
}

static const struct operation *find(const struct http_request *request, const struct service_list *services,
				    struct error *err)
{
	struct str text = form_of(request), action = form_raw_value(text, S("Action"));
	const struct api *api = find_api(request, services);
	const struct operation *operation = api ? api_find(api, action) : NULL;
	struct str version = str_slice(form_raw_value(text, S("Version")), 0, 64);

	if (operation)
		return operation;
	if (!action.len)
		fail(err, ERROR_MISSING_ACTION, "The request must contain the parameter Action");
	else if (api)
		fail(err, ERROR_UNKNOWN_OPERATION, "The action %.*s is not valid for this web service.",
		     STR(str_slice(action, 0, 128)));
	else if (speaks_ec2(request, services))
		fail(err, ERROR_NO_SUCH_VERSION, "The requested version (%.*s) of service AmazonEC2 does not exist",
		     STR(version));
	else
		fail(err, ERROR_UNKNOWN_OPERATION, "Could not find operation %.*s for version %.*s",
		     STR(str_slice(action, 0, 128)), STR(version.len ? version : S("NO_VERSION_SPECIFIED")));
	return NULL;
}

static bool read_form(const struct http_request *request, const struct operation *operation, enum form_style style,
		      struct arena *arena, void **ret_input, struct error *err)
{
	struct json_fault fault = {0};

	if (operation->unbuilt) {
		*ret_input = arena_alloc(arena, 1, operation->input->size, 16);
		return true;
	}
	if (form_decode(operation->input, form_of(request), style, arena, ret_input, &fault))
		return true;
	if (fault.unknown_word)
		return fault_word(operation, &fault.violation, err);
	*err = fault.error;
	return false;
}

static bool read_ec2(const struct http_request *request, const struct operation *operation, struct arena *arena,
		     void **ret_input, struct error *err)
{
	return read_form(request, operation, FORM_EC2, arena, ret_input, err);
}

static bool read_query(const struct http_request *request, const struct operation *operation, struct arena *arena,
		       void **ret_input, struct error *err)
{
	return read_form(request, operation, FORM_QUERY, arena, ret_input, err);
}

/* ---- replies */

static void open_response(struct str name, struct str suffix, const struct api *api, struct buffer *out)
{
	struct str namespace = api ? api->xml_namespace : STR_NONE;
	bool slash = namespace.len && !str_ends(namespace, S("/"));

	buffer_printf(out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<%.*s%.*s", STR(name), STR(suffix));
	if (namespace.len)
		buffer_printf(out, " xmlns=\"%.*s%s\"", STR(namespace), slash ? "/" : "");
	buffer_add_char(out, '>');
}

/* An operation without output says true. */
static void write_ec2(const struct operation *operation, const void *output, struct str request_id,
		      struct buffer *out)
{
	open_response(operation->name, S("Response"), operation->api, out);
	xml_encode_element(S("requestId"), request_id, out);
	if (operation->output->member_count)
		xml_encode(operation->output, output, out);
	else
		buffer_add(out, S("<return>true</return>"));
	buffer_printf(out, "</%.*sResponse>", STR(operation->name));
}

static void write_query(const struct operation *operation, const void *output, struct str request_id,
			struct buffer *out)
{
	open_response(operation->name, S("Response"), operation->api, out);
	if (operation->output->member_count) {
		buffer_printf(out, "<%.*sResult>", STR(operation->name));
		xml_encode(operation->output, output, out);
		buffer_printf(out, "</%.*sResult>", STR(operation->name));
	}
	buffer_add(out, S("<ResponseMetadata>"));
	xml_encode_element(S("RequestId"), request_id, out);
	buffer_printf(out, "</ResponseMetadata></%.*sResponse>", STR(operation->name));
}

static void write_code_and_message(struct str name, struct str text, struct buffer *out)
{
	xml_encode_element(S("Code"), name, out);
	xml_encode_element(S("Message"), text.len ? text : name, out);
}

static void write_ec2_error(const struct protocol_error *error, struct buffer *out)
{
	struct str name = ec2_form(&error->error).name;
	bool unknown = str_equal(name, S("AuthFailure"));        /* EC2 does not say what is wrong */

	open_response(S("Response"), S(""), NULL, out);
	buffer_add(out, S("<Errors><Error>"));
	write_code_and_message(name, unknown ? S("AWS was not able to validate the provided access credentials") :
					       str_of(error->error.text), out);
	buffer_add(out, S("</Error></Errors>"));
	xml_encode_element(S("RequestID"), error->request_id, out);
	buffer_add(out, S("</Response>"));
}

static void write_query_error(const struct protocol_error *error, struct buffer *out)
{
	struct error_form form = query_form(&error->error);

	open_response(S("ErrorResponse"), S(""), error->operation ? error->operation->api : NULL, out);
	buffer_add(out, S("<Error>"));
	xml_encode_element(S("Type"), form.status >= 500 ? S("Receiver") : S("Sender"), out);
	write_code_and_message(form.name, str_of(error->error.text), out);
	buffer_add(out, S("</Error>"));
	xml_encode_element(S("RequestId"), error->request_id, out);
	buffer_add(out, S("</ErrorResponse>"));
}

const struct protocol protocol_ec2 = {
	.name = STR_INIT("ec2Query"),
	.content_type = STR_INIT("text/xml;charset=UTF-8"),
	.speaks = speaks_ec2,
	.find = find,
	.read_request = read_ec2,
	.reply_status = protocol_status_ok,
	.write_reply = write_ec2,
	.error_form = ec2_form,
	.write_error = write_ec2_error,
};

const struct protocol protocol_query = {
	.name = STR_INIT("awsQuery"),
	.content_type = STR_INIT("text/xml"),
	.speaks = speaks_query,
	.find = find,
	.read_request = read_query,
	.reply_status = protocol_status_ok,
	.write_reply = write_query,
	.error_form = query_form,
	.write_error = write_query_error,
};
