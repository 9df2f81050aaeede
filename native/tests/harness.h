/* A small harness for tests in C: threads, fork(), sudden death, and no test that hangs.
 *
 *     #include "harness.h"
 *
 *     static int hold(void *lock) { ...; return 0; }         // runs in a child; its exit status
 *
 *     TEST(a_dead_owner_is_named)
 *     {
 *         pid_t child = spawn_child(hold, lock);
 *         WAIT_UNTIL(lock_is_held(lock));                    // order by state, never by time
 *         kill_at(child);                                    // dead now, and still a zombie
 *         CHECK(fk_lock_acquire(...) == FK_OWNER_DIED);
 *         CHECK(reap(child) == SIGKILL);
 *     }
 *
 *     TEST_MAIN
 *
 * Each test runs in a process of its own, so it starts from nothing and may crash. A CHECK that fails
 * prints file, line, expression and errno, and ends the process it stands in, whichever thread asks;
 * in a child or not, the test has failed. A test fails as well when it leaves a descendant behind,
 * alive or not reaped, or takes longer than its limit (60 s, or TEST_LIMIT): then its processes are
 * listed, with what they sleep on, and killed. `./test_x word` runs the tests whose names hold the
 * word; `HARNESS_FORK=0 ./test_x word` runs them in this process, for a debugger: no limit then.
 * Ends with the line `N passed, N failed`, and status 1 if any failed or none was run. */
#ifndef HARNESS_H
#define HARNESS_H

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define HARNESS_LIMIT_S 60
#define HARNESS_MAX 512
#define HARNESS_UNUSED __attribute__((unused))

typedef struct {
    const char *name;
    void (*run)(void);
    int limit_s;
} harness_test;

static harness_test harness_tests[HARNESS_MAX];
static int harness_count;
static atomic_int *harness_failed_checks; /* shared: a child's failure is its test's */

#define TEST(name) TEST_LIMIT(name, HARNESS_LIMIT_S)
#define TEST_LIMIT(test, seconds)                                                                  \
    static void test(void);                                                                        \
    __attribute__((constructor)) static void register_##test(void)                                 \
    {                                                                                              \
        if (harness_count == HARNESS_MAX)                                                          \
            abort();                                                                               \
        harness_tests[harness_count++] = (harness_test){#test, test, seconds};                     \
    }                                                                                              \
    static void test(void)

/* When false, the test has failed and this process ends. */
#define CHECK(expr)                                                                                \
    do {                                                                                           \
        errno = 0;                                                                                 \
        if (!(expr))                                                                               \
            harness_fail(__FILE__, __LINE__, #expr);                                               \
    } while (0)

/* Two integers must be the same; says both. */
#define CHECK_EQ(a, b)                                                                             \
    do {                                                                                           \
        errno = 0;                                                                                 \
        long long harness_a = (long long)(a), harness_b = (long long)(b);                          \
        if (harness_a != harness_b) {                                                              \
            fprintf(stderr, "%s is %lld, %s is %lld\n", #a, harness_a, #b, harness_b);             \
            harness_fail(__FILE__, __LINE__, #a " == " #b);                                        \
        }                                                                                          \
    } while (0)

/* Come back when the condition holds; the test's limit is what ends it otherwise. */
#define WAIT_UNTIL(expr)                                                                           \
    while (!(expr))                                                                                \
    nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL) /* sleep: between two looks */

static HARNESS_UNUSED void harness_fail(const char *file, int line, const char *what)
{
    int err = errno;
    atomic_fetch_add(harness_failed_checks, 1);
    fprintf(stderr, "%s:%d: CHECK(%s) failed in process %d", file, line, what, (int)getpid());
    fprintf(stderr, err ? ", errno %d: %s\n" : "\n", err, strerror(err));
    _exit(1);
}

static HARNESS_UNUSED uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Zeroed memory that children share. Unmapped when the test's processes end. */
static HARNESS_UNUSED void *shared_page(size_t size)
{
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(p != MAP_FAILED);
    return p;
}

/* Run fn(arg) in a forked child; what it returns is the child's exit status. */
static HARNESS_UNUSED pid_t spawn_child(int (*fn)(void *), void *arg)
{
    fflush(NULL);
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        int status = fn(arg);
        fflush(NULL);
        _exit(status);
    }
    return pid;
}

/* Wait for a child and bury it: its wait status (0: returned 0; a signal's number: killed by it). */
static HARNESS_UNUSED int reap(pid_t pid)
{
    int status;
    while (waitpid(pid, &status, 0) != pid)
        CHECK(errno == EINTR);
    return status;
}

/* SIGKILL a child and come back when it is dead but not buried: reap it later. */
static HARNESS_UNUSED void kill_at(pid_t pid)
{
    siginfo_t info;
    CHECK(kill(pid, SIGKILL) == 0);
    while (waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT) != 0)
        CHECK(errno == EINTR);
}

/* Stop a child and come back when it stands still; SIGCONT lets it go on. */
static HARNESS_UNUSED void stop_child(pid_t pid)
{
    siginfo_t info;
    CHECK(kill(pid, SIGSTOP) == 0);
    while (waitid(P_PID, (id_t)pid, &info, WSTOPPED) != 0)
        CHECK(errno == EINTR);
}

/* Run fn(arg) in n threads at once (at most 64) and come back when all have ended. */
static HARNESS_UNUSED void run_threads(int n, void *(*fn)(void *), void *arg)
{
    pthread_t threads[64];
    CHECK(n <= 64);
    for (int i = 0; i < n; i++)
        CHECK(pthread_create(&threads[i], NULL, fn, arg) == 0);
    for (int i = 0; i < n; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
}

#include "harness_runner.h" /* runs what TEST has registered */

#define TEST_MAIN                                                                                  \
    int main(int argc, char **argv) { return harness_main(argc > 1 ? argv[1] : NULL); }

#endif
