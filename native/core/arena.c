#include "arena.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

/* The most first; RLIMIT_AS or RLIMIT_FSIZE may allow less. */
static const uint64_t RESERVES[] = {UINT64_C(1) << 38, UINT64_C(1) << 36, UINT64_C(1) << 34,
                                    UINT64_C(1) << 32, UINT64_C(1) << 30, UINT64_C(1) << 28};

static fk_status map(fk_arena *a, int fd, uint64_t reserve, int prot)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return FK_SYS;
    void *p = mmap(NULL, reserve, prot, MAP_SHARED | MAP_NORESERVE, fd, 0);
    if (p == MAP_FAILED)
        return FK_SYS;
    madvise(p, reserve, MADV_DONTDUMP);
    memset(a, 0, sizeof *a);
    a->base = p;
    a->reserve = reserve;
    a->fd = fd;
    a->fd_ino = st.st_ino;
    a->fd_dev = st.st_dev;
    pthread_mutex_init(&a->local, NULL);
    return FK_OK;
}

/* Not below 3: where a standard stream is closed, what a program prints there would go into the arena. */
static int new_memfd(void)
{
    int fd = memfd_create("forkful", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0 || fd > STDERR_FILENO)
        return fd;
    int high = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1), e = errno;
    close(fd);
    errno = e;
    return high;
}

fk_status fk_arena_create(fk_arena *a)
{
    int fd = new_memfd();
    if (fd < 0)
        return FK_SYS;
    fk_status st = FK_SYS;
    for (size_t i = 0; i < sizeof RESERVES / sizeof *RESERVES && st != FK_OK; i++)
        if (ftruncate(fd, (off_t)RESERVES[i]) == 0)
            st = map(a, fd, RESERVES[i], PROT_READ | PROT_WRITE);
    fk_header *h = (fk_header *)a->base;
    if (st == FK_OK && (fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0 ||
                        getrandom(h->id, sizeof h->id, 0) != sizeof h->id)) {
        fk_arena_unmap(a);
        st = FK_SYS;
    }
    if (st != FK_OK) {
        int e = errno;
        close(fd);
        errno = e;
        return st;
    }
    h->version = FK_VERSION;
    h->header_size = sizeof *h;
    h->reserve = a->reserve;
    atomic_store(&h->heap_top, FK_HEAP_AT);
    atomic_store(&h->next_tag, 1);
    h->magic = FK_MAGIC;
    return FK_OK;
}

static fk_status map_checked(fk_arena *a, int fd, int prot)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return FK_SYS;
    int seals = fcntl(fd, F_GET_SEALS);
    if (seals < 0 || !(seals & F_SEAL_SHRINK) || (uint64_t)st.st_size < FK_HEAP_AT)
        return FK_CORRUPT;
    fk_status s = map(a, fd, (uint64_t)st.st_size, prot);
    if (s != FK_OK)
        return s;
    const fk_header *h = fk_head(a);
    if (h->magic == FK_MAGIC && h->version == FK_VERSION && h->header_size == sizeof *h &&
        h->reserve == a->reserve)
        return FK_OK;
    fk_arena_unmap(a);
    return FK_CORRUPT;
}

fk_status fk_arena_map(fk_arena *a, int fd) { return map_checked(a, fd, PROT_READ | PROT_WRITE); }

fk_status fk_arena_peek(fk_arena *a, int fd)
{
    fk_status st = map_checked(a, fd, PROT_READ);
    if (st == FK_OK)
        a->peeks = true;
    return st;
}

void fk_arena_unmap(fk_arena *a)
{
    for (uint32_t i = 0; i < a->n_views; i++)
        if (a->views[i].map)
            munmap(a->views[i].map, a->views[i].span);
    munmap(a->base, a->reserve);
    pthread_mutex_destroy(&a->local);
    memset(a, 0, sizeof *a);
}

bool fk_arena_fd_is_good(const fk_arena *a)
{
    struct stat st;
    return fstat(a->fd, &st) == 0 && (uint64_t)st.st_ino == a->fd_ino &&
           (uint64_t)st.st_dev == a->fd_dev;
}
