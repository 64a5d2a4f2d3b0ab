#include "host/fabric.h"
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <time.h>
#include "host/fabric_private.h"
#include "os/clock.h"
#include "os/fd.h"
#include "os/file.h"
#include "os/netns.h"

enum {
	OWNER_ID_LIMIT = 128,                            /* it becomes the name of a file */
	FOLDER_NAMES_LIMIT = 65536,
	PREFIX_NAME_LIMIT = 7,                           /* "PREFIXv0123456" has to be a link's name */
	PUBLIC_PREFIX_WIDEST = 8,
};

/* --- what may become a name --- */

static bool is_file_name(struct str text, size_t limit)
{
	for (size_t i = 0; i < text.len; i++) {
		char c = text.ptr[i];
		bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
			     (c >= '0' && c <= '9') || c == '-' || c == '_';

		if (!plain)
			return false;
	}
	return text.len > 0 && text.len <= limit && !str_equal(text, S("netns"));
}

/* --- lifecycle --- */

struct vpc *vpc_of(struct fabric *fabric, struct str id)
{
	struct vpc *vpc = map_get(&fabric->vpcs, id);

	if (vpc || fabric->vpcs.count == FABRIC_VPCS_LIMIT || !is_file_name(id, VPC_ID_LIMIT))
		return vpc;
	vpc = vpc_new(fabric, id);
	map_put(&fabric->vpcs, vpc->id, vpc);
	return vpc;
}

static void add_owner(struct fabric *fabric, struct str id, struct vpc *vpc)
{
	struct owner *owner = malloc(sizeof(*owner) + id.len);

	assert(owner);
	memcpy(owner + 1, id.ptr, id.len);
	*owner = (struct owner){.id = {(char *)(owner + 1), id.len}, .vpc = vpc};
	free(map_put(&fabric->owners, owner->id, owner));
	vpc->attached++;
}

/* The names of links are as they were, whoever of those that would have had the same is gone. */
static bool load_link(struct fabric *fabric, struct vpc *vpc, struct error *err)
{
	auto_arena arena = {0};
	struct str path = arena_printf(&arena, "%.*s/" VPC_LINK_FILE, STR(vpc->folder)), text;
	struct error why;
	uint64_t try = 0;

	if (!file_read(AT_FDCWD, arena_cstr(&arena, path), 32, &arena, &text, &why)) {
		if (why.code != ERROR_NOT_FOUND)
			return fail(err, why.code, "%s", why.text);
	} else if (!str_to_unsigned(str_trim(text), &try)) {
		return fail(err, ERROR_CORRUPT, "'%.*s' is not a number", STR(path));
	}
	vpc_name_link(fabric, vpc, try);
	return true;
}

static bool load_vpc(struct fabric *fabric, struct str id, struct error *err)
{
	auto_arena arena = {0};
	struct vpc *vpc = vpc_of(fabric, id);
	struct str *names;
	size_t count;

	if (!vpc)
		return fail(err, ERROR_CORRUPT, "'%.*s/%.*s' is not named like a VPC", STR(fabric->folder), STR(id));
	vpc->on_disk = true;
	if (!load_link(fabric, vpc, err) || !folder_list(AT_FDCWD, arena_cstr(&arena, vpc->folder), FOLDER_NAMES_LIMIT, &arena,
			 &names, &count, err))
		return false;
	for (size_t i = 0; i < count; i++)
		if (is_file_name(names[i], OWNER_ID_LIMIT))
			add_owner(fabric, names[i], vpc);
	return true;
}

/* What an agent before us has made: a folder a VPC, in it a file an owner. */
static bool load(struct fabric *fabric, struct error *err)
{
	auto_arena arena = {0};
	struct error why = {0};
	struct str *names;
	size_t count;

	if (!folder_list(AT_FDCWD, fabric->folder.ptr, FABRIC_VPCS_LIMIT, &arena, &names, &count, &why))
		return why.code == ERROR_NOT_FOUND || why.os == ENOENT || fail(err, why.code, "%s", why.text);
	for (size_t i = 0; i < count; i++)
		if (!load_vpc(fabric, names[i], err))
			return false;
	return true;
}

static bool check_options(const struct fabric_options *options, struct ipv4_block *ret_public, struct error *err)
{
	struct str cidr = str_empty(options->public_cidr) ? S("198.18.0.0/15") : options->public_cidr;

	if (!is_file_name(options->prefix, PREFIX_NAME_LIMIT))
		return fail(err, ERROR_REFUSED, "prefix '%.*s' of links is not 1 to %d plain letters", STR(options->prefix),
			    PREFIX_NAME_LIMIT);
	if (!is_file_name(options->table, NFT_NAME_LIMIT))
		return fail(err, ERROR_REFUSED, "nft table name '%.*s' is not 1 to %d plain letters", STR(options->table),
			    NFT_NAME_LIMIT);
	if (!ipv4_block_parse(cidr, ret_public) || ret_public->prefix < PUBLIC_PREFIX_WIDEST)
		return fail(err, ERROR_REFUSED, "range of public addresses '%.*s' is not like 198.18.0.0/15", STR(cidr));
	return true;
}

bool fabric_new(const struct fabric_options *options, struct fabric **ret_fabric, struct error *err)
{
	struct ipv4_block public_block;
	pthread_condattr_t monotonic;
	struct fabric *fabric;

	if (!check_options(options, &public_block, err))
		return false;
	fabric = calloc(1, sizeof(*fabric));
	assert(fabric);
	fabric->public_block = public_block;
	chain_init(&fabric->empty_vpcs);
	chain_init(&fabric->spare_groups);
	fabric->folder = arena_printf(&fabric->arena, "%.*s/vpc", STR(options->run));
	fabric->prefix = arena_copy(&fabric->arena, options->prefix);
	fabric->table = arena_copy(&fabric->arena, options->table);
	pthread_mutex_init(&fabric->mutex, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&fabric->told, &monotonic);
	pthread_condattr_destroy(&monotonic);
	if (resolver_new(options->resolv_conf, &fabric->resolver, err) && load(fabric, err)) {
		*ret_fabric = fabric;
		return true;
	}
	fabric_free(fabric);
	return false;
}

void fabric_free(struct fabric *fabric)
{
	void *item;

	if (!fabric)
		return;
	resolver_free(fabric->resolver);
	told_free(fabric);
	for (size_t at = 0; (item = map_next(&fabric->owners, &at));)
		free(item);
	for (size_t at = 0; (item = map_next(&fabric->vpcs, &at));)
		vpc_free(item);
	map_fini(&fabric->owners);
	map_fini(&fabric->vpcs);
	netlink_close(&fabric->host);
	pthread_cond_destroy(&fabric->told);
	pthread_mutex_destroy(&fabric->mutex);
	arena_fini(&fabric->arena);
	free(fabric);
}

/* --- bringing the kernel in line --- */

static void end_empty(struct fabric *fabric, struct vpc *vpc)
{
	if (!link_is_in(&vpc->empty))
		return;
	link_remove(&vpc->empty);
	fabric->empty_count--;
}

static bool remove_vpc(struct fabric *fabric, struct vpc *vpc, struct error *err)
{
	if (vpc->on_disk && !vpc_remove(fabric, vpc, err))
		return false;
	end_empty(fabric, vpc);
	return true;
}

/* The next task may come soon. Not worth keeping: what an earlier agent left, or differs from what was told. */
static bool keep_empty(struct fabric *fabric, struct vpc *vpc, struct error *err)
{
	if (!vpc->told || !vpc->made)
		return remove_vpc(fabric, vpc, err);
	if (!link_is_in(&vpc->empty)) {
		vpc->empty_since = clock_monotonic();
		chain_append(&fabric->empty_vpcs, &vpc->empty);
		fabric->empty_count++;
	}
	if (!rules_update(fabric, vpc, err))
		return false;
	return fabric->empty_count <= FABRIC_EMPTY_VPCS_LIMIT ||
	       remove_vpc(fabric, CONTAINER_OF(fabric->empty_vpcs.next, struct vpc, empty), err);
}

static bool settle_vpc(struct fabric *fabric, struct vpc *vpc, struct error *err)
{
	if (vpc->attached == 0 && vpc->interfaces == 0)
		return keep_empty(fabric, vpc, err);
	end_empty(fabric, vpc);
	/* One that is only known from the disk stays as it is until the server has spoken; then,
	 * when it is not told, closed. */
	if (!vpc->told && !vpc->made && !fabric->heard)
		return true;
	return vpc_make(fabric, vpc, err) && rules_update(fabric, vpc, err);
}

static void forget_vpc(struct fabric *fabric, struct vpc *vpc)
{
	map_remove(&fabric->vpcs, vpc->id);
	vpc_free(vpc);
}

/* The server tells of a VPC again with each interface. */
void settle_all(struct fabric *fabric, struct error *first)
{
	LIST_OF(struct vpc *) gone = {0};
	struct vpc *vpc;

	for (size_t at = 0; (vpc = map_next(&fabric->vpcs, &at));) {
		struct error why = {0};

		if (!settle_vpc(fabric, vpc, &why))
			keep_first(first, &why);
		else if (!vpc->on_disk && !vpc->interfaces && !vpc->attached)
			list_add(&gone, vpc);
	}
	for (size_t i = 0; i < gone.count; i++)
		forget_vpc(fabric, gone.items[i]);
	list_fini(&gone);
}

bool fabric_settle(struct fabric *fabric, usec now, struct error *err)
{
	struct error first = {0};

	pthread_mutex_lock(&fabric->mutex);
	CHAIN_EACH(&fabric->empty_vpcs, struct vpc, empty, vpc) {
		struct error why;

		if (now - vpc->empty_since >= FABRIC_EMPTY_SECONDS * USEC_PER_SEC && !remove_vpc(fabric, vpc, &why))
			keep_first(&first, &why);
	}
	groups_settle(fabric, now);
	settle_all(fabric, &first);
	pthread_mutex_unlock(&fabric->mutex);
	return first.code == ERROR_NONE || fail(err, first.code, "%s", first.text);
}

/* --- attach and detach --- */

struct attachment {
	struct str owner, netns_path;
	struct vpc *vpc;
	int vpc_netns;
	struct interface interface;                      /* a copy; `said` is not ours */
};

static struct timespec moment(usec at)
{
	return (struct timespec){.tv_sec = at / USEC_PER_SEC, .tv_nsec = at % USEC_PER_SEC * 1000};
}

/* The mutex is ours. */
static struct interface *wait_for(struct fabric *fabric, struct str id, usec patience)
{
	struct timespec until = moment(clock_monotonic() + patience);
	struct interface *interface;
	struct vpc *vpc;

	for (;;) {
		interface = map_get(&fabric->interfaces, id);
		vpc = interface ? map_get(&fabric->vpcs, interface->said->vpc) : NULL;
		if (vpc && vpc->told)
			return interface;
		if (fabric->impatient || pthread_cond_timedwait(&fabric->told, &fabric->mutex, &until) == ETIMEDOUT)
			return NULL;
	}
}

void fabric_stop_waiting(struct fabric *fabric)
{
	pthread_mutex_lock(&fabric->mutex);
	fabric->impatient = true;
	pthread_cond_broadcast(&fabric->told);
	pthread_mutex_unlock(&fabric->mutex);
}

static const char *owner_file(const struct vpc *vpc, struct str owner, struct arena *arena)
{
	return arena_cstr(arena, arena_printf(arena, "%.*s/%.*s", STR(vpc->folder), STR(owner)));
}

static bool book(struct fabric *fabric, struct attachment *attachment, struct error *err)
{
	auto_arena arena = {0};
	const char *path = owner_file(attachment->vpc, attachment->owner, &arena);
	auto_fd file = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	if (file < 0)
		return fail_os(err, errno, "create '%s'", path);
	attachment->vpc_netns = fcntl(attachment->vpc->netns, F_DUPFD_CLOEXEC, 0);
	if (attachment->vpc_netns < 0) {
		unlink(path);
		return fail_os(err, errno, "copy a descriptor");
	}
	add_owner(fabric, attachment->owner, attachment->vpc);
	return true;
}

/* Waits, and then counts as one that is attached. */
static bool begin(struct fabric *fabric, struct attachment *attachment, struct str id,
		  usec patience, struct error *err)
{
	struct interface *interface;
	bool ok;

	pthread_mutex_lock(&fabric->mutex);
	interface = wait_for(fabric, id, patience);
	if (!interface) {
		pthread_mutex_unlock(&fabric->mutex);
		return fail(err, ERROR_NETWORK, "the server has not told of network interface '%.*s' within %lld s", STR(id),
			    (long long)(patience / USEC_PER_SEC));
	}
	attachment->interface = *interface;
	attachment->vpc = map_get(&fabric->vpcs, interface->said->vpc);
	ok = settle_vpc(fabric, attachment->vpc, err) && book(fabric, attachment, err);
	pthread_mutex_unlock(&fabric->mutex);
	return ok;
}

static bool check_eni(const struct acs_elastic_network_interface *eni, struct str owner, struct error *err)
{
	if (!is_file_name(owner, OWNER_ID_LIMIT))
		return fail(err, ERROR_REFUSED, "'%.*s' is not a task's id", STR(owner));
	return !str_empty(eni->ec2_id) || fail(err, ERROR_REFUSED, "a network interface without an id");
}

bool fabric_attach(struct fabric *fabric, struct str owner, struct str netns_path,
		   const struct acs_elastic_network_interface *eni, usec patience, struct error *err)
{
	struct attachment attachment = {.owner = owner, .netns_path = netns_path, .vpc_netns = -1};
	auto_fd vpc_netns = -1, task_netns = -1;

	/* What an earlier try of the same owner left. */
	if (!check_eni(eni, owner, err) || !fabric_detach(fabric, owner, netns_path, err) ||
	    !begin(fabric, &attachment, eni->ec2_id, patience, err))
		return fail_context(err, "attach network interface");
	vpc_netns = attachment.vpc_netns;
	if (netns_create(netns_path, &task_netns, err) &&
	    vpc_connect(vpc_netns, task_netns, &attachment.interface, err))
		return true;
	fabric_detach(fabric, owner, netns_path, NULL);
	return fail_context(err, "attach network interface '%.*s'", STR(eni->ec2_id));
}

static bool unbook(struct fabric *fabric, struct owner *owner, struct error *err)
{
	auto_arena arena = {0};
	const char *path = owner_file(owner->vpc, owner->id, &arena);
	struct vpc *vpc = owner->vpc;

	if (unlink(path) < 0 && errno != ENOENT)
		return fail_os(err, errno, "remove '%s'", path);
	map_remove(&fabric->owners, owner->id);
	free(owner);
	vpc->attached--;
	return settle_vpc(fabric, vpc, err);
}

/* The veth goes with the task's namespace, a moment after the last process in it: deleting it here
 * would wait 40 ms. */
bool fabric_detach(struct fabric *fabric, struct str owner, struct str netns_path, struct error *err)
{
	struct owner *found;
	bool ok = true;

	if (!netns_remove(netns_path, err))
		return false;
	pthread_mutex_lock(&fabric->mutex);
	found = map_get(&fabric->owners, owner);
	if (found)
		ok = unbook(fabric, found, err);
	pthread_mutex_unlock(&fabric->mutex);
	return ok;
}

/* --- all of it --- */

static bool remove_all(struct fabric *fabric, struct error *err)
{
	auto_arena arena = {0};
	struct vpc *vpc;

	for (size_t at = 0; (vpc = map_next(&fabric->vpcs, &at));)
		if (!vpc_remove(fabric, vpc, err))
			return false;
	if (!fabric->host.socket && !netlink_open(&fabric->host, err))
		return false;
	fabric->host_is_ready = false;
	return netlink_links_delete(&fabric->host, arena_printf(&arena, "%.*sv", STR(fabric->prefix)), err) &&
	       rules_host_table(fabric, false, err) && tree_remove(AT_FDCWD, fabric->folder.ptr, err);
}

static void forget_all(struct fabric *fabric)
{
	struct owner *owner;
	struct vpc *vpc;

	for (size_t at = 0; (owner = map_next(&fabric->owners, &at));)
		free(owner);
	map_fini(&fabric->owners);
	told_forget(fabric);
	for (size_t at = 0; (vpc = map_next(&fabric->vpcs, &at));)
		vpc_free(vpc);
	map_fini(&fabric->vpcs);
	chain_init(&fabric->empty_vpcs);
	fabric->empty_count = 0;
}

bool fabric_down(struct fabric *fabric, struct error *err)
{
	bool ok;

	pthread_mutex_lock(&fabric->mutex);
	ok = remove_all(fabric, err);
	if (ok)
		forget_all(fabric);
	pthread_mutex_unlock(&fabric->mutex);
	return ok || fail_context(err, "take down the VPCs");
}
