/* The semaphore: permits are counted exactly, whoever dies, and no wake-up is lost. */
#include "member.h"

static object o; /* the semaphore */

static fk_sema *new_sema(uint32_t value, uint32_t max)
{
    o = make(FK_KIND_SEMA, sizeof(fk_sema));
    fk_sema_init(o.data, value, max);
    return o.data;
}

static fk_status try_it(fk_sema *s, fk_hold *hold)
{
    fk_wait w = at_once();
    return fk_sema_acquire(&A, s, hold, &w);
}

static uint32_t taken(void) { return atomic_load(&hold_of(&o)->taken); }

/* ---- one process ------------------------------------------------------------------------------------ */

TEST(permits_are_counted)
{
    found();
    fk_sema *s = new_sema(2, 3);
    CHECK_EQ(fk_sema_value(s), 2);
    CHECK_EQ(try_it(s, NULL), FK_OK);
    CHECK_EQ(try_it(s, NULL), FK_OK);
    CHECK_EQ(try_it(s, NULL), FK_AGAIN);
    CHECK_EQ(fk_sema_value(s), 0);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(fk_sema_release(&A, s, NULL), FK_OK);
    CHECK_EQ(fk_sema_release(&A, s, NULL), FK_OVERFLOW);
    CHECK_EQ(fk_sema_value(s), 3);
    CHECK_EQ(fk_lock_owner(&s->lock), 0);
}

TEST(a_hold_entry_counts_the_permits_of_its_process)
{
    found();
    fk_sema *s = new_sema(2, 2);
    CHECK_EQ(try_it(s, hold_of(&o)), FK_OK);
    CHECK_EQ(try_it(s, hold_of(&o)), FK_OK);
    CHECK_EQ(try_it(s, hold_of(&o)), FK_AGAIN);
    CHECK_EQ(taken(), 2);
    CHECK_EQ(fk_sema_release(&A, s, hold_of(&o)), FK_OK);
    CHECK_EQ(taken(), 1);
    CHECK_EQ(fk_sema_release(&A, s, NULL), FK_OK);
    CHECK_EQ(fk_sema_release(&A, s, hold_of(&o)), FK_OVERFLOW);
    CHECK_EQ(taken(), 1);
    CHECK_EQ(try_it(s, NULL), FK_OK);
    CHECK_EQ(fk_sema_release(&A, s, hold_of(&o)), FK_OK);
    CHECK_EQ(taken(), 0);
    CHECK_EQ(try_it(s, NULL), FK_OK);
    CHECK_EQ(fk_sema_release(&A, s, hold_of(&o)), FK_OK); /* more than it took: not below 0 */
    CHECK_EQ(taken(), 0);
    CHECK_EQ(atomic_load(&s->txn), 0);
}

TEST(the_ticket_never_is_none)
{
    found();
    fk_sema *s = new_sema(0, 5);
    atomic_store(&s->state, UINT64_C(0xfffffffe00000000));
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(fk_sema_release(&A, s, hold_of(&o)), FK_OK);
        CHECK(atomic_load(&s->state) >> 32 != 0);
        CHECK_EQ(fk_sema_value(s), i + 1);
    }
}

TEST(a_deadline_ends_the_wait_and_not_before)
{
    found();
    fk_sema *s = new_sema(0, 1);
    uint64_t deadline = now_ns() + FK_SLICE_NS + FK_SLICE_NS / 2;
    fk_wait w = FK_WAIT_UNTIL(deadline);
    CHECK_EQ(PARKED(FK_OP_SEMAPHORE, fk_sema_acquire(&A, s, hold_of(&o), &w)), FK_TIMEOUT);
    CHECK(now_ns() >= deadline);
    CHECK_EQ(taken(), 0);
    w = in_slices();
    CHECK_EQ(fk_sema_acquire(&A, s, NULL, &w), FK_INTR);
}

typedef struct handover {
    fk_sema *here, *there;
    int rounds;
} handover;

static void *hand_over(void *arg)
{
    handover *h = arg;
    for (int i = 0; i < h->rounds; i++) {
        fk_wait w = patient();
        CHECK_EQ(fk_sema_acquire(&A, h->here, NULL, &w), FK_OK);
        CHECK_EQ(fk_sema_release(&A, h->there, NULL), FK_OK);
    }
    return NULL;
}

TEST(no_wake_up_is_lost_between_two)
{
    found();
    handover a = {new_sema(1, 1), new_sema(0, 1), 5000}, b = {a.there, a.here, 5000};
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, hand_over, &a) == 0);
    hand_over(&b);
    CHECK(pthread_join(thread, NULL) == 0);
    CHECK_EQ(fk_sema_value(a.here), 1);
}

TEST(no_wake_up_is_lost_among_many)
{
    found();
    fk_sema *s = new_sema(2, UINT32_MAX);
    handover h = {s, s, 5000}; /* six threads, two permits: each release is another's wake-up */
    run_threads(6, hand_over, &h);
    CHECK_EQ(fk_sema_value(s), 2);
}

enum { PAIRS = 3000 };

typedef struct pairs {
    fk_sema *sema;
    atomic_int round, got;
} pairs;

static void *release_once_a_round(void *arg)
{
    pairs *p = arg;
    for (int i = 1; i <= PAIRS; i++) {
        while (atomic_load(&p->round) < i) /* awake, to be there at the same moment */
            continue;
        CHECK_EQ(fk_sema_release(&A, p->sema, NULL), FK_OK);
    }
    return NULL;
}

static void *acquire_once_a_round(void *arg)
{
    pairs *p = arg;
    for (int i = 1; i <= PAIRS; i++) {
        fk_wait w = patient();
        CHECK_EQ(fk_sema_acquire(&A, p->sema, NULL, &w), FK_OK);
        atomic_fetch_add(&p->got, 1);
        WAIT_UNTIL(atomic_load(&p->got) >= 2 * i);
    }
    return NULL;
}

/* While two sleep, two release at once: the second must not believe that nobody is left. */
TEST(two_releases_at_once_wake_two)
{
    found();
    pairs p = {.sema = new_sema(0, 2)};
    pthread_t t[3];
    for (int i = 0; i < 3; i++)
        CHECK(pthread_create(&t[i], NULL, i ? acquire_once_a_round : release_once_a_round, &p) ==
              0);
    for (int i = 1; i <= PAIRS; i++) {
        WAIT_UNTIL(atomic_load(&p.got) == 2 * (i - 1) && (atomic_load(&p.sema->ec.word) & 1));
        atomic_store(&p.round, i);
        CHECK_EQ(fk_sema_release(&A, p.sema, NULL), FK_OK);
    }
    for (int i = 0; i < 3; i++)
        CHECK(pthread_join(t[i], NULL) == 0);
    CHECK_EQ(fk_sema_value(p.sema), 0);
}

/* ---- many processes ------------------------------------------------------------------------------------- */

typedef struct inside {
    fk_sema *sema;
    atomic_int now, most;
} inside;

static int go_in_and_out(void *arg)
{
    inside *in = arg;
    for (int i = 0; i < 3000; i++) {
        fk_wait w = patient();
        CHECK_EQ(fk_sema_acquire(&A, in->sema, hold_of(&o), &w), FK_OK);
        CHECK(atomic_fetch_add(&in->now, 1) < 2);
        atomic_fetch_sub(&in->now, 1);
        CHECK_EQ(fk_sema_release(&A, in->sema, hold_of(&o)), FK_OK);
    }
    return 0;
}

static int go_in_and_out_as_nobody(void *arg)
{
    inside *in = arg;
    for (int i = 0; i < 3000; i++) {
        fk_wait w = patient();
        CHECK_EQ(fk_sema_acquire(&A, in->sema, NULL, &w), FK_OK);
        CHECK(atomic_fetch_add(&in->now, 1) < 2);
        atomic_fetch_sub(&in->now, 1);
        CHECK_EQ(fk_sema_release(&A, in->sema, NULL), FK_OK);
    }
    return 0;
}

TEST(those_with_an_entry_and_those_without_count_as_one)
{
    found();
    inside *in = shared_page(4096);
    in->sema = new_sema(2, 2);
    member m[4];
    for (int i = 0; i < 4; i++)
        m[i] = spawn_member(i % 2 ? go_in_and_out : go_in_and_out_as_nobody, in);
    for (int i = 0; i < 4; i++)
        CHECK_EQ(bury(m[i]), 0);
    CHECK_EQ(fk_sema_value(in->sema), 2);
    CHECK_EQ(fk_sema_release(&A, in->sema, NULL), FK_OVERFLOW);
    CHECK_EQ(fk_sema_release(&A, in->sema, hold_of(&o)), FK_OVERFLOW);
    CHECK_EQ(atomic_load(&in->sema->txn), 0);
}

/* Two with entries die at each step, while two without go on: none of them is inside for good. */
static int go_on(void *arg)
{
    inside *in = arg;
    while (!atomic_load(&in->most)) {
        if (try_it(in->sema, NULL) == FK_OK)
            CHECK_EQ(fk_sema_release(&A, in->sema, NULL), FK_OK);
    }
    return 0;
}

static int go_in_until_dead(void *arg)
{
    for (int i = 0; i < 1000000; i++)
        if (try_it(arg, hold_of(&o)) == FK_OK)
            CHECK_EQ(fk_sema_release(&A, arg, hold_of(&o)), FK_OK);
    return 0;
}

TEST(permits_are_exact_wherever_one_dies_beside_those_without_an_entry)
{
    static const char *points[] = {"sema.claimed", "sema.committed", "sema.settled",
                                   "lock.released"};
    found();
    inside *in = shared_page(4096);
    in->sema = new_sema(3, 3);
    member others[2];
    for (int i = 0; i < 2; i++)
        others[i] = spawn_member(go_on, in);
    for (int i = 0; i < 4; i++)
        for (int skip = 0; skip < 40; skip++) {
            member dead;
            CHECK(dies_at(points[i], skip, go_in_until_dead, in->sema, &dead));
            CHECK(fk_reap(&A, dead.owner));
        }
    atomic_store(&in->most, 1);
    for (int i = 0; i < 2; i++)
        CHECK_EQ(bury(others[i]), 0);
    CHECK_EQ(fk_sema_value(in->sema), 3);
    CHECK_EQ(atomic_load(&in->sema->txn), 0);
}

TEST(no_more_are_inside_than_permits)
{
    found();
    inside *in = shared_page(4096);
    in->sema = new_sema(2, 2);
    member m[4];
    for (int i = 0; i < 4; i++)
        m[i] = spawn_member(go_in_and_out, in);
    for (int i = 0; i < 4; i++)
        CHECK_EQ(bury(m[i]), 0);
    CHECK_EQ(fk_sema_value(in->sema), 2);
    CHECK_EQ(atomic_load(&in->sema->returned), 0);
}

static int take_all(void *arg)
{
    while (try_it(arg, hold_of(&o)) == FK_OK)
        continue;
    return wait_for_kill(NULL);
}

static int acquire_in_slices(void *arg)
{
    fk_wait w = in_slices();
    return (int)PARKED(FK_OP_SEMAPHORE, fk_sema_acquire(&A, arg, hold_of(&o), &w));
}

TEST(sleepers_get_the_permits_of_the_dead)
{
    found();
    fk_sema *s = new_sema(3, 3);
    member owner = spawn_member(take_all, s), m[3];
    WAIT_UNTIL(fk_sema_value(s) == 0);
    for (int i = 0; i < 3; i++) {
        m[i] = spawn_member(acquire_in_slices, s);
        WAIT_UNTIL(is_parked(m[i].owner, FK_OP_SEMAPHORE));
    }
    kill_at(owner.pid); /* the sleepers find it dead themselves */
    for (int i = 0; i < 3; i++)
        CHECK_EQ(reap(m[i].pid), 0);
    reap(owner.pid);
    reap_everybody();
    CHECK_EQ(fk_sema_value(s), 3);
    CHECK_EQ(atomic_load(&s->returned), 6);
}

static int take_without_entry(void *arg) { return (int)try_it(arg, NULL); }

TEST(a_permit_that_is_a_signal_does_not_return)
{
    found();
    fk_sema *s = new_sema(1, 1);
    CHECK_EQ(bury(spawn_member(take_without_entry, s)), 0);
    CHECK_EQ(fk_sema_value(s), 0);
    CHECK_EQ(atomic_load(&s->returned), 0);
}

TEST(no_more_return_than_there_is_room_for)
{
    found();
    fk_sema *s = new_sema(2, 2);
    member m = spawn_member(take_all, s);
    WAIT_UNTIL(fk_sema_value(s) == 0);
    CHECK_EQ(fk_sema_release(&A, s, NULL), FK_OK); /* on behalf of the other */
    kill_at(m.pid);
    bury(m);
    CHECK_EQ(fk_sema_value(s), 2);
    CHECK_EQ(atomic_load(&s->returned), 1);
}

/* ---- death at each step ------------------------------------------------------------------------------------ */

static int acquire_and_release(void *arg)
{
    for (int i = 0; i < 4; i++) {
        CHECK_EQ(try_it(arg, hold_of(&o)), FK_OK);
        CHECK_EQ(try_it(arg, hold_of(&o)), FK_OK);
        CHECK_EQ(fk_sema_release(&A, arg, hold_of(&o)), FK_OK);
        CHECK_EQ(fk_sema_release(&A, arg, hold_of(&o)), FK_OK);
    }
    return 0;
}

TEST(permits_are_exact_wherever_a_process_dies)
{
    static const char *points[] = {"sema.claimed", "sema.committed", "sema.settled",
                                   "lock.released"};
    found();
    fk_sema *s = new_sema(3, 3);
    for (size_t i = 0; i < sizeof points / sizeof *points; i++)
        for (int skip = 0; skip < 8; skip++)
            for (int reaped_first = 0; reaped_first < 2; reaped_first++) {
                member dead;
                CHECK(dies_at(points[i], skip + (i == 3) * 4, acquire_and_release, s, &dead));
                if (reaped_first)
                    CHECK(fk_reap(&A, dead.owner));
                /* A survivor goes on, and settles; then the rest is given back. */
                CHECK_EQ(try_it(s, hold_of(&o)), FK_OK);
                CHECK_EQ(fk_sema_release(&A, s, hold_of(&o)), FK_OK);
                CHECK(fk_reap(&A, dead.owner));
                CHECK_EQ(fk_sema_value(s), 3);
                CHECK_EQ(taken(), 0);
                CHECK_EQ(atomic_load(&s->txn), 0);
            }
}

static int stay_inside(void *arg)
{
    CHECK_EQ(fk_lock_force(&A, &((fk_sema *)arg)->lock), FK_OK);
    return wait_for_kill(NULL);
}

TEST(a_try_can_be_interrupted_where_a_process_is_stopped_inside)
{
    found();
    fk_sema *s = new_sema(1, 1);
    member m = spawn_member(stay_inside, s);
    WAIT_UNTIL(fk_lock_owner(&s->lock) == m.owner);
    CHECK_EQ(try_it(s, hold_of(&o)), FK_INTR);
    CHECK_EQ(try_it(s, NULL), FK_OK); /* what goes into no entry needs no lock */
    CHECK_EQ(fk_sema_release(&A, s, NULL), FK_OK);
    kill_at(m.pid);
    CHECK_EQ(try_it(s, hold_of(&o)), FK_OK);
    bury(m);
}

static int release_when_slept_on(void *arg)
{
    fk_sema *s = arg;
    WAIT_UNTIL(atomic_load(&s->ec.word) & 1);
    CHECK_EQ(fk_sema_release(&A, s, NULL), FK_OK);
    return 0;
}

TEST(a_wake_up_that_died_with_its_sender_is_made_up_for)
{
    found();
    fk_sema *s = new_sema(0, 1);
    doomed d = {release_when_slept_on, s, "ec.told", 0};
    member dead = spawn_member(run_doomed, &d);
    fk_wait w = in_slices();
    CHECK_EQ(PARKED(FK_OP_SEMAPHORE, fk_sema_acquire(&A, s, NULL, &w)), FK_OK);
    CHECK_EQ(bury(dead), SIGKILL);
}

TEST_MAIN
