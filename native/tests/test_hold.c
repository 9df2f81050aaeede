/* Hold tables: which objects a process keeps alive, also over fork and death. */
#include "member.h"

#include <sys/resource.h>

TEST(a_hold_is_a_ref)
{
    found();
    object o = make(FK_KIND_WORDS, 64);
    uint64_t used = heap_used();
    CHECK_EQ(refs(&o), FK_REF_HOLD);
    CHECK_EQ(atomic_load(&hold_of(&o)->off), o.off);
    fk_hold_release(&A, o.index); /* the ref is the caller's again */
    CHECK_EQ(refs(&o), FK_REF_HOLD);
    CHECK(fk_hold_new(&A, o.off, &o.index) == FK_OK);
    fk_hold_drop(&A, o.index);
    CHECK_EQ(heap_used(), used - 128);
}

TEST(an_entry_for_a_block_to_come_is_nobodys_but_the_callers)
{
    found();
    uint32_t first, second;
    CHECK(fk_hold_new(&A, 0, &first) == FK_OK);
    CHECK(fk_hold_new(&A, 0, &second) == FK_OK);
    CHECK(first != second);
    uint64_t used = heap_used();
    fk_hold_drop(&A, first);
    CHECK_EQ(heap_used(), used);
}

TEST(a_table_grows_beyond_a_chunk_and_uses_entries_again)
{
    enum { MANY = 5 * FK_HOLDS_PER_CHUNK };
    found();
    static object o[MANY];
    for (int i = 0; i < MANY; i++)
        o[i] = make(FK_KIND_WORDS, 8);
    CHECK_EQ(A.n_chunks, 5);
    for (int i = 0; i < MANY; i++)
        CHECK_EQ(atomic_load(&hold_of(&o[i])->off), o[i].off);
    uint64_t used = heap_used();
    for (int i = 0; i < MANY; i += 2)
        fk_hold_drop(&A, o[i].index);
    for (int i = 0; i < MANY; i += 2)
        o[i] = make(FK_KIND_WORDS, 8);
    CHECK_EQ(A.n_chunks, 5);
    CHECK_EQ(heap_used(), used);
    CHECK(fk_hold_at(&A, FK_NO_HOLD) == NULL);
    CHECK(fk_hold_at(&A, MANY) == NULL);
}

static atomic_bool stop;
static object first;

static void *look(void *arg)
{
    (void)arg;
    while (!atomic_load(&stop))
        CHECK_EQ(atomic_load(&hold_of(&first)->off), first.off);
    return NULL;
}

TEST(entries_stay_where_they_are_while_the_table_grows)
{
    found();
    first = make(FK_KIND_WORDS, 8);
    pthread_t looker;
    CHECK(pthread_create(&looker, NULL, look, NULL) == 0);
    for (int i = 0; i < 20 * FK_HOLDS_PER_CHUNK; i++)
        make(FK_KIND_WORDS, 8);
    atomic_store(&stop, true);
    CHECK(pthread_join(looker, NULL) == 0);
}

static void *make_and_drop(void *arg)
{
    (void)arg;
    while (!atomic_load(&stop))
        fk_hold_drop(&A, make(FK_KIND_WORDS, 8).index);
    return NULL;
}

TEST(a_copy_has_no_ref_of_what_is_just_dropped)
{
    found();
    fk_hold_drop(&A, make(FK_KIND_WORDS, 8).index);
    uint64_t used = heap_used();
    fk_point_yields = 2;
    pthread_t dropper;
    CHECK(pthread_create(&dropper, NULL, make_and_drop, NULL) == 0);
    for (int i = 0; i < 2000; i++) { /* all of a fork but the fork */
        fk_fork_prepare(&A);
        fk_family_abandon(&A, fk_fork_parent(&A));
    }
    atomic_store(&stop, true);
    CHECK(pthread_join(dropper, NULL) == 0);
    free_blocks_are_sound();
    CHECK_EQ(heap_used(), used);
}

/* ---- fork -------------------------------------------------------------------------------------- */

static int drop(void *arg)
{
    object *o = arg;
    CHECK_EQ(atomic_load(&hold_of(o)->off), o->off);
    fk_hold_drop(&A, o->index);
    return 0;
}

TEST(a_forked_child_holds_what_its_parent_held)
{
    found();
    object o = make(FK_KIND_WORDS, 64);
    uint64_t used = heap_used();
    member m = spawn_member(wait_for_kill, NULL);
    CHECK_EQ(refs(&o), 2 * FK_REF_HOLD); /* from before the fork on */
    fk_hold_drop(&A, o.index);
    CHECK_EQ(refs(&o), FK_REF_HOLD);
    kill_at(m.pid);
    bury(m);
    CHECK_EQ(heap_used(), used - 128);
}

TEST(a_child_drops_its_own_hold_only)
{
    found();
    object o = make(FK_KIND_WORDS, 64);
    uint64_t used = heap_used();
    CHECK_EQ(bury(spawn_member(drop, &o)), 0);
    CHECK_EQ(refs(&o), FK_REF_HOLD);
    CHECK_EQ(heap_used(), used);
}

static int fork_a_dropper(void *arg) { return bury(spawn_member(drop, arg)); }

TEST(indices_mean_the_same_in_grandchildren)
{
    found();
    object o[2 * FK_HOLDS_PER_CHUNK];
    for (size_t i = 0; i < sizeof o / sizeof *o; i++)
        o[i] = make(FK_KIND_WORDS, 8);
    uint64_t used = heap_used();
    for (size_t i = 0; i < sizeof o / sizeof *o; i += 83)
        CHECK_EQ(bury(spawn_member(fork_a_dropper, &o[i])), 0);
    CHECK_EQ(heap_used(), used);
}

static int use_nothing(void *arg)
{
    object *o = arg;
    CHECK(hold_of(o) == NULL);
    fk_hold_drop(&A, o->index); /* leaves the parent's alone */
    fk_hold_release(&A, o->index);
    object own = make(FK_KIND_WORDS, 8);
    CHECK(own.index > o->index);
    CHECK(hold_of(o) == NULL);
    CHECK_EQ(bury(spawn_member(drop, &own)), 0);
    return 0;
}

TEST(a_child_that_there_was_no_room_for_holds_nothing)
{
    signal(SIGXFSZ, SIG_IGN);
    struct rlimit most = {UINT64_C(1) << 28, UINT64_C(1) << 28};
    CHECK(setrlimit(RLIMIT_FSIZE, &most) == 0);
    found();
    object o = make(FK_KIND_WORDS, 64);
    uint64_t filler, off;
    CHECK(fk_block_new(&A, 64 << 20, FK_KIND_RAW, &filler) == FK_OK);
    for (uint64_t size = 64 << 20; size >= 2048;)
        if (fk_block_new(&A, size, FK_KIND_RAW, &off) != FK_OK)
            size /= 2;
    pid_t pid;
    int go[2];
    CHECK(pipe(go) == 0);
    fflush(NULL);
    CHECK((pid = fork()) >= 0);
    if (pid == 0) { /* room comes after the fork */
        char c;
        CHECK(read(go[0], &c, 1) == 1);
        _exit(use_nothing(&o));
    }
    atomic_store(&fk_head(&A)->heap_top, filler);
    CHECK(write(go[1], "", 1) == 1);
    CHECK_EQ(reap(pid), 0);
    CHECK_EQ(refs(&o), FK_REF_HOLD);
}

/* ---- death ------------------------------------------------------------------------------------- */

static int churn(void *arg)
{
    object *o = arg;
    for (int i = 0; i < 4; i++) {
        uint32_t index;
        fk_block_ref(&A, o->off, FK_REF_HOLD);
        CHECK(fk_hold_new(&A, o->off, &index) == FK_OK);
        fk_hold_drop(&A, index);
        CHECK_EQ(bury(spawn_member(drop, o)), 0);
    }
    return 0;
}

TEST(who_dies_between_forgetting_and_giving_up_costs_one_ref)
{
    found();
    object o = make(FK_KIND_WORDS, 64);
    for (int skip = 0; skip < 3; skip++) {
        uint64_t before = refs(&o);
        member dead;
        CHECK(dies_at("hold.dropping", skip, churn, &o, &dead));
        CHECK(fk_reap(&A, dead.owner));
        CHECK_EQ(refs(&o), before + 1);
    }
}

TEST(who_dies_as_it_forks_leaves_what_the_child_would_have_held)
{
    static const char *points[] = {"hold.referred", "hold.copied"};
    found();
    object o = make(FK_KIND_WORDS, 64);
    uint32_t slots = slots_used();
    for (int i = 0; i < 2; i++) {
        uint64_t before = refs(&o);
        member dead;
        CHECK(dies_at(points[i], 1, churn, &o, &dead));
        CHECK(fk_reap(&A, dead.owner));
        /* There may be a newborn, for all that anybody knows. After a while there is none. */
        CHECK_EQ(slots_used(), slots + 1);
        for (uint32_t s = 0; s < atomic_load(&fk_head(&A)->slot_high); s++)
            atomic_store(&fk_slot_at(&A, s)->pid_checked_ns, now_ns() - 2 * FK_NEWBORN_NS);
        reap_everybody();
        CHECK_EQ(slots_used(), slots);
        CHECK_EQ(refs(&o), before + (i == 0)); /* taken, and not yet written down */
    }
}

TEST_MAIN
