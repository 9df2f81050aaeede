/* The condition: waiters are notified in their order, and never a dead one in place of a live. */
#include "member.h"

typedef struct room { /* in shared memory: a condition and the lock that guards it */
    fk_lock *lock;
    fk_cond *cond;
    atomic_int waiting, turn;
    int turns[256]; /* who came out when */
} room;

static room *new_room(void)
{
    room *r = shared_page(sizeof *r);
    r->lock = make(FK_KIND_LOCK, sizeof(fk_user_lock)).data;
    object o = make(FK_KIND_COND, sizeof(fk_cond));
    r->cond = o.data;
    fk_cond_init(r->cond);
    return r;
}

static void enter(room *r) { fk_lock_force(&A, r->lock); }
static void leave(room *r) { CHECK(fk_lock_release(r->lock)); }

static uint64_t notify(room *r, uint64_t n)
{
    enter(r);
    uint64_t done = fk_cond_notify(&A, r->cond, n);
    leave(r);
    return done;
}

/* Wait for a notification; whether one came. */
static bool wait_here(room *r, fk_wait w)
{
    fk_node *node;
    enter(r);
    CHECK_EQ(fk_cond_begin(&A, r->cond, &node), FK_OK);
    atomic_fetch_add(&r->waiting, 1);
    leave(r);
    fk_status st = PARKED(FK_OP_CONDITION, fk_cond_wait(node, &w));
    CHECK(st == FK_OK || st == FK_TIMEOUT);
    bool notified = fk_cond_end(node);
    enter(r);
    atomic_fetch_sub(&r->waiting, 1);
    leave(r);
    return notified;
}

TEST(nobody_is_notified_where_nobody_waits)
{
    found();
    room *r = new_room();
    CHECK_EQ(notify(r, 1), 0);
    CHECK_EQ(notify(r, UINT64_MAX), 0);
    CHECK_EQ(fk_cond_waiters(&A, r->cond), 0);
}

TEST(a_waiter_that_gives_up_is_not_notified)
{
    found();
    room *r = new_room();
    uint64_t deadline = now_ns() + FK_SLICE_NS + FK_SLICE_NS / 2;
    CHECK(!wait_here(r, (fk_wait)FK_WAIT_UNTIL(deadline)));
    CHECK(now_ns() >= deadline);
    CHECK_EQ(notify(r, 1), 0);
    fk_node *node;
    CHECK_EQ(fk_cond_begin(&A, r->cond, &node), FK_OK);
    CHECK_EQ(fk_cond_waiters(&A, r->cond), 1);
    fk_wait w = in_slices();
    CHECK_EQ(fk_cond_wait(node, &w), FK_INTR);
    CHECK_EQ(notify(r, 1), 1);
    CHECK_EQ(notify(r, 1), 0); /* told already */
    CHECK_EQ(fk_cond_wait(node, &w), FK_OK);
    CHECK(fk_cond_end(node));
    CHECK_EQ(fk_cond_waiters(&A, r->cond), 0);
}

TEST(a_notification_at_the_last_moment_counts)
{
    found();
    room *r = new_room();
    fk_node *node;
    CHECK_EQ(fk_cond_begin(&A, r->cond, &node), FK_OK);
    CHECK_EQ(notify(r, 1), 1);
    fk_wait w = FK_WAIT_UNTIL(1);
    CHECK_EQ(fk_cond_wait(node, &w), FK_OK);
    CHECK(fk_cond_end(node));
}

typedef struct guest {
    room *room;
    int number;
} guest;

static void *come_out_in_turn(void *arg)
{
    guest *g = arg;
    CHECK(wait_here(g->room, patient()));
    enter(g->room);
    g->room->turns[atomic_load(&g->room->turn)] = g->number;
    atomic_fetch_add(&g->room->turn, 1);
    leave(g->room);
    return NULL;
}

TEST(waiters_are_notified_in_the_order_they_came)
{
    enum { GUESTS = 150 }; /* more than the nodes of the condition and of one chunk */
    found();
    room *r = new_room();
    static guest guests[GUESTS];
    pthread_t t[GUESTS];
    for (int i = 0; i < GUESTS; i++) {
        guests[i] = (guest){r, i};
        CHECK(pthread_create(&t[i], NULL, come_out_in_turn, &guests[i]) == 0);
        WAIT_UNTIL(atomic_load(&r->waiting) == i + 1);
    }
    CHECK_EQ(fk_cond_waiters(&A, r->cond), GUESTS);
    for (int i = 0; i < 100; i++) {
        CHECK_EQ(notify(r, 1), 1);
        WAIT_UNTIL(atomic_load(&r->turn) == i + 1);
        CHECK_EQ(r->turns[i], i);
    }
    CHECK_EQ(notify(r, 20), 20);
    WAIT_UNTIL(atomic_load(&r->turn) == 120);
    for (int i = 100; i < 120; i++)
        CHECK(r->turns[i] >= 100 && r->turns[i] < 120);
    CHECK_EQ(notify(r, UINT64_MAX), 30);
    for (int i = 0; i < GUESTS; i++)
        CHECK(pthread_join(t[i], NULL) == 0);
    CHECK_EQ(atomic_load(&r->waiting), 0);
}

TEST(nodes_are_used_again_and_freed_with_the_condition)
{
    found();
    uint64_t used = heap_used();
    object o = make(FK_KIND_COND, sizeof(fk_cond));
    fk_cond *c = o.data;
    fk_cond_init(c);
    for (int round = 0; round < 3; round++) {
        fk_node *n[200];
        for (int i = 0; i < 200; i++)
            CHECK_EQ(fk_cond_begin(&A, c, &n[i]), FK_OK);
        uint64_t full = heap_used();
        CHECK(full > used);
        for (int i = 0; i < 200; i++)
            CHECK(!fk_cond_end(n[i]));
        CHECK_EQ(fk_cond_begin(&A, c, &n[0]), FK_OK);
        CHECK(!fk_cond_end(n[0]));
        CHECK_EQ(heap_used(), full);
    }
    fk_hold_drop(&A, o.index);
    CHECK(heap_used() <= used + 4096); /* this process's table has a chunk now */
}

static void *begin_and_end(void *arg)
{
    room *r = arg;
    for (int i = 0; i < 10000; i++) {
        fk_node *n[4]; /* without the lock, as a program in error would */
        for (int k = 0; k < 4; k++) {
            CHECK_EQ(fk_cond_begin(&A, r->cond, &n[k]), FK_OK);
            for (int j = 0; j < k; j++)
                CHECK(n[j] != n[k]);
        }
        for (int k = 0; k < 4; k++)
            CHECK(atomic_exchange(&n[k]->ticket, 7) != 7); /* nobody else has it */
        for (int k = 0; k < 4; k++)
            fk_cond_end(n[k]);
    }
    return NULL;
}

TEST(no_node_is_given_to_two)
{
    found();
    room *r = new_room();
    atomic_store(&r->cond->next_ticket, 8);
    fk_point_yields = 16;
    run_threads(4, begin_and_end, r);
    CHECK_EQ(fk_cond_waiters(&A, r->cond), 0);
}

/* ---- hand-overs ------------------------------------------------------------------------------------- */

enum { TURNS = 3000 };

static void *take_turns(void *arg)
{
    guest *g = arg;
    room *r = g->room;
    enter(r);
    while (atomic_load(&r->turn) < TURNS) {
        if (atomic_load(&r->turn) % 3 != g->number) {
            fk_node *node;
            CHECK_EQ(fk_cond_begin(&A, r->cond, &node), FK_OK);
            leave(r);
            fk_wait w = patient();
            CHECK_EQ(fk_cond_wait(node, &w), FK_OK);
            CHECK(fk_cond_end(node));
            enter(r);
            continue;
        }
        atomic_fetch_add(&r->turn, 1);
        fk_cond_notify(&A, r->cond, UINT64_MAX);
    }
    leave(r);
    return NULL;
}

static int take_turns_here(void *arg)
{
    take_turns(arg);
    return 0;
}

TEST(no_notification_is_lost)
{
    found();
    room *r = new_room();
    guest g[3] = {{r, 0}, {r, 1}, {r, 2}};
    member m[2] = {spawn_member(take_turns_here, &g[0]), spawn_member(take_turns_here, &g[1])};
    take_turns(&g[2]);
    CHECK_EQ(bury(m[0]), 0);
    CHECK_EQ(bury(m[1]), 0);
}

/* ---- death ---------------------------------------------------------------------------------------------- */

static int wait_in_slices(void *arg) { return wait_here(arg, in_slices()) ? 0 : 1; }

TEST(the_dead_are_passed_over)
{
    found();
    room *r = new_room();
    member m[4];
    for (int i = 0; i < 4; i++) {
        m[i] = spawn_member(wait_in_slices, r);
        WAIT_UNTIL(atomic_load(&r->waiting) == i + 1);
    }
    kill_at(m[0].pid); /* the longest waiting */
    kill_at(m[2].pid);
    CHECK_EQ(fk_cond_waiters(&A, r->cond), 2);
    CHECK_EQ(notify(r, 1), 1);
    CHECK_EQ(bury(m[1]), 0);
    CHECK_EQ(bury(m[0]), SIGKILL);
    member in_its_slot = spawn_member(wait_for_kill, NULL);
    CHECK_EQ(notify(r, 5), 1); /* not the dead one, whose slot is used again */
    CHECK_EQ(bury(m[3]), 0);
    CHECK_EQ(bury(m[2]), SIGKILL);
    CHECK_EQ(notify(r, UINT64_MAX), 0);
    kill_at(in_its_slot.pid);
    bury(in_its_slot);
}

static int fill(void *arg)
{
    room *r = arg;
    fk_node *node;
    for (int i = 0; i < 100; i++)
        CHECK_EQ(fk_cond_begin(&A, r->cond, &node), FK_OK);
    return 0;
}

TEST(nodes_of_the_dead_are_used_again)
{
    found();
    room *r = new_room();
    CHECK_EQ(bury(spawn_member(fill, r)), 0);
    uint64_t used = heap_used();
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(bury(spawn_member(fill, r)), 0);
        CHECK_EQ(fk_cond_waiters(&A, r->cond), 0);
        CHECK_EQ(heap_used(), used);
    }
}

TEST(who_dies_as_it_begins_is_no_waiter)
{
    found();
    room *r = new_room();
    for (int skip = 0; skip < 8; skip++) {
        member dead;
        CHECK(dies_at(skip % 2 ? "cond.found" : "cond.claimed", skip, fill, r, &dead));
        CHECK_EQ(fk_cond_waiters(&A, r->cond), 0);
        CHECK_EQ(notify(r, 1), 0);
        fk_node *node;
        CHECK_EQ(fk_cond_begin(&A, r->cond, &node), FK_OK);
        CHECK_EQ(notify(r, 1), 1);
        CHECK(fk_cond_end(node));
        CHECK(fk_reap(&A, dead.owner));
    }
}

static int drop_when_alone(void *arg)
{
    object *o = arg;
    WAIT_UNTIL(refs(o) == FK_REF_HOLD); /* the parent has dropped its own */
    fk_hold_drop(&A, o->index);
    return 0;
}

TEST(who_dies_as_it_destroys_a_condition_is_replaced)
{
    static const char *points[] = {"cond.struck", "heap.freed", "heap.pushed"};
    found();
    object keeps_a_chunk = make(FK_KIND_WORDS, 8);
    for (int i = 0; i < 3; i++)
        for (int skip = 0; skip < 3; skip++) {
            uint64_t used = heap_used();
            object o = make(FK_KIND_COND, sizeof(fk_cond));
            fk_cond_init(o.data);
            fk_node *node;
            for (int n = 0; n < 200; n++)
                CHECK_EQ(fk_cond_begin(&A, o.data, &node), FK_OK);
            doomed d = {drop_when_alone, &o, points[i], skip};
            member m = spawn_member(run_doomed, &d);
            fk_hold_drop(&A, o.index);
            CHECK_EQ(bury(m), SIGKILL);
            CHECK(heap_used() - used <= (i < 2 ? 2048 : 0)); /* the one that it had in hand */
        }
    CHECK_EQ(refs(&keeps_a_chunk), FK_REF_HOLD);
}

static int notify_here(void *arg)
{
    notify(arg, 1);
    return 0;
}

TEST(a_notification_whose_sender_died_is_found)
{
    found();
    room *r = new_room();
    member m = spawn_member(wait_in_slices, r), dead;
    WAIT_UNTIL(atomic_load(&r->waiting) == 1);
    CHECK(dies_at("cond.notified", 0, notify_here, r, &dead));
    CHECK_EQ(fk_lock_owner(r->lock), dead.owner); /* with the lock: wait_here forces it */
    CHECK_EQ(bury(m), 0);
    CHECK(fk_reap(&A, dead.owner));
}

TEST_MAIN
