#include "reap.h"

#include <string.h>

#include "board.h"

static void give_back(fk_arena *a, fk_hold *e)
{
    uint64_t off = atomic_load(&e->off);
    fk_block *b = off ? fk_block_at(a, off) : NULL;
    void *data = b ? fk_block_data(a, off) : NULL;
    if (!data)
        return;
    bool dropping = atomic_load(&e->dropping); /* then the object need not be there any more */
    if (b->kind == FK_KIND_SEMA && !dropping)
        fk_sema_give_back(a, data, e);
    else if (b->kind == FK_KIND_QUEUE && !dropping)
        fk_queue_give_back(a, data, e);
    else if (b->kind == FK_KIND_TABLE && !dropping)
        fk_table_give_back(a, data);
    fk_point("reap.given");
    fk_hold_end(a, e);
}

static void give_all_back(fk_arena *a, fk_slot *s)
{
    for (uint64_t at; (at = atomic_load(&s->holds));) {
        fk_hold_chunk *c = fk_block_data(a, at);
        if (!c)
            break;
        for (uint32_t i = 0; i < FK_HOLDS_PER_CHUNK; i++)
            give_back(a, &c->hold[i]);
        atomic_store(&s->holds, atomic_load(&c->next)); /* forgotten first: once at most */
        fk_point("reap.chunk");
        fk_block_unref(a, at, FK_REF_HOLD);
    }
    atomic_store(&s->holds, 0);
}

static void write_obituary(fk_arena *a, fk_owner dead, fk_slot *s)
{
    fk_header *h = fk_head(a);
    fk_obituary *o = &h->obituaries[atomic_fetch_add(&h->obituary_next, 1) % FK_MAX_OBITUARIES];
    atomic_store(&o->owner, 0);
    o->pid = atomic_load(&s->pid);
    memcpy(o->name, s->name, sizeof o->name);
    o->name[sizeof o->name - 1] = 0;
    atomic_store(&o->owner, dead);
}

/* REAPING -> FREE. A second reaper may come in between any two steps, and does them again. */
static void bury(fk_arena *a, fk_owner dead, fk_slot *s)
{
    fk_header *h = fk_head(a);
    if (atomic_load(&s->pid)) { /* not: reserved for a child that never was */
        write_obituary(a, dead, s);
        atomic_fetch_add(&h->reaped, 1);
    }
    atomic_store(&s->pid, 0);
    atomic_store(&s->parent, 0);
    atomic_fetch_add(&s->generation, 1);
    fk_point("reap.buried");
    atomic_store(&s->state, FK_SLOT_FREE);
    fk_point("reap.freed");
    fk_slot_unkeep(s);
    uint32_t index = fk_owner_index(dead), hint = atomic_load(&h->slot_hint);
    while (index < hint && !atomic_compare_exchange_weak(&h->slot_hint, &hint, index)) {
    }
}

bool fk_reap(fk_arena *a, fk_owner dead)
{
    dead &= FK_OWNER_MASK;
    fk_slot *s = fk_slot_of(a, dead);
    if (!s)
        return true;
    if (a->me == 0 || atomic_load(&s->state) == FK_SLOT_FREE || fk_slot_alive(a, dead) ||
        !fk_slot_keep(a, s))
        return false;
    /* Only now does the slot stand still: once more. */
    if (fk_slot_of(a, dead) != s || atomic_load(&s->state) == FK_SLOT_FREE ||
        fk_slot_alive(a, dead)) {
        fk_slot_unkeep(s);
        return fk_slot_of(a, dead) != s;
    }
    atomic_store(&s->state, FK_SLOT_REAPING);
    fk_point("reap.begun");
    give_all_back(a, s);
    fk_board_forget(a, dead);
    bury(a, dead, s);
    return true;
}

uint32_t fk_reap_all(fk_arena *a)
{
    fk_header *h = fk_head(a);
    uint64_t now = fk_now_ns(), last = atomic_load(&h->last_reap_ns);
    if (now - last < FK_REAP_EVERY_NS ||
        !atomic_compare_exchange_strong(&h->last_reap_ns, &last, now))
        return 0;
    uint32_t n = 0, high = atomic_load(&h->slot_high);
    for (uint32_t i = 0; i < high; i++) {
        fk_slot *s = fk_slot_at(a, i);
        if (atomic_load(&s->state) == FK_SLOT_FREE)
            continue;
        fk_owner o = fk_owner_word(i, atomic_load(&s->generation));
        if (o != a->me && !fk_slot_alive(a, o))
            n += fk_reap(a, o);
    }
    return n;
}
