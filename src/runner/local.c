#include "runner/local.h"
#include <arpa/inet.h>
#include <errno.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include "base/list.h"
#include "base/map.h"
#include "host/stats.h"
#include "host/task_address.h"
#include "os/entropy.h"
#include "os/fd.h"
#include "os/file.h"
#include "runner/local_private.h"

enum { KEY_SIZE = 32, ID_LENGTH = 36, KEEP_MSEC = 2000, INTROSPECTION_BACKLOG = 16 };

/* A container in its network. Its strings are one block, owned. */
struct guest {
	struct arena arena;
	struct str id, task_id, container, name, place;  /* name: "TASK/CONTAINER" */
	struct str *addresses;
	size_t address_count;
};

struct local {
	struct local_options options;
	struct endpoint *endpoint;
	uv_timer_t keep;
	unsigned char key[KEY_SIZE];
	bool has_host;
	pthread_mutex_t lock;                            /* of the guests: they come in workers' threads */
	struct map by_id, by_name;
};

const struct local_options *local_options(const struct local *local) { return &local->options; }

/* ---- Ids: a keyed hash of the container's name, written as a UUID */

static struct str make_id(const struct local *local, struct str name, struct arena *arena)
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned len = 0;

	if (!HMAC(EVP_sha256(), local->key, KEY_SIZE, (const unsigned char *)name.ptr, name.len, digest, &len))
		abort();
	return arena_printf(arena, "%02x%02x%02x%02x-%02x%02x-4%01x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", digest[0], digest[1],
			    digest[2], digest[3], digest[4], digest[5], digest[6] & 15, digest[7], (digest[8] & 63) | 128,
			    digest[9], digest[10], digest[11], digest[12], digest[13], digest[14], digest[15]);
}

/* Made at the first start; whoever has it could make every id. */
static bool open_key(struct local *local, struct error *err)
{
	auto_arena arena = {0};
	const char *path = arena_printf(&arena, "%.*s/agent/endpoint.key", STR(local->options.data)).ptr;
	struct error missing = {0};
	struct str text;

	if (file_read(AT_FDCWD, path, KEY_SIZE, &arena, &text, &missing) && text.len == KEY_SIZE) {
		memcpy(local->key, text.ptr, KEY_SIZE);
		return true;
	}
	entropy_fill(local->key, KEY_SIZE);
	return file_write(AT_FDCWD, path, (struct str){(const char *)local->key, KEY_SIZE}, 0600, err);
}

/* ---- Guests */

static bool is_task_wide(const struct acs_task *task) { return str_equal(task->network_mode, S("awsvpc")); }

static struct str name_of(struct str task_id, struct str container, struct arena *arena)
{
	return arena_printf(arena, "%.*s/%.*s", STR(task_id), STR(container));
}

static struct str place_of(const struct acs_task *task, struct str task_id, struct str name, struct str netns)
{
	if (!str_has(netns))
		return HOST_PLACE;
	return is_task_wide(task) ? task_id : name;
}

static void guest_free(struct guest *guest)
{
	if (!guest)
		return;
	arena_fini(&guest->arena);
	free(guest);
}

/* Under the lock. */
static struct guest *remove_guest(struct local *local, struct str name)
{
	struct guest *guest = map_remove(&local->by_name, name);

	if (guest)
		map_remove(&local->by_id, guest->id);
	return guest;
}

/* Under the lock. Guests of one place are of one task: they are few. */
static struct guest *find_at(struct local *local, struct str place)
{
	struct guest *guest;
	size_t cursor = 0;

	while ((guest = map_next(&local->by_name, &cursor)))
		if (str_equal(guest->place, place))
			return guest;
	return NULL;
}

static void add_guest(struct local *local, const struct hands_guest *who, struct str place, const struct str *addresses,
		      size_t count)
{
	struct guest *guest = calloc(1, sizeof(*guest)), *old;
	struct arena *arena;

	if (!guest)
		abort();
	arena = &guest->arena;
	guest->task_id = arena_copy(arena, who->task_id);
	guest->container = arena_copy(arena, who->container->name);
	guest->name = name_of(who->task_id, who->container->name, arena);
	guest->place = arena_copy(arena, place);
	guest->id = make_id(local, guest->name, arena);
	guest->addresses = arena_array(arena, struct str, count);
	guest->address_count = count;
	for (size_t i = 0; i < count; i++)
		guest->addresses[i] = arena_copy(arena, addresses[i]);
	pthread_mutex_lock(&local->lock);
	old = remove_guest(local, guest->name);
	map_put(&local->by_name, guest->name, guest);
	map_put(&local->by_id, guest->id, guest);
	pthread_mutex_unlock(&local->lock);
	guest_free(old);
}

/* A task's work is done in order: nobody else opens its place meanwhile. */
static bool is_open(struct local *local, const struct acs_task *task, struct str place)
{
	bool found;

	if (!is_task_wide(task))
		return false;
	pthread_mutex_lock(&local->lock);
	found = find_at(local, place) != NULL;
	pthread_mutex_unlock(&local->lock);
	return found;
}

static bool welcome(struct local *local, const struct hands_guest *who, struct error *err)
{
	auto_arena arena = {0};
	struct str name = name_of(who->task_id, who->container->name, &arena);
	struct str place = place_of(who->task, who->task_id, name, who->netns);
	struct str *addresses = NULL;
	size_t count = 0;
	int fd;

	if (str_has(who->netns) && !is_open(local, who->task, place)) {
		if (!task_address_open(who->netns, local->options.table, &arena, &fd, &addresses, &count, err))
			return false;
		endpoint_offer(local->endpoint, place, fd);
	}
	add_guest(local, who, place, addresses, count);
	return true;
}

static void set(struct oci_strings *list, struct str value) { list->items[list->count++] = value; }

bool local_introduce(void *arg, const struct hands_guest *who, struct arena *arena, struct oci_strings *ret_fixed,
		     struct oci_strings *ret_fallbacks, struct error *err)
{
	struct local *local = arg;
	const struct acs_iam_role_credentials *role = who->task->role_credentials;
	struct str region = local->options.region;
	struct str id = make_id(local, name_of(who->task_id, who->container->name, arena), arena);
	const struct acs_string_map *given = &who->container->environment;
	bool has_region = false;

	if (!welcome(local, who, err))
		return false;
	ret_fixed->items = arena_array(arena, struct str, 4);
	set(ret_fixed, arena_printf(arena, "ECS_CONTAINER_METADATA_URI=http://169.254.170.2/v3/%.*s", STR(id)));
	set(ret_fixed, arena_printf(arena, "ECS_CONTAINER_METADATA_URI_V4=http://169.254.170.2/v4/%.*s", STR(id)));
	set(ret_fixed, arena_printf(arena, "ECS_AGENT_URI=http://169.254.170.2/api/%.*s", STR(id)));
	if (role && !str_empty(role->credentials_id))
		set(ret_fixed, arena_printf(arena, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI=/v2/credentials/%.*s",
					    STR(role->credentials_id)));
	/* One region said is all regions said: the two must not disagree. */
	for (size_t i = 0; i < given->count; i++)
		has_region = has_region || str_equal(given->items[i].key, S("AWS_REGION")) ||
			     str_equal(given->items[i].key, S("AWS_DEFAULT_REGION"));
	if (has_region)
		return true;
	ret_fallbacks->items = arena_array(arena, struct str, 2);
	set(ret_fallbacks, arena_printf(arena, "AWS_REGION=%.*s", STR(region)));
	set(ret_fallbacks, arena_printf(arena, "AWS_DEFAULT_REGION=%.*s", STR(region)));
	return true;
}

/* ---- Coming and going */

const struct agent_task *local_find_task(struct local *local, struct str task_id)
{
	size_t count = agent_task_count(local->options.agent);
	struct str id;

	for (size_t i = 0; i < count; i++) {
		const struct agent_task *task = agent_task_at(local->options.agent, i, &id);

		if (str_equal(id, task_id))
			return task;
	}
	return NULL;
}

/* Where the hands put it (hands_work.c): absent on the host's network. */
static struct str netns_path(struct local *local, const struct acs_task *task, struct str task_id, struct str container,
			     struct arena *arena)
{
	if (str_equal(task->network_mode, S("host")))
		return STR_NONE;
	if (is_task_wide(task))
		return arena_printf(arena, "%.*s/tasks/%.*s/.netns", STR(local->options.run), STR(task_id));
	return arena_printf(arena, "%.*s/tasks/%.*s/%.*s/netns", STR(local->options.run), STR(task_id), STR(container));
}

void local_started(struct local *local, struct str task_id, struct str container)
{
	const struct agent_task *task = local_find_task(local, task_id);
	auto_arena arena = {0};

	if (!task)
		return;
	stats_watch(local->options.stats, task_id, container,
		    str_equal(task->task->network_mode, S("none")) ? STR_NONE
			    : netns_path(local, task->task, task_id, container, &arena));
}

void local_found(struct local *local, struct str task_id, struct str container)
{
	const struct agent_task *task = local_find_task(local, task_id);
	struct hands_guest who = {.task_id = task_id, .task = task ? task->task : NULL};
	auto_arena arena = {0};
	struct error error = {0};

	for (size_t i = 0; task && i < task->task->containers.count; i++)
		if (str_equal(task->task->containers.items[i].name, container))
			who.container = &task->task->containers.items[i];
	if (!who.container)
		return;
	who.netns = netns_path(local, who.task, task_id, container, &arena);
	if (!welcome(local, &who, &error))
		local->options.say("task endpoint of %.*s/%.*s: %s", STR(task_id), STR(container), error.text);
	local_started(local, task_id, container);
}

void local_ended(struct local *local, struct str task_id, struct str container)
{
	auto_arena arena = {0};
	struct guest *guest;
	bool last;

	stats_forget(local->options.stats, task_id, container);
	pthread_mutex_lock(&local->lock);
	guest = remove_guest(local, name_of(task_id, container, &arena));
	last = guest && !str_equal(guest->place, HOST_PLACE) && !find_at(local, guest->place);
	pthread_mutex_unlock(&local->lock);
	if (last)
		endpoint_close(local->endpoint, guest->place);
	guest_free(guest);
}

/* ---- Who asks */

static bool copy_visitor(struct local *local, const struct guest *guest, struct arena *arena, struct visitor *ret_visitor)
{
	if (!guest)
		return false;
	*ret_visitor = (struct visitor){.task_id = arena_copy(arena, guest->task_id),
					.container = arena_copy(arena, guest->container)};
	return true;
}

static bool complete(struct local *local, bool found, struct visitor *visitor)
{
	visitor->task = found ? local_find_task(local, visitor->task_id) : NULL;
	return visitor->task != NULL;
}

bool local_visitor(struct local *local, struct str place, struct str id, struct arena *arena, struct visitor *ret_visitor)
{
	const struct guest *guest;
	bool found;

	if (id.len != ID_LENGTH)
		return false;
	pthread_mutex_lock(&local->lock);
	guest = map_get(&local->by_id, id);
	found = guest && str_equal(guest->place, place) && copy_visitor(local, guest, arena, ret_visitor);
	pthread_mutex_unlock(&local->lock);
	return complete(local, found, ret_visitor);
}

bool local_place_task(struct local *local, struct str place, struct arena *arena, struct visitor *ret_visitor)
{
	bool found;

	if (str_equal(place, HOST_PLACE))
		return false;
	pthread_mutex_lock(&local->lock);
	found = copy_visitor(local, find_at(local, place), arena, ret_visitor);
	pthread_mutex_unlock(&local->lock);
	return complete(local, found, ret_visitor);
}

size_t local_addresses(void *arg, struct str task_id, struct str container, struct arena *arena, struct str **ret_texts)
{
	struct local *local = arg;
	struct str name = name_of(task_id, container, arena);
	const struct guest *guest;
	size_t count;

	pthread_mutex_lock(&local->lock);
	guest = map_get(&local->by_name, name);
	count = guest ? guest->address_count : 0;
	*ret_texts = arena_array(arena, struct str, count);
	for (size_t i = 0; i < count; i++)
		(*ret_texts)[i] = arena_copy(arena, guest->addresses[i]);
	pthread_mutex_unlock(&local->lock);
	return count;
}

bool local_is_here(void *arg, struct str task_id, struct str container)
{
	struct local *local = arg;
	auto_arena arena = {0};
	bool here;

	pthread_mutex_lock(&local->lock);
	here = map_get(&local->by_name, name_of(task_id, container, &arena)) != NULL;
	pthread_mutex_unlock(&local->lock);
	return here;
}

/* ---- Lifecycle */

/* Another Wherry on this machine that goes down takes the address along. */
static void keep_address(uv_timer_t *timer)
{
	struct local *local = timer->data;

	if (local->has_host)
		task_address_keep(NULL);
}

static void open_host(struct local *local)
{
	auto_arena arena = {0};
	struct error error = {0};
	struct str *addresses;
	size_t count;
	int fd;

	local->has_host = task_address_open(STR_NONE, local->options.table, &arena, &fd, &addresses, &count, &error);
	if (local->has_host)
		endpoint_offer(local->endpoint, HOST_PLACE, fd);
	else
		local->options.say("task endpoint of the host's network: %s", error.text);
}

static void open_introspection(struct local *local)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
				      .sin_port = htons(local->options.introspection_port)};
	auto_fd fd = -1;
	int yes = 1;

	if (!local->options.introspection_port)
		return;
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes)) < 0 ||
	    bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, INTROSPECTION_BACKLOG) < 0) {
		local->options.say("no introspection on 127.0.0.1:%u: %s", local->options.introspection_port, strerror(errno));
		return;
	}
	endpoint_offer(local->endpoint, INTROSPECTION_PLACE, take_fd(&fd));
}

bool local_new(const struct local_options *options, struct local **ret_local, struct error *err)
{
	struct local *local = calloc(1, sizeof(*local));
	struct endpoint_options endpoint = {.loop = options->loop, .serve = local_serve, .arg = local};

	if (!local)
		abort();
	local->options = *options;
	if (!open_key(local, err)) {
		free(local);
		return false;
	}
	pthread_mutex_init(&local->lock, NULL);
	local->endpoint = endpoint_new(&endpoint);
	uv_timer_init(options->loop, &local->keep);
	local->keep.data = local;
	uv_timer_start(&local->keep, keep_address, KEEP_MSEC, KEEP_MSEC);
	open_host(local);
	open_introspection(local);
	*ret_local = local;
	return true;
}

void local_stop(struct local *local)
{
	if (!local)
		return;
	endpoint_stop(local->endpoint);
	uv_close((uv_handle_t *)&local->keep, NULL);
}

void local_free(struct local *local)
{
	struct guest *guest;
	size_t cursor = 0;

	if (!local)
		return;
	while ((guest = map_next(&local->by_name, &cursor)))
		guest_free(guest);
	map_fini(&local->by_name);
	map_fini(&local->by_id);
	endpoint_free(local->endpoint);
	pthread_mutex_destroy(&local->lock);
	free(local);
}

bool local_remove(struct str table, struct error *err) { return task_address_remove(table, err); }
