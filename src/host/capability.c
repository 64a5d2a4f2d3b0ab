#include "host/capability.h"
#include <assert.h>
#include <sys/prctl.h>

/* In the order of the kernel's numbers; true: docker's default. */
static const struct {
	struct str name;
	bool given;
} capabilities[] = {
	{STR_INIT("CHOWN"), true},
	{STR_INIT("DAC_OVERRIDE"), true},
	{STR_INIT("DAC_READ_SEARCH"), false},
	{STR_INIT("FOWNER"), true},
	{STR_INIT("FSETID"), true},
	{STR_INIT("KILL"), true},
	{STR_INIT("SETGID"), true},
	{STR_INIT("SETUID"), true},
	{STR_INIT("SETPCAP"), true},
	{STR_INIT("LINUX_IMMUTABLE"), false},
	{STR_INIT("NET_BIND_SERVICE"), true},
	{STR_INIT("NET_BROADCAST"), false},
	{STR_INIT("NET_ADMIN"), false},
	{STR_INIT("NET_RAW"), true},
	{STR_INIT("IPC_LOCK"), false},
	{STR_INIT("IPC_OWNER"), false},
	{STR_INIT("SYS_MODULE"), false},
	{STR_INIT("SYS_RAWIO"), false},
	{STR_INIT("SYS_CHROOT"), true},
	{STR_INIT("SYS_PTRACE"), false},
	{STR_INIT("SYS_PACCT"), false},
	{STR_INIT("SYS_ADMIN"), false},
	{STR_INIT("SYS_BOOT"), false},
	{STR_INIT("SYS_NICE"), false},
	{STR_INIT("SYS_RESOURCE"), false},
	{STR_INIT("SYS_TIME"), false},
	{STR_INIT("SYS_TTY_CONFIG"), false},
	{STR_INIT("MKNOD"), true},
	{STR_INIT("LEASE"), false},
	{STR_INIT("AUDIT_WRITE"), true},
	{STR_INIT("AUDIT_CONTROL"), false},
	{STR_INIT("SETFCAP"), true},
	{STR_INIT("MAC_OVERRIDE"), false},
	{STR_INIT("MAC_ADMIN"), false},
	{STR_INIT("SYSLOG"), false},
	{STR_INIT("WAKE_ALARM"), false},
	{STR_INIT("BLOCK_SUSPEND"), false},
	{STR_INIT("AUDIT_READ"), false},
	{STR_INIT("PERFMON"), false},
	{STR_INIT("BPF"), false},
	{STR_INIT("CHECKPOINT_RESTORE"), false},
};
static_assert(COUNT(capabilities) == CAPABILITY_COUNT, "a row for every capability");

uint64_t capability_all(void)
{
	uint64_t bits = 0;

	for (unsigned i = 0; i < CAPABILITY_COUNT; i++)
		if (prctl(PR_CAPBSET_READ, i, 0, 0, 0) == 1)
			bits |= UINT64_C(1) << i;
	return bits;
}

uint64_t capability_default(void)
{
	uint64_t bits = 0;

	for (size_t i = 0; i < CAPABILITY_COUNT; i++)
		if (capabilities[i].given)
			bits |= UINT64_C(1) << i;
	return bits;
}

bool capability_find(struct str name, uint64_t *ret_bits, struct error *err)
{
	struct str short_name = name;

	if (str_equal_ignoring_case(name, S("ALL"))) {
		*ret_bits = capability_all();
		return true;
	}
	if (name.len > 4 && str_equal_ignoring_case(str_slice(name, 0, 4), S("CAP_")))
		short_name = str_slice(name, 4, name.len);
	for (size_t i = 0; i < CAPABILITY_COUNT; i++)
		if (str_equal_ignoring_case(short_name, capabilities[i].name)) {
			*ret_bits = UINT64_C(1) << i;
			return true;
		}
	return fail(err, ERROR_REFUSED, "unknown capability \"%.*s\"", STR(name));
}

static bool find_each(const struct docker_strings *names, uint64_t *ret_bits, bool *ret_all, struct error *err)
{
	uint64_t bits;

	*ret_bits = 0;
	*ret_all = false;
	for (size_t i = 0; i < names->count; i++) {
		if (str_equal_ignoring_case(names->items[i], S("ALL"))) {
			*ret_all = true;
			continue;
		}
		if (!capability_find(names->items[i], &bits, err))
			return false;
		*ret_bits |= bits;
	}
	return true;
}

bool capability_combine(const struct docker_strings *add, const struct docker_strings *drop, uint64_t *ret_bits,
			struct error *err)
{
	uint64_t added, dropped, start = capability_default();
	bool add_all, drop_all;

	if (!find_each(add, &added, &add_all, err) || !find_each(drop, &dropped, &drop_all, err))
		return false;
	if (add_all)
		start = capability_all();
	else if (drop_all)
		start = 0;
	*ret_bits = (start & ~dropped) | (add_all ? 0 : added);
	*ret_bits &= capability_all();
	return true;
}

struct oci_strings capability_names(uint64_t bits, struct arena *arena)
{
	struct oci_strings names = {.items = arena_array(arena, struct str, CAPABILITY_COUNT)};

	for (size_t i = 0; i < CAPABILITY_COUNT; i++)
		if (bits & UINT64_C(1) << i)
			names.items[names.count++] =
				arena_printf(arena, "CAP_%.*s", STR(capabilities[i].name));
	return names;
}
