/* The re-entrant lock: its owner is a thread of a process. */
#include "member.h"

static fk_rlock *new_rlock(void) { return make(FK_KIND_RLOCK, sizeof(fk_rlock)).data; }

static fk_status try_it(fk_rlock *l)
{
    fk_wait w = at_once();
    return fk_rlock_acquire(&A, l, &w);
}

TEST(the_owner_may_acquire_again)
{
    found();
    fk_rlock *l = new_rlock();
    CHECK(!fk_rlock_is_mine(&A, l));
    CHECK_EQ(fk_rlock_release(&A, l), FK_NOT_OWNER);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(try_it(l), FK_OK);
    CHECK(fk_rlock_is_mine(&A, l));
    CHECK_EQ(atomic_load(&l->count), 3);
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(fk_lock_owner(&l->user.lock), A.me);
        CHECK_EQ(fk_rlock_release(&A, l), FK_OK);
    }
    CHECK_EQ(fk_lock_owner(&l->user.lock), 0);
    CHECK(!fk_rlock_is_mine(&A, l));
    CHECK_EQ(fk_rlock_release(&A, l), FK_NOT_OWNER);
}

TEST(the_count_has_an_end)
{
    found();
    fk_rlock *l = new_rlock();
    CHECK_EQ(try_it(l), FK_OK);
    atomic_store(&l->count, UINT32_MAX);
    CHECK_EQ(try_it(l), FK_OVERFLOW);
    CHECK_EQ(atomic_load(&l->count), UINT32_MAX);
}

static void *is_a_stranger(void *arg)
{
    fk_rlock *l = arg;
    CHECK(!fk_rlock_is_mine(&A, l));
    CHECK_EQ(fk_rlock_release(&A, l), FK_NOT_OWNER);
    CHECK_EQ(try_it(l), FK_AGAIN);
    fk_wait w = FK_WAIT_UNTIL(now_ns() + 1000000);
    CHECK_EQ(fk_rlock_acquire(&A, l, &w), FK_TIMEOUT);
    return NULL;
}

static int is_a_stranger_here(void *l)
{
    is_a_stranger(l);
    return 0;
}

TEST(other_threads_and_forked_children_do_not_hold_it)
{
    found();
    fk_rlock *l = new_rlock();
    CHECK_EQ(try_it(l), FK_OK);
    run_threads(2, is_a_stranger, l);
    CHECK_EQ(bury(spawn_member(is_a_stranger_here, l)), 0);
    CHECK(fk_rlock_is_mine(&A, l));
}

TEST(a_thread_of_another_process_with_the_same_id_is_a_stranger)
{
    found();
    fk_rlock *l = new_rlock();
    CHECK_EQ(try_it(l), FK_OK);
    atomic_store(&l->holder, (uint64_t)fk_owner_word(9, 1) << 32 | fk_tid(&A));
    CHECK(!fk_rlock_is_mine(&A, l));
}

typedef struct shared {
    fk_rlock *lock;
    long count;
} shared;

static void *count_up(void *arg)
{
    shared *s = arg;
    for (int i = 0; i < 5000; i++) {
        int depth = 1 + i % 3;
        for (int d = 0; d < depth; d++) {
            fk_wait w = patient();
            CHECK_EQ(fk_rlock_acquire(&A, s->lock, &w), FK_OK);
        }
        s->count++;
        for (int d = 0; d < depth; d++)
            CHECK_EQ(fk_rlock_release(&A, s->lock), FK_OK);
    }
    return NULL;
}

static int count_up_here(void *arg)
{
    run_threads(2, count_up, arg);
    return 0;
}

TEST(threads_of_processes_exclude_each_other)
{
    found();
    shared *s = shared_page(4096);
    s->lock = new_rlock();
    member m = spawn_member(count_up_here, s);
    run_threads(2, count_up, s);
    CHECK_EQ(bury(m), 0);
    CHECK_EQ(s->count, 4 * 5000);
}

static int hold_twice(void *l)
{
    CHECK_EQ(try_it(l), FK_OK);
    CHECK_EQ(try_it(l), FK_OK);
    return wait_for_kill(NULL);
}

static void *may_not_release(void *l)
{
    CHECK_EQ(fk_rlock_release(&A, l), FK_NOT_OWNER);
    return NULL;
}

TEST(who_takes_over_holds_it_once)
{
    found();
    fk_rlock *l = new_rlock();
    member m = spawn_member(hold_twice, l);
    WAIT_UNTIL(fk_lock_owner(&l->user.lock) == m.owner && atomic_load(&l->count) == 2);
    CHECK_EQ(fk_rlock_take_over(&A, l), FK_AGAIN);
    kill_at(m.pid);
    CHECK_EQ(try_it(l), FK_OWNER_DIED);
    CHECK_EQ(fk_rlock_release(&A, l), FK_NOT_OWNER);
    CHECK_EQ(fk_rlock_take_over(&A, l), FK_OK);
    CHECK_EQ(fk_rlock_take_over(&A, l), FK_AGAIN);
    run_threads(1, may_not_release, l);
    CHECK(fk_rlock_is_mine(&A, l));
    CHECK_EQ(fk_rlock_release(&A, l), FK_OK);
    CHECK_EQ(fk_lock_owner(&l->user.lock), 0);
    bury(m);
}

static int acquire_and_release(void *l)
{
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(try_it(l), FK_OK);
        CHECK_EQ(fk_rlock_release(&A, l), FK_OK);
    }
    return 0;
}

TEST(who_dies_as_it_releases_is_a_dead_owner)
{
    found();
    fk_rlock *l = new_rlock();
    for (int skip = 0; skip < 2; skip++) {
        member dead;
        CHECK(dies_at("rlock.empty", skip, acquire_and_release, l, &dead));
        CHECK_EQ(try_it(l), FK_OWNER_DIED);
        CHECK_EQ(fk_rlock_take_over(&A, l), FK_OK);
        CHECK_EQ(fk_rlock_release(&A, l), FK_OK);
        CHECK(fk_reap(&A, dead.owner));
    }
}

TEST_MAIN
