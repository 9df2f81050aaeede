/* The lock that names its owner, and the re-entrant one on it. */
#include "member.h"

static fk_lock *new_lock(void) { return make(FK_KIND_LOCK, sizeof(fk_user_lock)).data; }

static fk_status try_it(fk_lock *l)
{
    fk_wait w = at_once();
    return fk_lock_acquire(&A, l, &w);
}

static bool is_contended(fk_lock *l) { return atomic_load(&l->word) & FK_CONTENDED; }

/* ---- one process ---------------------------------------------------------------------------------- */

TEST(a_lock_is_free_or_its_owners)
{
    found();
    fk_lock *l = new_lock();
    CHECK_EQ(fk_lock_owner(l), 0);
    CHECK_EQ(fk_lock_try(&A, l), FK_OK);
    CHECK_EQ(atomic_load(&l->word), A.me);
    CHECK_EQ(fk_lock_try(&A, l), FK_AGAIN);
    CHECK_EQ(try_it(l), FK_AGAIN);
    CHECK_EQ(fk_lock_take_over(&A, l), FK_AGAIN);
    CHECK(fk_lock_release(l));
    CHECK(!fk_lock_release(l));
    CHECK_EQ(fk_lock_take_over(&A, l), FK_AGAIN);
    CHECK_EQ(fk_lock_force(&A, l), FK_OK);
    CHECK(fk_lock_release(l));
}

TEST(a_deadline_ends_the_wait_and_not_before)
{
    found();
    fk_lock *l = new_lock();
    CHECK_EQ(fk_lock_try(&A, l), FK_OK);
    uint64_t deadline = now_ns() + 2 * FK_SLICE_NS + FK_SLICE_NS / 2;
    fk_wait w = FK_WAIT_UNTIL(deadline);
    CHECK_EQ(PARKED(FK_OP_LOCK, fk_lock_acquire(&A, l, &w)), FK_TIMEOUT);
    CHECK(now_ns() >= deadline);
    CHECK_EQ(fk_lock_owner(l), A.me);
    w = (fk_wait)FK_WAIT_UNTIL(1); /* long over */
    CHECK_EQ(fk_lock_acquire(&A, l, &w), FK_TIMEOUT);
}

static void on_signal(int number) { (void)number; }

typedef struct waiter {
    fk_lock *lock;
    atomic_int status; /* 1 + what the wait ended with */
} waiter;

static void *wait_once(void *arg)
{
    waiter *t = arg;
    fk_wait w = patient();
    atomic_store(&t->status, 1 + (int)fk_lock_acquire(&A, t->lock, &w));
    return NULL;
}

TEST(a_signal_ends_the_wait)
{
    found();
    waiter t = {.lock = new_lock()};
    struct sigaction sa = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    CHECK(sigaction(SIGUSR1, &sa, NULL) == 0);
    CHECK_EQ(fk_lock_try(&A, t.lock), FK_OK);
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, wait_once, &t) == 0);
    WAIT_UNTIL(is_contended(t.lock));
    while (!atomic_load(&t.status)) /* it may not sleep yet */
        CHECK(pthread_kill(thread, SIGUSR1) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
    CHECK_EQ(atomic_load(&t.status), 1 + FK_INTR);
}

TEST(a_slice_ends_the_wait_too)
{
    found();
    fk_lock *l = new_lock();
    CHECK_EQ(fk_lock_try(&A, l), FK_OK);
    fk_wait w = in_slices();
    CHECK_EQ(fk_lock_acquire(&A, l, &w), FK_INTR);
    CHECK_EQ(w.slice_ns, FK_SLICE_NS);
    w = (fk_wait){.deadline_ns = FK_NEVER, .slice_ns = 1000000, .grows = true};
    CHECK_EQ(fk_lock_acquire(&A, l, &w), FK_INTR);
    CHECK_EQ(w.slice_ns, 2000000);
}

TEST(the_waiter_gets_the_lock_when_it_is_released)
{
    found();
    waiter t = {.lock = new_lock()};
    CHECK_EQ(fk_lock_try(&A, t.lock), FK_OK);
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, wait_once, &t) == 0);
    WAIT_UNTIL(is_contended(t.lock));
    CHECK_EQ(fk_lock_owner(t.lock), A.me);
    CHECK(fk_lock_release(t.lock));
    CHECK(pthread_join(thread, NULL) == 0);
    CHECK_EQ(atomic_load(&t.status), 1 + FK_OK);
    CHECK_EQ(fk_lock_owner(t.lock), A.me);
}

typedef struct shared {
    fk_lock *lock;
    long count; /* no atomic: the lock guards it */
} shared;

enum { ROUNDS = 20000 };

static void *count_up(void *arg)
{
    shared *s = arg;
    for (int i = 0; i < ROUNDS; i++) {
        fk_wait w = patient();
        CHECK_EQ(fk_lock_acquire(&A, s->lock, &w), FK_OK);
        s->count++;
        CHECK(fk_lock_release(s->lock));
    }
    return NULL;
}

TEST(one_holds_the_lock_at_a_time_and_no_wake_up_is_lost)
{
    found();
    for (int spins = 0; spins < 2; spins++) {
        fk_spins = spins * 50;
        shared s = {.lock = new_lock()};
        run_threads(4, count_up, &s);
        CHECK_EQ(s.count, 4 * ROUNDS);
        CHECK_EQ(fk_lock_owner(s.lock), 0);
    }
}

/* ---- many processes ------------------------------------------------------------------------------- */

static int count_up_here(void *arg)
{
    count_up(arg);
    return 0;
}

TEST(processes_exclude_each_other)
{
    found();
    shared *s = shared_page(4096);
    s->lock = new_lock();
    member m[3];
    for (int i = 0; i < 3; i++)
        m[i] = spawn_member(count_up_here, s);
    count_up(s);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(bury(m[i]), 0);
    CHECK_EQ(s->count, 4 * ROUNDS);
}

static int hold_it(void *l)
{
    CHECK_EQ(fk_lock_try(&A, l), FK_OK);
    return wait_for_kill(NULL);
}

static int release_it(void *l) { return !fk_lock_release(l); }

TEST(any_process_may_release)
{
    found();
    fk_lock *l = new_lock();
    CHECK_EQ(fk_lock_try(&A, l), FK_OK);
    CHECK_EQ(bury(spawn_member(release_it, l)), 0);
    CHECK_EQ(fk_lock_owner(l), 0);
}

TEST(a_dead_owner_is_named_until_somebody_takes_over)
{
    found();
    fk_lock *l = new_lock();
    member m = spawn_member(hold_it, l);
    WAIT_UNTIL(fk_lock_owner(l) == m.owner);
    CHECK_EQ(try_it(l), FK_AGAIN);
    CHECK_EQ(fk_lock_take_over(&A, l), FK_AGAIN);
    kill_at(m.pid);
    fk_wait w = in_slices();
    for (int i = 0; i < 2; i++) {
        CHECK_EQ(fk_lock_acquire(&A, l, &w), FK_OWNER_DIED);
        CHECK_EQ(try_it(l), FK_OWNER_DIED);
        CHECK_EQ(fk_lock_owner(l), m.owner);
    }
    bury(m);
    CHECK_EQ(try_it(l), FK_OWNER_DIED);
    member next = spawn_member(wait_for_kill, NULL); /* in the slot of the dead one */
    CHECK_EQ(fk_owner_index(next.owner), fk_owner_index(m.owner));
    CHECK_EQ(try_it(l), FK_OWNER_DIED);
    CHECK_EQ(fk_lock_take_over(&A, l), FK_OK);
    CHECK_EQ(fk_lock_take_over(&A, l), FK_AGAIN);
    CHECK_EQ(fk_lock_owner(l), A.me);
    CHECK(fk_lock_release(l));
    CHECK_EQ(try_it(l), FK_OK);
    kill_at(next.pid);
    bury(next);
}

TEST(who_sleeps_learns_that_the_owner_died)
{
    found();
    waiter t = {.lock = new_lock()};
    member m = spawn_member(hold_it, t.lock);
    WAIT_UNTIL(fk_lock_owner(t.lock) == m.owner);
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, wait_once, &t) == 0);
    WAIT_UNTIL(is_contended(t.lock));
    kill_at(m.pid);
    while (!atomic_load(&t.status)) /* in place of the slices, which this wait has not */
        fk_futex_wake(&t.lock->word, 1);
    CHECK(pthread_join(thread, NULL) == 0);
    CHECK_EQ(atomic_load(&t.status), 1 + FK_OWNER_DIED);
    bury(m);
}

static int wait_in_slices(void *l)
{
    fk_wait w = in_slices();
    return (int)PARKED(FK_OP_LOCK, fk_lock_acquire(&A, l, &w));
}

TEST(every_sleeper_learns_of_the_death_by_itself)
{
    found();
    fk_lock *l = new_lock();
    member owner = spawn_member(hold_it, l), m[3];
    WAIT_UNTIL(fk_lock_owner(l) == owner.owner);
    for (int i = 0; i < 3; i++) {
        m[i] = spawn_member(wait_in_slices, l);
        WAIT_UNTIL(is_parked(m[i].owner, FK_OP_LOCK));
    }
    kill_at(owner.pid);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(WEXITSTATUS(bury(m[i])), FK_OWNER_DIED);
    bury(owner);
}

static int take_over_and_count(void *arg)
{
    shared *s = arg;
    for (int i = 0; i < 200; i++) {
        fk_status st = fk_lock_force(&A, s->lock);
        CHECK(st == FK_OK || st == FK_OWNER_DIED);
        s->count++;
        if (s->count % 50 == 0)
            return 0; /* with the lock: as if killed */
        CHECK(fk_lock_release(s->lock));
    }
    return 0;
}

TEST(a_lock_is_taken_over_by_one)
{
    found();
    shared *s = shared_page(4096);
    s->lock = new_lock();
    member m[4];
    for (int i = 0; i < 4; i++)
        m[i] = spawn_member(take_over_and_count, s);
    for (int i = 0; i < 4; i++)
        CHECK_EQ(bury(m[i]), 0);
    CHECK_EQ(s->count, 4 * 50);
    CHECK_EQ(fk_lock_force(&A, s->lock), FK_OWNER_DIED);
}

static int lock_and_unlock(void *l)
{
    WAIT_UNTIL(fk_lock_try(&A, l) == FK_OK);
    WAIT_UNTIL(is_contended(l));
    fk_lock_release(l);
    return 1;
}

TEST(a_wake_up_that_died_with_its_sender_is_made_up_for)
{
    found();
    fk_lock *l = new_lock();
    doomed d = {lock_and_unlock, l, "lock.released", 0};
    member dead = spawn_member(run_doomed, &d);
    WAIT_UNTIL(fk_lock_owner(l) == dead.owner);
    fk_wait w = in_slices();
    CHECK_EQ(PARKED(FK_OP_LOCK, fk_lock_acquire(&A, l, &w)), FK_OK);
    CHECK_EQ(bury(dead), SIGKILL);
}

static int fork_holds_nothing(void *l)
{
    CHECK_EQ(fk_lock_try(&A, l), FK_AGAIN);
    CHECK(fk_lock_owner(l) != A.me);
    return 0;
}

static void *hold_while_told(void *arg)
{
    shared *s = arg;
    CHECK_EQ(fk_lock_try(&A, s->lock), FK_OK);
    WAIT_UNTIL(__atomic_load_n(&s->count, __ATOMIC_ACQUIRE));
    CHECK(fk_lock_release(s->lock));
    return NULL;
}

TEST(what_another_thread_held_at_the_fork_stays_its_own)
{
    found();
    shared s = {.lock = new_lock()};
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, hold_while_told, &s) == 0);
    WAIT_UNTIL(fk_lock_owner(s.lock));
    CHECK_EQ(bury(spawn_member(fork_holds_nothing, s.lock)), 0);
    __atomic_store_n(&s.count, 1, __ATOMIC_RELEASE);
    CHECK(pthread_join(thread, NULL) == 0);
    CHECK_EQ(fk_lock_try(&A, s.lock), FK_OK);
}

TEST_MAIN
