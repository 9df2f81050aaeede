/* The dict side of a table: keys and their index. */
#include <string.h>

#include "rows.h"

#define SHRINK_FROM 64

static uint32_t *slots_of(fk_rows *r) { return (uint32_t *)&r->row[r->capacity]; }

static uint64_t mix(uint64_t x)
{
    x ^= x >> 32;
    x *= UINT64_C(0xe9846af9b1a615d);
    x ^= x >> 32;
    return x;
}

/* The same in all processes of the family, and in no other family, so that nobody can prepare keys that
 * collide. */
uint64_t fk_table_hash(const fk_arena *a, const void *key, uint32_t size)
{
    const uint8_t *from = key;
    uint64_t seed[2], word, h;
    memcpy(seed, fk_head(a)->id, sizeof seed);
    h = seed[0] ^ mix(size + 1);
    for (; size >= 8; size -= 8, from += 8) {
        memcpy(&word, from, 8);
        h = mix(h ^ word) + seed[1];
    }
    if (size) {
        word = 0;
        memcpy(&word, from, size);
        h = mix(h ^ word) + seed[1];
    }
    return mix(h) & ~FK_ROW_GOES;
}

uint64_t fk_table_find(const fk_arena *a, const fk_table *t, const void *key, uint32_t size,
                       uint64_t hash)
{
    fk_rows *r = fk_rows_of(a, t);
    if (!r || !r->slots)
        return FK_NO_ROW;
    const uint32_t *slot = slots_of(r);
    uint64_t mask = r->slots - 1, used = fk_rows_used(r);
    for (uint64_t i = hash & mask, n = 0; slot[i] && n < r->slots; i = (i + 1) & mask, n++) {
        uint64_t row = slot[i] - UINT64_C(1);
        if (slot[i] == FK_SLOT_LEFT || row >= used)
            continue;
        if (atomic_load_explicit(&r->row[row].hash, memory_order_relaxed) != hash)
            continue;
        const fk_item *item = fk_table_item(a, t, row);
        if (item && item->key_size == size && memcmp(item->bytes, key, size) == 0)
            return row;
    }
    return FK_NO_ROW;
}

static void index_add(fk_rows *r, uint64_t row)
{
    uint32_t *slot = slots_of(r);
    uint64_t mask = r->slots - 1;
    uint64_t i = atomic_load_explicit(&r->row[row].hash, memory_order_relaxed) & mask;
    while (slot[i] && slot[i] != FK_SLOT_LEFT)
        i = (i + 1) & mask;
    r->filled += slot[i] == 0;
    slot[i] = (uint32_t)(row + 1);
}

void fk_rows_index(fk_rows *r)
{
    if (!r->slots)
        return;
    memset(slots_of(r), 0, r->slots * sizeof(uint32_t));
    r->filled = 0;
    uint64_t used = fk_rows_used(r);
    for (uint64_t i = 0; i < used; i++)
        if (fk_row_item(&r->row[i]))
            index_add(r, i);
}

fk_status fk_table_add(fk_arena *a, fk_table *t, const fk_entry *e, uint64_t hash)
{
    fk_rows *r = fk_rows_of(a, t);
    if (r && (fk_rows_used(r) == r->capacity || r->filled >= r->slots * 2 / 3)) {
        fk_status st = fk_rows_remake(a, t, 2 * fk_table_live(t) + 1);
        if (st != FK_OK)
            return st;
        r = fk_rows_of(a, t);
    }
    if (!r || !r->slots)
        return FK_CORRUPT;
    uint64_t n = fk_rows_used(r);
    fk_row *row = &r->row[n];
    atomic_store_explicit(&row->item, 0, memory_order_relaxed);
    atomic_store_explicit(&row->hash, hash, memory_order_relaxed);
    index_add(r, n);
    fk_point("table.indexed");
    atomic_store(&r->used, n + 1);
    fk_status st = fk_rows_set(a, t, row, e);
    if (st != FK_OK)
        fk_table_last(a, t); /* takes the empty row back */
    return st;
}

/* Take the last row, which has no item, out of use. */
static void take_back(fk_rows *r)
{
    uint64_t row = fk_rows_used(r) - 1;
    uint32_t *slot = slots_of(r);
    uint64_t mask = r->slots - 1;
    uint64_t i = atomic_load_explicit(&r->row[row].hash, memory_order_relaxed) & mask;
    for (uint64_t n = 0; slot[i] && n < r->slots; i = (i + 1) & mask, n++)
        if (slot[i] == row + 1) {
            slot[i] = FK_SLOT_LEFT;
            break;
        }
    fk_point("table.unindexed");
    atomic_store(&r->used, row);
}

uint64_t fk_table_last(fk_arena *a, fk_table *t)
{
    fk_rows *r = fk_rows_of(a, t);
    while (r && r->slots && fk_rows_used(r) && !fk_row_item(&r->row[fk_rows_used(r) - 1]))
        take_back(r);
    return r && fk_rows_used(r) ? fk_rows_used(r) - 1 : FK_NO_ROW;
}

void fk_table_strike(fk_arena *a, fk_table *t, uint64_t row)
{
    fk_rows *r = fk_rows_of(a, t);
    if (!r || row >= fk_rows_used(r) || !fk_row_item(&r->row[row]))
        return;
    fk_rows_strike(a, t, &r->row[row]);
    fk_table_last(a, t);
    uint64_t live = fk_table_live(t);
    if (r->capacity > SHRINK_FROM && live < r->capacity / 8)
        fk_rows_remake(a, t, 2 * live); /* without memory for it they stay as they are */
}
