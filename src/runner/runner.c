#include "runner/runner.h"
#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include "agent/agent.h"
#include "host/fabric.h"
#include "host/hands.h"
#include "host/image.h"
#include "host/network.h"
#include "host/stats.h"
#include "os/clock.h"
#include "os/entropy.h"
#include "os/file.h"
#include "runner/awslogs.h"
#include "runner/calls.h"
#include "runner/file_systems.h"
#include "runner/line.h"
#include "runner/local.h"
#include "runner/query.h"
#include "runner/settings.h"
#include "runner/telemetry.h"
#include "runner/watch.h"
#include "store/store.h"
#include "wire/envelope.h"
#include "wire/json.h"
#include <uv.h>

enum { EXIT_AGAIN = 1 };                                 /* agent-protocol 1.1 */
enum { CALL_SECONDS = 10, LOGS_SECONDS = 5 };
enum { RECORD_KIND = 1 };                                /* the store's kind of all our records: keys tell them apart */

struct runner {
	const struct runner_options *options;
	struct settings settings;
	struct arena arena;                              /* of the whole run */
	struct client_options client;

	struct agent *agent;
	struct agent_effects effects;
	struct store *store;
	struct images *images;
	struct network *network;
	struct fabric *fabric;
	struct awslogs *awslogs;                         /* NULL when only sweeping */
	struct hands *hands;

	uv_loop_t loop;
	uv_poll_t facts;
	uv_timer_t wake;
	uv_signal_t terminate, interrupt, down;
	struct calls *calls;
	struct line line;
	struct stats *stats;
	struct local *local;
	uv_async_t sampled;
	struct telemetry *telemetry;
	struct watch *watch;                             /* of the VPCs */
	struct file_systems *file_systems;
	struct buffer endpoint;                          /* the last one that DiscoverPollEndpoint gave */

	struct random random;
	struct arena step_arena;
	bool discovering, was_connected, announced, going_down, stopping;
	int exit_code;
};

static void say(const char *format, ...) PRINTF_LIKE(1, 2);

static void say(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fputs("wherry: agent: ", stderr);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
	va_end(args);
}

static void stop(struct runner *runner, int exit_code)
{
	if (runner->stopping)
		return;
	runner->stopping = true;
	runner->exit_code = exit_code;
	uv_stop(&runner->loop);
}

/* ---- A step: records to disk first, then all that could reveal them */

static void step(struct runner *runner, struct agent_event event);

static bool write_records(struct runner *runner, struct error *err)
{
	size_t count = runner->effects.records.count;
	struct store_change *changes = arena_array(&runner->step_arena, struct store_change, count);

	for (size_t i = 0; i < count; i++) {
		const struct agent_record *record = &runner->effects.records.items[i];
		auto_buffer text = {0};

		changes[i] = (struct store_change){.kind = RECORD_KIND, .key = record->key};
		if (!record->value)
			continue;
		json_encode(record->shape, record->value, &text);
		changes[i].value = arena_copy(&runner->step_arena, buffer_str(&text));
	}
	return count == 0 || store_append(runner->store, changes, count, err);
}

static void answered(void *arg, uint64_t ticket, const void *output, const struct error *err)
{
	step(arg, (struct agent_event){.type = AGENT_EVENT_ANSWER, .ticket = ticket, .output = output,
				       .error = output ? ERROR_NONE : err->code, .error_text = str_of(err->text)});
}

static void send_messages(struct runner *runner)
{
	for (size_t i = 0; i < runner->effects.messages.count; i++) {
		const struct agent_message *message = &runner->effects.messages.items[i];
		auto_buffer text = {0};

		envelope_encode(message->type, message->shape, message->value, &text);
		line_send(&runner->line, buffer_str(&text));
	}
}

static void discover(struct runner *runner);

static void announce(struct runner *runner)
{
	if (runner->announced || !runner->options->announce)
		return;
	runner->announced = true;
	printf("wherry: agent ready as %.*s\n", STR(agent_instance_arn(runner->agent)));
	fflush(stdout);
}

static void report(const struct error *err) { say("%s", err->text); }

/* Once the machine has a name; anew when it gets another. */
static void watch_network(struct runner *runner)
{
	struct watch_options options = {
		.client = &runner->client, .cluster = agent_cluster(runner->agent),
		.instance_arn = agent_instance_arn(runner->agent), .fabric = runner->fabric, .report = report,
	};
	struct error error = {0};

	if (runner->watch && str_equal(watch_instance(runner->watch), options.instance_arn))
		return;
	watch_stop(runner->watch);
	runner->watch = NULL;
	if (!watch_start(&options, &runner->watch, &error))
		say("%s", error.text);
}

/* The brain's next word comes with the timer: never in the middle of a step. */
static void wake_up_at(struct runner *runner, usec at);

static void act(struct runner *runner)
{
	struct agent_effects *out = &runner->effects;

	send_messages(runner);
	for (size_t i = 0; i < out->calls.count; i++)
		calls_make(runner->calls, out->calls.items[i].operation, out->calls.items[i].input, answered, runner,
			   out->calls.items[i].ticket);
	for (size_t i = 0; i < out->jobs.count; i++)
		hands_submit(runner->hands, &out->jobs.items[i]);
	if (out->terminal) {
		say("%s", out->error.text);
		stop(runner, RUNNER_EXIT_TERMINAL);
	}
	if (out->connect) {
		announce(runner);
		watch_network(runner);
		discover(runner);
	}
	if (out->health_changed)
		telemetry_health_changed(runner->telemetry);
	wake_up_at(runner, out->wake_at);
	if (runner->going_down && agent_is_idle(runner->agent))
		stop(runner, EXIT_SUCCESS);
}

static void step(struct runner *runner, struct agent_event event)
{
	struct error error = {0};

	if (runner->stopping)
		return;
	event.now = clock_now();
	event.seed = random_next(&runner->random);
	event.arena = &runner->step_arena;
	agent_effects_clear(&runner->effects);
	agent_step(runner->agent, &event, &runner->effects);
	if (write_records(runner, &error)) {
		act(runner);
	} else {
		say("%s", error.text);
		stop(runner, EXIT_AGAIN);                /* the disk is full or broken: containers go on */
	}
	arena_reset(&runner->step_arena);
}

static void tick(uv_timer_t *timer)
{
	step(timer->data, (struct agent_event){.type = AGENT_EVENT_TICK});
}

static void wake_up_at(struct runner *runner, usec at)
{
	usec now = clock_now();

	if (at == USEC_NEVER)
		uv_timer_stop(&runner->wake);
	else
		uv_timer_start(&runner->wake, tick, at <= now ? 0 : (uint64_t)((at - now) / USEC_PER_MSEC + 1), 0);
}

/* ---- The channel */

static void channel_opened(void *arg)
{
	struct runner *runner = arg;

	runner->was_connected = true;
	step(runner, (struct agent_event){.type = AGENT_EVENT_CHANNEL_OPEN});
}

static void channel_frame(void *arg, struct str text)
{
	struct runner *runner = arg;
	auto_arena arena = {0};
	struct str type;
	void *message;
	struct error error = {0};

	if (!envelope_decode(acs_types, text, &arena, &type, &message, &error))
		say("a message from the server: %s", error.text);
	else if (!message)
		say("a message of unknown type '%.*s'", STR(str_slice(type, 0, 100)));
	else
		step(runner, (struct agent_event){.type = AGENT_EVENT_MESSAGE, .message_type = type,
						  .message = message});
}

static void channel_ended(struct runner *runner, const struct error *err)
{
	if (err->code != ERROR_NONE)
		say("channel: %s", err->text);
	step(runner, (struct agent_event){.type = AGENT_EVENT_CHANNEL_CLOSED, .error = err->code,
					  .error_text = str_of(err->text)});
}

static void channel_closed(void *arg, const struct error *err) { channel_ended(arg, err); }

static void connect_to(struct runner *runner, struct str endpoint)
{
	static const struct uplink_events events = {channel_opened, channel_frame, channel_closed};
	auto_arena arena = {0};
	const struct query_part parts[] = {
		{ "agentHash", S("wherry") }, { "agentVersion", S(WHERRY_VERSION) },
		{ "clusterArn", agent_cluster(runner->agent) },
		{ "containerInstanceArn", agent_instance_arn(runner->agent) },
		{ "dockerVersion", S("DockerVersion: wherry-" WHERRY_VERSION) }, { "protocolVersion", S("2") },
		{ "sendCredentials", runner->was_connected ? S("false") : S("true") }, { "seqNum", S("1") },
	};
	struct error error = {0};

	if (!line_open(&runner->line, &runner->loop, &runner->client, query_url(endpoint, parts, COUNT(parts), &arena),
		       &events, runner, &error))
		channel_ended(runner, &error);
}

static void start_telemetry(struct runner *runner, struct str endpoint)
{
	if (str_empty(endpoint))
		return;
	if (!runner->telemetry) {
		struct telemetry_options options = {
			.client = &runner->client, .version = S(WHERRY_VERSION), .agent = runner->agent, .stats = runner->stats,
			.cluster = arena_copy(&runner->arena, agent_cluster(runner->agent)),
			.instance_arn = arena_copy(&runner->arena, agent_instance_arn(runner->agent)),
			.disable_metrics = runner->settings.disable_metrics,
			.disable_health = runner->settings.disable_health,
		};

		runner->telemetry = telemetry_new(&runner->loop, &options);
	}
	telemetry_point(runner->telemetry, endpoint);
}

/* Asked before each connect, so that a server may move; when it does not answer, the old place is tried. */
static void discovered(void *arg, uint64_t ticket, const void *output, const struct error *err)
{
	struct runner *runner = arg;
	const struct ecs_discover_poll_endpoint_response *answer = output;

	runner->discovering = false;
	if (runner->stopping)
		return;
	if (answer && !str_empty(answer->endpoint)) {
		buffer_clear(&runner->endpoint);
		buffer_add(&runner->endpoint, answer->endpoint);
		start_telemetry(runner, answer->telemetry_endpoint);
	} else if (runner->endpoint.len == 0) {
		channel_ended(runner, err);
		return;
	}
	connect_to(runner, buffer_str(&runner->endpoint));
}

static void discover(struct runner *runner)
{
	struct ecs_discover_poll_endpoint_request request = {.cluster = agent_cluster(runner->agent),
		.container_instance = agent_instance_arn(runner->agent)};

	if (runner->discovering || line_is_used(&runner->line))
		return;
	runner->discovering = true;
	calls_make(runner->calls, &api_ecs.operations[ECS_OPERATION_DISCOVER_POLL_ENDPOINT], &request, discovered,
		   runner, 0);
}

/* ---- Facts and signals */

/* What is served beside the containers comes and goes with them, before the brain does more with them. */
static void attend(struct runner *runner, const struct fact *fact)
{
	if (fact->kind == FACT_START && fact->ok)
		local_started(runner->local, fact->task_id, fact->container);
	else if (fact->kind == FACT_FOUND && fact->running)
		local_found(runner->local, fact->task_id, fact->container);
	else if (fact->kind == FACT_START || fact->kind == FACT_EXIT || fact->kind == FACT_FOUND)
		local_ended(runner->local, fact->task_id, fact->container);
}

static void take_facts(uv_poll_t *poll, int status, int events)
{
	struct runner *runner = poll->data;
	struct fact fact;

	for (;;) {
		auto_arena arena = {0};

		if (runner->stopping || !hands_next(runner->hands, &arena, &fact))
			return;
		attend(runner, &fact);
		step(runner, (struct agent_event){.type = AGENT_EVENT_FACT, .fact = &fact});
	}
}

static void on_terminate(uv_signal_t *handle, int number) { stop(handle->data, EXIT_SUCCESS); }

static void on_down(uv_signal_t *handle, int number)
{
	struct runner *runner = handle->data;

	runner->going_down = true;
	step(runner, (struct agent_event){.type = AGENT_EVENT_STOP_ALL});
}

/* ---- The beginning and the end */

static bool restore(void *arg, const struct store_change *change, struct error *err)
{
	struct runner *runner = arg;
	auto_arena arena = {0};
	void *value = NULL;
	struct json_fault fault = {0};

	if (str_has(change->value) &&
	    !json_decode(agent_record_shape(change->key), change->value, &arena, &value, &fault))
		return fail(err, ERROR_CORRUPT, "record '%.*s': %s", STR(change->key), fault.error.text);
	agent_restore(runner->agent, change->key, value);
	return true;
}

static struct str folder(struct runner *runner, struct str parent, const char *name)
{
	return arena_printf(&runner->arena, "%.*s/%s", STR(parent), name);
}

static bool open_store(struct runner *runner, struct error *err)
{
	struct str path = folder(runner, runner->options->data, "agent");

	return folder_make(arena_cstr(&runner->arena, path), 0700, err) &&
	       store_open_sqlite(path, S("agent.db"), &runner->store, err) &&
	       store_load(runner->store, restore, runner, err);
}

/* "wherry" on a machine's usual Wherry; others beside it (DATA given: tests, CI) have names of their own, made from
 * their run folder, so that none takes away what belongs to another. */
static struct str machine_name(struct runner *runner)
{
	struct str run = runner->options->run;

	if (str_equal(run, S("/run/wherry")))
		return S("wherry");
	return arena_printf(&runner->arena, "wh%05x", (unsigned)(str_hash(run, 0) & 0xfffff));
}

/* Of the nft tables with the rules of the tasks' address: the host's, and each container's. */
static struct str local_table(struct runner *runner)
{
	return arena_printf(&runner->arena, "%.*s_task", STR(machine_name(runner)));
}

/* The hands are older than the loop, and what is served on it. */
static bool introduce(void *arg, const struct hands_guest *guest, struct arena *arena, struct oci_strings *ret_fixed,
		      struct oci_strings *ret_fallbacks, struct error *err)
{
	struct runner *runner = arg;

	return local_introduce(runner->local, guest, arena, ret_fixed, ret_fallbacks, err);
}

static bool open_host(struct runner *runner, struct error *err)
{
	const struct runner_options *options = runner->options;
	struct str name = machine_name(runner);
	struct images_options images = {.folder = folder(runner, options->data, "images"),
					.allow_http = options->allow_http_registries};
	struct network_options network = {
		.bridge = arena_printf(&runner->arena, "%.*s0", STR(name)), .table = name, .state_folder = folder(runner, options->run, "network"),
		.bridge_cidr = str_empty(options->bridge_cidr) ? S("172.31.224.1/20") : options->bridge_cidr,
		.port_low = runner->settings.port_low, .port_high = runner->settings.port_high,
	};
	struct hands_options hands = {.data = options->data, .run = options->run, .runtime = options->runtime,
				      .keeper = options->keeper, .pull_behavior = runner->settings.pull_behavior,
				      .keep_logs = runner->settings.agent.cleanup_wait,
				      .logins = &runner->settings.logins,
				      .introduce = introduce, .introduce_arg = runner,
				      .fargate_runtime = options->fargate_runtime,
				      .environment_store = {.endpoint = options->s3_endpoint, .region = runner->client.region,
							    .key_id = options->key_id, .secret = options->secret,
							    .session_token = options->session_token}};
	struct fabric_options fabric = {.run = options->run, .prefix = name, .public_cidr = options->public_cidr,
					.table = arena_printf(&runner->arena, "%.*s-vpc", STR(name))};

	struct awslogs_options awslogs = {.client = &runner->client, .folder = folder(runner, options->data, "logs")};

	if (!folder_make(arena_cstr(&runner->arena, options->run), 0755, err) ||
	    !images_open(&images, &runner->images, err) || !network_new(&network, &runner->network, err) ||
	    !network_up(runner->network, err) || !fabric_new(&fabric, &runner->fabric, err))
		return false;
	if (!str_empty(runner->client.endpoint)) {
		if (!awslogs_new(&awslogs, &runner->awslogs, err))
			return false;
		hands.open_log = awslogs_open;
		hands.open_log_arg = runner->awslogs;
	}
	hands.images = runner->images;
	hands.network = runner->network;
	hands.fabric = runner->fabric;
	return hands_new(&hands, &runner->hands, err);
}

static bool configure(struct runner *runner, struct error *err)
{
	const struct runner_options *options = runner->options;
	struct settings *settings = &runner->settings;

	if (!settings_read("/etc/ecs/ecs.config", &runner->arena, settings, err))
		return false;
	runner->client = (struct client_options){
		.endpoint = str_empty(options->endpoint) ? settings->backend_host : options->endpoint,
		.region = str_empty(options->region) ? settings->region : options->region,
		.timeout = CALL_SECONDS * USEC_PER_SEC, .insecure = options->insecure_tls,
		.key_id = options->key_id, .secret = options->secret,
		.user_agent = S("Amazon ECS Agent - v" WHERRY_VERSION " (wherry) (linux; LINUX)"),
	};
	if (str_empty(runner->client.endpoint))
		return fail(err, ERROR_INVALID_PARAMETER, "no endpoint: set ECS_BACKEND_HOST");
	if (str_empty(runner->client.region))
		return fail(err, ERROR_INVALID_PARAMETER, "no region: set AWS_DEFAULT_REGION");
	if (str_empty(runner->client.key_id) || str_empty(runner->client.secret))
		return fail(err, ERROR_INVALID_PARAMETER,
			    "no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY");
	return true;
}

static void watch_signal(struct runner *runner, uv_signal_t *handle, uv_signal_cb callback, int number)
{
	uv_signal_init(&runner->loop, handle);
	handle->data = runner;
	uv_signal_start(handle, callback, number);
}

static void start_loop(struct runner *runner)
{
	struct file_systems_options file_systems = {
		.loop = &runner->loop, .agent = runner->agent, .data = runner->options->data, .report = report};

	uv_loop_init(&runner->loop);
	uv_timer_init(&runner->loop, &runner->wake);
	uv_poll_init(&runner->loop, &runner->facts, hands_fd(runner->hands));
	runner->wake.data = runner->facts.data = runner;
	uv_poll_start(&runner->facts, UV_READABLE, take_facts);
	watch_signal(runner, &runner->terminate, on_terminate, SIGTERM);
	watch_signal(runner, &runner->interrupt, on_terminate, SIGINT);
	watch_signal(runner, &runner->down, on_down, SIGUSR1);
	line_init(&runner->line, &runner->loop);
	file_systems.calls = runner->calls = calls_new(&runner->loop, &runner->client);
	runner->file_systems = file_systems_new(&file_systems);
}

static void on_sampled(uv_async_t *async) { telemetry_sampled(((struct runner *)async->data)->telemetry); }

/* In the sampling thread. */
static void sampled(void *arg) { uv_async_send(&((struct runner *)arg)->sampled); }

static bool start_local(struct runner *runner, struct error *err)
{
	const struct stats_options stats = {.sampled = sampled, .arg = runner};
	struct local_options local = {
		.loop = &runner->loop, .agent = runner->agent, .calls = runner->calls, .data = runner->options->data,
		.run = runner->options->run, .region = runner->client.region, .table = local_table(runner),
		.introspection_port = (uint16_t)runner->settings.introspection_port, .say = say,
	};

	uv_async_init(&runner->loop, &runner->sampled, on_sampled);
	runner->sampled.data = runner;
	if (!stats_new(&stats, &runner->stats, err))
		return false;
	local.stats = runner->stats;
	return local_new(&local, &runner->local, err);
}

/* Waits for the calls under way: at most CALL_SECONDS, and only when the server hangs. */
static void end_loop(struct runner *runner)
{
	uv_handle_t *handles[] = {
		(uv_handle_t *)&runner->wake, (uv_handle_t *)&runner->facts, (uv_handle_t *)&runner->terminate,
		(uv_handle_t *)&runner->interrupt, (uv_handle_t *)&runner->down, (uv_handle_t *)&runner->sampled,
	};
	struct stats *stats = runner->stats;

	runner->stats = NULL;
	stats_free(stats);                               /* its thread wakes the loop */
	for (size_t i = 0; i < COUNT(handles); i++)
		uv_close(handles[i], NULL);
	watch_stop(runner->watch);
	fabric_stop_waiting(runner->fabric);
	line_fini(&runner->line);
	telemetry_stop(runner->telemetry);
	file_systems_stop(runner->file_systems);
	local_stop(runner->local);
	uv_run(&runner->loop, UV_RUN_DEFAULT);
	uv_loop_close(&runner->loop);
	telemetry_free(runner->telemetry);
	file_systems_free(runner->file_systems);
	calls_free(runner->calls);
}

/* `wherry down`: after the last task, what belongs to none. */
static void take_back(struct runner *runner)
{
	struct error error = {0};

	if (!hands_sweep(runner->hands, &error))
		say("%s", error.text);
	if (!fabric_down(runner->fabric, &error))
		say("%s", error.text);
	if (!network_down(runner->network, &error))
		say("%s", error.text);
	if (!local_remove(local_table(runner), &error))
		say("%s", error.text);
}

static void close_all(struct runner *runner)
{
	hands_free(runner->hands);
	awslogs_free(runner->awslogs);
	local_free(runner->local);
	fabric_free(runner->fabric);
	network_free(runner->network);
	images_close(runner->images);
	store_close(runner->store);
	agent_free(runner->agent);
	agent_effects_fini(&runner->effects);
	buffer_fini(&runner->endpoint);
	arena_fini(&runner->step_arena);
	arena_fini(&runner->arena);
}

static int run(struct runner *runner)
{
	struct error error = {0};
	bool sweep;

	start_loop(runner);
	if (!start_local(runner, &error)) {
		say("%s", error.text);
		stop(runner, EXIT_AGAIN);
	}
	step(runner, (struct agent_event){.type = AGENT_EVENT_START});
	hands_reconcile(runner->hands);
	if (!runner->stopping)
		uv_run(&runner->loop, UV_RUN_DEFAULT);
	sweep = runner->going_down && agent_is_idle(runner->agent);
	if (sweep)
		awslogs_flush(runner->awslogs, LOGS_SECONDS * USEC_PER_SEC);
	end_loop(runner);
	if (sweep)
		take_back(runner);
	return runner->exit_code;
}

int runner_run(const struct runner_options *options)
{
	struct runner runner = {.options = options};
	struct error error = {0};
	int code = EXIT_AGAIN;

	signal(SIGPIPE, SIG_IGN);
	mallopt(M_ARENA_MAX, 1);                         /* few threads, mostly asleep: memory before speed */
	random_init(&runner.random, entropy_number(), 0);
	if (!configure(&runner, &error)) {
		say("%s", error.text);
		arena_fini(&runner.arena);
		return RUNNER_EXIT_TERMINAL;
	}
	runner.agent = agent_new(&runner.settings.agent);
	if (open_store(&runner, &error) && open_host(&runner, &error))
		code = run(&runner);
	else
		say("%s", error.text);
	close_all(&runner);
	return code;
}

int runner_sweep(const struct runner_options *options)
{
	struct runner runner = {.options = options};
	struct error error = {0};
	int code = EXIT_AGAIN;

	if (settings_read("/etc/ecs/ecs.config", &runner.arena, &runner.settings, &error) && open_host(&runner, &error)) {
		take_back(&runner);
		code = EXIT_SUCCESS;
	} else {
		say("%s", error.text);
	}
	close_all(&runner);
	return code;
}
