/* A standstill is found when it is one, and never while anything could end it. */
#include "member.h"
#include "standstill.h"

/* ---- what each noun says ------------------------------------------------------------------------------- */

static bool blocks(uint32_t op, uint64_t object)
{
    fk_seen s = {.op = op, .object = object};
    return fk_still_blocks(&A, &s);
}

TEST(a_lock_blocks_while_a_living_process_holds_it)
{
    found();
    object o = make(FK_KIND_LOCK, sizeof(fk_user_lock));
    fk_lock *l = &((fk_user_lock *)o.data)->lock;
    CHECK(!blocks(FK_OP_LOCK, o.off));
    CHECK(fk_lock_try(&A, l) == FK_OK);
    CHECK(blocks(FK_OP_LOCK, o.off));
    CHECK(!blocks(FK_OP_RLOCK, o.off)); /* of another kind */
    fk_lock_release(l);
    CHECK(!blocks(FK_OP_LOCK, o.off));
}

static int take_and_stay(void *lock)
{
    fk_wait w = FK_WAIT_UNTIL(FK_NEVER);
    CHECK(fk_rlock_acquire(&A, lock, &w) == FK_OK);
    return wait_for_kill(NULL);
}

TEST(a_dead_owners_lock_does_not_block)
{
    found();
    object o = make(FK_KIND_RLOCK, sizeof(fk_rlock));
    fk_rlock *l = o.data;
    member m = spawn_member(take_and_stay, l);
    WAIT_UNTIL(fk_lock_owner(&l->user.lock) == m.owner);
    CHECK(blocks(FK_OP_RLOCK, o.off));
    kill_at(m.pid);
    CHECK(!blocks(FK_OP_RLOCK, o.off));
    bury(m);
}

TEST(a_semaphore_blocks_without_permits_and_an_event_while_it_is_not_set)
{
    found();
    object s = make(FK_KIND_SEMA, sizeof(fk_sema)), e = make(FK_KIND_EVENT, sizeof(fk_event));
    memset(e.data, 0, sizeof(fk_event));
    fk_sema_init(s.data, 0, 1);
    CHECK(blocks(FK_OP_SEMAPHORE, s.off));
    CHECK(fk_sema_release(&A, s.data, NULL) == FK_OK);
    CHECK(!blocks(FK_OP_SEMAPHORE, s.off));
    CHECK(blocks(FK_OP_EVENT, e.off));
    fk_event_set(e.data);
    CHECK(!blocks(FK_OP_EVENT, e.off));
}

static fk_status put(fk_queue *q)
{
    fk_wait w = {.deadline_ns = 0};
    fk_put p = {.data = "x", .data_size = 1};
    return fk_queue_put(&A, q, &p, NULL, &w);
}

TEST(a_queue_blocks_getters_when_empty_putters_when_full_and_joiners_of_unfinished_items)
{
    found();
    object o = make(FK_KIND_QUEUE, sizeof(fk_queue));
    CHECK(fk_queue_init(&A, o.data, 1, true) == FK_OK);
    CHECK(blocks(FK_OP_QUEUE_GET, o.off) && blocks(FK_OP_TASK, o.off));
    CHECK(!blocks(FK_OP_QUEUE_PUT, o.off) && !blocks(FK_OP_QUEUE_JOIN, o.off));
    CHECK(put(o.data) == FK_OK);
    CHECK(!blocks(FK_OP_QUEUE_GET, o.off) && !blocks(FK_OP_RESULTS, o.off));
    CHECK(blocks(FK_OP_QUEUE_PUT, o.off) && blocks(FK_OP_QUEUE_JOIN, o.off));
    fk_queue_shutdown(&A, o.data, true);
    CHECK(!blocks(FK_OP_QUEUE_GET, o.off) && !blocks(FK_OP_QUEUE_PUT, o.off));
    CHECK(!blocks(FK_OP_QUEUE_JOIN, o.off));
}

TEST(what_is_no_object_does_not_block)
{
    found();
    object o = make(FK_KIND_EVENT, sizeof(fk_event));
    memset(o.data, 0, sizeof(fk_event));
    CHECK(blocks(FK_OP_EVENT, o.off));
    fk_hold_drop(&A, o.index);
    CHECK(!blocks(FK_OP_EVENT, o.off)); /* gone */
    CHECK(!blocks(FK_OP_EVENT, 0) && !blocks(FK_OP_EVENT, UINT64_MAX - 7));
    CHECK(!blocks(FK_OP_EVENT, A.reserve) && !blocks(FK_OP_EVENT, A.reserve - 64));
    CHECK(!blocks(FK_OPS, o.off) && !blocks(FK_OP_NONE, o.off));
}

TEST(who_was_woken_does_not_block_though_the_noun_says_so)
{
    found();
    object o = make(FK_KIND_EVENT, sizeof(fk_event));
    fk_event *e = o.data;
    memset(e, 0, sizeof *e);
    uint32_t asleep_on = atomic_fetch_or(&e->word, 2) | 2; /* as its sleepers leave it */
    fk_seen s = {.op = FK_OP_EVENT,
                 .object = o.off,
                 .asleep = true,
                 .word = o.off + FK_BLOCK_HEAD,
                 .expected = asleep_on};
    CHECK(fk_still_blocks(&A, &s));
    fk_event_set(e);
    fk_event_clear(e);
    CHECK(!fk_event_is_set(e));
    CHECK(!fk_still_blocks(&A, &s));
    s.word = 3; /* nowhere */
    CHECK(!fk_still_blocks(&A, &s));
}

TEST(a_dead_process_is_no_longer_waited_for)
{
    found();
    member m = spawn_member(wait_for_kill, NULL);
    CHECK(blocks(FK_OP_PROCESS, m.owner) && blocks(FK_OP_PROCESS, 0));
    kill_at(m.pid);
    CHECK(!blocks(FK_OP_PROCESS, m.owner));
    bury(m);
}

/* ---- the family ------------------------------------------------------------------------------------------- */

typedef struct how {
    fk_event *event;
    uint64_t off, deadline_ns;
    bool noisy;
} how;

/* Wait as the bindings do. */
static int wait_for_event(void *arg)
{
    how *h = arg;
    fk_wait w = FK_WAIT_UNTIL(h->deadline_ns);
    w.grows = true;
    w.nap = fk_board_enter(&A, FK_OP_EVENT, h->off, h->deadline_ns, NULL, 0);
    fk_board_tell_quiet(&A, !h->noisy);
    uint32_t epoch = 0;
    while (fk_event_wait(h->event, &epoch, &w) == FK_INTR) {
    }
    fk_board_leave(&A);
    return 0;
}

static how new_event(void)
{
    object o = make(FK_KIND_EVENT, sizeof(fk_event));
    memset(o.data, 0, sizeof(fk_event));
    return (how){.event = o.data, .off = o.off, .deadline_ns = FK_NEVER};
}

/* The calling thread waits on the board, too, since long ago. */
static void wait_myself(const how *h)
{
    fk_board_enter(&A, FK_OP_EVENT, h->off, FK_NEVER, NULL, 0);
    fk_board_tell_quiet(&A, true);
}

static uint64_t board_age(fk_owner owner)
{
    fk_seen s;
    for (uint32_t i = 0; i < atomic_load(&fk_head(&A)->board_high); i++)
        if (fk_board_see(&A, i, &s) && s.owner == owner)
            return now_ns() - s.since_ns;
    return 0;
}

static bool has_waited(fk_owner owner) { return board_age(owner) > FK_STILL_AFTER_NS; }

TEST(a_family_of_sleepers_stands_still_until_one_is_woken)
{
    found();
    how h = new_event();
    wait_myself(&h);
    member m = spawn_member(wait_for_event, &h);
    CHECK(!fk_still_family(&A)); /* too young, if it is there at all */
    WAIT_UNTIL(has_waited(m.owner) && fk_still_family(&A));
    fk_event_set(h.event);
    CHECK(!fk_still_family(&A));
    CHECK_EQ(bury(m), 0);
}

TEST(who_is_not_on_the_board_does_not_stand_still)
{
    found();
    how h = new_event();
    wait_myself(&h);
    WAIT_UNTIL(has_waited(A.me));
    CHECK(fk_still_family(&A)); /* alone */
    member m = spawn_member(wait_for_kill, NULL);
    CHECK(!fk_still_family(&A));
    kill_at(m.pid);
    CHECK(!fk_still_family(&A)); /* what it holds is yet to be given back */
    bury(m);
    CHECK(fk_still_family(&A));
}

static int serve(void *arg)
{
    (void)arg;
    fk_slot_set_serves(&A);
    return wait_for_kill(NULL);
}

TEST(a_fork_server_does_not_count)
{
    found();
    how h = new_event();
    wait_myself(&h);
    member m = spawn_member(serve, NULL);
    WAIT_UNTIL(has_waited(A.me) && fk_still_family(&A));
    kill_at(m.pid);
    bury(m);
    m = spawn_member(wait_for_kill, NULL); /* in the same slot */
    CHECK(!fk_still_family(&A));
    kill_at(m.pid);
    bury(m);
}

TEST(a_reserved_slot_is_somebody_who_is_about_to_come)
{
    found();
    how h = new_event();
    wait_myself(&h);
    WAIT_UNTIL(has_waited(A.me) && fk_still_family(&A));
    fk_owner child;
    CHECK(fk_slot_reserve(&A, &child) == FK_OK);
    CHECK(!fk_still_family(&A));
    fk_family_abandon(&A, child);
    CHECK(fk_still_family(&A));
}

static void check_never_still_with(how h)
{
    wait_myself(&h);
    member m = spawn_member(wait_for_event, &h);
    WAIT_UNTIL(has_waited(m.owner));
    CHECK(!fk_still_family(&A));
    kill_at(m.pid);
    bury(m);
}

TEST(a_deadline_however_far_is_no_standstill)
{
    found();
    how h = new_event();
    h.deadline_ns = now_ns() + UINT64_C(1000000000000);
    check_never_still_with(h);
}

TEST(who_may_be_roused_by_a_timer_does_not_stand_still)
{
    found();
    how h = new_event();
    h.noisy = true;
    check_never_still_with(h);
}

static int wait_without_sleeping(void *arg)
{
    how *h = arg;
    fk_board_enter(&A, FK_OP_EVENT, h->off, FK_NEVER, NULL, 0);
    fk_board_tell_quiet(&A, true);
    return wait_for_kill(NULL); /* a signal handler sleeps, say */
}

TEST(who_is_on_the_board_and_never_asleep_does_not_stand_still)
{
    found();
    how h = new_event();
    wait_myself(&h);
    member m = spawn_member(wait_without_sleeping, &h);
    WAIT_UNTIL(has_waited(m.owner));
    CHECK(!fk_still_family(&A));
    kill_at(m.pid);
    bury(m);
}

/* ---- whose turn it is ------------------------------------------------------------------------------------ */

static int take_a_turn(void *arg)
{
    (void)arg;
    return fk_still_turn(&A) ? 0 : 1;
}

TEST(one_process_looks_at_a_time)
{
    found();
    CHECK(fk_still_turn(&A));
    CHECK(!fk_still_turn(&A)); /* just now */
    CHECK_EQ(WEXITSTATUS(bury(spawn_member(take_a_turn, NULL))), 1);
    fk_still_pass(&A, 0);
    CHECK_EQ(WEXITSTATUS(bury(spawn_member(take_a_turn, NULL))), 1); /* nor so soon after */
    WAIT_UNTIL(fk_still_turn(&A));
    fk_still_pass(&A, 1000 * FK_LOOK_EVERY_NS); /* it was dear */
    CHECK(atomic_load(&fk_head(&A)->last_look_ns) > now_ns() + 100 * FK_LOOK_EVERY_NS);
}

TEST(a_dead_looker_is_succeeded_at_once)
{
    found();
    member m = spawn_member(take_a_turn, NULL);
    CHECK_EQ(reap(m.pid), 0);
    CHECK(fk_still_turn(&A));
    WAIT_UNTIL(fk_reap(&A, m.owner));
}

/* ---- standing waits ----------------------------------------------------------------------------------------- */

static fk_seen seen_at(uint32_t index)
{
    fk_seen s = {0};
    CHECK(fk_board_see(&A, index, &s));
    return s;
}

TEST(a_standing_wait_is_one_until_another_comes_between)
{
    found();
    CHECK(fk_board_stand(&A, false, FK_OP_RESULTS, 64, "f", 1) != NULL);
    fk_seen first = seen_at(0);
    CHECK(first.deadline_ns == FK_NEVER);
    fk_board_leave(&A);
    CHECK(fk_board_wait(&A) == 0);
    fk_board_stand(&A, true, FK_OP_RESULTS, 64, "f", 1);
    CHECK(seen_at(0).waits == first.waits && seen_at(0).since_ns == first.since_ns);
    fk_board_leave(&A);
    fk_board_stand(&A, true, FK_OP_RESULTS, 128, "f", 1); /* for something else */
    CHECK(seen_at(0).waits == first.waits + 1);
    fk_board_leave(&A);
    fk_board_enter(&A, FK_OP_LOCK, 1, FK_NEVER, NULL, 0);
    fk_board_leave(&A);
    fk_board_stand(&A, true, FK_OP_RESULTS, 128, "f", 1);
    CHECK(seen_at(0).waits == first.waits + 3);
    fk_board_leave(&A);
    fk_board_stand(&A, false, FK_OP_RESULTS, 128, "f", 1); /* a new one by its own word */
    CHECK(seen_at(0).waits == first.waits + 4);
    fk_board_leave(&A);
}

TEST_MAIN
