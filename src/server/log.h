/* log.h - one line an event on stderr: time=… level=… event=… key=value …
 *
 * Each line is one write. Callers never log secrets, signatures or bodies. */
#pragma once
#include "base/str.h"

/* `event` is a word; `format` gives the rest: "key=%d text=\"%s\"". Control characters become '?'. */
void log_error(const char *event, const char *format, ...) PRINTF_LIKE(2, 3);
void log_info(const char *event, const char *format, ...) PRINTF_LIKE(2, 3);
