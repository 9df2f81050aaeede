#include "family.h"

#include <sched.h>
#include <string.h>
#include <unistd.h>

/* Of the forking thread, which is the child's only one: */
static _Thread_local fk_arena *tls_family; /* its next child is a member of this one */
static _Thread_local fk_owner tls_child;   /* the slot that it has reserved */

static void prepare(void)
{
    if (tls_family)
        fk_fork_prepare(tls_family);
}

static void parent(void)
{
    if (tls_family)
        fk_fork_parent(tls_family);
}

static void child(void)
{
    if (tls_family)
        fk_fork_child(tls_family);
}

static pthread_once_t once = PTHREAD_ONCE_INIT;

static void install(void) { pthread_atfork(prepare, parent, child); }

fk_status fk_family_found(fk_arena *a)
{
    pthread_once(&once, install);
    fk_spin_init();
    fk_status st = fk_arena_create(a);
    if (st != FK_OK)
        return st;
    int fd = a->fd;
    fk_slot_settle(a);
    st = fk_slot_join(a);
    if (st != FK_OK) {
        fk_arena_unmap(a);
        close(fd);
    }
    return st;
}

fk_status fk_family_join(fk_arena *a, int fd, fk_owner me)
{
    pthread_once(&once, install);
    fk_spin_init();
    fk_status st = fk_arena_map(a, fd);
    if (st != FK_OK)
        return st;
    st = me ? fk_slot_adopt(a, me) : fk_slot_join(a);
    if (st != FK_OK)
        fk_arena_unmap(a);
    return st;
}

/* ---- fork ---------------------------------------------------------------------------------------- */

void fk_family_before_fork(fk_arena *a)
{
    tls_family = a;
    tls_child = 0;
}

fk_owner fk_family_after_fork_parent(fk_arena *a)
{
    fk_owner reserved = tls_family == a ? tls_child : 0;
    tls_family = NULL;
    tls_child = 0;
    return reserved;
}

void fk_family_after_fork_child(fk_arena *a)
{
    if (tls_family != a) { /* another thread founded the family after `before` */
        pthread_mutex_init(&a->local, NULL);
        pthread_mutex_lock(&a->local);
        fk_fork_child(a);
    }
    tls_family = NULL;
}

void fk_fork_prepare(fk_arena *a)
{
    pthread_mutex_lock(&a->local); /* no other thread may be in it when the process is copied */
    tls_child = 0;
    fk_slot_before_fork();
    fk_owner reserved;
    if (fk_slot_reserve(a, &reserved) == FK_OK) {
        fk_hold_copy(a, reserved);
        tls_child = reserved;
    }
}

fk_owner fk_fork_parent(fk_arena *a)
{
    pthread_mutex_unlock(&a->local);
    return tls_child;
}

static _Noreturn void give_up(const char *text)
{
    (void)!write(2, text, strlen(text));
    _exit(71);
}

void fk_fork_child(fk_arena *a)
{
    pthread_mutex_unlock(&a->local); /* this thread is the one that locked it */
    a->me = 0; /* whoever asks meanwhile must not take this process for its parent */
    fk_spin_init();
    fk_status st = tls_child ? fk_slot_adopt(a, tls_child) : fk_slot_join(a);
    if (st != FK_OK) /* nobody could tell whether it lives: its locks would hang others */
        give_up("forkful: this family already has 65535 processes\n");
    if (tls_child && a->me != tls_child) /* its handles name what may be somebody else's by now */
        give_up("forkful: the parent was killed as it forked, and what it left to this process was "
                "given back before this process ran\n");
    tls_child = 0;
    fk_hold_adopt(a);
}

void fk_family_abandon(fk_arena *a, fk_owner child)
{
    /* Without a pid and with a parent that is gone the slot is dead. */
    fk_slot *s = fk_slot_of(a, child);
    if (s && atomic_load(&s->state) == FK_SLOT_RESERVED && atomic_load(&s->pid) == 0) {
        atomic_store(&s->parent, child);
        while (!fk_reap(a, child) && fk_slot_of(a, child) == s &&
               atomic_load(&s->state) == FK_SLOT_RESERVED)
            sched_yield(); /* somebody looks at it, in search of a free one */
    }
}
