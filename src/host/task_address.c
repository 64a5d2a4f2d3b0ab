#include "host/task_address.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>
#include "os/fd.h"
#include "os/netlink.h"
#include "os/netns.h"
#include "os/nft.h"

enum { LOOPBACK = 1, LINK_LOCAL = 0xa9fe };              /* lo is the first link of every namespace; 169.254.0.0/16 */

#define ADDRESS UINT32_C(0xa9feaa02)

static const struct netlink_ipv4 on_loopback = {.link = LOOPBACK, .address = ADDRESS, .prefix = 32};

static bool fail_socket(struct error *err) { return fail_os(err, errno, "listen on 169.254.170.2"); }

static bool listen_here(int *ret_fd, uint16_t *ret_port, struct error *err)
{
	auto_fd fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(ADDRESS)};
	socklen_t size = sizeof(address);

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "lo", sizeof("lo")) < 0 ||
	    bind(fd, (struct sockaddr *)&address, size) < 0 || listen(fd, TASK_ADDRESS_BACKLOG) < 0 ||
	    getsockname(fd, (struct sockaddr *)&address, &size) < 0)
		return fail_socket(err);
	*ret_port = ntohs(address.sin_port);
	*ret_fd = take_fd(&fd);
	return true;
}

/* Before connection tracking on the way there and after it on the way back: where it runs, it sees the real port. What an
 * earlier run left is replaced only where there is such: the kernel takes 10 ms and more to let go of a table. */
static bool forward_port(struct str table, uint16_t port, struct arena *arena, struct error *err)
{
	struct str rules = arena_printf(arena,
		"table ip %.*s {\n"
		"chain there {\n  type filter hook output priority -300\n"
		"  ip daddr 169.254.170.2 tcp dport 80 tcp dport set %u\n}\n"
		"chain back {\n  type filter hook postrouting priority 300\n"
		"  ip saddr 169.254.170.2 tcp sport %u tcp sport set 80\n}\n}\n",
		STR(table), port, port);

	return nft_run(arena_printf(arena, "create table ip %.*s\n%s", STR(table), rules.ptr).ptr, NULL) ||
	       nft_run(arena_printf(arena, "add table ip %.*s\ndelete table ip %.*s\n%s", STR(table), STR(table),
				    rules.ptr).ptr, err);
}

static bool list_addresses(struct netlink *netlink, struct arena *arena, struct str **ret_addresses, size_t *ret_count,
			   struct error *err)
{
	struct netlink_ipv4 *items;
	struct str *texts = arena_array(arena, struct str, TASK_ADDRESS_TEXTS_LIMIT);
	size_t count, used = 0;

	if (!netlink_ipv4_list(netlink, arena, &items, &count, err))
		return false;
	for (size_t i = 0; i < count && used < TASK_ADDRESS_TEXTS_LIMIT; i++) {
		uint32_t address = items[i].address;

		if (address >> 24 != 127 && address >> 16 != LINK_LOCAL)
			texts[used++] = arena_printf(arena, "%u.%u.%u.%u", address >> 24, address >> 16 & 255,
						     address >> 8 & 255, address & 255);
	}
	*ret_addresses = texts;
	*ret_count = used;
	return true;
}

/* In the thread's own namespace. */
static bool open_here(struct str table, struct arena *arena, int *ret_fd, struct str **ret_addresses, size_t *ret_count,
		      struct error *err)
{
	auto_netlink netlink = {0};
	auto_fd fd = -1;
	uint16_t port;

	if (!netlink_open(&netlink, err) || !netlink_ipv4_add(&netlink, &on_loopback, err) ||
	    !listen_here(&fd, &port, err) || !forward_port(table, port, arena, err) ||
	    !list_addresses(&netlink, arena, ret_addresses, ret_count, err))
		return false;
	*ret_fd = take_fd(&fd);
	return true;
}

bool task_address_open(struct str netns, struct str table, struct arena *arena, int *ret_fd, struct str **ret_addresses,
		       size_t *ret_count, struct error *err)
{
	auto_fd fd = -1;
	int back;
	bool ok;

	if (!str_has(netns))
		return open_here(table, arena, ret_fd, ret_addresses, ret_count, err);
	fd = open(arena_cstr(arena, netns), O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return fail_os(err, errno, "open network namespace '%.*s'", STR(netns));
	if (!netns_enter(fd, &back, err))
		return false;
	ok = open_here(table, arena, ret_fd, ret_addresses, ret_count, err);
	netns_leave(back);
	return ok;
}

bool task_address_keep(struct error *err)
{
	auto_netlink netlink = {0};

	return netlink_open(&netlink, err) && netlink_ipv4_add(&netlink, &on_loopback, err);
}

bool task_address_remove(struct str table, struct error *err)
{
	auto_arena arena = {0};
	auto_netlink netlink = {0};

	return netlink_open(&netlink, err) && netlink_ipv4_remove(&netlink, &on_loopback, err) &&
	       nft_run(arena_printf(&arena, "add table ip %.*s\ndelete table ip %.*s\n", STR(table), STR(table)).ptr, err);
}
