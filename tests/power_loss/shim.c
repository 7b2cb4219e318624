/* Records what a process does to the files of one folder, in the order in which it happens.
 *
 * Preloaded (LD_PRELOAD) into a child of `tests/power_loss.rs`, which compiles it. It must never change what a call does,
 * never record half a call, and never take a file outside MIDWATCH_POWER_FOLDER (an absolute path without links) for one
 * inside. The record goes to MIDWATCH_POWER_TRACE: four native-endian words (operation, length of the name, number, length
 * of the data), the name relative to the folder (empty: the folder itself), the data.
 *
 * `-shm` files are left out: they are shared memory, rebuilt after a crash.
 *
 * A write and its record happen under one lock, so the records of a file stand in the order of its writes. A flush is two
 * records, because writes that begin while it runs are not covered by it; its number ties them together.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

_Static_assert(sizeof(off_t) == 8, "only where a file offset is one machine word");

enum { CREATE = 1, WRITE, TRUNCATE, SYNC_BEGINS, SYNC_ENDED, UNLINK };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static const char *folder;
static int trace = -1;
static uint64_t syncs;

__attribute__((constructor)) static void start(void) {
    const char *file = getenv("MIDWATCH_POWER_TRACE");
    folder = getenv("MIDWATCH_POWER_FOLDER");
    if (file && folder)
        trace = (int)syscall(SYS_openat, AT_FDCWD, file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

/* The part of `path` below the folder, or NULL if it is none of ours. */
static const char *inside(const char *path) {
    size_t length = strlen(folder);
    if (strncmp(path, folder, length) != 0)
        return NULL;
    path += length;
    if (*path == '\0')
        return path;
    if (*path++ != '/')
        return NULL;
    size_t rest = strlen(path);
    return rest >= 4 && strcmp(path + rest - 4, "-shm") == 0 ? NULL : path;
}

/* The name of an open file, asked of the kernel: no table of ours can be out of date. */
static const char *name_of(int fd, char buffer[PATH_MAX]) {
    if (trace < 0)
        return NULL;
    int before = errno;
    char link[40];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, buffer, PATH_MAX - 1);
    errno = before;
    if (length < 0)
        return NULL;
    buffer[length] = '\0';
    return inside(buffer);
}

static void record(uint64_t operation, const char *name, uint64_t number, const void *data, uint64_t length) {
    int before = errno;
    uint64_t head[4] = {operation, strlen(name), number, length};
    struct iovec parts[3] = {{head, sizeof head}, {(void *)name, head[1]}, {(void *)data, length}};
    if (syscall(SYS_writev, trace, parts, 3) != (long)(sizeof head + head[1] + length))
        abort(); /* A trace with a hole proves nothing. */
    errno = before;
}

static int opened(int from, const char *path, int flags, mode_t mode) {
    if (trace < 0 || !(flags & (O_CREAT | O_TRUNC)))
        return (int)syscall(SYS_openat, from, path, flags, mode);
    pthread_mutex_lock(&lock);
    struct stat before;
    int known = fstatat(from, path, &before, 0) == 0;
    int fd = (int)syscall(SYS_openat, from, path, flags, mode);
    char buffer[PATH_MAX];
    const char *name = fd < 0 ? NULL : name_of(fd, buffer);
    if (name && !known)
        record(CREATE, name, 0, NULL, 0);
    else if (name && (flags & O_TRUNC))
        record(TRUNCATE, name, 0, NULL, 0);
    pthread_mutex_unlock(&lock);
    return fd;
}

#define MODE(flags)                                            \
    mode_t mode = 0;                                           \
    if ((flags & O_CREAT) || (flags & O_TMPFILE) == O_TMPFILE) { \
        va_list rest;                                          \
        va_start(rest, flags);                                 \
        mode = (mode_t)va_arg(rest, int);                      \
        va_end(rest);                                          \
    }

int open(const char *path, int flags, ...) {
    MODE(flags)
    return opened(AT_FDCWD, path, flags, mode);
}

int open64(const char *path, int flags, ...) {
    MODE(flags)
    return opened(AT_FDCWD, path, flags, mode);
}

int openat(int from, const char *path, int flags, ...) {
    MODE(flags)
    return opened(from, path, flags, mode);
}

int openat64(int from, const char *path, int flags, ...) {
    MODE(flags)
    return opened(from, path, flags, mode);
}

int creat(const char *path, mode_t mode) {
    return opened(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode);
}

ssize_t write(int fd, const void *data, size_t length) {
    char buffer[PATH_MAX];
    const char *name = name_of(fd, buffer);
    if (!name)
        return syscall(SYS_write, fd, data, length);
    pthread_mutex_lock(&lock);
    off_t at = lseek(fd, 0, fcntl(fd, F_GETFL) & O_APPEND ? SEEK_END : SEEK_CUR);
    ssize_t written = syscall(SYS_write, fd, data, length);
    if (written > 0)
        record(WRITE, name, (uint64_t)at, data, (uint64_t)written);
    pthread_mutex_unlock(&lock);
    return written;
}

ssize_t pwrite(int fd, const void *data, size_t length, off_t at) {
    char buffer[PATH_MAX];
    const char *name = name_of(fd, buffer);
    if (!name)
        return syscall(SYS_pwrite64, fd, data, length, at);
    pthread_mutex_lock(&lock);
    ssize_t written = syscall(SYS_pwrite64, fd, data, length, at);
    if (written > 0)
        record(WRITE, name, (uint64_t)at, data, (uint64_t)written);
    pthread_mutex_unlock(&lock);
    return written;
}

ssize_t pwrite64(int fd, const void *data, size_t length, off64_t at) { return pwrite(fd, data, length, at); }

int ftruncate(int fd, off_t length) {
    char buffer[PATH_MAX];
    const char *name = name_of(fd, buffer);
    if (!name)
        return (int)syscall(SYS_ftruncate, fd, length);
    pthread_mutex_lock(&lock);
    int result = (int)syscall(SYS_ftruncate, fd, length);
    if (result == 0)
        record(TRUNCATE, name, (uint64_t)length, NULL, 0);
    pthread_mutex_unlock(&lock);
    return result;
}

int ftruncate64(int fd, off64_t length) { return ftruncate(fd, length); }

static int flush(int fd, long call) {
    char buffer[PATH_MAX];
    const char *name = name_of(fd, buffer);
    if (!name)
        return (int)syscall(call, fd);
    pthread_mutex_lock(&lock);
    uint64_t number = ++syncs;
    record(SYNC_BEGINS, name, number, NULL, 0);
    pthread_mutex_unlock(&lock);
    int result = (int)syscall(call, fd);
    pthread_mutex_lock(&lock);
    if (result == 0)
        record(SYNC_ENDED, name, number, NULL, 0);
    pthread_mutex_unlock(&lock);
    return result;
}

int fsync(int fd) { return flush(fd, SYS_fsync); }

int fdatasync(int fd) { return flush(fd, SYS_fdatasync); }

int unlink(const char *path) {
    const char *name = trace < 0 ? NULL : inside(path);
    if (!name)
        return (int)syscall(SYS_unlinkat, AT_FDCWD, path, 0);
    pthread_mutex_lock(&lock);
    int result = (int)syscall(SYS_unlinkat, AT_FDCWD, path, 0);
    if (result == 0)
        record(UNLINK, name, 0, NULL, 0);
    pthread_mutex_unlock(&lock);
    return result;
}
