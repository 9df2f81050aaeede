/* The watch: one of those that sleep for long keeps its slices short, whoever comes and goes. */
#include "watch.h"

#include "member.h"

typedef struct sleeper {
    _Atomic uint32_t watches, slices, leave, woken;
    uint64_t
        grown_ns; /* how long each slice is after the first, unless it watches; 0: as they grow */
} sleeper;

#define MINUTES UINT64_C(3600000000000) /* nothing but a wake-up ends such a slice */

static object sema;
static sleeper *sleepers; /* shared */

static void make_sleepers(void)
{
    found();
    sema = make(FK_KIND_SEMA, sizeof(fk_sema));
    fk_sema_init(sema.data, 0, 100);
    sleepers = make(FK_KIND_RAW, 8 * sizeof *sleepers).data;
}

/* As the product waits, and tells what it does after each slice. */
static int sleep_for_a_permit(void *arg)
{
    sleeper *s = arg;
    fk_wait w = {.deadline_ns = FK_NEVER, .slice_ns = FK_SLICE_NS, .grows = true};
    fk_watch_offer(&A, &w);
    w.nap = fk_board_enter(&A, FK_OP_SEMAPHORE, sema.off, FK_NEVER, __FILE__, __LINE__);
    while (!atomic_load(&s->leave) && fk_sema_acquire(&A, sema.data, NULL, &w) == FK_INTR) {
        fk_watch_look(&A);
        CHECK(w.slice_ns == FK_SLICE_NS || !w.watches);
        if (s->grown_ns && !w.watches)
            w.slice_ns = s->grown_ns;
        atomic_store(&s->watches, w.watches);
        atomic_fetch_add(&s->slices, 1);
    }
    fk_board_leave(&A);
    fk_watch_end(&A, &w);
    atomic_store(&s->watches, 0);
    return 0;
}

/* Sleeps in its long slice when it is woken, and then is no more than there: it has not yet looked
 * whether it may watch. */
static int be_woken(void *arg)
{
    sleeper *s = arg;
    fk_ec *ec = &((fk_sema *)sema.data)->ec;
    fk_wait w = {.deadline_ns = FK_NEVER, .slice_ns = MINUTES};
    w.nap = fk_board_enter(&A, FK_OP_SEMAPHORE, sema.off, FK_NEVER, __FILE__, __LINE__);
    atomic_store(&s->slices, 1);
    CHECK_EQ(fk_futex_wait(&ec->word, fk_ec_prepare(ec), &w), FK_OK);
    atomic_store(&s->woken, 1);
    return wait_for_kill(NULL);
}

/* Whether it sleeps in a slice that is not its first, since so long that it is handed the watch. */
static bool sleeps_for_long(member m, sleeper *s)
{
    fk_seen seen;
    if (!atomic_load(&s->slices))
        return false;
    for (uint32_t i = 0; i < atomic_load(&fk_head(&A)->board_high); i++)
        if (fk_board_see(&A, i, &seen) && seen.owner == m.owner)
            return seen.asleep && now_ns() > seen.since_ns + 2 * FK_SLICE_NS;
    return false;
}

static fk_owner watchman(void) { return (fk_owner)(atomic_load(&fk_head(&A)->watch) >> 32); }

TEST(exactly_one_of_many_takes_it)
{
    make_sleepers();
    member m[4];
    for (int i = 0; i < 4; i++)
        m[i] = spawn_member(sleep_for_a_permit, &sleepers[i]);
    int watching = 0;
    for (int i = 0; i < 4; i++)
        WAIT_UNTIL(atomic_load(&sleepers[i].slices) >= 3);
    for (int i = 0; i < 4; i++) {
        watching += atomic_load(&sleepers[i].watches) != 0;
        CHECK(!atomic_load(&sleepers[i].watches) || watchman() == m[i].owner);
    }
    CHECK_EQ(watching, 1);
    for (int i = 0; i < 4; i++)
        kill_at(m[i].pid);
    for (int i = 0; i < 4; i++)
        bury(m[i]);
}

TEST(who_waits_no_more_hands_it_on)
{
    make_sleepers();
    member m[3];
    for (int i = 0; i < 3; i++) {
        sleepers[i].grown_ns = MINUTES;
        m[i] = spawn_member(sleep_for_a_permit, &sleepers[i]);
    }
    for (int left = 3; left > 1; left--) {
        int who = -1;
        WAIT_UNTIL(watchman() != 0);
        for (int i = 0; i < 3; i++)
            if (m[i].owner == watchman())
                who = i;
        CHECK(who >= 0);
        for (int i = 0; i < 3; i++)
            if (i != who && !atomic_load(&sleepers[i].leave))
                WAIT_UNTIL(sleeps_for_long(m[i], &sleepers[i]));
        fk_owner before = m[who].owner;
        atomic_store(&sleepers[who].leave, 1);
        CHECK_EQ(bury(m[who]), 0);
        CHECK(watchman() != before);
    }
    WAIT_UNTIL(watchman() != 0);
    for (int i = 0; i < 3; i++)
        if (m[i].owner == watchman()) {
            kill_at(m[i].pid);
            bury(m[i]);
        }
}

/* The wake-up is spent on it; then it is the next whose slice is over that takes the watch. */
TEST(one_that_is_killed_before_it_takes_what_it_was_handed_is_stood_in_for)
{
    make_sleepers();
    member first = spawn_member(sleep_for_a_permit, &sleepers[0]);
    WAIT_UNTIL(watchman() == first.owner);
    member second = spawn_member(be_woken, &sleepers[1]); /* before the third: who slept first... */
    WAIT_UNTIL(sleeps_for_long(second, &sleepers[1]));
    member third = spawn_member(sleep_for_a_permit, &sleepers[2]);
    WAIT_UNTIL(sleeps_for_long(third, &sleepers[2]));
    atomic_store(&sleepers[0].leave, 1);
    CHECK_EQ(bury(first), 0);
    WAIT_UNTIL(atomic_load(&sleepers[1].woken)); /* ... is woken first */
    CHECK(watchman() != second.owner);
    kill_at(second.pid);
    WAIT_UNTIL(watchman() == third.owner);
    CHECK_EQ(reap(second.pid) & 0x7f, SIGKILL);
    kill_at(third.pid);
    bury(third);
}

TEST(the_watch_of_a_killed_one_is_taken)
{
    make_sleepers();
    member first = spawn_member(sleep_for_a_permit, &sleepers[0]);
    WAIT_UNTIL(watchman() == first.owner);
    member second = spawn_member(sleep_for_a_permit, &sleepers[1]);
    WAIT_UNTIL(atomic_load(&sleepers[1].slices) >= 2);
    CHECK_EQ(watchman(), first.owner);
    kill_at(first.pid);
    WAIT_UNTIL(watchman() == second.owner);
    CHECK_EQ(reap(first.pid) & 0x7f, SIGKILL);
    kill_at(second.pid);
    bury(second);
}

static int hold_a_permit(void *unused)
{
    (void)unused;
    fk_wait w = in_slices();
    CHECK_EQ(fk_sema_acquire(&A, sema.data, hold_of(&sema), &w), FK_OK);
    return wait_for_kill(NULL);
}

TEST(the_watchman_gives_back_what_the_dead_held)
{
    make_sleepers();
    CHECK_EQ(fk_sema_release(&A, sema.data, NULL), FK_OK);
    member holder = spawn_member(hold_a_permit, NULL);
    WAIT_UNTIL(fk_sema_value(sema.data) == 0);
    member m = spawn_member(sleep_for_a_permit, &sleepers[0]);
    WAIT_UNTIL(watchman() == m.owner);
    kill_at(holder.pid);
    CHECK_EQ(bury(m), 0); /* it has got the permit */
    CHECK_EQ(watchman(), 0);
    CHECK_EQ(reap(holder.pid) & 0x7f, SIGKILL);
}

TEST(a_family_of_one_has_none)
{
    found();
    fk_wait w = in_slices();
    fk_watch_offer(&A, &w);
    CHECK(!w.watch);
}

TEST_MAIN
