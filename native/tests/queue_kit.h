/* What the tests of the queue share: making one, putting a number, taking one, joining.
 *
 * A message is `size` bytes made from its number; get() checks each of them. */
#ifndef QUEUE_KIT_H
#define QUEUE_KIT_H

#include "member.h"

static object Q; /* the queue under test */

static HARNESS_UNUSED fk_queue *new_queue(uint64_t maxsize, bool joinable)
{
    Q = make(FK_KIND_QUEUE, sizeof(fk_queue));
    CHECK_EQ(fk_queue_init(&A, Q.data, maxsize, joinable), FK_OK);
    return Q.data;
}

static void write_bytes(uint8_t *to, uint64_t number, uint32_t size)
{
    for (uint32_t i = 0; i < size; i++)
        to[i] = (uint8_t)(number * 31 + i);
}

static HARNESS_UNUSED fk_status put_within(uint64_t number, uint32_t size, fk_wait w)
{
    static _Thread_local uint8_t bytes[FK_INLINE_MAX];
    write_bytes(bytes, number, size);
    fk_put p = {.data = bytes, .data_size = size, .meta = number};
    return PARKED(FK_OP_QUEUE_PUT, fk_queue_put(&A, Q.data, &p, NULL, &w));
}

static HARNESS_UNUSED fk_status put(uint64_t number, uint32_t size)
{
    return put_within(number, size, at_once());
}

/* Put a message in a block of its own. */
static HARNESS_UNUSED fk_status put_block(uint64_t number, uint32_t size)
{
    object o = make(FK_KIND_RAW, size);
    write_bytes(o.data, number, size);
    fk_put p = {.block = o.off, .meta = number};
    fk_wait w = at_once();
    fk_status st = PARKED(FK_OP_QUEUE_PUT, fk_queue_put(&A, Q.data, &p, NULL, &w));
    fk_hold_drop(&A, o.index);
    return st;
}

/* Take one message; its number is in *number. */
static HARNESS_UNUSED fk_status get_within(uint64_t *number, fk_wait w)
{
    static _Thread_local uint8_t buffer[FK_INLINE_MAX], expected[FK_INLINE_MAX];
    static _Thread_local uint32_t entry = FK_NO_HOLD;
    static _Thread_local fk_owner entry_of;
    if (entry == FK_NO_HOLD || entry_of != A.me) {
        CHECK_EQ(fk_hold_new(&A, 0, &entry), FK_OK);
        entry_of = A.me;
    }
    fk_taken out;
    fk_take t = {.buffer = buffer,
                 .capacity = sizeof buffer,
                 .hold = hold_of(&Q),
                 .block_hold = fk_hold_at(&A, entry)};
    uint32_t n;
    fk_status st = PARKED(FK_OP_QUEUE_GET, fk_queue_take(&A, Q.data, &t, &out, 1, &n, &w));
    if (st != FK_OK)
        return st;
    CHECK_EQ(n, 1);
    const uint8_t *bytes = buffer + out.at;
    uint64_t size = out.size;
    if (out.block) {
        bytes = fk_block_data(&A, out.block);
        size = fk_block_at(&A, out.block)->size;
    }
    CHECK(bytes && size <= sizeof expected);
    write_bytes(expected, out.meta, (uint32_t)size);
    CHECK(memcmp(bytes, expected, size) == 0);
    if (out.block) {
        fk_hold_drop(&A, entry);
        entry = FK_NO_HOLD;
    }
    *number = out.meta;
    return FK_OK;
}

static HARNESS_UNUSED fk_status get(uint64_t *number) { return get_within(number, at_once()); }

/* The next message must be this one. */
#define EXPECT(expected)                                                                           \
    do {                                                                                           \
        uint64_t expect_number = 0;                                                                \
        CHECK_EQ(get(&expect_number), FK_OK);                                                      \
        CHECK_EQ(expect_number, expected);                                                         \
    } while (0)

static HARNESS_UNUSED bool is_empty(void)
{
    uint64_t number;
    return get(&number) == FK_AGAIN && fk_queue_size(Q.data) == 0;
}

/* ---- a joinable one, redelivering or not */

static HARNESS_UNUSED fk_status done(void)
{
    fk_queue *q = Q.data;
    return fk_queue_done(&A, q, q->redeliver ? NULL : hold_of(&Q));
}

static HARNESS_UNUSED fk_status join_within(uint64_t *lost, fk_wait w)
{
    return PARKED(FK_OP_QUEUE_JOIN, fk_queue_join(&A, Q.data, lost, &w));
}

static HARNESS_UNUSED fk_status join(uint64_t *lost) { return join_within(lost, at_once()); }

/* Numbers from 0; of a redelivering queue each message must be a block. */
static HARNESS_UNUSED void put_many(uint64_t n)
{
    for (uint64_t i = 0; i < n; i++)
        CHECK_EQ(((fk_queue *)Q.data)->redeliver ? put_block(i, 100) : put(i, 10), FK_OK);
}

/* What a child does: take so many, and report so many of them as done. */
typedef struct job {
    int take, report;
} job;

static HARNESS_UNUSED int do_job(void *arg)
{
    job *j = arg;
    uint64_t number;
    for (int i = 0; i < j->take; i++)
        CHECK_EQ(get(&number), FK_OK);
    for (int i = 0; i < j->report; i++)
        CHECK_EQ(done(), FK_OK);
    return 0;
}

static HARNESS_UNUSED int do_job_and_stay(void *arg)
{
    do_job(arg);
    return wait_for_kill(NULL);
}

static HARNESS_UNUSED int take_one(void *arg)
{
    (void)arg;
    return do_job(&(job){1, 0});
}

static HARNESS_UNUSED int work_off_all(void *arg)
{
    (void)arg;
    uint64_t number;
    while (get(&number) == FK_OK)
        CHECK_EQ(done(), FK_OK);
    return 0;
}

/* Until the shutdown. */
static HARNESS_UNUSED void *work_in_thread(void *arg)
{
    uint64_t number;
    fk_status st;
    while ((st = get_within(&number, patient())) == FK_OK)
        CHECK_EQ(done(), FK_OK);
    CHECK_EQ(st, FK_SHUTDOWN);
    return arg;
}

/* arg: the status that it must come to. */
static HARNESS_UNUSED void *join_in_thread(void *arg)
{
    uint64_t lost;
    CHECK_EQ(join_within(&lost, patient()), *(fk_status *)arg);
    return NULL;
}

/* Four threads work while this one puts and joins, so many times twenty. */
static HARNESS_UNUSED void join_again_and_again(int rounds)
{
    fk_point_yields = 8;
    fk_queue *q = Q.data;
    pthread_t t[4];
    for (int i = 0; i < 4; i++)
        CHECK(pthread_create(&t[i], NULL, work_in_thread, NULL) == 0);
    uint64_t lost;
    for (int round = 0; round < rounds; round++) {
        put_many(20);
        CHECK_EQ(join_within(&lost, patient()), FK_OK);
        CHECK_EQ(fk_queue_unfinished(q), 0);
    }
    fk_queue_shutdown(&A, q, false);
    for (int i = 0; i < 4; i++)
        CHECK(pthread_join(t[i], NULL) == 0);
}

#endif
