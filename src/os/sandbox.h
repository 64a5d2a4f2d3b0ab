/* sandbox.h - giving up what a role does not need.
 *
 * Once it is set up, a server holds descriptors and needs no privilege: no new ones through exec, no capabilities,
 * and not root when the machine has a user for it. */
#pragma once
#include "base/error.h"

/* When we are root and `user` exists: gives `folder` and the plain files right below it (not deeper: other roles'
 * things live there) and below folder/`private` to that user and becomes it. Then, whoever we are: no_new_privs and
 * no capability. *ret_switched says whether we are that user now. Call it before the first thread. */
bool sandbox_enter(const char *user, struct str folder, const char *private, bool *ret_switched, struct error *err);
