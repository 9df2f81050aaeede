/* Places: lines of the program, in a table of the family's, so that a number names one. */
#ifndef FK_PLACE_H
#define FK_PLACE_H

#include "arena.h"

/* The number of a place, entered if it is new. `file` and `function` end with a zero byte; of a long
 * path the end is kept, of a long name the beginning. 0: the table has no room for it. */
uint32_t fk_place_enter(fk_arena *a, const char *file, uint32_t line, const char *function);

/* The place of that number, or NULL. Works on a peeked arena; its texts end with a zero byte. */
const fk_place *fk_place_of(const fk_arena *a, uint32_t number);

#endif
