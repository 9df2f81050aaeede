/* The reaper: what dead processes held is given back, whoever else dies meanwhile. */
#include "member.h"

static object sema, queue, words;

/* A family with a semaphore of 4 permits and a joinable queue of 8 items. */
static void found_with_objects(void)
{
    found();
    sema = make(FK_KIND_SEMA, sizeof(fk_sema));
    fk_sema_init(sema.data, 4, 4);
    queue = make(FK_KIND_QUEUE, sizeof(fk_queue));
    CHECK(fk_queue_init(&A, queue.data, 0, true) == FK_OK);
    words = make(FK_KIND_WORDS, 64);
    for (uint64_t i = 0; i < 8; i++) {
        fk_wait w = FK_WAIT_UNTIL(0);
        fk_put p = {.meta = i};
        CHECK(fk_queue_put(&A, queue.data, &p, NULL, &w) == FK_OK);
    }
}

/* Take two permits and two items, report one item as done, and die. */
static int take_and_die(void *arg)
{
    (void)arg;
    static uint8_t buffer[FK_INLINE_MAX];
    fk_wait w = FK_WAIT_UNTIL(0);
    fk_taken out[2];
    fk_take t = {.buffer = buffer, .capacity = sizeof buffer, .hold = hold_of(&queue)};
    uint32_t n;
    CHECK(fk_sema_acquire(&A, sema.data, hold_of(&sema), &w) == FK_OK);
    CHECK(fk_sema_acquire(&A, sema.data, hold_of(&sema), &w) == FK_OK);
    CHECK(fk_queue_take(&A, queue.data, &t, out, 2, &n, &w) == FK_OK && n == 2);
    CHECK(fk_queue_done(&A, queue.data, hold_of(&queue)) == FK_OK);
    kill(getpid(), SIGKILL);
    return 1;
}

static uint64_t lost_items(void)
{
    fk_queue *q = queue.data;
    return atomic_load(&q->tally[atomic_load(&q->done_version) & 1].lost);
}

static int reap_it(void *arg)
{
    CHECK(fk_reap(&A, *(fk_owner *)arg));
    return 0;
}

TEST(a_reaped_slot_is_free_and_remembered)
{
    found_with_objects();
    uint64_t used = heap_used();
    uint32_t slots = slots_used();
    member m = spawn_member(wait_for_kill, NULL);
    fk_slot *s = fk_slot_of(&A, m.owner);
    WAIT_UNTIL(atomic_load(&s->state) == FK_SLOT_RUNNING);
    snprintf(s->name, sizeof s->name, "Process-%d", 1);
    CHECK(!fk_reap(&A, m.owner));
    kill_at(m.pid);
    CHECK(fk_reap(&A, m.owner));
    CHECK(fk_reap(&A, m.owner)); /* gone already */
    CHECK_EQ(slots_used(), slots);
    CHECK_EQ(heap_used(), used);
    CHECK_EQ(atomic_load(&s->keeper), 0);
    CHECK_EQ(atomic_load(&fk_head(&A)->reaped), 1);
    CHECK(fk_slot_of(&A, m.owner) == NULL);
    uint32_t pid;
    char name[64];
    CHECK(fk_slot_describe(&A, m.owner, &pid, name));
    CHECK(pid == (uint32_t)m.pid && strcmp(name, "Process-1") == 0);
    reap(m.pid);

    member next = spawn_member(wait_for_kill, NULL); /* the same slot, another generation */
    CHECK_EQ(fk_owner_index(next.owner), fk_owner_index(m.owner));
    CHECK(next.owner != m.owner);
    CHECK(fk_slot_alive(&A, next.owner) && !fk_slot_alive(&A, m.owner));
    CHECK(fk_slot_describe(&A, m.owner, &pid, name) && pid == (uint32_t)m.pid);
    kill_at(next.pid);
    bury(next);
}

TEST(generations_go_round_in_fifteen_bits)
{
    found();
    fk_slot *s = fk_slot_at(&A, 1);
    atomic_store(&s->generation, 0x7fff);
    member last = spawn_member(wait_for_kill, NULL);
    CHECK_EQ(last.owner, fk_owner_word(1, 0x7fff));
    CHECK(!(last.owner & FK_CONTENDED));
    kill_at(last.pid);
    bury(last);
    member first = spawn_member(wait_for_kill, NULL);
    CHECK_EQ(first.owner, fk_owner_word(1, 0));
    CHECK(fk_slot_alive(&A, first.owner) && !fk_slot_alive(&A, last.owner));
    kill_at(first.pid);
    bury(first);
}

static int end(void *arg)
{
    (void)arg;
    return 0;
}

TEST(the_longest_dead_are_forgotten_first)
{
    found();
    uint32_t pid;
    char name[64];
    member first = spawn_member(end, NULL);
    bury(first);
    for (int i = 0; i < FK_MAX_OBITUARIES; i++) {
        CHECK(fk_slot_describe(&A, first.owner, &pid, name) && pid == (uint32_t)first.pid);
        bury(spawn_member(end, NULL));
    }
    CHECK(!fk_slot_describe(&A, first.owner, &pid, name));
}

TEST(permits_and_items_of_the_dead_are_given_back)
{
    found_with_objects();
    uint64_t used = heap_used();
    member m = spawn_member(take_and_die, NULL);
    CHECK_EQ(bury(m), SIGKILL);
    CHECK_EQ(fk_sema_value(sema.data), 4);
    CHECK_EQ(atomic_load(&((fk_sema *)sema.data)->returned), 2);
    CHECK_EQ(fk_queue_size(queue.data), 6);
    CHECK_EQ(fk_queue_unfinished(queue.data), 7);
    CHECK_EQ(lost_items(), 1);
    CHECK_EQ(heap_used(), used);
}

TEST(all_the_dead_are_reaped_and_not_too_often)
{
    found();
    for (int i = 0; i < 5; i++)
        reap(spawn_member(end, NULL).pid);
    member alive = spawn_member(wait_for_kill, NULL);
    atomic_store(&fk_head(&A)->last_reap_ns, 0);
    CHECK_EQ(fk_reap_all(&A), 5);
    kill_at(alive.pid);
    atomic_store(&fk_head(&A)->last_reap_ns, now_ns() + FK_REAP_EVERY_NS); /* somebody just did */
    CHECK_EQ(slots_used(), 2);
    fk_head(&A)->last_reap_ns = now_ns();
    WAIT_UNTIL(fk_reap_all(&A) == 1);
    CHECK_EQ(slots_used(), 1);
    reap(alive.pid);
}

static void *reap_until_gone(void *arg)
{
    WAIT_UNTIL(fk_reap(&A, *(fk_owner *)arg));
    return NULL;
}

TEST(many_reapers_give_back_once)
{
    found_with_objects();
    uint64_t used = heap_used();
    member m = spawn_member(take_and_die, NULL);
    WAIT_UNTIL(!fk_slot_alive(&A, m.owner));
    run_threads(4, reap_until_gone, &m.owner);
    CHECK_EQ(fk_sema_value(sema.data), 4);
    CHECK_EQ(lost_items(), 1);
    CHECK_EQ(refs(&words), FK_REF_HOLD);
    CHECK_EQ(atomic_load(&fk_head(&A)->reaped), 1);
    CHECK_EQ(heap_used(), used);
    reap(m.pid);
}

/* A reaper dies at each step of its work, at the first object and at later ones. */
TEST_LIMIT(a_reaper_that_dies_is_replaced, 120)
{
    static const struct {
        const char *point;
        int passes;
        uint64_t may_lose; /* refs and bytes: what was struck out and not yet given up */
    } at[] = {
        {"reap.begun", 1, 0},    {"reap.given", 3, 0},    {"hold.dropping", 3, 1},
        {"hold.dropped", 3, 0},  {"reap.chunk", 1, 4096}, {"reap.buried", 1, 0},
        {"reap.freed", 1, 0},    {"sema.claimed", 1, 0},  {"sema.committed", 1, 0},
        {"sema.settled", 1, 0},  {"queue.tally", 1, 0},   {"queue.tallied", 1, 0},
        {"lock.released", 4, 0},
    };
    found_with_objects();
    for (size_t i = 0; i < sizeof at / sizeof *at; i++)
        for (int skip = 0; skip < at[i].passes; skip++) {
            uint64_t used = heap_used(), lost = lost_items();
            uint64_t before = refs(&words) + refs(&sema) + refs(&queue);
            for (uint64_t n = fk_queue_size(queue.data); n < 8; n++) {
                fk_wait w = FK_WAIT_UNTIL(0);
                CHECK(fk_queue_put(&A, queue.data, &(fk_put){.meta = n}, NULL, &w) == FK_OK);
            }
            member first = spawn_member(take_and_die, NULL), reaper;
            CHECK_EQ(reap(first.pid), SIGKILL);
            CHECK(dies_at(at[i].point, skip, reap_it, &first.owner, &reaper));
            WAIT_UNTIL(fk_reap(&A, first.owner));
            WAIT_UNTIL(fk_reap(&A, reaper.owner));
            reap_everybody();
            CHECK_EQ(slots_used(), 1);
            CHECK_EQ(fk_sema_value(sema.data), 4);
            CHECK_EQ(lost_items(), lost + 1);
            CHECK_EQ(fk_queue_size(queue.data), 6);
            uint64_t lost_refs = refs(&words) + refs(&sema) + refs(&queue) - before;
            CHECK(lost_refs <= at[i].may_lose);
            CHECK_EQ(heap_used() - used, at[i].may_lose == 4096 ? 4096 : 0);
        }
}

/* ---- slots that are being claimed ---------------------------------------------------------------------- */

static int start_children(void *arg)
{
    (void)arg;
    for (int i = 0; i < 3; i++)
        bury(spawn_member(end, NULL));
    return 0;
}

TEST(a_slot_whose_claimer_died_is_used_again)
{
    found();
    uint32_t high = 0;
    for (int skip = 0; skip < 6; skip++) {
        member dead;
        CHECK(dies_at(skip < 3 ? "slot.claimed" : "slot.reserved", skip % 3, start_children, NULL,
                      &dead));
        CHECK(fk_reap(&A, dead.owner));
        for (uint32_t s = 0; s < atomic_load(&fk_head(&A)->slot_high); s++)
            if (atomic_load(&fk_slot_at(&A, s)->state) == FK_SLOT_RESERVED) /* no newborn */
                atomic_store(&fk_slot_at(&A, s)->parent,
                             fk_owner_word(s, atomic_load(&fk_slot_at(&A, s)->generation)));
        reap_everybody();
        CHECK_EQ(slots_used(), 1);
        if (skip == 0)
            high = atomic_load(&fk_head(&A)->slot_high);
        CHECK_EQ(atomic_load(&fk_head(&A)->slot_high), high);
    }
}

static fk_arena guest;

static int join_as_guest(void *arg) { return fk_family_join(&guest, *(int *)arg, 0); }

TEST(a_slot_whose_guest_died_as_it_came_in_is_used_again)
{
    static const char *points[] = {"slot.claimed", "slot.reserved", "slot.living", "slot.running"};
    CHECK(fk_family_found(&A) == FK_OK); /* children are no members: they join by the descriptor */
    for (int i = 0; i < 4; i++) {
        arm(points[i], 0);
        pid_t pid = spawn_child(join_as_guest, &A.fd);
        fk_armed_point = NULL;
        CHECK_EQ(reap(pid), SIGKILL);
        reap_everybody();
        CHECK_EQ(slots_used(), 1);
        CHECK_EQ(reap(spawn_child(join_as_guest, &A.fd)), 0); /* takes the same one */
        reap_everybody();
        CHECK_EQ(slots_used(), 1);
        CHECK_EQ(atomic_load(&fk_head(&A)->slot_high), 2);
    }
}

TEST(a_child_that_dies_as_it_comes_in_is_reaped)
{
    static const char *points[] = {"slot.living", "slot.running"};
    found();
    for (int i = 0; i < 2; i++) {
        arm(points[i], 0);
        member m = spawn_member(end, NULL);
        fk_armed_point = NULL;
        CHECK_EQ(bury(m), SIGKILL);
        CHECK_EQ(slots_used(), 1);
    }
}

/* ---- newborns whose parent was killed ------------------------------------------------------------------- */

typedef struct birth {
    atomic_uint owner, go;
    atomic_int newborn, status;
    int errors; /* where the newborn writes what goes wrong */
} birth;

static member killed(member m)
{
    kill_at(m.pid);
    return m;
}

/* Fork behind the back of the handlers: the child does nothing until it is told to. */
static int bear(void *arg)
{
    birth *b = arg;
    fk_fork_prepare(&A);
    pid_t pid = _Fork();
    if (pid == 0) {
        CHECK(dup2(b->errors, 2) == 2);
        WAIT_UNTIL(atomic_load(&b->go));
        fk_fork_child(&A);
        atomic_store(&b->status, A.me == atomic_load(&b->owner) ? 1 : 2);
        wait_for_kill(NULL);
    }
    atomic_store(&b->newborn, pid);
    atomic_store(&b->owner, fk_fork_parent(&A));
    return wait_for_kill(NULL);
}

static birth *orphan_a_newborn(int errors)
{
    prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); /* to see how the orphan ends */
    birth *b = shared_page(4096);
    b->errors = errors;
    member parent = spawn_member(bear, b);
    WAIT_UNTIL(atomic_load(&b->owner));
    kill_at(parent.pid);
    bury(parent);
    return b;
}

TEST(a_newborn_outlives_its_parent)
{
    found_with_objects();
    birth *b = orphan_a_newborn(2);
    fk_owner child = atomic_load(&b->owner);
    CHECK(fk_slot_alive(&A, child)); /* nobody knows its pid: it may be on its way */
    CHECK(!fk_reap(&A, child));
    CHECK_EQ(refs(&words), 2 * FK_REF_HOLD);
    atomic_store(&b->go, 1);
    WAIT_UNTIL(atomic_load(&b->status) == 1);
    CHECK(fk_slot_alive(&A, child));
    bury(killed((member){atomic_load(&b->newborn), child}));
    CHECK_EQ(refs(&words), FK_REF_HOLD);
}

TEST(a_newborn_that_does_not_come_forward_is_given_up)
{
    found_with_objects();
    int text[2];
    CHECK(pipe(text) == 0);
    birth *b = orphan_a_newborn(text[1]);
    fk_owner child = atomic_load(&b->owner);
    CHECK(fk_slot_alive(&A, child));
    atomic_store(&fk_slot_of(&A, child)->pid_checked_ns, now_ns() - 2 * FK_NEWBORN_NS);
    CHECK(fk_reap(&A, child));
    CHECK_EQ(refs(&words), FK_REF_HOLD);
    atomic_store(&b->go, 1); /* late: what its handles name may be another's by now */
    int status = reap(atomic_load(&b->newborn));
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 71);
    char said[256] = "";
    CHECK(read(text[0], said, sizeof said - 1) > 0);
    CHECK(strstr(said, "the parent was killed as it forked"));
}

TEST_MAIN
