/* What the tests of the queue share: making one, putting a number, taking one.
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

#endif
