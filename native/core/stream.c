#include "stream.h"

#include "futex.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define HEAD 4
#define LONG_HEAD 8
#define SHORT 256 /* bytes */

#define MOST_LOOKS 128 /* forty to sixty microseconds: a sleep and a wake-up */
#define TRY_EVERY 32   /* of the waits without a look, one looks whether it would help again */

/* Up to n bytes of what is there: their number, 0 at the end, -1 with EAGAIN if there is nothing. */
static ssize_t read_some(int fd, void *to, size_t n)
{
    ssize_t r = recv(fd, to, n, MSG_DONTWAIT);
    if (r >= 0 || errno != ENOTSOCK)
        return r;
    struct pollfd p = {.fd = fd, .events = POLLIN};
    if (poll(&p, 1, 0) == 0) {
        errno = EAGAIN;
        return -1;
    }
    return read(fd, to, n);
}

static fk_status ended_or_failed(ssize_t r)
{
    /* A reset: the other end went without having read all that it was sent. */
    return r == 0 || errno == ECONNRESET ? FK_SHUTDOWN : FK_SYS;
}

/* How long the head is, as far as that is known. */
static uint64_t head_size(const fk_stream_head *h)
{
    static const unsigned char long_one[HEAD] = {255, 255, 255, 255};
    return h->done < HEAD || memcmp(h->bytes, long_one, HEAD) != 0 ? HEAD : HEAD + LONG_HEAD;
}

fk_status fk_stream_look(int fd, fk_stream_head *h)
{
    while (h->done < head_size(h)) {
        ssize_t r = read_some(fd, h->bytes + h->done, head_size(h) - h->done);
        if (r < 0 && (errno == EAGAIN || errno == EINTR))
            return FK_AGAIN;
        if (r <= 0)
            return ended_or_failed(r);
        h->done += (uint64_t)r;
    }
    uint32_t n;
    memcpy(&n, h->bytes, sizeof n);
    h->size = be32toh(n);
    if (h->done > HEAD) {
        memcpy(&h->size, h->bytes + HEAD, LONG_HEAD);
        h->size = be64toh(h->size);
    } else if ((int32_t)h->size < 0) {
        return FK_CORRUPT;
    }
    return FK_OK;
}

static _Thread_local int worth = MOST_LOOKS; /* so many looks; after vain ones fewer and fewer */
static _Thread_local int passed;             /* waits since none was worth it */

fk_status fk_stream_watch(int fd, fk_stream_head *h)
{
    int looks = worth;
    if (looks == 0 && ++passed % TRY_EVERY == 0)
        looks = MOST_LOOKS;
    fk_status st = FK_AGAIN;
    for (int i = fk_spins ? looks : 0; i > 0 && st == FK_AGAIN; i--)
        st = fk_stream_look(fd, h);
    worth = st == FK_AGAIN ? worth / 2 : MOST_LOOKS;
    return st;
}

fk_status fk_stream_await(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    if (poll(&p, 1, -1) > 0)
        return FK_OK; /* also what is an error: the look will tell */
    return errno == EINTR ? FK_INTR : FK_SYS;
}

fk_status fk_stream_try_read(int fd, void *to, uint64_t n, uint64_t *done)
{
    while (*done < n) {
        ssize_t r = read_some(fd, (char *)to + *done, n - *done);
        if (r < 0 && (errno == EAGAIN || errno == EINTR))
            return FK_AGAIN;
        if (r <= 0)
            return ended_or_failed(r);
        *done += (uint64_t)r;
    }
    return FK_OK;
}

bool fk_stream_never_waits(int fd)
{
    int flags = fcntl(fd, F_GETFL);
    return flags >= 0 && (flags & O_NONBLOCK);
}

fk_status fk_stream_read(int fd, void *to, uint64_t n, uint64_t *done)
{
    while (*done < n) {
        ssize_t r = read(fd, (char *)to + *done, n - *done);
        if (r < 0 && errno == EINTR)
            return FK_INTR;
        if (r <= 0)
            return ended_or_failed(r);
        *done += (uint64_t)r;
    }
    return FK_OK;
}

/* What of a message is not yet written. */
typedef struct rest {
    uint32_t head;
    struct iovec parts[2];
} rest;

static void find_rest(rest *r, const void *data, uint64_t n, uint64_t done)
{
    uint64_t of_head = done < HEAD ? done : HEAD, of_data = done - of_head;
    r->head = htobe32((uint32_t)n);
    r->parts[0] = (struct iovec){(char *)&r->head + of_head, HEAD - of_head};
    r->parts[1] = (struct iovec){(char *)(uintptr_t)data + of_data, n - of_data};
}

static fk_status not_written(void)
{
    if (errno == ECONNRESET) /* as for who reads: it went without having read all */
        errno = EPIPE;
    return FK_SYS;
}

fk_status fk_stream_write(int fd, const void *data, uint64_t n, uint64_t *done)
{
    while (*done < HEAD + n) {
        rest left;
        find_rest(&left, data, n, *done);
        ssize_t r = writev(fd, left.parts, 2);
        if (r < 0)
            return errno == EINTR ? FK_INTR : not_written();
        *done += (uint64_t)r;
    }
    return FK_OK;
}

/* A pipe has room for PIPE_BUF bytes at once when it can be written to; of more nothing is known. */
static ssize_t write_to_pipe(int fd, const rest *left)
{
    struct pollfd p = {.fd = fd, .events = POLLOUT};
    if (left->parts[0].iov_len + left->parts[1].iov_len > PIPE_BUF || poll(&p, 1, 0) == 0) {
        errno = EAGAIN;
        return -1;
    }
    return writev(fd, left->parts, 2);
}

static ssize_t send_some(int fd, const rest *left)
{
    const struct iovec *head = &left->parts[0], *data = &left->parts[1];
    size_t n = head->iov_len + data->iov_len;
    char whole[SHORT];
    if (n > sizeof whole) {
        struct msghdr m = {.msg_iov = (struct iovec *)left->parts, .msg_iovlen = 2};
        return sendmsg(fd, &m, MSG_DONTWAIT);
    }
    /* To copy so few takes less than to let the kernel find two parts. */
    memcpy(whole, head->iov_base, head->iov_len);
    memcpy(whole + head->iov_len, data->iov_base, data->iov_len);
    return send(fd, whole, n, MSG_DONTWAIT);
}

static fk_status try_write(int fd, const void *data, uint64_t n, uint64_t *done, bool pipes)
{
    while (*done < HEAD + n) {
        rest left;
        find_rest(&left, data, n, *done);
        ssize_t r = send_some(fd, &left);
        if (r < 0 && errno == ENOTSOCK) {
            if (!pipes)
                return FK_AGAIN;
            r = write_to_pipe(fd, &left);
        }
        if (r < 0)
            return errno == EAGAIN || errno == EINTR ? FK_AGAIN : not_written();
        *done += (uint64_t)r;
    }
    return FK_OK;
}

fk_status fk_stream_try_write(int fd, const void *data, uint64_t n, uint64_t *done)
{
    return try_write(fd, data, n, done, true);
}

fk_status fk_stream_try_send(int fd, const void *data, uint64_t n, uint64_t *done)
{
    return try_write(fd, data, n, done, false);
}

uint64_t fk_stream_make_head(unsigned char head[12], uint64_t n)
{
    bool is_short = n <= INT32_MAX;
    uint32_t first = is_short ? htobe32((uint32_t)n) : UINT32_MAX;
    uint64_t second = htobe64(n);
    memcpy(head, &first, HEAD);
    memcpy(head + HEAD, &second, LONG_HEAD);
    return is_short ? HEAD : HEAD + LONG_HEAD;
}

fk_status fk_stream_write_parts(int fd, struct iovec **parts, size_t *n)
{
    for (;;) {
        while (*n > 0 && (*parts)->iov_len == 0) {
            ++*parts;
            --*n;
        }
        if (*n == 0)
            return FK_OK;
        ssize_t r = writev(fd, *parts, *n < IOV_MAX ? (int)*n : IOV_MAX);
        if (r < 0)
            return errno == EINTR ? FK_INTR : not_written();
        for (size_t i = 0, done = (size_t)r; done > 0; i++) {
            struct iovec *part = &(*parts)[i];
            size_t here = done < part->iov_len ? done : part->iov_len;
            part->iov_base = (char *)part->iov_base + here;
            part->iov_len -= here;
            done -= here;
        }
    }
}
