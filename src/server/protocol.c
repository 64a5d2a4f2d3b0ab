#include "server/protocol.h"

struct str protocol_signed_service(const struct http_request *request)
{
	static const struct str key = STR_INIT("Credential=");
	struct str rest = http_header(request, S("authorization")), piece = STR_NONE;

	while (rest.len && !str_starts(rest, key))
		rest = str_slice(rest, 1, rest.len);
	rest = str_slice(rest, 0, MIN(str_find(rest, ','), str_find(rest, ' ')));
	for (int place = 0; place < 4; place++)          /* key id, date, region, service */
		if (!str_cut(&rest, '/', &piece))
			return STR_NONE;
	return str_has(rest) ? piece : STR_NONE;
}

struct error_form protocol_plain_error(const struct error *error)
{
	return (struct error_form){error_wire_name(error->code), error_http_status(error->code)};
}

int protocol_status_ok(const struct operation *operation)
{
	(void)operation;
	return 200;
}
