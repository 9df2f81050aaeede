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
    if (b->kind == FK_KIND_SEMA)
        fk_sema_give_back(a, data, e);
    else if (b->kind == FK_KIND_QUEUE)
        fk_queue_give_back(a, data, e);
    /* Forgotten first: a reaper that dies in between loses a ref, and never gives one twice. */
    if (atomic_exchange(&e->off, 0) == off)
        fk_block_unref(a, off, FK_REF_HOLD);
}

static void give_all_back(fk_arena *a, fk_slot *s)
{
    for (uint64_t at; (at = atomic_load(&s->holds));) {
        fk_hold_chunk *c = fk_block_data(a, at);
        if (!c)
            break;
        for (uint32_t i = 0; i < FK_HOLDS_PER_CHUNK; i++)
            give_back(a, &c->hold[i]);
        atomic_store(&s->holds, atomic_load(&c->next));
        fk_point("reap.chunk");
        fk_block_unref(a, at, FK_REF_HOLD);
    }
    atomic_store(&s->holds, 0);
}

static void write_obituary(fk_arena *a, fk_owner dead, fk_slot *s)
{
    fk_header *h = fk_head(a);
    fk_obituary *o =
        &h->obituaries[atomic_fetch_add(&h->obituary_next, 1) % FK_MAX_OBITUARIES];
    atomic_store(&o->owner, 0);
    o->pid = atomic_load(&s->pid);
    memcpy(o->name, s->name, sizeof o->name);
    o->name[sizeof o->name - 1] = 0;
    atomic_store(&o->owner, dead);
}

bool fk_reap(fk_arena *a, fk_owner dead)
{
    dead &= FK_OWNER_MASK;
    fk_slot *s = fk_slot_of(a, dead);
    if (!s)
        return true;
    uint32_t state = atomic_load(&s->state);
    if (state == FK_SLOT_FREE || fk_slot_alive(a, dead))
        return false;
    if (state == FK_SLOT_REAPING) { /* is its reaper still at it? */
        uint32_t reaper = atomic_load(&s->reaper);
        if (reaper == a->me || reaper == 0 || fk_slot_alive(a, reaper) ||
            !atomic_compare_exchange_strong(&s->reaper, &reaper, a->me))
            return false;
    } else {
        /* Whose turn it is stands in `reaper` before the state says so. */
        uint32_t nobody = 0;
        if (!atomic_compare_exchange_strong(&s->reaper, &nobody, a->me) &&
            (fk_slot_alive(a, nobody) || !atomic_compare_exchange_strong(&s->reaper, &nobody, a->me)))
            return false;
        if (fk_slot_of(a, dead) != s || !atomic_compare_exchange_strong(&s->state, &state, FK_SLOT_REAPING)) {
            uint32_t me = a->me;
            atomic_compare_exchange_strong(&s->reaper, &me, 0);
            return false;
        }
    }
    fk_point("reap.begun");
    give_all_back(a, s);
    fk_board_forget(a, dead);
    write_obituary(a, dead, s);
    fk_header *h = fk_head(a);
    atomic_fetch_add(&h->reaped, 1);
    atomic_store(&s->pid, 0);
    atomic_store(&s->parent, 0);
    atomic_fetch_add(&s->generation, 1);
    atomic_store(&s->reaper, 0);
    atomic_store(&s->state, FK_SLOT_FREE);
    uint32_t index = fk_owner_index(dead), hint = atomic_load(&h->slot_hint);
    while (index < hint && !atomic_compare_exchange_weak(&h->slot_hint, &hint, index)) {
    }
    return true;
}

uint32_t fk_reap_all(fk_arena *a)
{
    fk_header *h = fk_head(a);
    uint64_t now = fk_now_ns(), last = atomic_load(&h->last_reap_ns);
    if (now - last < FK_REAP_EVERY_NS || !atomic_compare_exchange_strong(&h->last_reap_ns, &last, now))
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
