#include "standstill.h"

#include <unistd.h>

#include "cond.h"
#include "event.h"
#include "lock.h"
#include "queue.h"

bool fk_still_turn(fk_arena *a)
{
    fk_header *h = fk_head(a);
    uint64_t now = fk_now_ns(), last = atomic_load(&h->last_look_ns);
    fk_owner looker = atomic_load(&h->looker);
    uint64_t pause = FK_LOOK_EVERY_NS;
    if (looker && looker != a->me)
        pause = fk_slot_alive(a, looker) ? FK_LOOKER_NS : 0;
    if (now < last + pause || !atomic_compare_exchange_strong(&h->last_look_ns, &last, now))
        return false;
    atomic_store(&h->looker, a->me);
    return true;
}

void fk_still_pass(fk_arena *a, uint64_t cost_ns)
{
    fk_owner me = a->me;
    if (50 * cost_ns > FK_LOOK_EVERY_NS)
        atomic_store(&fk_head(a)->last_look_ns, fk_now_ns() + 50 * cost_ns - FK_LOOK_EVERY_NS);
    atomic_compare_exchange_strong(&fk_head(a)->looker, &me, 0);
}

/* ---- one wait --------------------------------------------------------------------------------------- */

static const uint32_t KIND_OF[FK_OPS] = {
    [FK_OP_LOCK] = FK_KIND_LOCK,       [FK_OP_RLOCK] = FK_KIND_RLOCK,
    [FK_OP_SEMAPHORE] = FK_KIND_SEMA,  [FK_OP_EVENT] = FK_KIND_EVENT,
    [FK_OP_CONDITION] = FK_KIND_COND,  [FK_OP_QUEUE_GET] = FK_KIND_QUEUE,
    [FK_OP_QUEUE_PUT] = FK_KIND_QUEUE, [FK_OP_QUEUE_JOIN] = FK_KIND_QUEUE,
    [FK_OP_TASK] = FK_KIND_QUEUE,      [FK_OP_RESULTS] = FK_KIND_QUEUE,
    [FK_OP_TABLE] = FK_KIND_TABLE,     [FK_OP_RESULT] = FK_KIND_EVENT,
    [FK_OP_POOL] = FK_KIND_EVENT,
};

/* Whoever wakes a sleeper changes its word first. */
static bool is_woken(const fk_arena *a, const fk_seen *s)
{
    _Atomic uint32_t *word = fk_at(a, s->word, sizeof *word);
    return !word || (s->word & 3) || atomic_load(word) != s->expected;
}

static bool lock_blocks(const fk_arena *a, const fk_lock *l)
{
    fk_owner owner = fk_lock_owner(l);
    return owner && fk_slot_alive(a, owner); /* of a dead one the next slice tells the waiter */
}

bool fk_still_blocks(const fk_arena *a, const fk_seen *s)
{
    if (s->op == FK_OP_PROCESS) {
        fk_owner joined = fk_board_joined(a, s);
        return joined == 0 || fk_slot_alive(a, joined);
    }
    if (s->op >= FK_OPS || KIND_OF[s->op] == 0 || (s->asleep && is_woken(a, s)))
        return false;
    fk_block *b = fk_block_at(a, s->object);
    void *data = fk_at(a, s->object + FK_BLOCK_HEAD, sizeof(fk_queue)); /* the largest of them */
    if (!b || !data || atomic_load(&b->tag) == 0 || b->kind != KIND_OF[s->op])
        return false;
    switch (s->op) {
    case FK_OP_LOCK:
        return lock_blocks(a, &((fk_user_lock *)data)->lock);
    case FK_OP_RLOCK:
        return lock_blocks(a, &((fk_rlock *)data)->user.lock);
    case FK_OP_TABLE:
        return lock_blocks(a, &((fk_table *)data)->lock);
    case FK_OP_SEMAPHORE:
        return fk_sema_value(data) == 0;
    case FK_OP_RESULT:
    case FK_OP_POOL:
    case FK_OP_EVENT: /* one that was set and cleared has changed its word */
        return !fk_event_is_set(data);
    case FK_OP_CONDITION: /* each waiter has a word of its own, and no more than that */
        return true;
    case FK_OP_QUEUE_PUT:
        return fk_queue_put_blocks(data);
    case FK_OP_QUEUE_JOIN:
        return fk_queue_join_blocks(a, data);
    default:
        return fk_queue_get_blocks(a, data, s->owner);
    }
}

/* ---- the family --------------------------------------------------------------------------------------- */

static bool is_old_and_quiet(const fk_seen *s)
{
    return s->deadline_ns == FK_NEVER && s->quiet && fk_now_ns() >= s->since_ns + FK_STILL_AFTER_NS;
}

fk_status fk_still_wait(const fk_arena *a, uint32_t index, fk_seen *s, int *patience)
{
    for (;; usleep(1000)) {
        if (!fk_board_see(a, index, s))
            return FK_AGAIN;
        if (!is_old_and_quiet(s))
            return FK_TIMEOUT;
        bool self = s->owner == a->me && s->tid == fk_tid(a);
        if (self || s->asleep) {
            bool sleeps = self || s->word != 0 || s->op == FK_OP_PROCESS;
            return sleeps && fk_still_blocks(a, s) ? FK_OK : FK_TIMEOUT;
        }
        if (--*patience < 0)
            return FK_TIMEOUT;
    }
}

/* Of a process in another PID namespace /proc would tell nothing, or of somebody else. */
static bool is_member_in_sight(const fk_arena *a, fk_slot *s, uint32_t index)
{
    return atomic_load(&s->state) == FK_SLOT_RUNNING && a->pid_space &&
           atomic_load(&s->pid_space) == a->pid_space &&
           fk_slot_alive(a, fk_owner_word(index, atomic_load(&s->generation)));
}

bool fk_still_family(const fk_arena *a)
{
    fk_header *h = fk_head(a);
    uint64_t waits[(FK_MAX_SLOTS + 63) / 64] = {0};
    int patience = FK_STILL_PATIENCE;
    uint32_t high = atomic_load(&h->board_high);
    for (uint32_t i = 0; i < high; i++) {
        fk_seen s;
        fk_status st = fk_still_wait(a, i, &s, &patience);
        if (st == FK_AGAIN)
            continue;
        if (st != FK_OK || !fk_slot_of(a, s.owner))
            return false;
        uint32_t slot = fk_owner_index(s.owner);
        waits[slot / 64] |= UINT64_C(1) << slot % 64;
    }
    high = atomic_load(&h->slot_high);
    for (uint32_t i = 0; i < high; i++) {
        fk_slot *s = fk_slot_at(a, i);
        if (atomic_load(&s->state) == FK_SLOT_FREE)
            continue;
        bool counts = (waits[i / 64] >> i % 64 & 1) || (atomic_load(&s->flags) & FK_SLOT_SERVES);
        if (!counts || !is_member_in_sight(a, s, i))
            return false;
    }
    return true;
}
