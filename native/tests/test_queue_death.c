/* Producers and consumers that die at each step: the queue is whole, and nothing else is lost.
 *
 * A doomed child puts (or takes) numbered messages and counts what it has put (or taken) in shared
 * memory. Wherever it dies, the queue then holds what it counted, or one more if it died between
 * the commit and its count; a survivor goes on; and when the queue is gone its memory is back, but
 * for the block that the headers allow a death to cost. */
#include "queue_kit.h"

enum { MANY = 400 };

static atomic_int *counted;

/* Every kind of message: tiny ones, such as jump to the next segment, blocks of their own. */
static fk_status put_some_kind(uint64_t i)
{
    return i % 7 == 3 ? put_block(i, 9000) : put(i, i % 5 == 0 ? 12000 : (uint32_t)i % 90);
}

static int put_all(void *arg)
{
    (void)arg;
    for (uint64_t i = 0; i < MANY; i++) {
        CHECK_EQ(put_some_kind(i), FK_OK);
        atomic_fetch_add(counted, 1);
    }
    return 0;
}

static int take_all(void *arg)
{
    (void)arg;
    uint64_t number;
    while (get(&number) == FK_OK)
        atomic_fetch_add(counted, 1);
    return 0;
}

/* What happens after the death, in which order. */
enum { SURVIVOR_FIRST, REAPER_FIRST, NO_SURVIVOR, ORDERS };

static uint64_t take_in_order(uint64_t from)
{
    uint64_t number;
    while (get(&number) == FK_OK)
        CHECK_EQ(number, from++);
    return from;
}

static void a_producer_dies(const char *point, int skip, int order, bool *died)
{
    member dead;
    new_queue(0, false);
    for (uint64_t i = 0; i < 8; i++) /* so that there is a spare segment */
        CHECK_EQ(put(i, 12000), FK_OK);
    CHECK_EQ(take_in_order(0), 8);
    CHECK(atomic_load(&((fk_queue *)Q.data)->spare));
    atomic_store(counted, 0);
    *died = dies_at(point, skip, put_all, NULL, &dead);
    uint64_t inside = fk_queue_size(Q.data), put_by_it = (uint64_t)atomic_load(counted);
    CHECK(inside == put_by_it || inside == put_by_it + 1);
    if (order != SURVIVOR_FIRST)
        CHECK(fk_reap(&A, dead.owner));
    if (order != NO_SURVIVOR) {
        for (uint64_t i = inside; i < inside + 100; i++)
            CHECK_EQ(put_some_kind(i), FK_OK);
        CHECK_EQ(fk_queue_size(Q.data), inside + 100);
        CHECK_EQ(take_in_order(0), inside + 100);
        CHECK(is_empty());
    }
    CHECK(fk_reap(&A, dead.owner));
    fk_hold_drop(&A, Q.index);
}

static void a_consumer_dies(const char *point, int skip, int order, bool *died)
{
    member dead;
    new_queue(0, false);
    atomic_store(counted, 0);
    put_all(NULL);
    atomic_store(counted, 0);
    *died = dies_at(point, skip, take_all, NULL, &dead);
    uint64_t taken = MANY - fk_queue_size(Q.data), taken_by_it = (uint64_t)atomic_load(counted);
    CHECK(taken == taken_by_it || taken == taken_by_it + 1);
    if (order != SURVIVOR_FIRST)
        CHECK(fk_reap(&A, dead.owner));
    if (order != NO_SURVIVOR) {
        CHECK_EQ(put_some_kind(MANY), FK_OK);
        CHECK_EQ(take_in_order(taken), MANY + 1);
        CHECK(is_empty());
    }
    CHECK(fk_reap(&A, dead.owner));
    fk_hold_drop(&A, Q.index);
}

typedef void scenario(const char *point, int skip, int order, bool *died);

static void die_everywhere(scenario *run, const place *places, size_t n)
{
    found();
    counted = shared_page(4096);
    object keeps_a_chunk = make(FK_KIND_WORDS, 8);
    for (size_t i = 0; i < n; i++) {
        bool died = true;
        int deaths = 0;
        for (int skip = 0; died; deaths++) { /* the first pass in each order, later ones in turn */
            uint64_t used = heap_used();
            run(places[i].point, skip, deaths % ORDERS, &died);
            CHECK(heap_used() - used <= places[i].may_cost);
            CHECK_EQ(slots_used(), 1);
            free_blocks_are_sound();
            if (deaths >= ORDERS - 1)
                skip = 2 * skip + 1;
        }
        if (deaths == 1)
            fprintf(stderr, "nobody passed the point %s\n", places[i].point);
        CHECK(deaths > 1);
    }
    CHECK_EQ(refs(&keeps_a_chunk), FK_REF_HOLD);
}

#define SEGMENT (1 << 20)
#define BLOCK 16384

TEST_LIMIT(a_producer_may_die_anywhere, 240)
{
    static const place places[] = {
        {"queue.written", 0},     {"queue.cursor", 0},    {"queue.put", 0},
        {"queue.linked", 0},      {"lock.released", 0},   {"queue.unlinked", SEGMENT},
        {"hold.dropping", BLOCK}, {"heap.popped", BLOCK}, {"heap.taken", SEGMENT},
    };
    die_everywhere(a_producer_dies, places, sizeof places / sizeof *places);
}

TEST_LIMIT(a_consumer_may_die_anywhere, 240)
{
    static const place places[] = {
        {"queue.claimed", 0},     {"queue.cursor", 0},       {"queue.taken", 0},
        {"lock.released", 0},     {"queue.struck", SEGMENT}, {"queue.referred", BLOCK},
        {"hold.dropping", BLOCK}, {"heap.freed", SEGMENT},   {"heap.push", SEGMENT},
        {"heap.pushed", 0},
    };
    die_everywhere(a_consumer_dies, places, sizeof places / sizeof *places);
}

/* ---- who settles may die, too -------------------------------------------------------------------------- */

static int put_one_block(void *arg)
{
    (void)arg;
    return put_block(0, 9000);
}

static int put_one(void *arg) { return put(*(uint64_t *)arg, 10); }

TEST(who_settles_for_a_dead_producer_may_die_as_well)
{
    static const char *points[] = {"queue.struck", "queue.written", "queue.cursor", "queue.put"};
    found();
    object keeps_a_chunk = make(FK_KIND_WORDS, 8);
    for (size_t i = 0; i < sizeof points / sizeof *points; i++) {
        uint64_t used = heap_used();
        new_queue(0, false);
        member first, second;
        CHECK(dies_at("queue.written", 0, put_one_block, NULL, &first));
        CHECK(dies_at(points[i], 0, put_one, &(uint64_t){1}, &second));
        CHECK(fk_reap(&A, first.owner)); /* its block is free, unless it was struck out only */
        object other = make(FK_KIND_RAW, 9000); /* in the same place, perhaps, and queued */
        write_bytes(other.data, 7, 9000);
        fk_wait w = at_once();
        object q = Q;
        new_queue(0, false);
        CHECK_EQ(fk_queue_put(&A, Q.data, &(fk_put){.block = other.off, .meta = 7}, NULL, &w),
                 FK_OK);
        fk_hold_drop(&A, other.index);
        object q2 = Q;
        Q = q;
        CHECK_EQ(put(2, 10), FK_OK); /* settles once more */
        uint64_t number;
        CHECK_EQ(get(&number), FK_OK);
        if (i == 3) {
            CHECK_EQ(number, 1);
            EXPECT(2);
        } else {
            CHECK_EQ(number, 2);
        }
        Q = q2;
        EXPECT(7); /* the other queue still owns its block */
        fk_hold_drop(&A, q.index);
        fk_hold_drop(&A, q2.index);
        CHECK(fk_reap(&A, second.owner));
        CHECK(heap_used() - used <= (i == 0 ? BLOCK : 0));
        CHECK_EQ(refs(&keeps_a_chunk), FK_REF_HOLD);
    }
}

TEST(who_settles_for_a_dead_consumer_may_die_as_well)
{
    found();
    object keeps_a_chunk = make(FK_KIND_WORDS, 8);
    for (int skip = 0; skip < 4; skip++) { /* block and segment, struck out and given up */
        uint64_t used = heap_used();
        new_queue(0, false);
        for (uint64_t i = 0; i < 3; i++) /* the second jumps: it drains a segment */
            CHECK_EQ(i == 1 ? put(i, 12000) : put_block(i, 9000), FK_OK);
        member first, second;
        CHECK(dies_at("queue.taken", 0, take_one, NULL, &first));
        CHECK_EQ(fk_queue_size(Q.data), 2);
        bool died =
            dies_at(skip % 2 ? "lock.released" : "queue.struck", skip, take_one, NULL, &second);
        CHECK(fk_reap(&A, first.owner));
        uint64_t left = fk_queue_size(Q.data);
        CHECK(left <= 2);
        for (uint64_t i = 3 - left; i < 3; i++)
            EXPECT(i);
        CHECK(died || left == 1);
        CHECK(is_empty());
        CHECK(fk_reap(&A, second.owner));
        fk_hold_drop(&A, Q.index);
        CHECK(heap_used() - used <= BLOCK);
        CHECK_EQ(refs(&keeps_a_chunk), FK_REF_HOLD);
    }
}

/* A segment is given up, and at once in use again: then the one who gave it up dies. */
TEST(what_a_dead_settler_gave_up_is_not_given_up_again)
{
    found();
    fk_queue *queue = new_queue(0, false);
    CHECK_EQ(put(0, 12000), FK_OK); /* jumps out of the first segment */
    for (uint64_t i = 1; i < 4; i++)
        CHECK_EQ(put(i, 10), FK_OK);
    uint64_t segment = atomic_load(&queue->head.cursor[0].seg);
    member first, second;
    CHECK(dies_at("queue.taken", 0, take_one, NULL, &first));
    CHECK(dies_at("heap.pushed", 0, take_one, NULL, &second));
    object other = make(FK_KIND_RAW, 3000);
    CHECK_EQ(other.off, segment);
    EXPECT(1); /* settles once more */
    CHECK_EQ(refs(&other), FK_REF_HOLD);
    CHECK(fk_reap(&A, first.owner));
    CHECK(fk_reap(&A, second.owner));
    CHECK_EQ(refs(&other), FK_REF_HOLD);
}

static void make_full_queue(void)
{
    new_queue(0, false);
    for (uint64_t n = 0; n < 200; n++)
        CHECK_EQ(put_some_kind(n), FK_OK);
}

TEST_LIMIT(who_dies_as_it_destroys_a_queue_is_replaced, 240)
{
    static const place places[] = {{"queue.cursor", 0},     {"queue.struck", SEGMENT},
                                   {"heap.freed", SEGMENT}, {"heap.push", SEGMENT},
                                   {"heap.pushed", 0},      {"hold.dropped", 0},
                                   {"lock.released", 0}};
    found();
    die_as_it_is_destroyed(&Q, make_full_queue, places, sizeof places / sizeof *places);
}

static int shut_it(void *arg)
{
    fk_queue_shutdown(&A, Q.data, arg != NULL);
    return 0;
}

TEST(who_dies_as_it_shuts_down_can_be_replaced)
{
    static const char *points[] = {"queue.shut", "queue.cursor", "queue.struck", "queue.cut"};
    found();
    object keeps_a_chunk = make(FK_KIND_WORDS, 8);
    for (size_t i = 0; i < sizeof points / sizeof *points; i++) {
        uint64_t used = heap_used(), number;
        new_queue(0, true);
        for (uint64_t n = 0; n < 20; n++)
            CHECK_EQ(put_some_kind(n), FK_OK);
        member dead;
        CHECK(dies_at(points[i], 0, shut_it, &number, &dead));
        CHECK_EQ(put(1, 10), FK_SHUTDOWN);
        CHECK_EQ(get(&number), FK_SHUTDOWN);
        uint64_t lost;
        fk_wait w = at_once();
        CHECK_EQ(fk_queue_join(&A, Q.data, &lost, &w), FK_OK);
        CHECK_EQ(fk_queue_unfinished(Q.data), 0);
        shut_it(&number);
        CHECK_EQ(fk_queue_size(Q.data), 0);
        CHECK(fk_reap(&A, dead.owner));
        fk_hold_drop(&A, Q.index);
        CHECK(heap_used() - used <= BLOCK);
    }
    CHECK_EQ(refs(&keeps_a_chunk), FK_REF_HOLD);
}

static int stay_inside(void *end)
{
    CHECK_EQ(fk_lock_force(&A, &((fk_end *)end)->lock), FK_OK);
    return wait_for_kill(NULL);
}

TEST(a_try_can_be_interrupted_where_a_process_is_stopped_inside)
{
    found();
    fk_queue *q = new_queue(0, false);
    static uint8_t buffer[FK_INLINE_MAX];
    fk_taken out;
    fk_take t = {.buffer = buffer, .capacity = sizeof buffer};
    fk_put p = {.meta = 1};
    uint32_t n;
    fk_wait w = at_once();
    member m = spawn_member(stay_inside, &q->tail);
    WAIT_UNTIL(fk_lock_owner(&q->tail.lock) == m.owner);
    CHECK_EQ(fk_queue_put(&A, q, &p, NULL, &w), FK_INTR);
    kill_at(m.pid);
    CHECK_EQ(fk_queue_put(&A, q, &p, NULL, &w), FK_OK);
    bury(m);
    m = spawn_member(stay_inside, &q->head);
    WAIT_UNTIL(fk_lock_owner(&q->head.lock) == m.owner);
    CHECK_EQ(fk_queue_take(&A, q, &t, &out, 1, &n, &w), FK_INTR);
    kill_at(m.pid);
    CHECK_EQ(fk_queue_take(&A, q, &t, &out, 1, &n, &w), FK_OK);
    bury(m);
}

/* ---- wake-ups ------------------------------------------------------------------------------------------- */

static int get_in_slices(void *arg)
{
    uint64_t number;
    CHECK_EQ(get_within(&number, in_slices()), FK_OK);
    return number != (uint64_t)(uintptr_t)arg;
}

static int put_when_slept_on(void *arg)
{
    fk_queue *q = Q.data;
    WAIT_UNTIL(atomic_load(&q->head.ec.word) & 1);
    return put((uint64_t)(uintptr_t)arg, 10);
}

TEST(a_message_whose_sender_died_before_it_woke_anybody_is_found)
{
    static const char *points[] = {"queue.put", "lock.released", "ec.told"};
    found();
    new_queue(0, false);
    for (int i = 0; i < 3; i++) {
        member m = spawn_member(get_in_slices, (void *)7), dead;
        CHECK(dies_at(points[i], 0, put_when_slept_on, (void *)7, &dead));
        CHECK_EQ(bury(m), 0);
        CHECK(fk_reap(&A, dead.owner));
    }
}

static int put_in_slices(void *arg)
{
    (void)arg;
    return put_within(1, 10, in_slices());
}

static int take_when_slept_on(void *arg)
{
    (void)arg;
    fk_queue *q = Q.data;
    uint64_t number;
    WAIT_UNTIL(atomic_load(&q->tail.ec.word) & 1);
    return get(&number);
}

TEST(room_whose_maker_died_before_it_woke_anybody_is_found)
{
    static const char *points[] = {"queue.taken", "lock.released", "ec.told"};
    found();
    new_queue(1, false);
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(put(0, 10), FK_OK);
        member m = spawn_member(put_in_slices, NULL), dead;
        CHECK(dies_at(points[i], 0, take_when_slept_on, NULL, &dead));
        CHECK_EQ(bury(m), 0);
        CHECK(fk_reap(&A, dead.owner));
        EXPECT(1);
    }
}

TEST_MAIN
