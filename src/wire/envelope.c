#include "wire/envelope.h"
#include "api/acs.h"
#include "api/tcs.h"

const struct envelope_type acs_types[] = {
	{STR_INIT("PayloadMessage"), &shape_acs_payload_message},
	{STR_INIT("HeartbeatMessage"), &shape_acs_heartbeat_message},
	{STR_INIT("HeartbeatAckRequest"), &shape_acs_heartbeat_ack_request},
	{STR_INIT("AckRequest"), &shape_acs_ack_request},
	{STR_INIT("NackRequest"), &shape_acs_nack_request},
	{STR_INIT("TaskManifestMessage"), &shape_acs_task_manifest_message},
	{STR_INIT("AttachTaskNetworkInterfacesMessage"), &shape_acs_attach_task_network_interfaces_message},
	{STR_INIT("TaskStopVerificationMessage"), &shape_acs_task_stop_verification_message},
	{STR_INIT("TaskStopVerificationAck"), &shape_acs_task_stop_verification_ack},
	{STR_INIT("IAMRoleCredentialsMessage"), &shape_acs_iam_role_credentials_message},
	{STR_INIT("IAMRoleCredentialsAckRequest"), &shape_acs_iam_role_credentials_ack_request},
	{STR_INIT("CloseMessage"), &shape_acs_error_message},
	{STR_INIT("ErrorMessage"), &shape_acs_error_message},
	{STR_INIT("ServerException"), &shape_acs_error_message},
	{STR_INIT("BadRequestException"), &shape_acs_error_message},
	{STR_INIT("InvalidClusterException"), &shape_acs_error_message},
	{STR_INIT("InvalidInstanceException"), &shape_acs_error_message},
	{STR_INIT("AccessDeniedException"), &shape_acs_error_message},
	{STR_INIT("InactiveInstanceException"), &shape_acs_error_message},
	{STR_INIT(""), NULL},
};

const struct envelope_type tcs_types[] = {
	{STR_INIT("PublishMetricsRequest"), &shape_tcs_publish_metrics_request},
	{STR_INIT("PublishHealthRequest"), &shape_tcs_publish_health_request},
	{STR_INIT("PublishInstanceStatusRequest"), &shape_tcs_publish_instance_status_request},
	{STR_INIT("HeartbeatMessage"), &shape_tcs_heartbeat_message},
	{STR_INIT("AckPublishMetric"), &shape_tcs_ack},
	{STR_INIT("AckPublishHealth"), &shape_tcs_ack},
	{STR_INIT("AckPublishInstanceStatus"), &shape_tcs_ack},
	{STR_INIT("StopTelemetrySessionMessage"), &shape_tcs_ack},
	{STR_INIT("BadRequestException"), &shape_tcs_ack},
	{STR_INIT("ResourceValidationException"), &shape_tcs_ack},
	{STR_INIT("InvalidParameterException"), &shape_tcs_ack},
	{STR_INIT("ServerException"), &shape_tcs_ack},
	{STR_INIT(""), NULL},
};

const struct shape *envelope_shape(const struct envelope_type *types, struct str name)
{
	while (types->shape && !str_equal(types->name, name))
		types++;
	return types->shape;
}

/* What follows the empty line, when the frame begins with header lines; else the frame. */
static struct str skip_header_block(struct str frame)
{
	const char *end;

	if (frame.len == 0 || frame.ptr[0] == '{')
		return frame;
	end = memmem(frame.ptr, frame.len, "\r\n\r\n", 4);
	return end ? str_slice(frame, (size_t)(end + 4 - frame.ptr), frame.len) : frame;
}

static bool not_envelope(struct error *err, const char *why)
{
	return fail(err, ERROR_SERIALIZATION, "The frame is not a message: %s", why);
}

static bool decode_message(const struct shape *shape, struct str text, struct arena *arena,
			   void **ret_message, struct error *err)
{
	struct json_fault fault;

	if (json_decode(shape, text, arena, ret_message, &fault))
		return true;
	if (fault.unknown_word)
		return fail(err, ERROR_SERIALIZATION, "'%.*s' at '%.*s' is not one of the known words",
			    STR(fault.violation.value), STR(fault.violation.path));
	return fail(err, fault.error.code, "%s", fault.error.text);
}

bool envelope_decode(const struct envelope_type *types, struct str frame, struct arena *arena,
		     struct str *ret_type, void **ret_message, struct error *err)
{
	struct str json = skip_header_block(frame), type, body;
	const struct shape *shape;
	struct json_fault fault;
	void *message = NULL;

	if (frame.len > ENVELOPE_BYTES_LIMIT)
		return fail(err, ERROR_LIMIT_EXCEEDED, "The frame has more than %d bytes",
			    ENVELOPE_BYTES_LIMIT);
	if (!json_check(json, &fault))
		return not_envelope(err, fault.error.text);
	if (!json_string_value(json_member_text(json, S("type")), arena, &type))
		return not_envelope(err, "it has no type");
	shape = envelope_shape(types, type);
	body = json_member_text(json, S("message"));
	if (!str_has(body) && shape)
		return not_envelope(err, "it has no message");
	if (shape && !decode_message(shape, body, arena, &message, err))
		return false;
	*ret_type = type;
	*ret_message = message;
	return true;
}

void envelope_encode(struct str type, const struct shape *shape, const void *message, struct buffer *out)
{
	buffer_add(out, S("{\"type\":"));
	json_encode_text(type, out);
	buffer_add(out, S(",\"message\":"));
	json_encode(shape, message, out);
	buffer_add_char(out, '}');
}
