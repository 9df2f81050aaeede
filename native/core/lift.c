#include "lift.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>

#define AHEAD                                                                                      \
    4096 /* bytes that are read beyond what is asked for: to copy them takes less than a call */
#define PARTS                                                                                      \
    16 /* at most: for each the caller has to make an object, and to stop others for that */

/* The opcodes of Lib/pickletools.py that mean something here. */
enum {
    FRAME = 0x95,
    BYTES_4 = 'B',  /* what has a size of 4 bytes before it, */
    BYTES_8 = 0x8e, /* or of 8 */
    BYTEARRAY = 0x96,
    NEXT_BUFFER = 0x97, /* the next one of those that travel beside the pickle */
};

/* What follows an opcode. Unknown are those of old protocols that go on to an end of line, and those after which
 * there is nothing to be lifted. */
enum { UNKNOWN, ALONE, ARG_1, ARG_2, ARG_4, ARG_8, COUNTED_1, COUNTED_4, COUNTED_8 };

static const uint8_t kinds[256] = {
    ['('] = ALONE,      ['0'] = ALONE,       ['1'] = ALONE,           ['2'] = ALONE,
    ['N'] = ALONE,      ['Q'] = ALONE,       ['R'] = ALONE,           ['a'] = ALONE,
    ['b'] = ALONE,      ['d'] = ALONE,       ['}'] = ALONE,           ['e'] = ALONE,
    ['l'] = ALONE,      [']'] = ALONE,       ['o'] = ALONE,           ['s'] = ALONE,
    ['t'] = ALONE,      [')'] = ALONE,       ['u'] = ALONE,           [0x81] = ALONE,
    [0x85] = ALONE,     [0x86] = ALONE,      [0x87] = ALONE,          [0x88] = ALONE,
    [0x89] = ALONE,     [0x8f] = ALONE,      [0x90] = ALONE,          [0x91] = ALONE,
    [0x92] = ALONE,     [0x93] = ALONE,      [0x94] = ALONE,          ['K'] = ARG_1,
    ['h'] = ARG_1,      ['q'] = ARG_1,       [0x80] = ARG_1,          [0x82] = ARG_1,
    ['M'] = ARG_2,      [0x83] = ARG_2,      ['J'] = ARG_4,           ['j'] = ARG_4,
    ['r'] = ARG_4,      [0x84] = ARG_4,      ['G'] = ARG_8,           ['C'] = COUNTED_1,
    ['U'] = COUNTED_1,  [0x8c] = COUNTED_1,  [0x8a] = COUNTED_1,      [BYTES_4] = COUNTED_4,
    ['X'] = COUNTED_4,  ['T'] = COUNTED_4,   [0x8b] = COUNTED_4,      [BYTES_8] = COUNTED_8,
    [0x8d] = COUNTED_8, [FRAME] = COUNTED_8, [BYTEARRAY] = COUNTED_8,
};

static const uint8_t args[] = {0, 0, 1, 2, 4, 8, 1, 4, 8}; /* bytes, by kind */

/* Have room for n bytes. */
static bool make_room(fk_lift *l, uint64_t n)
{
    if (n <= l->room)
        return true;
    uint64_t room = l->room ? 2 * l->room : FK_LIFT_LEAST + 2 * AHEAD; /* a frame */
    room = n > room ? n : room;
    unsigned char *kept = room <= SIZE_MAX ? realloc(l->kept, room) : NULL;
    if (!kept)
        return false;
    l->kept = kept;
    l->room = room;
    return true;
}

/* Read until the bytes that are wanted are there, or all. */
static fk_status fetch(fk_lift *l, int fd, fk_lift_read read)
{
    if (l->have >= l->want || l->left == 0)
        return FK_OK;
    uint64_t was = l->have, more = l->want - was;
    more = more + AHEAD < l->left ? more + AHEAD : l->left;
    if (!make_room(l, was + more))
        return FK_NOMEM;
    fk_status st = read(fd, l->kept, was + more, &l->have);
    l->left -= l->have - was;
    return st;
}

/* Nothing more is to be understood: the rest is kept as it is. */
static void keep_all(fk_lift *l) { l->at = l->want = l->have + l->left; }

/* Understand one more opcode, of which l->want - l->at bytes are there; or ask for more of it. */
static void look(fk_lift *l)
{
    const unsigned char *p = l->kept + l->at;
    uint64_t there = l->have - l->at, rest = there + l->left;
    uint8_t kind = kinds[*p];
    uint64_t size = 1 + args[kind];
    if (kind == UNKNOWN || size > rest) {
        keep_all(l);
    } else if (size > there) {
        l->want = l->at + size;
    } else if (kind < COUNTED_1) {
        l->at += size;
        l->want = l->at + 1;
    } else {
        uint64_t n = 0;
        memcpy(&n, p + 1, size - 1);
        n = le64toh(n);
        if (n > rest - size) {
            keep_all(l);
        } else if (n >= l->least && (*p == BYTES_4 || *p == BYTES_8 || *p == BYTEARRAY)) {
            l->large = n;
            l->fixed = *p != BYTEARRAY;
        } else {
            l->at += size + n;
            l->want = l->at + 1;
        }
    }
}

fk_status fk_lift_go_on(fk_lift *l, int fd, fk_lift_read read)
{
    if (l->want == 0) {
        l->want = 1;
        l->least = l->left / PARTS > FK_LIFT_LEAST ? l->left / PARTS : FK_LIFT_LEAST;
    }
    if (l->large > 0) {
        uint64_t was = l->done;
        fk_status st = read(fd, l->to, l->large, &l->done);
        l->left -= l->done - was;
        if (st != FK_OK)
            return st;
        l->large = 0;
    }
    while (l->large == 0) {
        fk_status st = fetch(l, fd, read);
        if (st != FK_OK)
            return st;
        if (l->at >= l->have)
            return FK_OK;
        look(l);
    }
    return FK_OK;
}

void fk_lift_to(fk_lift *l, char *to)
{
    unsigned char *p = l->kept + l->at, *there = p + 1 + args[kinds[*p]];
    uint64_t n = (uint64_t)(l->kept + l->have - there);
    l->to = to;
    l->done = n < l->large ? n : l->large;
    memcpy(to, there, l->done);
    *p = NEXT_BUFFER;
    memmove(p + 1, there + l->done, n - l->done);
    l->at++;
    l->have = l->at + n - l->done;
    l->want = l->at + 1;
}
