#include "test/test.h"
#include <stdlib.h>

enum { TESTS_LIMIT = 2000 };

static struct CMUnitTest tests[TESTS_LIMIT];
static size_t test_count;

void test_register(const char *name, void (*run)(void **state))
{
	if (test_count == TESTS_LIMIT)
		abort();
	tests[test_count++] = (struct CMUnitTest){.name = name, .test_func = run};
}

int main(int count, char **arguments)
{
	if (count > 1)
		cmocka_set_test_filter(arguments[1]);
	return _cmocka_run_group_tests(arguments[0], tests, test_count, NULL, NULL);
}
