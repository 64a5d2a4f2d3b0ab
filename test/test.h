/* test.h - tests are sentences.
 *
 * TEST(a_sentence) registers itself; test/unit/main.c runs what is linked in, through cmocka. Use cmocka's
 * asserts; EXPECT_STR compares slices and shows both. */
#pragma once
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#undef fail                                              /* base/error.h has its own; here it is fail_msg */
#undef fail_msg
#define fail_msg(...) (print_error(__VA_ARGS__), print_error("\n"), _fail(__FILE__, __LINE__))
#include "base/arena.h"
#include "base/str.h"

void test_register(const char *name, void (*run)(void **state));

#define TEST(sentence) \
	static void sentence(void **state); \
	__attribute__((constructor)) static void register_##sentence(void) { test_register(#sentence, sentence); } \
	static void sentence(__attribute__((unused)) void **state)

#define EXPECT_STR(actual, expected) \
	do { \
		struct str actual_ = (actual), expected_ = (expected); \
		if (!str_equal(actual_, expected_)) \
			fail_msg("'%.*s' is not '%.*s'", STR(actual_), STR(expected_)); \
	} while (0)
