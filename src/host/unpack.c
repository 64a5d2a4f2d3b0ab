/* Two threads: the caller's inflates and hashes into a ring of chunks; ours reads the tar out of the ring
 * and writes files. Members are reached by walking from the root one name at a time, never through a link. */
#include "host/unpack.h"
#include <archive.h>
#include <archive_entry.h>
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>
#include "os/fd.h"
#include "os/file.h"

enum {
	CHUNK_SIZE = 256 << 10,
	CHUNK_COUNT = 4,
	MAGIC_SIZE = 4,
	ZSTD_WINDOW_LOG_LIMIT = 27,                      /* 128 MiB, what zstd itself takes without being told */
	QUOTE_LIMIT = 120,                               /* bytes of a member's name in an error */
};

enum form { FORM_UNKNOWN, FORM_PLAIN, FORM_GZIP, FORM_ZSTD };

/* A folder on the way to where we are writing. Its time is put back when we leave it. */
struct level { size_t path_len; struct timespec mtime; };

struct unpack {
	struct unpack_limits limits;

	/* the caller's side */
	enum form form;
	unsigned char magic[MAGIC_SIZE];
	size_t magic_len;
	z_stream gzip;
	ZSTD_DCtx *zstd;
	bool between_frames;                             /* where the stream may end */
	EVP_MD_CTX *hash, *plain_hash;
	uint64_t plain_bytes;

	/* the ring, under `lock` */
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct { unsigned char *bytes; size_t len; } chunks[CHUNK_COUNT];
	size_t filled, taken;
	bool ended, failed;
	struct error failure;
	pthread_t thread;
	bool joined;

	/* our thread's side */
	bool holds_chunk;
	uint64_t entries, file_bytes;
	int root_fd, folder_fd;                          /* folder_fd: of the innermost level; root_fd when none */
	struct timespec root_mtime;
	struct level levels[UNPACK_DEPTH_LIMIT];
	size_t level_count;
	char path[UNPACK_PATH_LIMIT + 1];                /* of the innermost level */
};

/* A member's name, cleaned: "a/b" and "c". */
struct place { char text[UNPACK_PATH_LIMIT + 1]; struct str folder; const char *name; };

/* ---- the ring */

static bool ring_failure(struct unpack *unpack, struct error *err)
{
	bool failed;

	pthread_mutex_lock(&unpack->lock);
	failed = unpack->failed;
	if (failed && err)
		*err = unpack->failure;
	pthread_mutex_unlock(&unpack->lock);
	return failed;
}

/* The chunk to fill, once there is a free one. */
static size_t ring_reserve(struct unpack *unpack)
{
	pthread_mutex_lock(&unpack->lock);
	while (unpack->filled - unpack->taken == CHUNK_COUNT)
		pthread_cond_wait(&unpack->changed, &unpack->lock);
	pthread_mutex_unlock(&unpack->lock);
	return unpack->filled % CHUNK_COUNT;
}

static void ring_publish(struct unpack *unpack, bool ended)
{
	pthread_mutex_lock(&unpack->lock);
	if (unpack->chunks[unpack->filled % CHUNK_COUNT].len > 0 &&
	    unpack->filled - unpack->taken < CHUNK_COUNT)
		unpack->filled++;
	unpack->ended |= ended;
	pthread_cond_broadcast(&unpack->changed);
	pthread_mutex_unlock(&unpack->lock);
}

/* Gives the chunk taken before back, and the next; 0 at the end. libarchive's read callback. */
static la_ssize_t ring_take(struct archive *archive, void *arg, const void **ret_bytes)
{
	struct unpack *unpack = arg;
	size_t len = 0;

	pthread_mutex_lock(&unpack->lock);
	if (unpack->holds_chunk) {
		unpack->chunks[unpack->taken++ % CHUNK_COUNT].len = 0;
		pthread_cond_broadcast(&unpack->changed);
	}
	while (unpack->filled == unpack->taken && !unpack->ended)
		pthread_cond_wait(&unpack->changed, &unpack->lock);
	unpack->holds_chunk = unpack->filled != unpack->taken;
	if (unpack->holds_chunk) {
		*ret_bytes = unpack->chunks[unpack->taken % CHUNK_COUNT].bytes;
		len = unpack->chunks[unpack->taken % CHUNK_COUNT].len;
	}
	pthread_mutex_unlock(&unpack->lock);
	return (la_ssize_t)len;
}

/* ---- names */

/* For errors: a stranger's bytes as printable text. */
static struct str quote(const char *text, char room[QUOTE_LIMIT])
{
	size_t len = 0;

	for (; text && text[len] && len < QUOTE_LIMIT; len++)
		room[len] = text[len] >= ' ' && text[len] < 0x7f ? text[len] : '?';
	return (struct str){room, len};
}

static bool refuse(struct error *err, const char *member, const char *why)
{
	char room[QUOTE_LIMIT];

	return fail(err, ERROR_REFUSED, "layer member '%.*s' %s", STR(quote(member, room)), why);
}

static bool fail_member(struct error *err, int os, const char *what, const char *member)
{
	char room[QUOTE_LIMIT];

	return fail_os(err, os, "%s layer member '%.*s'", what, STR(quote(member, room)));
}

/* "./a//b/" → "a/b"; false for what may not be. */
static bool path_clean(const char *text, char *path, size_t *ret_len, struct error *err)
{
	struct str rest = str_of(text), piece;
	size_t len = 0, depth = 0;

	if (!text || str_starts(rest, S("/")))
		return refuse(err, text, text ? "has an absolute name" : "has no name that can be read");
	if (rest.len > UNPACK_PATH_LIMIT)
		return refuse(err, text, "has too long a name");
	while (str_cut(&rest, '/', &piece)) {
		if (str_empty(piece) || str_equal(piece, S(".")))
			continue;
		if (str_equal(piece, S("..")))
			return refuse(err, text, "leads out of the image's root");
		if (piece.len > UNPACK_NAME_LIMIT)
			return refuse(err, text, "has too long a name");
		if (++depth > UNPACK_DEPTH_LIMIT)
			return refuse(err, text, "lies too deep");
		if (len > 0)
			path[len++] = '/';
		memcpy(path + len, piece.ptr, piece.len);
		len += piece.len;
	}
	path[len] = '\0';
	*ret_len = len;
	return true;
}

static bool place_init(struct place *place, const char *text, struct error *err)
{
	size_t len, slash;

	if (!path_clean(text, place->text, &len, err))
		return false;
	slash = str_find_last((struct str){place->text, len}, '/');
	place->folder = (struct str){place->text, slash < len ? slash : 0};
	place->name = slash < len ? place->text + slash + 1 : place->text;
	return true;
}

/* ---- whiteouts */

static bool is_whiteout(const struct stat *status)
{
	return S_ISCHR(status->st_mode) && status->st_rdev == makedev(0, 0);
}

static int folder_open(int folder_fd, const char *name)
{
	return openat(folder_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

static bool opaque_set(int fd, const char *member, struct error *err)
{
	if (fsetxattr(fd, "trusted.overlay.opaque", "y", 1, 0) < 0)
		return fail_member(err, errno, "hide what lies below", member);
	return true;
}

/* Hides `name` of the layers below. What this very layer has by that name stays and hides by itself, except
 * that a folder would show what lies below. */
static bool whiteout_make(int folder_fd, const char *name, const char *member, struct error *err)
{
	auto_fd fd = -1;

	if (str_empty(str_of(name)) || !strcmp(name, ".") || !strcmp(name, ".."))
		return refuse(err, member, "hides no proper name");
	if (mknodat(folder_fd, name, S_IFCHR, makedev(0, 0)) == 0)
		return true;
	if (errno != EEXIST)
		return fail_member(err, errno, "make", member);
	fd = folder_open(folder_fd, name);
	return fd < 0 || opaque_set(fd, member, err);
}

/* Whether a name says that it is a whiteout; *ret_done says how that went. */
static bool whiteout_by_name(int folder_fd, const char *name, const char *member, bool *ret_done,
			     struct error *err)
{
	if (!str_starts(str_of(name), S(".wh.")))
		return false;
	if (!strcmp(name, ".wh..wh..opq"))
		*ret_done = opaque_set(folder_fd, member, err);
	else if (str_starts(str_of(name), S(".wh..wh.")))
		*ret_done = true; /* aufs kept its own books so */
	else
		*ret_done = whiteout_make(folder_fd, name + strlen(".wh."), member, err);
	return true;
}

/* ---- folders */

/* A folder by that name, made when there is none; a whiteout becomes a folder that hides. */
static int folder_make_at(int folder_fd, const char *name)
{
	struct stat status;
	bool hides = fstatat(folder_fd, name, &status, AT_SYMLINK_NOFOLLOW) == 0 && is_whiteout(&status);
	bool made;
	int fd;

	if (hides)
		unlinkat(folder_fd, name, 0);
	made = mkdirat(folder_fd, name, 0755) == 0;
	fd = folder_open(folder_fd, name);
	if (fd >= 0 && made)
		fchmod(fd, 0755); /* whatever the umask */
	if (fd >= 0 && hides && fsetxattr(fd, "trusted.overlay.opaque", "y", 1, 0) < 0)
		fd_close(&fd);
	return fd;
}

static void folder_fd_set(struct unpack *unpack, int fd)
{
	if (unpack->folder_fd != unpack->root_fd && unpack->folder_fd >= 0)
		close(unpack->folder_fd);
	unpack->folder_fd = fd;
}

/* Opens the innermost level again, from the root. */
static bool levels_open(struct unpack *unpack)
{
	struct str rest = {unpack->path, unpack->level_count ? strlen(unpack->path) : 0}, piece;
	int fd = unpack->root_fd;

	while (!str_empty(rest) && str_cut(&rest, '/', &piece)) {
		char name[UNPACK_NAME_LIMIT + 1] = {0};
		int next;

		memcpy(name, piece.ptr, piece.len);
		next = folder_open(fd, name);
		if (fd != unpack->root_fd)
			close(fd);
		if (next < 0)
			return false;
		fd = next;
		if (!str_has(rest))
			break;
	}
	folder_fd_set(unpack, fd);
	return true;
}

static bool level_leave(struct unpack *unpack)
{
	struct level *level = &unpack->levels[unpack->level_count - 1];

	if (futimens(unpack->folder_fd, (struct timespec[]){{.tv_nsec = UTIME_OMIT}, level->mtime}) < 0)
		return false;
	unpack->level_count--;
	unpack->path[unpack->level_count ? unpack->levels[unpack->level_count - 1].path_len : 0] = '\0';
	return levels_open(unpack);
}

static bool level_enter(struct unpack *unpack, struct str piece, const char *member, struct error *err)
{
	char name[UNPACK_NAME_LIMIT + 1] = {0};
	size_t len = strlen(unpack->path);
	struct level *level = &unpack->levels[unpack->level_count];
	struct stat status;
	int fd;

	memcpy(name, piece.ptr, piece.len);
	fd = folder_make_at(unpack->folder_fd, name);
	if (fd < 0 && (errno == ENOTDIR || errno == ELOOP))
		return refuse(err, member, "goes through what is no folder but a link or a file");
	if (fd < 0 || fstat(fd, &status) < 0) {
		fd_close(&fd);
		return fail_member(err, errno, "make the folder of", member);
	}
	folder_fd_set(unpack, fd);
	if (len > 0)
		unpack->path[len++] = '/';
	memcpy(unpack->path + len, name, piece.len + 1);
	*level = (struct level){.path_len = len + piece.len, .mtime = status.st_mtim};
	unpack->level_count++;
	return true;
}

static bool is_below(struct str path, struct str folder)
{
	return str_starts(path, folder) && (path.len == folder.len || path.ptr[folder.len] == '/');
}

/* Makes folder_fd the folder `path`. */
static bool folder_enter(struct unpack *unpack, struct str path, const char *member, struct error *err)
{
	struct str rest, piece;

	while (unpack->level_count > 0 && !is_below(path, str_of(unpack->path)))
		if (!level_leave(unpack))
			return fail_member(err, errno, "leave a folder for", member);
	rest = str_slice(path, unpack->level_count ? strlen(unpack->path) + 1 : 0, path.len);
	if (str_empty(rest))
		return true;
	while (str_cut(&rest, '/', &piece))
		if (!level_enter(unpack, piece, member, err))
			return false;
	return true;
}

/* ---- what a member brings with it */

static bool xattr_is_kept(const char *name)
{
	return (str_starts(str_of(name), S("user.")) && !str_starts(str_of(name), S("user.overlay."))) ||
	       !strcmp(name, "security.capability");
}

/* A file system without user xattrs does without; one without capabilities would break programs silently. */
static bool xattr_may_fail(const char *name)
{
	return str_starts(str_of(name), S("user.")) ? errno == ENOTSUP : geteuid() != 0;
}

static bool xattrs_set(int fd, struct archive_entry *entry, struct error *err)
{
	const char *name;
	const void *value;
	size_t size;

	archive_entry_xattr_reset(entry);
	while (archive_entry_xattr_next(entry, &name, &value, &size) == ARCHIVE_OK)
		if (xattr_is_kept(name) && fsetxattr(fd, name, value, size, 0) < 0 && !xattr_may_fail(name))
			return fail_member(err, errno, "set an xattr of", archive_entry_pathname(entry));
	return true;
}

static struct timespec entry_mtime(struct archive_entry *entry)
{
	long nsec = archive_entry_mtime_nsec(entry);

	return (struct timespec){.tv_sec = archive_entry_mtime(entry),
				 .tv_nsec = nsec >= 0 && nsec < 1000000000 ? nsec : 0};
}

static mode_t entry_mode(struct archive_entry *entry)
{
	return archive_entry_perm(entry) & 07777;
}

/* Owner first: chown takes setuid and capabilities away. */
static bool finish_fd(int fd, struct archive_entry *entry, struct error *err)
{
	struct timespec mtime = entry_mtime(entry);
	mode_t mode = entry_mode(entry);
	bool root = geteuid() == 0;

	if (!root && archive_entry_filetype(entry) == AE_IFDIR)
		mode |= 0700; /* or we could not fill it */
	if (root && fchown(fd, (uid_t)archive_entry_uid(entry), (gid_t)archive_entry_gid(entry)) < 0)
		return fail_member(err, errno, "set the owner of", archive_entry_pathname(entry));
	if (!xattrs_set(fd, entry, err))
		return false;
	if (fchmod(fd, mode) < 0 || futimens(fd, (struct timespec[]){mtime, mtime}) < 0)
		return fail_member(err, errno, "set mode and time of", archive_entry_pathname(entry));
	return true;
}

/* For links and pipes, which we have just made and do not open. */
static bool finish_name(int folder_fd, const char *name, struct archive_entry *entry, struct error *err)
{
	struct timespec mtime = entry_mtime(entry);
	bool is_link = archive_entry_filetype(entry) == AE_IFLNK;

	if (geteuid() == 0 && fchownat(folder_fd, name, (uid_t)archive_entry_uid(entry),
				       (gid_t)archive_entry_gid(entry), AT_SYMLINK_NOFOLLOW) < 0)
		return fail_member(err, errno, "set the owner of", archive_entry_pathname(entry));
	if ((!is_link && fchmodat(folder_fd, name, entry_mode(entry), 0) < 0) ||
	    utimensat(folder_fd, name, (struct timespec[]){mtime, mtime}, AT_SYMLINK_NOFOLLOW) < 0)
		return fail_member(err, errno, "set mode and time of", archive_entry_pathname(entry));
	return true;
}

/* ---- members by kind */

static bool write_at(int fd, const char *bytes, size_t len, off_t offset)
{
	while (len > 0) {
		ssize_t put = pwrite(fd, bytes, len, offset);

		if (put < 0 && errno == EINTR)
			continue;
		if (put < 0)
			return false;
		bytes += put;
		len -= (size_t)put;
		offset += put;
	}
	return true;
}

static bool fail_archive(struct archive *archive, struct error *err)
{
	char room[QUOTE_LIMIT];

	return fail(err, ERROR_CORRUPT, "the layer's tar is cut off or damaged: %.*s",
		    STR(quote(archive_error_string(archive), room)));
}

static bool contents_write(struct archive *archive, struct archive_entry *entry, int fd, struct error *err)
{
	la_int64_t size = archive_entry_size(entry), end = 0, offset;
	const void *bytes;
	size_t len;
	int result;

	while ((result = archive_read_data_block(archive, &bytes, &len, &offset)) == ARCHIVE_OK) {
		if (offset < 0 || offset > size || (la_int64_t)len > size - offset)
			return refuse(err, archive_entry_pathname(entry), "is longer than it says");
		if (!write_at(fd, bytes, len, offset))
			return fail_member(err, errno, "write", archive_entry_pathname(entry));
		end = MAX(end, offset + (la_int64_t)len);
	}
	if (result != ARCHIVE_EOF)
		return fail_archive(archive, err);
	if (end < size && ftruncate(fd, size) < 0)
		return fail_member(err, errno, "write", archive_entry_pathname(entry));
	return true;
}

static bool file_make(struct unpack *unpack, struct archive *archive, struct archive_entry *entry,
		      const char *name, struct error *err)
{
	la_int64_t size = archive_entry_size(entry);
	auto_fd fd = -1;

	if (size < 0 || (uint64_t)size > unpack->limits.bytes - unpack->file_bytes)
		return refuse(err, archive_entry_pathname(entry), "makes the layer larger than allowed");
	unpack->file_bytes += (uint64_t)size;
	fd = openat(unpack->folder_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return fail_member(err, errno, "create", archive_entry_pathname(entry));
	return contents_write(archive, entry, fd, err) && finish_fd(fd, entry, err);
}

static bool folder_finish(struct unpack *unpack, struct archive_entry *entry, const char *name,
			  struct error *err)
{
	auto_fd fd = folder_make_at(unpack->folder_fd, name);

	if (fd < 0)
		return fail_member(err, errno, "make folder", archive_entry_pathname(entry));
	return finish_fd(fd, entry, err);
}

/* Opens the folder of a hard link's target, without making anything. */
static int target_folder_open(struct unpack *unpack, struct str path)
{
	int fd = fcntl(unpack->root_fd, F_DUPFD_CLOEXEC, 0);
	struct str piece;

	while (fd >= 0 && !str_empty(path) && str_cut(&path, '/', &piece)) {
		char name[UNPACK_NAME_LIMIT + 1] = {0};
		int next;

		memcpy(name, piece.ptr, piece.len);
		next = folder_open(fd, name);
		close(fd);
		fd = next;
	}
	return fd;
}

static bool hard_link_make(struct unpack *unpack, struct archive_entry *entry, const char *target,
			   const char *name, struct error *err)
{
	const char *member = archive_entry_pathname(entry);
	struct place place;
	auto_fd fd = -1;

	if (!place_init(&place, target, err))
		return fail_context(err, "target of a hard link");
	fd = target_folder_open(unpack, place.folder);
	if (fd < 0)
		return refuse(err, member, "is a hard link to what is not in the layer");
	if (linkat(fd, place.name, unpack->folder_fd, name, 0) == 0)
		return true;
	if (errno == ENOENT || errno == EPERM)
		return refuse(err, member, "is a hard link to what is not in the layer or no file");
	return fail_member(err, errno, "link", member);
}

static bool symbolic_link_make(struct unpack *unpack, struct archive_entry *entry, const char *name,
			       struct error *err)
{
	const char *target = archive_entry_symlink(entry);

	if (!target || !*target)
		return refuse(err, archive_entry_pathname(entry), "is a link to nothing");
	if (symlinkat(target, unpack->folder_fd, name) < 0)
		return fail_member(err, errno, "link", archive_entry_pathname(entry));
	return finish_name(unpack->folder_fd, name, entry, err);
}

static bool pipe_make(struct unpack *unpack, struct archive_entry *entry, const char *name, struct error *err)
{
	if (mknodat(unpack->folder_fd, name, S_IFIFO | 0600, 0) < 0)
		return fail_member(err, errno, "make pipe", archive_entry_pathname(entry));
	return finish_name(unpack->folder_fd, name, entry, err);
}

/* The latest member of a name wins; a folder over a folder only changes it. */
static bool name_clear(struct unpack *unpack, const char *name, bool for_folder, const char *member,
		       struct error *err)
{
	struct stat status;

	if (fstatat(unpack->folder_fd, name, &status, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT || fail_member(err, errno, "look at", member);
	if (for_folder && (S_ISDIR(status.st_mode) || is_whiteout(&status)))
		return true;
	return tree_remove(unpack->folder_fd, name, err);
}

static bool device_make(struct unpack *unpack, struct archive_entry *entry, const char *name,
			struct error *err)
{
	if (archive_entry_filetype(entry) != AE_IFCHR || archive_entry_rdev(entry) != makedev(0, 0))
		return refuse(err, archive_entry_pathname(entry), "is a device node");
	return whiteout_make(unpack->folder_fd, name, archive_entry_pathname(entry), err);
}

static bool member_make(struct unpack *unpack, struct archive *archive, struct archive_entry *entry,
			const char *name, struct error *err)
{
	const char *target = archive_entry_hardlink(entry);
	mode_t kind = target ? AE_IFREG : archive_entry_filetype(entry);

	if (kind == AE_IFCHR || kind == AE_IFBLK)
		return device_make(unpack, entry, name, err);
	if (!name_clear(unpack, name, kind == AE_IFDIR, archive_entry_pathname(entry), err))
		return false;
	if (target)
		return hard_link_make(unpack, entry, target, name, err);
	switch (kind) {
	case AE_IFREG: return file_make(unpack, archive, entry, name, err);
	case AE_IFDIR: return folder_finish(unpack, entry, name, err);
	case AE_IFLNK: return symbolic_link_make(unpack, entry, name, err);
	case AE_IFIFO: return pipe_make(unpack, entry, name, err);
	default: return refuse(err, archive_entry_pathname(entry), "is of a kind that images do not have");
	}
}

static bool root_finish(struct unpack *unpack, struct archive_entry *entry, struct error *err)
{
	if (archive_entry_filetype(entry) != AE_IFDIR)
		return refuse(err, archive_entry_pathname(entry), "stands for the root but is no folder");
	unpack->root_mtime = entry_mtime(entry);
	return finish_fd(unpack->root_fd, entry, err);
}

static bool member_extract(struct unpack *unpack, struct archive *archive, struct archive_entry *entry,
			   struct error *err)
{
	const char *member = archive_entry_pathname(entry);
	struct place place;
	bool done;

	if (++unpack->entries > unpack->limits.entries)
		return fail(err, ERROR_REFUSED, "the layer has more than %llu members",
			    (unsigned long long)unpack->limits.entries);
	if (!place_init(&place, member, err))
		return false;
	if (!*place.name)
		return root_finish(unpack, entry, err);
	if (!folder_enter(unpack, place.folder, member, err))
		return false;
	if (whiteout_by_name(unpack->folder_fd, place.name, member, &done, err))
		return done;
	return member_make(unpack, archive, entry, place.name, err);
}

/* ---- the thread */

/* Names in pax headers are UTF-8; libarchive would turn what the locale lacks into question marks. */
static locale_t utf8_enter(void)
{
	static const char *const names[] = {"C.UTF-8", "C.utf8", "en_US.UTF-8"};
	locale_t locale = (locale_t)0;

	for (size_t i = 0; i < COUNT(names) && locale == (locale_t)0; i++)
		locale = newlocale(LC_CTYPE_MASK, names[i], (locale_t)0);
	if (locale != (locale_t)0)
		uselocale(locale);
	return locale;
}

static bool next_member(struct archive *archive, struct archive_entry **ret_entry, struct error *err)
{
	int result = archive_read_next_header(archive, ret_entry);
	const char *said = archive_error_string(archive);

	*ret_entry = result == ARCHIVE_EOF ? NULL : *ret_entry;
	if (result == ARCHIVE_EOF || result == ARCHIVE_OK)
		return true;
	if (result == ARCHIVE_WARN && !(said && strstr(said, "can't be converted")))
		return true;
	return fail_archive(archive, err);
}

static bool members_extract(struct unpack *unpack, struct archive *archive, struct error *err)
{
	struct archive_entry *entry;

	for (;;) {
		if (!next_member(archive, &entry, err))
			return false;
		if (!entry)
			break;
		if (!member_extract(unpack, archive, entry, err))
			return false;
	}
	if (!folder_enter(unpack, S(""), "", err))
		return false;
	if (futimens(unpack->root_fd, (struct timespec[]){{.tv_nsec = UTIME_OMIT}, unpack->root_mtime}) < 0)
		return fail_os(err, errno, "set the time of the layer's root");
	return true;
}

static bool tar_extract(struct unpack *unpack, struct error *err)
{
	struct archive *archive = archive_read_new();
	bool done;

	assert(archive);
	archive_read_support_format_tar(archive);
	done = archive_read_open(archive, unpack, NULL, ring_take, NULL) == ARCHIVE_OK ||
	       fail_archive(archive, err);
	done = done && members_extract(unpack, archive, err);
	archive_read_free(archive);
	return done;
}

static void *untar(void *arg)
{
	struct unpack *unpack = arg;
	locale_t locale = utf8_enter();
	struct error error = {0};
	const void *rest;

	if (!tar_extract(unpack, &error)) {
		pthread_mutex_lock(&unpack->lock);
		unpack->failed = true;
		unpack->failure = error;
		pthread_mutex_unlock(&unpack->lock);
	}
	while (ring_take(NULL, unpack, &rest) > 0) /* what follows the tar's end, or our failure */
		;
	if (locale != (locale_t)0) {
		uselocale(LC_GLOBAL_LOCALE);
		freelocale(locale);
	}
	return NULL;
}

/* ---- the caller's side */

static void hash_start(EVP_MD_CTX **hash)
{
	*hash = EVP_MD_CTX_new();
	if (!*hash || EVP_DigestInit_ex(*hash, EVP_sha256(), NULL) != 1)
		abort();
}

struct unpack *unpack_new(int root_fd, const struct unpack_limits *limits)
{
	struct unpack *unpack = calloc(1, sizeof(*unpack));
	struct stat status;

	if (!unpack)
		abort();
	unpack->limits = *limits;
	unpack->root_fd = unpack->folder_fd = root_fd;
	if (fstat(root_fd, &status) == 0)
		unpack->root_mtime = status.st_mtim;
	hash_start(&unpack->hash);
	hash_start(&unpack->plain_hash);
	pthread_mutex_init(&unpack->lock, NULL);
	pthread_cond_init(&unpack->changed, NULL);
	for (size_t i = 0; i < CHUNK_COUNT; i++)
		if (!(unpack->chunks[i].bytes = malloc(CHUNK_SIZE)))
			abort();
	if (pthread_create(&unpack->thread, NULL, untar, unpack) != 0)
		abort();
	return unpack;
}

/* Counts and hashes `len` bytes that were put behind the chunk's end. */
static bool plain_added(struct unpack *unpack, size_t chunk, size_t len, struct error *err)
{
	EVP_DigestUpdate(unpack->plain_hash, unpack->chunks[chunk].bytes + unpack->chunks[chunk].len, len);
	unpack->chunks[chunk].len += len;
	unpack->plain_bytes += len;
	if (unpack->plain_bytes > unpack->limits.bytes)
		return fail(err, ERROR_REFUSED, "the layer unpacks to more than %llu bytes",
			    (unsigned long long)unpack->limits.bytes);
	if (unpack->chunks[chunk].len == CHUNK_SIZE)
		ring_publish(unpack, false);
	return !ring_failure(unpack, err);
}

static bool plain_write(struct unpack *unpack, struct str bytes, struct error *err)
{
	while (!str_empty(bytes)) {
		size_t chunk = ring_reserve(unpack);
		size_t len = MIN(bytes.len, CHUNK_SIZE - unpack->chunks[chunk].len);

		memcpy(unpack->chunks[chunk].bytes + unpack->chunks[chunk].len, bytes.ptr, len);
		if (!plain_added(unpack, chunk, len, err))
			return false;
		bytes = str_slice(bytes, len, bytes.len);
	}
	return true;
}

/* A gzip stream may be several, one after the other. */
static bool gzip_step(struct unpack *unpack, struct str *bytes, struct error *err)
{
	size_t chunk = ring_reserve(unpack), room = CHUNK_SIZE - unpack->chunks[chunk].len;
	int result;

	if (unpack->between_frames)
		inflateReset(&unpack->gzip);
	unpack->gzip.next_in = (unsigned char *)bytes->ptr;
	unpack->gzip.avail_in = (unsigned)MIN(bytes->len, (size_t)1 << 30);
	unpack->gzip.next_out = unpack->chunks[chunk].bytes + unpack->chunks[chunk].len;
	unpack->gzip.avail_out = (unsigned)room;
	result = inflate(&unpack->gzip, Z_NO_FLUSH);
	if (result != Z_OK && result != Z_STREAM_END && result != Z_BUF_ERROR)
		return fail(err, ERROR_CORRUPT, "the layer's gzip stream is damaged");
	unpack->between_frames = result == Z_STREAM_END;
	*bytes = str_slice(*bytes, (size_t)((char *)unpack->gzip.next_in - bytes->ptr), bytes->len);
	return plain_added(unpack, chunk, room - unpack->gzip.avail_out, err);
}

static bool zstd_step(struct unpack *unpack, struct str *bytes, struct error *err)
{
	size_t chunk = ring_reserve(unpack), used = unpack->chunks[chunk].len;
	ZSTD_inBuffer in = {bytes->ptr, bytes->len, 0};
	ZSTD_outBuffer out = {unpack->chunks[chunk].bytes, CHUNK_SIZE, used};
	size_t result = ZSTD_decompressStream(unpack->zstd, &out, &in);

	if (ZSTD_isError(result))
		return fail(err, ERROR_CORRUPT, "the layer's zstd stream is damaged: %s",
			    ZSTD_getErrorName(result));
	unpack->between_frames = result == 0;
	*bytes = str_slice(*bytes, in.pos, bytes->len);
	return plain_added(unpack, chunk, out.pos - used, err);
}

/* Goes on while the last step filled its chunk: the decoder may hold more than it gave. */
static bool inflate_write(struct unpack *unpack, struct str bytes, struct error *err)
{
	uint64_t before;

	do {
		before = unpack->plain_bytes;
		if (!(unpack->form == FORM_GZIP ? gzip_step : zstd_step)(unpack, &bytes, err))
			return false;
	} while (!str_empty(bytes) || (unpack->plain_bytes > before && !unpack->between_frames));
	return true;
}

static bool decode(struct unpack *unpack, struct str bytes, struct error *err)
{
	if (str_empty(bytes))
		return true;
	return unpack->form == FORM_PLAIN ? plain_write(unpack, bytes, err)
					  : inflate_write(unpack, bytes, err);
}

static void form_choose(struct unpack *unpack)
{
	static const unsigned char gzip[] = {0x1f, 0x8b}, zstd[] = {0x28, 0xb5, 0x2f, 0xfd};

	unpack->form = FORM_PLAIN;
	if (unpack->magic_len >= sizeof(gzip) && !memcmp(unpack->magic, gzip, sizeof(gzip))) {
		unpack->form = FORM_GZIP;
		if (inflateInit2(&unpack->gzip, 15 + 16) != Z_OK)
			abort();
	} else if (unpack->magic_len >= sizeof(zstd) && !memcmp(unpack->magic, zstd, sizeof(zstd))) {
		unpack->form = FORM_ZSTD;
		unpack->zstd = ZSTD_createDCtx();
		if (!unpack->zstd)
			abort();
		ZSTD_DCtx_setParameter(unpack->zstd, ZSTD_d_windowLogMax, ZSTD_WINDOW_LOG_LIMIT);
	}
}

static bool magic_write(struct unpack *unpack, struct error *err)
{
	form_choose(unpack);
	return decode(unpack, (struct str){(char *)unpack->magic, unpack->magic_len}, err);
}

bool unpack_write(struct unpack *unpack, struct str bytes, struct error *err)
{
	assert(!unpack->joined);
	EVP_DigestUpdate(unpack->hash, bytes.ptr, bytes.len);
	if (unpack->form == FORM_UNKNOWN) {
		size_t len = MIN(bytes.len, MAGIC_SIZE - unpack->magic_len);

		if (len > 0)
			memcpy(unpack->magic + unpack->magic_len, bytes.ptr, len);
		unpack->magic_len += len;
		bytes = str_slice(bytes, len, bytes.len);
		if (unpack->magic_len < MAGIC_SIZE)
			return true;
		if (!magic_write(unpack, err))
			return false;
	}
	return decode(unpack, bytes, err);
}

static void unpack_join(struct unpack *unpack)
{
	if (unpack->joined)
		return;
	ring_publish(unpack, true);
	pthread_join(unpack->thread, NULL);
	unpack->joined = true;
}

bool unpack_finish(struct unpack *unpack, unsigned char ret_sha256[32], unsigned char ret_diff_sha256[32],
		   struct error *err)
{
	bool whole = unpack->form != FORM_UNKNOWN || magic_write(unpack, err);

	if (whole && unpack->form != FORM_PLAIN && !unpack->between_frames)
		whole = fail(err, ERROR_CORRUPT, "the layer's %s stream is cut off",
			     unpack->form == FORM_GZIP ? "gzip" : "zstd");
	unpack_join(unpack);
	if (!whole || ring_failure(unpack, err))
		return false;
	EVP_DigestFinal_ex(unpack->hash, ret_sha256, NULL);
	EVP_DigestFinal_ex(unpack->plain_hash, ret_diff_sha256, NULL);
	return true;
}

void unpack_free(struct unpack *unpack)
{
	if (!unpack)
		return;
	unpack_join(unpack);
	folder_fd_set(unpack, -1);
	if (unpack->form == FORM_GZIP)
		inflateEnd(&unpack->gzip);
	ZSTD_freeDCtx(unpack->zstd);
	EVP_MD_CTX_free(unpack->hash);
	EVP_MD_CTX_free(unpack->plain_hash);
	for (size_t i = 0; i < CHUNK_COUNT; i++)
		free(unpack->chunks[i].bytes);
	pthread_cond_destroy(&unpack->changed);
	pthread_mutex_destroy(&unpack->lock);
	free(unpack);
}
