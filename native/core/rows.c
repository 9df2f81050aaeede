#include "rows.h"

#include <string.h>

#define FEWEST 5

/* ---- where things are -------------------------------------------------------------------------------- */

static uint64_t rows_size(uint64_t capacity, uint64_t slots)
{
    return sizeof(fk_rows) + capacity * sizeof(fk_row) + slots * sizeof(uint32_t);
}

fk_rows *fk_rows_at(const fk_arena *a, uint64_t off)
{
    fk_block *b = off && !(off & 63) ? fk_block_at(a, off) : NULL;
    if (FK_UNLIKELY(!b || b->size < sizeof(fk_rows) || !fk_at(a, off + FK_BLOCK_HEAD, b->size)))
        return NULL;
    fk_rows *r = fk_block_data(a, off);
    bool fits = r->capacity <= b->size / sizeof(fk_row) && r->slots <= b->size &&
                rows_size(r->capacity, r->slots) <= b->size && fk_rows_used(r) <= r->capacity &&
                !(r->slots & (r->slots - 1));
    return fits ? r : NULL;
}

static fk_item *item_at(const fk_arena *a, uint64_t off)
{
    fk_block *b = off && !(off & 63) ? fk_block_at(a, off) : NULL;
    fk_item *i =
        b && b->kind == FK_KIND_ITEM && b->size >= sizeof *i ? fk_block_data(a, off) : NULL;
    if (!i || (uint64_t)i->key_size + i->given_size + i->value_size > b->size - sizeof *i)
        return NULL;
    return i;
}

static const fk_row *row_at(const fk_arena *a, const fk_table *t, uint64_t row)
{
    const fk_rows *r = fk_rows_of(a, t);
    return r && row < fk_rows_used(r) ? &r->row[row] : NULL;
}

uint64_t fk_table_used(const fk_arena *a, const fk_table *t)
{
    const fk_rows *r = fk_rows_of(a, t);
    return r ? fk_rows_used(r) : 0;
}

const fk_item *fk_table_item(const fk_arena *a, const fk_table *t, uint64_t row)
{
    const fk_row *r = row_at(a, t, row);
    return r ? item_at(a, fk_row_item(r)) : NULL;
}

#define OWN 64
static _Thread_local uint64_t own[OWN]; /* the tags of the items that this thread has made last */
static _Thread_local unsigned made;

bool fk_table_is_own(uint64_t tag)
{
    for (unsigned i = 0; i < OWN; i++)
        if (own[i] == tag)
            return tag != 0;
    return false;
}

uint64_t fk_table_tag(const fk_arena *a, const fk_table *t, uint64_t row)
{
    const fk_row *r = row_at(a, t, row);
    fk_block *b = r && fk_row_item(r) ? fk_block_at(a, fk_row_item(r)) : NULL;
    return b ? atomic_load(&b->tag) : 0;
}

/* ---- items -------------------------------------------------------------------------------------------- */

void fk_item_destroy(fk_arena *a, uint64_t off)
{
    fk_item *i = fk_block_data(a, off);
    uint64_t value = i ? atomic_exchange(&i->value_block, 0) : 0;
    fk_point("table.forgotten");
    if (value)
        fk_block_unqueue(a, value);
}

/* An item that no row has yet. Its value's block is not yet its own: item_own. */
static fk_status item_new(fk_arena *a, const fk_entry *e, uint64_t *off)
{
    fk_block *value = e->value_block ? fk_block_at(a, e->value_block) : NULL;
    if (e->value_block && (!value || !atomic_load(&value->tag)))
        return FK_STALE;
    if (value && atomic_load(&value->refs) & FK_REF_QUEUED)
        return FK_OVERFLOW;
    uint64_t size = sizeof(fk_item) + (uint64_t)e->key_size + e->given_size + e->value_size;
    fk_status st = fk_block_new(a, size, FK_KIND_RAW, off);
    if (st != FK_OK)
        return st;
    fk_item *i = fk_block_data(a, *off);
    atomic_store_explicit(&i->value_block, 0, memory_order_relaxed);
    i->key_size = e->key_size;
    i->given_size = e->given_size;
    i->value_size = e->value_size;
    i->odd = e->odd;
    uint8_t *to = i->bytes;
    if (e->key_size)
        memcpy(to, e->key, e->key_size);
    if (e->given_size)
        memcpy(to + e->key_size, e->given, e->given_size);
    if (e->value_size)
        memcpy(to + e->key_size + e->given_size, e->value, e->value_size);
    fk_block *b = fk_block_at(a, *off);
    b->kind = FK_KIND_ITEM;
    own[made++ % OWN] = atomic_load(&b->tag);
    atomic_store(&b->refs, FK_REF_QUEUED); /* the caller's ref becomes the row's */
    fk_point("table.item");
    return FK_OK;
}

/* Once the item is in a log: named first, then owned, so that a death in between gives up nothing that
 * is not its own. */
static void item_own(fk_arena *a, uint64_t off, const fk_entry *e)
{
    if (!e->value_block)
        return;
    fk_item *i = fk_block_data(a, off);
    atomic_store(&i->value_block, e->value_block);
    fk_point("table.named");
    fk_block_queue(a, e->value_block);
    fk_point("table.owned");
}

/* ---- one row ------------------------------------------------------------------------------------------ */

static void settle_row(fk_arena *a, fk_table *t)
{
    uint64_t at = atomic_load(&t->log_word);
    if (!at)
        return;
    uint64_t old = atomic_load(&t->log_old), new = atomic_load(&t->log_new);
    _Atomic uint64_t *word = fk_at(a, at, sizeof *word);
    uint64_t loser = word && atomic_load(word) == new ? old : new;
    atomic_store(&t->log_word, 0);
    fk_point("table.struck");
    if (loser)
        fk_block_unqueue(a, loser);
}

static void begin_change(fk_arena *a, fk_table *t, fk_row *row, uint64_t new)
{
    atomic_store_explicit(&t->log_old, fk_row_item(row), memory_order_relaxed);
    atomic_store_explicit(&t->log_new, new, memory_order_relaxed);
    atomic_store(&t->log_word, fk_off(a, &row->item));
    fk_point("table.logged");
}

static void commit_change(fk_arena *a, fk_table *t, fk_row *row, uint64_t new)
{
    atomic_store(&row->item, new);
    fk_point("table.committed");
    settle_row(a, t);
}

/* Only statistics: what is lost of them by a death, recover() makes up for. */
static void count(fk_table *t, uint64_t change)
{
    uint64_t live = atomic_load_explicit(&t->live, memory_order_relaxed);
    uint64_t version = atomic_load_explicit(&t->version, memory_order_relaxed);
    atomic_store_explicit(&t->live, live + change, memory_order_relaxed);
    atomic_store_explicit(&t->version, version + 1, memory_order_relaxed);
}

fk_status fk_rows_set(fk_arena *a, fk_table *t, fk_row *row, const fk_entry *e)
{
    uint64_t new;
    fk_status st = item_new(a, e, &new);
    if (st != FK_OK)
        return st;
    uint64_t added = fk_row_item(row) == 0;
    begin_change(a, t, row, new);
    item_own(a, new, e);
    if (e->odd && added)
        atomic_fetch_add(&t->odd, 1);
    commit_change(a, t, row, new);
    count(t, added);
    return FK_OK;
}

void fk_rows_strike(fk_arena *a, fk_table *t, fk_row *row)
{
    begin_change(a, t, row, 0);
    commit_change(a, t, row, 0);
    count(t, (uint64_t)-1);
}

fk_status fk_table_replace(fk_arena *a, fk_table *t, uint64_t row, const fk_entry *e)
{
    fk_row *r = (fk_row *)row_at(a, t, row);
    return r && fk_row_item(r) ? fk_rows_set(a, t, r, e) : FK_STALE;
}

/* ---- all rows at once --------------------------------------------------------------------------------- */

fk_status fk_rows_new(fk_arena *a, uint64_t rows, bool indexed, uint64_t *off)
{
    uint64_t slots = 0, capacity = rows < FEWEST ? FEWEST : rows;
    if (capacity >= FK_SLOT_LEFT / 4)
        return FK_NOMEM;
    if (indexed) { /* at most two thirds of the slots are filled */
        for (slots = 8; slots * 2 / 3 < capacity; slots *= 2)
            ;
        capacity = slots * 2 / 3;
    }
    fk_status st = fk_block_new(a, rows_size(capacity, slots), FK_KIND_RAW, off);
    if (st != FK_OK)
        return st;
    if (!indexed) { /* blocks are powers of two: all that there is */
        fk_block *b = fk_block_at(a, *off);
        b->size = (UINT64_C(1) << b->klass) - FK_BLOCK_HEAD;
        capacity = (b->size - sizeof(fk_rows)) / sizeof(fk_row);
    }
    fk_rows *r = fk_block_data(a, *off);
    r->capacity = capacity;
    r->slots = slots;
    r->filled = 0;
    atomic_store(&r->used, 0);
    memset(&r->row[capacity], 0, slots * sizeof(uint32_t));
    return FK_OK;
}

/* Give up the items that go with these rows. */
static void drop_marked(fk_arena *a, fk_rows *r)
{
    for (uint64_t i = 0; r && i < fk_rows_used(r); i++) {
        if (!(atomic_load_explicit(&r->row[i].hash, memory_order_relaxed) & FK_ROW_GOES))
            continue;
        uint64_t item = atomic_exchange(&r->row[i].item, 0);
        fk_point("table.dropped");
        if (item)
            fk_block_unqueue(a, item);
    }
}

static void unmark(fk_rows *r)
{
    for (uint64_t i = 0; r && i < fk_rows_used(r); i++) {
        uint64_t hash = atomic_load_explicit(&r->row[i].hash, memory_order_relaxed);
        if (hash & FK_ROW_GOES)
            atomic_store_explicit(&r->row[i].hash, hash & ~FK_ROW_GOES, memory_order_relaxed);
    }
}

static void settle_rows(fk_arena *a, fk_table *t)
{
    uint64_t making = atomic_load(&t->making);
    if (!making)
        return;
    bool taken = atomic_load(&t->root) == making;
    uint64_t loser = taken ? atomic_load(&t->leaving) : making;
    drop_marked(a, fk_rows_at(a, loser));
    unmark(fk_rows_of(a, t));
    atomic_store(&t->making, 0);
    fk_point("table.left");
    if (loser)
        fk_block_unref(a, loser, FK_REF_HOLD);
}

fk_status fk_rows_make(fk_arena *a, fk_table *t, uint64_t rows, fk_rows **made)
{
    uint64_t off;
    fk_status st = fk_rows_new(a, rows, t->indexed, &off);
    if (st != FK_OK)
        return st;
    fk_point("table.unmade");
    atomic_store(&t->leaving, atomic_load(&t->root));
    atomic_store(&t->making, off);
    fk_point("table.making");
    *made = fk_rows_at(a, off);
    return FK_OK;
}

fk_status fk_rows_fill(fk_arena *a, fk_rows *made, const fk_entry *e)
{
    uint64_t n = fk_rows_used(made), item;
    fk_status st = item_new(a, e, &item);
    if (st != FK_OK)
        return st;
    atomic_store(&made->row[n].item, item);
    atomic_store(&made->row[n].hash, FK_ROW_GOES);
    atomic_store(&made->used, n + 1);
    fk_point("table.filled");
    item_own(a, item, e);
    return FK_OK;
}

void fk_rows_take(fk_arena *a, fk_table *t)
{
    fk_point("table.made");
    atomic_store(&t->root, atomic_load(&t->making));
    fk_point("table.rooted");
    settle_rows(a, t);
    uint64_t live = 0;
    const fk_rows *r = fk_rows_of(a, t);
    for (uint64_t i = 0; r && i < fk_rows_used(r); i++)
        live += fk_row_item(&r->row[i]) != 0;
    count(t, live - fk_table_live(t));
}

void fk_rows_leave(fk_arena *a, fk_table *t) { settle_rows(a, t); }

fk_status fk_rows_remake(fk_arena *a, fk_table *t, uint64_t rows)
{
    fk_rows *from = fk_rows_of(a, t), *to;
    if (!from)
        return FK_CORRUPT;
    fk_status st = fk_rows_make(a, t, rows, &to);
    if (st != FK_OK)
        return st;
    uint64_t n = 0;
    for (uint64_t i = 0; i < fk_rows_used(from) && n < to->capacity; i++)
        if (fk_row_item(&from->row[i]))
            to->row[n++] = from->row[i];
    atomic_store(&to->used, n);
    fk_rows_index(to);
    fk_rows_take(a, t);
    return FK_OK;
}

fk_status fk_table_clear(fk_arena *a, fk_table *t)
{
    fk_rows *from = fk_rows_of(a, t), *to;
    if (!from)
        return FK_CORRUPT;
    fk_status st = fk_rows_make(a, t, 0, &to);
    if (st != FK_OK)
        return st;
    for (uint64_t i = 0; i < fk_rows_used(from); i++)
        atomic_fetch_or_explicit(&from->row[i].hash, FK_ROW_GOES, memory_order_relaxed);
    fk_rows_take(a, t);
    return FK_OK;
}

/* ---- the table ---------------------------------------------------------------------------------------- */

fk_status fk_table_init(fk_arena *a, fk_table *t, bool indexed)
{
    memset(t, 0, sizeof *t);
    uint64_t off;
    fk_status st = fk_rows_new(a, 0, indexed, &off);
    if (st != FK_OK)
        return st;
    t->indexed = indexed;
    atomic_store(&t->root, off);
    return FK_OK;
}

/* What follows from the rows is written anew. */
static FK_COLD void recover(fk_arena *a, fk_table *t)
{
    settle_row(a, t);
    settle_rows(a, t);
    fk_rows *r = fk_rows_of(a, t);
    uint64_t live = 0, used = r ? fk_rows_used(r) : 0;
    for (uint64_t i = 0; i < used; i++)
        live += fk_row_item(&r->row[i]) != 0;
    while (used && !fk_row_item(&r->row[used - 1]))
        used--;
    if (r) {
        atomic_store(&r->used, used);
        fk_point("table.recovering");
        fk_rows_index(r);
    }
    atomic_store(&t->live, live);
    atomic_fetch_add(&t->version, 1);
    atomic_fetch_add(&t->odd, atomic_load(&t->odd) ? 1 : 0);
}

fk_status fk_table_lock(fk_arena *a, fk_table *t, fk_wait *w)
{
    fk_status st = fk_lock_acquire(a, &t->lock, w);
    if (FK_LIKELY(st == FK_OK))
        return FK_OK;
    if (st == FK_OWNER_DIED) {
        if (fk_lock_take_over(a, &t->lock) != FK_OK)
            return FK_INTR;
        recover(a, t);
        return FK_OK;
    }
    return st;
}

void fk_table_unlock(fk_table *t) { fk_lock_release(&t->lock); }

uint64_t fk_table_live(const fk_table *t)
{
    return atomic_load_explicit(&t->live, memory_order_relaxed);
}

void fk_table_give_back(fk_arena *a, fk_table *t)
{
    fk_owner owner = fk_lock_owner(&t->lock);
    if (!owner || fk_slot_alive(a, owner))
        return;
    if (fk_lock_force(a, &t->lock) == FK_OWNER_DIED)
        recover(a, t);
    fk_lock_release(&t->lock);
}

void fk_table_destroy(fk_arena *a, uint64_t off)
{
    fk_table *t = fk_block_data(a, off);
    if (!t)
        return;
    settle_row(a, t); /* who died in it, and nobody has come there since */
    settle_rows(a, t);
    fk_rows *r = fk_rows_of(a, t);
    for (uint64_t i = 0; r && i < fk_rows_used(r); i++)
        atomic_fetch_or_explicit(&r->row[i].hash, FK_ROW_GOES, memory_order_relaxed);
    drop_marked(a, r);
    uint64_t root = atomic_exchange(&t->root, 0);
    fk_point("table.struck");
    if (root)
        fk_block_unref(a, root, FK_REF_HOLD);
}
