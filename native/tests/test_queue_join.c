/* The joinable queue: what is unfinished, and what was in the hands of the dead. */
#include "queue_kit.h"

TEST(a_queue_is_joined_when_all_is_done)
{
    found();
    fk_queue *q = new_queue(0, true);
    uint64_t lost;
    CHECK_EQ(done(), FK_OVERFLOW);
    CHECK_EQ(join(&lost), FK_OK);
    put_many(3);
    for (uint64_t i = 0; i < 3; i++) {
        CHECK_EQ(fk_queue_unfinished(q), 3 - i);
        CHECK_EQ(join(&lost), FK_AGAIN);
        EXPECT(i);
        CHECK_EQ(done(), FK_OK);
    }
    CHECK_EQ(join(&lost), FK_OK);
    CHECK_EQ(lost, 0);
    CHECK_EQ(done(), FK_OVERFLOW);
    CHECK_EQ(atomic_load(&hold_of(&Q)->taken), atomic_load(&hold_of(&Q)->finished));
}

TEST(a_deadline_ends_the_wait_and_not_before)
{
    found();
    fk_queue *q = new_queue(0, true);
    put_many(1);
    uint64_t lost, deadline = now_ns() + FK_SLICE_NS + FK_SLICE_NS / 2;
    CHECK_EQ(join_within(&lost, (fk_wait)FK_WAIT_UNTIL(deadline)), FK_TIMEOUT);
    CHECK(now_ns() >= deadline);
    fk_wait w = in_slices();
    CHECK_EQ(fk_queue_join(&A, q, &lost, &w), FK_INTR);
}

TEST(the_last_done_wakes_who_joins)
{
    found();
    fk_queue *q = new_queue(0, true);
    put_many(50);
    fk_status expected = FK_OK;
    pthread_t t[3];
    for (int i = 0; i < 3; i++)
        CHECK(pthread_create(&t[i], NULL, join_in_thread, &expected) == 0);
    for (uint64_t i = 0; i < 50; i++) {
        WAIT_UNTIL(atomic_load(&q->done_ec.word) & 1);
        EXPECT(i);
        CHECK_EQ(done(), FK_OK);
    }
    for (int i = 0; i < 3; i++)
        CHECK(pthread_join(t[i], NULL) == 0);
}

TEST(after_an_immediate_shutdown_only_what_is_in_hand_is_waited_for)
{
    found();
    fk_queue *q = new_queue(0, true);
    put_many(2);
    EXPECT(0);
    fk_status expected = FK_OK;
    pthread_t t;
    CHECK(pthread_create(&t, NULL, join_in_thread, &expected) == 0);
    WAIT_UNTIL(atomic_load(&q->done_ec.word) & 1);
    fk_queue_shutdown(&A, q, true);
    uint64_t lost;
    CHECK_EQ(fk_queue_unfinished(q), 1);
    CHECK_EQ(join(&lost), FK_AGAIN);
    CHECK_EQ(done(), FK_OK);
    CHECK(pthread_join(t, NULL) == 0);
    CHECK_EQ(done(), FK_OVERFLOW);
    new_queue(0, true);
    put_many(2);
    CHECK(pthread_create(&t, NULL, join_in_thread, &expected) == 0);
    WAIT_UNTIL(atomic_load(&((fk_queue *)Q.data)->done_ec.word) & 1);
    fk_queue_shutdown(&A, Q.data, true); /* nothing is in hand: this wakes it */
    CHECK(pthread_join(t, NULL) == 0);
}

TEST(an_item_that_is_done_before_it_is_taken_and_dropped_then_is_not_waited_for)
{
    found();
    fk_queue *q = new_queue(0, true);
    put_many(3);
    for (int i = 0; i < 2; i++)
        CHECK_EQ(done(), FK_OK);
    fk_queue_shutdown(&A, q, true);
    uint64_t lost;
    CHECK_EQ(fk_queue_unfinished(q), 0);
    CHECK(!fk_queue_join_blocks(&A, q));
    CHECK_EQ(join(&lost), FK_OK);
    CHECK_EQ(done(), FK_OVERFLOW);
}

static void *try_to_join(void *arg)
{
    uint64_t lost;
    (void)arg;
    CHECK_EQ(join(&lost), FK_OK);
    return NULL;
}

/* Who reports it has read the bounds before the cut was made: it does not know that it is the last. */
TEST(who_joins_sees_that_the_last_item_was_done_while_it_waited_for_the_lock)
{
    found();
    fk_queue *q = new_queue(0, true);
    put_many(1);
    EXPECT(0);
    CHECK_EQ(fk_lock_force(&A, &q->done_lock), FK_OK);
    pthread_t t;
    CHECK(pthread_create(&t, NULL, try_to_join, NULL) == 0);
    WAIT_UNTIL(atomic_load(&q->done_lock.word) & FK_CONTENDED);
    atomic_fetch_add(&q->tally[atomic_load(&q->done_version) & 1].done, 1);
    fk_lock_release(&q->done_lock);
    CHECK(pthread_join(t, NULL) == 0);
}

/* ---- death --------------------------------------------------------------------------------------------- */

TEST(losses_are_reported_once)
{
    found();
    fk_queue *q = new_queue(0, true);
    uint64_t lost;
    put_many(5);
    CHECK_EQ(bury(spawn_member(do_job, &(job){4, 1})), 0);
    CHECK_EQ(fk_queue_unfinished(q), 4);
    CHECK_EQ(join(&lost), FK_AGAIN); /* one is still inside */
    EXPECT(4);
    CHECK_EQ(join(&lost), FK_AGAIN); /* and now in hand */
    CHECK_EQ(done(), FK_OK);
    CHECK_EQ(join(&lost), FK_OWNER_DIED);
    CHECK_EQ(lost, 3);
    CHECK_EQ(join(&lost), FK_OK);
    CHECK_EQ(lost, 0);
    CHECK_EQ(fk_queue_unfinished(q), 0);
    put_many(1); /* the loss does not shadow what comes later */
    CHECK_EQ(join(&lost), FK_AGAIN);
}

TEST(who_joins_learns_of_a_death_meanwhile)
{
    found();
    fk_queue *q = new_queue(0, true);
    put_many(3);
    member m = spawn_member(do_job_and_stay, &(job){2, 0});
    WAIT_UNTIL(fk_queue_size(q) == 1);
    fk_status expected = FK_OWNER_DIED;
    pthread_t t;
    CHECK(pthread_create(&t, NULL, join_in_thread, &expected) == 0);
    WAIT_UNTIL(atomic_load(&q->done_ec.word) & 1);
    kill_at(m.pid);
    bury(m); /* the reaper tells; it is not yet all */
    uint64_t number;
    CHECK_EQ(get(&number), FK_OK);
    WAIT_UNTIL(atomic_load(&q->done_ec.word) & 1);
    CHECK_EQ(done(), FK_OK); /* what is left was in dead hands: this must wake it */
    CHECK(pthread_join(t, NULL) == 0);
}

/* Wherever a worker dies: what it had taken and not reported is lost, nothing else, and once. */
TEST(the_count_is_exact_wherever_a_worker_dies)
{
    static const struct {
        const char *point;
        int lost; /* of the item that it just works on */
    } at[] = {{"queue.claimed", 0},
              {"queue.cursor", 0},
              {"queue.taken", 1},
              {"queue.tally", 1},
              {"queue.tallied", 0}};
    found();
    fk_queue *q = new_queue(0, true);
    for (size_t i = 0; i < sizeof at / sizeof *at; i++)
        for (int skip = 0; skip < 4; skip++)
            for (int first = 0; first < 2; first++) {
                put_many(6);
                member dead;
                CHECK(dies_at(at[i].point, skip, work_off_all, NULL, &dead));
                uint64_t lost, left = 6 - (uint64_t)skip - (i >= 2);
                if (first) /* a survivor settles, before the reaper does or after it */
                    CHECK(fk_reap(&A, dead.owner));
                CHECK_EQ(fk_queue_size(q), left);
                work_off_all(NULL);
                CHECK(fk_reap(&A, dead.owner));
                CHECK_EQ(fk_queue_unfinished(q), at[i].lost);
                CHECK_EQ(join(&lost), at[i].lost ? FK_OWNER_DIED : FK_OK);
                CHECK_EQ(lost, at[i].lost);
                CHECK_EQ(join(&lost), FK_OK);
                CHECK_EQ(fk_queue_unfinished(q), 0);
                CHECK_EQ(atomic_load(&q->txn), 0);
                CHECK_EQ(atomic_load(&q->log_version), 0);
            }
}

static int join_here(void *arg)
{
    uint64_t lost;
    CHECK_EQ(join(&lost), FK_OWNER_DIED);
    CHECK_EQ(lost, *(uint64_t *)arg);
    return 0;
}

TEST(who_dies_as_it_joins_reports_or_leaves_the_report)
{
    found();
    fk_queue *q = new_queue(0, true);
    uint64_t lost;
    for (int after = 0; after < 2; after++) {
        put_many(3);
        CHECK_EQ(bury(spawn_member(do_job, &(job){3, 0})), 0);
        member dead;
        CHECK(
            dies_at(after ? "queue.tallied" : "queue.tally", 0, join_here, &(uint64_t){3}, &dead));
        CHECK_EQ(join(&lost), after ? FK_OK : FK_OWNER_DIED);
        CHECK_EQ(lost, after ? 0 : 3);
        CHECK_EQ(fk_queue_unfinished(q), 0);
        CHECK(fk_reap(&A, dead.owner));
        CHECK_EQ(join(&lost), FK_OK);
    }
}

TEST(threads_count_together)
{
    found();
    new_queue(0, true);
    join_again_and_again(200);
    CHECK_EQ(atomic_load(&hold_of(&Q)->taken), 4000);
    CHECK_EQ(atomic_load(&hold_of(&Q)->finished), 4000);
}

TEST_MAIN
