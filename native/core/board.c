#include "board.h"

#include <string.h>

#include "lock.h"

static fk_parked *entry_at(const fk_arena *a, uint32_t index)
{
    return (fk_parked *)(a->base + FK_BOARD_AT + (uint64_t)index * FK_PARKED_STRIDE);
}

/* This thread's entry, once it has one. A forked child's thread has another owner word. */
static _Thread_local fk_parked *tls_entry;
static _Thread_local fk_owner tls_entry_of;
static _Thread_local const fk_arena *tls_arena;

static pthread_key_t at_thread_exit;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void forget_entry(void *p)
{
    fk_parked *e = p;
    /* A forked child's thread has the parent's entry in these, and must leave it alone. */
    if (tls_entry == e && tls_entry_of == tls_arena->me && atomic_load(&e->owner) == tls_entry_of) {
        atomic_store(&e->op, FK_OP_NONE);
        atomic_store(&e->owner, 0);
    }
}

static void make_key(void) { pthread_key_create(&at_thread_exit, forget_entry); }

static FK_COLD fk_parked *claim_entry(fk_arena *a)
{
    fk_header *h = fk_head(a);
    for (uint32_t i = 0; i < FK_MAX_PARKED; i++) {
        fk_parked *e = entry_at(a, i);
        uint32_t nobody = 0;
        if (atomic_load_explicit(&e->owner, memory_order_relaxed) != 0)
            continue;
        /* Before the entry is taken, so that the reaper finds it in any case. */
        uint32_t high = atomic_load(&h->board_high);
        while (high <= i && !atomic_compare_exchange_weak(&h->board_high, &high, i + 1)) {
        }
        if (atomic_compare_exchange_strong(&e->owner, &nobody, a->me)) {
            fk_point("board.claimed");
            atomic_store(&e->op, FK_OP_NONE);
            atomic_store(&e->nap.count, 0);
            atomic_store(&e->tid, fk_tid(a));
            atomic_store(&e->waits, 0);
            pthread_once(&once, make_key);
            pthread_setspecific(at_thread_exit, e);
            tls_entry = e;
            tls_entry_of = a->me;
            tls_arena = a;
            return e;
        }
    }
    return NULL;
}

static fk_parked *own_entry(const fk_arena *a) { return tls_entry_of == a->me ? tls_entry : NULL; }

fk_nap *fk_board_enter(fk_arena *a, uint32_t op, uint64_t object, uint64_t deadline_ns,
                       const char *file, uint32_t line)
{
    fk_parked *e = own_entry(a);
    if (!e && !(e = claim_entry(a)))
        return NULL;
    uint32_t seq = atomic_load_explicit(&e->seq, memory_order_relaxed);
    atomic_store_explicit(&e->seq, seq | 1, memory_order_relaxed);
    atomic_thread_fence(memory_order_release); /* release: board.seq */
    atomic_store_explicit(&e->object, object, memory_order_relaxed);
    atomic_store_explicit(&e->since_ns, fk_now_ns(), memory_order_relaxed);
    atomic_store_explicit(&e->deadline_ns, deadline_ns, memory_order_relaxed);
    fk_point("board.writing");
    atomic_store_explicit(&e->line, line, memory_order_relaxed);
    atomic_fetch_add_explicit(&e->waits, 1, memory_order_relaxed);
    atomic_store_explicit(&e->nap.quiet, 0, memory_order_relaxed);
    size_t n = file ? strlen(file) : 0, skip = n >= sizeof e->file ? n - sizeof e->file + 1 : 0;
    for (size_t i = 0; i < n - skip; i++)
        atomic_store_explicit(&e->file[i], file[skip + i], memory_order_relaxed);
    atomic_store_explicit(&e->file[n - skip], 0, memory_order_relaxed);
    atomic_store_explicit(&e->op, op, memory_order_relaxed);
    atomic_store_explicit(&e->seq, (seq | 1) + 1, memory_order_release); /* release: board.seq */
    return &e->nap;
}

void fk_board_leave(fk_arena *a)
{
    fk_parked *e = own_entry(a);
    if (e)
        atomic_store_explicit(&e->op, FK_OP_NONE, memory_order_release);
}

uint32_t fk_board_wait(const fk_arena *a)
{
    fk_parked *e = own_entry(a);
    bool waits = e && atomic_load_explicit(&e->op, memory_order_relaxed) != FK_OP_NONE;
    return waits ? atomic_load_explicit(&e->waits, memory_order_relaxed) : 0;
}

fk_nap *fk_board_nap(const fk_arena *a) { return fk_board_wait(a) ? &own_entry(a)->nap : NULL; }

uint64_t fk_board_since(const fk_arena *a)
{
    fk_parked *e = own_entry(a);
    return e ? atomic_load_explicit(&e->since_ns, memory_order_relaxed) : UINT64_MAX;
}

void fk_board_tell_quiet(const fk_arena *a, bool quiet)
{
    fk_parked *e = own_entry(a);
    if (e)
        atomic_store_explicit(&e->nap.quiet, quiet, memory_order_release); /* release: nap.quiet */
}

/* The number of this thread's last standing wait. */
static _Thread_local uint32_t tls_standing;

fk_nap *fk_board_stand(fk_arena *a, bool again, uint32_t op, uint64_t object, const char *file,
                       uint32_t line)
{
    fk_parked *e = own_entry(a);
    if (again && e && tls_standing == atomic_load_explicit(&e->waits, memory_order_relaxed) &&
        object == atomic_load_explicit(&e->object, memory_order_relaxed)) {
        atomic_store_explicit(&e->op, op, memory_order_release);
        return &e->nap;
    }
    fk_nap *nap = fk_board_enter(a, op, object, FK_NEVER, file, line);
    tls_standing = fk_board_wait(a);
    return nap;
}

/* Whether the entry's thread sleeps, and on what. */
static void see_nap(const fk_arena *a, const fk_parked *e, fk_seen *seen)
{
    /* acquire: nap.count */
    uint32_t count = atomic_load_explicit(&e->nap.count, memory_order_acquire);
    int64_t away = atomic_load_explicit(&e->nap.word, memory_order_acquire);
    seen->expected = atomic_load_explicit(&e->nap.expected, memory_order_acquire);
    /* acquire: nap.quiet */
    seen->quiet = atomic_load_explicit(&e->nap.quiet, memory_order_acquire);
    seen->asleep =
        (count & 1) && atomic_load_explicit(&e->nap.count, memory_order_relaxed) == count;
    seen->word = seen->asleep && away ? fk_off(a, &e->nap) + (uint64_t)away : 0;
}

bool fk_board_see(const fk_arena *a, uint32_t index, fk_seen *seen)
{
    const fk_parked *e = entry_at(a, index);
    for (int tries = 0; tries < 1000; tries++) {
        uint32_t seq = atomic_load_explicit(&e->seq, memory_order_acquire); /* acquire: board.seq */
        seen->owner = atomic_load_explicit(&e->owner, memory_order_relaxed);
        seen->op = atomic_load_explicit(&e->op, memory_order_relaxed);
        if (seen->owner == 0 || seen->op == FK_OP_NONE)
            return false;
        seen->tid = atomic_load_explicit(&e->tid, memory_order_relaxed);
        seen->line = atomic_load_explicit(&e->line, memory_order_relaxed);
        seen->waits = atomic_load_explicit(&e->waits, memory_order_relaxed);
        seen->object = atomic_load_explicit(&e->object, memory_order_relaxed);
        seen->since_ns = atomic_load_explicit(&e->since_ns, memory_order_relaxed);
        seen->deadline_ns = atomic_load_explicit(&e->deadline_ns, memory_order_relaxed);
        for (size_t i = 0; i < sizeof seen->file; i++)
            seen->file[i] = atomic_load_explicit(&e->file[i], memory_order_relaxed);
        seen->file[sizeof seen->file - 1] = 0;
        see_nap(a, e, seen);
        atomic_thread_fence(memory_order_acquire);
        if (!(seq & 1) && atomic_load_explicit(&e->seq, memory_order_relaxed) == seq)
            return true;
    }
    return false; /* its writer was killed in the middle */
}

fk_owner fk_board_joined(const fk_arena *a, const fk_seen *seen)
{
    bool by_pid = seen->object & FK_BY_PID;
    return by_pid ? fk_slot_find(a, (uint32_t)seen->object) : (fk_owner)seen->object;
}

bool fk_board_glance(const fk_arena *a, uint32_t index, fk_seen *seen)
{
    const fk_parked *e = entry_at(a, index);
    seen->owner = atomic_load_explicit(&e->owner, memory_order_relaxed);
    seen->op = atomic_load_explicit(&e->op, memory_order_relaxed);
    seen->object = atomic_load_explicit(&e->object, memory_order_relaxed);
    seen->deadline_ns = atomic_load_explicit(&e->deadline_ns, memory_order_relaxed);
    return seen->owner && seen->op != FK_OP_NONE && seen->op < FK_OPS;
}

void fk_board_forget(fk_arena *a, fk_owner dead)
{
    uint32_t high = atomic_load(&fk_head(a)->board_high);
    for (uint32_t i = 0; i < high; i++) {
        fk_parked *e = entry_at(a, i);
        if (atomic_load_explicit(&e->owner, memory_order_relaxed) == dead) {
            atomic_store(&e->op, FK_OP_NONE);
            atomic_store(&e->seq, 0);
            atomic_store(&e->owner, 0);
        }
    }
}
