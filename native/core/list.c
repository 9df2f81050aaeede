/* The list side of a table: rows by their position, without gaps. */
#include "table.h"

#include "rows.h"

#define SHRINK_FROM 64

fk_status fk_table_append(fk_arena *a, fk_table *t, const fk_entry *e)
{
    fk_rows *r = fk_rows_of(a, t);
    if (r && fk_rows_used(r) == r->capacity) {
        fk_status st = fk_rows_remake(a, t, r->capacity + r->capacity / 2);
        if (st != FK_OK)
            return st;
        r = fk_rows_of(a, t);
    }
    if (!r)
        return FK_CORRUPT;
    uint64_t n = fk_rows_used(r);
    atomic_store_explicit(&r->row[n].item, 0, memory_order_relaxed);
    atomic_store_explicit(&r->row[n].hash, 0, memory_order_relaxed);
    atomic_store(&r->used, n + 1);
    fk_point("table.longer");
    fk_status st = fk_rows_set(a, t, &r->row[n], e);
    if (st != FK_OK)
        atomic_store(&r->used, n);
    return st;
}

void fk_table_drop_last(fk_arena *a, fk_table *t)
{
    fk_rows *r = fk_rows_of(a, t);
    uint64_t n = r ? fk_rows_used(r) : 0;
    if (!n)
        return;
    fk_rows_strike(a, t, &r->row[n - 1]);
    atomic_store(&r->used, n - 1);
    if (r->capacity > SHRINK_FROM && n < r->capacity / 8)
        fk_rows_remake(a, t, 2 * n);
}

static void copy_rows(fk_rows *to, const fk_rows *from, uint64_t start, uint64_t stop)
{
    uint64_t n = fk_rows_used(to);
    for (uint64_t i = start; i < stop; i++)
        to->row[n++] = from->row[i];
    atomic_store(&to->used, n);
}

static void mark(fk_rows *r, uint64_t i)
{
    atomic_store_explicit(&r->row[i].hash, FK_ROW_GOES, memory_order_relaxed);
}

fk_status fk_table_splice(fk_arena *a, fk_table *t, uint64_t start, uint64_t stop,
                          const fk_entry *e, uint64_t n)
{
    fk_rows *from = fk_rows_of(a, t), *to;
    uint64_t used = from ? fk_rows_used(from) : 0;
    if (!from || start > stop || stop > used)
        return from ? FK_STALE : FK_CORRUPT;
    uint64_t length = used - (stop - start) + n;
    fk_status st = fk_rows_make(a, t, length + length / 2, &to);
    if (st != FK_OK)
        return st;
    copy_rows(to, from, 0, start);
    for (uint64_t i = 0; i < n && st == FK_OK; i++)
        st = fk_rows_fill(a, to, &e[i]);
    if (st != FK_OK) {
        fk_rows_leave(a, t);
        return st;
    }
    copy_rows(to, from, stop, used);
    for (uint64_t i = start; i < stop; i++)
        mark(from, i);
    fk_rows_take(a, t);
    return FK_OK;
}

fk_status fk_table_select(fk_arena *a, fk_table *t, const uint64_t *order, uint64_t n)
{
    fk_rows *from = fk_rows_of(a, t), *to;
    uint64_t used = from ? fk_rows_used(from) : 0;
    if (!from || n > used)
        return from ? FK_STALE : FK_CORRUPT;
    fk_status st = fk_rows_make(a, t, n + n / 2, &to);
    if (st != FK_OK)
        return st;
    for (uint64_t i = 0; i < used; i++)
        mark(from, i);
    for (uint64_t i = 0; i < n; i++) {
        /* Each row once: an item has one owner. */
        if (order[i] >= used || !(atomic_fetch_and_explicit(&from->row[order[i]].hash, ~FK_ROW_GOES,
                                                            memory_order_relaxed) &
                                  FK_ROW_GOES)) {
            fk_rows_leave(a, t);
            return FK_STALE;
        }
        to->row[i] = from->row[order[i]];
    }
    atomic_store(&to->used, n);
    fk_rows_take(a, t);
    return FK_OK;
}
