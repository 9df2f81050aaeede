/* Sleeping on a word of shared memory. The only file that says SYS_futex. */
#ifndef FK_FUTEX_H
#define FK_FUTEX_H

#include "base.h"

/* No sleep is longer than a slice: after each, the sleeper looks whether the one it waits for
 * lives, and whether a wake-up went to a process that was killed before it could act on it. */
#define FK_SLICE_NS UINT64_C(50000000)
#define FK_SLICE_MAX_NS UINT64_C(1000000000)

/* With deadline 0 a call may still end with FK_INTR: the lock inside the structure, which is held
 * for some instructions, is in the hands of a process that was stopped in them.
 *
 * How one call waits. `slice_ns` is the next slice, grown by fk_futex_wait when `grows`:
 * for waits that do not hang on a single owner, so that ten thousand idle processes cost nothing. */
typedef struct fk_wait {
    uint64_t deadline_ns; /* absolute; FK_NEVER; 0: do not wait at all */
    uint64_t slice_ns;
    bool grows;
    struct fk_nap *nap; /* where this thread tells that it sleeps (layout.h); NULL: nowhere */
    _Atomic uint64_t
        *watch;      /* the family's watch, for this wait to take (watch.h); NULL: not for it */
    uint64_t thread; /* what to write there */
    bool watches;    /* it has it: the slices do not grow */
    bool rested;     /* a slice is over: this wait is a long one */
} fk_wait;

#define FK_WAIT_UNTIL(deadline) {.deadline_ns = (deadline), .slice_ns = FK_SLICE_NS, .grows = false}

/* Sleep while *word == expected.
 *
 * Returns FK_OK when woken or when the word differs (look again), FK_TIMEOUT at the deadline,
 * FK_INTR when a signal came or the slice is over. */
fk_status fk_futex_wait(_Atomic uint32_t *word, uint32_t expected, fk_wait *w);

/* Round a sleep in the kernel, for the board: `word` is the futex, in the same arena as `nap`, or
 * NULL. fk_futex_wait does it by itself. */
void fk_nap_begin(struct fk_nap *nap, const void *word, uint32_t expected);
void fk_nap_end(struct fk_nap *nap);

/* Wake up to `n` sleepers; returns how many there were. */
int fk_futex_wake(_Atomic uint32_t *word, int n);

/* A short busy wait before a sleep pays off only where another CPU can act meanwhile: a wake-up
 * costs a system call there and a rescheduling here, ten times what most waits last. First the
 * CPU is kept, for answers that are nanoseconds away; then it is offered to whoever can run, so
 * that on a busy machine waiting takes nothing from the process that is being waited for.
 *
 * For how long: FK_BRIEFLY, where a lock is waited for that is held for some instructions. FK_PATIENTLY, for another's
 * answer: about as long as a sleep and a wake-up take, since of two that answer each other one that sleeps
 * makes the other wait for so long. A thread whose last waits all took longer is patient no more, but for one of
 * many, to see whether it would pay again.
 *
 *     fk_spin s = fk_spin_of(w, FK_PATIENTLY);
 *     while (!it_is_there())
 *         if (!fk_spin_on(&s))
 *             sleep();
 *     fk_spin_paid(&s);
 */
enum { FK_BRIEFLY = 10000, FK_PATIENTLY = 50000 }; /* nanoseconds */

typedef struct fk_spin {
    int keeps;            /* so often the CPU is still kept */
    uint64_t most_ns;     /* then it is offered for so long */
    uint64_t deadline_ns; /* but not after this */
    uint64_t until_ns;    /* when that ends; 0: it has not begun */
} fk_spin;

extern int fk_spins; /* how often to keep the CPU; 0: no busy waits, as on one CPU */
void fk_spin_init(void);
bool fk_spin_on(fk_spin *s); /* spin once; false: it is time to sleep */
void fk_spin_paid(const fk_spin *s);

/* Not for a wait that has slept: after a slice the answer is not moments away. Thousands that wake to look round, and
 * then each offer the CPU to all the others, would leave no time for those who work. */
static inline fk_spin fk_spin_of(const fk_wait *w, uint64_t most_ns)
{
    bool may = w->deadline_ns && !w->rested && fk_spins;
    return (fk_spin){
        .keeps = may ? fk_spins : 0, .most_ns = may ? most_ns : 0, .deadline_ns = w->deadline_ns};
}

#endif
