/* What the core costs by itself: nanoseconds for each operation, the best of several runs.
 *
 * Build and run with `make bench-c`: optimised, without kill points. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "event.h"
#include "family.h"
#include "lock.h"
#include "queue.h"
#include "stream.h"

enum { RUNS = 7, MESSAGE = 64 };

static fk_arena A;

typedef struct object {
    uint32_t index;
    void *data;
} object;

static object make(uint32_t kind, uint64_t size)
{
    object o;
    uint64_t off;
    if (fk_block_new(&A, size, kind, &off) != FK_OK || fk_hold_new(&A, off, &o.index) != FK_OK)
        abort();
    o.data = fk_block_data(&A, off);
    memset(o.data, 0, size);
    return o;
}

static object new_queue(uint64_t maxsize, bool joinable)
{
    object o = make(FK_KIND_QUEUE, sizeof(fk_queue));
    if (fk_queue_init(&A, o.data, maxsize, joinable) != FK_OK)
        abort();
    return o;
}

static void must(fk_status st)
{
    if (st != FK_OK)
        abort();
}

static object O;

/* ---- one thread ----------------------------------------------------------------------------------- */

static void lock_pair(uint64_t n)
{
    fk_wait w = FK_WAIT_UNTIL(FK_NEVER);
    while (n--) {
        must(fk_lock_acquire(&A, O.data, &w));
        fk_lock_release(O.data);
    }
}

static void rlock_pair(uint64_t n)
{
    fk_wait w = FK_WAIT_UNTIL(FK_NEVER);
    while (n--) {
        must(fk_rlock_acquire(&A, O.data, &w));
        fk_rlock_release(&A, O.data);
    }
}

static void sema_pair(uint64_t n)
{
    fk_wait w = FK_WAIT_UNTIL(FK_NEVER);
    while (n--) {
        must(fk_sema_acquire(&A, O.data, NULL, &w));
        must(fk_sema_release(&A, O.data, NULL));
    }
}

static void sema_pair_with_entry(uint64_t n)
{
    fk_wait w = FK_WAIT_UNTIL(FK_NEVER);
    fk_hold *hold = fk_hold_at(&A, O.index);
    while (n--) {
        must(fk_sema_acquire(&A, O.data, hold, &w));
        must(fk_sema_release(&A, O.data, hold));
    }
}

static void event_set_wait_clear(uint64_t n)
{
    fk_wait w = FK_WAIT_UNTIL(FK_NEVER);
    while (n--) {
        uint32_t epoch = 0;
        fk_event_set(O.data);
        must(fk_event_wait(O.data, &epoch, &w));
        fk_event_clear(O.data);
    }
}

static void put_one(fk_wait *w)
{
    static const char message[MESSAGE];
    fk_put p = {.data = message, .data_size = MESSAGE};
    must(fk_queue_put(&A, O.data, &p, NULL, w));
}

static uint32_t take_some(uint32_t max, fk_wait *w)
{
    static uint8_t buffer[4 * FK_INLINE_MAX];
    static fk_taken out[256];
    fk_take t = {.buffer = buffer, .capacity = sizeof buffer, .hold = fk_hold_at(&A, O.index)};
    uint32_t n;
    must(fk_queue_take(&A, O.data, &t, out, max, &n, w));
    return n;
}

static void put_take(uint64_t n)
{
    fk_wait w = FK_WAIT_UNTIL(FK_NEVER);
    while (n--) {
        put_one(&w);
        take_some(1, &w);
    }
}

static void put_take_done(uint64_t n)
{
    fk_wait w = FK_WAIT_UNTIL(FK_NEVER);
    while (n--) {
        put_one(&w);
        take_some(1, &w);
        must(fk_queue_done(&A, O.data, fk_hold_at(&A, O.index)));
    }
}

static void block_new_free(uint64_t n)
{
    while (n--) {
        uint64_t off;
        must(fk_block_new(&A, 1000, FK_KIND_RAW, &off));
        fk_block_unref(&A, off, FK_REF_HOLD);
    }
}

/* ---- two processes ------------------------------------------------------------------------------------ */

static pid_t fork_member(void)
{
    fk_family_before_fork(&A);
    pid_t pid = fork();
    if (pid == 0)
        fk_family_after_fork_child(&A);
    else
        fk_family_after_fork_parent(&A);
    return pid;
}

static void one_to_one(uint64_t n, uint32_t batch)
{
    pid_t pid = fork_member();
    fk_wait w = FK_WAIT_UNTIL(FK_NEVER);
    if (pid == 0) {
        for (uint64_t i = 0; i < n; i++)
            put_one(&w);
        _exit(0);
    }
    for (uint64_t got = 0; got < n;) {
        static uint8_t buffer[4 * FK_INLINE_MAX];
        static fk_taken out[256];
        fk_take t = {.buffer = buffer, .capacity = sizeof buffer};
        uint32_t k;
        fk_status st = fk_queue_take(&A, O.data, &t, out, batch, &k, &w);
        got += st == FK_OK ? k : 0;
    }
    waitpid(pid, NULL, 0);
}

static void stream(uint64_t n) { one_to_one(n, 1); }
static void stream_in_batches(uint64_t n) { one_to_one(n, 256); }

static void contended_lock(uint64_t n)
{
    pid_t pid = fork_member();
    lock_pair(n / 2);
    if (pid == 0)
        _exit(0);
    waitpid(pid, NULL, 0);
}

static object there;

static void ping_pong(uint64_t n)
{
    object here = O;
    pid_t pid = fork_member();
    fk_wait w = FK_WAIT_UNTIL(FK_NEVER);
    for (uint64_t i = 0; i < n; i++) {
        O = pid ? here : there;
        put_one(&w);
        O = pid ? there : here;
        static uint8_t buffer[FK_INLINE_MAX];
        fk_taken out;
        uint32_t k;
        fk_take t = {.buffer = buffer, .capacity = sizeof buffer};
        while (fk_queue_take(&A, O.data, &t, &out, 1, &k, &w) != FK_OK)
            continue;
    }
    O = here;
    if (pid == 0)
        _exit(0);
    waitpid(pid, NULL, 0);
}

/* ---- the same over a socket ------------------------------------------------------------------------------ */

enum { SMALL = 16 }; /* bytes of a small pickle */

static void send_message(int fd)
{
    char data[SMALL] = {0};
    uint64_t done = 0;
    must(fk_stream_try_write(fd, data, SMALL, &done));
}

static void take_message(int fd)
{
    char data[SMALL];
    uint64_t done = 0;
    fk_stream_head head = {.done = 0};
    while (fk_stream_watch(fd, &head) == FK_AGAIN)
        continue;
    must(fk_stream_try_read(fd, data, SMALL, &done));
}

/* A head and what follows it by one call each, without the stream: what the kernel takes for it. */
static void send_bare(int fd)
{
    char data[4 + SMALL] = {0};
    if (send(fd, data, sizeof data, MSG_DONTWAIT) != sizeof data)
        abort();
}

static void take_in_two(int fd)
{
    char data[SMALL];
    while (recv(fd, data, 4, MSG_DONTWAIT) != 4)
        continue;
    if (recv(fd, data, SMALL, MSG_DONTWAIT) != SMALL)
        abort();
}

static void take_in_one(int fd)
{
    char data[4 + SMALL];
    while (recv(fd, data, sizeof data, MSG_DONTWAIT) != sizeof data)
        continue;
}

static void over_socket(uint64_t n, void (*give)(int), void (*take)(int))
{
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
        abort();
    pid_t pid = fork_member();
    for (uint64_t i = 0; i < n; i++) {
        if (pid)
            give(ends[0]);
        take(ends[pid ? 0 : 1]);
        if (!pid)
            give(ends[1]);
    }
    if (pid == 0)
        _exit(0);
    waitpid(pid, NULL, 0);
    close(ends[0]);
    close(ends[1]);
}

static void ping_pong_stream(uint64_t n) { over_socket(n, send_message, take_message); }
static void ping_pong_bare(uint64_t n) { over_socket(n, send_bare, take_in_two); }
static void ping_pong_barest(uint64_t n) { over_socket(n, send_bare, take_in_one); }

/* ------------------------------------------------------------------------------------------------------- */

static void measure(const char *what, void (*run)(uint64_t), uint64_t n, object o)
{
    uint64_t best = UINT64_MAX;
    O = o;
    for (int i = 0; i < RUNS; i++) {
        uint64_t begin = fk_now_ns();
        run(n);
        uint64_t took = fk_now_ns() - begin;
        best = took < best ? took : best;
    }
    double ns = (double)best / (double)n;
    printf("%-48s %8.1f ns %12.0f /s\n", what, ns, 1e9 / ns);
    fflush(stdout);
    fk_reap_all(&A);
}

int main(void)
{
    must(fk_family_found(&A));
    object sema = make(FK_KIND_SEMA, sizeof(fk_sema));
    fk_sema_init(sema.data, 1, 1);
    there = new_queue(0, false);

    measure("lock: acquire, release", lock_pair, 1000000, make(FK_KIND_LOCK, sizeof(fk_user_lock)));
    measure("rlock: acquire, release", rlock_pair, 1000000, make(FK_KIND_RLOCK, sizeof(fk_rlock)));
    measure("semaphore: acquire, release", sema_pair, 1000000, sema);
    measure("semaphore: the same, given back at death", sema_pair_with_entry, 1000000, sema);
    measure("event: set, wait, clear", event_set_wait_clear, 1000000, make(FK_KIND_EVENT, 64));
    measure("block: new, free", block_new_free, 1000000, sema);
    measure("queue: put, take 64 bytes", put_take, 1000000, new_queue(0, false));
    measure("queue with maxsize: the same", put_take, 1000000, new_queue(100, false));
    measure("joinable queue: put, take, done", put_take_done, 1000000, new_queue(0, true));
    measure("two processes: lock pairs", contended_lock, 400000, make(FK_KIND_LOCK, 64));
    measure("two processes: queue 1 to 1", stream, 400000, new_queue(0, false));
    measure("two processes: the same, taken in batches", stream_in_batches, 400000,
            new_queue(0, false));
    measure("two processes: the same, maxsize 100", stream, 400000, new_queue(100, false));
    measure("two processes: ping-pong over two queues", ping_pong, 30000, new_queue(0, false));
    measure("two processes: ping-pong over a socket", ping_pong_stream, 30000, sema);
    measure("two processes: the same calls alone", ping_pong_bare, 30000, sema);
    measure("two processes: with one call to receive", ping_pong_barest, 30000, sema);
    return 0;
}
