#include "control/ec2/names.h"
#include "control/call.h"
#include "control/ec2/state.h"

enum { ID_DIGITS = 17, OLD_ID_DIGITS = 8 };

/* In the order of record kinds. */
static const struct {
	struct str prefix;
	enum error_code malformed, missing;
	const char *text;
} kinds[] = {
	[RECORD_NETWORK_DEFAULTS] = {STR_INIT("dopt"), ERROR_INVALID_ID, ERROR_DHCP_OPTIONS_NOT_FOUND,
				     "The dhcpOption ID '%.*s' does not exist"},
	[RECORD_VPC] = {STR_INIT("vpc"), ERROR_VPC_MALFORMED, ERROR_VPC_NOT_FOUND, "The vpc ID '%.*s' does not exist"},
	[RECORD_SUBNET] = {STR_INIT("subnet"), ERROR_SUBNET_MALFORMED, ERROR_SUBNET_NOT_FOUND,
			   "The subnet ID '%.*s' does not exist"},
	[RECORD_SECURITY_GROUP] = {STR_INIT("sg"), ERROR_GROUP_MALFORMED, ERROR_GROUP_NOT_FOUND,
				   "The security group '%.*s' does not exist"},
	[RECORD_NETWORK_INTERFACE] = {STR_INIT("eni"), ERROR_INTERFACE_MALFORMED, ERROR_INTERFACE_NOT_FOUND,
				      "The networkInterface ID '%.*s' does not exist"},
	[RECORD_ROUTE_TABLE] = {STR_INIT("rtb"), ERROR_ROUTE_TABLE_MALFORMED, ERROR_ROUTE_TABLE_NOT_FOUND,
				"The routeTable ID '%.*s' does not exist"},
	[RECORD_INTERNET_GATEWAY] = {STR_INIT("igw"), ERROR_GATEWAY_MALFORMED, ERROR_GATEWAY_NOT_FOUND,
				     "The internetGateway ID '%.*s' does not exist"},
	[RECORD_ELASTIC_ADDRESS] = {STR_INIT("eipalloc"), ERROR_INVALID_ID, ERROR_ALLOCATION_NOT_FOUND,
				    "The allocation ID '%.*s' does not exist"},
};

struct str object_id(struct plane *plane, struct str prefix)
{
	struct arena *arena = plane_arena(plane);

	return ARENA_JOIN(arena, prefix, S("-"), random_hex(plane_random(plane), arena, ID_DIGITS));
}

struct str object_arn(struct plane *plane, const struct realm *realm, struct str type, struct str id)
{
	return ARENA_JOIN(plane_arena(plane), S("arn:aws:ec2:"), realm->region, S(":"), realm->account, S(":"), type, S("/"), id);
}

bool object_is_missing(struct error *err, enum record_kind kind, struct str id)
{
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	return fail(err, kinds[kind].missing, kinds[kind].text, STR(id));
#pragma GCC diagnostic pop
}

bool id_has_form(struct str id, struct str prefix)
{
	if (!str_starts(id, prefix) || id.len <= prefix.len || id.ptr[prefix.len] != '-')
		return false;
	id = str_slice(id, prefix.len + 1, id.len);
	for (size_t i = 0; i < id.len; i++)
		if (!((id.ptr[i] >= '0' && id.ptr[i] <= '9') || (id.ptr[i] >= 'a' && id.ptr[i] <= 'f')))
			return false;
	return id.len == ID_DIGITS || id.len == OLD_ID_DIGITS;
}

bool refuse_id(struct error *err, enum error_code code, struct str id, struct str prefix)
{
	return fail(err, code, "Invalid id: \"%.*s\" (expecting \"%.*s-...\")", STR(id), STR(prefix));
}

void *object_find(struct call *call, enum record_kind kind, struct str id, const char *parameter)
{
	void *entry;

	if (str_empty(id)) {
		fail(&call->error, ERROR_MISSING_PARAMETER, "The request must contain the parameter %s", parameter);
		return NULL;
	}
	if (!id_has_form(id, kinds[kind].prefix)) {
		refuse_id(&call->error, kinds[kind].malformed, id, kinds[kind].prefix);
		return NULL;
	}
	entry = entry_find(call->plane, call->realm, kind, id);
	if (!entry)
		object_is_missing(&call->error, kind, id);
	return entry;
}

/* ---- DNS */
static bool is_us_east_1(const struct realm *realm)
{
	return str_equal(realm->region, S("us-east-1"));
}

struct str private_domain(struct arena *arena, const struct realm *realm)
{
	return is_us_east_1(realm) ? S("ec2.internal") : ARENA_JOIN(arena, realm->region, S(".compute.internal"));
}

static struct str dashed(struct arena *arena, struct str address)
{
	char *text = arena_cstr(arena, address);

	for (size_t i = 0; i < address.len; i++)
		text[i] = text[i] == '.' ? '-' : text[i];
	return (struct str){text, address.len};
}

struct str private_name(struct arena *arena, const struct realm *realm, uint32_t address)
{
	return ARENA_JOIN(arena, S("ip-"), dashed(arena, ipv4_text(arena, address)), S("."), private_domain(arena, realm));
}

struct str public_name(struct arena *arena, const struct realm *realm, struct str address)
{
	struct str zone = is_us_east_1(realm) ? S("compute-1") : ARENA_JOIN(arena, realm->region, S(".compute"));

	return ARENA_JOIN(arena, S("ec2-"), dashed(arena, address), S("."), zone, S(".amazonaws.com"));
}

/* ---- zones */
struct str zone_name(struct arena *arena, struct str region, int number)
{
	return arena_printf(arena, "%.*s%c", STR(region), 'a' + number);
}

/* "us-gov-east-1" → "usge1": what stands between the first part and the number by its letters of the compass. */
static struct str region_code(struct arena *arena, struct str region)
{
	static const struct { struct str word, code; } words[] = {
		{STR_INIT("northeast"), STR_INIT("ne")}, {STR_INIT("northwest"), STR_INIT("nw")},
		{STR_INIT("southeast"), STR_INIT("se")}, {STR_INIT("southwest"), STR_INIT("sw")},
		{STR_INIT("north"), STR_INIT("n")}, {STR_INIT("south"), STR_INIT("s")}, {STR_INIT("east"), STR_INIT("e")},
		{STR_INIT("west"), STR_INIT("w")}, {STR_INIT("central"), STR_INIT("c")}, {STR_INIT("gov"), STR_INIT("g")},
	};
	struct str rest = region, piece, code = STR_INIT("");

	while (str_cut(&rest, '-', &piece)) {
		for (size_t i = 0; i < COUNT(words); i++)
			if (str_equal(piece, words[i].word))
				piece = words[i].code;
		code = ARENA_JOIN(arena, code, piece);
	}
	return code;
}

struct str zone_id(struct arena *arena, struct str region, int number)
{
	return arena_printf(arena, "%.*s-az%d", STR(region_code(arena, region)), number + 1);
}

int zone_number(struct arena *arena, struct str region, struct str zone)
{
	for (int i = 0; i < ZONES_PER_REGION; i++)
		if (str_equal(zone, zone_name(arena, region, i)) || str_equal(zone, zone_id(arena, region, i)))
			return i;
	return -1;
}
