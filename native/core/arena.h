/* The arena: one memfd, mapped once at full size, shared by the family.
 *
 * The memfd has its full size from the start and is sparse: it never grows, so after mapping
 * nobody needs the descriptor (which a daemonising program may have closed). It is sealed against
 * shrinking; the mapping is left out of core dumps and is inherited by fork. */
#ifndef FK_ARENA_H
#define FK_ARENA_H

#include "layout.h"

/* A process holds at most FK_MAX_CHUNKS * FK_HOLDS_PER_CHUNK (512,000) objects. */
#define FK_MAX_CHUNKS 4096

#define FK_MAX_VIEWS 64

/* How a process sees a large block privately (view.h). In fk_arena.views: a block that it has seen. */
typedef struct fk_view {
    uint8_t *map; /* NULL: no view of it is kept */
    uint64_t off, span;
    uint32_t to_copy; /* so many messages are not worth a view */
    bool again;       /* it has been seen more than once */
} fk_view;

/* One process's view of an arena. A process of a family has one of it for its whole life. */
typedef struct fk_arena {
    uint8_t *base;
    uint64_t reserve;
    int fd; /* may have become another file's number: compare fd_ino, fd_dev */
    uint64_t fd_ino, fd_dev;
    bool peeks;  /* fk_arena_peek: mapped read-only, and `me` stays 0 */
    fk_owner me; /* this process; 0 before it has a slot */
    fk_slot *slot;
    bool settled;       /* as FK_SLOT_SETTLED; a forked child is what its parent was */
    uint64_t pid_space; /* this process's PID namespace; 0: not known */

    /* holds of this process (hold.c), guarded by `local` */
    pthread_mutex_t local;
    fk_hold_chunk *chunks[FK_MAX_CHUNKS]; /* fixed: read without `local` */
    uint32_t n_chunks;
    uint32_t *free_holds;
    uint32_t n_free, cap_free;

    /* blocks that this process has seen (view.c), guarded by `local` */
    fk_view views[FK_MAX_VIEWS];
    uint32_t n_views;
    uint64_t views_kept; /* bytes of views */
} fk_arena;

/* Make a new arena of the largest size that the process's limits allow.
 * Returns FK_OK, FK_SYS (errno). */
fk_status fk_arena_create(fk_arena *a);

/* Map the arena behind `fd`, which stays the caller's until FK_OK.
 * Returns FK_OK, FK_CORRUPT (not an arena of this version), FK_SYS. */
fk_status fk_arena_map(fk_arena *a, int fd);

/* Map the arena of any family behind `fd`, which may be open for reading only, to look at it and
 * never to change it: a store to it would be a fault. Only functions that say "works on a peeked
 * arena" may be called. `fd` stays the caller's, and may be closed. Returns as fk_arena_map. */
fk_status fk_arena_peek(fk_arena *a, int fd);

/* Undo create, map or peek. Only for a process without a slot: a slot's life mutex must stay mapped. */
void fk_arena_unmap(fk_arena *a);

/* Whether a->fd still is the arena's memfd. */
bool fk_arena_fd_is_good(const fk_arena *a);

static inline fk_header *fk_head(const fk_arena *a) { return (fk_header *)a->base; }

/* The address of `size` bytes at `off`, or NULL when they are not all inside the heap. */
static inline void *fk_at(const fk_arena *a, uint64_t off, uint64_t size)
{
    if (FK_UNLIKELY(off < FK_HEAP_AT || off > a->reserve || size > a->reserve - off))
        return NULL;
    return a->base + off;
}

static inline uint64_t fk_off(const fk_arena *a, const void *p)
{
    return (uint64_t)((const uint8_t *)p - a->base);
}

#endif
