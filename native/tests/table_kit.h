/* What the tests of tables share: numbers as keys and values, and a way to read them back.
 *
 * The value of number n is made from it: small, large, or (n % 7 == 3) in a block of its own. */
#ifndef TABLE_KIT_H
#define TABLE_KIT_H

#include "member.h"
#include "table.h"

static object T; /* the table under test */
static fk_table *table(void) { return T.data; }

static HARNESS_UNUSED void new_table(bool indexed)
{
    T = make(FK_KIND_TABLE, sizeof(fk_table));
    CHECK_EQ(fk_table_init(&A, T.data, indexed), FK_OK);
}

static HARNESS_UNUSED void lock_table(void)
{
    fk_wait w = in_slices();
    CHECK_EQ(PARKED(FK_OP_TABLE, fk_table_lock(&A, table(), &w)), FK_OK);
}

static uint32_t size_of(uint64_t n) { return n % 5 == 0 ? 3000 : (uint32_t)(n % 40) + 8; }

static void write_value(uint8_t *to, uint64_t n, uint32_t size)
{
    for (uint32_t i = 0; i < size; i++)
        to[i] = (uint8_t)(n * 31 + i);
    memcpy(to, &n, sizeof n);
}

static HARNESS_UNUSED fk_entry entry_of(const uint64_t *key, uint64_t n, uint8_t buffer[3100],
                                        object *block)
{
    fk_entry e = {.key = key, .key_size = key ? sizeof *key : 0};
    uint32_t size = size_of(n);
    *block = (object){.index = FK_NO_HOLD};
    if (n % 7 == 3) {
        *block = make(FK_KIND_RAW, size);
        write_value(block->data, n, size);
        e.value_block = block->off;
    } else {
        write_value(buffer, n, size);
        e.value = buffer;
        e.value_size = size;
    }
    return e;
}

static HARNESS_UNUSED void done_with(object *block)
{
    if (block->index != FK_NO_HOLD)
        fk_hold_drop(&A, block->index);
}

/* The number in a row, whose value must be the whole of it. */
static HARNESS_UNUSED uint64_t number_in(uint64_t row)
{
    const fk_item *i = fk_table_item(&A, table(), row);
    CHECK(i);
    const uint8_t *bytes = i->bytes + i->key_size + i->given_size;
    uint64_t size = i->value_size, n, block = atomic_load(&i->value_block);
    if (block) {
        bytes = fk_block_data(&A, block);
        size = fk_block_at(&A, block)->size;
    }
    CHECK(bytes && size >= sizeof n);
    memcpy(&n, bytes, sizeof n);
    CHECK_EQ(size, size_of(n));
    CHECK_EQ(block != 0, n % 7 == 3);
    uint8_t expected[3100];
    write_value(expected, n, (uint32_t)size);
    CHECK(memcmp(bytes, expected, size) == 0);
    return n;
}

/* ---- a dict of numbers */

static HARNESS_UNUSED uint64_t row_of(uint64_t key)
{
    return fk_table_find(&A, table(), &key, sizeof key, fk_table_hash(&A, &key, sizeof key));
}

static HARNESS_UNUSED void set(uint64_t key, uint64_t n)
{
    uint8_t buffer[3100];
    object block;
    fk_entry e = entry_of(&key, n, buffer, &block);
    lock_table();
    uint64_t row = row_of(key);
    fk_status st = row == FK_NO_ROW
                       ? fk_table_add(&A, table(), &e, fk_table_hash(&A, &key, sizeof key))
                       : fk_table_replace(&A, table(), row, &e);
    fk_table_unlock(table());
    CHECK_EQ(st, FK_OK);
    done_with(&block);
}

/* What the key stands for; UINT64_MAX: nothing. */
static HARNESS_UNUSED uint64_t look(uint64_t key)
{
    lock_table();
    uint64_t row = row_of(key), n = row == FK_NO_ROW ? UINT64_MAX : number_in(row);
    fk_table_unlock(table());
    return n;
}

static HARNESS_UNUSED bool del(uint64_t key)
{
    lock_table();
    uint64_t row = row_of(key);
    if (row != FK_NO_ROW)
        fk_table_strike(&A, table(), row);
    fk_table_unlock(table());
    return row != FK_NO_ROW;
}

/* ---- a list of numbers */

static HARNESS_UNUSED void append(uint64_t n)
{
    uint8_t buffer[3100];
    object block;
    fk_entry e = entry_of(NULL, n, buffer, &block);
    lock_table();
    CHECK_EQ(fk_table_append(&A, table(), &e), FK_OK);
    fk_table_unlock(table());
    done_with(&block);
}

static HARNESS_UNUSED fk_status splice_in(uint64_t start, uint64_t stop, uint64_t first, uint64_t n)
{
    static uint8_t buffer[64][3100];
    object block[64];
    fk_entry e[64];
    CHECK(n <= 64);
    for (uint64_t i = 0; i < n; i++)
        e[i] = entry_of(NULL, first + i, buffer[i], &block[i]);
    lock_table();
    fk_status st = fk_table_splice(&A, table(), start, stop, e, n);
    fk_table_unlock(table());
    for (uint64_t i = 0; i < n; i++)
        done_with(&block[i]);
    return st;
}

/* How many items there are, with what the table says of itself compared. */
static HARNESS_UNUSED uint64_t counted_items(void)
{
    lock_table();
    uint64_t n = 0, used = fk_table_used(&A, table());
    for (uint64_t i = 0; i < used; i++)
        if (fk_table_item(&A, table(), i)) {
            number_in(i);
            n++;
        }
    CHECK_EQ(fk_table_live(table()), n);
    fk_table_unlock(table());
    return n;
}

#endif
