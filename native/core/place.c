#include "place.h"

#include <string.h>

/* So many entries are looked at for one place: a full table must not make each miss dear. */
#define PROBES 32

static fk_place *entry_at(const fk_arena *a, uint32_t index)
{
    return (fk_place *)(a->base + FK_PLACES_AT) + index;
}

static uint32_t hash(uint32_t h, const char *text)
{
    for (; *text; text++)
        h = (h ^ (uint8_t)*text) * 16777619u; /* FNV-1a */
    return h;
}

static bool is_same(const fk_place *p, const fk_place *q)
{
    return p->hash == q->hash && p->line == q->line && strcmp(p->file, q->file) == 0 &&
           strcmp(p->function, q->function) == 0;
}

uint32_t fk_place_enter(fk_arena *a, const char *file, uint32_t line, const char *function)
{
    fk_place new = {.line = line};
    size_t n = strlen(file);
    strncpy(new.file, n < sizeof new.file ? file : file + n - sizeof new.file + 1,
            sizeof new.file - 1);
    strncpy(new.function, function, sizeof new.function - 1);
    new.hash = hash(hash(2166136261u ^ line, new.file), new.function);
    for (uint32_t i = 0; i < PROBES; i++) {
        uint32_t index = (new.hash + i) % FK_MAX_PLACES;
        fk_place *p = entry_at(a, index);
        /* acquire: place.state */
        uint32_t state = atomic_load_explicit(&p->state, memory_order_acquire);
        if (state == FK_PLACE_READY && is_same(p, &new))
            return index + 1;
        if (state != FK_PLACE_EMPTY ||
            !atomic_compare_exchange_strong(&p->state, &state, FK_PLACE_WRITING))
            continue;
        fk_point("place.writing");
        p->hash = new.hash;
        p->line = new.line;
        memcpy(p->file, new.file, sizeof p->file);
        memcpy(p->function, new.function, sizeof p->function);
        /* release: place.state */
        atomic_store_explicit(&p->state, FK_PLACE_READY, memory_order_release);
        return index + 1;
    }
    return 0;
}

const fk_place *fk_place_of(const fk_arena *a, uint32_t number)
{
    if (number == 0 || number > FK_MAX_PLACES)
        return NULL;
    const fk_place *p = entry_at(a, number - 1);
    /* acquire: place.state */
    bool ready = atomic_load_explicit(&p->state, memory_order_acquire) == FK_PLACE_READY;
    return ready && !p->file[sizeof p->file - 1] && !p->function[sizeof p->function - 1] ? p : NULL;
}
