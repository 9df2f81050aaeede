#include "slot.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The kernel tells of a death through `life`, save where it had no chance to (an OOM kill may
 * take the memory that the robust list is in). So the pid is looked at too, this seldom. */
#define PID_CHECK_NS UINT64_C(1000000000)

uint64_t fk_pid_started(uint32_t pid)
{
    char path[32], buf[512];
    snprintf(path, sizeof path, "/proc/%u/stat", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    ssize_t n = read(fd, buf, sizeof buf - 1);
    close(fd);
    if (n <= 0)
        return 0;
    buf[n] = 0;
    char *p = strrchr(buf, ')'); /* the name before it may hold anything */
    if (!p || p[1] != ' ' || p[2] == 'Z' || p[2] == 'X')
        return 0;
    p += 2; /* field 3 */
    for (int field = 3; field < 22 && p; field++)
        p = strchr(p + 1, ' ');
    return p ? strtoull(p, NULL, 10) : 0;
}

static void init_life(fk_slot *s)
{
    pthread_mutexattr_t attr;
    pthread_mutexattr_init(&attr);
    pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
    pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
    memset(&s->life, 0, sizeof s->life);
    pthread_mutex_init(&s->life, &attr);
    pthread_mutexattr_destroy(&attr);
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
        uint32_t free = FK_SLOT_FREE;
        if (atomic_load(&s->state) != FK_SLOT_FREE)
            continue;
        /* The reaper left pid and parent 0: so the slot counts as alive until `parent` is told. */
        if (!atomic_compare_exchange_strong(&s->state, &free, FK_SLOT_RESERVED))
            continue;
        atomic_store(&s->flags, 0);
        atomic_store(&s->holds, 0);
        atomic_store(&s->pid_checked_ns, 0);
        memset(s->name, 0, sizeof s->name);
        init_life(s);
        atomic_store(&s->parent, a->me);
        uint32_t high = atomic_load(&h->slot_high);
        while (high <= i && !atomic_compare_exchange_weak(&h->slot_high, &high, i + 1)) {
        }
        atomic_store(&h->slot_hint, i + 1);
        *index = i;
        return FK_OK;
    }
    return FK_NOMEM;
}

static void run(fk_arena *a, uint32_t index)
{
    fk_slot *s = fk_slot_at(a, index);
    uint32_t pid = (uint32_t)getpid();
    a->slot = s;
    a->me = fk_owner_word(index, atomic_load(&s->generation));
    atomic_store(&s->pid_started, fk_pid_started(pid));
    atomic_store(&s->pid, pid);
    /* A robust mutex dies with the thread that locked it: only the main thread's life is the
     * process's. */
    if ((pid_t)syscall(SYS_gettid) == getpid() && pthread_mutex_lock(&s->life) == 0)
        atomic_store(&s->flags, 0);
    else
        atomic_store(&s->flags, FK_SLOT_NO_LIFE);
    atomic_store(&s->state, FK_SLOT_RUNNING);
}

fk_status fk_slot_join(fk_arena *a)
{
    uint32_t index;
    fk_status st = claim(a, &index);
    if (st == FK_OK)
        run(a, index);
    return st;
}

fk_status fk_slot_reserve(fk_arena *a, fk_owner *child)
{
    uint32_t index;
    fk_status st = claim(a, &index);
    if (st == FK_OK)
        *child = fk_owner_word(index, atomic_load(&fk_slot_at(a, index)->generation));
    return st;
}

fk_status fk_slot_adopt(fk_arena *a, fk_owner me)
{
    fk_slot *s = fk_slot_of(a, me);
    if (!s || atomic_load(&s->state) != FK_SLOT_RESERVED)
        return fk_slot_join(a);
    run(a, fk_owner_index(me));
    return FK_OK;
}

void fk_slot_set_pid(fk_arena *a, fk_owner child, uint32_t pid)
{
    fk_slot *s = fk_slot_of(a, child);
    uint32_t none = 0;
    if (s && atomic_load(&s->pid) == 0) {
        atomic_store(&s->pid_started, fk_pid_started(pid));
        atomic_compare_exchange_strong(&s->pid, &none, pid);
    }
}

fk_slot *fk_slot_of(const fk_arena *a, fk_owner owner)
{
    uint32_t i = fk_owner_index(owner & FK_OWNER_MASK);
    if (i >= FK_MAX_SLOTS)
        return NULL;
    fk_slot *s = fk_slot_at(a, i);
    return fk_owner_word(i, atomic_load(&s->generation)) == (owner & FK_OWNER_MASK) ? s : NULL;
}

static bool pid_alive(fk_slot *s)
{
    uint32_t pid = atomic_load(&s->pid);
    uint64_t started = atomic_load(&s->pid_started);
    uint64_t now = fk_pid_started(pid);
    return now != 0 && (started == 0 || started == now);
}

static bool running_alive(fk_slot *s)
{
    uint32_t flags = atomic_load(&s->flags);
    if (flags & FK_SLOT_DEAD)
        return false;
    if (flags & FK_SLOT_NO_LIFE)
        return pid_alive(s);
    switch (pthread_mutex_trylock(&s->life)) {
    case EBUSY: {
        uint64_t now = fk_now_ns(), then = atomic_load(&s->pid_checked_ns);
        if (then == 0 || now - then < PID_CHECK_NS) {
            if (then == 0)
                atomic_store(&s->pid_checked_ns, now);
            return true;
        }
        atomic_store(&s->pid_checked_ns, now);
        return pid_alive(s);
    }
    case EOWNERDEAD: /* the kernel's word, given once: write it down (if we die first, it says so again) */
        atomic_fetch_or(&s->flags, FK_SLOT_DEAD);
        pthread_mutex_unlock(&s->life);
        return false;
    case ENOTRECOVERABLE: /* glibc's trylock says this only once, too, and then EBUSY */
        atomic_fetch_or(&s->flags, FK_SLOT_DEAD);
        return false;
    default: /* locked by nobody: the slot changes hands just now */
        pthread_mutex_unlock(&s->life);
        return pid_alive(s);
    }
}

bool fk_slot_alive(const fk_arena *a, fk_owner owner)
{
    owner &= FK_OWNER_MASK;
    if (owner == a->me)
        return true;
    fk_slot *s = fk_slot_of(a, owner);
    if (!s)
        return false;
    bool alive = false;
    switch (atomic_load(&s->state)) {
    case FK_SLOT_RESERVED: {
        fk_owner parent = atomic_load(&s->parent);
        alive = atomic_load(&s->pid) ? pid_alive(s)
                                     : parent == 0 || (parent != owner && fk_slot_alive(a, parent));
        break;
    }
    case FK_SLOT_RUNNING:
        alive = running_alive(s);
        break;
    default:
        break;
    }
    return alive && fk_slot_of(a, owner) == s;
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

void fk_slot_set_name(fk_arena *a, const char *name)
{
    if (a->slot)
        snprintf(a->slot->name, sizeof a->slot->name, "%s", name);
}
