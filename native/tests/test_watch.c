/* The watch: one of those that sleep for long keeps its slices short, whoever comes and goes. */
#include "watch.h"

#include "member.h"

typedef struct sleeper {
    _Atomic uint32_t watches, slices, leave;
} sleeper;

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
        atomic_store(&s->watches, w.watches);
        atomic_fetch_add(&s->slices, 1);
    }
    fk_board_leave(&A);
    fk_watch_end(&A, &w);
    atomic_store(&s->watches, 0);
    return 0;
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
    for (int i = 0; i < 3; i++)
        m[i] = spawn_member(sleep_for_a_permit, &sleepers[i]);
    for (int left = 3; left > 1; left--) {
        int who = -1;
        WAIT_UNTIL(watchman() != 0);
        for (int i = 0; i < 3; i++)
            if (m[i].owner == watchman())
                who = i;
        CHECK(who >= 0);
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
