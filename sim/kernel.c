/* kernel.c - the hands and what they hold: images, processes that end, and processes that do not want to.
 *
 * The jobs of one task are done in order, those of different tasks side by side; probes and pulls run beside them. Containers outlive their agent, not their machine. How a container behaves is the name of its image:
 *   web      runs until it is told to stop
 *   job      ends by itself, with some exit code
 *   restless ends by itself after a longer while; with a restart policy after one that may allow a restart
 * A container with a health check falls ill and recovers as the weather has it. */
#include "sim/world.h"

struct work_done {
	struct happening happening;
	struct machine *machine;
	struct box *box;
	struct container *container;
	uint64_t life, boot;
	unsigned run;
	int code;
	bool out_of_memory;
	struct job job;                                  /* one beside the queue */
};

static const struct str no_reason = STR_NONE;

static struct work_done *later(struct sim *sim, struct box *box, usec delay, void (*run)(struct sim *, struct happening *))
{
	struct work_done *done = happen(sim, delay, struct work_done, run);

	done->machine = box->machine;
	done->box = box;
	done->life = box->machine->life;
	done->boot = box->machine->boot;
	return done;
}

/* ---- Boxes */

static struct box *find_box(struct machine *machine, struct str id)
{
	for (size_t i = 0; i < machine->boxes.count; i++)
		if (!machine->boxes.items[i]->gone && str_equal(machine->boxes.items[i]->id, id))
			return machine->boxes.items[i];
	return NULL;
}

static const struct docker_healthcheck *read_health(struct sim *sim, const struct acs_container *definition)
{
	struct docker_config *config;
	struct json_fault fault;

	if (str_empty(definition->health_check_type))
		return NULL;
	if (json_decode(&shape_docker_config, definition->docker_config->config, &sim->arena, (void **)&config, &fault))
		return config->healthcheck;
	violation(sim, "frames are well formed", "%s in %.*s", fault.error.text, STR(definition->docker_config->config));
	return NULL;
}

static struct box *make_box(struct sim *sim, struct machine *machine, const struct job *job)
{
	struct box *box = calloc(1, sizeof(*box));

	if (!box)
		abort();
	box->machine = machine;
	box->id = arena_copy(&sim->arena, job->task_id);
	box->task = shape_copy(&shape_acs_task, job->task->task, &sim->arena);
	box->count = box->task->containers.count;
	box->containers = calloc(box->count + 1, sizeof(*box->containers));
	for (size_t i = 0; i < box->count; i++) {
		box->containers[i].box = box;
		box->containers[i].name = box->task->containers.items[i].name;
		box->containers[i].definition = &box->task->containers.items[i];
		box->containers[i].health = read_health(sim, &box->task->containers.items[i]);
	}
	list_add(&machine->boxes, box);
	return box;
}

void kernel_free_boxes(struct machine *machine)
{
	for (size_t i = 0; i < machine->boxes.count; i++) {
		list_fini(&machine->boxes.items[i]->queue);
		free(machine->boxes.items[i]->containers);
		free(machine->boxes.items[i]);
	}
	list_fini(&machine->boxes);
}

static bool image_is(const struct container *container, struct str prefix)
{
	return str_starts(container->definition->image, prefix);
}

static bool has_policy(const struct container *container)
{
	return container->definition->restart_policy && container->definition->restart_policy->enabled.value;
}

/* ---- Processes */

static void tell_exit(struct sim *sim, struct happening *happening)
{
	struct work_done *done = (struct work_done *)happening;
	struct container *container = done->container;

	if (done->machine->life != done->life)
		return;                                  /* who comes next finds it */
	machine_fact(sim, done->machine, &(struct fact){
		.kind = FACT_EXIT, .task_id = done->box->id, .container = container->name, .ok = true,
		.exit_code = container->exit_code, .out_of_memory = container->out_of_memory, .at = container->at,
		.started_at = container->began});
}

void kernel_exit(struct sim *sim, struct container *container, int exit_code, bool out_of_memory)
{
	struct box *box = container->box;
	struct str key = arena_printf(&sim->arena, "%.*s/%.*s", STR(box->id), STR(container->name));
	struct exit_seen *seen = arena_new(&sim->arena, struct exit_seen);

	if (!container->running)
		return;
	container->running = false;
	container->ended = true;
	container->exit_code = exit_code;
	container->out_of_memory = out_of_memory;
	container->at = sim->now;
	*seen = (struct exit_seen){exit_code, out_of_memory};
	map_put(&sim->exits, key, seen);
	trace(sim, "%s: %s %.*s exits with %d", box->machine->name, trace_name(sim, box->id), STR(container->name), exit_code);
	if (box->machine->agent_up)
		later(sim, box, between(sim, MSECS(1), MSECS(20)), tell_exit)->container = container;
}

static void ends(struct sim *sim, struct happening *happening)
{
	struct work_done *done = (struct work_done *)happening;

	if (done->machine->boot == done->boot && done->container->boot == done->boot &&
	    done->container->run == done->run)
		kernel_exit(sim, done->container, done->code, done->out_of_memory);
}

static void will_end(struct sim *sim, struct container *container, usec delay, int code)
{
	struct work_done *done = later(sim, container->box, delay, ends);

	done->container = container;
	done->run = container->run;
	done->code = code;
}

struct container *kernel_random_container(struct sim *sim)
{
	struct container *chosen = NULL;
	uint64_t count = 0;

	for (unsigned i = 0; i < sim->machine_count; i++)
		EACH_CONTAINER(sim->machines[i], container)
			if (container->running && below(sim, ++count) == 0)
				chosen = container;
	return chosen;
}

/* ---- Jobs: each gives its fact; `reason` is absent when it went well */

static void bind_ports(struct container *container)
{
	size_t index = (size_t)(container - container->box->containers);
	const struct acs_port_mappings *mappings = &container->box->task->containers.items[index].port_mappings;

	container->binding_count = 0;
	for (size_t i = 0; i < mappings->count && i < COUNT(container->bindings); i++) {
		int32_t port = mappings->items[i].host_port.value;

		if (port == 0)
			port = container->box->machine->next_port++;
		container->bindings[container->binding_count++] = (struct ecs_network_binding){
			.bind_ip = S("0.0.0.0"), .container_port = mappings->items[i].container_port,
			.host_port = {port, true}, .protocol = ECS_TRANSPORT_PROTOCOL_TCP};
	}
}

static void run_container(struct sim *sim, struct container *container)
{
	struct box *box = container->box;

	container->running = container->ever = true;
	container->ended = false;
	container->boot = box->machine->boot;
	container->at = container->began = sim->now;
	container->passed_at = 0;
	container->failed = 0;
	container->stubborn = chance(sim, sim->weather.stubborn);
	container->sick = chance(sim, sim->weather.sick);
	if (container->run++ == 0) {
		snprintf(container->runtime_id, sizeof(container->runtime_id), "run-%llu", (unsigned long long)sim->order);
		bind_ports(container);
	}
	trace(sim, "%s: %s %.*s runs%s%s", box->machine->name, trace_name(sim, box->id), STR(container->name),
	      container->run > 1 ? " again" : "", container->stubborn ? ", stubbornly" : "");
	check_container_start(sim, container);
	if (image_is(container, S("job")))
		will_end(sim, container, between(sim, MSECS(1), SECONDS(20)), sim->quiet || chance(sim, 700) ? 0 : (int)below(sim, 256));
	if (image_is(container, S("restless")))
		will_end(sim, container, between(sim, SECONDS(5), SECONDS(has_policy(container) ? 150 : 60)), (int)below(sim, 3));
}

static void describe(const struct container *container, struct fact *fact)
{
	fact->runtime_id = str_of(container->runtime_id);
	fact->bindings = (struct ecs_network_bindings){(struct ecs_network_binding *)container->bindings,
						       container->binding_count};
	fact->exit_code = container->exit_code;
	fact->out_of_memory = container->out_of_memory;
	fact->running = container->running;
	fact->at = container->at;
	fact->started_at = container->began;
}

static void do_start(struct sim *sim, struct container *container, struct fact *fact)
{
	const struct box *box = container->box;

	if (!box->created) {
		violation(sim, "a task is created before it starts", "%s %.*s", trace_name(sim, box->id),
			  STR(container->name));
		return;
	}
	if (!container->running && chance(sim, sim->weather.fail_start)) {
		fact->ok = false;
		fact->reason = S("CannotStartContainerError: the runtime failed");
		return;
	}
	if (!container->running)
		run_container(sim, container);
	describe(container, fact);
}

/* A probe of a run that has ended meanwhile says whatever it was about to say. */
static void do_probe(struct sim *sim, struct container *container, unsigned run, struct fact *fact)
{
	container->probing = 0;
	if (container->run != run) {
		fact->ok = chance(sim, 500);
		fact->reason = fact->ok ? STR_NONE : S("the process is gone");
		return;
	}
	if (sim->quiet || chance(sim, sim->weather.sick))
		container->sick = !sim->quiet && !container->sick;
	fact->ok = container->running && !container->sick;
	if (fact->ok) {
		container->passed_at = sim->now;
		container->passed_ever = true;
		container->failed = 0;
	} else {
		container->failed++;
		fact->reason = container->running ? S("connection refused") : S("the container does not run");
	}
}

static void do_create(struct sim *sim, struct box *box, struct fact *fact)
{
	const struct acs_elastic_network_interfaces *interfaces = &box->task->elastic_network_interfaces;

	if (chance(sim, sim->weather.fail_create)) {
		fact->ok = false;
		fact->reason = S("ResourceInitializationError: no cgroup");
		return;
	}
	box->created = true;
	if (interfaces->count == 0)
		return;
	box->interface = interfaces->items[0].ec2_id;
	box->address = interfaces->items[0].ipv4_addresses.items[0].private_address;
	check_interface(sim, box);
}

static void do_release(struct sim *sim, struct box *box, struct fact *fact)
{
	if (chance(sim, sim->weather.fail_destroy)) {
		fact->ok = false;
		fact->reason = S("device or resource busy");
		return;
	}
	box->interface = box->address = STR_NONE;
}

static void do_signal(struct sim *sim, struct container *container, int signal)
{
	if (!container->running)
		return;
	if (signal == 9)
		will_end(sim, container, sim->weather.slow_hands ? between(sim, MSECS(1), SECONDS(2)) : MSECS(1), 137);
	else if (!container->stubborn)
		will_end(sim, container, sim->weather.slow_hands ? between(sim, MSECS(1), SECONDS(4)) : MSECS(10),
			 chance(sim, 500) ? 0 : 143);
}

static void do_destroy(struct sim *sim, struct box *box, struct fact *fact)
{
	if (chance(sim, sim->weather.fail_destroy)) {
		fact->ok = false;
		fact->reason = S("device or resource busy");
		return;
	}
	for (size_t i = 0; i < box->count; i++)
		kernel_exit(sim, &box->containers[i], 137, false);
	box->interface = box->address = STR_NONE;
	box->gone = true;
}

/* What the job does to the machine, and its fact. */
static void do_job(struct sim *sim, struct box *box, const struct job *job, struct fact *fact)
{
	struct container *container = job->container < box->count ? &box->containers[job->container] : NULL;

	*fact = (struct fact){.kind = (enum fact_kind)job->kind, .task_id = box->id, .ok = true, .reason = no_reason,
			      .at = sim->now};
	if (job->kind != JOB_CREATE && job->kind != JOB_DESTROY && job->kind != JOB_RELEASE)
		fact->container = container->name;
	if (job->kind == JOB_PULL) {
		struct str image = box->task->containers.items[job->container].image;

		box->pulls--;
		if (!map_get(&box->machine->images, image) && chance(sim, sim->weather.fail_pull)) {
			fact->ok = false;
			fact->reason = S("CannotPullContainerError: the registry is away");
			return;
		}
		map_put(&box->machine->images, image, (void *)image.ptr);
		fact->image_digest = S("sha256:00");
	} else if (job->kind == JOB_CREATE) {
		do_create(sim, box, fact);
	} else if (job->kind == JOB_RELEASE) {
		do_release(sim, box, fact);
	} else if (job->kind == JOB_START) {
		do_start(sim, container, fact);
	} else if (job->kind == JOB_SIGNAL) {
		do_signal(sim, container, job->signal);
	} else if (job->kind == JOB_DESTROY) {
		do_destroy(sim, box, fact);
	}
}

static usec duration(struct sim *sim, const struct box *box, const struct job *job)
{
	static const usec longest[] = {[JOB_PULL] = SECONDS(6), [JOB_CREATE] = MSECS(30), [JOB_START] = MSECS(400),
				       [JOB_SIGNAL] = MSECS(5), [JOB_PROBE] = SECONDS(4), [JOB_DESTROY] = MSECS(100),
				       [JOB_RELEASE] = MSECS(100)};

	if (job->kind == JOB_PULL && map_get(&box->machine->images, box->task->containers.items[job->container].image))
		return MSECS(1);
	return sim->weather.slow_hands ? between(sim, MSECS(1), longest[job->kind]) : MSECS(10);
}

static void job_done(struct sim *sim, struct happening *happening);

static void next_job(struct sim *sim, struct box *box)
{
	if (box->busy || box->queue.count == 0)
		return;
	box->busy = true;
	later(sim, box, duration(sim, box, &box->queue.items[0]), job_done);
}

static void job_done(struct sim *sim, struct happening *happening)
{
	struct work_done *done = (struct work_done *)happening;
	struct box *box = done->box;
	struct job job;
	struct fact fact;

	if (done->machine->life != done->life)
		return;
	job = box->queue.items[0];
	list_remove_at(&box->queue, 0);
	box->busy = false;
	do_job(sim, box, &job, &fact);
	if (!fact.ok)
		trace(sim, "%s: %s: %.*s", box->machine->name, trace_name(sim, box->id), STR(fact.reason));
	next_job(sim, box);
	machine_fact(sim, done->machine, &fact);
}

static void beside_done(struct sim *sim, struct happening *happening)
{
	struct work_done *done = (struct work_done *)happening;
	struct fact fact;

	if (done->machine->life != done->life)
		return;
	do_job(sim, done->box, &done->job, &fact);
	if (done->job.kind == JOB_PROBE)
		do_probe(sim, &done->box->containers[done->job.container], done->run, &fact);
	machine_fact(sim, done->machine, &fact);
}

static bool runs_beside(const struct job *job) { return job->kind == JOB_PROBE || job->kind == JOB_PULL; }

void kernel_submit(struct sim *sim, struct machine *machine, const struct job *job)
{
	struct box *box = find_box(machine, job->task_id);
	struct job queued = *job;

	if (!box)
		box = make_box(sim, machine, job);
	check_job(sim, box, job);
	queued.task = NULL;
	queued.task_id = box->id;
	box->pulls += job->kind == JOB_PULL;
	if (runs_beside(job)) {
		struct work_done *done = later(sim, box, duration(sim, box, job), beside_done);

		done->job = queued;
		done->run = box->containers[job->container].run;
		return;
	}
	list_add(&box->queue, queued);
	next_job(sim, box);
}

/* ---- The hands die with their agent: a job under way was done, or was not. */
void kernel_agent_died(struct sim *sim, struct machine *machine)
{
	for (size_t i = 0; i < machine->boxes.count; i++) {
		struct box *box = machine->boxes.items[i];
		struct fact nobody_hears;

		if (box->busy && chance(sim, 500))
			do_job(sim, box, &box->queue.items[0], &nobody_hears);
		box->busy = false;
		box->queue.count = 0;
		box->pulls = 0;
	}
}

void kernel_lost_power(struct sim *sim, struct machine *machine)
{
	for (size_t i = 0; i < machine->boxes.count; i++) {
		struct box *box = machine->boxes.items[i];

		box->gone = true;
		box->interface = box->address = STR_NONE;
		box->busy = false;
		box->queue.count = 0;
		for (size_t j = 0; j < box->count; j++)
			box->containers[j].running = false;
	}
}

/* ---- A new agent asks every keeper. */

static void tell_found(struct sim *sim, struct happening *happening)
{
	struct work_done *done = (struct work_done *)happening;
	struct machine *machine = done->machine;

	if (machine->life != done->life)
		return;
	for (size_t i = 0; i < machine->boxes.count; i++) {
		struct box *box = machine->boxes.items[i];

		for (size_t j = 0; j < box->count && !box->gone; j++) {
			struct fact fact = {.kind = FACT_FOUND, .task_id = box->id, .container = box->containers[j].name,
					    .ok = true};

			if (!box->containers[j].ever)
				continue;
			describe(&box->containers[j], &fact);
			machine_fact(sim, machine, &fact);
		}
	}
	machine_fact(sim, machine, &(struct fact){.kind = FACT_RECONCILED, .ok = true, .at = sim->now});
}

void kernel_reconcile(struct sim *sim, struct machine *machine)
{
	struct work_done *done = happen(sim, between(sim, MSECS(1), MSECS(50)), struct work_done, tell_found);

	done->machine = machine;
	done->life = machine->life;
}
