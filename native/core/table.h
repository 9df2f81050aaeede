/* Shared dicts and lists: rows in order, found by key or by position, whole after any death.
 *
 * Whoever changes or reads a table holds its lock, for a few instructions (a change of size: for a copy
 * of the rows, 16 bytes each). A process that dies in it has changed nothing or all: the next one
 * settles what was left half done and goes on, and is told nothing of it.
 *
 * What dies with a process: the change that it had not committed. A death may cost the memory of one
 * item or of one set of rows until the family ends (heap.h). A table that holds itself, by way of a
 * value or of several, is freed with the family. */
#ifndef FK_TABLE_H
#define FK_TABLE_H

#include "hold.h"

#define FK_VALUE_MAX UINT32_C(16384) /* a larger value is in a block of its own */
#define FK_NO_ROW UINT64_MAX

/* Set up a table in a block of kind FK_KIND_TABLE. `indexed`: a dict. FK_OK, FK_NOMEM. */
fk_status fk_table_init(fk_arena *a, fk_table *t, bool indexed);

/* Take the lock, and settle what its last owner left if it is dead. FK_OK; FK_AGAIN (deadline 0): somebody
 * is in it just now; FK_TIMEOUT; FK_INTR: call again. */
fk_status fk_table_lock(fk_arena *a, fk_table *t, fk_wait *w);
void fk_table_unlock(fk_table *t);

/* How many items there are, also without the lock. */
uint64_t fk_table_live(const fk_table *t);

/* Called by the reaper for each table that a dead process had a handle of. */
void fk_table_give_back(fk_arena *a, fk_table *t);

/* ---- all that follows: the caller holds the lock ---------------------------------------------------- */

typedef struct fk_entry { /* what an item is made from */
    const void *key, *given, *value;
    uint32_t key_size, given_size, value_size;
    bool odd;
    uint64_t
        value_block; /* not 0: instead of `value`; the caller holds it, and it is no other item's */
} fk_entry;

/* Rows written so far, those struck out among them; in a list they are its items. */
uint64_t fk_table_used(const fk_arena *a, const fk_table *t);

/* The item of a row. NULL: it was struck out, or there is no such row, or it is not sound. */
const fk_item *fk_table_item(const fk_arena *a, const fk_table *t, uint64_t row);

/* The tag of that item's block: no other item ever has it. 0: no item. */
uint64_t fk_table_tag(const fk_arena *a, const fk_table *t, uint64_t row);

/* Whether that tag is of an item that this thread has made, for whatever table: of those, one of the last 64. */
bool fk_table_is_own(uint64_t tag);

/* Put an item in the place of that row's. FK_OK, FK_NOMEM, FK_STALE (no such row), FK_OVERFLOW (the value's block
 * is in a queue or a table already). */
fk_status fk_table_replace(fk_arena *a, fk_table *t, uint64_t row, const fk_entry *e);

/* Give all items up. FK_OK, FK_NOMEM. */
fk_status fk_table_clear(fk_arena *a, fk_table *t);

/* Dicts: hash of a key; its row, or FK_NO_ROW; add a key that is not there; strike a row out; the last
 * row that has an item, or FK_NO_ROW. Adding returns as fk_table_replace does. */
uint64_t fk_table_hash(const fk_arena *a, const void *key, uint32_t size);
uint64_t fk_table_find(const fk_arena *a, const fk_table *t, const void *key, uint32_t size,
                       uint64_t hash);
fk_status fk_table_add(fk_arena *a, fk_table *t, const fk_entry *e, uint64_t hash);
void fk_table_strike(fk_arena *a, fk_table *t, uint64_t row);
uint64_t fk_table_last(fk_arena *a, fk_table *t);

/* Lists: add at the end; take the last away; put n items in the place of the rows from `start` up to `stop`
 * (start <= stop <= used); keep the rows order[0..n-1] only, in that order (each at most once, each < used). */
fk_status fk_table_append(fk_arena *a, fk_table *t, const fk_entry *e);
void fk_table_drop_last(fk_arena *a, fk_table *t);
fk_status fk_table_splice(fk_arena *a, fk_table *t, uint64_t start, uint64_t stop,
                          const fk_entry *e, uint64_t n);
fk_status fk_table_select(fk_arena *a, fk_table *t, const uint64_t *order, uint64_t n);

#endif
