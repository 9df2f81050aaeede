/* The arena: one memfd that many processes map, and its blocks. */
#include "member.h"
#include "run.h"
#include "standstill.h"

#include <sys/resource.h>
#include <sys/stat.h>

#define CORE(status) CHECK_EQ(status, FK_OK)

/* ---- the memfd ------------------------------------------------------------------------------ */

TEST(arenas_have_identities_of_their_own)
{
    fk_arena a, b;
    CORE(fk_arena_create(&a));
    CORE(fk_arena_create(&b));
    CHECK(memcmp(fk_head(&a)->id, fk_head(&b)->id, 16) != 0);
    CHECK_EQ(fk_head(&a)->reserve, a.reserve);
    fk_arena_unmap(&a);
    fk_arena_unmap(&b);
}

TEST(two_mappings_show_the_same_memory)
{
    fk_arena a, b;
    CORE(fk_arena_create(&a));
    CORE(fk_arena_map(&b, a.fd));
    CHECK(a.base != b.base);
    *(int *)fk_at(&a, FK_HEAP_AT + 4096, 4) = 42;
    CHECK_EQ(*(int *)fk_at(&b, FK_HEAP_AT + 4096, 4), 42);
}

TEST(the_memfd_can_neither_shrink_nor_grow)
{
    fk_arena a;
    CORE(fk_arena_create(&a));
    CHECK(ftruncate(a.fd, 4096) < 0 && errno == EPERM);
    CHECK(ftruncate(a.fd, (off_t)a.reserve * 2) < 0 && errno == EPERM);
    CHECK(fcntl(a.fd, F_GETFD) & FD_CLOEXEC);
}

TEST(a_closed_standard_stream_stays_closed)
{
    fk_arena a;
    int streams[3], fds[3];
    for (int i = 0; i < 3; i++) {
        streams[i] = fcntl(i, F_DUPFD_CLOEXEC, 10);
        close(i);
    }
    int st = fk_arena_create(&a), flags = fcntl(a.fd, F_GETFD);
    for (int i = 0; i < 3; i++) {
        fds[i] = fcntl(i, F_GETFD);
        if (streams[i] >= 0)
            dup2(streams[i], i);
    }
    CORE(st);
    CHECK(fds[0] < 0 && fds[1] < 0 && fds[2] < 0);
    CHECK(a.fd > STDERR_FILENO && flags & FD_CLOEXEC);
}

TEST(what_is_no_arena_is_not_mapped)
{
    fk_arena a, b;
    int fds[2];
    CHECK(pipe(fds) == 0);
    CHECK_EQ(fk_arena_map(&b, fds[0]), FK_CORRUPT);
    CHECK_EQ(fk_arena_map(&b, -1), FK_SYS);

    int unsealed = memfd_create("x", MFD_ALLOW_SEALING),
        sealed = memfd_create("y", MFD_ALLOW_SEALING);
    CHECK(ftruncate(unsealed, (off_t)FK_HEAP_AT * 2) == 0);
    CHECK_EQ(fk_arena_map(&b, unsealed), FK_CORRUPT);
    CHECK(ftruncate(sealed, (off_t)FK_HEAP_AT * 2) == 0);
    CHECK(fcntl(sealed, F_ADD_SEALS, F_SEAL_SHRINK) == 0);
    CHECK_EQ(fk_arena_map(&b, sealed), FK_CORRUPT);

    CORE(fk_arena_create(&a));
    fk_head(&a)->version++;
    CHECK_EQ(fk_arena_map(&b, a.fd), FK_CORRUPT);
    fk_head(&a)->version--;
    fk_head(&a)->header_size++;
    CHECK_EQ(fk_arena_map(&b, a.fd), FK_CORRUPT);
    fk_head(&a)->header_size--;
    CORE(fk_arena_map(&b, a.fd));
    CHECK(fcntl(unsealed, F_GETFD) >= 0); /* a refused descriptor stays the caller's */
}

/* ---- a look from outside -------------------------------------------------------------------- */

static int peek_readonly(fk_arena *b, int fd)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/fd/%d", getpid(), fd);
    int readonly = open(path, O_RDONLY | O_CLOEXEC);
    CHECK(readonly >= 0);
    int st = fk_arena_peek(b, readonly);
    close(readonly);
    return st;
}

TEST(a_peeked_arena_shows_the_same_memory_and_is_refused_as_any_other)
{
    fk_arena a, b;
    CORE(fk_arena_create(&a));
    CORE(peek_readonly(&b, a.fd));
    *(int *)fk_at(&a, FK_HEAP_AT + 4096, 4) = 42;
    CHECK_EQ(*(int *)fk_at(&b, FK_HEAP_AT + 4096, 4), 42);
    CHECK(b.peeks && !a.peeks && b.me == 0);
    fk_arena_unmap(&b);
    fk_head(&a)->version++;
    CHECK_EQ(peek_readonly(&b, a.fd), FK_CORRUPT);
}

TEST(a_peeked_arena_cannot_be_written)
{
    fk_arena a, b;
    int fds[2];
    CORE(fk_arena_create(&a));
    CORE(peek_readonly(&b, a.fd));
    CHECK(pipe(fds) == 0 && write(fds[1], "x", 1) == 1);
    CHECK(read(fds[0], fk_at(&b, FK_HEAP_AT, 1), 1) < 0 && errno == EFAULT);
    CHECK(read(fds[0], fk_at(&a, FK_HEAP_AT, 1), 1) == 1);
}

static int wait_for_lock(void *lock)
{
    fk_wait w = FK_WAIT_UNTIL(FK_NEVER);
    w.nap = fk_board_enter(&A, FK_OP_LOCK, fk_off(&A, lock) - FK_BLOCK_HEAD, FK_NEVER, "f.py", 7);
    while (fk_lock_acquire(&A, lock, &w) == FK_INTR) {
    }
    return 0;
}

TEST(a_look_from_outside_tells_who_lives_and_what_blocks_and_changes_nothing)
{
    found();
    object o = make(FK_KIND_LOCK, sizeof(fk_user_lock));
    fk_lock *l = &((fk_user_lock *)o.data)->lock;
    CORE(fk_lock_try(&A, l));
    member m = spawn_member(wait_for_lock, l);
    fk_seen s = {0};
    WAIT_UNTIL(fk_board_see(&A, 0, &s) && s.asleep);
    fk_owner newborn;
    CORE(fk_slot_reserve(&A, &newborn));

    fk_arena b;
    CORE(peek_readonly(&b, A.fd));
    fk_slot_peek(&b);
    CHECK(fk_board_see(&b, 0, &s) && s.owner == m.owner && s.line == 7);
    CHECK(fk_slot_alive(&b, A.me) && fk_slot_alive(&b, m.owner) && fk_slot_alive(&b, newborn));
    CHECK(fk_still_blocks(&b, &s));
    kill_at(m.pid);
    CHECK(!fk_slot_alive(&b, m.owner)); /* a zombie */
    uint32_t pid = 0;
    char name[64];
    CHECK(fk_slot_describe(&b, m.owner, &pid, name) && pid == (uint32_t)m.pid);
    bury(m);
    fk_family_abandon(&A, newborn);
}

TEST(a_descriptor_that_became_another_files_is_noticed)
{
    fk_arena a;
    CORE(fk_arena_create(&a));
    CHECK(fk_arena_fd_is_good(&a));
    CHECK(dup2(open("/dev/null", O_RDONLY), a.fd) == a.fd);
    CHECK(!fk_arena_fd_is_good(&a));
    close(a.fd);
    CHECK(!fk_arena_fd_is_good(&a));
}

TEST(a_limit_on_file_sizes_makes_the_arena_smaller)
{
    signal(SIGXFSZ, SIG_IGN);
    struct rlimit most = {UINT64_C(1) << 33, UINT64_C(1) << 33};
    CHECK(setrlimit(RLIMIT_FSIZE, &most) == 0);
    CORE(fk_family_found(&A));
    CHECK_EQ(A.reserve, UINT64_C(1) << 32);
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) /* they need it themselves */
TEST(a_limit_on_addresses_makes_the_arena_smaller)
{
    struct rlimit most = {UINT64_C(1) << 33, UINT64_C(1) << 33};
    CHECK(setrlimit(RLIMIT_AS, &most) == 0);
    CORE(fk_family_found(&A));
    CHECK_EQ(A.reserve, UINT64_C(1) << 32);
}
#endif

TEST(only_the_heap_has_addresses)
{
    found();
    CHECK(fk_at(&A, 0, 1) == NULL);
    CHECK(fk_at(&A, FK_HEAP_AT - 1, 1) == NULL);
    CHECK(fk_at(&A, FK_HEAP_AT, 1) == A.base + FK_HEAP_AT);
    CHECK(fk_at(&A, A.reserve - 1, 1) != NULL);
    CHECK(fk_at(&A, A.reserve - 1, 2) == NULL);
    CHECK(fk_at(&A, A.reserve, 0) != NULL);
    CHECK(fk_at(&A, A.reserve + 1, 0) == NULL);
    CHECK(fk_at(&A, FK_HEAP_AT, UINT64_MAX) == NULL);
    CHECK(fk_at(&A, UINT64_MAX, UINT64_MAX) == NULL);
    CHECK_EQ(fk_off(&A, fk_at(&A, FK_HEAP_AT + 64, 1)), FK_HEAP_AT + 64);
}

/* ---- blocks ------------------------------------------------------------------------------------ */

static uint64_t new_block(uint64_t size)
{
    uint64_t off;
    CORE(fk_block_new(&A, size, FK_KIND_RAW, &off));
    return off;
}

TEST(a_block_has_its_bytes_and_one_ref)
{
    found();
    uint64_t used = heap_used(), off = new_block(1000);
    fk_block *b = fk_block_at(&A, off);
    CHECK_EQ(b->size, 1000);
    CHECK_EQ(b->kind, FK_KIND_RAW);
    CHECK_EQ(atomic_load(&b->refs), FK_REF_HOLD);
    CHECK(fk_off(&A, fk_block_data(&A, off)) % 64 == 0);
    CHECK_EQ(heap_used(), used + 2048); /* the power of two that holds the bytes and the head */
    fk_block_unref(&A, off, FK_REF_HOLD);
    CHECK_EQ(heap_used(), used);
    CHECK_EQ(atomic_load(&b->tag), 0);
}

TEST(a_freed_block_is_used_again_with_another_tag)
{
    found();
    uint64_t off = new_block(100), other = new_block(1000);
    uint64_t tag = atomic_load(&fk_block_at(&A, off)->tag);
    fk_block_unref(&A, other, FK_REF_HOLD);
    fk_block_unref(&A, off, FK_REF_HOLD);
    CHECK_EQ(new_block(100), off);
    CHECK(atomic_load(&fk_block_at(&A, off)->tag) != tag);
    CHECK_EQ(fk_block_arrive(&A, off, tag, 0), FK_STALE);
    CHECK(new_block(100) != off);
}

TEST(there_is_an_end_to_the_arena)
{
    signal(SIGXFSZ, SIG_IGN);
    struct rlimit most = {UINT64_C(1) << 29, UINT64_C(1) << 29};
    CHECK(setrlimit(RLIMIT_FSIZE, &most) == 0);
    found();
    uint64_t off, kept = new_block(50 << 20);
    CHECK_EQ(fk_block_new(&A, UINT64_MAX, FK_KIND_RAW, &off), FK_NOMEM);
    CHECK_EQ(fk_block_new(&A, A.reserve, FK_KIND_RAW, &off), FK_NOMEM);
    while (fk_block_new(&A, 50 << 20, FK_KIND_RAW, &off) == FK_OK)
        CHECK(fk_at(&A, off, 64 << 20) != NULL);
    fk_block_unref(&A, kept, FK_REF_HOLD);
    CHECK_EQ(new_block(50 << 20), kept);
}

static uint64_t pages_of_file(void)
{
    struct stat st;
    CHECK(fstat(A.fd, &st) == 0);
    return (uint64_t)st.st_blocks / 8;
}

TEST(freed_large_blocks_keep_their_pages_up_to_a_bound)
{
    found();
    uint64_t small = new_block(1 << 20), large = new_block(FK_KEEP_BYTES), before = pages_of_file();
    memset(fk_block_data(&A, small), 1, 1 << 20);
    memset(fk_block_data(&A, large), 1, 1 << 20);
    CHECK(pages_of_file() >= before + 510);
    before = pages_of_file();
    fk_block_unref(&A, small, FK_REF_HOLD);
    CHECK_EQ(pages_of_file(), before);
    CHECK_EQ(atomic_load(&fk_head(&A)->heap_kept), 257); /* with the head */
    fk_block_unref(&A, large, FK_REF_HOLD);
    CHECK(pages_of_file() <= before - 250);
    CHECK_EQ(atomic_load(&fk_head(&A)->heap_kept), 257);
    CHECK_EQ(new_block(1 << 20), small);
    CHECK_EQ(atomic_load(&fk_head(&A)->heap_kept), 0);
}

TEST(a_block_that_has_its_pages_is_used_before_one_that_has_not)
{
    found();
    uint64_t three[3], size = FK_KEEP_BYTES / 2 - 4096, used[2];
    for (int i = 0; i < 3; i++)
        three[i] = new_block(size);
    for (int i = 0; i < 3; i++) /* the last one exceeds the bound */
        fk_block_unref(&A, three[i], FK_REF_HOLD);
    CHECK_EQ(free_blocks_are_sound(), FK_KEEP_BYTES / 4096);
    for (int i = 0; i < 2; i++)
        used[i] = new_block(size);
    CHECK_EQ(used[0], three[1]);
    CHECK_EQ(used[1], three[0]);
    CHECK_EQ(atomic_load(&fk_head(&A)->heap_kept), 0);
    CHECK_EQ(new_block(size), three[2]);
}

TEST(a_block_counts_for_the_pages_that_it_was_ever_used_for)
{
    found();
    uint64_t off = new_block(FK_KEEP_BYTES - FK_BLOCK_HEAD);
    fk_block_unref(&A, off, FK_REF_HOLD);
    CHECK_EQ(new_block(FK_KEEP_BYTES / 2 + 1), off); /* of the same class */
    fk_block_unref(&A, off, FK_REF_HOLD);
    CHECK_EQ(atomic_load(&fk_head(&A)->heap_kept), FK_KEEP_BYTES / 4096);
    CHECK_EQ(free_blocks_are_sound(), FK_KEEP_BYTES / 4096);
}

/* ---- runs -------------------------------------------------------------------------------------- */

#define BURST 4096

/* So many blocks of `size` bytes at once, each written to. */
static void burst(uint64_t *blocks, uint64_t size)
{
    for (int i = 0; i < BURST; i++) {
        blocks[i] = new_block(size);
        memset(fk_block_data(&A, blocks[i]), i, size);
    }
}

static void end_of_burst(const uint64_t *blocks)
{
    for (int i = 0; i < BURST; i++)
        fk_block_unref(&A, blocks[i], FK_REF_HOLD);
    CHECK_EQ(free_blocks_are_sound(), atomic_load(&fk_head(&A)->heap_kept));
}

TEST(a_burst_of_small_blocks_gives_its_pages_back)
{
    static uint64_t blocks[BURST];
    static const uint64_t sizes[] = {8000, 16000, 30000, 60000};
    found();
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) { /* the second time, too */
        uint64_t before = pages_of_file();
        burst(blocks, sizes[i]);
        uint64_t many = pages_of_file();
        CHECK(many - before >= BURST * sizes[i] / 4096);
        end_of_burst(blocks);
        CHECK(atomic_load(&fk_head(&A)->heap_kept) <= FK_KEEP_BYTES / 4096);
        CHECK(pages_of_file() <=
              before + FK_KEEP_BYTES / 4096 + BURST / 4); /* and of each run one */
        uint64_t top = atomic_load(&fk_head(&A)->heap_top);
        burst(blocks, sizes[i]);
        CHECK_EQ(atomic_load(&fk_head(&A)->heap_top), top); /* they were used again */
        end_of_burst(blocks);
    }
}

TEST(blocks_of_a_burst_do_not_overlap)
{
    static uint64_t blocks[BURST];
    found();
    for (int round = 0; round < 2; round++) {
        burst(blocks, 500);
        for (int i = 0; i < BURST; i++) {
            const uint8_t *bytes = fk_block_data(&A, blocks[i]);
            for (int k = 0; k < 500; k++)
                CHECK_EQ(bytes[k], i % 256);
        }
        for (int i = 0; i < BURST; i += 2) /* runs with room, and none empty */
            fk_block_unref(&A, blocks[i], FK_REF_HOLD);
        free_blocks_are_sound();
        for (int i = 0; i < BURST; i += 2)
            memset(fk_block_data(&A, blocks[i] = new_block(500)), i, 500);
        end_of_burst(blocks);
    }
}

TEST(a_stale_handle_of_a_block_whose_pages_are_gone_is_stale)
{
    static uint64_t blocks[BURST];
    found();
    burst(blocks, 30000);
    uint64_t tag = atomic_load(&fk_block_at(&A, blocks[BURST - 1])->tag);
    end_of_burst(blocks);
    for (int i = 0; i < BURST; i++) {
        CHECK_EQ(fk_block_arrive(&A, blocks[i], tag, 0), FK_STALE);
        CHECK_EQ(fk_block_arrive(&A, blocks[i], 0, 0), FK_STALE);
    }
}

static void fill_and_look(uint64_t off, int byte, bool fresh)
{
    static uint8_t bytes[300001];
    memset(bytes, byte, sizeof bytes);
    CHECK_EQ(fk_block_at(&A, off)->fresh, fresh);
    uint8_t *data = fk_block_data(&A, off);
    data[0] = data[sizeof bytes + 1] = 99;
    fk_block_fill(&A, off, data + 1, bytes, sizeof bytes);
    CHECK(memcmp(data + 1, bytes, sizeof bytes) == 0);
    CHECK_EQ(data[0], 99);
    CHECK_EQ(data[sizeof bytes + 1], 99);
}

TEST(a_block_is_filled_whether_it_has_its_pages_or_not)
{
    signal(SIGXFSZ, SIG_DFL);
    found();
    uint64_t off = new_block(400000), before = pages_of_file();
    fill_and_look(off, 1, true);
    CHECK(pages_of_file() >= before + 73);
    fk_block_unref(&A, off, FK_REF_HOLD);
    CHECK_EQ(new_block(400000), off);
    fill_and_look(off, 2, false);
    struct rlimit small = {1 << 20, RLIM_INFINITY};
    CHECK(setrlimit(RLIMIT_FSIZE, &small) == 0);
    fill_and_look(new_block(400000), 3, true);
    CHECK(setrlimit(RLIMIT_FSIZE, &(struct rlimit){RLIM_INFINITY, RLIM_INFINITY}) == 0);
    int other = memfd_create("another", 0);
    CHECK(other >= 0 && dup2(other, A.fd) == A.fd); /* its number is another file's */
    fill_and_look(new_block(400000), 4, true);
    struct stat st;
    CHECK(fstat(other, &st) == 0 && st.st_size == 0);
}

TEST(a_block_is_filled_from_and_to_any_place)
{
    static const size_t sizes[] = {0, 1, 15, 16, 63, 65535, 65536, 65537, 65600, 70001};
    static uint8_t bytes[80000];
    found();
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * 7 + i / 256);
    uint64_t off = new_block(100000);
    fk_block_at(&A, off)->fresh = 0;
    uint8_t *data = fk_block_data(&A, off);
    for (size_t i = 0; i < 2 * sizeof sizes / sizeof *sizes; i++)
        for (size_t place = 0; place < 70; place += 3) {
            size_t size = sizes[i / 2];
            uint8_t *to = data + 100 + place;
            memset(data, 99, 100000);
            if (i % 2)
                fk_copy_past_caches(to, bytes + place / 2, size);
            else
                fk_block_fill(&A, off, to, bytes + place / 2, size);
            CHECK(memcmp(to, bytes + place / 2, size) == 0);
            CHECK_EQ(to[-1], 99);
            CHECK_EQ(to[size], 99);
        }
}

static long faults_of_filling(void)
{
    static uint8_t bytes[1 << 20];
    struct rusage before, after;
    uint64_t off = new_block(sizeof bytes);
    memset(bytes, 1, sizeof bytes);
    uint8_t *data = fk_block_data(&A, off);
    CHECK(getrusage(RUSAGE_SELF, &before) == 0);
    fk_block_fill(&A, off, data, bytes, sizeof bytes);
    CHECK(getrusage(RUSAGE_SELF, &after) == 0);
    CHECK(memcmp(data, bytes, sizeof bytes) == 0);
    return after.ru_minflt - before.ru_minflt;
}

static int fill_a_block(void *arg)
{
    faults_of_filling();
    return arg != NULL;
}

TEST(of_those_that_fill_fresh_blocks_one_asks_the_kernel_and_a_dead_one_does_not_keep_it)
{
    found();
    fk_lock *l = &fk_head(&A)->fill_lock;
    long faults = faults_of_filling();
    CHECK(faults < 100);
    CHECK_EQ(fk_lock_owner(l), 0);
    CORE(fk_lock_try(&A, l)); /* another thread is at it */
    CHECK(faults_of_filling() > faults + 100);
    fk_lock_release(l);
    member dead;
    CHECK(dies_at("heap.filling", 0, fill_a_block, NULL, &dead));
    CHECK(fk_lock_owner(l) != 0);
    CHECK(faults_of_filling() < 100);
    CHECK_EQ(fk_lock_owner(l), 0);
}

TEST(offsets_that_name_no_block_are_refused)
{
    found();
    uint64_t off = new_block(100), tag = atomic_load(&fk_block_at(&A, off)->tag);
    CHECK_EQ(fk_block_arrive(&A, 0, tag, 0), FK_STALE);
    CHECK_EQ(fk_block_arrive(&A, 4096, tag, 0), FK_STALE);
    CHECK_EQ(fk_block_arrive(&A, off + 8, tag, 0), FK_STALE);
    CHECK_EQ(fk_block_arrive(&A, off + 64, tag, 0), FK_STALE);
    CHECK_EQ(fk_block_arrive(&A, A.reserve, tag, 0), FK_STALE);
    CHECK_EQ(fk_block_arrive(&A, UINT64_MAX - 63, tag, 0), FK_STALE);
    CHECK_EQ(fk_block_arrive(&A, off + 4096, 0, 0), FK_STALE); /* never used: its tag is 0 */
    CHECK_EQ(atomic_load(&fk_block_at(&A, off)->refs), 1);
    fk_block_at(&A, off)->size = A.reserve;
    CHECK(fk_block_data(&A, off) == NULL);
    fk_block_ref(&A, UINT64_MAX, 1);
    fk_block_unref(&A, UINT64_MAX, 1);
    fk_block_queue(&A, 1);
    fk_block_unqueue(&A, 1);
}

TEST(a_pickled_copy_keeps_a_block_until_it_arrives)
{
    found();
    uint64_t off = new_block(100), used = heap_used();
    _Atomic uint64_t *refs = &fk_block_at(&A, off)->refs;
    uint64_t tag = atomic_load(&fk_block_at(&A, off)->tag);
    CHECK_EQ(fk_block_arrive(&A, off, tag, FK_KIND_LOCK), FK_STALE); /* another kind */
    CHECK_EQ(atomic_load(refs), FK_REF_HOLD);
    fk_block_ref(&A, off, FK_REF_TRANSIT);
    fk_block_unref(&A, off, FK_REF_HOLD); /* the sender's handle is gone */
    CHECK_EQ(heap_used(), used);
    CORE(fk_block_arrive(&A, off, tag, FK_KIND_RAW | FK_DEPARTED));
    CHECK_EQ(atomic_load(refs), FK_REF_HOLD);
    CORE(fk_block_arrive(&A, off, tag, FK_DEPARTED)); /* the same copy, loaded once more */
    CHECK_EQ(atomic_load(refs), 2 * FK_REF_HOLD);
    fk_block_unref(&A, off, FK_REF_HOLD);
    fk_block_unref(&A, off, FK_REF_HOLD);
    CHECK_EQ(fk_block_arrive(&A, off, tag, 0), FK_STALE);
    CHECK(heap_used() < used);
}

TEST(a_queued_message_owns_a_block_once)
{
    found();
    uint64_t off = new_block(100), used = heap_used();
    fk_block_queue(&A, off);
    fk_block_queue(&A, off);
    fk_block_unqueue(&A, off);
    fk_block_unqueue(&A, off); /* as a second settler would */
    CHECK_EQ(atomic_load(&fk_block_at(&A, off)->refs), FK_REF_HOLD);
    fk_block_queue(&A, off);
    fk_block_unref(&A, off, FK_REF_HOLD);
    CHECK_EQ(heap_used(), used);
    fk_block_unqueue(&A, off);
    CHECK_EQ(heap_used(), used - 256);
}

/* ---- many at once ------------------------------------------------------------------------------------ */

static void *take_and_free(void *arg)
{
    (void)arg;
    uint64_t mine[16] = {0};
    for (int i = 0; i < 4000; i++) {
        uint64_t *slot = &mine[i % 16];
        if (*slot) {
            uint64_t *words = fk_block_data(&A, *slot);
            CHECK(words[0] == (uint64_t)(uintptr_t)mine && words[1] == *slot);
            fk_block_unref(&A, *slot, FK_REF_HOLD);
        }
        *slot = new_block(16 + chance(3) * 200);
        uint64_t *words = fk_block_data(&A, *slot);
        words[0] = (uint64_t)(uintptr_t)mine;
        words[1] = *slot;
    }
    for (int i = 0; i < 16; i++)
        fk_block_unref(&A, mine[i], FK_REF_HOLD);
    return NULL;
}

TEST(no_block_is_handed_out_twice)
{
    found();
    uint64_t used = heap_used();
    run_threads(4, take_and_free, NULL);
    CHECK_EQ(heap_used(), used);
}

/* ---- death -------------------------------------------------------------------------------------------- */

static int use_the_heap(void *arg)
{
    (void)arg;
    for (int i = 0; i < 8; i++) {
        uint64_t small = new_block(100), large = new_block(200000);
        fk_block_unref(&A, small, FK_REF_HOLD);
        fk_block_unref(&A, large, FK_REF_HOLD);
    }
    return 0;
}

TEST(who_dies_in_the_heap_costs_one_block_at_most)
{
    static const char *points[] = {"heap.pop",   "heap.popped", "heap.taken",
                                   "heap.freed", "heap.push",   "heap.pushed"};
    found();
    use_the_heap(NULL);
    uint64_t used = heap_used();
    for (size_t i = 0; i < sizeof points / sizeof *points; i++)
        for (int skip = 0; skip < 4; skip++) {
            member dead;
            CHECK(dies_at(points[i], skip + 1, use_the_heap, NULL, &dead)); /* 0: for its holds */
            use_the_heap(NULL); /* no hang, no block handed out twice */
            reap_everybody();
            uint64_t top = atomic_load(&fk_head(&A)->heap_top);
            use_the_heap(NULL);
            CHECK_EQ(atomic_load(&fk_head(&A)->heap_top), top);
            CHECK_EQ(free_blocks_are_sound(), atomic_load(&fk_head(&A)->heap_kept));
            uint64_t lost = heap_used() - used;
            CHECK(lost == 0 || lost == 256 || lost == 4096 || lost == 262144);
            used = heap_used();
        }
}

/* Blocks of some runs of a class, in a page that is shared: what a dead process has in hand, another gives up. */
enum { IN_HAND = 400 };
typedef struct hand {
    atomic_int n;
    uint64_t blocks[IN_HAND];
} hand;

static int empty_hand(hand *h)
{
    while (atomic_load(&h->n))
        fk_block_unref(&A, h->blocks[atomic_fetch_sub(&h->n, 1) - 1], FK_REF_HOLD);
    return 0;
}

static int fill_and_empty_runs(void *arg)
{
    hand *h = arg;
    for (int i = 0; i < IN_HAND; i++) {
        h->blocks[i] = new_block(60000);
        atomic_store(&h->n, i + 1);
    }
    return empty_hand(h);
}

static int make_a_run(void *arg)
{
    (void)arg;
    new_block(100);
    return 0;
}

TEST(a_run_that_was_never_made_is_not_settled_again)
{
    found();
    member dead;
    CHECK(dies_at("run.begun", 0, make_a_run, NULL, &dead));
    uint64_t at = atomic_load(&fk_head(&A)->heap_at), large = new_block(4 << 20);
    CHECK(large <= at && at < large + (4 << 20)); /* that place is somebody's now */
    CHECK_EQ(atomic_load(&fk_head(&A)->heap_at), 0);
}

TEST(bursts_of_one_size_leave_the_pages_of_another)
{
    static uint64_t blocks[BURST];
    found();
    uint64_t large = new_block(FK_KEEP_BYTES - FK_BLOCK_HEAD);
    fk_block_unref(&A, large, FK_REF_HOLD); /* now large blocks keep all that they may */
    burst(blocks, 30000);
    end_of_burst(blocks);
    uint64_t some[64];
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 64; i++)
            memset(fk_block_data(&A, some[i] = new_block(60000)), 1, 60000);
        uint64_t pages = pages_of_file();
        for (int i = 0; i < 64; i++)
            fk_block_unref(&A, some[i], FK_REF_HOLD);
        CHECK_EQ(pages_of_file(), pages);
    }
    CHECK_EQ(new_block(FK_KEEP_BYTES - FK_BLOCK_HEAD), large);
}

TEST(who_dies_as_runs_fill_and_empty_costs_one_block_at_most)
{
    static const char *points[] = {"run.new",    "run.bare",    "run.stripped", "run.dressed",
                                   "heap.pop",   "heap.popped", "heap.push",    "heap.pushed",
                                   "heap.taken", "heap.freed"};
    found();
    CHECK(IN_HAND * UINT64_C(65536) > FK_KEEP_RUNS); /* so that some runs become bare */
    hand *h = shared_page(sizeof *h);
    uint64_t used = heap_used();
    for (size_t i = 0; i < sizeof points / sizeof *points; i++) {
        bool died = true;
        for (int skip = 0; died; skip = 2 * skip + 1) {
            member dead;
            died = dies_at(points[i], skip, fill_and_empty_runs, h, &dead);
            CHECK(died || skip > 0); /* else nobody has passed that point */
            reap_everybody();
            fk_block_unref(&A, new_block(100),
                           FK_REF_HOLD); /* takes the lock over, if it was held */
            CHECK_EQ(free_blocks_are_sound(), atomic_load(&fk_head(&A)->heap_kept));
            empty_hand(h);
            CHECK_EQ(free_blocks_are_sound(), atomic_load(&fk_head(&A)->heap_kept));
            fill_and_empty_runs(h); /* no hang, no block handed out twice */
            uint64_t top = atomic_load(&fk_head(&A)->heap_top);
            fill_and_empty_runs(h);
            CHECK_EQ(atomic_load(&fk_head(&A)->heap_top), top);
            CHECK_EQ(free_blocks_are_sound(), atomic_load(&fk_head(&A)->heap_kept));
            uint64_t lost = heap_used() - used;
            CHECK(lost == 0 || lost == 65536);
            used = heap_used();
        }
    }
}

TEST_MAIN
