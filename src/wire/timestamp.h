/* timestamp.h - points in time as text: RFC 3339, the basic form of signatures, and HTTP's. */
#pragma once
#include "base/arena.h"
#include "base/time.h"

enum { TIMESTAMP_TEXT_SIZE = 32 };

/* Years 0000 to 9999: what the text forms can hold. */
#define TIMESTAMP_FIRST ((usec)-62167219200 * USEC_PER_SEC)
#define TIMESTAMP_LAST ((usec)253402300799 * USEC_PER_SEC + 999999)

/* "2018-06-18", "2018-06-18T22:28:28", either with a fraction, "Z" or "+00:00" behind a time; UTC when the
 * zone is missing. */
bool timestamp_parse(struct str text, usec *ret_time);
/* "2018-06-18T22:28:28.123Z"; without the fraction when it is 0. Gives the length. */
size_t timestamp_format(usec time, char text[TIMESTAMP_TEXT_SIZE]);

bool timestamp_parse_basic(struct str text, usec *ret_time);     /* "20180618T222828Z" */
size_t timestamp_format_basic(usec time, char text[TIMESTAMP_TEXT_SIZE]);

/* "Sun, 06 Nov 1994 08:49:37 GMT", the Date of HTTP; the day of the week is not looked at when read. */
bool timestamp_parse_http(struct str text, usec *ret_time);
size_t timestamp_format_http(usec time, char text[TIMESTAMP_TEXT_SIZE]);
