/* Redelivery: an item whose taker died is given to another, and is done once. */
#include "queue_kit.h"

static fk_queue *new_redelivering(uint32_t times)
{
    fk_queue *q = new_queue(0, true);
    CHECK_EQ(fk_queue_redeliver(&A, q, times), FK_OK);
    return q;
}

TEST(what_a_dead_one_had_in_hand_comes_first_and_in_its_order)
{
    found();
    fk_queue *q = new_redelivering(3);
    uint64_t lost, number, used = heap_used();
    put_many(5);
    CHECK_EQ(put(9, 10), FK_OVERFLOW); /* each message is a block */
    CHECK_EQ(bury(spawn_member(do_job, &(job){4, 1})), 0);
    CHECK_EQ(fk_queue_unfinished(q), 4);
    CHECK_EQ(fk_queue_size(q), 1);
    CHECK_EQ(join(&lost), FK_AGAIN);
    for (uint64_t i = 1; i < 5; i++)
        EXPECT(i);
    CHECK_EQ(get(&number), FK_AGAIN);
    for (int i = 0; i < 4; i++) {
        CHECK_EQ(join(&lost), FK_AGAIN);
        CHECK_EQ(done(), FK_OK);
    }
    CHECK_EQ(done(), FK_OVERFLOW);
    CHECK_EQ(join(&lost), FK_OK);
    CHECK_EQ(fk_queue_unfinished(q), 0);
    CHECK_EQ(heap_used(), used);
}

TEST(what_one_that_lives_has_in_hand_is_not_given)
{
    found();
    fk_queue *q = new_redelivering(3);
    put_many(2);
    member m = spawn_member(do_job_and_stay, &(job){1, 0});
    WAIT_UNTIL(fk_queue_size(q) == 1);
    EXPECT(1);
    uint64_t number;
    CHECK_EQ(get(&number), FK_AGAIN);
    kill_at(m.pid); /* not reaped: that it is dead is seen */
    EXPECT(0);
    CHECK_EQ(get(&number), FK_AGAIN);
    bury(m);
    CHECK_EQ(get(&number), FK_AGAIN);
}

TEST(done_ends_the_oldest_that_the_thread_took)
{
    found();
    fk_queue *q = new_redelivering(3);
    put_many(3);
    CHECK_EQ(bury(spawn_member(do_job, &(job){2, 1})), 0);
    EXPECT(1);
    EXPECT(2);
    CHECK_EQ(done(), FK_OK);
    CHECK_EQ(fk_queue_unfinished(q), 1);
    CHECK_EQ(bury(spawn_member(do_job, &(job){0, 0})), 0); /* has a copy of the handle, no item */
    CHECK_EQ(done(), FK_OK);
    CHECK_EQ(fk_queue_unfinished(q), 0);
}

static void *try_done(void *arg)
{
    *(fk_status *)arg = done();
    return NULL;
}

TEST(a_thread_does_not_end_what_another_has)
{
    found();
    new_redelivering(3);
    put_many(1);
    EXPECT(0);
    fk_status st = FK_OK;
    pthread_t t;
    CHECK(pthread_create(&t, NULL, try_done, &st) == 0);
    CHECK(pthread_join(t, NULL) == 0);
    CHECK_EQ(st, FK_OVERFLOW);
    CHECK_EQ(done(), FK_OK);
}

TEST(an_item_that_has_killed_too_many_is_lost)
{
    found();
    fk_queue *q = new_redelivering(2);
    uint64_t lost, number, used = heap_used();
    put_many(2);
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(join(&lost), FK_AGAIN);
        CHECK_EQ(bury(spawn_member(do_job, &(job){1, 0})), 0);
    }
    EXPECT(1);
    CHECK_EQ(get(&number), FK_AGAIN);
    CHECK_EQ(join(&lost), FK_AGAIN);
    CHECK_EQ(done(), FK_OK);
    CHECK_EQ(join(&lost), FK_OWNER_DIED);
    CHECK_EQ(lost, 1);
    CHECK_EQ(join(&lost), FK_OK);
    CHECK_EQ(lost, 0);
    CHECK_EQ(fk_queue_unfinished(q), 0);
    CHECK_EQ(heap_used(), used);
}

TEST(many_in_hand_need_more_room)
{
    found();
    fk_queue *q = new_redelivering(1);
    enum { MANY = 3 * FK_HANDS_PER_CHUNK };
    put_many(MANY);
    CHECK_EQ(bury(spawn_member(do_job, &(job){MANY, 10})), 0);
    CHECK_EQ(fk_queue_unfinished(q), MANY - 10);
    for (uint64_t i = 10; i < MANY; i++)
        EXPECT(i);
    for (uint64_t i = 10; i < MANY; i++)
        CHECK_EQ(done(), FK_OK);
    uint64_t lost;
    CHECK_EQ(join(&lost), FK_OK);
}

/* ---- who waits ---------------------------------------------------------------------------------------- */

static void *get_in_thread(void *arg)
{
    uint64_t number;
    CHECK_EQ(get_within(&number, patient()), *(fk_status *)arg);
    return NULL;
}

TEST(the_reaper_wakes_who_may_have_it)
{
    found();
    fk_queue *q = new_redelivering(1);
    put_many(1);
    member m = spawn_member(do_job_and_stay, &(job){1, 0});
    WAIT_UNTIL(fk_queue_size(q) == 0);
    fk_status got = FK_OK;
    pthread_t t;
    CHECK(pthread_create(&t, NULL, get_in_thread, &got) == 0);
    WAIT_UNTIL(atomic_load(&q->head.ec.word) & 1);
    CHECK(fk_queue_get_blocks(&A, q, A.me));
    kill_at(m.pid);
    CHECK(!fk_queue_get_blocks(&A, q, A.me) || fk_queue_unfinished(q) == 0);
    bury(m);
    CHECK(pthread_join(t, NULL) == 0);
}

TEST(who_joins_learns_that_the_last_one_is_lost)
{
    found();
    fk_queue *q = new_redelivering(1);
    put_many(1);
    CHECK_EQ(bury(spawn_member(do_job, &(job){1, 0})), 0);
    member m = spawn_member(do_job_and_stay, &(job){1, 0});
    WAIT_UNTIL(!fk_queue_join_blocks(&A, q) || is_parked(m.owner, 0) || fk_queue_size(q) == 0);
    fk_status told = FK_OWNER_DIED;
    pthread_t t;
    CHECK(pthread_create(&t, NULL, join_in_thread, &told) == 0);
    WAIT_UNTIL(atomic_load(&q->done_ec.word) & 1);
    fk_hand_chunk *c = fk_block_data(&A, atomic_load(&q->hands));
    WAIT_UNTIL((uint32_t)atomic_load(&c->hand[0].taker) == m.owner);
    CHECK(fk_queue_join_blocks(&A, q));
    kill_at(m.pid);
    bury(m);
    CHECK(pthread_join(t, NULL) == 0);
}

/* ---- the end ------------------------------------------------------------------------------------------- */

TEST(after_a_shutdown_idle_ones_wait_for_what_may_come_back)
{
    found();
    fk_queue *q = new_redelivering(1);
    uint64_t number;
    put_many(2);
    member m = spawn_member(do_job_and_stay, &(job){1, 0});
    WAIT_UNTIL(fk_queue_size(q) == 1);
    fk_queue_shutdown(&A, q, false);
    EXPECT(1);
    CHECK_EQ(get(&number), FK_SHUTDOWN); /* has one itself: who waits so would wait for itself */
    CHECK_EQ(done(), FK_OK);
    CHECK_EQ(get(&number), FK_AGAIN);
    CHECK(fk_queue_get_blocks(&A, q, A.me));
    kill_at(m.pid);
    EXPECT(0);
    CHECK_EQ(done(), FK_OK);
    CHECK_EQ(get(&number), FK_SHUTDOWN);
    bury(m);
}

TEST(the_last_done_ends_them)
{
    found();
    fk_queue *q = new_redelivering(1);
    put_many(1);
    EXPECT(0);
    fk_queue_shutdown(&A, q, false);
    member m = spawn_member(wait_for_kill, NULL);
    kill_at(m.pid);
    bury(m);
    CHECK_EQ(done(), FK_OK);
    uint64_t number;
    CHECK_EQ(get(&number), FK_SHUTDOWN);
}

static int get_the_end(void *arg)
{
    (void)arg;
    uint64_t number;
    CHECK_EQ(get_within(&number, patient()), FK_SHUTDOWN);
    return 0;
}

TEST(the_last_done_wakes_them)
{
    found();
    fk_queue *q = new_redelivering(1);
    put_many(1);
    EXPECT(0);
    fk_queue_shutdown(&A, q, false);
    member m = spawn_member(get_the_end, NULL);
    WAIT_UNTIL(atomic_load(&q->head.ec.word) & 1);
    CHECK_EQ(done(), FK_OK);
    CHECK_EQ(bury(m), 0);
}

TEST(an_immediate_shutdown_drops_what_came_back_and_not_what_is_lost)
{
    found();
    fk_queue *q = new_redelivering(1);
    uint64_t lost, number, used = heap_used();
    put_many(4);
    CHECK_EQ(bury(spawn_member(do_job, &(job){1, 0})), 0);
    CHECK_EQ(bury(spawn_member(do_job, &(job){2, 0})), 0); /* 0 for the last time, 1 */
    member m = spawn_member(do_job_and_stay, &(job){1, 0});
    WAIT_UNTIL(!fk_queue_get_blocks(&A, q, A.me) && fk_queue_unfinished(q) == 4);
    fk_hand_chunk *c = fk_block_data(&A, atomic_load(&q->hands));
    WAIT_UNTIL((uint32_t)atomic_load(&c->hand[1].taker) == m.owner); /* 1 is in hand again */
    EXPECT(2);
    fk_queue_shutdown(&A, q, true); /* 3 is dropped */
    CHECK_EQ(get(&number), FK_SHUTDOWN);
    CHECK_EQ(fk_queue_unfinished(q), 3);
    CHECK_EQ(join(&lost), FK_AGAIN);
    CHECK_EQ(done(), FK_OK);
    CHECK_EQ(join(&lost), FK_AGAIN);
    kill_at(m.pid);
    CHECK_EQ(join(&lost), FK_OWNER_DIED);
    CHECK_EQ(lost, 2); /* 0, which was taken too often, and 1, which nobody may take any more */
    CHECK_EQ(fk_queue_unfinished(q), 0);
    bury(m);
    CHECK_EQ(heap_used(), used);
}

TEST(an_immediate_shutdown_drops_what_nobody_has_taken_again)
{
    found();
    fk_queue *q = new_redelivering(1);
    uint64_t lost;
    put_many(3);
    CHECK_EQ(bury(spawn_member(do_job, &(job){2, 0})), 0);
    fk_queue_shutdown(&A, q, true);
    CHECK_EQ(fk_queue_unfinished(q), 0);
    CHECK_EQ(join(&lost), FK_OK);
}

/* ---- death at each step --------------------------------------------------------------------------------- */

/* Wherever one dies, what it had not reported comes again, and nothing is done twice or left. */
TEST_LIMIT(nothing_is_lost_wherever_a_consumer_dies, 240)
{
    static const struct {
        const char *point;
        int again; /* the item that it was at comes (again) */
    } at[] = {
        {"hands.begun", 1},  {"hands.filled", 1},  {"queue.claimed", 1},  {"queue.cursor", 1},
        {"queue.taken", 1},  {"hands.logged", 1},  {"hands.emptied", 0},  {"hands.counted", 0},
        {"queue.struck", 0}, {"hold.dropping", 1}, {"queue.referred", 1},
    };
    found();
    object keeps_a_chunk = make(FK_KIND_WORDS, 8);
    for (size_t i = 0; i < sizeof at / sizeof *at; i++)
        for (int skip = 0; skip < 4; skip++)
            for (int first = 0; first < 3; first++) {
                uint64_t used = heap_used(), number, lost;
                fk_queue *q = new_redelivering(1);
                put_many(6);
                member dead;
                CHECK(dies_at(at[i].point, skip, work_off_all, NULL, &dead));
                if (first == 1)
                    CHECK(fk_reap(&A, dead.owner));
                if (first < 2) {
                    uint64_t unfinished = fk_queue_unfinished(q), seen = 0, last = 0;
                    while (get(&number) == FK_OK) {
                        CHECK(seen == 0 || number == last + 1);
                        last = number;
                        seen++;
                        CHECK_EQ(done(), FK_OK);
                    }
                    CHECK(seen == unfinished || seen + 1 == unfinished); /* died uncounted */
                    CHECK_EQ(last, 5);
                    if (strcmp(at[i].point, "queue.struck") != 0)
                        CHECK_EQ(seen, 6 - (uint64_t)skip - !at[i].again);
                    CHECK_EQ(join(&lost), FK_OK);
                    CHECK_EQ(fk_queue_unfinished(q), 0);
                    CHECK_EQ(atomic_load(&q->txn), 0);
                }
                CHECK(fk_reap(&A, dead.owner));
                fk_hold_drop(&A, Q.index);
                CHECK(heap_used() - used <= 256); /* struck out and not given up, at the most */
                CHECK_EQ(slots_used(), 1);
                free_blocks_are_sound();
            }
    CHECK_EQ(refs(&keeps_a_chunk), FK_REF_HOLD);
}

TEST(who_dies_as_it_is_given_an_item_leaves_it_to_the_next)
{
    static const char *points[] = {"hands.referred", "hands.given", "hands.again"};
    found();
    for (size_t i = 0; i < sizeof points / sizeof *points; i++) {
        fk_queue *q = new_redelivering(2);
        put_many(1);
        CHECK_EQ(bury(spawn_member(take_one, NULL)), 0);
        member dead;
        CHECK(dies_at(points[i], 0, take_one, NULL, &dead));
        fk_hand_chunk *c = fk_block_data(&A, atomic_load(&q->hands));
        CHECK_EQ(atomic_load(&c->hand[0].taker) >> 32, 1 + (i == 2));
        EXPECT(0);
        CHECK_EQ(done(), FK_OK);
        CHECK_EQ(fk_queue_unfinished(q), 0);
        CHECK(fk_reap(&A, dead.owner));
    }
}

static int join_here(void *arg)
{
    (void)arg;
    uint64_t lost;
    CHECK_EQ(join(&lost), FK_OWNER_DIED);
    return 0;
}

static int shut_here(void *arg)
{
    fk_queue_shutdown(&A, Q.data, true);
    return arg != NULL;
}

TEST(who_dies_as_it_forgets_items_is_replaced)
{
    static const char *points[] = {"hands.logged", "hands.emptied", "hands.counted",
                                   "queue.struck"};
    found();
    for (size_t i = 0; i < sizeof points / sizeof *points; i++)
        for (int shut = 0; shut < 2; shut++) {
            new_redelivering(1);
            put_many(3);
            for (int n = 0; n < 2 - shut; n++) /* twice: given too often */
                CHECK_EQ(bury(spawn_member(do_job, &(job){3, 0})), 0);
            member dead;
            uint64_t lost;
            CHECK(dies_at(points[i], 0, shut ? shut_here : join_here, NULL, &dead));
            if (!shut) { /* else whoever comes there drops the rest */
                CHECK_EQ(join(&lost), FK_OWNER_DIED);
                CHECK_EQ(lost, i == 0 ? 3 : 2);
            }
            CHECK_EQ(join(&lost), FK_OK);
            CHECK_EQ(fk_queue_unfinished(Q.data), 0);
            CHECK(fk_reap(&A, dead.owner));
        }
}

TEST(threads_count_together)
{
    found();
    new_redelivering(1);
    join_again_and_again(100);
}

TEST_MAIN
