/* The queue's contract: order, bounds, sizes, shutdown, and what is refused. */
#include "queue_kit.h"

TEST(messages_come_out_in_the_order_put)
{
    found();
    fk_queue *q = new_queue(0, false);
    CHECK(is_empty());
    for (uint64_t i = 0; i < 1000; i++) {
        CHECK_EQ(put(i, (uint32_t)i), FK_OK);
        CHECK_EQ(fk_queue_size(q), i + 1);
    }
    for (uint64_t i = 0; i < 1000; i++)
        EXPECT(i);
    CHECK(is_empty());
}

TEST(numbers_and_meta_come_with_the_message)
{
    found();
    fk_queue *q = new_queue(0, false);
    uint8_t buffer[FK_INLINE_MAX];
    fk_wait w = at_once();
    for (uint64_t i = 0; i < 3; i++) {
        uint64_t seq;
        fk_put p = {.head = "head", .head_size = 4, .data = "data", .data_size = 4, .meta = ~i};
        CHECK_EQ(fk_queue_put(&A, q, &p, &seq, &w), FK_OK);
        CHECK_EQ(seq, i);
    }
    fk_taken out[5];
    uint32_t n;
    _Atomic uint64_t claim = 0;
    fk_take t = {.buffer = buffer, .capacity = sizeof buffer, .claim = &claim};
    CHECK_EQ(fk_queue_take(&A, q, &t, out, 2, &n, &w), FK_OK);
    CHECK_EQ(n, 2);
    CHECK_EQ(atomic_load(&claim), 2);
    for (uint32_t i = 0; i < 2; i++) {
        CHECK(out[i].seq == i && out[i].meta == ~(uint64_t)i && out[i].size == 8 && !out[i].block);
        CHECK(memcmp(buffer + out[i].at, "headdata", 8) == 0);
    }
    CHECK_EQ(fk_queue_take(&A, q, &t, out, 5, &n, &w), FK_OK);
    CHECK(n == 1 && out[0].seq == 2);
    CHECK_EQ(atomic_load(&claim), 3);
    CHECK_EQ(fk_queue_take(&A, q, &t, out, 5, &n, &w), FK_AGAIN);
}

TEST(as_many_are_taken_as_fit_the_buffer)
{
    found();
    fk_queue *q = new_queue(0, false);
    uint8_t buffer[FK_INLINE_MAX];
    for (uint64_t i = 0; i < 4; i++)
        CHECK_EQ(put(i, FK_INLINE_MAX / 2 - 1), FK_OK);
    CHECK_EQ(put(4, FK_INLINE_MAX), FK_OK);
    fk_taken out[9];
    fk_take t = {.buffer = buffer, .capacity = sizeof buffer};
    fk_wait w = at_once();
    uint32_t n, wants[] = {2, 2, 1};
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(fk_queue_take(&A, q, &t, out, 9, &n, &w), FK_OK);
        CHECK_EQ(n, wants[i]);
        CHECK_EQ(out[0].meta, 2 * i);
    }
}

TEST(messages_of_every_size_pass_through_segments)
{
    found();
    new_queue(0, false);
    CHECK_EQ(put(0, FK_INLINE_MAX), FK_OK); /* does not fit the first segment */
    EXPECT(0);
    CHECK_EQ(put(0, FK_INLINE_MAX + 1), FK_OVERFLOW);
    CHECK(is_empty());
    uint64_t in = 0, out = 0;
    while (in < 20000) { /* in bursts, so that segments are chained, drained and used again */
        for (uint32_t i = chance(200); i-- > 0; in++)
            CHECK_EQ(put(in, chance(4) ? chance(300) : chance(FK_INLINE_MAX + 1)), FK_OK);
        for (uint32_t i = chance(220); i-- > 0 && out < in; out++)
            EXPECT(out);
    }
    while (out < in)
        EXPECT(out++);
    CHECK(is_empty());
}

TEST(a_queue_in_use_needs_no_new_memory)
{
    found();
    new_queue(0, false);
    uint64_t number, used = 0;
    for (int round = 0; round < 300; round++) {
        for (uint64_t i = 0; i < 100; i++)
            CHECK_EQ(put(i, 500), FK_OK);
        for (uint64_t i = 0; i < 100; i++)
            CHECK_EQ(get(&number), FK_OK);
        if (round == 200)
            used = heap_used();
    }
    CHECK(heap_used() <= used + (2 << 20)); /* one segment of the largest size comes and goes */
}

TEST(the_last_handle_frees_all)
{
    found();
    object first = make(FK_KIND_WORDS, 8); /* so that the hold table has its chunk */
    uint64_t used = heap_used();
    new_queue(0, true);
    uint64_t number;
    for (uint64_t i = 0; i < 3000; i++)
        CHECK_EQ(i % 50 ? put(i, (uint32_t)(i % 800)) : put_block(i, 9000), FK_OK);
    for (uint64_t i = 0; i < 500; i++)
        CHECK_EQ(get(&number), FK_OK);
    fk_hold_drop(&A, Q.index);
    CHECK_EQ(heap_used(), used);
    fk_hold_drop(&A, first.index);
}

/* ---- bounds -------------------------------------------------------------------------------------- */

TEST(a_bounded_queue_is_full_at_its_bound)
{
    found();
    fk_queue *q = new_queue(3, false);
    for (uint64_t i = 0; i < 3; i++)
        CHECK_EQ(put(i, 10), FK_OK);
    CHECK_EQ(put(3, 10), FK_AGAIN);
    uint64_t deadline = now_ns() + FK_SLICE_NS + FK_SLICE_NS / 2;
    CHECK_EQ(put_within(3, 10, (fk_wait)FK_WAIT_UNTIL(deadline)), FK_TIMEOUT);
    CHECK(now_ns() >= deadline);
    fk_wait w = in_slices();
    fk_put p = {.meta = 3};
    CHECK_EQ(fk_queue_put(&A, q, &p, NULL, &w), FK_INTR);
    EXPECT(0);
    CHECK_EQ(put(3, 10), FK_OK);
    CHECK_EQ(put(4, 10), FK_AGAIN);
    CHECK_EQ(fk_queue_size(q), 3);
    for (uint64_t i = 1; i < 4; i++)
        EXPECT(i);
}

TEST(an_empty_queue_is_waited_on_until_the_deadline)
{
    found();
    fk_queue *q = new_queue(0, false);
    uint64_t number, deadline = now_ns() + FK_SLICE_NS + FK_SLICE_NS / 2;
    CHECK_EQ(get_within(&number, (fk_wait)FK_WAIT_UNTIL(deadline)), FK_TIMEOUT);
    CHECK(now_ns() >= deadline);
    uint8_t buffer[FK_INLINE_MAX];
    fk_taken out;
    uint32_t n;
    fk_take t = {.buffer = buffer, .capacity = sizeof buffer};
    fk_wait w = in_slices();
    CHECK_EQ(fk_queue_take(&A, q, &t, &out, 1, &n, &w), FK_INTR);
}

/* ---- large messages ---------------------------------------------------------------------------------- */

TEST(a_large_message_is_passed_on_whole)
{
    found();
    new_queue(0, false);
    uint64_t used = heap_used();
    CHECK_EQ(put_block(1, 16000), FK_OK);
    CHECK_EQ(put(2, 10), FK_OK);
    CHECK_EQ(put_block(3, 16000), FK_OK);
    CHECK_EQ(put_block(4, 16000), FK_OK);
    CHECK_EQ(heap_used(), used + 3 * 16384);
    for (uint64_t i = 1; i <= 4; i++)
        EXPECT(i);
    CHECK_EQ(heap_used(), used);
}

TEST(a_large_message_comes_alone_or_last)
{
    found();
    fk_queue *q = new_queue(0, false);
    for (uint64_t i = 0; i < 6; i++)
        CHECK_EQ(i == 2 || i == 3 ? put_block(i, 9000) : put(i, 10), FK_OK);
    static uint8_t buffer[FK_INLINE_MAX];
    fk_taken out[9];
    fk_wait w = at_once();
    uint32_t n, wants[] = {3, 1, 2};
    for (int i = 0; i < 3; i++) {
        uint32_t entry;
        CHECK_EQ(fk_hold_new(&A, 0, &entry), FK_OK);
        fk_take t = {
            .buffer = buffer, .capacity = sizeof buffer, .block_hold = fk_hold_at(&A, entry)};
        CHECK_EQ(fk_queue_take(&A, q, &t, out, 9, &n, &w), FK_OK);
        CHECK_EQ(n, wants[i]);
        for (uint32_t k = 0; k < n; k++)
            CHECK_EQ(out[k].block != 0, i < 2 && k == n - 1);
        CHECK_EQ(atomic_load(&t.block_hold->off), out[n - 1].block);
        fk_hold_drop(&A, entry);
    }
}

TEST(a_full_queue_does_not_keep_the_block)
{
    found();
    new_queue(1, false);
    CHECK_EQ(put(0, 10), FK_OK);
    uint64_t used = heap_used();
    CHECK_EQ(put_block(1, 9000), FK_AGAIN);
    CHECK_EQ(heap_used(), used);
    fk_queue_shutdown(&A, Q.data, false);
    CHECK_EQ(put_block(1, 9000), FK_SHUTDOWN);
    CHECK_EQ(heap_used(), used);
}

TEST(a_block_is_in_one_message_at_most)
{
    found();
    fk_queue *q = new_queue(0, false);
    object o = make(FK_KIND_RAW, 9000);
    write_bytes(o.data, 5, 9000);
    fk_put p = {.block = o.off, .meta = 5};
    fk_wait w = at_once();
    CHECK_EQ(fk_queue_put(&A, q, &p, NULL, &w), FK_OK);
    CHECK_EQ(fk_queue_put(&A, q, &p, NULL, &w), FK_OVERFLOW);
    CHECK_EQ(fk_queue_size(q), 1);
    EXPECT(5);
    CHECK_EQ(refs(&o), FK_REF_HOLD);
    CHECK_EQ(fk_queue_put(&A, q, &p, NULL, &w), FK_OK); /* once more, now that it is out */
    EXPECT(5);
    p.block = 4096;
    CHECK_EQ(fk_queue_put(&A, q, &p, NULL, &w), FK_STALE);
}

/* ---- shutdown ---------------------------------------------------------------------------------------- */

TEST(after_a_shutdown_what_is_inside_can_be_taken)
{
    found();
    fk_queue *q = new_queue(0, false);
    uint64_t number;
    CHECK_EQ(put(1, 10), FK_OK);
    fk_queue_shutdown(&A, q, false);
    CHECK_EQ(put(2, 10), FK_SHUTDOWN);
    EXPECT(1);
    CHECK_EQ(get(&number), FK_SHUTDOWN);
    CHECK_EQ(get_within(&number, in_slices()), FK_SHUTDOWN);
    fk_queue_shutdown(&A, q, false);
}

TEST(an_immediate_shutdown_drops_what_is_inside)
{
    found();
    fk_queue *q = new_queue(0, true);
    uint64_t used = heap_used(), number;
    for (uint64_t i = 0; i < 10; i++)
        CHECK_EQ(put_block(i, 9000), FK_OK);
    fk_queue_shutdown(&A, q, true);
    CHECK_EQ(heap_used(), used);
    CHECK_EQ(fk_queue_size(q), 0);
    CHECK_EQ(fk_queue_unfinished(q), 0);
    CHECK_EQ(get(&number), FK_SHUTDOWN);
    CHECK_EQ(put(1, 10), FK_SHUTDOWN);
    fk_queue_shutdown(&A, q, false); /* does not open it again */
    CHECK_EQ(get(&number), FK_SHUTDOWN);
}

static void *get_until_shut(void *arg)
{
    uint64_t number;
    CHECK_EQ(get_within(&number, patient()), *(fk_status *)arg);
    return NULL;
}

static void *put_until_shut(void *arg)
{
    CHECK_EQ(put_within(1, 10, patient()), *(fk_status *)arg);
    return NULL;
}

TEST(a_shutdown_wakes_everybody)
{
    found();
    fk_status expected = FK_SHUTDOWN;
    for (int immediate = 0; immediate < 2; immediate++) {
        pthread_t t[3];
        for (int full = 0; full < 2; full++) {
            fk_queue *q = new_queue(1, false);
            if (full)
                CHECK_EQ(put(0, 10), FK_OK);
            fk_ec *ec = full ? &q->tail.ec : &q->head.ec;
            for (int i = 0; i < 3; i++)
                CHECK(pthread_create(&t[i], NULL, full ? put_until_shut : get_until_shut,
                                     &expected) == 0);
            WAIT_UNTIL(atomic_load(&ec->word) & 1);
            fk_queue_shutdown(&A, q, immediate);
            for (int i = 0; i < 3; i++)
                CHECK(pthread_join(t[i], NULL) == 0);
        }
    }
}

/* ---- corrupt memory ------------------------------------------------------------------------------------ */

static fk_status take_from(uint64_t seg, uint64_t pos, const fk_msg *msg)
{
    fk_queue *q = Q.data;
    uint64_t number;
    fk_cursor *head = &q->head.cursor[atomic_load(&q->head.version) & 1];
    uint64_t good_seg = atomic_load(&head->seg), good_pos = atomic_load(&head->pos);
    fk_segment *s = fk_at(&A, good_seg + FK_BLOCK_HEAD, sizeof *s);
    fk_msg *m = (fk_msg *)(s->data + good_pos), good = *m;
    if (msg)
        *m = *msg;
    atomic_store(&head->seg, seg ? seg : good_seg);
    atomic_store(&head->pos, pos ? pos : good_pos);
    fk_status st = get(&number);
    CHECK_EQ(fk_lock_owner(&q->head.lock), 0);
    atomic_store(&head->seg, good_seg);
    atomic_store(&head->pos, good_pos);
    *m = good;
    return st;
}

static fk_status put_at(uint64_t seg, uint64_t pos)
{
    fk_queue *q = Q.data;
    fk_cursor *tail = &q->tail.cursor[atomic_load(&q->tail.version) & 1];
    uint64_t good_seg = atomic_load(&tail->seg), good_pos = atomic_load(&tail->pos);
    atomic_store(&tail->seg, seg ? seg : good_seg);
    atomic_store(&tail->pos, pos ? pos : good_pos);
    fk_status st = put(7, 100);
    CHECK_EQ(fk_lock_owner(&q->tail.lock), 0);
    atomic_store(&tail->seg, good_seg);
    atomic_store(&tail->pos, good_pos);
    return st;
}

TEST(nothing_is_written_where_nothing_can_be)
{
    found();
    fk_queue *q = new_queue(0, false);
    CHECK_EQ(put(1, 100), FK_OK);
    CHECK_EQ(put_at(8, 0), FK_CORRUPT);
    CHECK_EQ(put_at(A.reserve, 0), FK_CORRUPT);
    CHECK_EQ(put_at(UINT64_MAX - 63, 0), FK_CORRUPT);
    CHECK_EQ(put_at(0, 1 << 20), FK_CORRUPT);
    CHECK_EQ(put_at(0, UINT64_MAX - 15), FK_CORRUPT);
    CHECK_EQ(put_at(0, 8), FK_CORRUPT);
    fk_segment *s = fk_at(&A, atomic_load(&q->head.cursor[0].seg) + FK_BLOCK_HEAD, sizeof *s);
    atomic_store(&s->next, A.reserve);
    CHECK_EQ(put(2, 12000), FK_CORRUPT); /* it would have to jump there */
    atomic_store(&s->next, 0);
    CHECK_EQ(put(2, 12000), FK_OK);
    EXPECT(1);
    EXPECT(2);
}

TEST(offsets_and_lengths_that_cannot_be_are_refused)
{
    found();
    new_queue(0, false);
    CHECK_EQ(put(1, 100), FK_OK);
    CHECK_EQ(take_from(8, 0, NULL), FK_CORRUPT);
    CHECK_EQ(take_from(A.reserve, 0, NULL), FK_CORRUPT);
    CHECK_EQ(take_from(A.reserve - 64, 0, NULL), FK_CORRUPT);
    CHECK_EQ(take_from(UINT64_MAX - 63, 0, NULL), FK_CORRUPT);
    CHECK_EQ(take_from(0, 1 << 20, NULL), FK_CORRUPT);
    CHECK_EQ(take_from(0, UINT64_MAX, NULL), FK_CORRUPT);
    CHECK_EQ(take_from(0, 8, NULL), FK_CORRUPT);
    const fk_msg wrong[] = {
        {.size = FK_INLINE_MAX + 1, .kind = FK_MSG_INLINE},
        {.size = 4000, .kind = FK_MSG_INLINE},
        {.size = UINT32_MAX, .kind = FK_MSG_INLINE},
        {.size = 100, .kind = 0},
        {.size = 100, .kind = 77},
        {.size = 100, .kind = FK_MSG_BLOCK},
        {.size = 16, .kind = FK_MSG_BLOCK} /* its offset is no block */,
        {.size = 0, .kind = FK_MSG_JUMP} /* to nowhere */,
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        CHECK_EQ(take_from(0, 0, &wrong[i]), FK_CORRUPT);
    EXPECT(1);
}

TEST_MAIN
