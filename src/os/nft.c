#include "os/nft.h"
#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <nftables/libnftables.h>
#include <pthread.h>
#include <stdalign.h>
#include <sys/socket.h>
#include <unistd.h>
#include <linux/close_range.h>

static bool run_here(const char *commands, struct error *err)
{
	struct nft_ctx *context = nft_ctx_new(NFT_CTX_DEFAULT);
	struct str why;
	bool ok;

	if (!context)
		return fail_os(err, ENOMEM, "start libnftables");
	nft_ctx_buffer_error(context);
	nft_ctx_buffer_output(context);
	ok = nft_run_cmd_from_buffer(context, commands) == 0;
	if (!ok) {
		why = str_trim(str_of(nft_ctx_get_error_buffer(context)));
		fail(err, ERROR_NETWORK, "nftables: %.*s", (int)str_find(why, '\n'), why.ptr ? why.ptr : "");
	}
	nft_ctx_free(context);
	return ok;
}

struct run {
	const char *commands;
	struct error err;
	bool ok;
};

static void *run_apart(void *arg)
{
	struct run *run = arg;

	run->ok = close_range(STDERR_FILENO + 1, ~0U, CLOSE_RANGE_UNSHARE) == 0
		? run_here(run->commands, &run->err) : fail_os(&run->err, errno, "leave the other threads' files");
	return NULL;
}

/* libnftables waits with select(), which ends a process whose descriptors go beyond FD_SETSIZE: so it works in a thread
 * with descriptors of its own, in the network namespace of the caller's. */
bool nft_run(const char *commands, struct error *err)
{
	struct run run = {.commands = commands};
	pthread_t thread;
	int failed = pthread_create(&thread, NULL, run_apart, &run);

	if (failed)
		return fail_os(err, failed, "start a thread for nftables");
	pthread_join(thread, NULL);
	if (!run.ok && err)
		*err = run.err;
	return run.ok;
}

enum {
	ENTRY_BYTES = 64,
	BATCH_BYTES = 512 + NFT_PORTS_LIMIT * ENTRY_BYTES,
	ELEMENT_BYTES = 192,                             /* a message of its own: two names and two numbers */
	EDGES_BYTES = 256,
};

static struct nlmsghdr *batch_message(char *bytes, uint16_t type, uint16_t flags, uint32_t sequence)
{
	struct nlmsghdr *message = mnl_nlmsg_put_header(bytes);
	struct nfgenmsg *head = mnl_nlmsg_put_extra_header(message, sizeof(*head));
	bool edge = type == NFNL_MSG_BATCH_BEGIN || type == NFNL_MSG_BATCH_END;

	message->nlmsg_type = edge ? type : (uint16_t)(NFNL_SUBSYS_NFTABLES << 8 | type);
	message->nlmsg_flags = NLM_F_REQUEST | flags;
	/* All of a batch share one number, so that whichever message fails, the answer is ours. */
	message->nlmsg_seq = sequence;
	head->nfgen_family = edge ? AF_UNSPEC : NFPROTO_IPV4;
	head->version = NFNETLINK_V0;
	head->res_id = edge ? htobe16(NFNL_SUBSYS_NFTABLES) : 0;
	return message;
}

static void put_value(struct nlmsghdr *message, uint16_t type, const void *bytes, size_t len)
{
	struct nlattr *value = mnl_attr_nest_start(message, type);

	mnl_attr_put(message, NFTA_DATA_VALUE, len, bytes);
	mnl_attr_nest_end(message, value);
}

/* Each part of a concatenation fills whole registers of 4 bytes. */
static void put_port(struct nlmsghdr *message, const struct nft_port *port, bool with_target)
{
	struct { uint8_t protocol, pad[3]; uint16_t port, pad2; } key = {
		.protocol = port->protocol, .port = htobe16(port->host_port)};
	struct { uint32_t address; uint16_t port, pad; } target = {
		.address = htobe32(port->address), .port = htobe16(port->container_port)};
	struct nlattr *element = mnl_attr_nest_start(message, NFTA_LIST_ELEM);

	static_assert(sizeof(key) == 8 && sizeof(target) == 8, "two registers each");
	put_value(message, NFTA_SET_ELEM_KEY, &key, sizeof(key));
	if (with_target)
		put_value(message, NFTA_SET_ELEM_DATA, &target, sizeof(target));
	mnl_attr_nest_end(message, element);
}

static void put_name(struct nlmsghdr *message, uint16_t type, struct str name)
{
	char text[NFT_NAME_LIMIT + 1] = {0};

	assert(name.len <= NFT_NAME_LIMIT);
	memcpy(text, name.ptr, name.len);
	mnl_attr_put_strz(message, type, text);
}

/* One transaction that adds or removes entries: 0 or an errno. */
static int change_ports(struct netlink *netlink, uint16_t type, struct str table, struct str map,
			const struct nft_port *ports, size_t count)
{
	alignas(struct nlmsghdr) char bytes[BATCH_BYTES];
	struct nlmsghdr *message;
	struct nlattr *elements;
	size_t used;

	netlink->sequence++;
	used = batch_message(bytes, NFNL_MSG_BATCH_BEGIN, 0, netlink->sequence)->nlmsg_len;
	message = batch_message(bytes + used, type, NLM_F_ACK | (type == NFT_MSG_NEWSETELEM ? NLM_F_CREATE : 0),
				netlink->sequence);
	put_name(message, NFTA_SET_ELEM_LIST_TABLE, table);
	put_name(message, NFTA_SET_ELEM_LIST_SET, map);
	elements = mnl_attr_nest_start(message, NFTA_SET_ELEM_LIST_ELEMENTS);
	for (size_t i = 0; i < count; i++)
		put_port(message, &ports[i], type == NFT_MSG_NEWSETELEM);
	mnl_attr_nest_end(message, elements);
	used += message->nlmsg_len;
	used += batch_message(bytes + used, NFNL_MSG_BATCH_END, 0, netlink->sequence)->nlmsg_len;
	assert(used <= sizeof(bytes));
	return netlink_talk(netlink, bytes, used, NULL, NULL);
}

bool nft_open(struct netlink *netlink, struct error *err)
{
	return netlink_open_bus(netlink, NETLINK_NETFILTER, err);
}

bool nft_ports_add(struct netlink *netlink, struct str table, struct str map, const struct nft_port *ports,
		   size_t count, struct error *err)
{
	int os;

	assert(count <= NFT_PORTS_LIMIT);
	if (count == 0)
		return true;
	os = change_ports(netlink, NFT_MSG_NEWSETELEM, table, map, ports, count);
	return !os || fail_os(err, os, "add %zu ports to nft map '%.*s %.*s'%s", count, STR(table), STR(map),
			      netlink->note);
}

/* One that is missing makes the kernel refuse them all. */
static int remove_each(struct netlink *netlink, struct str table, struct str map, const struct nft_port *ports,
		       size_t count)
{
	for (size_t i = 0; i < count; i++) {
		int os = change_ports(netlink, NFT_MSG_DELSETELEM, table, map, &ports[i], 1);

		if (os && os != ENOENT)
			return os;
	}
	return 0;
}

bool nft_ports_remove(struct netlink *netlink, struct str table, struct str map, const struct nft_port *ports,
		      size_t count, struct error *err)
{
	int os;

	assert(count <= NFT_PORTS_LIMIT);
	if (count == 0)
		return true;
	os = change_ports(netlink, NFT_MSG_DELSETELEM, table, map, ports, count);
	if (os == ENOENT)
		os = remove_each(netlink, table, map, ports, count);
	return !os || fail_os(err, os, "remove %zu ports from nft map '%.*s %.*s'%s", count, STR(table), STR(map),
			      netlink->note);
}

static size_t put_element(char *bytes, uint32_t sequence, struct str table, const struct nft_element *element, bool last)
{
	uint16_t flags = (uint16_t)((last ? NLM_F_ACK : 0) | (element->remove ? 0 : NLM_F_CREATE));
	struct nlmsghdr *message =
		batch_message(bytes, element->remove ? NFT_MSG_DELSETELEM : NFT_MSG_NEWSETELEM, flags, sequence);
	struct nlattr *elements, *item;

	put_name(message, NFTA_SET_ELEM_LIST_TABLE, table);
	put_name(message, NFTA_SET_ELEM_LIST_SET, element->set);
	elements = mnl_attr_nest_start(message, NFTA_SET_ELEM_LIST_ELEMENTS);
	item = mnl_attr_nest_start(message, NFTA_LIST_ELEM);
	put_value(message, NFTA_SET_ELEM_KEY, &element->key, sizeof(element->key));
	if (element->is_map && !element->remove)
		put_value(message, NFTA_SET_ELEM_DATA, &element->value, sizeof(element->value));
	mnl_attr_nest_end(message, item);
	mnl_attr_nest_end(message, elements);
	assert(message->nlmsg_len <= ELEMENT_BYTES);
	return message->nlmsg_len;
}

bool nft_elements_change(struct netlink *netlink, struct str table, const struct nft_element *elements, size_t count,
			 struct error *err)
{
	alignas(struct nlmsghdr) char bytes[EDGES_BYTES + NFT_ELEMENTS_LIMIT * ELEMENT_BYTES];
	size_t used;
	int os;

	assert(count <= NFT_ELEMENTS_LIMIT);
	if (count == 0)
		return true;
	netlink->sequence++;
	used = batch_message(bytes, NFNL_MSG_BATCH_BEGIN, 0, netlink->sequence)->nlmsg_len;
	for (size_t i = 0; i < count; i++)
		used += put_element(bytes + used, netlink->sequence, table, &elements[i], i == count - 1);
	used += batch_message(bytes + used, NFNL_MSG_BATCH_END, 0, netlink->sequence)->nlmsg_len;
	os = netlink_talk(netlink, bytes, used, NULL, NULL);
	return !os || fail_os(err, os, "change %zu elements of nft table '%.*s'%s", count, STR(table), netlink->note);
}
