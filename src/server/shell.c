#include "server/shell.h"
#include "api/wherry.h"
#include "server/io.h"
#include "server/telemetry.h"

static const void *answer_telemetry(struct server *server, const void *input, usec now, struct arena *arena)
{
	const struct wherry_telemetry_request *request = input;
	struct wherry_telemetry_response *response = arena_new(arena, struct wherry_telemetry_response);

	telemetry_describe(server->telemetry, request->cluster, now, arena, response);
	return response;
}

/* A row for each operation that its .api file marks `shell`. */
static const struct {
	const struct api *api;
	uint32_t index;
	const void *(*answer)(struct server *server, const void *input, usec now, struct arena *arena);
} rows[] = {
	{&api_wherry, WHERRY_OPERATION_TELEMETRY, answer_telemetry},
};

const void *shell_answer(struct server *server, const struct operation *operation, const void *input, usec now,
			 struct arena *arena)
{
	for (size_t i = 0; i < COUNT(rows); i++)
		if (rows[i].api == operation->api && rows[i].index == operation->index)
			return rows[i].answer(server, input, now, arena);
	return NULL;
}
