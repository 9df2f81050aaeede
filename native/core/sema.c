#include "sema.h"

#include <limits.h>

static uint32_t value_of(uint64_t state) { return (uint32_t)state; }
static uint32_t ticket_of(uint64_t state) { return (uint32_t)(state >> 32); }

FK_COLD void fk_ec_wake(fk_ec *ec, int n)
{
    /* The bit stays while there may be more sleepers than are woken here: to clear it first and set
     * it again would let another waker in between believe that nobody sleeps. */
    uint32_t v = atomic_fetch_add(&ec->word, 2) + 2;
    fk_point("ec.told");
    if (!(v & 1) || fk_futex_wake(&ec->word, n) >= n)
        return;
    /* There were fewer. Those that came since are woken too, when their bit goes. */
    if (atomic_compare_exchange_strong(&ec->word, &v, (v & ~1u) + 2))
        fk_futex_wake(&ec->word, INT_MAX);
}

void fk_sema_init(fk_sema *s, uint32_t value, uint32_t max)
{
    atomic_init(&s->lock.word, 0);
    atomic_init(&s->ec.word, 0);
    atomic_init(&s->state, value);
    atomic_init(&s->txn, 0);
    atomic_init(&s->returned, 0);
    s->max = max;
}

uint32_t fk_sema_value(const fk_sema *s) { return value_of(atomic_load(&s->state)); }

/* Settle what a dead owner of the lock left half done. */
static void recover(const fk_arena *a, fk_sema *s)
{
    uint64_t txn = atomic_load(&s->txn);
    fk_hold *hold = txn ? fk_at(a, txn, sizeof *hold) : NULL;
    if (hold) {
        uint64_t claim = atomic_load(&hold->claim); /* acquire: sema.claim */
        if (claim && (uint32_t)claim == ticket_of(atomic_load(&s->state)))
            atomic_store(&hold->taken, atomic_load(&hold->pending));
        atomic_store(&hold->claim, 0);
    }
    atomic_store(&s->txn, 0);
}

static fk_status lock(fk_arena *a, fk_sema *s, fk_wait *w)
{
    /* It is held for a few instructions: a try that does not want to wait waits for that. */
    fk_wait a_slice = FK_WAIT_UNTIL(FK_NEVER);
    fk_status st = fk_lock_acquire(a, &s->lock, w->deadline_ns ? w : &a_slice);
    if (FK_UNLIKELY(st == FK_OWNER_DIED)) {
        if (fk_lock_take_over(a, &s->lock) != FK_OK)
            return FK_INTR; /* somebody else did: once more */
        recover(a, s);
        return FK_OK;
    }
    return st;
}

/* Permits that are nobody's in particular: a step of the value alone, without the lock. The ticket stays, so
 * that the change of one who holds the lock is told by it. */
static bool take_one(fk_sema *s)
{
    uint64_t state = atomic_load(&s->state);
    while (value_of(state) > 0)
        if (atomic_compare_exchange_weak(&s->state, &state, state - 1))
            return true;
    return false;
}

static bool give_one(fk_sema *s)
{
    uint64_t state = atomic_load(&s->state);
    while (value_of(state) < s->max)
        if (atomic_compare_exchange_weak(&s->state, &state, state + 1))
            return true;
    return false;
}

/* How many of `n` permits can be given, or taken. */
static uint32_t possible(const fk_sema *s, uint64_t state, bool give, uint32_t n)
{
    uint32_t most = give ? s->max - value_of(state) : value_of(state);
    return n < most ? n : most;
}

/* One change of the value by up to `n`, and of the entry's count to `taken`, under the lock. By how many; 0:
 * none was possible. What is written in this order is found in this order: release is enough where nobody
 * looks without the lock. */
static uint32_t change(fk_arena *a, fk_sema *s, fk_hold *hold, bool give, uint32_t n,
                       uint32_t taken)
{
    uint64_t state = atomic_load(&s->state);
    if (!(n = possible(s, state, give, n)))
        return 0;
    uint32_t ticket = ticket_of(state) + 1;
    if (ticket == 0)
        ticket = 1; /* claim 0 is "none" */
    atomic_store_explicit(&hold->pending, taken, memory_order_relaxed);
    atomic_store_explicit(&s->txn, fk_off(a, hold), memory_order_release);
    atomic_store_explicit(&hold->claim, ticket, memory_order_release); /* release: sema.claim */
    fk_point("sema.claimed");
    while ((n = possible(s, state, give, n)) != 0) {
        uint64_t value = give ? value_of(state) + n : value_of(state) - n;
        /* commit; seq_cst, for the event count's sake */
        if (atomic_compare_exchange_weak(&s->state, &state, (uint64_t)ticket << 32 | value))
            break;
    }
    fk_point("sema.committed");
    if (n)
        atomic_store_explicit(&hold->taken, taken, memory_order_release);
    atomic_store_explicit(&hold->claim, 0, memory_order_release);
    fk_point("sema.settled");
    atomic_store_explicit(&s->txn, 0, memory_order_release);
    return n;
}

/* FK_OK, FK_AGAIN: there is none; or why not even that can be told. */
static fk_status take_for(fk_arena *a, fk_sema *s, fk_hold *hold, fk_wait *w)
{
    fk_status st = lock(a, s, w);
    if (FK_UNLIKELY(st != FK_OK)) {
        fk_ec_notify(&s->ec, 1); /* who gives up here may have been woken: see sema.h */
        return st;
    }
    bool got = change(a, s, hold, false, 1, atomic_load(&hold->taken) + 1);
    fk_lock_release(&s->lock);
    return got ? FK_OK : FK_AGAIN;
}

fk_status fk_sema_acquire(fk_arena *a, fk_sema *s, fk_hold *hold, fk_wait *w)
{
    for (;;) {
        fk_status st = hold ? take_for(a, s, hold, w) : take_one(s) ? FK_OK : FK_AGAIN;
        if (st != FK_AGAIN || w->deadline_ns == 0)
            return st;
        uint32_t e = fk_ec_prepare(&s->ec);
        if (fk_sema_value(s) > 0)
            continue;
        st = fk_futex_wait(&s->ec.word, e, w);
        if (st == FK_TIMEOUT && !hold && take_one(s)) /* whoever was woken for it may have died */
            return FK_OK;
        if (st != FK_OK)
            return st;
    }
}

static bool give_for(fk_arena *a, fk_sema *s, fk_hold *hold)
{
    if (fk_lock_force(a, &s->lock) == FK_OWNER_DIED)
        recover(a, s);
    uint32_t taken = atomic_load(&hold->taken);
    bool given = change(a, s, hold, true, 1, taken ? taken - 1 : 0);
    fk_lock_release(&s->lock);
    return given;
}

fk_status fk_sema_release(fk_arena *a, fk_sema *s, fk_hold *hold)
{
    if (!(hold ? give_for(a, s, hold) : give_one(s)))
        return FK_OVERFLOW;
    fk_ec_notify(&s->ec, 1);
    return FK_OK;
}

void fk_sema_give_back(fk_arena *a, fk_sema *s, fk_hold *hold)
{
    if (fk_lock_force(a, &s->lock) == FK_OWNER_DIED)
        recover(a, s);
    /* As many as there is room for: somebody else may have given some already. In one change with the
     * entry: a reaper that dies here gives nothing twice. */
    uint32_t n = change(a, s, hold, true, atomic_load(&hold->taken), 0);
    if (n)
        atomic_fetch_add(&s->returned, n);
    fk_lock_release(&s->lock);
    if (n)
        fk_ec_notify(&s->ec, n > INT_MAX ? INT_MAX : (int)n);
}
