#include "host/bookings.h"
#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/socket.h>
#include "base/buffer.h"
#include "base/list.h"
#include "os/fd.h"
#include "os/file.h"

enum {
	ADDRESSES_LIMIT = 1 << 16,                       /* the widest range is a /16 */
	BOOKING_BYTES_LIMIT = 16 * 1024,                 /* 100 ports and a long name are 3 KiB */
	BOOKING_FILES_LIMIT = ADDRESSES_LIMIT + 16,
	NAME_BYTES = 96,                                 /* of the owner, to be read by people */
	PORTS = 1 << 16,
};

struct held {
	uint16_t port;
	bool udp;
	int fd;
};

struct bookings {
	struct bookings_options options;
	struct arena arena;
	pthread_mutex_t mutex;
	int folder, lock;                                /* -1 until first needed */
	uint64_t generation;                             /* of the files that the bits below stand for */
	uint32_t next_address, next_port;                /* where to look first: what was given back rests a while */
	uint64_t addresses[ADDRESSES_LIMIT / 64];
	uint64_t ports[2][PORTS / 64];                   /* tcp, udp */
	LIST_OF(struct held) held;
};

static bool bit_is_set(const uint64_t *bits, uint32_t at) { return bits[at / 64] >> at % 64 & 1; }
static void bit_set(uint64_t *bits, uint32_t at) { bits[at / 64] |= UINT64_C(1) << at % 64; }
static void bit_clear(uint64_t *bits, uint32_t at) { bits[at / 64] &= ~(UINT64_C(1) << at % 64); }

struct bookings *bookings_new(const struct bookings_options *options)
{
	struct bookings *bookings = calloc(1, sizeof(*bookings));

	assert(bookings);
	assert(options->prefix >= 16);
	assert(options->prefix <= 29);
	assert(options->port_low > 0);
	assert(options->port_low <= options->port_high);
	bookings->options = *options;
	bookings->options.folder = str_of(arena_cstr(&bookings->arena, options->folder));
	bookings->folder = bookings->lock = -1;
	bookings->next_port = options->port_low;
	pthread_mutex_init(&bookings->mutex, NULL);
	return bookings;
}

static void close_files(struct bookings *bookings)
{
	fd_close(&bookings->lock);
	fd_close(&bookings->folder);
	bookings->generation = 0;
}

void bookings_free(struct bookings *bookings)
{
	if (!bookings)
		return;
	for (size_t i = 0; i < bookings->held.count; i++)
		close(bookings->held.items[i].fd);
	list_fini(&bookings->held);
	close_files(bookings);
	pthread_mutex_destroy(&bookings->mutex);
	arena_fini(&bookings->arena);
	free(bookings);
}

/* --- sockets that keep a host port for us --- */

static struct held *held_find(struct bookings *bookings, const struct network_port *port)
{
	for (size_t i = 0; i < bookings->held.count; i++)
		if (bookings->held.items[i].port == port->host_port && bookings->held.items[i].udp == port->udp)
			return &bookings->held.items[i];
	return NULL;
}

/* Bound and never listening: whoever gets here past the map is refused instead of kept waiting. */
static int bind_port(const struct network_port *port)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htobe16(port->host_port)};
	auto_fd fd = socket(AF_INET, (port->udp ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC, 0);
	int on = 1, off = 0;

	if (fd < 0)
		return -1;
	/* With it a tcp port whose old connections linger is free; a udp port would seem free when it is not.
	 * Without it afterwards nobody who has it too can listen beside us. */
	if (!port->udp && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0)
		return -1;
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return -1;
	if (!port->udp && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &off, sizeof(off)) < 0)
		return -1;
	return take_fd(&fd);
}

static bool hold(struct bookings *bookings, const struct network_port *port)
{
	int fd;

	if (held_find(bookings, port))
		return true;
	fd = bind_port(port);
	if (fd >= 0)
		list_add(&bookings->held, ((struct held){port->host_port, port->udp, fd}));
	return fd >= 0;
}

static void let_go(struct bookings *bookings, const struct network_port *port)
{
	struct held *held = held_find(bookings, port);

	if (!held)
		return;
	close(held->fd);
	list_remove_at(&bookings->held, held - bookings->held.items);
}

/* --- files --- */

/* For people the beginning of the owner, for uniqueness its hash. */
static struct str file_name(struct arena *arena, struct str owner)
{
	char text[NAME_BYTES];
	size_t len = MIN(owner.len, sizeof(text));

	for (size_t i = 0; i < len; i++) {
		char c = owner.ptr[i];
		bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';

		text[i] = plain ? c : '-';
	}
	return arena_printf(arena, "%.*s-%016llx.booking", (int)len, text, (unsigned long long)str_hash(owner, 0));
}

static const struct str file_suffix = STR_INIT(".booking");

static bool parse_ipv4(struct str text, uint32_t *ret_address)
{
	uint32_t address = 0;
	struct str part;
	uint64_t byte;
	int parts = 0;

	while (str_cut(&text, '.', &part)) {
		if (!str_to_unsigned(part, &byte) || byte > 255)
			return false;
		address = address << 8 | (uint32_t)byte;
		parts++;
	}
	*ret_address = address;
	return parts == 4;
}

static bool parse_port(struct str text, struct booking *booking)
{
	struct str protocol, host, container = text;
	uint64_t host_port, container_port;

	if (booking->port_count == NETWORK_PORTS_LIMIT || !str_cut(&container, ' ', &protocol) ||
	    !str_cut(&container, ' ', &host))
		return false;
	if (!str_to_unsigned(host, &host_port) || !str_to_unsigned(container, &container_port) || host_port == 0 ||
	    host_port >= PORTS || container_port >= PORTS)
		return false;
	booking->ports[booking->port_count++] = (struct network_port){
		.host_port = (uint16_t)host_port,
		.container_port = (uint16_t)container_port,
		.udp = str_equal(protocol, S("udp")),
	};
	return true;
}

static bool parse_line(struct str line, struct booking *booking)
{
	struct str word;

	if (str_empty(line))
		return true;
	if (!str_cut(&line, ' ', &word))
		return false;
	if (str_equal(word, S("owner"))) {
		booking->owner = line;
		return true;
	}
	if (str_equal(word, S("address")))
		return parse_ipv4(line, &booking->address);
	return str_equal(word, S("port")) && parse_port(line, booking);
}

static bool read_booking(struct bookings *bookings, const char *name, struct arena *arena, struct booking **ret_booking,
			 struct error *err)
{
	struct booking *booking = arena_new(arena, struct booking);
	struct str text, line;

	if (!file_read(bookings->folder, name, BOOKING_BYTES_LIMIT, arena, &text, err))
		return false;
	while (str_cut(&text, '\n', &line))
		if (!parse_line(line, booking))
			return fail(err, ERROR_CORRUPT, "'%.*s/%s': do not know what '%.*s' means",
				    STR(bookings->options.folder), name, STR(line));
	if (str_empty(booking->owner))
		return fail(err, ERROR_CORRUPT, "'%.*s/%s' names no owner", STR(bookings->options.folder), name);
	*ret_booking = booking;
	return true;
}

static bool write_booking(struct bookings *bookings, const struct booking *booking, struct error *err)
{
	auto_arena arena = {0};
	auto_buffer text = {0};
	uint32_t address = booking->address;

	buffer_printf(&text, "owner %.*s\naddress %u.%u.%u.%u\n", STR(booking->owner), address >> 24,
		      address >> 16 & 255, address >> 8 & 255, address & 255);
	for (size_t i = 0; i < booking->port_count; i++)
		buffer_printf(&text, "port %s %u %u\n", booking->ports[i].udp ? "udp" : "tcp",
			      booking->ports[i].host_port, booking->ports[i].container_port);
	return file_write(bookings->folder, arena_cstr(&arena, file_name(&arena, booking->owner)), buffer_str(&text),
			  0600, err);
}

/* --- what is free, as of the files --- */

static bool ours(const struct bookings *bookings, uint32_t address)
{
	return address - bookings->options.subnet < UINT32_C(1) << (32 - bookings->options.prefix);
}

/* A range that was another at the last start leaves addresses outside of it: they are in nobody's way. */
static void mark(struct bookings *bookings, const struct booking *booking)
{
	if (ours(bookings, booking->address))
		bit_set(bookings->addresses, booking->address - bookings->options.subnet);
	for (size_t i = 0; i < booking->port_count; i++)
		bit_set(bookings->ports[booking->ports[i].udp], booking->ports[i].host_port);
}

static void unmark(struct bookings *bookings, const struct booking *booking)
{
	if (ours(bookings, booking->address))
		bit_clear(bookings->addresses, booking->address - bookings->options.subnet);
	for (size_t i = 0; i < booking->port_count; i++)
		bit_clear(bookings->ports[booking->ports[i].udp], booking->ports[i].host_port);
}

static bool read_all(struct bookings *bookings, struct arena *arena, struct booking ***ret_bookings, size_t *ret_count,
		     struct error *err)
{
	struct str *names;
	size_t count, used = 0;
	struct booking **all;

	if (!folder_list(bookings->folder, ".", BOOKING_FILES_LIMIT, arena, &names, &count, err))
		return false;
	all = arena_array(arena, struct booking *, count);
	for (size_t i = 0; i < count; i++) {
		/* The lock is ours: what is half written now was so when its writer died. */
		if (str_ends(names[i], S(".new")))
			unlinkat(bookings->folder, arena_cstr(arena, names[i]), 0);
		if (!str_ends(names[i], file_suffix))
			continue;
		if (!read_booking(bookings, arena_cstr(arena, names[i]), arena, &all[used++], err))
			return false;
	}
	*ret_bookings = all;
	*ret_count = used;
	return true;
}

static bool reload(struct bookings *bookings, struct error *err)
{
	auto_arena arena = {0};
	struct booking **all;
	size_t count;

	if (!read_all(bookings, &arena, &all, &count, err))
		return false;
	memset(bookings->addresses, 0, sizeof(bookings->addresses));
	memset(bookings->ports, 0, sizeof(bookings->ports));
	for (size_t i = 0; i < count; i++)
		mark(bookings, all[i]);
	return true;
}

static bool open_files(struct bookings *bookings, struct error *err)
{
	const char *path = bookings->options.folder.ptr;

	if (!folder_make(path, 0700, err))
		return false;
	bookings->folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (bookings->folder < 0)
		return fail_os(err, errno, "open '%s'", path);
	bookings->lock = openat(bookings->folder, "lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (bookings->lock >= 0)
		return true;
	fail_os(err, errno, "open '%s/lock'", path);
	close_files(bookings);
	return false;
}

/* The number changes whenever the files do; it starts at 1, so that a first look always reads them. */
static bool catch_up(struct bookings *bookings, struct error *err)
{
	uint64_t generation = 1;

	if (pread(bookings->lock, &generation, sizeof(generation), 0) < 0)
		return fail_os(err, errno, "read '%.*s/lock'", STR(bookings->options.folder));
	if (generation == bookings->generation)
		return true;
	if (!reload(bookings, err))
		return false;
	bookings->generation = generation;
	return true;
}

static void leave(struct bookings *bookings)
{
	if (bookings->lock >= 0)
		flock(bookings->lock, LOCK_UN);
	pthread_mutex_unlock(&bookings->mutex);
}

static bool enter(struct bookings *bookings, struct error *err)
{
	pthread_mutex_lock(&bookings->mutex);
	if (bookings->lock < 0 && !open_files(bookings, err)) {
		leave(bookings);
		return false;
	}
	while (flock(bookings->lock, LOCK_EX) < 0) {
		if (errno == EINTR)
			continue;
		fail_os(err, errno, "lock '%.*s/lock'", STR(bookings->options.folder));
		leave(bookings);
		return false;
	}
	if (catch_up(bookings, err))
		return true;
	leave(bookings);
	return false;
}

/* Before the files change, so that a crash in between makes the others look once too often, never too seldom. */
static bool announce(struct bookings *bookings, struct error *err)
{
	uint64_t generation = bookings->generation + 1;

	if (pwrite(bookings->lock, &generation, sizeof(generation), 0) != sizeof(generation))
		return fail_os(err, errno ? errno : EIO, "write '%.*s/lock'", STR(bookings->options.folder));
	bookings->generation = generation;
	return true;
}

/* --- choosing --- */

static bool choose_address(struct bookings *bookings, uint32_t *ret_address, struct error *err)
{
	uint32_t size = UINT32_C(1) << (32 - bookings->options.prefix);

	/* The first is the network's, the last the broadcast's. */
	for (uint32_t i = 0; i < size; i++) {
		uint32_t at = (bookings->next_address + i) % size;

		if (at == 0 || at == size - 1 || bookings->options.subnet + at == bookings->options.gateway ||
		    bit_is_set(bookings->addresses, at))
			continue;
		bookings->next_address = at + 1;
		*ret_address = bookings->options.subnet + at;
		return true;
	}
	return fail(err, ERROR_REFUSED, "no address is free: all %u of the bridge are in use", size - 3);
}

/* The bits are set as ports are taken, so that two mappings of one container cannot share a port either. */
static bool take_static(struct bookings *bookings, const struct network_port *port, struct error *err)
{
	if (!bit_is_set(bookings->ports[port->udp], port->host_port) && hold(bookings, port)) {
		bit_set(bookings->ports[port->udp], port->host_port);
		return true;
	}
	return fail(err, ERROR_REFUSED, "Bind for 0.0.0.0:%u failed: port is already allocated", port->host_port);
}

static bool take_dynamic(struct bookings *bookings, struct network_port *port, struct error *err)
{
	uint32_t low = bookings->options.port_low, size = bookings->options.port_high - low + 1;

	for (uint32_t i = 0; i < size; i++) {
		port->host_port = (uint16_t)(low + (bookings->next_port - low + i) % size);
		if (bit_is_set(bookings->ports[port->udp], port->host_port) || !hold(bookings, port))
			continue;
		bit_set(bookings->ports[port->udp], port->host_port);
		bookings->next_port = port->host_port == bookings->options.port_high ? low : port->host_port + 1u;
		return true;
	}
	return fail(err, ERROR_REFUSED, "Bind for 0.0.0.0:0 failed: all ports are allocated");
}

/* Static ones first: a dynamic choice must not take what the next mapping asks for. */
/* Ports in a row: clients of a range count on it. */
static bool take_block(struct bookings *bookings, struct network_port *ports, size_t size, struct error *err)
{
	uint32_t low = bookings->options.port_low, high = bookings->options.port_high;

	for (uint32_t base = low; base + size - 1 <= high; base++) {
		size_t count = 0;

		while (count < size) {
			struct network_port *port = &ports[count];

			port->host_port = (uint16_t)(base + count);
			if (bit_is_set(bookings->ports[port->udp], port->host_port) || !hold(bookings, port))
				break;
			bit_set(bookings->ports[port->udp], port->host_port);
			count++;
		}
		if (count == size)
			return true;
		base += (uint32_t)count;
		while (count-- > 0) {
			let_go(bookings, &ports[count]);
			bit_clear(bookings->ports[ports[count].udp], ports[count].host_port);
		}
	}
	return fail(err, ERROR_REFUSED, "no %zu ports in a row are free between %u and %u", size, low, high);
}

static bool take_ports(struct bookings *bookings, struct booking *booking, bool taken[], struct error *err)
{
	for (size_t i = 0; i < booking->port_count; i++) {
		if (!booking->ports[i].host_port)
			continue;
		if (!take_static(bookings, &booking->ports[i], err))
			return false;
		taken[i] = true;
	}
	for (size_t i = 0; i < booking->port_count; i++) {
		size_t block = MAX(booking->ports[i].block, 1);

		if (taken[i])
			continue;
		assert(i + block <= booking->port_count);
		if (!(block > 1 ? take_block(bookings, &booking->ports[i], block, err)
				: take_dynamic(bookings, &booking->ports[i], err)))
			return false;
		while (block-- > 0)
			taken[i + block] = true;
	}
	return true;
}

static void give_back_ports(struct bookings *bookings, const struct booking *booking, const bool taken[])
{
	for (size_t i = 0; i < booking->port_count; i++) {
		if (!taken[i])
			continue;
		let_go(bookings, &booking->ports[i]);
		bit_clear(bookings->ports[booking->ports[i].udp], booking->ports[i].host_port);
	}
}

static bool take(struct bookings *bookings, struct booking *booking, struct error *err)
{
	bool taken[NETWORK_PORTS_LIMIT] = {0};

	if (choose_address(bookings, &booking->address, err) && take_ports(bookings, booking, taken, err) &&
	    announce(bookings, err) && write_booking(bookings, booking, err)) {
		mark(bookings, booking);
		return true;
	}
	give_back_ports(bookings, booking, taken);
	return false;
}

bool bookings_take(struct bookings *bookings, struct str owner, struct network_port *ports, size_t port_count,
		   uint32_t *ret_address, struct error *err)
{
	struct booking booking = {.owner = owner, .port_count = port_count};
	bool ok;

	assert(!str_empty(owner));
	assert(port_count <= NETWORK_PORTS_LIMIT);
	if (owner.len != str_find(owner, '\n'))
		return fail(err, ERROR_REFUSED, "an owner's name has a line break");
	if (port_count)
		memcpy(booking.ports, ports, port_count * sizeof(*ports));
	if (!enter(bookings, err))
		return false;
	ok = take(bookings, &booking, err);
	leave(bookings);
	if (!ok)
		return false;
	if (port_count)
		memcpy(ports, booking.ports, port_count * sizeof(*ports));
	*ret_address = booking.address;
	return true;
}

/* --- finding and giving back --- */

static bool find(struct bookings *bookings, struct str owner, struct arena *arena, struct booking **ret_booking,
		 struct error *err)
{
	struct error why = {0};

	if (!read_booking(bookings, arena_cstr(arena, file_name(arena, owner)), arena, ret_booking, &why)) {
		*ret_booking = NULL;
		return why.code == ERROR_NOT_FOUND || fail(err, why.code, "%s", why.text);
	}
	if (str_equal((*ret_booking)->owner, owner))
		return true;
	return fail(err, ERROR_CORRUPT, "'%.*s' and '%.*s' have the same booking", STR(owner),
		    STR((*ret_booking)->owner));
}

bool bookings_find(struct bookings *bookings, struct str owner, struct arena *arena, struct booking **ret_booking,
		   struct error *err)
{
	bool ok;

	/* After bookings_clear, or before the first, looking must not make the folder. */
	*ret_booking = NULL;
	if (access(bookings->options.folder.ptr, F_OK) < 0 && errno == ENOENT)
		return true;
	if (!enter(bookings, err))
		return false;
	ok = find(bookings, owner, arena, ret_booking, err);
	leave(bookings);
	return ok;
}

bool bookings_release(struct bookings *bookings, const struct booking *booking, struct error *err)
{
	auto_arena arena = {0};
	const char *name = arena_cstr(&arena, file_name(&arena, booking->owner));
	bool ok;

	if (!enter(bookings, err))
		return false;
	ok = announce(bookings, err);
	if (ok && unlinkat(bookings->folder, name, 0) < 0 && errno != ENOENT)
		ok = fail_os(err, errno, "remove '%.*s/%s'", STR(bookings->options.folder), name);
	if (ok) {
		unmark(bookings, booking);
		for (size_t i = 0; i < booking->port_count; i++)
			let_go(bookings, &booking->ports[i]);
	}
	leave(bookings);
	return ok;
}

bool bookings_all(struct bookings *bookings, struct arena *arena, struct booking ***ret_bookings, size_t *ret_count,
		  struct error *err)
{
	bool ok;

	if (!enter(bookings, err))
		return false;
	ok = read_all(bookings, arena, ret_bookings, ret_count, err);
	for (size_t i = 0; ok && i < *ret_count; i++)
		for (size_t j = 0; j < (*ret_bookings)[i]->port_count; j++)
			hold(bookings, &(*ret_bookings)[i]->ports[j]);
	leave(bookings);
	return ok;
}

bool bookings_clear(struct bookings *bookings, struct error *err)
{
	bool ok;

	if (!enter(bookings, err))
		return false;
	for (size_t i = 0; i < bookings->held.count; i++)
		close(bookings->held.items[i].fd);
	list_fini(&bookings->held);
	ok = tree_remove(AT_FDCWD, bookings->options.folder.ptr, err);
	close_files(bookings);
	pthread_mutex_unlock(&bookings->mutex);
	return ok;
}
