/* Any bytes as a DNS query: what is understood is answered, and the answer fits. The second half as a reply to it. */
#include <assert.h>
#include "host/dns.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t reply[DNS_QUERY_LIMIT + DNS_ANSWER_BYTES];
	struct dns_question question, again;
	uint32_t address = 0;
	size_t len;

	if (size > DNS_QUERY_LIMIT || dns_read_query(data, size, &question) != DNS_OK)
		return 0;
	assert(question.end <= size);
	dns_own_name(str_of(question.name), &address);
	len = dns_write_reply(data, question.end, DNS_OK, &address, reply);
	assert(len == question.end + DNS_ANSWER_BYTES);
	assert(dns_answers(data, question.end, reply, len));
	reply[2] &= 0x7f;
	assert(dns_read_query(reply, len, &again) == DNS_OK);
	assert(str_equal(str_of(again.name), str_of(question.name)));
	dns_answers(data, question.end, data + size / 2, size - size / 2);
	return 0;
}
