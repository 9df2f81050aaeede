/* Messages over sockets and pipes: whole, in order, with an end. */
#include "stream.h"

#include "futex.h"
#include "harness.h"

#include <sys/socket.h>

#define LARGE (1u << 20) /* more than a pipe or a socket holds */

/* Each kind of channel: [0] reads, [1] writes. */
static void make_socket(int ends[2]) { CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0); }
static void make_pipe(int ends[2]) { CHECK(pipe(ends) == 0); }
static void (*const makers[])(int[2]) = {make_socket, make_pipe};
#define EACH_CHANNEL(ends)                                                                         \
    for (size_t at_ = 0; at_ < 2 && (makers[at_](ends), true);                                     \
         close(ends[0]), close(ends[1]), at_++)

static fk_status write_all(int fd, const void *data, uint64_t n)
{
    uint64_t done = 0;
    fk_status st;
    do {
        st = fk_stream_write(fd, data, n, &done);
    } while (st == FK_INTR);
    return st;
}

static fk_status read_all(int fd, void *to, uint64_t n)
{
    uint64_t done = 0;
    fk_status st;
    do {
        st = fk_stream_read(fd, to, n, &done);
    } while (st == FK_INTR);
    return st;
}

/* As the core's, of a message whose length comes whole. */
static fk_status look(int fd, uint64_t *size)
{
    fk_stream_head h = {.done = 0};
    fk_status st = fk_stream_look(fd, &h);
    *size = h.size;
    return st;
}

static fk_status watch(int fd, uint64_t *size)
{
    fk_stream_head h = {.done = 0};
    fk_status st = fk_stream_watch(fd, &h);
    *size = h.size;
    return st;
}

static fk_status wait_next(int fd, uint64_t *size)
{
    fk_status st;
    do {
        st = look(fd, size);
    } while (st == FK_AGAIN);
    return st;
}

TEST(messages_come_whole_and_in_order)
{
    int ends[2];
    EACH_CHANNEL(ends)
    {
        uint64_t size = 99;
        char got[8] = "";
        fk_spins = 1; /* as on several CPUs */
        CHECK_EQ(look(ends[0], &size), FK_AGAIN);
        CHECK_EQ(write_all(ends[1], "one", 3), FK_OK);
        CHECK_EQ(write_all(ends[1], "", 0), FK_OK);
        CHECK_EQ(write_all(ends[1], "three", 5), FK_OK);
        CHECK_EQ(look(ends[0], &size), FK_OK);
        CHECK_EQ(size, 3);
        CHECK_EQ(read_all(ends[0], got, 3), FK_OK);
        CHECK(memcmp(got, "one", 3) == 0);
        CHECK_EQ(watch(ends[0], &size), FK_OK);
        CHECK_EQ(size, 0);
        CHECK_EQ(look(ends[0], &size), FK_OK);
        CHECK_EQ(size, 5);
        CHECK_EQ(read_all(ends[0], got, 5), FK_OK);
        CHECK(memcmp(got, "three", 5) == 0);
        CHECK_EQ(watch(ends[0], &size), FK_AGAIN);
    }
}

TEST(the_frame_is_that_of_the_standard_library)
{
    int ends[2];
    EACH_CHANNEL(ends)
    {
        unsigned char raw[7];
        CHECK_EQ(write_all(ends[1], "abc", 3), FK_OK);
        CHECK_EQ(read_all(ends[0], raw, sizeof raw), FK_OK);
        CHECK(memcmp(raw, "\0\0\0\3abc", sizeof raw) == 0);
        uint64_t size = 0; /* a length of its own 8 bytes */
        CHECK(write(ends[1], "\377\377\377\377\0\0\0\1\0\0\0\2", 12) == 12);
        CHECK_EQ(look(ends[0], &size), FK_OK);
        CHECK_EQ(size, (1ull << 32) + 2);
        CHECK(write(ends[1], "\377\377\377\376", 4) == 4);
        CHECK_EQ(look(ends[0], &size), FK_CORRUPT);
    }
}

TEST(a_length_may_come_in_pieces)
{
    int ends[2];
    EACH_CHANNEL(ends)
    {
        const unsigned char raw[] = {255, 255, 255, 255, 0, 0, 0, 0, 0, 0, 0, 3, 'a', 'b', 'c'};
        for (int is_long = 0; is_long < 2; is_long++) {
            fk_stream_head h = {.done = 0};
            for (size_t i = is_long ? 0 : 8; i < 12; i++) {
                CHECK_EQ(fk_stream_look(ends[0], &h), FK_AGAIN);
                CHECK(write(ends[1], raw + i, 1) == 1);
            }
            CHECK_EQ(fk_stream_look(ends[0], &h), FK_OK);
            CHECK_EQ(h.size, 3);
            char got[3];
            CHECK(write(ends[1], raw + 12, 3) == 3);
            CHECK_EQ(read_all(ends[0], got, 3), FK_OK);
        }
        fk_stream_head h = {.done = 0};
        CHECK(write(ends[1], raw, 6) == 6);
        CHECK_EQ(fk_stream_look(ends[0], &h), FK_AGAIN);
        CHECK_EQ(h.done, 6);
        close(ends[1]);
        CHECK_EQ(fk_stream_look(ends[0], &h), FK_SHUTDOWN);
        ends[1] = dup(ends[0]);
    }
}

static int send_large(void *arg)
{
    char *data = malloc(LARGE);
    memset(data, 'x', LARGE);
    return write_all(*(int *)arg, data, LARGE) == FK_OK ? 0 : 1;
}

TEST(a_message_that_the_channel_cannot_hold_is_written_as_it_is_read)
{
    int ends[2];
    EACH_CHANNEL(ends)
    {
        pid_t child = spawn_child(send_large, &ends[1]);
        uint64_t size = 0;
        CHECK_EQ(wait_next(ends[0], &size), FK_OK);
        CHECK_EQ(size, LARGE);
        char *got = calloc(1, LARGE);
        CHECK_EQ(read_all(ends[0], got, LARGE), FK_OK);
        CHECK(got[0] == 'x' && memcmp(got, got + 1, LARGE - 1) == 0);
        free(got);
        CHECK_EQ(reap(child), 0);
    }
}

TEST(what_shall_not_sleep_sends_through_sockets_alone)
{
    int ends[2];
    char data[300] = "data";
    EACH_CHANNEL(ends)
    {
        uint64_t size, done = 0;
        if (at_ == 1) {
            CHECK_EQ(fk_stream_try_send(ends[1], data, 4, &done), FK_AGAIN);
            CHECK_EQ(done, 0);
            CHECK_EQ(fk_stream_try_write(ends[1], data, 4, &done), FK_OK);
            continue;
        }
        for (uint64_t n = 0; n < sizeof data; n++) { /* in one part and in two */
            char got[sizeof data];
            done = 0;
            CHECK_EQ(fk_stream_try_send(ends[1], data, n, &done), FK_OK);
            CHECK_EQ(done, 4 + n);
            CHECK_EQ(look(ends[0], &size), FK_OK);
            CHECK_EQ(size, n);
            CHECK_EQ(read_all(ends[0], got, n), FK_OK);
            CHECK(memcmp(got, data, n) == 0);
        }
        fk_status st;
        do { /* until there is no room: never sleeps */
            done = 0;
            st = fk_stream_try_send(ends[1], data, sizeof data, &done);
        } while (st == FK_OK);
        CHECK_EQ(st, FK_AGAIN);
    }
}

TEST(the_end_of_the_last_writer_is_the_end)
{
    int ends[2];
    EACH_CHANNEL(ends)
    {
        uint64_t size;
        CHECK_EQ(write_all(ends[1], "a", 1), FK_OK);
        close(ends[1]);
        char got;
        CHECK_EQ(look(ends[0], &size), FK_OK);
        CHECK_EQ(read_all(ends[0], &got, 1), FK_OK);
        CHECK_EQ(look(ends[0], &size), FK_SHUTDOWN);
        fk_spins = 1;
        CHECK_EQ(watch(ends[0], &size), FK_SHUTDOWN);
        fk_spins = 0;
        CHECK_EQ(watch(ends[0], &size), FK_AGAIN); /* on one CPU it would be vain */
        ends[1] = dup(ends[0]);                    /* for the loop to close */
    }
}

TEST(a_reset_is_the_end_after_what_was_sent)
{
    int ends[2];
    make_socket(ends);
    CHECK_EQ(write_all(ends[0], "not read", 8), FK_OK);
    CHECK_EQ(write_all(ends[1], "a", 1), FK_OK);
    close(ends[1]);
    uint64_t size;
    char got;
    CHECK_EQ(look(ends[0], &size), FK_OK);
    CHECK_EQ(read_all(ends[0], &got, 1), FK_OK);
    CHECK_EQ(look(ends[0], &size), FK_SHUTDOWN);
    close(ends[0]);
}

TEST(a_writer_that_is_killed_amid_a_message_ends_the_reader)
{
    int ends[2];
    EACH_CHANNEL(ends)
    {
        pid_t child = spawn_child(send_large, &ends[1]);
        close(ends[1]);
        uint64_t size = 0;
        CHECK_EQ(wait_next(ends[0], &size), FK_OK);
        char *got = malloc(LARGE);
        CHECK_EQ(read_all(ends[0], got, 1), FK_OK); /* there is more than fits: it is under way */
        kill_at(child);
        CHECK_EQ(read_all(ends[0], got, LARGE - 1), FK_SHUTDOWN);
        CHECK_EQ(reap(child), SIGKILL);
        free(got);
        ends[1] = dup(ends[0]);
    }
}

TEST(a_head_tells_a_length_in_four_bytes_or_in_twelve)
{
    unsigned char head[12];
    CHECK_EQ(fk_stream_make_head(head, 0x7fffffff), 4);
    CHECK(memcmp(head, "\x7f\xff\xff\xff", 4) == 0);
    CHECK_EQ(fk_stream_make_head(head, 0x80000000), 12);
    CHECK(memcmp(head, "\xff\xff\xff\xff\0\0\0\0\x80\0\0\0", 12) == 0);
}

#define PARTS 3000 /* more than one call takes */

static int send_parts(void *arg)
{
    static char data[PARTS];
    static struct iovec parts[PARTS];
    for (int i = 0; i < PARTS; i++) {
        data[i] = (char)i;
        parts[i] = (struct iovec){data + i, i % 3 != 0}; /* some are empty */
    }
    static char large[LARGE];
    parts[PARTS - 1] = (struct iovec){large, LARGE};
    struct iovec *at = parts;
    size_t n = PARTS;
    fk_status st;
    do {
        st = fk_stream_write_parts(*(int *)arg, &at, &n);
    } while (st == FK_INTR);
    return st == FK_OK && n == 0 ? 0 : 1;
}

TEST(parts_are_written_one_after_the_other)
{
    int ends[2];
    EACH_CHANNEL(ends)
    {
        pid_t child = spawn_child(send_parts, &ends[1]);
        char got;
        for (int i = 0; i < PARTS - 1; i++)
            if (i % 3 != 0) {
                CHECK_EQ(read_all(ends[0], &got, 1), FK_OK);
                CHECK_EQ(got, (char)i);
            }
        char *rest = malloc(LARGE);
        CHECK_EQ(read_all(ends[0], rest, LARGE), FK_OK);
        CHECK(rest[0] == 0 && memcmp(rest, rest + 1, LARGE - 1) == 0);
        free(rest);
        CHECK_EQ(reap(child), 0);
    }
}

TEST(parts_that_nobody_can_read_are_a_broken_pipe)
{
    signal(SIGPIPE, SIG_IGN);
    int ends[2];
    make_socket(ends);
    CHECK_EQ(write_all(ends[0], "not read", 8), FK_OK);
    close(ends[1]); /* a reset, as it has not read all */
    char data[] = "data";
    struct iovec parts[] = {{data, 2}, {data + 2, 2}}, *at = parts;
    size_t n = 2;
    CHECK(fk_stream_write_parts(ends[0], &at, &n) == FK_SYS && errno == EPIPE);
    close(ends[0]);
    EACH_CHANNEL(ends)
    {
        close(ends[0]);
        at = parts;
        n = 2;
        CHECK(fk_stream_write_parts(ends[1], &at, &n) == FK_SYS && errno == EPIPE);
        ends[0] = dup(ends[1]);
    }
}

TEST(nobody_to_read_is_a_broken_pipe)
{
    signal(SIGPIPE, SIG_IGN);
    int ends[2];
    EACH_CHANNEL(ends)
    {
        close(ends[0]);
        CHECK(write_all(ends[1], "a", 1) == FK_SYS && errno == EPIPE);
        ends[0] = dup(ends[1]);
    }
}

TEST_MAIN
