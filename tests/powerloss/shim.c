// Records what a program does to the files below a directory, so that a test can build the states that a power cut could
// leave. Preloaded into the program (LD_PRELOAD). POWERLOSS_ROOT is the directory, POWERLOSS_LOG the file of records.
//
// A record: operation (1 byte), length of path, length of second path (4 bytes each), offset, length (8 bytes each),
// path, second path, data. Numbers are those of the machine. Operations:
//   o open (offset: flags)   w write   t truncate to offset   f allocate   s fsync   r sync_file_range
//   m rename   u unlink   x rmdir   d mkdir   A a write to standard output: what the program acknowledges
#define _GNU_SOURCE
#include <dlfcn.h>
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

#define FILES_MAX 4096
#define REAL(name)                                                                                                   \
    static __typeof__(name) *real;                                                                                     \
    if (!real) real = dlsym(RTLD_NEXT, #name)

static int log_fd = -1;
static const char *root;
static size_t root_len;
static char *paths[FILES_MAX];
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

__attribute__((constructor)) static void begin(void) {
    const char *log = getenv("POWERLOSS_LOG");
    root = getenv("POWERLOSS_ROOT");
    if (!log || !root) return;
    root_len = strlen(root);
    int fd = syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, 0644);
    if (fd < 0) return;
    log_fd = syscall(SYS_fcntl, fd, F_DUPFD, 900);
    syscall(SYS_close, fd);
}

static void record(char operation, const char *path, const char *second, uint64_t offset, const void *data, uint64_t len) {
    if (log_fd < 0) return;
    uint32_t path_len = path ? strlen(path) : 0, second_len = second ? strlen(second) : 0;
    char head[25] = {operation};
    memcpy(head + 1, &path_len, 4);
    memcpy(head + 5, &second_len, 4);
    memcpy(head + 9, &offset, 8);
    memcpy(head + 17, &len, 8);
    struct iovec parts[4] = {{head, 25}, {(void *)path, path_len}, {(void *)second, second_len}, {(void *)data, data ? len : 0}};
    syscall(SYS_writev, log_fd, parts, 4);
}

static int below(const char *path) { return log_fd >= 0 && path && strncmp(path, root, root_len) == 0; }
static int known(int fd) { return fd >= 0 && fd < FILES_MAX && paths[fd]; }

// The whole path of one that is relative to an open directory.
static const char *whole(int dir, const char *path, char *into) {
    if (path[0] == '/' || dir == AT_FDCWD) return path;
    char link[64], at[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", dir);
    ssize_t len = readlink(link, at, sizeof at - 1);
    if (len < 0) return path;
    at[len] = 0;
    snprintf(into, PATH_MAX * 2, "%s/%s", at, path);
    return into;
}

static void remember(int fd, const char *path) {
    if (fd < 0 || fd >= FILES_MAX) return;
    free(paths[fd]);
    paths[fd] = path ? strdup(path) : 0;
}

static int opened(int fd, const char *path, int flags) {
    if (fd >= 0 && below(path)) {
        pthread_mutex_lock(&mutex);
        remember(fd, path);
        record('o', path, 0, (uint64_t)flags, 0, 0);
        pthread_mutex_unlock(&mutex);
    }
    return fd;
}

#define MODE                                                                                                           \
    va_list list;                                                                                                      \
    va_start(list, flags);                                                                                             \
    int mode = va_arg(list, int);                                                                                      \
    va_end(list)

int open64(const char *path, int flags, ...) { MODE; REAL(open64); return opened(real(path, flags, mode), path, flags); }
int open(const char *path, int flags, ...) { MODE; REAL(open); return opened(real(path, flags, mode), path, flags); }
int openat64(int dir, const char *path, int flags, ...) {
    MODE;
    REAL(openat64);
    char buffer[PATH_MAX * 2];
    return opened(real(dir, path, flags, mode), whole(dir, path, buffer), flags);
}
int openat(int dir, const char *path, int flags, ...) {
    MODE;
    REAL(openat);
    char buffer[PATH_MAX * 2];
    return opened(real(dir, path, flags, mode), whole(dir, path, buffer), flags);
}

int close(int fd) {
    REAL(close);
    if (known(fd)) {
        pthread_mutex_lock(&mutex);
        remember(fd, 0);
        pthread_mutex_unlock(&mutex);
    }
    return real(fd);
}

static int duplicated(int fd, int command, int answer) {
    if ((command == F_DUPFD || command == F_DUPFD_CLOEXEC) && answer >= 0 && known(fd)) {
        pthread_mutex_lock(&mutex);
        remember(answer, paths[fd]);
        pthread_mutex_unlock(&mutex);
    }
    return answer;
}
int fcntl64(int fd, int command, ...) {
    va_list list;
    va_start(list, command);
    void *argument = va_arg(list, void *);
    va_end(list);
    REAL(fcntl64);
    return duplicated(fd, command, real(fd, command, argument));
}
int fcntl(int fd, int command, ...) {
    va_list list;
    va_start(list, command);
    void *argument = va_arg(list, void *);
    va_end(list);
    REAL(fcntl);
    return duplicated(fd, command, real(fd, command, argument));
}

ssize_t pwrite64(int fd, const void *data, size_t len, off64_t offset) {
    REAL(pwrite64);
    if (!known(fd)) return real(fd, data, len, offset);
    pthread_mutex_lock(&mutex);
    ssize_t written = real(fd, data, len, offset);
    if (written > 0) record('w', paths[fd], 0, offset, data, written);
    pthread_mutex_unlock(&mutex);
    return written;
}
ssize_t pwrite(int fd, const void *data, size_t len, off_t offset) { return pwrite64(fd, data, len, offset); }

ssize_t write(int fd, const void *data, size_t len) {
    REAL(write);
    if (fd != 1 && !known(fd)) return real(fd, data, len);
    pthread_mutex_lock(&mutex);
    off_t offset = 0;
    if (fd != 1) offset = fcntl(fd, F_GETFL, 0) & O_APPEND ? lseek(fd, 0, SEEK_END) : lseek(fd, 0, SEEK_CUR);
    ssize_t written = real(fd, data, len);
    if (written > 0) record(fd == 1 ? 'A' : 'w', fd == 1 ? 0 : paths[fd], 0, offset, data, written);
    pthread_mutex_unlock(&mutex);
    return written;
}
ssize_t writev(int fd, const struct iovec *parts, int count) {
    REAL(writev);
    if (fd != 1 && !known(fd)) return real(fd, parts, count);
    ssize_t total = 0;
    for (int i = 0; i < count; i++) {
        if (!parts[i].iov_len) continue;
        ssize_t written = write(fd, parts[i].iov_base, parts[i].iov_len);
        if (written < 0) return total ? total : written;
        total += written;
        if ((size_t)written < parts[i].iov_len) break;
    }
    return total;
}

// A call on an open file that is recorded if it succeeds.
#define ON_FILE(call, operation, offset, len)                                                                          \
    if (!known(fd)) return call;                                                                                       \
    pthread_mutex_lock(&mutex);                                                                                        \
    int answer = call;                                                                                                 \
    if (!answer) record(operation, paths[fd], 0, offset, 0, len);                                                      \
    pthread_mutex_unlock(&mutex);                                                                                      \
    return answer

int fsync(int fd) { REAL(fsync); ON_FILE(real(fd), 's', 0, 0); }
int fdatasync(int fd) { REAL(fdatasync); ON_FILE(real(fd), 's', 0, 0); }
int sync_file_range(int fd, off64_t from, off64_t len, unsigned flags) {
    REAL(sync_file_range);
    ON_FILE(real(fd, from, len, flags), 'r', from, len);
}
int ftruncate64(int fd, off64_t len) { REAL(ftruncate64); ON_FILE(real(fd, len), 't', len, 0); }
int ftruncate(int fd, off_t len) { return ftruncate64(fd, len); }
int posix_fallocate64(int fd, off64_t from, off64_t len) { REAL(posix_fallocate64); ON_FILE(real(fd, from, len), 'f', from, len); }
int posix_fallocate(int fd, off_t from, off_t len) { return posix_fallocate64(fd, from, len); }
int fallocate64(int fd, int mode, off64_t from, off64_t len) {
    REAL(fallocate64);
    ON_FILE(real(fd, mode, from, len), mode == 0 ? 'f' : '?', from, len);
}
int fallocate(int fd, int mode, off_t from, off_t len) { return fallocate64(fd, mode, from, len); }

// A call on names that is recorded if it succeeds.
#define ON_NAME(call, operation, path, second)                                                                         \
    if (!below(path)) return call;                                                                                     \
    pthread_mutex_lock(&mutex);                                                                                        \
    int answer = call;                                                                                                 \
    if (!answer) record(operation, path, second, 0, 0, 0);                                                             \
    pthread_mutex_unlock(&mutex);                                                                                      \
    return answer

// Files that are open keep their new name.
static void renamed(const char *from, const char *to) {
    size_t len = strlen(from);
    for (int fd = 0; fd < FILES_MAX; fd++) {
        if (!paths[fd] || strncmp(paths[fd], from, len) || (paths[fd][len] && paths[fd][len] != '/')) continue;
        char name[PATH_MAX * 2];
        snprintf(name, sizeof name, "%s%s", to, paths[fd] + len);
        remember(fd, name);
    }
}
static int rename_both(const char *from, const char *to) {
    REAL(rename);
    int answer = real(from, to);
    if (!answer && below(from)) renamed(from, to);
    return answer;
}
// A file that is gone is written to without anybody ever seeing it.
static int gone(int answer, const char *path) {
    if (!answer && below(path))
        for (int fd = 0; fd < FILES_MAX; fd++)
            if (paths[fd] && !strcmp(paths[fd], path)) remember(fd, 0);
    return answer;
}
int rename(const char *from, const char *to) { ON_NAME(rename_both(from, to), 'm', from, to); }
int unlink(const char *path) { REAL(unlink); ON_NAME(gone(real(path), path), 'u', path, 0); }
int rmdir(const char *path) { REAL(rmdir); ON_NAME(real(path), 'x', path, 0); }
int unlinkat(int dir, const char *path, int flags) {
    REAL(unlinkat);
    char buffer[PATH_MAX * 2];
    const char *name = whole(dir, path, buffer);
    ON_NAME(gone(real(dir, path, flags), name), flags & AT_REMOVEDIR ? 'x' : 'u', name, 0);
}
int mkdir(const char *path, mode_t mode) { REAL(mkdir); ON_NAME(real(path, mode), 'd', path, 0); }
