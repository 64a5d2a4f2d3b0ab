/* listen.h - listening sockets that share a port (SO_REUSEPORT), one an I/O thread. */
#pragma once
#include <stdint.h>
#include "base/arena.h"
#include "base/error.h"

/* "127.0.0.1:4566", "[::1]:0", "localhost:80". Port 0: the kernel's choice, the same for all. `ret_address` is
 * what it became, as written in a URL; *ret_host its host alone. On failure nothing is left open. */
bool listen_open(struct str address, unsigned count, int ret_fds[], struct arena *arena, struct str *ret_address,
		 struct str *ret_host, struct error *err);
