/* The family: founding, joining by the descriptor, and fork in the middle of everything. */
#include "member.h"

static fk_arena guest; /* the view of a process that came in by the descriptor */

typedef struct invitation {
    int fd;
    fk_owner me;
    uint64_t off, tag;
    atomic_uint joined_as;
} invitation;

static int come_in(void *arg)
{
    invitation *i = arg;
    CHECK_EQ(fk_family_join(&guest, i->fd, i->me), FK_OK);
    if (i->off) {
        uint32_t index;
        CHECK_EQ(fk_block_arrive(&guest, i->off, i->tag, FK_KIND_LOCK | FK_DEPARTED), FK_OK);
        CHECK_EQ(fk_hold_new(&guest, i->off, &index), FK_OK);
        CHECK_EQ(fk_lock_try(&guest, fk_block_data(&guest, i->off)), FK_OK);
    }
    atomic_store(&i->joined_as, guest.me);
    return wait_for_kill(NULL);
}

TEST(a_started_child_takes_its_reserved_slot_and_what_was_sent)
{
    CHECK_EQ(fk_family_found(&A), FK_OK); /* children are no members until they join */
    object o = make(FK_KIND_LOCK, sizeof(fk_user_lock));
    invitation *i = shared_page(4096);
    *i = (invitation){.fd = A.fd, .off = o.off, .tag = atomic_load(&fk_block_at(&A, o.off)->tag)};
    CHECK_EQ(fk_slot_reserve(&A, &i->me), FK_OK);
    fk_block_ref(&A, o.off, FK_REF_TRANSIT);
    pid_t pid = spawn_child(come_in, i);
    fk_slot_set_pid(&A, i->me, (uint32_t)pid);
    WAIT_UNTIL(atomic_load(&i->joined_as));
    CHECK_EQ(atomic_load(&i->joined_as), i->me);
    CHECK_EQ(fk_lock_owner(o.data), i->me);
    CHECK_EQ(refs(&o), 2 * FK_REF_HOLD);
    kill_at(pid);
    fk_wait w = in_slices();
    CHECK_EQ(fk_lock_acquire(&A, o.data, &w), FK_OWNER_DIED);
    bury((member){pid, i->me});
    CHECK_EQ(refs(&o), FK_REF_HOLD);
}

TEST(a_child_whose_slot_was_given_up_takes_another)
{
    CHECK_EQ(fk_family_found(&A), FK_OK);
    invitation *i = shared_page(4096);
    *i = (invitation){.fd = A.fd};
    CHECK_EQ(fk_slot_reserve(&A, &i->me), FK_OK);
    fk_family_abandon(&A, i->me);
    pid_t pid = spawn_child(come_in, i);
    WAIT_UNTIL(atomic_load(&i->joined_as));
    CHECK(atomic_load(&i->joined_as) != i->me);
    CHECK(fk_slot_alive(&A, atomic_load(&i->joined_as)));
    kill_at(pid);
    bury((member){pid, atomic_load(&i->joined_as)});
}

TEST(what_is_no_family_is_not_joined)
{
    int fd = open("/dev/null", O_RDONLY);
    CHECK_EQ(fk_family_join(&guest, fd, 0), FK_CORRUPT);
    CHECK(guest.base == NULL && guest.me == 0);
    CHECK(fcntl(fd, F_GETFD) >= 0);
    CHECK_EQ(fk_family_join(&guest, -1, 0), FK_SYS);
}

static int end(void *arg)
{
    (void)arg;
    return 0;
}

TEST(a_family_has_no_more_processes_than_slots)
{
    found();
    for (uint32_t i = 1; i < FK_MAX_SLOTS; i++)
        atomic_store(&fk_slot_at(&A, i)->state, FK_SLOT_REAPING);
    int text[2], err = dup(2);
    CHECK(pipe(text) == 0 && dup2(text[1], 2) == 2);
    pid_t pid = spawn_child(end, NULL);
    CHECK(dup2(err, 2) == 2);
    CHECK_EQ(member_owner, 0); /* none was reserved */
    int status = reap(pid);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 71);
    char said[256] = "";
    CHECK(read(text[0], said, sizeof said - 1) > 0);
    CHECK(strstr(said, "65535 processes"));
    CHECK_EQ(fk_family_join(&guest, A.fd, 0), FK_NOMEM);
    CHECK(guest.base == NULL);
}

/* ---- fork among other code --------------------------------------------------------------------------- */

static void *make_and_drop(void *arg)
{
    (void)arg;
    fk_hold_drop(&A, make(FK_KIND_WORDS, 8).index);
    return NULL;
}

/* Python runs hooks on both sides of fork(): they make and drop handles, and wait for threads. */
TEST(any_code_may_run_on_both_sides_of_a_fork)
{
    CHECK_EQ(fk_family_found(&A), FK_OK);
    object before = make(FK_KIND_WORDS, 8);
    fk_family_before_fork(&A);
    run_threads(1, make_and_drop, NULL);
    make_and_drop(NULL);
    object between = make(FK_KIND_WORDS, 8);
    fk_hold_drop(&A, before.index);
    pid_t pid = fork();
    run_threads(1, make_and_drop, NULL);
    make_and_drop(NULL);
    if (pid == 0) {
        fk_family_after_fork_child(&A);
        fk_hold_drop(&A, between.index);
        exit(0);
    }
    fk_owner child = fk_family_after_fork_parent(&A);
    CHECK(child && child != A.me);
    CHECK_EQ(fk_family_after_fork_parent(&A), 0);
    CHECK_EQ(bury((member){pid, child}), 0);
    CHECK_EQ(refs(&between), FK_REF_HOLD);
}

TEST(a_fork_that_is_not_announced_makes_no_member)
{
    CHECK_EQ(fk_family_found(&A), FK_OK);
    pid_t pid = fork();
    if (pid == 0)
        _exit(0);
    CHECK_EQ(slots_used(), 1);
    CHECK_EQ(reap(pid), 0);
}

TEST(a_child_of_a_family_that_was_founded_meanwhile_joins_it)
{
    CHECK_EQ(fk_family_found(&A), FK_OK);
    object o = make(FK_KIND_WORDS, 8);
    fk_owner founder = A.me;
    pid_t pid = fork(); /* who says before it that it comes knew of no family then */
    if (pid == 0) {
        fk_family_after_fork_child(&A);
        CHECK(A.me && A.me != founder);
        CHECK(hold_of(&o) == NULL); /* nothing was given to it */
        exit(0);
    }
    CHECK_EQ(fk_family_after_fork_parent(&A), 0);
    CHECK_EQ(reap(pid), 0);
    reap_everybody();
    CHECK_EQ(slots_used(), 1);
    CHECK_EQ(refs(&o), FK_REF_HOLD);
}

/* ---- fork beside threads --------------------------------------------------------------------------- */

static object lock, rlock, sema, queue;
static atomic_bool stop;

/* One of everything, with this process's own entries. */
static void use_all(void)
{
    static _Thread_local uint8_t buffer[FK_INLINE_MAX];
    uint32_t n, entry;
    fk_taken out;
    fk_wait w = in_slices();
    CHECK_EQ(PARKED(FK_OP_LOCK, fk_lock_acquire(&A, lock.data, &w)), FK_OK);
    CHECK(fk_lock_release(lock.data));
    CHECK_EQ(PARKED(FK_OP_RLOCK, fk_rlock_acquire(&A, rlock.data, &w)), FK_OK);
    CHECK_EQ(fk_rlock_release(&A, rlock.data), FK_OK);
    CHECK_EQ(PARKED(FK_OP_SEMAPHORE, fk_sema_acquire(&A, sema.data, hold_of(&sema), &w)), FK_OK);
    CHECK_EQ(fk_sema_release(&A, sema.data, hold_of(&sema)), FK_OK);
    fk_put p = {.head = "abc", .head_size = 3};
    CHECK_EQ(PARKED(FK_OP_QUEUE_PUT, fk_queue_put(&A, queue.data, &p, NULL, &w)), FK_OK);
    CHECK_EQ(fk_hold_new(&A, 0, &entry), FK_OK);
    fk_take t = {.buffer = buffer, .capacity = sizeof buffer, .hold = hold_of(&queue)};
    CHECK_EQ(PARKED(FK_OP_QUEUE_GET, fk_queue_take(&A, queue.data, &t, &out, 1, &n, &w)), FK_OK);
    CHECK(n == 1 && out.size == 3 && memcmp(buffer + out.at, "abc", 3) == 0);
    CHECK_EQ(fk_queue_done(&A, queue.data, hold_of(&queue)), FK_OK);
    fk_hold_drop(&A, entry);
    object o = make(FK_KIND_WORDS, 64);
    fk_hold_drop(&A, o.index);
}

static void take_rest(void)
{
    static uint8_t buffer[FK_INLINE_MAX];
    fk_take t = {.buffer = buffer, .capacity = sizeof buffer, .hold = hold_of(&queue)};
    uint32_t n;
    fk_taken out;
    fk_wait w = at_once();
    while (fk_queue_take(&A, queue.data, &t, &out, 1, &n, &w) == FK_OK)
        CHECK_EQ(fk_queue_done(&A, queue.data, hold_of(&queue)), FK_OK);
}

static void *use_all_the_time(void *arg)
{
    (void)arg;
    while (!atomic_load(&stop))
        use_all();
    return NULL;
}

static int use_all_here(void *arg)
{
    (void)arg;
    for (int i = 0; i < 20; i++)
        use_all();
    return 0;
}

static void *fork_many(void *arg)
{
    (void)arg;
    for (int i = 0; i < 15; i++) {
        member m = spawn_member(use_all_here, NULL);
        CHECK(m.owner != 0 && m.owner != A.me);
        CHECK_EQ(bury(m), 0);
    }
    return NULL;
}

TEST(children_forked_beside_busy_threads_work)
{
    found();
    lock = make(FK_KIND_LOCK, sizeof(fk_user_lock));
    rlock = make(FK_KIND_RLOCK, sizeof(fk_rlock));
    sema = make(FK_KIND_SEMA, sizeof(fk_sema));
    fk_sema_init(sema.data, 2, 2);
    queue = make(FK_KIND_QUEUE, sizeof(fk_queue));
    CHECK_EQ(fk_queue_init(&A, queue.data, 0, true), FK_OK);
    fk_point_yields = 3;
    pthread_t busy[2];
    for (int i = 0; i < 2; i++)
        CHECK(pthread_create(&busy[i], NULL, use_all_the_time, NULL) == 0);
    run_threads(3, fork_many, NULL);
    atomic_store(&stop, true);
    for (int i = 0; i < 2; i++)
        CHECK(pthread_join(busy[i], NULL) == 0);
    CHECK_EQ(slots_used(), 1);
    free_blocks_are_sound();
    CHECK_EQ(fk_sema_value(sema.data), 2);
    CHECK_EQ(fk_queue_size(queue.data), 0);
    CHECK_EQ(fk_queue_unfinished(queue.data), 0);
    CHECK_EQ(refs(&queue), FK_REF_HOLD);
    CHECK_EQ(atomic_load(&hold_of(&queue)->taken), atomic_load(&hold_of(&queue)->finished));
}

static int killed_among_threads(void *arg)
{
    (void)arg;
    pthread_t t;
    for (int i = 0; i < 3; i++)
        CHECK(pthread_create(&t, NULL, use_all_the_time, NULL) == 0);
    return wait_for_kill(NULL);
}

TEST(a_process_of_many_threads_dies_as_one)
{
    found();
    lock = make(FK_KIND_LOCK, sizeof(fk_user_lock));
    rlock = make(FK_KIND_RLOCK, sizeof(fk_rlock));
    sema = make(FK_KIND_SEMA, sizeof(fk_sema));
    fk_sema_init(sema.data, 2, 2);
    queue = make(FK_KIND_QUEUE, sizeof(fk_queue));
    CHECK_EQ(fk_queue_init(&A, queue.data, 0, true), FK_OK);
    for (int i = 0; i < 10; i++) {
        member m = spawn_member(killed_among_threads, NULL);
        uint64_t seen = atomic_load(&((fk_queue *)queue.data)->head.version);
        WAIT_UNTIL(atomic_load(&((fk_queue *)queue.data)->head.version) > seen + 50);
        kill_at(m.pid);
        bury(m);
        fk_lock_force(&A, lock.data);
        fk_lock_release(lock.data);
        if (fk_rlock_take_over(&A, rlock.data) == FK_OK)
            CHECK_EQ(fk_rlock_release(&A, rlock.data), FK_OK);
        use_all();
        CHECK_EQ(fk_sema_value(sema.data), 2);
        CHECK(fk_queue_size(queue.data) <= 3);
        CHECK_EQ(refs(&queue), FK_REF_HOLD);
        uint64_t lost;
        fk_wait w = at_once();
        take_rest();
        CHECK(fk_queue_join(&A, queue.data, &lost, &w) != FK_AGAIN);
        CHECK(lost <= 3);
    }
}

TEST_MAIN
