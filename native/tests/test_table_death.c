/* Processes that die at each step of a change: the table is whole, and holds it or does not.
 *
 * A doomed child makes numbered changes and counts them in shared memory. Wherever it dies, the table is
 * what it was after that many changes, or after one more; whoever comes next goes on; and when the table
 * is gone its memory is back, but for what the headers allow a death to cost. */
#include "standstill.h"
#include "table_kit.h"

enum { MANY = 60 };

static atomic_int *counted;

/* ---- a script of changes, made to the table and to a plain array --------------------------------- */

typedef struct plain {
    uint64_t n, key[MANY + 8], value[MANY + 8]; /* in order */
} plain;

static void plain_set(plain *p, uint64_t key, uint64_t value)
{
    for (uint64_t i = 0; i < p->n; i++)
        if (p->key[i] == key) {
            p->value[i] = value;
            return;
        }
    p->key[p->n] = key;
    p->value[p->n++] = value;
}

static void plain_del(plain *p, uint64_t at)
{
    for (uint64_t i = at; i + 1 < p->n; i++) {
        p->key[i] = p->key[i + 1];
        p->value[i] = p->value[i + 1];
    }
    p->n--;
}

/* The i-th change of a dict; without a table: of the array only. */
static void dict_change(plain *p, int i, bool to_table)
{
    uint64_t key = (uint64_t)i * 7 % 23;
    if (i % 29 == 28) {
        if (to_table) {
            lock_table();
            CHECK_EQ(fk_table_clear(&A, table()), FK_OK);
            fk_table_unlock(table());
        }
        p->n = 0;
    } else if (i % 4 == 3 && p->n) {
        uint64_t at = i % 8 == 3 ? p->n - 1 : p->n / 2;
        if (to_table)
            CHECK(del(p->key[at]));
        plain_del(p, at);
    } else {
        if (to_table)
            set(key, (uint64_t)i);
        plain_set(p, key, (uint64_t)i);
    }
}

static void list_change(plain *p, int i, bool to_table)
{
    uint64_t half = p->n / 2, order[MANY + 8], was[MANY + 8];
    switch (i % 6) {
    case 3: /* two in the place of the one in the middle */
        if (to_table)
            CHECK_EQ(splice_in(half, half + (p->n > 0), 1000 + (uint64_t)i * 2, 2), FK_OK);
        if (p->n)
            plain_del(p, half);
        for (int k = 0; k < 2; k++) {
            for (uint64_t j = p->n++; j > half + (uint64_t)k; j--)
                p->value[j] = p->value[j - 1];
            p->value[half + (uint64_t)k] = 1000 + (uint64_t)i * 2 + (uint64_t)k;
        }
        break;
    case 4: /* backwards, without the first */
        memcpy(was, p->value, sizeof was);
        for (uint64_t j = 0; j + 1 < p->n; j++)
            order[j] = p->n - 1 - j;
        if (to_table) {
            lock_table();
            CHECK_EQ(fk_table_select(&A, table(), order, p->n - 1), FK_OK);
            fk_table_unlock(table());
        }
        for (uint64_t j = 0; j + 1 < p->n; j++)
            p->value[j] = was[order[j]];
        p->n--;
        break;
    case 5:
        if (to_table) {
            lock_table();
            fk_table_drop_last(&A, table());
            fk_table_unlock(table());
        }
        p->n--;
        break;
    default:
        if (to_table)
            append((uint64_t)i);
        p->value[p->n++] = (uint64_t)i;
    }
}

typedef void changer(plain *p, int i, bool to_table);

static changer *change;

static int change_all(void *arg)
{
    (void)arg;
    plain p = {0};
    for (int i = 0; i < MANY; i++) {
        change(&p, i, true);
        atomic_fetch_add(counted, 1);
    }
    return 0;
}

/* Whether the table is what the first n changes make. */
static bool is_after(int n, bool indexed)
{
    plain p = {0};
    for (int i = 0; i < n; i++)
        change(&p, i, false);
    uint64_t at = 0;
    bool same = true;
    lock_table();
    for (uint64_t i = 0; i < fk_table_used(&A, table()); i++) {
        const fk_item *item = fk_table_item(&A, table(), i);
        CHECK(item || indexed);
        if (!item)
            continue;
        uint64_t value = number_in(i), key = 0;
        memcpy(&key, item->bytes, item->key_size);
        same = same && at < p.n && value == p.value[at] && (!indexed || key == p.key[at]);
        if (indexed)
            CHECK_EQ(row_of(key), i);
        at++;
    }
    CHECK_EQ(fk_table_live(table()), at);
    fk_table_unlock(table());
    return same && at == p.n;
}

enum { SURVIVOR_FIRST, REAPER_FIRST, NO_SURVIVOR, ORDERS };

static void dies(const char *point, int skip, int how, bool indexed, bool *died)
{
    member dead;
    new_table(indexed);
    atomic_store(counted, 0);
    *died = dies_at(point, skip, change_all, NULL, &dead);
    if (how == REAPER_FIRST)
        CHECK(fk_reap(&A, dead.owner));
    if (how != NO_SURVIVOR) {
        int n = atomic_load(counted);
        bool more = !is_after(n, indexed);
        CHECK(!more || (*died && is_after(n + 1, indexed)));
        plain p = {0};
        for (int i = 0; i < n + more; i++)
            change(&p, i, false);
        for (int i = n + more; i < n + more + 12; i++)
            change(&p, i, true);
        CHECK(is_after(n + more + 12, indexed));
    }
    if (how != REAPER_FIRST)
        CHECK(fk_reap(&A, dead.owner));
    fk_hold_drop(&A, T.index);
}

#define ITEM (4096 + 4096) /* and the block of its value */
#define ROWS 8192

static void die_everywhere(bool indexed, const place *places, size_t n)
{
    found();
    change = indexed ? dict_change : list_change;
    counted = shared_page(4096);
    object keeps_a_chunk = make(FK_KIND_WORDS, 8);
    for (size_t i = 0; i < n; i++) {
        bool died = true;
        int deaths = 0;
        for (int skip = 0; died;
             deaths++) { /* the first passes in each order, later ones in turn */
            uint64_t used = heap_used();
            dies(places[i].point, skip, deaths % ORDERS, indexed, &died);
            if (heap_used() - used > places[i].may_cost)
                fprintf(stderr, "%s, %d\n", places[i].point, skip);
            CHECK(heap_used() - used <= places[i].may_cost);
            CHECK_EQ(slots_used(), 1);
            free_blocks_are_sound();
            if (deaths >= ORDERS - 1)
                skip = skip < 12 ? skip + 1 : skip + 1 + skip / 3;
        }
        if (deaths == 1)
            fprintf(stderr, "nobody passed the point %s\n", places[i].point);
        CHECK(deaths > 1);
    }
    CHECK_EQ(refs(&keeps_a_chunk), FK_REF_HOLD);
}

TEST_LIMIT(who_changes_a_dict_may_die_anywhere, 280)
{
    static const place places[] = {
        {"table.logged", 0},     {"table.committed", 0}, {"table.struck", ITEM},
        {"table.item", ITEM},    {"table.named", 0},     {"table.owned", 0},
        {"table.indexed", 0},    {"table.unindexed", 0}, {"table.unmade", ROWS},
        {"table.making", 0},     {"table.made", 0},      {"table.rooted", 0},
        {"table.dropped", ITEM}, {"table.left", ROWS},   {"table.forgotten", ITEM},
        {"lock.released", 0},    {"heap.taken", ROWS},
    };
    die_everywhere(true, places, sizeof places / sizeof *places);
}

TEST_LIMIT(who_changes_a_list_may_die_anywhere, 280)
{
    static const place places[] = {
        {"table.logged", 0},     {"table.committed", 0}, {"table.struck", ITEM},
        {"table.longer", 0},     {"table.making", 0},    {"table.filled", ITEM},
        {"table.made", 0},       {"table.rooted", 0},    {"table.owned", 0},
        {"table.dropped", ITEM}, {"table.left", ROWS},   {"table.unmade", ROWS},
        {"lock.released", 0},
    };
    die_everywhere(false, places, sizeof places / sizeof *places);
}

/* ---- who settles may die, too ---------------------------------------------------------------------- */

static int just_look(void *arg)
{
    (void)arg;
    look(0);
    return 0;
}

TEST(who_settles_for_a_dead_one_may_die_as_well)
{
    static const char *first[] = {"table.logged", "table.committed", "table.making",
                                  "table.rooted"};
    static const char *second[] = {"table.struck", "table.left", "table.recovering",
                                   "table.dropped", "table.forgotten"};
    found();
    change = dict_change;
    counted = shared_page(4096);
    object keeps_a_chunk = make(FK_KIND_WORDS, 8);
    int both = 0;
    for (size_t i = 0; i < sizeof first / sizeof *first; i++)
        for (size_t j = 0; j < sizeof second / sizeof *second; j++)
            for (int skip = 0; skip < 4; skip++) {
                uint64_t used = heap_used();
                member dead, other;
                new_table(true);
                atomic_store(counted, 0);
                CHECK(dies_at(first[i], skip, change_all, NULL, &dead));
                both += dies_at(second[j], 0, just_look, NULL, &other);
                int n = atomic_load(counted);
                CHECK(is_after(n, true) || is_after(n + 1, true));
                CHECK(fk_reap(&A, dead.owner));
                CHECK(fk_reap(&A, other.owner));
                fk_hold_drop(&A, T.index);
                CHECK(heap_used() - used <= ITEM + ROWS);
                free_blocks_are_sound();
            }
    CHECK(both > 20);
    CHECK_EQ(refs(&keeps_a_chunk), FK_REF_HOLD);
}

static void make_full_table(void)
{
    new_table(true);
    for (uint64_t n = 0; n < 50; n++)
        set(n, n);
}

TEST(who_dies_as_it_destroys_a_table_is_replaced)
{
    static const place places[] = {{"table.dropped", ITEM}, {"table.forgotten", ITEM},
                                   {"table.struck", ROWS},  {"heap.freed", ROWS},
                                   {"heap.push", ROWS},     {"hold.dropped", 0}};
    found();
    die_as_it_is_destroyed(&T, make_full_table, places, sizeof places / sizeof *places);
}

/* ---- a holder that is stopped, and random deaths ---------------------------------------------------- */

static int stay_inside(void *arg)
{
    (void)arg;
    lock_table();
    return wait_for_kill(NULL);
}

TEST(a_try_ends_at_once_where_a_process_is_stopped_inside)
{
    found();
    new_table(true);
    set(1, 1);
    member m = spawn_member(stay_inside, NULL);
    WAIT_UNTIL(fk_lock_owner(&table()->lock) == m.owner);
    fk_wait w = at_once();
    CHECK_EQ(fk_table_lock(&A, table(), &w), FK_AGAIN);
    kill_at(m.pid);
    CHECK_EQ(look(1), 1);
    bury(m);
}

static int look_for_one(void *arg)
{
    (void)arg;
    return look(1) != 1;
}

TEST(who_waits_is_on_the_board_and_goes_on_when_the_holder_is_dead)
{
    found();
    new_table(true);
    set(1, 1);
    member holder = spawn_member(stay_inside, NULL);
    WAIT_UNTIL(fk_lock_owner(&table()->lock) == holder.owner);
    member waiter = spawn_member(look_for_one, NULL);
    WAIT_UNTIL(is_parked(waiter.owner, FK_OP_TABLE));
    fk_seen s = {.op = FK_OP_TABLE, .object = T.off};
    CHECK(fk_still_blocks(&A, &s));
    stop_child(waiter.pid); /* else it may have the lock before we look */
    kill_at(holder.pid);
    CHECK(!fk_still_blocks(&A, &s));
    CHECK(kill(waiter.pid, SIGCONT) == 0);
    CHECK_EQ(bury(waiter), 0);
    CHECK_EQ(look(1), 1);
    bury(holder);
}

static int change_for_ever(void *arg)
{
    uint64_t mine = (uint64_t)(uintptr_t)arg;
    for (uint64_t i = 0;; i++) {
        uint64_t key = mine * 100 + chance(60);
        if (i % 3 == 2)
            del(key);
        else
            set(key, key);
        if (look(key) != (i % 3 == 2 ? UINT64_MAX : key))
            return 1;
        if (i == 20)
            atomic_fetch_add(counted, 1);
    }
}

TEST_LIMIT(killed_at_any_instruction_they_cost_the_others_nothing, 240)
{
    found();
    new_table(true);
    counted = shared_page(4096);
    member survivor = spawn_member(change_for_ever, (void *)9);
    for (int i = 0; i < 60; i++) {
        int before = atomic_load(counted);
        member m = spawn_member(change_for_ever, (void *)(uintptr_t)(i % 4));
        WAIT_UNTIL(atomic_load(counted) > before || i % 2);
        uint64_t until = now_ns() + chance(3000000);
        WAIT_UNTIL(now_ns() > until);
        kill_at(m.pid);
        CHECK_EQ(bury(m), SIGKILL);
        lock_table();
        for (uint64_t r = 0; r < fk_table_used(&A, table()); r++) {
            const fk_item *item = fk_table_item(&A, table(), r);
            uint64_t key;
            if (item) {
                memcpy(&key, item->bytes, sizeof key);
                CHECK_EQ(number_in(r), key);
                CHECK_EQ(row_of(key), r);
            }
        }
        fk_table_unlock(table());
    }
    kill_at(survivor.pid);
    CHECK_EQ(bury(survivor), SIGKILL);
    counted_items();
}

TEST_MAIN
