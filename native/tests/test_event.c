/* The event: set, cleared, waited for; nobody sleeps through a set. */
#include "member.h"

static fk_event *new_event(void) { return make(FK_KIND_EVENT, sizeof(fk_event)).data; }

static bool is_slept_on(fk_event *e) { return atomic_load(&e->word) & 2; }

static fk_status look(fk_event *e, uint32_t *epoch)
{
    fk_wait w = at_once();
    return fk_event_wait(e, epoch, &w);
}

TEST(an_event_is_set_until_it_is_cleared)
{
    found();
    fk_event *e = new_event();
    uint32_t epoch = 0;
    CHECK(!fk_event_is_set(e));
    CHECK_EQ(look(e, &epoch), FK_AGAIN);
    fk_event_set(e);
    fk_event_set(e);
    CHECK(fk_event_is_set(e));
    CHECK_EQ(look(e, &epoch), FK_OK);
    fk_event_clear(e);
    CHECK(!fk_event_is_set(e));
    epoch = 0;
    CHECK_EQ(look(e, &epoch), FK_AGAIN);
    fk_event_clear(e);
    CHECK_EQ(look(e, &epoch), FK_AGAIN);
}

TEST(who_began_to_wait_before_a_set_sees_it_after_a_clear)
{
    found();
    fk_event *e = new_event();
    uint32_t epoch = 0, late = 0;
    CHECK_EQ(look(e, &epoch), FK_AGAIN);
    fk_event_set(e);
    fk_event_clear(e);
    CHECK_EQ(look(e, &late), FK_AGAIN);
    CHECK_EQ(look(e, &epoch), FK_OK);
}

TEST(epochs_go_round)
{
    found();
    fk_event *e = new_event();
    atomic_store(&e->word, UINT32_MAX & ~3u); /* the last epoch */
    uint32_t epoch = 0;
    CHECK_EQ(look(e, &epoch), FK_AGAIN);
    CHECK(epoch != 0);
    fk_event_set(e);
    CHECK_EQ(atomic_load(&e->word), 1);
    fk_event_clear(e);
    CHECK_EQ(look(e, &epoch), FK_OK);
    epoch = 0;
    CHECK_EQ(look(e, &epoch), FK_AGAIN);
    CHECK(epoch != 0);
}

TEST(a_deadline_ends_the_wait_and_not_before)
{
    found();
    fk_event *e = new_event();
    uint32_t epoch = 0;
    uint64_t deadline = now_ns() + FK_SLICE_NS + FK_SLICE_NS / 2;
    fk_wait w = FK_WAIT_UNTIL(deadline);
    CHECK_EQ(PARKED(FK_OP_EVENT, fk_event_wait(e, &epoch, &w)), FK_TIMEOUT);
    CHECK(now_ns() >= deadline);
    w = in_slices();
    CHECK_EQ(fk_event_wait(e, &epoch, &w), FK_INTR);
}

static int wait_patiently(void *e)
{
    uint32_t epoch = 0;
    fk_wait w = patient();
    return (int)fk_event_wait(e, &epoch, &w);
}

static void *wait_in_thread(void *e)
{
    CHECK_EQ(wait_patiently(e), FK_OK);
    return NULL;
}

static int wait_in_threads(void *e)
{
    run_threads(3, wait_in_thread, e);
    return 0;
}

TEST(a_set_wakes_everybody)
{
    found();
    fk_event *e = new_event();
    member m[3];
    for (int i = 0; i < 3; i++)
        m[i] = spawn_member(wait_in_threads, e);
    WAIT_UNTIL(is_slept_on(e));
    fk_event_set(e);
    CHECK(!is_slept_on(e));
    for (int i = 0; i < 3; i++)
        CHECK_EQ(bury(m[i]), 0);
}

typedef struct pair {
    fk_event *here, *there;
} pair;

static void *play(void *arg)
{
    pair *p = arg;
    for (int i = 0; i < 5000; i++) {
        uint32_t epoch = 0;
        fk_wait w = patient();
        CHECK_EQ(fk_event_wait(p->here, &epoch, &w), FK_OK);
        fk_event_clear(p->here);
        fk_event_set(p->there);
    }
    return NULL;
}

TEST(no_set_is_slept_through)
{
    found();
    for (int spins = 0; spins < 2; spins++) {
        fk_spins = spins * 100;
        pair a = {new_event(), new_event()}, b = {a.there, a.here};
        fk_event_set(a.here);
        pthread_t thread;
        CHECK(pthread_create(&thread, NULL, play, &a) == 0);
        play(&b);
        CHECK(pthread_join(thread, NULL) == 0);
        CHECK(fk_event_is_set(a.here) && !fk_event_is_set(b.here));
    }
}

TEST(who_has_slept_for_a_slice_spins_no_more)
{
    found();
    fk_spins = 100;
    fk_event *e = new_event();
    uint32_t epoch = 0;
    fk_wait w = {.deadline_ns = FK_NEVER, .slice_ns = 1000000};
    CHECK_EQ(fk_spin_of(&w, FK_BRIEFLY).keeps, 100);
    CHECK_EQ(fk_event_wait(e, &epoch, &w), FK_INTR);
    CHECK_EQ(fk_spin_of(&w, FK_BRIEFLY).keeps, 0);
    CHECK_EQ(fk_spin_of(&w, FK_BRIEFLY).most_ns, 0);
    fk_event_set(e);
    CHECK_EQ(fk_event_wait(e, &epoch, &w), FK_OK);
    fk_wait now = at_once();
    CHECK_EQ(fk_spin_of(&now, FK_BRIEFLY).keeps, 0);
    CHECK_EQ(fk_spin_of(&now, FK_BRIEFLY).most_ns, 0);
}

/* For how long a new wait offers the CPU. */
static uint64_t patience(uint64_t most_ns, uint64_t deadline)
{
    fk_wait w = FK_WAIT_UNTIL(deadline);
    fk_spin s = fk_spin_of(&w, most_ns);
    uint64_t before;
    do {
        before = fk_now_ns();
        CHECK(fk_spin_on(&s));
    } while (s.until_ns == 0);
    uint64_t until = s.until_ns;
    while (fk_spin_on(&s))
        continue;
    CHECK(!fk_spin_on(&s));
    uint64_t now = fk_now_ns();
    CHECK(now >= until);
    return until > before ? until - before : 0;
}

TEST(vain_waits_make_impatient_and_one_that_pays_patient_again)
{
    fk_spins = 3;
    for (int i = 0; i < 8; i++)
        CHECK(patience(FK_PATIENTLY, FK_NEVER) >= FK_PATIENTLY);
    int patient = 0;
    for (int i = 0; i < 64; i++) {
        fk_wait w = FK_WAIT_UNTIL(FK_NEVER);
        fk_spin s = fk_spin_of(&w, FK_PATIENTLY);
        while (s.until_ns == 0)
            CHECK(fk_spin_on(&s));
        uint64_t left = s.until_ns - fk_now_ns(); /* huge if it is over */
        patient += left > FK_BRIEFLY && left <= FK_PATIENTLY;
    }
    CHECK(patient <= 2);
    fk_wait w = FK_WAIT_UNTIL(FK_NEVER);
    fk_spin s = fk_spin_of(&w, FK_PATIENTLY);
    while (s.until_ns == 0)
        CHECK(fk_spin_on(&s));
    fk_spin_paid(&s);
    CHECK(patience(FK_PATIENTLY, FK_NEVER) >= FK_PATIENTLY);
    CHECK(patience(FK_BRIEFLY, FK_NEVER) >= FK_BRIEFLY);
}

TEST(a_busy_wait_ends_at_the_deadline)
{
    fk_spins = 3;
    fk_spin_paid(&(fk_spin){.most_ns = FK_PATIENTLY, .until_ns = 1}); /* be patient */
    CHECK_EQ(patience(FK_PATIENTLY, 1), 0);
    fk_wait w = FK_WAIT_UNTIL(fk_now_ns() + 1000);
    fk_spin s = fk_spin_of(&w, FK_PATIENTLY);
    while (fk_spin_on(&s))
        CHECK(s.until_ns <= w.deadline_ns);
}

typedef struct pulse {
    fk_event *event;
    atomic_int waiting, seen, rounds;
} pulse;

static void *see_pulses(void *arg)
{
    pulse *p = arg;
    for (int i = 0; i < 1000; i++) {
        uint32_t epoch = 0;
        fk_wait now = at_once(), w = patient();
        CHECK_EQ(fk_event_wait(p->event, &epoch, &now), FK_AGAIN);
        atomic_fetch_add(&p->waiting, 1);
        CHECK_EQ(fk_event_wait(p->event, &epoch, &w), FK_OK);
        atomic_fetch_add(&p->seen, 1);
        WAIT_UNTIL(atomic_load(&p->rounds) > i);
    }
    return NULL;
}

TEST(a_set_that_is_cleared_at_once_reaches_all_who_waited)
{
    found();
    pulse p = {.event = new_event()};
    pthread_t t[3];
    for (int i = 0; i < 3; i++)
        CHECK(pthread_create(&t[i], NULL, see_pulses, &p) == 0);
    for (int i = 1; i <= 1000; i++) {
        WAIT_UNTIL(atomic_load(&p.waiting) == 3 * i);
        fk_event_set(p.event);
        fk_event_clear(p.event);
        WAIT_UNTIL(atomic_load(&p.seen) == 3 * i);
        atomic_store(&p.rounds, i);
    }
    for (int i = 0; i < 3; i++)
        CHECK(pthread_join(t[i], NULL) == 0);
}

static int wait_in_slices(void *e)
{
    uint32_t epoch = 0;
    fk_wait w = in_slices();
    return (int)PARKED(FK_OP_EVENT, fk_event_wait(e, &epoch, &w));
}

static int set_it(void *e)
{
    fk_event_set(e);
    return 0;
}

TEST(a_set_whose_setter_died_before_it_woke_anybody_is_found)
{
    found();
    fk_event *e = new_event();
    member m = spawn_member(wait_in_slices, e), dead;
    WAIT_UNTIL(is_slept_on(e));
    CHECK(dies_at("event.set", 0, set_it, e, &dead));
    CHECK_EQ(bury(m), 0);
    CHECK(fk_event_is_set(e));
    CHECK(fk_reap(&A, dead.owner));
}

TEST(dead_sleepers_are_in_nobodys_way)
{
    found();
    fk_event *e = new_event();
    member m = spawn_member(wait_in_slices, e), dead = spawn_member(wait_in_slices, e);
    WAIT_UNTIL(is_parked(m.owner, FK_OP_EVENT) && is_parked(dead.owner, FK_OP_EVENT));
    kill_at(dead.pid);
    fk_event_set(e);
    CHECK_EQ(bury(m), 0);
    CHECK_EQ(bury(dead), SIGKILL);
}

TEST_MAIN
