/* The queue at full speed: many producers and consumers, threads and processes.
 *
 * A message's number is its producer (high half) and how many that producer has put before (low
 * half). Each must come out once, and those of one producer in their order. */
#include "queue_kit.h"

enum { PRODUCERS = 3, CONSUMERS = 3, MESSAGES = 3000 };

typedef struct flow { /* in shared memory */
    uint64_t maxsize;
    bool large; /* some messages in blocks of their own */
    atomic_uint producer, alive;
    atomic_ullong taken;
    atomic_uchar seen[PRODUCERS][MESSAGES];
} flow;

static void *produce(void *arg)
{
    flow *f = arg;
    uint64_t me = atomic_fetch_add(&f->producer, 1);
    for (uint64_t i = 0; i < MESSAGES; i++) {
        uint64_t number = me << 32 | i;
        if (f->large && i % 16 == 0) {
            fk_status st;
            while ((st = put_block(number, 10000)) == FK_AGAIN)
                sched_yield();
            CHECK_EQ(st, FK_OK);
        } else {
            CHECK_EQ(put_within(number, chance(2) ? chance(64) : chance(2000), patient()), FK_OK);
        }
    }
    if (atomic_fetch_sub(&f->alive, 1) == 1)
        fk_queue_shutdown(&A, Q.data, false);
    return NULL;
}

static void *consume(void *arg)
{
    flow *f = arg;
    int64_t last[PRODUCERS] = {-1, -1, -1};
    uint64_t number;
    fk_status st;
    while ((st = get_within(&number, patient())) == FK_OK) {
        uint64_t producer = number >> 32;
        int64_t i = (int64_t)(number & UINT32_MAX);
        CHECK(producer < PRODUCERS && i > last[producer]);
        last[producer] = i;
        CHECK_EQ(atomic_fetch_add(&f->seen[producer][i], 1), 0);
        atomic_fetch_add(&f->taken, 1);
    }
    CHECK_EQ(st, FK_SHUTDOWN);
    return NULL;
}

static int produce_here(void *arg)
{
    produce(arg);
    return 0;
}

static int consume_here(void *arg)
{
    consume(arg);
    return 0;
}

static flow *new_flow(uint64_t maxsize, bool large)
{
    flow *f = shared_page(sizeof *f);
    *f = (flow){.maxsize = maxsize, .large = large, .alive = PRODUCERS};
    new_queue(maxsize, false);
    return f;
}

static void all_must_have_come(const flow *f)
{
    CHECK_EQ(atomic_load(&f->taken), PRODUCERS * MESSAGES);
    for (int p = 0; p < PRODUCERS; p++)
        for (int i = 0; i < MESSAGES; i++)
            CHECK_EQ(atomic_load(&f->seen[p][i]), 1);
    CHECK_EQ(fk_queue_size(Q.data), 0);
}

static void flow_in_threads(uint64_t maxsize, bool large)
{
    flow *f = new_flow(maxsize, large);
    pthread_t t[PRODUCERS + CONSUMERS];
    for (int i = 0; i < PRODUCERS + CONSUMERS; i++)
        CHECK(pthread_create(&t[i], NULL, i < PRODUCERS ? produce : consume, f) == 0);
    fk_queue *q = Q.data;
    while (maxsize && atomic_load(&f->alive)) /* a sample, again and again */
        CHECK(fk_queue_size(q) <= maxsize);
    for (int i = 0; i < PRODUCERS + CONSUMERS; i++)
        CHECK(pthread_join(t[i], NULL) == 0);
    all_must_have_come(f);
}

TEST(every_message_comes_out_once_and_in_order)
{
    found();
    fk_spins = 0; /* so that everybody sleeps */
    flow_in_threads(0, true);
}

TEST(a_bounded_queue_is_never_above_its_bound)
{
    found();
    flow_in_threads(1, false);
    flow_in_threads(7, true);
}

TEST(it_holds_on_a_shaken_schedule)
{
    found();
    fk_point_yields = 6;
    flow_in_threads(5, true);
}

TEST(processes_see_the_same)
{
    for (uint64_t maxsize = 0; maxsize < 20; maxsize += 10) {
        if (!A.base)
            found();
        flow *f = new_flow(maxsize, true);
        member m[PRODUCERS + CONSUMERS];
        for (int i = 0; i < PRODUCERS + CONSUMERS; i++)
            m[i] = spawn_member(i < PRODUCERS ? produce_here : consume_here, f);
        for (int i = 0; i < PRODUCERS + CONSUMERS; i++)
            CHECK_EQ(bury(m[i]), 0);
        all_must_have_come(f);
        fk_hold_drop(&A, Q.index);
    }
}

/* ---- many at a time ---------------------------------------------------------------------------------- */

static void *consume_in_batches(void *arg)
{
    flow *f = arg;
    static _Thread_local uint8_t buffer[4 * FK_INLINE_MAX];
    fk_taken out[32];
    fk_take t = {.buffer = buffer, .capacity = sizeof buffer};
    uint32_t n;
    fk_status st;
    do {
        fk_wait w = patient();
        st = fk_queue_take(&A, Q.data, &t, out, 32, &n, &w);
        for (uint32_t i = 0; st == FK_OK && i < n; i++) {
            CHECK(i == 0 || out[i].seq == out[i - 1].seq + 1);
            CHECK_EQ(atomic_fetch_add(&f->seen[out[i].meta >> 32][out[i].meta & UINT32_MAX], 1), 0);
            atomic_fetch_add(&f->taken, 1);
        }
    } while (st == FK_OK);
    CHECK_EQ(st, FK_SHUTDOWN);
    return NULL;
}

static void *produce_quietly(void *arg)
{
    flow *f = arg;
    uint64_t me = atomic_fetch_add(&f->producer, 1);
    uint32_t quiet = 0;
    for (uint64_t i = 0; i < MESSAGES; i++) {
        fk_put p = {.meta = me << 32 | i, .quiet = true};
        fk_wait w = patient();
        CHECK_EQ(fk_queue_put(&A, Q.data, &p, NULL, &w), FK_OK);
        if (++quiet == 8) {
            fk_queue_wake(Q.data, quiet);
            quiet = 0;
        }
    }
    fk_queue_wake(Q.data, quiet);
    if (atomic_fetch_sub(&f->alive, 1) == 1)
        fk_queue_shutdown(&A, Q.data, false);
    return NULL;
}

TEST(batches_lose_and_double_nothing)
{
    found();
    flow *f = new_flow(0, false);
    pthread_t t[PRODUCERS + CONSUMERS];
    for (int i = 0; i < PRODUCERS + CONSUMERS; i++)
        CHECK(pthread_create(&t[i], NULL, i < PRODUCERS ? produce_quietly : consume_in_batches,
                             f) == 0);
    for (int i = 0; i < PRODUCERS + CONSUMERS; i++)
        CHECK(pthread_join(t[i], NULL) == 0);
    all_must_have_come(f);
}

/* ---- hand-overs ------------------------------------------------------------------------------------------ */

static void *echo(void *arg)
{
    object there = *(object *)arg;
    for (uint64_t i = 0; i < 5000; i++) {
        static _Thread_local uint8_t buffer[FK_INLINE_MAX];
        fk_taken out;
        fk_take t = {.buffer = buffer, .capacity = sizeof buffer};
        uint32_t n;
        fk_wait w = patient();
        CHECK_EQ(fk_queue_take(&A, Q.data, &t, &out, 1, &n, &w), FK_OK);
        CHECK_EQ(out.meta, i);
        fk_put p = {.meta = i};
        CHECK_EQ(fk_queue_put(&A, there.data, &p, NULL, &w), FK_OK);
    }
    return NULL;
}

TEST(no_wake_up_is_lost_in_ping_pong)
{
    found();
    fk_spins = 0;
    new_queue(1, false);
    object here = Q, there = make(FK_KIND_QUEUE, sizeof(fk_queue));
    CHECK_EQ(fk_queue_init(&A, there.data, 0, false), FK_OK);
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, echo, &there) == 0);
    for (uint64_t i = 0; i < 5000; i++) {
        static uint8_t buffer[FK_INLINE_MAX];
        fk_taken out;
        fk_take t = {.buffer = buffer, .capacity = sizeof buffer};
        uint32_t n;
        fk_wait w = patient();
        fk_put p = {.meta = i};
        CHECK_EQ(fk_queue_put(&A, here.data, &p, NULL, &w), FK_OK);
        CHECK_EQ(fk_queue_take(&A, there.data, &t, &out, 1, &n, &w), FK_OK);
        CHECK_EQ(out.meta, i);
    }
    CHECK(pthread_join(thread, NULL) == 0);
}

typedef struct getter {
    fk_wait wait;
    fk_status st;
    atomic_int tid, over;
    uint64_t number;
} getter;

static void *get_one(void *arg)
{
    getter *g = arg;
    atomic_store(&g->tid, (int)fk_tid(&A));
    g->st = get_within(&g->number, g->wait);
    atomic_store(&g->over, 1);
    return NULL;
}

/* Or has ended: on a slow machine the deadline may pass before all is arranged. */
static bool sleeps_for_item(fk_queue *q, getter *g)
{
    char state = '?';
    int parent, tid = atomic_load(&g->tid);
    return atomic_load(&g->over) || (tid && harness_stat(tid, &state, &parent) && state == 'S' &&
                                     (atomic_load(&q->head.ec.word) & 1));
}

/* The consumer that the wake-up goes to gives up, because its deadline passes while somebody else
 * holds the lock. No slice comes to help: the other consumer's is longer than the test. */
TEST(a_consumer_that_gives_up_passes_its_wake_up_on)
{
    found();
    fk_spins = 0;
    fk_queue *q = new_queue(0, false);
    getter hasty = {.wait = FK_WAIT_UNTIL(fk_now_ns() + 300000000)}, calm = {.wait = patient()};
    pthread_t first, second;
    CHECK(pthread_create(&first, NULL, get_one, &hasty) == 0);
    WAIT_UNTIL(sleeps_for_item(q, &hasty)); /* the first to sleep is the first to be woken */
    CHECK(pthread_create(&second, NULL, get_one, &calm) == 0);
    WAIT_UNTIL(sleeps_for_item(q, &calm));
    CHECK_EQ(fk_lock_try(&A, &q->head.lock), FK_OK);
    CHECK_EQ(put(7, 100), FK_OK);
    CHECK(pthread_join(first, NULL) == 0);
    CHECK_EQ(hasty.st, FK_TIMEOUT);
    fk_lock_release(&q->head.lock);
    CHECK(pthread_join(second, NULL) == 0);
    CHECK_EQ(calm.st, FK_OK);
    CHECK_EQ(calm.number, 7);
}

TEST_MAIN
