/* Parcels: messages that keep the objects they carry alive, received or not. */
#include "queue_kit.h"

/* A block that carries some objects, with a ref of each, held by this process. */
static object pack(const object *inside, uint64_t n)
{
    object o = make(FK_KIND_PARCEL, sizeof(fk_parcel) + n * sizeof(uint64_t));
    fk_parcel *p = o.data;
    p->n = n;
    for (uint64_t i = 0; i < n; i++) {
        fk_block_ref(&A, inside[i].off, FK_REF_HOLD);
        atomic_store(&p->off[i], inside[i].off);
    }
    return o;
}

static fk_status send(object parcel)
{
    fk_wait w = at_once();
    fk_put p = {.block = parcel.off};
    fk_status st = fk_queue_put(&A, Q.data, &p, NULL, &w);
    fk_hold_drop(&A, parcel.index);
    return st;
}

TEST(what_a_parcel_carries_lives_as_long_as_it)
{
    found();
    object two[2] = {make(FK_KIND_LOCK, 64), make(FK_KIND_WORDS, 64)};
    uint64_t used = heap_used();
    object p = pack(two, 2);
    fk_hold_drop(&A, two[0].index);
    CHECK_EQ(refs(&two[0]), FK_REF_HOLD);
    CHECK_EQ(refs(&two[1]), 2 * FK_REF_HOLD);
    fk_hold_drop(&A, p.index);
    CHECK_EQ(refs(&two[1]), FK_REF_HOLD);
    CHECK_EQ(heap_used(), used - 128);
}

TEST(what_nobody_receives_is_freed_with_the_queue)
{
    found();
    object keeps_a_chunk = make(FK_KIND_WORDS, 8);
    uint64_t used = heap_used();
    new_queue(0, false);
    for (int i = 0; i < 5; i++) {
        object inside = make(FK_KIND_LOCK, 64);
        CHECK_EQ(send(pack(&inside, 1)), FK_OK);
        fk_hold_drop(&A, inside.index);
    }
    CHECK(heap_used() > used);
    fk_hold_drop(&A, Q.index);
    CHECK_EQ(heap_used(), used);
    CHECK_EQ(refs(&keeps_a_chunk), FK_REF_HOLD);
}

TEST(a_chain_of_parcels_is_freed_however_long_it_is)
{
    found();
    object last = make(FK_KIND_WORDS, 8);
    uint64_t used = heap_used();
    object o = last;
    for (int i = 0; i < 300000; i++) {
        object next = pack(&o, 1);
        if (i)
            fk_hold_drop(&A, o.index);
        o = next;
    }
    CHECK(heap_used() > used);
    fk_hold_drop(&A, o.index);
    CHECK_EQ(heap_used(), used);
    CHECK_EQ(refs(&last), FK_REF_HOLD);
}

TEST(a_parcel_may_hold_less_than_it_says)
{
    found();
    object inside = make(FK_KIND_WORDS, 8);
    uint64_t used = heap_used();
    object p = pack(&inside, 1);
    fk_hold_drop(&A, make(FK_KIND_WORDS, 8).index);
    atomic_store(&((fk_parcel *)p.data)->off[0], 0); /* its packer was killed before this one */
    fk_block_unref(&A, inside.off, FK_REF_HOLD);
    fk_hold_drop(&A, p.index);
    CHECK_EQ(heap_used(), used);

    p = pack(&inside, 1);
    ((fk_parcel *)p.data)->n = UINT64_MAX; /* or a number that cannot be */
    fk_hold_drop(&A, p.index);
    CHECK_EQ(refs(&inside), 2 * FK_REF_HOLD);
    CHECK_EQ(heap_used(), used);
}

static int receive_and_drop(void *arg)
{
    (void)arg;
    static uint8_t buffer[FK_INLINE_MAX];
    fk_taken out;
    uint32_t n, entry;
    CHECK_EQ(fk_hold_new(&A, 0, &entry), FK_OK);
    fk_take t = {.buffer = buffer, .capacity = sizeof buffer, .block_hold = fk_hold_at(&A, entry)};
    fk_wait w = at_once();
    CHECK_EQ(fk_queue_take(&A, Q.data, &t, &out, 1, &n, &w), FK_OK);
    fk_hold_drop(&A, entry);
    return 0;
}

TEST(who_dies_as_it_unpacks_costs_one_ref_of_one_object)
{
    found();
    object three[3];
    for (int i = 0; i < 3; i++)
        three[i] = make(FK_KIND_WORDS, 8);
    new_queue(0, false);
    for (int skip = 0; skip < 3; skip++) {
        uint64_t before = refs(&three[0]) + refs(&three[1]) + refs(&three[2]);
        CHECK_EQ(send(pack(three, 3)), FK_OK);
        member dead;
        CHECK(dies_at("parcel.forgotten", skip, receive_and_drop, NULL, &dead));
        CHECK(fk_reap(&A, dead.owner));
        uint64_t after = refs(&three[0]) + refs(&three[1]) + refs(&three[2]);
        CHECK_EQ(after, before + 1); /* the reaper goes on with the others */
    }
    uint64_t before = refs(&three[0]);
    CHECK_EQ(send(pack(three, 3)), FK_OK);
    member dead; /* received, and not unpacked: the reaper does it */
    CHECK(dies_at("queue.taken", 0, receive_and_drop, NULL, &dead));
    CHECK(fk_reap(&A, dead.owner));
    CHECK(is_empty());
    CHECK_EQ(refs(&three[0]), before);
}

TEST_MAIN
