#include "slot.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* The kernel tells of a death through `life`, save where it had no chance to (an OOM kill may
 * take the memory that the robust list is in). So the pid is looked at too, this seldom. */
#define PID_CHECK_NS UINT64_C(1000000000)

uint64_t fk_pid_started(uint32_t pid)
{
    char path[32], buf[512];
    snprintf(path, sizeof path, "/proc/%u/stat", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, buf, sizeof buf - 1);
    int e = errno;
    if (fd >= 0)
        close(fd);
    if (n <= 0) {
        /* A process that is not to be seen is not for that reason dead: /proc may be missing. */
        bool gone = (fd >= 0 && (n == 0 || e == ESRCH)) ||
                    (fd < 0 && e == ENOENT && kill((pid_t)pid, 0) < 0 && errno == ESRCH);
        return gone ? 0 : FK_PID_UNKNOWN;
    }
    buf[n] = 0;
    char *p = strrchr(buf, ')'); /* the name before it may hold anything */
    if (!p || p[1] != ' ')
        return FK_PID_UNKNOWN;
    if (p[2] == 'Z' || p[2] == 'X')
        return 0;
    p += 2; /* field 3 */
    for (int field = 3; field < 22 && p; field++)
        p = strchr(p + 1, ' ');
    return p ? strtoull(p, NULL, 10) : FK_PID_UNKNOWN;
}

/* ---- the start time of a newborn ------------------------------------------------------------------
 *
 * Reading it from /proc takes 15 us, in the parent and in the child; the clock that the kernel took it from
 * takes none. Where both have told the same once (they need not where somebody plays the kernel), a
 * process that was forked a tick ago began in this tick or in the last one. So start times that are
 * one tick apart count as the same; no pid comes round in so short a time. */

#define TICK_APART 1

static _Atomic uint32_t clock_tells; /* 0: not known yet */
enum { CLOCK_TELLS = 1, CLOCK_TELLS_NOT };

static _Thread_local uint64_t
    forked_at; /* the last fork began in this tick; 0: none that we know of */

static uint64_t ticks_now(void)
{
    struct timespec t;
    uint64_t hz = (uint64_t)sysconf(_SC_CLK_TCK);
    if (clock_gettime(CLOCK_BOOTTIME, &t) < 0 || hz == 0 || hz > 1000000000)
        return 0;
    return (uint64_t)t.tv_sec * hz + (uint64_t)t.tv_nsec / (1000000000 / hz);
}

void fk_slot_before_fork(void) { forked_at = ticks_now(); }

/* Of this process, or of a child that it has just started. */
static uint64_t newborn_started(uint32_t pid)
{
    uint64_t now = forked_at ? ticks_now() : 0;
    bool is_near = forked_at && now >= forked_at && now - forked_at <= TICK_APART;
    if (is_near && atomic_load(&clock_tells) == CLOCK_TELLS)
        return now;
    uint64_t started = fk_pid_started(pid);
    if (is_near && started != 0 && started != FK_PID_UNKNOWN)
        atomic_store(&clock_tells, started + TICK_APART >= forked_at && started <= now + TICK_APART
                                       ? CLOCK_TELLS
                                       : CLOCK_TELLS_NOT);
    return started;
}

/* ---- the keeper ------------------------------------------------------------------------------- */

bool fk_slot_keep(const fk_arena *a, fk_slot *s)
{
    uint32_t mine = a->me ? a->me : FK_KEEPER_PID | (uint32_t)getpid(), who = 0;
    if (atomic_compare_exchange_strong(&s->keeper, &who, mine))
        return true;
    bool alive =
        who == mine /* another thread of ours */ ||
        (who & FK_KEEPER_PID ? fk_pid_started(who & ~FK_KEEPER_PID) != 0 : fk_slot_alive(a, who));
    return !alive && atomic_compare_exchange_strong(&s->keeper, &who, mine);
}

void fk_slot_unkeep(fk_slot *s) { atomic_store(&s->keeper, 0); }

/* ---- coming in ---------------------------------------------------------------------------------- */

/* The word of `life` that the kernel marks is glibc's first; run() finds out whether it is here. */
#define ROBUST_OWNER_DIED UINT32_C(0x40000000)
#define ROBUST_TID UINT32_C(0x3fffffff)

static uint32_t life_word(fk_slot *s) { return atomic_load((_Atomic uint32_t *)(void *)&s->life); }

static bool lock_life(fk_slot *s)
{
    pthread_mutexattr_t attr;
    pthread_mutexattr_init(&attr);
    pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
    pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
    memset(&s->life, 0, sizeof s->life);
    pthread_mutex_init(&s->life, &attr);
    pthread_mutexattr_destroy(&attr);
    return pthread_mutex_lock(&s->life) == 0 &&
           (life_word(s) & ROBUST_TID) == (uint32_t)syscall(SYS_gettid);
}

static void write_pid(const fk_arena *a, fk_slot *s, uint32_t pid)
{
    uint64_t started = newborn_started(pid);
    atomic_store(&s->pid_space, a->pid_space);
    atomic_store(&s->pid_started, started == FK_PID_UNKNOWN ? 0 : started); /* 0: not compared */
    atomic_store(&s->pid, pid);
}

/* FREE -> RESERVED on the lowest free slot there is a hint of. */
static fk_status claim(fk_arena *a, uint32_t *index)
{
    fk_header *h = fk_head(a);
    for (uint32_t i = atomic_load(&h->slot_hint), looked = 0; looked <= FK_MAX_SLOTS;
         i++, looked++) {
        if (i >= FK_MAX_SLOTS)
            i = 0;
        fk_slot *s = fk_slot_at(a, i);
        if (atomic_load(&s->state) != FK_SLOT_FREE)
            continue;
        fk_point("slot.found");
        if (!fk_slot_keep(a, s))
            continue;
        if (atomic_load(&s->state) != FK_SLOT_FREE) {
            fk_slot_unkeep(s);
            continue;
        }
        uint32_t high = atomic_load(&h->slot_high);
        while (high <= i && !atomic_compare_exchange_weak(&h->slot_high, &high, i + 1)) {
        }
        atomic_store(&s->flags, 0);
        atomic_store(&s->holds, 0);
        atomic_store(&s->pid_checked_ns, 0);
        atomic_store(&s->parent, a->me);
        memset(s->name, 0, sizeof s->name);
        if (a->me)
            atomic_store(&s->pid, 0);
        else
            write_pid(a, s, (uint32_t)getpid());
        fk_point("slot.claimed");
        atomic_store(&s->state, FK_SLOT_RESERVED);
        fk_slot_unkeep(s);
        atomic_store(&h->slot_hint, i + 1);
        *index = i;
        return FK_OK;
    }
    return FK_NOMEM;
}

/* RESERVED -> RUNNING, if the slot still is this process's. */
static bool run(fk_arena *a, fk_owner me)
{
    fk_slot *s;
    do { /* whoever looks at it now is soon done */
        s = fk_slot_of(a, me);
        if (!s || atomic_load(&s->state) != FK_SLOT_RESERVED)
            return false;
    } while (!fk_slot_keep(a, s) && sched_yield() == 0);
    if (fk_slot_of(a, me) != s || atomic_load(&s->state) != FK_SLOT_RESERVED) {
        fk_slot_unkeep(s);
        return false;
    }
    write_pid(a, s, (uint32_t)getpid());
    /* A robust mutex dies with the thread that locked it: only the main thread's life is the
     * process's. */
    bool life = (pid_t)syscall(SYS_gettid) == getpid() && lock_life(s);
    atomic_store(&s->flags, (life ? 0 : FK_SLOT_NO_LIFE) | (a->settled ? FK_SLOT_SETTLED : 0));
    fk_point("slot.living");
    atomic_store(&s->state, FK_SLOT_RUNNING);
    fk_slot_unkeep(s);
    a->slot = s;
    a->me = me;
    fk_point("slot.running");
    return true;
}

fk_status fk_slot_reserve(fk_arena *a, fk_owner *child)
{
    uint32_t index;
    fk_status st = claim(a, &index);
    if (st == FK_OK)
        *child = fk_owner_word(index, atomic_load(&fk_slot_at(a, index)->generation));
    fk_point("slot.reserved");
    return st;
}

static uint64_t own_pid_space(void)
{
    struct stat st;
    return stat("/proc/self/ns/pid", &st) == 0 ? (uint64_t)st.st_ino : 0;
}

void fk_slot_peek(fk_arena *a) { a->pid_space = own_pid_space(); }

fk_status fk_slot_join(fk_arena *a)
{
    a->pid_space = own_pid_space();
    for (;;) {
        fk_owner me;
        a->me = 0;
        fk_status st = fk_slot_reserve(a, &me);
        if (st != FK_OK || run(a, me))
            return st;
    }
}

fk_status fk_slot_adopt(fk_arena *a, fk_owner me)
{
    a->me = 0;
    /* A parent that is to be seen from here is in our namespace, and said which that is. */
    bool same = a->slot && (uint32_t)getppid() == atomic_load(&a->slot->pid);
    if (!same || !a->pid_space)
        a->pid_space = own_pid_space();
    return run(a, me) ? FK_OK : fk_slot_join(a);
}

void fk_slot_set_pid(fk_arena *a, fk_owner child, uint32_t pid)
{
    fk_slot *s;
    do { /* the child itself may be its slot's keeper just now */
        s = fk_slot_of(a, child);
        if (!s || atomic_load(&s->pid) != 0)
            return;
    } while (!fk_slot_keep(a, s) && sched_yield() == 0);
    if (fk_slot_of(a, child) == s && atomic_load(&s->state) == FK_SLOT_RESERVED &&
        atomic_load(&s->pid) == 0)
        write_pid(a, s, pid);
    fk_slot_unkeep(s);
}

/* ---- who lives ------------------------------------------------------------------------------------ */

fk_slot *fk_slot_of(const fk_arena *a, fk_owner owner)
{
    uint32_t i = fk_owner_index(owner & FK_OWNER_MASK);
    if (i >= FK_MAX_SLOTS)
        return NULL;
    fk_slot *s = fk_slot_at(a, i);
    return fk_owner_word(i, atomic_load(&s->generation)) == (owner & FK_OWNER_MASK) ? s : NULL;
}

static bool pid_alive(const fk_arena *a, fk_slot *s)
{
    uint64_t there = atomic_load(&s->pid_space);
    if (there && a->pid_space && there != a->pid_space)
        return true; /* the number means another process here: only `life` can tell */
    uint64_t started = atomic_load(&s->pid_started);
    uint64_t now = fk_pid_started(atomic_load(&s->pid));
    return now == FK_PID_UNKNOWN ||
           (now != 0 && (started == 0 || started - now + TICK_APART <= 2 * TICK_APART));
}

/* A process that has come in. Its `life` says all but what the kernel had no chance to say. */
static bool running_alive(const fk_arena *a, fk_slot *s)
{
    uint32_t life = life_word(s);
    if ((atomic_load(&s->flags) & FK_SLOT_NO_LIFE) || life == 0)
        return pid_alive(a, s);
    if (life & ROBUST_OWNER_DIED)
        return false;
    uint64_t now = fk_now_ns(), then = atomic_load(&s->pid_checked_ns);
    if (a->peeks)
        return pid_alive(a, s);
    if (then != 0 && now - then < PID_CHECK_NS)
        return true;
    atomic_store(&s->pid_checked_ns, now);
    return then == 0 || pid_alive(a, s);
}

/* A process that is being started: its parent will tell its pid, or it will come in itself. */
static bool reserved_alive(const fk_arena *a, fk_slot *s, fk_owner owner)
{
    if (atomic_load(&s->pid))
        return pid_alive(a, s);
    fk_owner parent = atomic_load(&s->parent);
    if (parent == owner)
        return false; /* abandoned */
    if (a->peeks) {   /* follow no circle, should memory have one */
        fk_slot *p = fk_slot_of(a, parent);
        return p && atomic_load(&p->state) == FK_SLOT_RUNNING && running_alive(a, p);
    }
    if (fk_slot_alive(a, parent))
        return true;
    /* The parent may have died just after the fork: then a newborn is on its way that nobody
     * knows, and it uses what its hold table holds. */
    uint64_t now = fk_now_ns(), then = 0;
    return atomic_compare_exchange_strong(&s->pid_checked_ns, &then, now) ||
           now - then < FK_NEWBORN_NS;
}

bool fk_slot_alive(const fk_arena *a, fk_owner owner)
{
    owner &= FK_OWNER_MASK;
    fk_slot *s = fk_slot_of(a, owner);
    if (!s)
        return false;
    if (owner == a->me)
        return true;
    uint32_t state = atomic_load(&s->state);
    bool alive = state == FK_SLOT_RESERVED  ? reserved_alive(a, s, owner)
                 : state == FK_SLOT_RUNNING ? running_alive(a, s)
                                            : false;
    return alive && fk_slot_of(a, owner) == s;
}

bool fk_slot_ended(const fk_arena *a, fk_owner owner)
{
    fk_slot *s = fk_slot_of(a, owner & FK_OWNER_MASK);
    if (FK_UNLIKELY(!s))
        return true;
    uint32_t life = life_word(s);
    if (FK_LIKELY(life != 0 && !(life & ROBUST_OWNER_DIED)))
        return false;
    return !fk_slot_alive(a, owner);
}

bool fk_slot_describe(const fk_arena *a, fk_owner owner, uint32_t *pid, char name[64])
{
    owner &= FK_OWNER_MASK;
    fk_slot *s = fk_slot_of(a, owner);
    if (s) {
        *pid = atomic_load(&s->pid);
        memcpy(name, s->name, 64);
        name[63] = 0;
        if (fk_slot_of(a, owner) == s)
            return true;
    }
    fk_header *h = fk_head(a);
    for (uint32_t i = 0; i < FK_MAX_OBITUARIES; i++) {
        fk_obituary *o = &h->obituaries[i];
        if (atomic_load(&o->owner) == owner) {
            *pid = o->pid;
            memcpy(name, o->name, sizeof o->name);
            name[sizeof o->name - 1] = 0;
            return atomic_load(&o->owner) == owner;
        }
    }
    return false;
}

fk_owner fk_slot_find(const fk_arena *a, uint32_t pid)
{
    uint32_t high = atomic_load(&fk_head(a)->slot_high);
    for (uint32_t i = 0; i < high; i++) {
        fk_slot *s = fk_slot_at(a, i);
        fk_owner owner = fk_owner_word(i, atomic_load(&s->generation));
        if (atomic_load(&s->pid) == pid && atomic_load(&s->pid_space) == a->pid_space &&
            fk_slot_alive(a, owner))
            return owner;
    }
    return 0;
}

void fk_slot_set_name(fk_arena *a, const char *name)
{
    if (!a->slot)
        return;
    size_t n = strnlen(name, sizeof a->slot->name - 1);
    memcpy(a->slot->name, name, n);
    a->slot->name[n] = 0;
}

void fk_slot_set_serves(fk_arena *a)
{
    a->settled = false; /* and so are those that it forks, until they have what they are to do */
    if (a->slot) {
        atomic_fetch_and(&a->slot->flags, ~(uint32_t)FK_SLOT_SETTLED);
        atomic_fetch_or(&a->slot->flags, FK_SLOT_SERVES);
    }
}

void fk_slot_settle(fk_arena *a)
{
    a->settled = true;
    if (a->slot)
        atomic_fetch_or(&a->slot->flags, FK_SLOT_SETTLED);
}
