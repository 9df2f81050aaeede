/* Hundreds of SIGKILLs at random moments, while everybody works at full speed.
 *
 * The parent kills a worker when that has come some random way further, reaps it, checks what can
 * be checked, waits until each survivor has got on, and starts another in its place. */
#include "queue_kit.h"

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
enum { KILLS = 60 }; /* a fork is slow there */
#else
enum { KILLS = 200 };
#endif
enum { WORKERS = 6, LIVES = KILLS + WORKERS, MOST = 20000 };

typedef struct life { /* of one worker, written by it */
    atomic_uint steps;
    atomic_uint put; /* messages whose put has returned */
    bool is_consumer, was_killed;
} life;

typedef struct world {
    atomic_bool over;
    life lives[LIVES];
    atomic_uchar seen[LIVES][MOST];
    long first, second; /* guarded by the lock: always the same, but for the dead */
    atomic_uint inside;
} world;

static world *W;

typedef struct worker {
    member process;
    int life;
} worker;

typedef int work(void *life);

static worker start(work *fn, int number)
{
    return (worker){spawn_member(fn, (void *)(intptr_t)number), number};
}

/* Kill KILLS workers, one after the other; check() after each. Then let the last ones end. */
static void storm(work *(*job)(int number), void (*check)(void))
{
    worker workers[WORKERS];
    int lives = 0;
    for (int i = 0; i < WORKERS; i++, lives++)
        workers[i] = start(job(lives), lives);
    for (int kills = 0; kills < KILLS; kills++) {
        worker *victim = &workers[chance(WORKERS)];
        life *l = &W->lives[victim->life];
        unsigned target = atomic_load(&l->steps) + chance(chance(2) ? 20 : 300);
        while (atomic_load(&l->steps) < target)
            sched_yield();
        CHECK(kill(victim->process.pid, SIGKILL) == 0);
        CHECK_EQ(bury(victim->process), SIGKILL);
        l->was_killed = true;
        check();
        unsigned now[WORKERS];
        *victim = start(job(lives), lives);
        lives++;
        for (int i = 0; i < WORKERS; i++)
            now[i] = atomic_load(&W->lives[workers[i].life].steps);
        for (int i = 0; i < WORKERS; i++)
            WAIT_UNTIL(atomic_load(&W->lives[workers[i].life].steps) > now[i]);
    }
    atomic_store(&W->over, true);
    for (int i = 0; i < WORKERS; i++)
        CHECK_EQ(bury(workers[i].process), 0);
    CHECK_EQ(slots_used(), 1);
    free_blocks_are_sound();
}

/* ---- the queue ---------------------------------------------------------------------------------------- */

static int produce(void *arg)
{
    uint64_t me = (uint64_t)(intptr_t)arg;
    life *l = &W->lives[me];
    while (!atomic_load(&W->over)) {
        uint64_t i = atomic_load(&l->put), number = me << 32 | i;
        fk_status st = FK_AGAIN;
        if (i == MOST - 1) {
            sched_yield(); /* enough of this one */
        } else if (chance(8) == 0) {
            st = put_block(number, 9000);
        } else {
            st = put_within(number, chance(2) ? chance(100) : chance(4000),
                            (fk_wait)FK_WAIT_UNTIL(now_ns() + 1000000));
        }
        CHECK(st == FK_OK || st == FK_AGAIN || st == FK_TIMEOUT);
        if (st == FK_OK)
            atomic_fetch_add(&l->put, 1);
        atomic_fetch_add(&l->steps, 1);
    }
    return 0;
}

static void see(uint64_t number)
{
    uint64_t producer = number >> 32, i = number & UINT32_MAX;
    CHECK(producer < LIVES && i < MOST);
    CHECK_EQ(atomic_fetch_add(&W->seen[producer][i], 1), 0);
}

static int consume(void *arg)
{
    life *l = &W->lives[(intptr_t)arg];
    static int64_t last[LIVES];
    memset(last, 255, sizeof last);
    while (!atomic_load(&W->over)) {
        uint64_t number;
        fk_status st = get_within(&number, (fk_wait)FK_WAIT_UNTIL(now_ns() + 1000000));
        if (st == FK_OK) {
            see(number);
            CHECK(last[number >> 32] < (int64_t)(number & UINT32_MAX));
            last[number >> 32] = (int64_t)(number & UINT32_MAX);
        } else {
            CHECK(st == FK_TIMEOUT);
        }
        atomic_fetch_add(&l->steps, 1);
    }
    return 0;
}

static work *produce_or_consume(int number)
{
    W->lives[number].is_consumer = chance(2);
    if (number < 2)
        W->lives[number].is_consumer = number; /* at first one of each at least */
    return W->lives[number].is_consumer ? consume : produce;
}

static void queue_is_within_bounds(void)
{
    uint64_t n = fk_queue_size(Q.data), max = ((fk_queue *)Q.data)->maxsize;
    CHECK(max == 0 || n <= max);
}

static void storm_on_a_queue(uint64_t maxsize)
{
    found();
    W = shared_page(sizeof *W);
    object keeps_a_chunk = make(FK_KIND_WORDS, 8);
    uint64_t used = heap_used(), number;
    new_queue(maxsize, true);
    storm(produce_or_consume, queue_is_within_bounds);
    while (get(&number) == FK_OK)
        see(number);

    int missing = 0, may_miss = 0;
    for (int p = 0; p < LIVES; p++) {
        life *l = &W->lives[p];
        may_miss += l->is_consumer && l->was_killed; /* what it had in hand */
        unsigned put = atomic_load(&l->put);
        for (unsigned i = 0; i < put; i++)
            missing += atomic_load(&W->seen[p][i]) == 0;
        for (unsigned i = put; i < MOST; i++) /* committed, and killed before it was counted */
            CHECK(atomic_load(&W->seen[p][i]) == 0 || (i == put && l->was_killed));
    }
    CHECK(missing <= may_miss);

    /* Items taken and not reported: all of them lost, as their takers have gone. */
    uint64_t lost, left = fk_queue_unfinished(Q.data);
    fk_wait w = at_once();
    for (uint32_t mine = atomic_load(&hold_of(&Q)->taken); mine > 0; mine--, left--)
        CHECK_EQ(fk_queue_done(&A, Q.data, hold_of(&Q)), FK_OK);
    CHECK_EQ(fk_queue_join(&A, Q.data, &lost, &w), left ? FK_OWNER_DIED : FK_OK);
    CHECK_EQ(lost, left);
    fk_hold_drop(&A, Q.index);
    CHECK(heap_used() - used <= KILLS * UINT64_C(16384));
    CHECK_EQ(refs(&keeps_a_chunk), FK_REF_HOLD);
}

TEST_LIMIT(a_storm_on_a_bounded_queue_loses_nothing_of_the_survivors, 240) { storm_on_a_queue(20); }

TEST_LIMIT(a_storm_on_an_unbounded_queue_loses_nothing_of_the_survivors, 240)
{
    storm_on_a_queue(0);
}

/* ---- everything else ------------------------------------------------------------------------------------ */

static object lock, rlock, sema, event, cond;

enum { PERMITS = 3 };

static void with_lock(void)
{
    fk_wait w = in_slices();
    fk_status st = PARKED(FK_OP_LOCK, fk_lock_acquire(&A, lock.data, &w));
    if (st == FK_OWNER_DIED) {
        if (fk_lock_take_over(&A, lock.data) != FK_OK)
            return;
        fk_owner before = atomic_exchange(&W->inside, 0);
        CHECK(before == 0 || !fk_slot_alive(&A, before));
        W->second = W->first; /* half done, perhaps */
    }
    CHECK_EQ(atomic_exchange(&W->inside, A.me), 0);
    CHECK_EQ(W->first, W->second);
    W->first++;
    W->second++;
    CHECK_EQ(atomic_exchange(&W->inside, 0), A.me);
    CHECK(fk_lock_release(lock.data));
}

static void with_rlock(void)
{
    fk_wait w = in_slices();
    int depth = 1 + (int)chance(3);
    for (int i = 0; i < depth; i++) {
        fk_status st = PARKED(FK_OP_RLOCK, fk_rlock_acquire(&A, rlock.data, &w));
        if (st == FK_OWNER_DIED && fk_rlock_take_over(&A, rlock.data) != FK_OK)
            depth = i;
    }
    for (int i = 0; i < depth; i++)
        CHECK_EQ(fk_rlock_release(&A, rlock.data), FK_OK);
}

static void with_sema(void)
{
    fk_wait w = in_slices();
    CHECK_EQ(PARKED(FK_OP_SEMAPHORE, fk_sema_acquire(&A, sema.data, hold_of(&sema), &w)), FK_OK);
    if (chance(4) == 0)
        sched_yield();
    CHECK_EQ(fk_sema_release(&A, sema.data, hold_of(&sema)), FK_OK);
}

static void with_event(void)
{
    fk_wait w = FK_WAIT_UNTIL(now_ns() + 200000);
    uint32_t epoch = 0;
    switch (chance(3)) {
    case 0:
        fk_event_set(event.data);
        break;
    case 1:
        fk_event_clear(event.data);
        break;
    default:
        PARKED(FK_OP_EVENT, fk_event_wait(event.data, &epoch, &w));
    }
}

static void with_cond(void)
{
    fk_node *node;
    fk_wait w = FK_WAIT_UNTIL(now_ns() + 200000);
    fk_lock_force(&A, &((fk_user_lock *)cond.data)->lock);
    fk_cond *c = (fk_cond *)((uint8_t *)cond.data + 64);
    bool waits = chance(2);
    if (waits)
        CHECK_EQ(fk_cond_begin(&A, c, &node), FK_OK);
    else
        CHECK(fk_cond_notify(&A, c, chance(2) ? 1 : UINT64_MAX) < WORKERS);
    fk_lock_release(&((fk_user_lock *)cond.data)->lock);
    if (waits) {
        fk_status st = PARKED(FK_OP_CONDITION, fk_cond_wait(node, &w));
        CHECK(fk_cond_end(node) || st == FK_TIMEOUT);
    }
}

static int use_all(void *arg)
{
    static void (*const uses[])(void) = {with_lock, with_rlock, with_sema, with_event, with_cond};
    life *l = &W->lives[(intptr_t)arg];
    while (!atomic_load(&W->over)) {
        uses[chance(5)]();
        atomic_fetch_add(&l->steps, 1);
    }
    return 0;
}

static work *always_use_all(int number)
{
    (void)number;
    return use_all;
}

/* Permits in the hands of all processes, by their tables; the semaphore's lock is held. */
static uint32_t permits_taken(void)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < atomic_load(&fk_head(&A)->slot_high); i++) {
        fk_slot *s = fk_slot_at(&A, i);
        uint64_t at = atomic_load(&s->state) == FK_SLOT_FREE ? 0 : atomic_load(&s->holds);
        while (at) {
            fk_hold_chunk *c = fk_at(&A, at + FK_BLOCK_HEAD, sizeof *c);
            for (int k = 0; k < FK_HOLDS_PER_CHUNK; k++)
                if (atomic_load(&c->hold[k].off) == sema.off)
                    n += atomic_load(&c->hold[k].taken);
            at = atomic_load(&c->next);
        }
    }
    return n;
}

static void permits_are_exact(void)
{
    fk_sema *s = sema.data;
    CHECK_EQ(fk_lock_force(&A, &s->lock), FK_OK); /* the dead one has been reaped */
    CHECK_EQ(fk_sema_value(s) + permits_taken(), PERMITS);
    fk_lock_release(&s->lock);
}

TEST_LIMIT(a_storm_on_locks_and_all_that_waits_stops_nobody, 240)
{
    found();
    W = shared_page(sizeof *W);
    lock = make(FK_KIND_LOCK, sizeof(fk_user_lock));
    rlock = make(FK_KIND_RLOCK, sizeof(fk_rlock));
    sema = make(FK_KIND_SEMA, sizeof(fk_sema));
    fk_sema_init(sema.data, PERMITS, PERMITS);
    event = make(FK_KIND_EVENT, sizeof(fk_event));
    cond = make(FK_KIND_RAW, 64 + sizeof(fk_cond)); /* its lock, and it */
    uint64_t used = heap_used();
    storm(always_use_all, permits_are_exact);
    CHECK_EQ(fk_sema_value(sema.data), PERMITS);
    CHECK_EQ(fk_cond_waiters(&A, (fk_cond *)((uint8_t *)cond.data + 64)), 0);
    CHECK(heap_used() - used <= KILLS * UINT64_C(4096));
    with_lock();
    CHECK_EQ(W->first, W->second);
}

TEST_MAIN
