#include "host/dns.h"
#include <assert.h>

enum {
	FLAG_RESPONSE = 0x80, FLAG_OPCODE = 0x78, FLAG_RECURSION_DESIRED = 0x01,        /* of byte 2 */
	FLAG_RECURSION_AVAILABLE = 0x80,                 /* of byte 3 */
	LABEL_LIMIT = 63,
	OWN_TTL = 60,
};

static uint16_t read_16(const uint8_t *bytes) { return (uint16_t)(bytes[0] << 8 | bytes[1]); }

static char plain(uint8_t byte)
{
	bool letter = byte >= 'a' && byte <= 'z', digit = byte >= '0' && byte <= '9';

	if (byte >= 'A' && byte <= 'Z')
		return (char)(byte + 'a' - 'A');
	return letter || digit || byte == '-' || byte == '_' ? (char)byte : '?';
}

/* Gives where the name ends, 0 when it is none. Pointers have nothing to point to in a question. */
static size_t read_name(const uint8_t *bytes, size_t len, size_t at, char *ret_name)
{
	size_t start = at, used = 0;

	while (at < len && bytes[at]) {
		size_t label = bytes[at++];

		if (label > LABEL_LIMIT || label > len - at || at + label - start >= DNS_NAME_LIMIT)
			return 0;
		if (used)
			ret_name[used++] = '.';
		for (size_t i = 0; i < label; i++)
			ret_name[used++] = plain(bytes[at + i]);
		at += label;
	}
	assert(used <= DNS_NAME_LIMIT);
	ret_name[used] = '\0';
	return at < len ? at + 1 : 0;
}

enum dns_code dns_read_query(const uint8_t *bytes, size_t len, struct dns_question *ret_question)
{
	struct dns_question question = {.end = 0};
	size_t at;

	*ret_question = question;
	if (len < DNS_HEADER_BYTES || bytes[2] & FLAG_RESPONSE)
		return DNS_MALFORMED;
	ret_question->end = DNS_HEADER_BYTES;
	if (bytes[2] & FLAG_OPCODE)
		return DNS_NOT_DONE;
	if (read_16(bytes + 4) != 1)
		return DNS_MALFORMED;
	at = read_name(bytes, len, DNS_HEADER_BYTES, question.name);
	if (!at || len - at < 4)
		return DNS_MALFORMED;
	question.type = read_16(bytes + at);
	question.class = read_16(bytes + at + 2);
	question.end = at + 4;
	*ret_question = question;
	return DNS_OK;
}

bool dns_answers(const uint8_t *query, size_t question_end, const uint8_t *reply, size_t len)
{
	if (len < DNS_HEADER_BYTES || !(reply[2] & FLAG_RESPONSE) || memcmp(query, reply, 2) != 0)
		return false;
	/* A server that refuses or fails may leave the question out. */
	if (read_16(reply + 4) == 0)
		return reply[3] & 0x0f;
	if (len < question_end)
		return false;
	for (size_t i = DNS_HEADER_BYTES; i < question_end; i++)
		if (plain(query[i]) != plain(reply[i]))
			return false;
	return true;
}

size_t dns_write_reply(const uint8_t *query, size_t question_end, enum dns_code code, const uint32_t *address,
		       uint8_t *out)
{
	uint8_t answer[DNS_ANSWER_BYTES] = {
		0xc0, DNS_HEADER_BYTES, 0, DNS_TYPE_A, 0, DNS_CLASS_IN, 0, 0, 0, OWN_TTL, 0, 4};

	assert(question_end >= DNS_HEADER_BYTES);
	memcpy(out, query, question_end);
	out[2] = (uint8_t)(FLAG_RESPONSE | (query[2] & (FLAG_OPCODE | FLAG_RECURSION_DESIRED)));
	out[3] = (uint8_t)(FLAG_RECURSION_AVAILABLE | code);
	memset(out + 4, 0, DNS_HEADER_BYTES - 4);
	out[5] = question_end > DNS_HEADER_BYTES;
	if (!address)
		return question_end;
	out[7] = 1;
	for (int i = 0; i < 4; i++)
		answer[12 + i] = (uint8_t)(*address >> (24 - 8 * i));
	memcpy(out + question_end, answer, sizeof(answer));
	return question_end + sizeof(answer);
}

static bool is_own_domain(struct str domain)
{
	struct str region;

	if (str_equal(domain, S("ec2.internal")))
		return true;
	return str_cut(&domain, '.', &region) && region.len > 0 && str_equal(domain, S("compute.internal"));
}

bool dns_own_name(struct str name, uint32_t *ret_address)
{
	struct str host, part;
	uint32_t address = 0;
	uint64_t byte;
	int parts = 0;

	if (!str_cut(&name, '.', &host) || !str_starts(host, S("ip-")) || !str_has(name) || !is_own_domain(name))
		return false;
	host = str_slice(host, 3, host.len);
	for (; str_cut(&host, '-', &part); parts++) {
		if (parts == 4 || part.len > 3 || !str_to_unsigned(part, &byte) || byte > 255)
			return false;
		address = address << 8 | (uint32_t)byte;
	}
	if (parts != 4)
		return false;
	*ret_address = address;
	return true;
}
