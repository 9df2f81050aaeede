/* Private views of large blocks: what is written through one is its own, and one that is kept shows the
 * next message in its block. */
#include "member.h"
#include "view.h"

#define SIZE (3 << 20)

/* A block full of a byte, as a message has come; the heap gives the one that was dropped last. */
static object arrive(int byte)
{
    object o = make(FK_KIND_RAW, SIZE);
    memset(o.data, byte, SIZE);
    return o;
}

static uint8_t *bytes_in(const fk_view *v) { return v->map + FK_BLOCK_HEAD; }

static bool shows(const fk_view *v, int byte)
{
    for (size_t i = 0; i < SIZE; i++)
        if (bytes_in(v)[i] != byte)
            return false;
    return true;
}

static void leave(object o, const fk_view *v)
{
    fk_view_close(&A, v, o.index);
    fk_hold_drop(&A, o.index);
}

/* Receive a message; its block. */
static uint64_t look_at(int byte)
{
    object o = arrive(byte);
    fk_view v;
    fk_status st = fk_view_open(&A, o.off, &v);
    if (st == FK_OK) {
        CHECK(shows(&v, byte));
        leave(o, &v);
    } else {
        CHECK_EQ(st, FK_AGAIN);
        fk_hold_drop(&A, o.index);
    }
    return o.off;
}

static uint64_t span(void) { return 4 << 20; } /* a power of two that holds the head as well */

TEST(a_block_that_comes_again_has_a_view_that_is_kept_and_shows_each_message)
{
    found();
    object o = arrive(1);
    fk_view v;
    uint64_t off = o.off;
    CHECK_EQ(fk_view_open(&A, off, &v), FK_AGAIN);
    fk_hold_drop(&A, o.index);
    for (int byte = 2; byte < 9; byte++) {
        CHECK_EQ(look_at(byte), off);
        CHECK_EQ(A.views_kept, span());
    }
    o = arrive(9);
    CHECK_EQ(fk_view_open(&A, off, &v), FK_OK);
    CHECK_EQ(A.views_kept, 0); /* one message has it */
}

TEST(a_block_that_others_may_come_to_is_only_read)
{
    found();
    for (int i = 0; i < 4; i++) {
        object o = arrive(1);
        atomic_store(&fk_block_at(&A, o.off)->travelled, 1);
        fk_view v;
        if (fk_view_open(&A, o.off, &v) == FK_OK) {
            fk_view_close(&A, &v, o.index);
            CHECK_EQ(A.views_kept, 0);
            for (size_t at = 0; at < SIZE; at++)
                CHECK_EQ(((uint8_t *)o.data)[at], 1);
        } else {
            CHECK_EQ(i, 0);
        }
        fk_hold_drop(&A, o.index);
    }
}

TEST(a_large_block_has_a_view_at_once_that_is_kept_from_the_second_message_on)
{
    found();
    for (int i = 0; i < 3; i++) {
        object o = make(FK_KIND_RAW, FK_COPY_FIRST);
        fk_view v;
        CHECK_EQ(fk_view_open(&A, o.off, &v), FK_OK);
        leave(o, &v);
        CHECK_EQ(A.views_kept, i ? 2 * FK_COPY_FIRST : 0);
    }
}

TEST(what_is_written_through_a_view_is_its_own_and_never_seen_again)
{
    static const size_t places[] = {0, 4095, 4096, SIZE / 2, SIZE - 4097, SIZE - 1};
    found();
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        look_at(1);
        look_at(2);
        CHECK_EQ(A.views_kept, span());
        object o = arrive(3);
        fk_view v;
        CHECK_EQ(fk_view_open(&A, o.off, &v), FK_OK);
        bytes_in(&v)[places[i]] = 4;
        CHECK_EQ(((uint8_t *)o.data)[places[i]], 3);
        leave(o, &v);
        CHECK_EQ(A.views_kept, 0);
        o = arrive(5);
        fk_status st;
        while ((st = fk_view_open(&A, o.off, &v)) == FK_AGAIN) /* to be copied, for a while */
            CHECK_EQ(A.views_kept, 0);
        CHECK_EQ(st, FK_OK);
        CHECK(shows(&v, 5));
        leave(o, &v);
    }
}

TEST(after_a_message_that_was_written_to_the_next_ones_are_to_be_copied)
{
    found();
    look_at(1);
    object o = arrive(2);
    fk_view v;
    CHECK_EQ(fk_view_open(&A, o.off, &v), FK_OK);
    bytes_in(&v)[0] = 3;
    leave(o, &v);
    int declined = 0;
    for (o = arrive(4); fk_view_open(&A, o.off, &v) == FK_AGAIN; declined++)
        ;
    CHECK(declined > 0);
    leave(o, &v); /* only looked at */
    CHECK_EQ(A.views_kept, span());
    look_at(5);
}

TEST(a_block_that_others_have_too_stays_as_it_is)
{
    found();
    uint64_t off = look_at(1);
    for (int i = 0; i < 2; i++) {
        object o = arrive(2);
        CHECK_EQ(o.off, off);
        if (i)
            fk_block_queue(&A, off); /* it will be given to another */
        else
            fk_block_ref(&A, off, FK_REF_HOLD);
        fk_view v;
        CHECK_EQ(fk_view_open(&A, off, &v), FK_OK);
        fk_view_close(&A, &v, o.index);
        CHECK_EQ(A.views_kept, 0);
        for (int b = 0; b < SIZE; b++)
            CHECK(((uint8_t *)o.data)[b] == 2);
        if (i)
            fk_block_unqueue(&A, off);
        else
            fk_block_unref(&A, off, FK_REF_HOLD);
        fk_hold_drop(&A, o.index);
    }
}

TEST(a_parcel_stays_as_it_is_until_it_has_given_up_what_it_carries)
{
    found();
    object inside = make(FK_KIND_LOCK, 64);
    uint64_t off = look_at(1);
    object o = make(FK_KIND_PARCEL, SIZE);
    CHECK_EQ(o.off, off);
    fk_parcel *p = o.data;
    p->n = 1000; /* more than a page of them */
    for (uint64_t i = 0; i < p->n; i++) {
        fk_block_ref(&A, inside.off, FK_REF_HOLD);
        atomic_store(&p->off[i], inside.off);
    }
    fk_view v;
    CHECK_EQ(fk_view_open(&A, off, &v), FK_OK);
    leave(o, &v);
    CHECK_EQ(refs(&inside), FK_REF_HOLD);
}

/* So it is in a child that could not be given a copy of its parent's holds. */
TEST(a_block_that_the_caller_does_not_hold_stays_as_it_is)
{
    found();
    object other = make(FK_KIND_RAW, 8);
    uint32_t holds[] = {FK_NO_HOLD, other.index};
    look_at(1);
    object o = arrive(2);
    for (size_t i = 0; i < sizeof holds / sizeof *holds; i++) {
        fk_view v;
        CHECK_EQ(fk_view_open(&A, o.off, &v), FK_OK);
        fk_view_close(&A, &v, holds[i]);
        CHECK_EQ(A.views_kept, 0);
        for (int b = 0; b < SIZE; b++)
            CHECK(((uint8_t *)o.data)[b] == 2);
    }
}

static int look_in_a_child(void *arg)
{
    (void)arg;
    look_at(7);
    return A.views_kept != span();
}

TEST(a_forked_child_has_views_of_its_own)
{
    found();
    look_at(1);
    look_at(2);
    member m = spawn_member(look_in_a_child, NULL);
    CHECK_EQ(bury(m), 0);
    CHECK_EQ(A.views_kept, span());
    look_at(3);
}

TEST(a_view_is_right_after_its_pages_were_given_back)
{
    found();
    uint64_t off = look_at(1);
    look_at(2);
    CHECK_EQ(A.views_kept, span());
    uint64_t large;
    CHECK_EQ(fk_block_new(&A, FK_KEEP_BYTES - SIZE / 2, FK_KIND_RAW, &large), FK_OK);
    object o = arrive(3);
    CHECK_EQ(o.off, off);
    fk_block_unref(&A, large, FK_REF_HOLD);
    fk_hold_drop(&A, o.index); /* beyond the bound */
    CHECK_EQ(fk_block_at(&A, off)->pages, 1);
    CHECK_EQ(look_at(4), off);
    CHECK_EQ(A.views_kept, span());
}

/* Bytes of this process's private mappings of the arena. */
static uint64_t mapped(void)
{
    FILE *maps = fopen("/proc/self/maps", "r");
    char line[512];
    uint64_t sum = 0;
    unsigned long long from, to;
    CHECK(maps);
    while (fgets(line, sizeof line, maps))
        if (strstr(line, "rw-p") && strstr(line, "memfd:forkful") &&
            sscanf(line, "%llx-%llx", &from, &to) == 2)
            sum += to - from;
    fclose(maps);
    return sum;
}

/* Receive so many messages at once, thrice. The most that was kept. */
static uint64_t hold_at_once(int n)
{
    object o[FK_MAX_VIEWS];
    fk_view v[FK_MAX_VIEWS];
    fk_status st[FK_MAX_VIEWS];
    uint64_t most = 0;
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < n; i++) {
            o[i] = arrive(i);
            st[i] = fk_view_open(&A, o[i].off, &v[i]);
            CHECK(st[i] == FK_OK ? bytes_in(&v[i])[SIZE - 1] == i : st[i] == FK_AGAIN);
        }
        for (int i = 0; i < n; i++) {
            if (st[i] == FK_OK)
                leave(o[i], &v[i]);
            else
                fk_hold_drop(&A, o[i].index);
            most = A.views_kept > most ? A.views_kept : most;
        }
        CHECK_EQ(mapped(), A.views_kept);
    }
    return most;
}

TEST(no_more_is_kept_than_the_bound)
{
    found();
    int bound = (int)(FK_KEEP_VIEWS / span());
    CHECK(bound < FK_MAX_VIEWS);
    CHECK_EQ(hold_at_once(bound), FK_KEEP_VIEWS);
    CHECK(hold_at_once(FK_MAX_VIEWS) <= FK_KEEP_VIEWS);
    look_at(1);
    look_at(2);
    CHECK(A.views_kept >= span());
}

TEST(views_of_blocks_that_are_forgotten_are_unmapped)
{
    found();
    CHECK_EQ(hold_at_once(4), 4 * span());
    object other = make(FK_KIND_RAW, FK_KEEP_VIEWS / 2);
    fk_view v;
    CHECK_EQ(fk_view_open(&A, other.off, &v), FK_OK); /* takes all room that there is */
    CHECK_EQ(A.views_kept, 0);
    CHECK_EQ(mapped(), v.span);
}

TEST(a_block_beyond_the_bound_is_viewed_at_once_and_not_kept)
{
    found();
    look_at(1);
    look_at(2);
    object large = make(FK_KIND_RAW, FK_KEEP_VIEWS);
    for (int i = 0; i < 3; i++) {
        fk_view v;
        CHECK_EQ(fk_view_open(&A, large.off, &v), FK_OK);
        fk_view_close(&A, &v, large.index);
        CHECK_EQ(A.views_kept, span());
        CHECK_EQ(mapped(), span());
    }
}

TEST(small_blocks_are_remembered_up_to_a_number)
{
    found();
    uint64_t off[2 * FK_MAX_VIEWS];
    for (int i = 0; i < 2 * FK_MAX_VIEWS; i++)
        CHECK_EQ(fk_block_new(&A, 70000, FK_KIND_RAW, &off[i]), FK_OK);
    for (int i = 0; i < 2 * FK_MAX_VIEWS; i++) {
        fk_view v;
        CHECK_EQ(fk_view_open(&A, off[i], &v), FK_AGAIN);
    }
    for (int i = FK_MAX_VIEWS; i < 2 * FK_MAX_VIEWS; i++) {
        fk_view v;
        CHECK_EQ(fk_view_open(&A, off[i], &v), FK_OK);
    }
}

TEST(a_block_that_does_not_start_on_a_page_has_no_view)
{
    found();
    object o = make(FK_KIND_RAW, 100);
    fk_view v;
    CHECK_EQ(fk_view_open(&A, o.off, &v), FK_STALE);
    CHECK_EQ(fk_view_open(&A, 0, &v), FK_STALE);
    CHECK_EQ(fk_view_open(&A, UINT64_MAX & ~UINT64_C(4095), &v), FK_STALE);
}

TEST_MAIN
