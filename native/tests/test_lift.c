/* Large bytes of a pickle are read to where they stay, and what is left asks for them. */
#include "lift.h"

#include "harness.h"

#define MESSAGE (1u << 20)
#define LARGE (FK_LIFT_LEAST + 1)

/* A message, and how it comes: in pieces of up to `piece` bytes; 0 where nothing is there. */
static unsigned char message[MESSAGE];
static uint64_t size, given, piece;
static bool more; /* comes later */

static void add(const void *data, uint64_t n)
{
    memcpy(message + size, data, n);
    size += n;
}

static void add_payload(const char *head, uint64_t head_size, int fill, uint64_t n)
{
    add(head, head_size);
    memset(message + size, fill, n);
    size += n;
}

/* Each second call finds nothing, after what it has given. */
static fk_status give(int fd, void *to, uint64_t n, uint64_t *done)
{
    (void)fd;
    while (*done < n) {
        uint64_t here = n - *done < piece ? n - *done : piece;
        if (more && here > size - given)
            return FK_AGAIN;
        CHECK(here <= size - given);
        memcpy((char *)to + *done, message + given, here);
        given += here;
        *done += here;
        if (*done < n && given / piece % 2)
            return FK_AGAIN;
    }
    return FK_OK;
}

static char *lifted[8];
static uint64_t lengths[8];
static bool fixed[8];

static int lift_all(fk_lift *l)
{
    int n = 0;
    *l = (fk_lift){.left = size};
    given = 0;
    for (;;) {
        fk_status st = fk_lift_go_on(l, -1, give);
        if (st == FK_AGAIN)
            continue;
        CHECK_EQ(st, FK_OK);
        if (l->large == 0)
            break;
        lengths[n] = l->large;
        fixed[n] = l->fixed;
        lifted[n] = malloc(l->large);
        fk_lift_to(l, lifted[n++]);
    }
    CHECK_EQ(given, size);
    CHECK_EQ(l->left, 0);
    return n;
}

static void done(fk_lift *l, int n)
{
    free(l->kept);
    while (n > 0)
        free(lifted[--n]);
}

static bool is_all(const char *data, int fill, uint64_t n)
{
    for (uint64_t i = 0; i < n; i++)
        if (data[i] != fill)
            return false;
    return true;
}

static const uint64_t pieces[] = {1, 7, 100, 4095, 4097, 70000, MESSAGE};
#define EACH_PIECE(i)                                                                              \
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces && (piece = pieces[i]); i++)

TEST(large_bytes_are_lifted_and_small_ones_kept)
{
    EACH_PIECE(i)
    {
        fk_lift l;
        size = 0;
        add("\x80\5\x95\4\0\0\0\0\0\0\0(K\1\x94", 15);
        add_payload("B\1\0\1\0", 5, 'a', LARGE);
        add_payload("B\0\1\0\0", 5, 'b', 256); /* too small */
        add_payload("\x96\1\0\1\0\0\0\0\0", 9, 'c', LARGE);
        add_payload("\x8d\1\0\1\0\0\0\0\0", 9, 'd', LARGE); /* text */
        add_payload("\x8e\1\0\1\0\0\0\0\0", 9, 'e', LARGE);
        add("t.", 2);
        int n = lift_all(&l);
        CHECK_EQ(n, 3);
        for (int k = 0; k < n; k++) {
            CHECK_EQ(lengths[k], LARGE);
            CHECK_EQ(fixed[k], k != 1);
            CHECK(is_all(lifted[k], "ace"[k], LARGE));
        }
        CHECK_EQ(l.have, 15 + 1 + 5 + 256 + 1 + 9 + LARGE + 1 + 2);
        CHECK(memcmp(l.kept + 13,
                     "\1\x94\x97"
                     "B\0\1\0\0b",
                     9) == 0);
        CHECK(memcmp(l.kept + 15 + 1 + 5 + 256, "\x97\x8d", 2) == 0);
        CHECK(memcmp(l.kept + l.have - 4, "d\x97t.", 4) == 0);
        done(&l, n);
    }
}

static void is_kept_whole(void)
{
    fk_lift l;
    CHECK_EQ(lift_all(&l), 0);
    CHECK_EQ(l.have, size);
    CHECK(memcmp(l.kept, message, size) == 0);
    done(&l, 0);
}

TEST(what_is_not_understood_is_kept_as_it_is)
{
    static const struct {
        const char *head;
        uint64_t n;
    } heads[] = {
        {"\x80\5cmodule\nname\n", 15},               /* goes on to ends of lines */
        {"\x80\5.", 3},                              /* there is an end before */
        {"\x95\xff\xff\xff\xff\xff\xff\xff\xff", 9}, /* a frame that is longer than all */
        {"\x8e\xff\xff\xff\xff\xff\xff\xff\xff", 9},
        {"T\xff\xff\xff\xff", 5},
        {"\xff", 1},
        {"C\x05", 2}, /* in whose five bytes the next opcode is */
    };
    EACH_PIECE(i)
    {
        for (size_t k = 0; k < sizeof heads / sizeof *heads; k++) {
            size = 0;
            add(heads[k].head, heads[k].n);
            add_payload("B\1\0\1\0", 5, 0xff, LARGE);
            is_kept_whole();
        }
    }
}

TEST(a_message_that_ends_too_soon_is_kept_as_it_is)
{
    EACH_PIECE(i)
    {
        static const uint64_t cuts[] = {1, 2, 3, 4, 5, LARGE, LARGE + 4};
        for (size_t k = 0; k < sizeof cuts / sizeof *cuts; k++) {
            size = 0;
            add_payload("B\1\0\1\0", 5, 'x', LARGE);
            size = cuts[k];
            is_kept_whole();
        }
    }
}

TEST(a_message_may_end_with_large_bytes)
{
    EACH_PIECE(i)
    {
        fk_lift l;
        size = 0;
        add_payload("B\1\0\1\0", 5, 'x', LARGE);
        CHECK_EQ(lift_all(&l), 1);
        CHECK_EQ(l.have, 1);
        CHECK(is_all(lifted[0], 'x', LARGE));
        done(&l, 1);
    }
}

TEST(what_is_small_for_its_message_is_kept)
{
    fk_lift l;
    piece = 1;
    size = 0;
    add_payload("\x8e\0\0\2\0\0\0\0\0", 9, 'x', 0x20000);
    l = (fk_lift){.left = UINT64_C(1) << 32};
    given = 0;
    more = true;
    while (given < size) {
        CHECK_EQ(fk_lift_go_on(&l, -1, give), FK_AGAIN);
        CHECK_EQ(l.large, 0);
    }
    CHECK(memcmp(l.kept, message, size) == 0);
    free(l.kept);
    more = false;
    CHECK_EQ(lift_all(&l), 1);
    done(&l, 1);
}

TEST_MAIN
