/* What every file of the core shares: sizes, results, time.
 *
 * The core is C11 and Linux. It knows nothing of Python, keeps no thread of its own, and
 * never allocates behind the caller's back except where a header says so. */
#ifndef FK_BASE_H
#define FK_BASE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FK_CACHE_LINE 64
#define FK_NEVER UINT64_MAX /* a deadline that does not come */

#define FK_LIKELY(x) __builtin_expect(!!(x), 1)
#define FK_UNLIKELY(x) __builtin_expect(!!(x), 0)

/* ThreadSanitizer sees one process. Where another one carries on to a thread of this what a thread of this has
 * released, it has to be told: who carries on says so, and who takes it. */
#ifdef __SANITIZE_THREAD__
void __tsan_acquire(void *addr);
void __tsan_release(void *addr);
#define FK_CARRIED_ON(what) __tsan_release((void *)(what))
#define FK_TAKEN_ON(what) __tsan_acquire((void *)(what))
#else
#define FK_CARRIED_ON(what) ((void)0)
#define FK_TAKEN_ON(what) ((void)0)
#endif
#define FK_COLD __attribute__((cold, noinline))
#define FK_ALIGNED __attribute__((aligned(FK_CACHE_LINE)))

/* What a call of the core can end with. Only FK_OK means "done". */
typedef enum fk_status {
    FK_OK = 0,
    FK_AGAIN,      /* not now: locked, empty, full, not set */
    FK_TIMEOUT,    /* the deadline has passed */
    FK_INTR,       /* a signal came or a slice is over: look round, then call again */
    FK_OWNER_DIED, /* the process that held the lock is gone */
    FK_NOT_OWNER,  /* the caller does not hold what it wants to release */
    FK_OVERFLOW,   /* a count would pass its bound */
    FK_SHUTDOWN,   /* the queue was shut down */
    FK_STALE,      /* the object behind the handle was freed, or is of another kind */
    FK_CORRUPT,    /* shared memory holds what the core never writes */
    FK_NOMEM,      /* no room in the arena or in a table of it */
    FK_SYS,        /* a system call failed: see errno */
} fk_status;

/* Monotonic nanoseconds (CLOCK_MONOTONIC is one clock for all processes of a machine). */
uint64_t fk_now_ns(void);

/* Kill points: in test builds, `fk_point("name")` may end the process on the spot, as SIGKILL
 * would between any two instructions. In the product it is nothing. */
#ifdef FK_POINTS
extern const char *fk_armed_point; /* NULL: none */
extern int fk_armed_skip;          /* pass the point so many times first */
extern int fk_point_yields;        /* one pass in so many gives the CPU away; 0: none does */
void fk_point(const char *name);
#else
#define fk_point(name) ((void)0)
#endif

#endif
