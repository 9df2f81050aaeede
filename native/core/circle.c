#include "circle.h"

#include "heap.h"
#include "hold.h"
#include "lock.h"

#define MOST 64 /* processes that are followed; a longer way round is not found */

/* Who alone can end the wait: an owner word, 0: nobody in particular. */
static fk_owner ends(const fk_arena *a, const fk_seen *s)
{
    if (s->op == FK_OP_PROCESS)
        return fk_board_joined(a, s);
    bool lock = s->op == FK_OP_LOCK || s->op == FK_OP_RLOCK;
    fk_user_lock *l = lock ? fk_at(a, s->object + FK_BLOCK_HEAD, sizeof *l) : NULL;
    return l && s->object % FK_CACHE_LINE == 0 ? fk_lock_owner(&l->lock) : 0;
}

static bool add(fk_owner *known, uint32_t *n, fk_owner owner)
{
    for (uint32_t i = 0; i < *n; i++)
        if (known[i] == owner)
            return true;
    if (*n == MOST)
        return false;
    known[(*n)++] = owner;
    return true;
}

bool fk_circle_suspected(const fk_arena *a, uint64_t object)
{
    fk_owner known[MOST];
    uint32_t n = 0, high = atomic_load(&fk_head(a)->board_high);
    fk_seen s = {.op = FK_OP_LOCK, .object = object};
    fk_owner first = ends(a, &s);
    if (!first)
        return false;
    add(known, &n, first);
    for (uint32_t k = 0; k < n; k++) {
        if (known[k] == a->me)
            return true;
        for (uint32_t i = 0; i < high; i++) {
            bool waits = fk_board_glance(a, i, &s) && s.owner == known[k];
            fk_owner next = waits && s.deadline_ns == FK_NEVER ? ends(a, &s) : 0;
            if (next && !add(known, &n, next))
                return false;
        }
    }
    return false;
}

fk_status fk_circle_users(const fk_arena *a, uint64_t off, fk_owner *users, uint32_t most,
                          uint32_t *count)
{
    fk_block *b = fk_block_at(a, off);
    uint64_t tag = b ? atomic_load(&b->tag) : 0, refs = b ? atomic_load(&b->refs) : 0;
    *count = 0;
    if (tag == 0 || atomic_load(&b->travelled) || refs >= FK_REF_QUEUED)
        return FK_AGAIN;
    uint64_t entries = 0, unused = 0;
    uint32_t high = atomic_load(&fk_head(a)->slot_high);
    for (uint32_t i = 0; i < high; i++) {
        fk_slot *s = fk_slot_at(a, i);
        uint32_t state = atomic_load(&s->state);
        if (state == FK_SLOT_FREE)
            continue;
        fk_owner owner = fk_owner_word(i, atomic_load(&s->generation));
        uint64_t before = entries;
        if (state != FK_SLOT_RUNNING || !fk_hold_count(a, s, off, &entries, &unused))
            return FK_AGAIN;
        if (!fk_slot_alive(a, owner))
            continue; /* its entries count as refs, and it does no more */
        if (!(atomic_load(&s->flags) & (FK_SLOT_SETTLED | FK_SLOT_SERVES)))
            return FK_AGAIN;
        if (entries == before)
            continue;
        if (*count == most)
            return FK_NOMEM;
        users[(*count)++] = owner;
    }
    bool all = entries == refs && atomic_load(&b->refs) == refs && atomic_load(&b->tag) == tag;
    return all ? FK_OK : FK_AGAIN;
}
