/* Tables as dicts and lists: against a plain array, and with many threads and processes at once. */
#include "table_kit.h"

enum { KEYS = 300, STEPS = 20000 };

static uint64_t model[KEYS], order[KEYS]; /* value + 1; 0: not there. When it was added */

static void check_order(void)
{
    uint64_t last = 0, n = 0;
    lock_table();
    for (uint64_t i = 0; i < fk_table_used(&A, table()); i++) {
        const fk_item *item = fk_table_item(&A, table(), i);
        if (!item)
            continue;
        uint64_t key;
        CHECK_EQ(item->key_size, sizeof key);
        memcpy(&key, item->bytes, sizeof key);
        CHECK(key < KEYS && model[key]);
        CHECK_EQ(number_in(i), model[key] - 1);
        CHECK(order[key] > last);
        last = order[key];
        n++;
    }
    CHECK_EQ(fk_table_live(table()), n);
    fk_table_unlock(table());
    for (uint64_t k = 0; k < KEYS; k++)
        CHECK_EQ(look(k), model[k] ? model[k] - 1 : UINT64_MAX);
}

TEST(a_dict_is_what_an_array_says)
{
    found();
    object keeps_a_chunk = make(FK_KIND_WORDS, 8);
    uint64_t used = heap_used();
    new_table(true);
    for (uint64_t step = 1; step <= STEPS; step++) {
        uint64_t k = chance(step % 4000 < 2000 ? KEYS : 20);
        uint32_t what = chance(100);
        if (what < (step % 8000 < 4000 ? 70u : 30u)) {
            set(k, step);
            if (!model[k])
                order[k] = step;
            model[k] = step + 1;
        } else if (what < 90) {
            CHECK_EQ(del(k), model[k] != 0);
            model[k] = 0;
        } else if (what < 99) {
            CHECK_EQ(look(k), model[k] ? model[k] - 1 : UINT64_MAX);
        } else if (step % 7 == 0) {
            lock_table();
            CHECK_EQ(fk_table_clear(&A, table()), FK_OK);
            fk_table_unlock(table());
            memset(model, 0, sizeof model);
        }
        if (step % 500 == 0)
            check_order();
    }
    for (uint64_t k = 0; k < KEYS; k++)
        del(k);
    CHECK_EQ(counted_items(), 0);
    CHECK(heap_used() - used < 8192); /* given back as it emptied */
    fk_hold_drop(&A, T.index);
    CHECK_EQ(heap_used(), used);
    free_blocks_are_sound();
    CHECK_EQ(refs(&keeps_a_chunk), FK_REF_HOLD);
}

TEST(taken_from_the_end_again_and_again_it_stays_small)
{
    found();
    new_table(true);
    set(0, 0);
    uint64_t used = heap_used();
    for (uint64_t i = 1; i < 5000; i++) {
        set(i, 1);
        lock_table();
        uint64_t row = fk_table_last(&A, table());
        CHECK(row != FK_NO_ROW);
        CHECK_EQ(number_in(row), 1);
        fk_table_strike(&A, table(), row);
        fk_table_unlock(table());
        CHECK_EQ(look(i), UINT64_MAX);
        CHECK_EQ(look(0), 0);
    }
    CHECK_EQ(heap_used(), used);
    lock_table();
    CHECK_EQ(fk_table_last(&A, table()), 0);
    fk_table_strike(&A, table(), 0);
    CHECK_EQ(fk_table_last(&A, table()), FK_NO_ROW);
    fk_table_unlock(table());
}

TEST(a_list_is_what_an_array_says)
{
    found();
    object keeps_a_chunk = make(FK_KIND_WORDS, 8);
    uint64_t used = heap_used(), next = 0, length = 0;
    static uint64_t list[4096], other[4096];
    new_table(false);
    for (int step = 0; step < 4000; step++) {
        uint32_t what = chance(100);
        if (what < 50 && length < 3000) {
            append(next);
            list[length++] = next++;
        } else if (what < 65 && length) {
            lock_table();
            CHECK_EQ(number_in(length - 1), list[length - 1]);
            fk_table_drop_last(&A, table());
            fk_table_unlock(table());
            length--;
        } else if (what < 85) {
            uint64_t start = chance((uint32_t)length + 1);
            uint64_t stop = start + chance((uint32_t)(length - start) + 1), n = chance(8);
            if (step % 9 && stop > start + 8)
                stop = start + 8;
            CHECK_EQ(splice_in(start, stop, next, n), FK_OK);
            memmove(list + start + n, list + stop, (length - stop) * sizeof *list);
            for (uint64_t i = 0; i < n; i++)
                list[start + i] = next++;
            length += n - (stop - start);
        } else if (what < 95) { /* a permutation of some of them */
            uint64_t n = length - length / 8;
            for (uint64_t i = 0; i < length; i++)
                other[i] = i;
            for (uint64_t i = 0; i + 1 < length; i++) {
                uint64_t j = i + chance((uint32_t)(length - i)), k = other[i];
                other[i] = other[j];
                other[j] = k;
            }
            lock_table();
            CHECK_EQ(fk_table_select(&A, table(), other, n), FK_OK);
            fk_table_unlock(table());
            for (uint64_t i = 0; i < n; i++)
                other[i] = list[other[i]];
            memcpy(list, other, n * sizeof *list);
            length = n;
        } else if (what < 96) {
            lock_table();
            CHECK_EQ(fk_table_clear(&A, table()), FK_OK);
            fk_table_unlock(table());
            length = 0;
        }
        if (step % 100 == 0) {
            CHECK_EQ(counted_items(), length);
            lock_table();
            CHECK_EQ(fk_table_used(&A, table()), length);
            for (uint64_t i = 0; i < length; i++)
                CHECK_EQ(number_in(i), list[i]);
            fk_table_unlock(table());
        }
    }
    fk_hold_drop(&A, T.index);
    CHECK_EQ(heap_used(), used);
    CHECK_EQ(refs(&keeps_a_chunk), FK_REF_HOLD);
}

TEST(what_cannot_be_is_refused_and_changes_nothing)
{
    found();
    new_table(false);
    for (uint64_t i = 0; i < 4; i++)
        append(i);
    uint64_t used = heap_used();
    lock_table();
    CHECK_EQ(fk_table_select(&A, table(), (uint64_t[]){1, 1}, 2), FK_STALE);
    CHECK_EQ(fk_table_select(&A, table(), (uint64_t[]){1, 9}, 2), FK_STALE);
    CHECK_EQ(fk_table_splice(&A, table(), 3, 2, NULL, 0), FK_STALE);
    CHECK_EQ(fk_table_splice(&A, table(), 0, 5, NULL, 0), FK_STALE);
    object block = make(FK_KIND_RAW, 100);
    fk_entry e[2] = {{.value_block = block.off}, {.value_block = block.off}};
    CHECK_EQ(fk_table_splice(&A, table(), 0, 4, e, 2), FK_OVERFLOW); /* one block, two owners */
    CHECK_EQ(fk_table_append(&A, table(), &(fk_entry){.value_block = T.off + 64 * 1024 * 1024}),
             FK_STALE);
    fk_table_unlock(table());
    CHECK_EQ(refs(&block), FK_REF_HOLD);
    fk_hold_drop(&A, block.index);
    CHECK_EQ(heap_used(), used);
    CHECK_EQ(counted_items(), 4);
}

/* ---- many at once: each adds to counters, at odds with the others --------------------------------- */

enum { COUNTERS = 16, ROUNDS = 1500, CROWD = 4 };

static void *add_in_thread(void *arg)
{
    (void)arg;
    for (uint64_t i = 0; i < ROUNDS; i++) {
        uint64_t key = i % COUNTERS, other = 1000 + chance(200);
        lock_table();
        uint64_t row = row_of(key);
        uint64_t n = number_in(row) / 7 * 7 + 7; /* 0, 7, 14: none in a block of its own */
        uint8_t buffer[3100];
        object block;
        fk_entry e = entry_of(&key, n, buffer, &block);
        CHECK_EQ(fk_table_replace(&A, table(), row, &e), FK_OK);
        fk_table_unlock(table());
        if (i % 3)
            set(other, other);
        else
            del(other);
    }
    return NULL;
}

static int add_in_process(void *arg)
{
    run_threads(2, add_in_thread, arg);
    return 0;
}

TEST_LIMIT(no_change_of_many_is_lost, 240)
{
    found();
    new_table(true);
    for (uint64_t k = 0; k < COUNTERS; k++)
        set(k, 0);
    member m[CROWD];
    for (int i = 0; i < CROWD; i++)
        m[i] = spawn_member(add_in_process, NULL);
    for (int i = 0; i < CROWD; i++)
        CHECK_EQ(bury(m[i]), 0);
    uint64_t sum = 0;
    for (uint64_t k = 0; k < COUNTERS; k++)
        sum += look(k) / 7;
    CHECK_EQ(sum, 2 * CROWD * ROUNDS);
    counted_items();
}

TEST_MAIN
