/* capability.h - Linux capabilities as task definitions name them ("SYS_ADMIN", "CAP_SYS_ADMIN", "ALL"). */
#pragma once
#include "api/docker.h"
#include "api/oci.h"
#include "base/error.h"

enum { CAPABILITY_COUNT = 41 };

uint64_t capability_all(void);                           /* that this agent can give: its own bounding set */
uint64_t capability_default(void);                       /* docker's fourteen */
bool capability_find(struct str name, uint64_t *ret_bits, struct error *err);
/* Docker's rule: drop ALL first, add ALL first, then single ones. */
bool capability_combine(const struct docker_strings *add, const struct docker_strings *drop, uint64_t *ret_bits,
			struct error *err);
/* "CAP_CHOWN", … in `arena`. */
struct oci_strings capability_names(uint64_t bits, struct arena *arena);
