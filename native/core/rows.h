/* The rows of a table: what its dict side (dict.c) and its list side (list.c) stand on. The caller
 * of each holds the table's lock. */
#ifndef FK_ROWS_H
#define FK_ROWS_H

#include "table.h"

/* The rows in the block at `off`; NULL when they are not sound. */
fk_rows *fk_rows_at(const fk_arena *a, uint64_t off);
static inline fk_rows *fk_rows_of(const fk_arena *a, const fk_table *t)
{
    return fk_rows_at(a, atomic_load_explicit(&t->root, memory_order_relaxed));
}
static inline uint64_t fk_rows_used(const fk_rows *r)
{
    return atomic_load_explicit(&r->used, memory_order_relaxed);
}
static inline uint64_t fk_row_item(const fk_row *r)
{
    return atomic_load_explicit(&r->item, memory_order_relaxed);
}

/* Room for at least `rows`, and an index of it. FK_OK, FK_NOMEM. */
fk_status fk_rows_new(fk_arena *a, uint64_t rows, bool indexed, uint64_t *off);

/* A new item in a row, in place of what it has or of nothing: the commit. Returns as fk_table_replace. */
fk_status fk_rows_set(fk_arena *a, fk_table *t, fk_row *row, const fk_entry *e);
void fk_rows_strike(fk_arena *a, fk_table *t, fk_row *row);

/* Rows that will take the place of the table's: logged as such, with room for `rows`. FK_OK, FK_NOMEM. */
fk_status fk_rows_make(fk_arena *a, fk_table *t, uint64_t rows, fk_rows **made);
/* A new item for the made rows' next row, which goes with them unless they become the root. */
fk_status fk_rows_fill(fk_arena *a, fk_rows *made, const fk_entry *e);
/* Make them the root: the commit. Or give them up. */
void fk_rows_take(fk_arena *a, fk_table *t);
void fk_rows_leave(fk_arena *a, fk_table *t);

/* Copy all rows with an item into new ones, with room for `rows`, and a new index. FK_OK, FK_NOMEM. */
fk_status fk_rows_remake(fk_arena *a, fk_table *t, uint64_t rows);

/* Write the index anew from the rows (dict.c). */
void fk_rows_index(fk_rows *r);

#endif
