/* keeper_init.h - the first process of a container that asks for one (initProcessEnabled).
 *
 * The keeper's own program, mounted into the container as /sbin/docker-init: "docker-init -- PROGRAM ARGUMENTS...". It starts
 * the program, hands on signals, reaps what is left behind, and ends as the program does. */
#pragma once

/* The exit code: the program's, 128 + signal when it was killed, 127 when it could not be started. */
int keeper_init(char *const *arguments);
