/* The wait board: who waits for what, read by anybody, kept by each thread for itself. */
#include "member.h"

static bool see(uint32_t index, fk_seen *seen) { return fk_board_see(&A, index, seen); }

static uint32_t high(void) { return atomic_load(&fk_head(&A)->board_high); }

static uint32_t entries_of(fk_owner owner)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < high(); i++)
        n += atomic_load(&((fk_parked *)(A.base + FK_BOARD_AT + i * FK_PARKED_STRIDE))->owner) ==
             owner;
    return n;
}

TEST(a_thread_shows_what_it_waits_for)
{
    found();
    fk_seen s;
    CHECK(!see(0, &s));
    fk_board_leave(&A); /* without effect */
    uint64_t before = now_ns();
    fk_board_enter(&A, FK_OP_QUEUE_GET, 12345, 67890, "/some/file.py", 42);
    CHECK(see(0, &s));
    CHECK(s.owner == A.me && s.tid == (uint32_t)gettid() && s.op == FK_OP_QUEUE_GET);
    CHECK(s.object == 12345 && s.deadline_ns == 67890 && s.line == 42 && s.waits == 1);
    CHECK(s.since_ns >= before && s.since_ns <= now_ns());
    CHECK(strcmp(s.file, "/some/file.py") == 0);
    fk_board_leave(&A);
    CHECK(!see(0, &s));
    fk_board_enter(&A, FK_OP_LOCK, 1, FK_NEVER, NULL, 0);
    CHECK(see(0, &s));
    CHECK(s.waits == 2 && s.file[0] == 0 && high() == 1);
    fk_board_leave(&A);
}

TEST(of_a_long_path_the_end_is_shown)
{
    found();
    char path[201];
    for (int i = 0; i < 200; i++)
        path[i] = (char)('a' + i % 26);
    path[200] = 0;
    fk_seen s;
    for (size_t skip = 120; skip < 123; skip++) { /* 80, 79 and 78 bytes */
        fk_board_enter(&A, FK_OP_LOCK, 0, 0, path + skip, 0);
        CHECK(see(0, &s));
        CHECK(strcmp(s.file, path + (skip < 121 ? 121 : skip)) == 0);
    }
    fk_board_enter(&A, FK_OP_LOCK, 0, 0, path, 0);
    CHECK(see(0, &s));
    CHECK(strcmp(s.file, path + 121) == 0);
    fk_board_leave(&A);
}

static void *enter_once(void *arg)
{
    fk_board_enter(&A, FK_OP_EVENT, 7, FK_NEVER, NULL, 0);
    CHECK_EQ(entries_of(A.me), *(int *)arg);
    return NULL;
}

TEST(the_entry_of_a_thread_that_ends_is_free)
{
    found();
    int now = 1;
    for (int i = 0; i < 3; i++) {
        run_threads(1, enter_once, &now);
        CHECK_EQ(entries_of(A.me), 0);
        CHECK_EQ(high(), 1);
    }
}

enum { ENTRIES = 4000 };

/* All fields of an entry tell the same number. */
static void *write_entries(void *arg)
{
    for (uint32_t i = 1; i <= ENTRIES; i++) {
        char file[80];
        snprintf(file, sizeof file, "%u %u %u %u %u", i, i, i, i, i);
        fk_board_enter(&A, 1 + i % (FK_OPS - 1), i, i, file, i);
        for (int spin = 0; spin < 4; spin++) /* as long as a short wait */
            sched_yield();
    }
    atomic_fetch_add((atomic_int *)arg, 1);
    pause(); /* keep the entry */
    return NULL;
}

TEST(a_reader_never_sees_half_an_entry)
{
    found();
    fk_point_yields = 2;
    atomic_int done = 0;
    pthread_t t;
    for (int i = 0; i < 2; i++)
        CHECK(pthread_create(&t, NULL, write_entries, &done) == 0);
    fk_seen s;
    for (uint32_t i = 0; atomic_load(&done) < 2; i++) {
        if (!see(i % 2, &s))
            continue;
        char file[80];
        snprintf(file, sizeof file, "%u %u %u %u %u", s.line, s.line, s.line, s.line, s.line);
        CHECK(strcmp(file, s.file) == 0);
        CHECK(s.object == s.line && s.deadline_ns == s.line && s.op == 1 + s.line % (FK_OPS - 1));
    }
    CHECK(see(0, &s) && s.line == ENTRIES && see(1, &s) && s.line == ENTRIES);
    exit(0);
}

TEST(a_full_board_shows_no_more)
{
    found();
    for (uint32_t i = 0; i < FK_MAX_PARKED; i++)
        atomic_store(&((fk_parked *)(A.base + FK_BOARD_AT + (uint64_t)i * FK_PARKED_STRIDE))->owner,
                     A.me);
    fk_board_enter(&A, FK_OP_LOCK, 0, 0, "x", 1);
    fk_board_leave(&A);
    atomic_store(&((fk_parked *)(A.base + FK_BOARD_AT))->owner, 0);
    fk_board_enter(&A, FK_OP_LOCK, 0, 0, "x", 1);
    fk_seen s;
    CHECK(see(0, &s));
}

/* ---- processes ------------------------------------------------------------------------------------------ */

static int enter_and_stay(void *arg)
{
    (void)arg;
    fk_board_enter(&A, FK_OP_CONDITION, 1, FK_NEVER, "child.py", 1);
    return wait_for_kill(NULL);
}

TEST(the_entries_of_the_dead_are_freed)
{
    found();
    fk_board_enter(&A, FK_OP_LOCK, 0, 0, NULL, 0);
    for (int i = 0; i < 3; i++) {
        member m = spawn_member(enter_and_stay, NULL);
        WAIT_UNTIL(is_parked(m.owner, FK_OP_CONDITION));
        CHECK_EQ(high(), 2);
        kill_at(m.pid);
        bury(m);
        CHECK_EQ(entries_of(m.owner), 0);
        CHECK(is_parked(A.me, FK_OP_LOCK));
    }
}

static int enter_twice(void *arg)
{
    (void)arg;
    for (uint32_t i = 1; i <= 2; i++)
        fk_board_enter(&A, FK_OP_LOCK, i, i, "file", i);
    return 0;
}

TEST(who_dies_as_it_writes_shows_nothing_and_leaves_nothing)
{
    static const struct {
        const char *point;
        int skip;
    } at[] = {{"board.claimed", 0}, {"board.writing", 0}, {"board.writing", 1}};
    found();
    for (int i = 0; i < 3; i++) {
        member dead;
        CHECK(dies_at(at[i].point, at[i].skip, enter_twice, NULL, &dead));
        fk_seen s;
        CHECK(!see(0, &s));
        CHECK_EQ(entries_of(dead.owner), 1);
        CHECK(fk_reap(&A, dead.owner));
        CHECK_EQ(entries_of(dead.owner), 0);
        CHECK_EQ(bury(spawn_member(enter_twice, NULL)), 0);
        CHECK_EQ(high(), 1);
    }
}

static void *end_as_a_thread(void *arg)
{
    *(member *)arg = (member){fork(), member_owner};
    if (((member *)arg)->pid == 0)
        return NULL; /* the child's only thread ends, and with it what it has of the parent's */
    bury(*(member *)arg);
    CHECK(is_parked(A.me, FK_OP_EVENT));
    return NULL;
}

static void *fork_while_on_the_board(void *arg)
{
    fk_board_enter(&A, FK_OP_EVENT, 7, FK_NEVER, NULL, 0);
    return end_as_a_thread(arg);
}

TEST(a_forked_childs_thread_leaves_its_parents_entry_alone)
{
    found();
    member m;
    run_threads(1, fork_while_on_the_board, &m);
}

TEST_MAIN
