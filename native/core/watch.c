#include "watch.h"

#include "lock.h"
#include "reap.h"

void fk_watch_offer(fk_arena *a, fk_wait *w)
{
    if (atomic_load_explicit(&fk_head(a)->slot_high, memory_order_relaxed) < 2)
        return;
    w->watch = &fk_head(a)->watch;
    w->thread = fk_thread_word(a);
}

void fk_watch_look(fk_arena *a)
{
    _Atomic uint64_t *watch = &fk_head(a)->watch;
    uint64_t who = atomic_load(watch);
    if (who && !fk_slot_alive(a, (fk_owner)(who >> 32)))
        atomic_compare_exchange_strong(watch, &who, 0);
    fk_reap_all(a);
}

/* Slices of these do not grow, or there are none. */
static bool grows(uint32_t op)
{
    return op != FK_OP_LOCK && op != FK_OP_RLOCK && op != FK_OP_PROCESS;
}

void fk_watch_end(fk_arena *a, fk_wait *w)
{
    if (!w->watches)
        return;
    w->watches = false;
    atomic_store(&fk_head(a)->watch, 0);
    uint32_t high = atomic_load(&fk_head(a)->board_high);
    for (uint32_t i = 0; i < high; i++) {
        fk_seen s;
        if (!fk_board_glance(a, i, &s) || !grows(s.op) || !fk_board_see(a, i, &s))
            continue;
        /* One that has slept for two slices has a grown one, and one that wakes for nothing looks
         * round and sleeps on. */
        bool sleeps = s.asleep && s.word && s.word % sizeof(uint32_t) == 0 &&
                      fk_now_ns() > s.since_ns + 2 * FK_SLICE_NS;
        _Atomic uint32_t *word = sleeps ? fk_at(a, s.word, sizeof *word) : NULL;
        if (word && fk_slot_alive(a, s.owner) && fk_futex_wake(word, 1))
            return;
    }
}
