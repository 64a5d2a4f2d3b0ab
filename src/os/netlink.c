#include "os/netlink.h"
#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/if_bridge.h>
#include <linux/if_link.h>
#include <linux/ip.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <stdalign.h>
#include <stdio.h>
#include <sys/socket.h>
#include "base/list.h"
#include "os/netns.h"

enum {
	MESSAGE_BYTES = 1024,                            /* no request of ours comes near */
	REPLY_BYTES = 32 * 1024,                         /* what the kernel fills at most per datagram */
	ANSWER_SECONDS = 10,                             /* the kernel answers at once; never hang on it */
};

struct request {
	alignas(struct nlmsghdr) char bytes[MESSAGE_BYTES];
};

bool netlink_open_bus(struct netlink *netlink, int bus, struct error *err)
{
	struct timeval patience = {.tv_sec = ANSWER_SECONDS};
	int on = 1, fd;

	*netlink = (struct netlink){.socket = mnl_socket_open2(bus, SOCK_CLOEXEC)};
	if (!netlink->socket)
		return fail_os(err, errno, "open a netlink socket");
	fd = mnl_socket_get_fd(netlink->socket);
	if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) < 0 ||
	    mnl_socket_bind(netlink->socket, 0, MNL_SOCKET_AUTOPID) < 0) {
		fail_os(err, errno, "bind a netlink socket");
		netlink_close(netlink);
		return false;
	}
	/* Better words and shorter answers; old kernels have neither, and need neither. */
	mnl_socket_setsockopt(netlink->socket, NETLINK_EXT_ACK, &on, sizeof(on));
	mnl_socket_setsockopt(netlink->socket, NETLINK_CAP_ACK, &on, sizeof(on));
	return true;
}

bool netlink_open(struct netlink *netlink, struct error *err)
{
	return netlink_open_bus(netlink, NETLINK_ROUTE, err);
}

bool netlink_open_in(struct netlink *netlink, int netns, struct error *err)
{
	int back;
	bool ok;

	if (!netns_enter(netns, &back, err))
		return false;
	ok = netlink_open(netlink, err);
	netns_leave(back);
	return ok;
}

void netlink_close(struct netlink *netlink)
{
	if (netlink->socket)
		mnl_socket_close(netlink->socket);
	netlink->socket = NULL;
}

static void keep_note(struct netlink *netlink, const struct nlmsghdr *answer)
{
	struct nlattr *attribute;

	if (!(answer->nlmsg_flags & NLM_F_ACK_TLVS) || !(answer->nlmsg_flags & NLM_F_CAPPED))
		return;
	mnl_attr_for_each(attribute, answer, sizeof(struct nlmsgerr)) {
		if (mnl_attr_get_type(attribute) != NLMSGERR_ATTR_MSG)
			continue;
		snprintf(netlink->note, sizeof(netlink->note), " (%.*s)", (int)mnl_attr_get_payload_len(attribute),
			 mnl_attr_get_str(attribute));
	}
}

/* 0 or an errno once the answer is among these; -1 when more has to come. */
static int read_answer(struct netlink *netlink, const char *bytes, int len, netlink_visit *visit, void *arg)
{
	const struct nlmsghdr *message = (const struct nlmsghdr *)bytes;

	for (; mnl_nlmsg_ok(message, len); message = mnl_nlmsg_next(message, &len)) {
		if (message->nlmsg_seq != netlink->sequence)
			continue;
		if (message->nlmsg_type == NLMSG_DONE)
			return 0;
		if (message->nlmsg_type == NLMSG_ERROR) {
			keep_note(netlink, message);
			return -((const struct nlmsgerr *)mnl_nlmsg_get_payload(message))->error;
		}
		if (visit)
			visit(message, arg);
	}
	return -1;
}

int netlink_talk(struct netlink *netlink, const void *bytes, size_t len, netlink_visit *visit, void *arg)
{
	alignas(struct nlmsghdr) char reply[REPLY_BYTES];
	int answer;

	netlink->note[0] = '\0';
	if (mnl_socket_sendto(netlink->socket, bytes, len) < 0)
		return errno;
	do {
		ssize_t got = mnl_socket_recvfrom(netlink->socket, reply, sizeof(reply));

		if (got < 0 && errno == EINTR)
			answer = -1;
		else if (got < 0)
			return errno == EAGAIN ? ETIMEDOUT : errno;
		else
			answer = read_answer(netlink, reply, (int)got, visit, arg);
	} while (answer < 0);
	return answer;
}

static struct nlmsghdr *request_new(struct netlink *netlink, struct request *request, uint16_t type, uint16_t flags)
{
	struct nlmsghdr *message = mnl_nlmsg_put_header(request->bytes);

	message->nlmsg_type = type;
	message->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | flags;
	message->nlmsg_seq = ++netlink->sequence;
	return message;
}

static int request_send(struct netlink *netlink, const struct nlmsghdr *message)
{
	return netlink_talk(netlink, message, message->nlmsg_len, NULL, NULL);
}

/* The kernel takes names without a closing NUL. */
static void put_text(struct nlmsghdr *message, uint16_t type, struct str text)
{
	mnl_attr_put(message, type, text.len, text.ptr);
}

/* A request about the link of that name, to be set up when `up`. */
static struct nlmsghdr *link_request(struct netlink *netlink, struct request *request, uint16_t type, uint16_t flags,
				     struct str name, bool up)
{
	struct nlmsghdr *message = request_new(netlink, request, type, flags);
	struct ifinfomsg *link = mnl_nlmsg_put_extra_header(message, sizeof(*link));

	assert(name.len > 0);
	assert(name.len <= NETLINK_NAME_LIMIT);
	link->ifi_family = AF_UNSPEC;
	link->ifi_flags = up ? IFF_UP : 0;
	link->ifi_change = up ? IFF_UP : 0;
	put_text(message, IFLA_IFNAME, name);
	return message;
}

static void keep_index(const struct nlmsghdr *message, void *arg)
{
	*(uint32_t *)arg = (uint32_t)((const struct ifinfomsg *)mnl_nlmsg_get_payload(message))->ifi_index;
}

bool netlink_link_index(struct netlink *netlink, struct str name, uint32_t *ret_index, struct error *err)
{
	struct request request;
	struct nlmsghdr *message = link_request(netlink, &request, RTM_GETLINK, 0, name, false);
	uint32_t index = 0;
	int os = netlink_talk(netlink, message, message->nlmsg_len, keep_index, &index);

	if (os && os != ENODEV)
		return fail_os(err, os, "look for link '%.*s'", STR(name));
	*ret_index = index;
	return true;
}

bool netlink_link_up(struct netlink *netlink, struct str name, struct error *err)
{
	struct request request;
	int os = request_send(netlink, link_request(netlink, &request, RTM_NEWLINK, 0, name, true));

	return !os || fail_os(err, os, "set link '%.*s' up%s", STR(name), netlink->note);
}

bool netlink_link_settle(struct netlink *netlink, struct str name, struct error *err)
{
	uint32_t index;

	return netlink_link_index(netlink, name, &index, err);
}

bool netlink_link_delete(struct netlink *netlink, struct str name, struct error *err)
{
	struct request request;
	int os = request_send(netlink, link_request(netlink, &request, RTM_DELLINK, 0, name, false));

	if (!os || os == ENODEV)
		return true;
	return fail_os(err, os, "delete link '%.*s'%s", STR(name), netlink->note);
}

struct link_names {
	struct arena *arena;
	struct str prefix;
	LIST_OF(struct str) found;
};

static void keep_name(const struct nlmsghdr *message, void *arg)
{
	struct link_names *names = arg;
	struct nlattr *attribute;

	mnl_attr_for_each(attribute, message, sizeof(struct ifinfomsg)) {
		if (mnl_attr_get_type(attribute) != IFLA_IFNAME)
			continue;
		if (str_starts(str_of(mnl_attr_get_str(attribute)), names->prefix))
			list_add(&names->found, arena_copy(names->arena, str_of(mnl_attr_get_str(attribute))));
	}
}

/* The caller ends the list, also after a failure. */
static bool find_names(struct netlink *netlink, struct link_names *names, struct error *err)
{
	struct request request;
	struct nlmsghdr *message = request_new(netlink, &request, RTM_GETLINK, NLM_F_DUMP);
	struct ifinfomsg *any = mnl_nlmsg_put_extra_header(message, sizeof(*any));
	int os;

	any->ifi_family = AF_UNSPEC;
	os = netlink_talk(netlink, message, message->nlmsg_len, keep_name, names);
	return !os || fail_os(err, os, "list links");
}

bool netlink_links_count(struct netlink *netlink, struct str prefix, size_t *ret_count, struct error *err)
{
	auto_arena arena = {0};
	struct link_names names = {.arena = &arena, .prefix = prefix};
	bool ok = find_names(netlink, &names, err);

	if (ok)
		*ret_count = names.found.count;
	list_fini(&names.found);
	return ok;
}

bool netlink_links_delete(struct netlink *netlink, struct str prefix, struct error *err)
{
	auto_arena arena = {0};
	struct link_names names = {.arena = &arena, .prefix = prefix};
	bool ok = find_names(netlink, &names, err);

	for (size_t i = 0; ok && i < names.found.count; i++)
		ok = netlink_link_delete(netlink, names.found.items[i], err);
	list_fini(&names.found);
	return ok;
}

static bool fail_kind(struct netlink *netlink, int os, const char *kind, struct str name, struct error *err)
{
	if (os == EOPNOTSUPP)
		return fail(err, ERROR_NETWORK, "create %s '%.*s': this kernel has no %s links (module '%s' is missing)",
			    kind, STR(name), kind, kind);
	if (os == EPERM)
		return fail_os(err, os, "create %s '%.*s': needs root (CAP_NET_ADMIN)", kind, STR(name));
	return fail_os(err, os, "create %s '%.*s'%s", kind, STR(name), netlink->note);
}

static void keep_is_bridge(const struct nlmsghdr *message, void *arg)
{
	struct nlattr *attribute, *inner;

	mnl_attr_for_each(attribute, message, sizeof(struct ifinfomsg)) {
		if (mnl_attr_get_type(attribute) != IFLA_LINKINFO)
			continue;
		mnl_attr_for_each_nested(inner, attribute)
			if (mnl_attr_get_type(inner) == IFLA_INFO_KIND)
				*(bool *)arg = !strcmp(mnl_attr_get_str(inner), "bridge");
	}
}

static bool check_bridge(struct netlink *netlink, struct str name, struct error *err)
{
	struct request request;
	struct nlmsghdr *message = link_request(netlink, &request, RTM_GETLINK, 0, name, false);
	bool is_bridge = false;
	int os = netlink_talk(netlink, message, message->nlmsg_len, keep_is_bridge, &is_bridge);

	if (os)
		return fail_os(err, os, "look for link '%.*s'", STR(name));
	return is_bridge || fail(err, ERROR_REFUSED, "link '%.*s' exists and is not a bridge", STR(name));
}

bool netlink_bridge_create(struct netlink *netlink, struct str name, struct netlink_mac mac, struct error *err)
{
	struct request request;
	struct nlmsghdr *message =
		link_request(netlink, &request, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, name, true);
	struct nlattr *info;
	int os;

	mnl_attr_put(message, IFLA_ADDRESS, sizeof(mac.bytes), mac.bytes);
	info = mnl_attr_nest_start(message, IFLA_LINKINFO);
	put_text(message, IFLA_INFO_KIND, S("bridge"));
	mnl_attr_nest_end(message, info);
	os = request_send(netlink, message);
	if (os == EEXIST)
		return check_bridge(netlink, name, err) && netlink_link_up(netlink, name, err);
	return !os || fail_kind(netlink, os, "bridge", name, err);
}

/* Unasked, an end gets a queue a processor, all but one of which the kernel takes away again, and then waits, with all links
 * locked, for readers that there cannot be (10 ms on a busy machine). */
static void put_queues(struct nlmsghdr *message)
{
	mnl_attr_put_u32(message, IFLA_NUM_TX_QUEUES, 1);
	mnl_attr_put_u32(message, IFLA_NUM_RX_QUEUES, 1);
}

static void put_veth_info(struct nlmsghdr *message, const struct netlink_veth *veth)
{
	struct nlattr *info = mnl_attr_nest_start(message, IFLA_LINKINFO), *data, *peer;

	put_text(message, IFLA_INFO_KIND, S("veth"));
	data = mnl_attr_nest_start(message, IFLA_INFO_DATA);
	peer = mnl_attr_nest_start(message, VETH_INFO_PEER);
	mnl_nlmsg_put_extra_header(message, sizeof(struct ifinfomsg));
	put_text(message, IFLA_IFNAME, veth->peer);
	mnl_attr_put(message, IFLA_ADDRESS, sizeof(veth->peer_mac.bytes), veth->peer_mac.bytes);
	mnl_attr_put_u32(message, IFLA_NET_NS_FD, (uint32_t)veth->peer_netns);
	put_queues(message);
	mnl_attr_nest_end(message, peer);
	mnl_attr_nest_end(message, data);
	mnl_attr_nest_end(message, info);
}

bool netlink_veth_create(struct netlink *netlink, const struct netlink_veth *veth, struct error *err)
{
	struct request request;
	struct nlmsghdr *message;
	uint32_t bridge = 0;
	int os;

	assert(veth->peer.len <= NETLINK_NAME_LIMIT);
	if (str_has(veth->bridge) && !netlink_link_index(netlink, veth->bridge, &bridge, err))
		return false;
	if (str_has(veth->bridge) && !bridge)
		return fail(err, ERROR_NOT_FOUND, "there is no bridge '%.*s'", STR(veth->bridge));
	message = link_request(netlink, &request, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, veth->name, true);
	if (bridge)
		mnl_attr_put_u32(message, IFLA_MASTER, bridge);
	if (memcmp(&veth->mac, &(struct netlink_mac){0}, sizeof(veth->mac)) != 0)
		mnl_attr_put(message, IFLA_ADDRESS, sizeof(veth->mac.bytes), veth->mac.bytes);
	put_queues(message);
	put_veth_info(message, veth);
	os = request_send(netlink, message);
	return !os || fail_kind(netlink, os, "veth", veth->name, err);
}

bool netlink_port_hairpin(struct netlink *netlink, struct str name, struct error *err)
{
	struct request request;
	struct nlmsghdr *message = link_request(netlink, &request, RTM_NEWLINK, 0, name, false);
	struct nlattr *info = mnl_attr_nest_start(message, IFLA_LINKINFO), *data;
	int os;

	put_text(message, IFLA_INFO_SLAVE_KIND, S("bridge"));
	data = mnl_attr_nest_start(message, IFLA_INFO_SLAVE_DATA);
	mnl_attr_put_u8(message, IFLA_BRPORT_MODE, 1);
	mnl_attr_nest_end(message, data);
	mnl_attr_nest_end(message, info);
	os = request_send(netlink, message);
	return !os || fail_os(err, os, "let bridge port '%.*s' hairpin%s", STR(name), netlink->note);
}

bool netlink_ipv4_add(struct netlink *netlink, const struct netlink_ipv4 *address, struct error *err)
{
	struct request request;
	struct nlmsghdr *message = request_new(netlink, &request, RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE);
	struct ifaddrmsg *head = mnl_nlmsg_put_extra_header(message, sizeof(*head));
	int os;

	assert(address->prefix >= 1);
	assert(address->prefix <= 32);
	head->ifa_family = AF_INET;
	head->ifa_prefixlen = (uint8_t)address->prefix;
	head->ifa_index = address->link;
	mnl_attr_put_u32(message, IFA_LOCAL, htobe32(address->address));
	mnl_attr_put_u32(message, IFA_ADDRESS, htobe32(address->address));
	if (address->prefix <= 30)
		mnl_attr_put_u32(message, IFA_BROADCAST,
				 htobe32(address->address | (uint32_t)(UINT32_MAX >> address->prefix)));
	if (address->alone)
		mnl_attr_put_u32(message, IFA_FLAGS, IFA_F_NOPREFIXROUTE);
	os = request_send(netlink, message);
	return !os || fail_os(err, os, "add an address to link %u%s", address->link, netlink->note);
}

bool netlink_ipv4_remove(struct netlink *netlink, const struct netlink_ipv4 *address, struct error *err)
{
	struct request request;
	struct nlmsghdr *message = request_new(netlink, &request, RTM_DELADDR, 0);
	struct ifaddrmsg *head = mnl_nlmsg_put_extra_header(message, sizeof(*head));
	int os;

	head->ifa_family = AF_INET;
	head->ifa_prefixlen = (uint8_t)address->prefix;
	head->ifa_index = address->link;
	mnl_attr_put_u32(message, IFA_LOCAL, htobe32(address->address));
	os = request_send(netlink, message);
	return !os || os == EADDRNOTAVAIL || fail_os(err, os, "remove an address%s", netlink->note);
}

struct ipv4_found {
	LIST_OF(struct netlink_ipv4) items;
};

static void keep_ipv4(const struct nlmsghdr *message, void *arg)
{
	const struct ifaddrmsg *head = mnl_nlmsg_get_payload(message);
	struct netlink_ipv4 item = {.link = head->ifa_index, .prefix = head->ifa_prefixlen};
	struct ipv4_found *found = arg;
	struct nlattr *attribute;

	if (head->ifa_family != AF_INET)
		return;
	mnl_attr_for_each(attribute, message, sizeof(*head))
		if (mnl_attr_get_type(attribute) == IFA_ADDRESS)
			item.address = be32toh(mnl_attr_get_u32(attribute));
	list_add(&found->items, item);
}

bool netlink_ipv4_list(struct netlink *netlink, struct arena *arena, struct netlink_ipv4 **ret_items,
		       size_t *ret_count, struct error *err)
{
	struct request request;
	struct nlmsghdr *message = request_new(netlink, &request, RTM_GETADDR, NLM_F_DUMP);
	struct ifaddrmsg *head = mnl_nlmsg_put_extra_header(message, sizeof(*head));
	struct ipv4_found found = {0};
	int os;

	head->ifa_family = AF_INET;
	os = netlink_talk(netlink, message, message->nlmsg_len, keep_ipv4, &found);
	if (!os) {
		*ret_count = found.items.count;
		*ret_items = arena_array(arena, struct netlink_ipv4, found.items.count);
		if (found.items.count)
			memcpy(*ret_items, found.items.items, found.items.count * sizeof(**ret_items));
	}
	list_fini(&found.items);
	return !os || fail_os(err, os, "list addresses");
}

bool netlink_ipv4_gateway(struct netlink *netlink, uint32_t gateway, struct error *err)
{
	struct request request;
	struct nlmsghdr *message = request_new(netlink, &request, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE);
	struct rtmsg *route = mnl_nlmsg_put_extra_header(message, sizeof(*route));
	int os;

	route->rtm_family = AF_INET;
	route->rtm_table = RT_TABLE_MAIN;
	route->rtm_protocol = RTPROT_STATIC;
	route->rtm_scope = RT_SCOPE_UNIVERSE;
	route->rtm_type = RTN_UNICAST;
	mnl_attr_put_u32(message, RTA_GATEWAY, htobe32(gateway));
	os = request_send(netlink, message);
	return !os || fail_os(err, os, "add the default route%s", netlink->note);
}

static struct nlmsghdr *route_request(struct netlink *netlink, struct request *request, uint16_t type, uint16_t flags,
				      const struct netlink_route *route)
{
	struct nlmsghdr *message = request_new(netlink, request, type, flags);
	struct rtmsg *head = mnl_nlmsg_put_extra_header(message, sizeof(*head));

	assert(route->prefix <= 32);
	head->rtm_family = AF_INET;
	head->rtm_table = RT_TABLE_MAIN;
	head->rtm_protocol = RTPROT_STATIC;
	head->rtm_scope = route->gateway || !route->link ? RT_SCOPE_UNIVERSE : RT_SCOPE_LINK;
	head->rtm_type = route->link ? RTN_UNICAST : RTN_UNREACHABLE;
	head->rtm_dst_len = (uint8_t)route->prefix;
	head->rtm_flags = route->gateway ? RTNH_F_ONLINK : 0;
	mnl_attr_put_u32(message, RTA_DST, htobe32(route->target));
	if (route->link)
		mnl_attr_put_u32(message, RTA_OIF, route->link);
	if (route->gateway)
		mnl_attr_put_u32(message, RTA_GATEWAY, htobe32(route->gateway));
	return message;
}

bool netlink_route_add(struct netlink *netlink, const struct netlink_route *route, struct error *err)
{
	struct request request;
	int os = request_send(netlink, route_request(netlink, &request, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, route));

	return !os || fail_os(err, os, "add a route through link %u%s", route->link, netlink->note);
}

bool netlink_route_delete(struct netlink *netlink, const struct netlink_route *route, struct error *err)
{
	struct request request;
	int os = request_send(netlink, route_request(netlink, &request, RTM_DELROUTE, 0, route));

	if (!os || os == ESRCH || os == ENODEV)
		return true;
	return fail_os(err, os, "delete a route through link %u%s", route->link, netlink->note);
}

bool netlink_neighbour_add(struct netlink *netlink, uint32_t link, uint32_t address, struct netlink_mac mac,
			   struct error *err)
{
	struct request request;
	struct nlmsghdr *message = request_new(netlink, &request, RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE);
	struct ndmsg *head = mnl_nlmsg_put_extra_header(message, sizeof(*head));
	int os;

	head->ndm_family = AF_INET;
	head->ndm_ifindex = (int)link;
	head->ndm_state = NUD_PERMANENT;
	mnl_attr_put_u32(message, NDA_DST, htobe32(address));
	mnl_attr_put(message, NDA_LLADDR, sizeof(mac.bytes), mac.bytes);
	os = request_send(netlink, message);
	return !os || fail_os(err, os, "add a neighbour on link %u%s", link, netlink->note);
}

bool netlink_ipv4_localnet(struct netlink *netlink, struct str name, struct error *err)
{
	struct request request;
	struct nlmsghdr *message = link_request(netlink, &request, RTM_SETLINK, 0, name, false);
	struct nlattr *families = mnl_attr_nest_start(message, IFLA_AF_SPEC), *ipv4, *settings;
	int os;

	ipv4 = mnl_attr_nest_start(message, AF_INET);
	settings = mnl_attr_nest_start(message, IFLA_INET_CONF);
	mnl_attr_put_u32(message, IPV4_DEVCONF_ROUTE_LOCALNET, 1);
	mnl_attr_nest_end(message, settings);
	mnl_attr_nest_end(message, ipv4);
	mnl_attr_nest_end(message, families);
	os = request_send(netlink, message);
	return !os || fail_os(err, os, "route 127.0.0.0/8 on link '%.*s'%s", STR(name), netlink->note);
}
