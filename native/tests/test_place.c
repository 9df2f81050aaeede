/* Places: one number for one line, in all processes, and never a torn text. */
#include <stdio.h>

#include "member.h"
#include "place.h"

TEST(one_place_has_one_number)
{
    found();
    uint32_t number = fk_place_enter(&A, "/home/me/main.py", 12, "transfer");
    CHECK(number != 0);
    CHECK_EQ(fk_place_enter(&A, "/home/me/main.py", 12, "transfer"), number);
    CHECK(fk_place_enter(&A, "/home/me/main.py", 13, "transfer") != number);
    CHECK(fk_place_enter(&A, "/home/me/main.py", 12, "transfers") != number);
    CHECK(fk_place_enter(&A, "/home/me/other.py", 12, "transfer") != number);
    const fk_place *p = fk_place_of(&A, number);
    CHECK(strcmp(p->file, "/home/me/main.py") == 0);
    CHECK(strcmp(p->function, "transfer") == 0);
    CHECK_EQ(p->line, 12);
}

TEST(a_number_that_was_never_given_is_no_place)
{
    found();
    CHECK(!fk_place_of(&A, 0));
    CHECK(!fk_place_of(&A, 1));
    CHECK(!fk_place_of(&A, FK_MAX_PLACES + 1));
    CHECK(!fk_place_of(&A, UINT32_MAX));
}

TEST(of_a_long_path_the_end_is_kept_and_of_a_long_name_the_beginning)
{
    found();
    char path[400], name[400];
    memset(path, 'p', sizeof path);
    memset(name, 'n', sizeof name);
    memcpy(path + sizeof path - 9, "/main.py", 9);
    memcpy(name, "begin", 5);
    name[sizeof name - 1] = 0;
    const fk_place *p = fk_place_of(&A, fk_place_enter(&A, path, 1, name));
    CHECK_EQ(strlen(p->file), sizeof p->file - 1);
    CHECK(strcmp(p->file + strlen(p->file) - 8, "/main.py") == 0);
    CHECK_EQ(strlen(p->function), sizeof p->function - 1);
    CHECK(strncmp(p->function, "begin", 5) == 0);
    path[sizeof path - sizeof p->file - 1] = 'x'; /* the first byte that is not kept */
    CHECK(fk_place_of(&A, fk_place_enter(&A, path, 1, name)) == p);
}

TEST(a_full_table_has_no_more_numbers)
{
    found();
    uint32_t first = fk_place_enter(&A, "a.py", 1, "f"), refused = 0;
    for (uint32_t line = 2; line < 2 * FK_MAX_PLACES; line++)
        refused += fk_place_enter(&A, "a.py", line, "f") == 0;
    CHECK(refused >= FK_MAX_PLACES - 2);
    CHECK_EQ(fk_place_enter(&A, "a.py", 1, "f"), first);
}

static int enter_some(void *unused)
{
    (void)unused;
    for (uint32_t i = 0; i < 20000; i++) {
        uint32_t line = chance(200) + 1;
        char name[32];
        snprintf(name, sizeof name, "f%u", line);
        const fk_place *p = fk_place_of(&A, fk_place_enter(&A, "b.py", line, name));
        CHECK(p && p->line == line && strcmp(p->function, name) == 0);
    }
    return 0;
}

TEST(many_may_enter_the_same_at_once)
{
    found();
    member m[4];
    for (int i = 0; i < 4; i++)
        m[i] = spawn_member(enter_some, NULL);
    for (int i = 0; i < 4; i++)
        CHECK_EQ(bury(m[i]), 0);
}

static int enter_one(void *unused)
{
    (void)unused;
    return fk_place_enter(&A, "c.py", 7, "g") == 0;
}

TEST(who_dies_as_it_enters_one_leaves_it_to_the_next)
{
    found();
    member dead;
    CHECK(dies_at("place.writing", 0, enter_one, NULL, &dead));
    const fk_place *p = fk_place_of(&A, fk_place_enter(&A, "c.py", 7, "g"));
    CHECK(p && p->line == 7 && strcmp(p->function, "g") == 0);
    CHECK(fk_reap(&A, dead.owner));
}

TEST_MAIN
