/* A family for a test: the test's process founds it, and every child that is forked is a member.
 *
 *     found();                                        // A is this process's view of the arena
 *     member m = spawn_member(take_lock, lock);       // forked, its slot reserved, its pid told
 *     WAIT_UNTIL(fk_lock_owner(lock) == m.owner);
 *     kill_at(m.pid);                                 // dead, a zombie, not reaped
 *     bury(m);                                        // waited for, and its slot given back
 *
 * A child that calls arm("queue.written", n) is killed when it passes that fk_point for the n-th
 * time (from 0): die_at() runs one so and says whether it got there. */
#ifndef MEMBER_H
#define MEMBER_H

#include <fcntl.h>
#include <sys/syscall.h>

#include "cond.h"
#include "event.h"
#include "family.h"
#include "harness.h"
#include "lock.h"
#include "queue.h"

#ifndef FK_POINTS
#error "the tests need the core's kill points: compile both with -DFK_POINTS"
#endif

static fk_arena A;

typedef struct member {
    pid_t pid;
    fk_owner owner;
} member;

static _Thread_local fk_owner member_owner;

static void member_before(void) { fk_family_before_fork(&A); }
static void member_parent(void) { member_owner = fk_family_after_fork_parent(&A); }
static void member_child(void)
{
    fk_family_after_fork_child(&A);
    fk_armed_point = NULL; /* it was meant for the parent, or for the lines above */
}

static HARNESS_UNUSED void found(void)
{
    CHECK(fk_family_found(&A) == FK_OK);
    CHECK(pthread_atfork(member_before, member_parent, member_child) == 0);
}

static HARNESS_UNUSED member spawn_member(int (*fn)(void *), void *arg)
{
    member m = {.pid = spawn_child(fn, arg)};
    m.owner = member_owner;
    fk_slot_set_pid(&A, m.owner, (uint32_t)m.pid);
    return m;
}

static HARNESS_UNUSED int wait_for_kill(void *arg)
{
    for (;;)
        pause();
    return arg != NULL;
}

/* Wait for a member that has ended or is ending, and give its slot back. Its wait status. */
static HARNESS_UNUSED int bury(member m)
{
    int status = reap(m.pid);
    CHECK(!fk_slot_alive(&A, m.owner));
    WAIT_UNTIL(fk_reap(&A, m.owner));
    return status;
}

static HARNESS_UNUSED void arm(const char *point, int skip)
{
    fk_armed_skip = skip;
    fk_armed_point = point;
}

typedef struct doomed {
    int (*fn)(void *);
    void *arg;
    const char *point;
    int skip;
} doomed;

static int run_doomed(void *arg)
{
    doomed *d = arg;
    arm(d->point, d->skip);
    return d->fn(d->arg);
}

/* Run fn(arg) in a member that dies at its skip-th pass of a point, and do not bury it. False: it
 * came to its end before. */
static HARNESS_UNUSED bool dies_at(const char *point, int skip, int (*fn)(void *), void *arg,
                                   member *dead)
{
    doomed d = {fn, arg, point, skip};
    *dead = spawn_member(run_doomed, &d);
    int status = reap(dead->pid);
    CHECK(WIFEXITED(status) ? WEXITSTATUS(status) == 0 : WTERMSIG(status) == SIGKILL);
    CHECK(!fk_slot_alive(&A, dead->owner));
    return WIFSIGNALED(status);
}

/* A shared object of this process, and of the children that it forks from now on. */
typedef struct object {
    uint64_t off;
    uint32_t index;
    void *data;
} object;

static HARNESS_UNUSED object make(uint32_t kind, uint64_t size)
{
    object o;
    CHECK(fk_block_new(&A, size, kind, &o.off) == FK_OK);
    CHECK(fk_hold_new(&A, o.off, &o.index) == FK_OK); /* at once: a death in between loses it */
    o.data = fk_block_data(&A, o.off);
    memset(o.data, 0, size);
    return o;
}

static HARNESS_UNUSED fk_hold *hold_of(const object *o) { return fk_hold_at(&A, o->index); }

static HARNESS_UNUSED uint64_t refs(const object *o)
{
    fk_block *b = fk_block_at(&A, o->off);
    CHECK(b);
    return atomic_load(&b->refs);
}

static HARNESS_UNUSED uint64_t heap_used(void) { return atomic_load(&fk_head(&A)->heap_used); }

/* Free blocks of that stack are nobody's. How many they are, and the pages that they keep. */
static HARNESS_UNUSED uint32_t stack_is_sound(uint64_t first, uint32_t klass, bool bare,
                                              uint64_t *kept)
{
    uint32_t n = 0;
    for (fk_block *b = fk_block_at(&A, first); b; b = fk_block_at(&A, atomic_load(&b->next)), n++) {
        CHECK_EQ(b->klass, klass);
        CHECK_EQ(atomic_load(&b->tag), 0);
        CHECK_EQ(atomic_load(&b->refs), 0);
        CHECK(!bare || b->pages == 1);
        *kept += bare ? 0 : b->pages;
    }
    return n;
}

/* A run is in the list that it belongs to, and counts its blocks right. */
static HARNESS_UNUSED void run_is_sound(const fk_run *r, uint64_t at, uint32_t klass)
{
    uint64_t unused = 0, list = 0;
    CHECK_EQ(r->klass, klass);
    uint32_t n = stack_is_sound(atomic_load(&r->free), klass, false, &unused);
    CHECK_EQ(atomic_load(&r->used), atomic_load(&r->carved) - 1 - n);
    CHECK(!atomic_load(&r->kept) || !atomic_load(&r->used));
    bool bare = atomic_load(&r->bare);
    CHECK(!bare || (atomic_load(&r->carved) == 1 && !atomic_load(&r->listed)));
    list = atomic_load(bare ? &fk_head(&A)->heap_bare[klass] : &fk_head(&A)->heap_free[klass]);
    while (list && list != at)
        list = atomic_load(&((fk_run *)fk_at(&A, list, sizeof(fk_run)))->next);
    CHECK_EQ(list == at, bare || atomic_load(&r->listed));
    CHECK(bare || n == 0 || atomic_load(&r->listed)); /* else nobody finds them */
}

/* Every free block is nobody's, and where it is looked for; runs' pages are counted right. The pages that large ones keep. */
static HARNESS_UNUSED uint64_t free_blocks_are_sound(void)
{
    uint64_t kept = 0;
    const fk_header *h = fk_head(&A);
    for (uint32_t k = FK_LARGE_CLASS; k < FK_CLASSES; k++) {
        stack_is_sound(atomic_load(&h->heap_free[k]), k, false, &kept);
        stack_is_sound(atomic_load(&h->heap_bare[k]), k, true, &kept);
    }
    for (uint32_t k = 0; k < FK_LARGE_CLASS; k++) {
        const fk_run *r;
        uint64_t runs_kept = 0;
        for (uint64_t at = atomic_load(&h->heap_runs[k]); at; at = atomic_load(&r->older)) {
            r = fk_at(&A, at, sizeof *r);
            run_is_sound(r, at, k);
            runs_kept += atomic_load(&r->kept);
        }
        CHECK_EQ(runs_kept, atomic_load(&h->heap_runs_kept[k]));
    }
    return kept;
}

/* A point to die at, and how many bytes of heap_used() a death there may cost. */
typedef struct place {
    const char *point;
    uint64_t may_cost;
} place;

typedef struct last_holder {
    const object *o;
    atomic_int *step;
} last_holder;

static int drop_the_last(void *arg)
{
    last_holder *l = arg;
    atomic_store(l->step, 1);
    WAIT_UNTIL(atomic_load(l->step) == 2); /* the parent has dropped its own */
    fk_hold_drop(&A, l->o->index);
    return 0;
}

/* The last who holds an object drops it, with much inside, and dies while that is freed, at each pass of
 * each point. make_full() makes one at *o. */
static HARNESS_UNUSED void die_as_it_is_destroyed(const object *o, void (*make_full)(void),
                                                  const place *places, size_t n)
{
    last_holder l = {o, shared_page(4096)};
    object keeps_a_chunk = make(FK_KIND_WORDS, 8);
    for (size_t i = 0; i < n; i++) {
        bool died = true;
        for (int skip = 0; died; skip = 2 * skip + 1) {
            uint64_t used = heap_used();
            make_full();
            doomed d = {drop_the_last, &l, places[i].point, skip};
            atomic_store(l.step, 0);
            member m = spawn_member(run_doomed, &d);
            WAIT_UNTIL(atomic_load(l.step) == 1);
            fk_hold_drop(&A, o->index);
            atomic_store(l.step, 2);
            died = bury(m) == SIGKILL;
            CHECK(heap_used() - used <= places[i].may_cost);
            free_blocks_are_sound();
            CHECK(died || skip > 0); /* else nobody has passed that point */
        }
    }
    CHECK_EQ(refs(&keeps_a_chunk), FK_REF_HOLD);
}

/* Slots in use, this process's included. */
static HARNESS_UNUSED uint32_t slots_used(void)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < atomic_load(&fk_head(&A)->slot_high); i++)
        n += atomic_load(&fk_slot_at(&A, i)->state) != FK_SLOT_FREE;
    return n;
}

/* Reap all that is dead, now. */
static HARNESS_UNUSED void reap_everybody(void)
{
    for (uint32_t i = 0; i < atomic_load(&fk_head(&A)->slot_high); i++) {
        fk_slot *s = fk_slot_at(&A, i);
        fk_owner o = fk_owner_word(i, atomic_load(&s->generation));
        if (atomic_load(&s->state) != FK_SLOT_FREE && !fk_slot_alive(&A, o))
            WAIT_UNTIL(fk_reap(&A, o));
    }
}

/* Whether a thread of that process is on the board with that operation. */
static HARNESS_UNUSED bool is_parked(fk_owner owner, uint32_t op)
{
    fk_seen seen;
    for (uint32_t i = 0; i < atomic_load(&fk_head(&A)->board_high); i++)
        if (fk_board_see(&A, i, &seen) && seen.owner == owner && seen.op == op)
            return true;
    return false;
}

/* Call until it is not interrupted, as the product does: on the board, and reaping. */
#define PARKED(op, call)                                                                           \
    __extension__({                                                                                \
        fk_status parked_status;                                                                   \
        do {                                                                                       \
            fk_board_enter(&A, op, 0, FK_NEVER, __FILE__, __LINE__);                               \
            parked_status = (call);                                                                \
            fk_board_leave(&A);                                                                    \
            if (parked_status == FK_INTR)                                                          \
                fk_reap_all(&A);                                                                   \
        } while (parked_status == FK_INTR);                                                        \
        parked_status;                                                                             \
    })

/* A wait that only a wake-up ends: one that got lost hangs the test, and no slice hides it. */
static HARNESS_UNUSED fk_wait patient(void)
{
    return (fk_wait){.deadline_ns = FK_NEVER, .slice_ns = UINT64_C(3600000000000)};
}

static HARNESS_UNUSED fk_wait at_once(void) { return (fk_wait){.deadline_ns = 0}; }

static HARNESS_UNUSED fk_wait in_slices(void) { return (fk_wait)FK_WAIT_UNTIL(FK_NEVER); }

/* A number below a bound; others in each process and run, unless SEED is set. */
static HARNESS_UNUSED uint32_t chance(uint32_t below)
{
    static _Thread_local uint64_t x;
    static _Thread_local pid_t of;
    if (of != getpid()) {
        const char *seed = getenv("SEED");
        of = getpid();
        x = (seed ? strtoull(seed, NULL, 0) : now_ns() ^ (uint64_t)of << 20) * 2654435769u + 1;
    }
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    return (uint32_t)(x >> 32) % below;
}

#endif
