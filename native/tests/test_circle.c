/* Circles of locks: what the board and the hold tables tell of them. */
#include "circle.h"

#include "member.h"

static object first, second;

static fk_lock *word_of(const object *o) { return &((fk_user_lock *)o->data)->lock; }

static void two_locks(void)
{
    found();
    first = make(FK_KIND_LOCK, sizeof(fk_user_lock));
    second = make(FK_KIND_LOCK, sizeof(fk_user_lock));
}

static int hold_first_and_want_second(void *unused)
{
    (void)unused;
    fk_wait w = in_slices();
    CHECK_EQ(fk_lock_acquire(&A, word_of(&first), &w), FK_OK);
    fk_board_enter(&A, FK_OP_LOCK, second.off, FK_NEVER, __FILE__, __LINE__);
    return wait_for_kill(NULL);
}

TEST(a_lock_that_this_process_holds_is_a_circle)
{
    two_locks();
    CHECK(!fk_circle_suspected(&A, first.off));
    CHECK_EQ(fk_lock_try(&A, word_of(&first)), FK_OK);
    CHECK(fk_circle_suspected(&A, first.off));
}

TEST(a_circle_is_seen_when_its_last_part_is_there)
{
    two_locks();
    member m = spawn_member(hold_first_and_want_second, NULL);
    WAIT_UNTIL(is_parked(m.owner, FK_OP_LOCK));
    CHECK(!fk_circle_suspected(&A, first.off)); /* the second one is free */
    CHECK_EQ(fk_lock_try(&A, word_of(&second)), FK_OK);
    CHECK(fk_circle_suspected(&A, first.off));
    kill_at(m.pid);
    bury(m);
}

static int hold_first_and_want_second_for_a_while(void *unused)
{
    (void)unused;
    CHECK_EQ(fk_lock_try(&A, word_of(&first)), FK_OK);
    fk_board_enter(&A, FK_OP_LOCK, second.off, fk_now_ns(), __FILE__, __LINE__);
    return wait_for_kill(NULL);
}

TEST(one_that_gives_up_is_no_part_of_a_circle)
{
    two_locks();
    member m = spawn_member(hold_first_and_want_second_for_a_while, NULL);
    WAIT_UNTIL(is_parked(m.owner, FK_OP_LOCK));
    CHECK_EQ(fk_lock_try(&A, word_of(&second)), FK_OK);
    CHECK(!fk_circle_suspected(&A, first.off));
    kill_at(m.pid);
    bury(m);
}

static fk_status users_of(const object *o, uint32_t most, uint32_t *n)
{
    static fk_owner users[8];
    return fk_circle_users(&A, o->off, users, most, n);
}

TEST(users_are_those_that_have_a_handle)
{
    two_locks();
    uint32_t n;
    CHECK_EQ(users_of(&first, 8, &n), FK_OK);
    CHECK_EQ(n, 1);
    member m = spawn_member(wait_for_kill, NULL);
    WAIT_UNTIL(users_of(&first, 8, &n) == FK_OK);
    CHECK_EQ(n, 2);
    CHECK_EQ(users_of(&first, 1, &n), FK_NOMEM);
    kill_at(m.pid);
    CHECK_EQ(users_of(&first, 8, &n),
             FK_OK); /* a dead one uses nothing, and may lie about for long */
    CHECK_EQ(n, 1);
    bury(m);
    CHECK_EQ(users_of(&first, 8, &n), FK_OK);
    CHECK_EQ(n, 1);
}

TEST(nothing_is_said_of_what_others_may_get)
{
    two_locks();
    uint32_t n;
    fk_block_ref(&A, first.off, FK_REF_TRANSIT); /* a pickled copy is under way */
    CHECK_EQ(users_of(&first, 8, &n), FK_AGAIN);
    fk_block_unref(&A, first.off, FK_REF_TRANSIT);
    CHECK_EQ(users_of(&first, 8, &n), FK_OK);

    fk_block_ref(&A, first.off, FK_REF_HOLD); /* somebody has it who has not said so yet */
    CHECK_EQ(users_of(&first, 8, &n), FK_AGAIN);
    fk_block_unref(&A, first.off, FK_REF_HOLD);

    fk_owner newborn;
    CHECK_EQ(fk_slot_reserve(&A, &newborn), FK_OK);
    CHECK_EQ(users_of(&first, 8, &n), FK_AGAIN);
    fk_family_abandon(&A, newborn);
    CHECK_EQ(users_of(&first, 8, &n), FK_OK);

    atomic_store(&fk_block_at(&A, first.off)->travelled, 1);
    CHECK_EQ(users_of(&first, 8, &n), FK_AGAIN);
    CHECK_EQ(users_of(&second, 8, &n), FK_OK);
}

static int come_in(void *fd)
{
    fk_arena *a = calloc(1, sizeof *a); /* as a process does that was started by exec */
    CHECK_EQ(fk_family_join(a, *(int *)fd, 0), FK_OK);
    CHECK(!(atomic_load(&a->slot->flags) & FK_SLOT_SETTLED));
    atomic_store((_Atomic int *)second.data, 1);
    WAIT_UNTIL(atomic_load((_Atomic int *)second.data) == 2);
    fk_slot_settle(a);
    atomic_store((_Atomic int *)second.data, 3);
    return wait_for_kill(NULL);
}

TEST(nothing_is_said_while_a_process_unpickles_what_it_was_started_with)
{
    two_locks();
    uint32_t n;
    member m = spawn_member(come_in, &A.fd);
    WAIT_UNTIL(atomic_load((_Atomic int *)second.data) == 1);
    CHECK_EQ(users_of(&first, 8, &n), FK_AGAIN);
    atomic_store((_Atomic int *)second.data, 2);
    WAIT_UNTIL(atomic_load((_Atomic int *)second.data) == 3);
    CHECK_EQ(users_of(&first, 8, &n), FK_OK);
    kill_at(m.pid);
    bury(m);
    reap_everybody();
}

TEST_MAIN
