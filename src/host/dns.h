/* dns.h - as much of DNS messages as a forwarder has to understand: the header and the one question. Pure. */
#pragma once
#include "base/str.h"

enum {
	DNS_HEADER_BYTES = 12,
	DNS_NAME_LIMIT = 255,                            /* bytes of a name on the wire */
	DNS_QUERY_LIMIT = 1232,                          /* bytes of a query that we take over udp */
	DNS_ANSWER_BYTES = 16,                           /* that an address adds to a query */
	DNS_TYPE_A = 1, DNS_CLASS_IN = 1,
};

enum dns_code { DNS_OK = 0, DNS_MALFORMED = 1, DNS_FAILED = 2, DNS_NO_SUCH_NAME = 3, DNS_NOT_DONE = 4 };

struct dns_question {
	char name[DNS_NAME_LIMIT + 1];                   /* "www.example.com", lower case; what is not plain text is '?' */
	uint16_t type, class;
	size_t end;                                      /* bytes of header and question */
};

/* DNS_OK, or with which code to refuse it; the end is 0 when it is not even worth an answer (no query, no header). */
enum dns_code dns_read_query(const uint8_t *bytes, size_t len, struct dns_question *ret_question);

/* Whether `reply` answers this very query: its id and its question. */
bool dns_answers(const uint8_t *query, size_t question_end, const uint8_t *reply, size_t len);

/* An answer of our own: header, the question (when question_end is past the header), one address unless NULL. `out` has
 * room for question_end + DNS_ANSWER_BYTES. Gives its length. */
size_t dns_write_reply(const uint8_t *query, size_t question_end, enum dns_code code, const uint32_t *address,
		       uint8_t *out);

/* "ip-10-0-0-5.ec2.internal", "ip-10-0-0-5.REGION.compute.internal". */
bool dns_own_name(struct str name, uint32_t *ret_address);
