#include "server/front.h"
#include <stdio.h>
#include <unistd.h>
#include "api/ec2.h"
#include "api/ecs.h"
#include "api/efs.h"
#include "api/logs.h"
#include "api/wherry.h"
#include "model/region.h"
#include "os/clock.h"
#include "server/channel.h"
#include "server/faults.h"
#include "server/shell.h"
#include "server/telemetry.h"

static const struct api *const services[] = {&api_ecs, &api_ec2, &api_efs, &api_logs, &api_wherry};
static const struct service_list service_list = {services, COUNT(services)};

/* Asked in this order (neighbours 0.2); the last speaks to everyone. */
static const struct protocol *const protocols[] = {&protocol_ec2, &protocol_query, &protocol_rest_json,
						   &protocol_json_1_0, &protocol_json_1_1};

static const struct protocol *find_protocol(const struct http_request *request)
{
	size_t i = 0;

	while (i < COUNT(protocols) - 1 && !protocols[i]->speaks(request, &service_list))
		i++;
	return protocols[i];
}

static size_t find_place(const struct operation *operation)
{
	size_t place = operation->index;

	for (size_t i = 0; i < COUNT(services) && services[i] != operation->api; i++)
		place += services[i]->operation_count;
	return place;
}

static void answer_error(struct exchange *exchange, const struct error *error, bool front_door,
			 int status)
{
	const struct protocol_error reply = {.error = *error,
					     .front_door = front_door,
					     .operation = exchange->work.call.operation,
					     .request_id = exchange->work.request_id};
	const struct protocol *protocol = exchange->work.protocol;
	struct error_form form = protocol->error_form(error);
	struct answer *answer = &exchange->work.answer;

	answer->code = error->code;
	answer->error_name = form.name;
	answer->status = status ? status : form.status;
	answer->content_type = protocol->content_type;
	buffer_clear(&answer->body);
	protocol->write_error(&reply, &answer->body);
	exchange_answer(exchange);
}

static void refuse(struct exchange *exchange, enum error_code code, int status, const char *text)
{
	struct error error = {0};

	fail(&error, code, "%s", text);
	answer_error(exchange, &error, true, status);
}

void front_refuse(struct exchange *exchange, int status, const char *reason)
{
	enum error_code code = status == 413 ? ERROR_REQUEST_ENTITY_TOO_LARGE : ERROR_CLIENT;

	exchange->close = true;
	exchange->work.protocol = &protocol_json_1_1;
	refuse(exchange, code, status, reason);
}

/* ---- who calls */

static struct sigv4_request signed_request(const struct exchange *exchange)
{
	const struct http_request *request = &exchange->request;

	return (struct sigv4_request){
		.method = request->method,
		.path = request->path.len ? request->path : S("/"),
		.query = request->query,
		.headers = request->headers,
		.header_count = request->header_count,
		.body = buffer_str(&request->body),
		.tls = exchange->io->server->tls != NULL,
	};
}

/* The key that a request says it is signed with, when it is one of ours. */
static const struct key *claimed_key(struct exchange *exchange, const struct sigv4_request *request,
				     struct sigv4_claim *ret_claim, struct error *err)
{
	const struct key *key;

	if (!sigv4_read(request, &exchange->request.arena, ret_claim, err))
		return NULL;
	key = keys_find(exchange->io->server->keys, ret_claim->key_id);
	/* Our keys are long-lived: none of them has a session. */
	if (key && !ret_claim->session_token.len)
		return key;
	fail(err, ERROR_UNRECOGNIZED_CLIENT, "The security token included in the request is invalid.");
	return NULL;
}

/* What is checked of every request that is signed; the region of its scope is the region of the
 * call. */
static const struct key *identify(struct exchange *exchange, struct str service,
				  struct str *ret_region, struct error *err)
{
	struct server *server = exchange->io->server;
	const struct sigv4_request request = signed_request(exchange);
	struct sigv4_claim claim = {0};
	const struct key *key = claimed_key(exchange, &request, &claim, err);
	bool region_known;

	if (!key)
		return NULL;
	region_known =
		region_find(claim.region) || str_equal(claim.region, server->options->region);
	if (!sigv4_verify(exchange->io->sigv4, &request, &claim, key->secret, service, region_known,
			  clock_now(), &exchange->request.arena, err))
		return NULL;
	*ret_region = claim.region;
	return key;
}

static bool authorize(const struct key *key, const struct operation *operation, struct error *err)
{
	if (keys_allow(key, operation))
		return true;
	return fail(err, ERROR_ACCESS_DENIED,
		    "User: %.*s is not authorized to perform: %.*s:%.*s on resource: * because no "
		    "identity-based policy "
		    "allows the %.*s:%.*s action",
		    STR(key->caller.arn), STR(operation->api->signing_name), STR(operation->name),
		    STR(operation->api->signing_name), STR(operation->name));
}

/* ---- bodies that are not read yet */

bool front_knows(struct exchange *exchange, struct error *err)
{
	const struct sigv4_request request = signed_request(exchange);
	struct sigv4_claim claim = {0};

	return claimed_key(exchange, &request, &claim, err) != NULL;
}

void front_refuse_body(struct exchange *exchange, const struct error *error)
{
	exchange->close = true;
	exchange->work.protocol = find_protocol(&exchange->request);
	if (error->code == ERROR_SERVICE_UNAVAILABLE)
		exchange->extra_headers = S("Retry-After: 1\r\n");
	answer_error(exchange, error, true, 0);
}

/* ---- API calls */

static void submit(struct exchange *exchange, enum work_kind kind)
{
	exchange->work.kind = kind;
	exchange->away = true;
	if (brain_submit(exchange->io->server->brain, &exchange->work))
		return;
	exchange->away = false;
	exchange->extra_headers = S("Retry-After: 1\r\n");
	refuse(exchange, ERROR_SERVICE_UNAVAILABLE, 0,
	       "Too many requests are waiting. Please try again later.");
}

static void take_call(struct exchange *exchange, const struct operation *operation)
{
	struct call_event *call = &exchange->work.call;
	struct arena *arena = &exchange->request.arena;
	struct error error = {0};
	const struct key *key;
	const void *output;
	void *input;

	exchange->place = find_place(operation);
	call->operation = operation;
	key = identify(exchange, operation->api->signing_name, &call->region, &error);
	if (!key) {
		answer_error(exchange, &error, true, 0);
		return;
	}
	if (!exchange->work.protocol->read_request(&exchange->request, operation, arena, &input,
						   &error) ||
	    !fault_check(operation, input, arena, &error) || !authorize(key, operation, &error)) {
		answer_error(exchange, &error, false, 0);
		return;
	}
	output = shell_answer(exchange->io->server, operation, input, clock_now(), arena);
	if (output) {
		brain_answer_output(&exchange->work, operation, output);
		exchange_answer(exchange);
		return;
	}
	call->input = input;
	call->caller = key->caller;
	submit(exchange, WORK_CALL);
}

static void take_api(struct exchange *exchange)
{
	const struct protocol *protocol = exchange->work.protocol;
	const struct operation *operation;
	struct error error = {0};

	if (protocol->post_only && !str_equal(exchange->request.method, S("POST"))) {
		exchange->extra_headers = S("Allow: POST\r\n");
		refuse(exchange, ERROR_UNKNOWN_OPERATION, 405, "");
		return;
	}
	operation = protocol->find(&exchange->request, &service_list, &error);
	if (operation)
		take_call(exchange, operation);
	else
		answer_error(exchange, &error, true, 0);
}

/* ---- channels */

static void take_channel(struct exchange *exchange, enum channel_kind kind)
{
	struct error error = {0};
	struct str region = STR_NONE;
	const struct key *key = identify(exchange, S("ecs"), &region, &error);

	if (key)
		channel_open(exchange, kind, &key->caller, region);
	else
		answer_error(exchange, &error, true, 0);
}

/* ---- our own pages */

static void answer_health(struct exchange *exchange)
{
	struct server *server = exchange->io->server;
	struct answer *answer = &exchange->work.answer;
	bool failed = brain_is_failed(server->brain);

	answer->status = failed ? 503 : 200;
	answer->content_type = S("application/json");
	buffer_printf(&answer->body,
		      "{\"status\":\"%s\",\"version\":\"%s\",\"uptimeSeconds\":%lld,"
		      "\"connections\":%u}\n",
		      failed ? "failed" : "ok", WHERRY_VERSION,
		      (long long)((clock_monotonic() - server->started) / USEC_PER_SEC),
		      atomic_load(&server->connections));
	exchange_answer(exchange);
}

static uint64_t resident_bytes(void)
{
	FILE *file = fopen("/proc/self/statm", "re");
	unsigned long long all, resident = 0;

	if (!file)
		return 0;
	if (fscanf(file, "%llu %llu", &all, &resident) != 2)
		resident = 0;
	fclose(file);
	return resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

void front_metrics(struct exchange *exchange)
{
	struct server *server = exchange->io->server;
	struct metrics *threads[SERVER_IO_THREADS_LIMIT];
	struct metrics_page page = {
		.services = services,
		.service_count = COUNT(services),
		.threads = threads,
		.thread_count = server->io_count,
		.plane = exchange->work.statistics,
		.resident_bytes = resident_bytes(),
		.uptime = clock_monotonic() - server->started,
	};

	for (unsigned i = 0; i < server->io_count; i++)
		threads[i] = &server->ios[i]->metrics;
	if (exchange->connection) {
		brain_figures(server->brain, &page.brain);
		log_desk_figures(server->log_desk, &page.logs);
		page.bodies = room_figures(&server->room);
		exchange->work.answer.status = 200;
		exchange->work.answer.content_type = S("text/plain; version=0.0.4");
		metrics_print(&page, &exchange->work.answer.body);
		telemetry_print(server->telemetry, clock_now(), &exchange->work.answer.body);
	}
	exchange_answer(exchange);
}

static void take_page(struct exchange *exchange)
{
	struct str method = exchange->request.method, path = exchange->request.path;

	if (!str_equal(path, S("/_wherry/health")) && !str_equal(path, S("/_wherry/metrics"))) {
		refuse(exchange, ERROR_UNKNOWN_OPERATION, 404, "");
	} else if (!str_equal(method, S("GET")) && !str_equal(method, S("HEAD"))) {
		exchange->extra_headers = S("Allow: GET, HEAD\r\n");
		refuse(exchange, ERROR_UNKNOWN_OPERATION, 405, "");
	} else if (str_ends(path, S("health"))) {
		answer_health(exchange);
	} else {
		submit(exchange, WORK_STATISTICS);
	}
}

void front_take(struct exchange *exchange)
{
	struct str path = exchange->request.path;

	exchange->work.protocol = find_protocol(&exchange->request);
	if (str_equal(path, S("/ws")) && str_equal(exchange->request.method, S("GET")))
		take_channel(exchange, CHANNEL_ACS);
	else if (str_equal(path, S("/telemetry/ws")) &&
		 str_equal(exchange->request.method, S("GET")))
		take_channel(exchange, CHANNEL_TCS);
	else if (str_starts(path, S("/_wherry/")))
		take_page(exchange);
	else if (path.len == 0 || str_equal(path, S("/")) ||
		 exchange->work.protocol == &protocol_rest_json)
		take_api(exchange);
	else
		refuse(exchange, ERROR_UNKNOWN_OPERATION, 404, "");
}
