#include "futex.h"

#include "layout.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

uint64_t fk_now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

void fk_nap_begin(fk_nap *nap, const void *word, uint32_t expected)
{
    int64_t away = word ? (int64_t)((intptr_t)word - (intptr_t)nap) : 0;
    atomic_store_explicit(&nap->expected, expected, memory_order_relaxed);
    atomic_store_explicit(&nap->word, away, memory_order_relaxed);
    /* release: nap.count - and all that this thread has done before */
    atomic_fetch_add_explicit(&nap->count, 1, memory_order_release);
}

void fk_nap_end(fk_nap *nap)
{
    /* Every commit is a release: who sees what this thread does from here on sees that it is up. */
    atomic_fetch_add(&nap->count, 1);
}

/* Whether this wait has the watch. It takes it when its slice has grown and nobody has it. */
static bool watches(fk_wait *w)
{
    uint64_t nobody = 0;
    if (!w->watches && w->watch && w->slice_ns > FK_SLICE_NS &&
        atomic_load_explicit(w->watch, memory_order_relaxed) == 0 &&
        atomic_compare_exchange_strong(w->watch, &nobody, w->thread)) {
        w->watches = true;
        w->slice_ns = FK_SLICE_NS;
    }
    return w->watches;
}

fk_status fk_futex_wait(_Atomic uint32_t *word, uint32_t expected, fk_wait *w)
{
    uint64_t now = fk_now_ns();
    if (now >= w->deadline_ns)
        return FK_TIMEOUT;
    bool grows = w->grows && !watches(w);
    uint64_t until = now + w->slice_ns;
    bool last = w->deadline_ns <= until;
    if (last)
        until = w->deadline_ns;

    /* WAIT_BITSET, unlike WAIT, takes an absolute time, by CLOCK_MONOTONIC. */
    struct timespec t = {.tv_sec = (time_t)(until / 1000000000u),
                         .tv_nsec = (long)(until % 1000000000u)};
    if (w->nap)
        fk_nap_begin(w->nap, word, expected);
    long r =
        syscall(SYS_futex, word, FUTEX_WAIT_BITSET, expected, &t, NULL, FUTEX_BITSET_MATCH_ANY);
    int e = r == 0 ? 0 : errno;
    if (w->nap)
        fk_nap_end(w->nap);
    if (e == 0 || e == EAGAIN)
        return FK_OK;
    if (e == ETIMEDOUT) {
        if (last)
            return FK_TIMEOUT;
        w->rested = true;
        if (grows && w->slice_ns < FK_SLICE_MAX_NS)
            w->slice_ns *= 2;
        return FK_INTR;
    }
    return e == EINTR ? FK_INTR : FK_SYS;
}

int fk_futex_wake(_Atomic uint32_t *word, int n)
{
    long r = syscall(SYS_futex, word, FUTEX_WAKE, n, NULL, NULL, 0);
    return r < 0 ? 0 : (int)r;
}

#define KEEPS 100    /* a microsecond or two */
#define FORGIVEN 8   /* vain waits in a row, after which a thread is patient no more, */
#define TRY_EVERY 32 /* but for one of so many waits */

int fk_spins;

void fk_spin_init(void)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    bool several = sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) > 1;
    fk_spins = several ? KEEPS : 0;
}

static void keep_cpu(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ __volatile__("yield");
#endif
}

static _Thread_local unsigned vain; /* patient waits in a row that a sleep has followed */

static uint64_t how_long(uint64_t most_ns)
{
    return most_ns > FK_BRIEFLY && vain >= FORGIVEN && vain++ % TRY_EVERY != 0 ? FK_BRIEFLY
                                                                               : most_ns;
}

bool fk_spin_on(fk_spin *s)
{
    if (s->keeps > 0) {
        s->keeps--;
        keep_cpu();
        return true;
    }
    if (s->most_ns == 0)
        return false;
    uint64_t now = fk_now_ns();
    if (s->until_ns == 0) {
        s->until_ns = now + how_long(s->most_ns);
        if (s->until_ns > s->deadline_ns)
            s->until_ns = s->deadline_ns;
    } else if (now >= s->until_ns) {
        if (s->most_ns > FK_BRIEFLY && vain < FORGIVEN)
            vain++;
        s->most_ns = 0;
        return false;
    }
    sched_yield();
    return true;
}

void fk_spin_paid(const fk_spin *s)
{
    if (s->until_ns && s->most_ns > FK_BRIEFLY)
        vain = 0;
}

#ifdef FK_POINTS
const char *fk_armed_point;
int fk_armed_skip;
int fk_point_yields;

void fk_point(const char *name)
{
    static _Thread_local uint32_t passes;
    passes = passes * 1664525 + 1013904223;
    if (fk_point_yields && (passes >> 16) % (uint32_t)fk_point_yields == 0)
        sched_yield();
    if (fk_armed_point && strcmp(fk_armed_point, name) == 0 && fk_armed_skip-- == 0)
        kill(getpid(), SIGKILL);
}
#endif
