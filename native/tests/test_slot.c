/* Process slots: who is in the family, and who of them lives. */
#include "member.h"

#include <sys/resource.h>

static fk_slot *slot(fk_owner o)
{
    fk_slot *s = fk_slot_of(&A, o);
    CHECK(s);
    return s;
}

static bool is_described(fk_owner o, pid_t pid, const char *name)
{
    uint32_t found_pid;
    char found_name[64];
    return fk_slot_describe(&A, o, &found_pid, found_name) && found_pid == (uint32_t)pid &&
           strcmp(found_name, name) == 0;
}

static int end(void *arg)
{
    (void)arg;
    return 0;
}

/* ---- coming in ----------------------------------------------------------------------------------- */

TEST(the_founder_runs_in_the_first_slot)
{
    found();
    CHECK_EQ(A.me, fk_owner_word(0, 0));
    CHECK_EQ(atomic_load(&slot(A.me)->state), FK_SLOT_RUNNING);
    CHECK_EQ(atomic_load(&slot(A.me)->flags), FK_SLOT_SETTLED);
    CHECK(fk_slot_alive(&A, A.me));
    fk_slot_set_name(&A, "MainProcess");
    CHECK(is_described(A.me, getpid(), "MainProcess"));
    fk_slot_set_name(&A, "a name of more than the sixty-three bytes that a slot has room for ...");
    CHECK(is_described(A.me, getpid(),
                       "a name of more than the sixty-three bytes that a slot has room "));
}

TEST(words_that_name_nobody_are_dead)
{
    found();
    CHECK(fk_slot_of(&A, 0) == NULL && !fk_slot_alive(&A, 0));
    CHECK(!fk_slot_alive(&A, fk_owner_word(1, 0)));
    CHECK(!fk_slot_alive(&A, fk_owner_word(0, 1)));
    CHECK(!fk_slot_alive(&A, UINT32_MAX));
    CHECK(fk_slot_ended(&A, fk_owner_word(0, 1)) && !fk_slot_ended(&A, A.me));
    CHECK(fk_slot_alive(&A, A.me | FK_CONTENDED));
    CHECK(!is_described(fk_owner_word(0, 1), getpid(), ""));
    CHECK(fk_reap(&A, fk_owner_word(7, 3)));
}

TEST(a_child_is_known_before_it_is_born)
{
    found();
    fk_owner child;
    CHECK(fk_slot_reserve(&A, &child) == FK_OK);
    CHECK_EQ(atomic_load(&slot(child)->state), FK_SLOT_RESERVED);
    CHECK_EQ(atomic_load(&slot(child)->parent), A.me);
    CHECK(fk_slot_alive(&A, child));
    CHECK(!fk_reap(&A, child));
    member m = spawn_member(wait_for_kill, NULL);
    CHECK(m.owner != child);
    WAIT_UNTIL(atomic_load(&slot(m.owner)->state) == FK_SLOT_RUNNING);
    CHECK(fk_slot_alive(&A, m.owner));
    CHECK_EQ(atomic_load(&slot(m.owner)->parent), A.me);
    CHECK(is_described(m.owner, m.pid, ""));
    kill_at(m.pid);
    bury(m);
}

TEST(a_child_that_did_not_come_to_be_is_abandoned)
{
    found();
    uint32_t slots = slots_used(), reaped = atomic_load(&fk_head(&A)->reaped);
    object o = make(FK_KIND_WORDS, 64);
    uint64_t used = heap_used();
    fk_fork_prepare(&A);
    fk_owner child = fk_fork_parent(&A);
    CHECK_EQ(slots_used(), slots + 1);
    CHECK(heap_used() > used);
    fk_family_abandon(&A, child);
    CHECK_EQ(slots_used(), slots);
    CHECK_EQ(heap_used(), used);
    CHECK_EQ(refs(&o), FK_REF_HOLD);
    CHECK_EQ(atomic_load(&fk_head(&A)->reaped), reaped); /* nobody has died */
    fk_family_abandon(&A, child);
    member m = spawn_member(wait_for_kill, NULL);
    WAIT_UNTIL(atomic_load(&slot(m.owner)->state) == FK_SLOT_RUNNING);
    fk_family_abandon(&A, m.owner); /* without effect: it lives */
    CHECK(fk_slot_alive(&A, m.owner));
    kill_at(m.pid);
    bury(m);
}

TEST(a_child_whose_start_failed_is_dead_by_its_pid)
{
    found();
    fk_owner child;
    CHECK(fk_slot_reserve(&A, &child) == FK_OK);
    signal(SIGCHLD, SIG_DFL);
    pid_t pid = _Fork(); /* not a member: it never adopts its slot */
    if (pid == 0)
        for (;;)
            pause();
    fk_slot_set_pid(&A, child, (uint32_t)pid);
    CHECK(fk_slot_alive(&A, child));
    fk_slot_set_pid(&A, child, 1); /* told once */
    CHECK_EQ(atomic_load(&slot(child)->pid), pid);
    kill_at(pid);
    CHECK(!fk_slot_alive(&A, child));
    CHECK(fk_reap(&A, child));
    fk_slot_set_pid(&A, child, 1); /* too late: the slot is another's, or nobody's */
    CHECK(fk_slot_of(&A, child) == NULL);
    reap(pid);
}

TEST(there_is_an_end_to_the_slots)
{
    found();
    for (uint32_t i = 1; i < FK_MAX_SLOTS; i++)
        if (i != 40000)
            atomic_store(&fk_slot_at(&A, i)->state, FK_SLOT_RESERVED);
    fk_owner child;
    CHECK(fk_slot_reserve(&A, &child) == FK_OK);
    CHECK_EQ(fk_owner_index(child), 40000);
    CHECK_EQ(fk_slot_reserve(&A, &child), FK_NOMEM);
    atomic_store(&fk_slot_at(&A, 3)->state, FK_SLOT_FREE); /* far from the hint */
    CHECK(fk_slot_reserve(&A, &child) == FK_OK);
    CHECK_EQ(fk_owner_index(child), 3);
}

static void *reserve_and_abandon(void *arg)
{
    atomic_int *uses = arg;
    for (int i = 0; i < 500; i++) {
        fk_owner child;
        CHECK(fk_slot_reserve(&A, &child) == FK_OK);
        CHECK_EQ(atomic_fetch_add(&uses[fk_owner_index(child)], 1), 0);
        atomic_fetch_sub(&uses[fk_owner_index(child)], 1);
        fk_family_abandon(&A, child);
        CHECK(fk_slot_of(&A, child) == NULL);
    }
    return NULL;
}

TEST(no_slot_is_reserved_twice)
{
    static atomic_int uses[64];
    found();
    fk_point_yields = 3;
    run_threads(4, reserve_and_abandon, uses);
    CHECK_EQ(slots_used(), 1);
}

/* ---- death ----------------------------------------------------------------------------------------- */

TEST(a_killed_process_is_dead_before_it_is_waited_for)
{
    found();
    member m = spawn_member(wait_for_kill, NULL);
    WAIT_UNTIL(atomic_load(&slot(m.owner)->state) == FK_SLOT_RUNNING);
    CHECK(fk_slot_alive(&A, m.owner) && !fk_slot_ended(&A, m.owner));
    kill_at(m.pid);
    for (int i = 0; i < 3; i++) /* whoever asks, and how often */
        CHECK(!fk_slot_alive(&A, m.owner) && fk_slot_ended(&A, m.owner));
    bury(m);
    CHECK(fk_slot_ended(&A, m.owner));
}

TEST(an_exited_process_is_dead)
{
    found();
    member m = spawn_member(end, NULL);
    siginfo_t info;
    CHECK(waitid(P_PID, (id_t)m.pid, &info, WEXITED | WNOWAIT) == 0);
    CHECK(!fk_slot_alive(&A, m.owner));
    CHECK_EQ(bury(m), 0);
}

TEST(a_stopped_process_lives)
{
    found();
    member m = spawn_member(wait_for_kill, NULL);
    WAIT_UNTIL(atomic_load(&slot(m.owner)->state) == FK_SLOT_RUNNING);
    CHECK(kill(m.pid, SIGSTOP) == 0);
    siginfo_t info;
    CHECK(waitid(P_PID, (id_t)m.pid, &info, WSTOPPED | WNOWAIT) == 0);
    CHECK(fk_slot_alive(&A, m.owner));
    atomic_store(&slot(m.owner)->pid_checked_ns, 1); /* and by its pid, too */
    CHECK(fk_slot_alive(&A, m.owner));
    CHECK(!fk_reap(&A, m.owner));
    kill_at(m.pid);
    CHECK(!fk_slot_alive(&A, m.owner));
    bury(m);
}

static int exec_true(void *arg)
{
    (void)arg;
    execl("/bin/sh", "sh", "-c", "read x", NULL);
    return 1;
}

TEST(a_process_that_executes_another_program_has_left)
{
    found();
    int fds[2];
    CHECK(pipe2(fds, 0) == 0);
    CHECK(dup2(fds[0], 0) == 0);
    member m = spawn_member(exec_true, NULL);
    WAIT_UNTIL(!fk_slot_alive(&A, m.owner));
    CHECK(fk_reap(&A, m.owner));
    CHECK(kill(m.pid, SIGKILL) == 0); /* it is still there */
    CHECK_EQ(reap(m.pid), SIGKILL);
}

TEST(a_newborn_has_the_start_time_that_proc_tells)
{
    found();
    for (int i = 0; i < 30; i++) { /* the first ones ask /proc, the others mostly the clock */
        member m = spawn_member(wait_for_kill, NULL);
        WAIT_UNTIL(atomic_load(&slot(m.owner)->state) == FK_SLOT_RUNNING);
        uint64_t told = atomic_load(&slot(m.owner)->pid_started);
        uint64_t real = fk_pid_started((uint32_t)m.pid);
        CHECK(real != 0 && real != FK_PID_UNKNOWN);
        CHECK(told + 1 >= real && told <= real + 1);
        CHECK_EQ(atomic_load(&slot(m.owner)->pid_space), A.pid_space);
        atomic_store(&slot(m.owner)->pid_checked_ns, now_ns() - UINT64_C(2000000000));
        CHECK(fk_slot_alive(&A, m.owner)); /* by its pid, too */
        kill_at(m.pid);
        bury(m);
    }
}

TEST(the_pid_is_looked_at_now_and_then)
{
    found();
    member m = spawn_member(wait_for_kill, NULL);
    WAIT_UNTIL(atomic_load(&slot(m.owner)->state) == FK_SLOT_RUNNING);
    fk_slot *s = slot(m.owner);
    /* As after an out-of-memory kill that took the list of robust mutexes: the pid is another's. */
    atomic_fetch_add(&s->pid_started, 2);
    atomic_store(&s->pid_checked_ns, now_ns());
    CHECK(fk_slot_alive(&A, m.owner));
    atomic_store(&s->pid_checked_ns, now_ns() - UINT64_C(2000000000));
    CHECK(!fk_slot_alive(&A, m.owner));
    kill_at(m.pid);
    bury(m);
}

TEST(pids_of_another_namespace_tell_nothing)
{
    found();
    CHECK(A.pid_space != 0);
    member m = spawn_member(wait_for_kill, NULL);
    WAIT_UNTIL(atomic_load(&slot(m.owner)->state) == FK_SLOT_RUNNING);
    fk_slot *s = slot(m.owner);
    CHECK_EQ(atomic_load(&s->pid_space), A.pid_space);
    atomic_fetch_add(&s->pid_space, 1);
    atomic_fetch_add(&s->pid_started, 2); /* here that number is another process, or none */
    atomic_store(&s->pid_checked_ns, 1);
    CHECK(fk_slot_alive(&A, m.owner));
    kill_at(m.pid);
    CHECK(!fk_slot_alive(&A, m.owner)); /* the kernel says so */
    bury(m);
}

TEST(start_times_tell_who_is_there)
{
    found();
    uint64_t mine = fk_pid_started((uint32_t)getpid());
    CHECK(mine != 0 && mine != FK_PID_UNKNOWN);
    CHECK_EQ(fk_pid_started(1u << 23), 0); /* above every pid */
    pid_t zombie = spawn_child(end, NULL);
    siginfo_t info;
    CHECK(waitid(P_PID, (id_t)zombie, &info, WEXITED | WNOWAIT) == 0);
    CHECK_EQ(fk_pid_started((uint32_t)zombie), 0);
    reap(zombie);
    CHECK_EQ(fk_pid_started((uint32_t)zombie), 0);
}

TEST(nobody_is_dead_because_descriptors_have_run_out)
{
    found();
    member m = spawn_member(wait_for_kill, NULL);
    WAIT_UNTIL(atomic_load(&slot(m.owner)->state) == FK_SLOT_RUNNING);
    struct rlimit all, none;
    CHECK(getrlimit(RLIMIT_NOFILE, &all) == 0);
    none = (struct rlimit){.rlim_cur = 0, .rlim_max = all.rlim_max};
    CHECK(setrlimit(RLIMIT_NOFILE, &none) == 0);
    CHECK_EQ(fk_pid_started((uint32_t)m.pid), FK_PID_UNKNOWN);
    atomic_store(&slot(m.owner)->flags, FK_SLOT_NO_LIFE);
    CHECK(fk_slot_alive(&A, m.owner));
    CHECK(setrlimit(RLIMIT_NOFILE, &all) == 0);
    kill_at(m.pid);
    bury(m);
}

/* ---- from another thread than the main one ------------------------------------------------------------ */

static fk_arena guest; /* of a process that comes in by the descriptor */

static void *join_here(void *told)
{
    CHECK(fk_family_join(&guest, A.fd, 0) == FK_OK);
    atomic_store((atomic_uint *)told, guest.me);
    return NULL;
}

static int join_in_thread(void *told)
{
    pthread_t t;
    CHECK(pthread_create(&t, NULL, join_here, told) == 0);
    CHECK(pthread_join(t, NULL) == 0);
    return wait_for_kill(NULL);
}

TEST(who_joined_from_a_thread_outlives_that_thread)
{
    CHECK(fk_family_found(&A) == FK_OK); /* its children are no members until they join */
    atomic_uint *told = shared_page(4096);
    pid_t pid = spawn_child(join_in_thread, told);
    WAIT_UNTIL(atomic_load(told));
    fk_owner o = atomic_load(told);
    CHECK_EQ(atomic_load(&slot(o)->flags), FK_SLOT_NO_LIFE);
    CHECK_EQ(atomic_load(&slot(o)->parent), 0);
    CHECK(fk_slot_alive(&A, o));
    CHECK(!fk_reap(&A, o));
    atomic_fetch_add(&slot(o)->pid_started, 2);
    CHECK(!fk_slot_alive(&A, o)); /* a pid that is used again is another process */
    atomic_fetch_sub(&slot(o)->pid_started, 2);
    kill_at(pid);
    CHECK(!fk_slot_alive(&A, o));
    CHECK(fk_reap(&A, o));
    reap(pid);
}

static void *fork_here(void *arg)
{
    *(member *)arg = spawn_member(wait_for_kill, NULL);
    return NULL;
}

TEST(a_child_of_a_thread_has_a_main_thread)
{
    found();
    member m;
    run_threads(1, fork_here, &m);
    WAIT_UNTIL(atomic_load(&slot(m.owner)->state) == FK_SLOT_RUNNING);
    CHECK_EQ(atomic_load(&slot(m.owner)->flags), FK_SLOT_SETTLED);
    CHECK(fk_slot_alive(&A, m.owner));
    kill_at(m.pid);
    bury(m);
}

TEST_MAIN
