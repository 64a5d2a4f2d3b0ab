/* network_view.h - all that the server has said of this machine's part of the VPCs, put together from WatchNetwork's answers.
 *
 * An answer tells of a group that is known only which members came and went; who acts on it wants the whole group. What no
 * interface needs any more is forgotten, as the server takes for granted (api/wherry.api). */
#pragma once
#include "api/wherry.h"
#include "base/error.h"
#include "base/map.h"

/* Zeroed is empty. */
struct network_view {
	struct map interfaces;                           /* struct wherry_interface by id */
	struct map groups;                               /* struct wherry_group by id */
};

void network_view_fini(struct network_view *view);

/* Takes an answer in and gives what it means: the same with each group that changed told whole; in `arena`, borrowing from
 * `news`. False when it speaks of members of a group that is not known: then everything has to be asked for again. */
bool network_view_take(struct network_view *view, const struct wherry_watch_network_response *news, struct arena *arena,
		       struct wherry_watch_network_response *ret_told, struct error *err);
