#include "host/log_progress.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

struct log_progress *log_progress_map(const char *path, bool create)
{
	int fd = open(path, O_RDWR | O_CLOEXEC | (create ? O_CREAT : 0), 0640);
	void *mapped = MAP_FAILED;
	int os;

	if (fd < 0)
		return NULL;
	if (ftruncate(fd, sizeof(struct log_progress)) == 0)
		mapped = mmap(NULL, sizeof(struct log_progress), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	os = errno;
	close(fd);
	errno = os;
	return mapped == MAP_FAILED ? NULL : mapped;
}

void log_progress_unmap(struct log_progress *progress)
{
	if (progress)
		munmap(progress, sizeof(*progress));
}

void log_progress_mend(struct log_progress *progress, uint64_t size)
{
	if (progress->turns % 2 == 1) {
		if (progress->written - progress->turned != size) {      /* C.log is the new one already */
			progress->previous = progress->turned;
			progress->turned = progress->written;
		}
		progress->turns++;
	}
	progress->written = progress->turned + size;
}

/* Of C.log, which lies beside C.progress; 0 when it is not there. */
static uint64_t log_size(const char *progress_path)
{
	int stem = (int)(strlen(progress_path) - strlen("progress"));
	char path[PATH_MAX];
	struct stat status;

	if (snprintf(path, sizeof(path), "%.*slog", stem, progress_path) >= PATH_MAX || stat(path, &status) < 0)
		return 0;
	return (uint64_t)status.st_size;
}

void log_progress_close(const char *path)
{
	struct log_progress *progress = log_progress_map(path, false);

	if (progress && !progress->closed) {             /* else its keeper has done it */
		log_progress_mend(progress, log_size(path));
		progress->closed = 1;
	}
	log_progress_unmap(progress);
}
