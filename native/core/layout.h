/* Every struct that lives in shared memory, and nothing else.
 *
 * Rules: offsets, never pointers (0 is "none"); every word that two processes touch is atomic;
 * every offset read from here goes through fk_at(), which checks its bounds; what one process
 * writes often does not share a cache line with what another does.
 *
 * The arena is one memfd of FK_RESERVE bytes, sparse: memory is used where it is touched.
 *
 *   0            header
 *   FK_SLOTS_AT  process slots     FK_MAX_SLOTS
 *   FK_BOARD_AT  the wait board    FK_MAX_PARKED
 *   FK_PLACES_AT lines of code     FK_MAX_PLACES
 *   FK_HEAP_AT   blocks            up to the end
 */
#ifndef FK_LAYOUT_H
#define FK_LAYOUT_H

#include <pthread.h>

#include "base.h"

#define FK_MAGIC UINT64_C(0x6c75666b726f6601)
#define FK_VERSION 4

#define FK_MAX_SLOTS 65535 /* an owner word has 16 bits for slot + 1 */
#define FK_MAX_PARKED 131072
#define FK_MAX_PLACES 8192
#define FK_MAX_OBITUARIES 256
#define FK_SLOTS_AT UINT64_C(0x10000)
#define FK_BOARD_AT UINT64_C(0x1100000)
#define FK_PLACES_AT UINT64_C(0x3000000)
#define FK_HEAP_AT UINT64_C(0x4000000)

/* ---- locks ------------------------------------------------------------------------------
 *
 * fk_lock.word
 *   0                      free
 *   0 ggg..ggg sss..sss    held by the process in slot s - 1, generation g (15 bits)
 *   1 ggg..ggg sss..sss    the same, and somebody sleeps on the word
 *
 * An owner word is the same without the top bit. It names a process for good: a slot that is
 * used again has another generation. (After 32,768 uses of one slot the generation repeats; a
 * lock that was orphaned that long ago would look held.)
 * Not fair, not re-entrant. */
typedef uint32_t fk_owner; /* 0: nobody */
#define FK_CONTENDED UINT32_C(0x80000000)
#define FK_OWNER_MASK UINT32_C(0x7fffffff)

typedef struct fk_lock {
    _Atomic uint32_t word;
} fk_lock;

/* An event count: sleep until somebody has changed something, without a lock.
 *   bit 0       somebody may sleep
 *   bits 1..31  epoch, one more at each notification that saw bit 0 */
typedef struct fk_ec {
    _Atomic uint32_t word;
} fk_ec;

/* ---- header ------------------------------------------------------------------------------ */

#define FK_CLASSES 44 /* block sizes 2^0 .. 2^43; the smallest used is 2^7 */
/* From 128 KiB a block is worth a system call to give its pages back; smaller ones lie in runs. */
#define FK_LARGE_CLASS 17
#define FK_PAGE UINT64_C(4096)

typedef struct fk_obituary { /* who a dead owner was, after its slot is in use again */
    _Atomic uint32_t owner;
    uint32_t pid;
    char name[56];
} fk_obituary;

typedef struct fk_header {
    uint64_t magic;
    uint32_t version;
    uint32_t header_size; /* sizeof(fk_header): two builds that disagree do not meet */
    uint64_t reserve;     /* bytes of the memfd */
    uint8_t id[16];       /* random; part of every pickled handle */

    /* heap (heap.c); `heap_lock` guards what follows it */
    fk_lock heap_lock FK_ALIGNED;
    _Atomic uint64_t heap_top; /* first byte never handed out */
    /* by class: freed large blocks, a stack, or the first run with room */
    _Atomic uint64_t heap_free[FK_CLASSES];
    _Atomic uint64_t heap_bare[FK_CLASSES]; /* those of which the kernel has the pages back */
    _Atomic uint64_t
        heap_runs[FK_LARGE_CLASS]; /* the newest run of a class; older ones by `older` */
    _Atomic uint64_t heap_at;      /* the run that is being changed, or was last */
    _Atomic uint64_t heap_kept;    /* pages that free large blocks keep */
    _Atomic uint64_t heap_runs_kept[FK_LARGE_CLASS]; /* and empty runs, by class */
    _Atomic uint64_t heap_used; /* bytes in blocks handed out (for statistics) */
    _Atomic uint64_t next_tag;
    fk_lock fill_lock; /* of who lets the kernel write into fresh blocks (fk_block_fill) */

    /* slots (slot.c) and board (board.c) */
    _Atomic uint32_t slot_high FK_ALIGNED; /* slots at and above were never used */
    _Atomic uint32_t slot_hint;            /* look for a free slot from here */
    _Atomic uint32_t board_high;
    _Atomic uint32_t obituary_next;
    _Atomic uint64_t last_reap_ns; /* the reaper looked round last; limits how often it does */
    _Atomic uint32_t reaped;       /* processes reaped so far */

    /* fk_header.watch: owner word (high half) and thread id of who has the watch (watch.h); 0: nobody.
     * 0 -> a thread by CAS, by itself; back by the same, or from a dead one by CAS by anybody. */
    _Atomic uint64_t watch;

    /* Who looks for a standstill (standstill.c), and when somebody did last. */
    _Atomic uint32_t looker; /* an owner; 0: whoever comes first */
    _Atomic uint64_t last_look_ns;
    fk_obituary obituaries[FK_MAX_OBITUARIES] FK_ALIGNED;
} fk_header;

_Static_assert(sizeof(fk_header) <= FK_SLOTS_AT, "the header ends before the slots");

/* ---- process slots ------------------------------------------------------------------------
 *
 * fk_slot.state, changed by the slot's keeper only
 *   FREE     -> RESERVED   by a parent that is about to start a child, or who joins for itself
 *   RESERVED -> RUNNING    by the process itself, once it holds `life`
 *   RESERVED, RUNNING -> REAPING   by the reaper, when the process is dead
 *   REAPING  -> FREE       by the reaper, generation one up
 *
 * fk_slot.keeper
 *   0          nobody changes the slot just now
 *   an owner   that process does
 *   1 ppp..p   process p does, which has no slot yet (top bit set)
 * Taken by CAS from 0, or from one that is dead: who dies as a keeper is replaced, and what it
 * had begun (a claim, a reaping) is begun anew.
 *
 * `life` is a robust mutex that the process locks when it enters and never unlocks: the kernel
 * marks its word when the process dies, by whatever cause, also before anybody has waited for
 * it. The others only read that word: a trylock would tell of the death once and not again. */
enum { FK_SLOT_FREE, FK_SLOT_RESERVED, FK_SLOT_RUNNING, FK_SLOT_REAPING };
enum {
    FK_SLOT_NO_LIFE = 1, /* joined from another thread than the main one: look at the pid */
    FK_SLOT_SERVES = 2,  /* a fork server: does nothing but what another process asks it to */
    FK_SLOT_SETTLED =
        4, /* has unpickled all that it was started with: gets no more handles by that */
};
#define FK_KEEPER_PID UINT32_C(0x80000000)

typedef struct fk_slot {
    _Atomic uint32_t state;
    _Atomic uint32_t generation;
    _Atomic uint32_t pid; /* 0 in a reserved slot whose child has no pid yet */
    _Atomic uint32_t parent;
    _Atomic uint32_t keeper;
    _Atomic uint32_t flags;
    _Atomic uint64_t
        pid_started;            /* start time of `pid`, field 22 of its stat, give or take a tick */
    _Atomic uint64_t pid_space; /* the PID namespace that `pid` is of; 0: not known */
    _Atomic uint64_t holds;     /* first chunk of the hold table */
    _Atomic uint64_t pid_checked_ns; /* 0: not yet; reserved: when the parent was found dead */
    pthread_mutex_t life FK_ALIGNED;
    char name[64] FK_ALIGNED;
} fk_slot;

#define FK_SLOT_STRIDE 256
_Static_assert(sizeof(fk_slot) <= FK_SLOT_STRIDE, "a slot fits its stride");
_Static_assert(FK_SLOTS_AT + (uint64_t)FK_SLOT_STRIDE * FK_MAX_SLOTS <= FK_BOARD_AT, "slots fit");

/* ---- the wait board -------------------------------------------------------------------------
 *
 * One entry for each thread that has ever blocked, claimed by CAS on `owner`, written by that
 * thread only. `seq` is odd while it writes; a reader that saw it odd or changed reads again.
 *
 * A wait is one from its beginning to its end: through all the slices that it sleeps in, and `waits`
 * is its number. Within it, the thread is in the kernel exactly while `nap.count` is odd. What
 * it does for the wait's end (it takes the item, the lock) it does after it has made the count even,
 * and then it sleeps no more with an odd one until the wait has left the board. */
typedef struct fk_nap {
    _Atomic uint32_t count;    /* odd: asleep. One up before each sleep, and one after it */
    _Atomic uint32_t expected; /* asleep on a futex: only while its word is this */
    _Atomic int64_t word;      /* and how many bytes that word is away from here; 0: on no futex */
    _Atomic uint32_t quiet;    /* 1: looked at in this wait, and nothing but others can rouse this
                                  process (no timer, no handler of SIGINT). 0: not known */
} fk_nap;

typedef struct fk_parked {
    _Atomic uint32_t owner; /* 0: free entry */
    _Atomic uint32_t seq;
    _Atomic uint32_t tid;
    _Atomic uint32_t op; /* an FK_OP_...; 0: does not wait */
    _Atomic uint64_t object;
    _Atomic uint64_t since_ns;
    _Atomic uint64_t deadline_ns;
    _Atomic uint32_t line;
    _Atomic uint32_t waits; /* how often this thread has begun to wait */
    _Atomic char file[80];  /* the end of the path when it is longer */
    fk_nap nap FK_ALIGNED;
} fk_parked;

#define FK_PARKED_STRIDE 192
_Static_assert(sizeof(fk_parked) <= FK_PARKED_STRIDE, "an entry fits its stride");
_Static_assert(FK_BOARD_AT + (uint64_t)FK_PARKED_STRIDE * FK_MAX_PARKED <= FK_PLACES_AT,
               "the board fits");

/* ---- places -----------------------------------------------------------------------------------
 *
 * Lines of the program on which locks were taken. Entered once, never changed, never given back.
 *
 * fk_place.state
 *   EMPTY   -> WRITING   by CAS, by who enters it
 *   WRITING -> READY     by the same. If it dies before, the entry is lost
 * Whoever looks goes on past an entry that is WRITING, so that one place may stand there twice. */
enum { FK_PLACE_EMPTY, FK_PLACE_WRITING, FK_PLACE_READY };

typedef struct fk_place {
    _Atomic uint32_t state;
    uint32_t hash;
    uint32_t line;
    char file[112]; /* the end of the path when it is longer */
    char function[68];
} fk_place;

_Static_assert(sizeof(fk_place) == 192, "places are packed");
_Static_assert(FK_PLACES_AT + sizeof(fk_place) * FK_MAX_PLACES <= FK_HEAP_AT, "the places fit");

/* ---- blocks ---------------------------------------------------------------------------------
 *
 * A block spans 2^klass bytes, this head included. Free blocks have tag 0.
 *
 * fk_block.refs
 *   bits 0..30    live holds
 *   bit 31        a queued message or a table owns the block; set and cleared, never counted, so
 *                 that whoever settles for a dead process may clear it once more
 *   bits 32..63   pickled copies under way
 * The block is destroyed by whoever brings the word to 0. */
enum {
    FK_KIND_RAW = 1, /* bytes: a large message, a chunk of a table, a segment */
    FK_KIND_LOCK,
    FK_KIND_RLOCK,
    FK_KIND_SEMA,
    FK_KIND_EVENT,
    FK_KIND_COND,
    FK_KIND_QUEUE,
    FK_KIND_WORDS,
    FK_KIND_PARCEL, /* bytes behind an fk_parcel */
    FK_KIND_MEMORY, /* bytes that users share, behind their number */
    FK_KIND_TABLE,
    FK_KIND_ITEM, /* an fk_item, of one row of a table */
    FK_KINDS,
};

typedef struct fk_block {
    _Atomic uint64_t tag;
    _Atomic uint64_t refs;
    _Atomic uint64_t next; /* in a free list */
    uint32_t klass;
    uint32_t kind;
    uint32_t pages; /* of a large block: it has so many at most, free or not */
    uint32_t fresh; /* 1: it may have had less when it was taken into use */
    /* 1: a handle was pickled otherwise than for a child that is being started, so that whoever has
     * the bytes may make another handle of them, any time. */
    _Atomic uint32_t travelled;
    uint64_t size; /* usable bytes that were asked for */
} fk_block;

#define FK_BLOCK_HEAD 64

/* The head of a run of small blocks (run.h), in the place of its first. `free`, `carved` and `bare` are what counts,
 * each changed by one store under `heap_lock`; the rest follows from them.
 *
 *   with room   some slots are free; linked with the others of its class
 *   full        in no list
 *   bare        no block is in use, the pages are the kernel's; on the stack of its class's bare ones
 *
 * with room -> full    by the take of its last slot
 * full -> with room    by the first give
 * with room -> bare    when all are free, by the store of `bare`
 * bare -> with room    when the class has no other with room */
typedef struct fk_run {
    uint64_t no_tag;        /* 0: nobody takes it for a block that is in use */
    _Atomic uint64_t free;  /* the first of the freed blocks, a stack */
    _Atomic uint64_t next;  /* with room or bare: in the list or stack */
    _Atomic uint64_t prev;  /* with room: in the list */
    _Atomic uint64_t older; /* of the class; set once */
    uint32_t klass;
    _Atomic uint32_t carved; /* slots from here on are as they came from the kernel */
    _Atomic uint32_t bare;
    _Atomic uint32_t listed;
    _Atomic uint32_t used; /* blocks that are in use, or lost with who died */
    _Atomic uint32_t kept; /* pages of it that count as kept, as it is empty */
} fk_run;

_Static_assert(sizeof(fk_run) <= 128, "a run's head is a slot of the smallest class");

/* What a message of kind FK_KIND_PARCEL begins with: the objects that it keeps alive on their way,
 * with a ref of each. They are given up with the block, whether or not anybody has read it. */
typedef struct fk_parcel {
    uint64_t n;
    _Atomic uint64_t off[]; /* 0: not yet */
} fk_parcel;

/* What a block of kind FK_KIND_MEMORY begins with. */
typedef struct fk_memory {
    uint64_t size; /* of the bytes; set once, before anybody but the maker has a handle */
    uint64_t pad;
    uint8_t bytes[]; /* from a multiple of 16, as every C type may need */
} fk_memory;

_Static_assert(sizeof(fk_block) <= FK_BLOCK_HEAD, "the head fits");

/* ---- hold tables ----------------------------------------------------------------------------
 *
 * An entry says: this process holds the block at `off`. What the process must give back if it
 * dies stands beside it: permits of a semaphore taken by `with` (`taken`), items of a joinable
 * queue in its hands (`taken` less `finished`).
 *
 * A change of `taken` belongs to a commit elsewhere. It is written as `pending` and `claim` (the
 * number that the commit will store) first; after the commit `taken` = `pending`, `claim` = 0.
 * The object's `txn` points at the entry meanwhile, so that whoever takes the object's lock over
 * from a dead owner settles it: committed if the object's number has reached `claim`.
 * `finished` changes under another lock than `taken`: see fk_queue.done_lock.
 *
 * fk_hold.dropping, in which states `claim` is the block's tag
 *   0 -> DROPPING            before the ref is given up. If the process dies so, the ref has been
 *                            given up, or is lost: the reaper leaves it alone
 *   DROPPING -> DESTROYING   when it was the last one. If the process dies so, the reaper destroys
 *                            what is left of the block */
enum { FK_DROPPING = 1, FK_DESTROYING };

typedef struct fk_hold {
    _Atomic uint64_t off; /* 0: free entry */
    _Atomic uint64_t claim;
    _Atomic uint32_t taken;
    _Atomic uint32_t pending;
    _Atomic uint32_t finished;
    _Atomic uint32_t dropping;
} fk_hold;

#define FK_HOLDS_PER_CHUNK 125

typedef struct fk_hold_chunk {
    _Atomic uint64_t next;
    fk_hold hold[FK_HOLDS_PER_CHUNK];
} fk_hold_chunk;

_Static_assert(sizeof(fk_hold_chunk) + FK_BLOCK_HEAD <= 4096, "a chunk is a page");

/* ---- nouns ------------------------------------------------------------------------------------ */

/* fk_user_lock.place: where the owner has taken the lock (place.h); 0: not known, or not yet said.
 * Written by the owner, after it has taken the lock; back to 0 by who releases it, before it does. So it
 * is never a former owner's, unless the lock was released twice at once. */
typedef struct fk_user_lock {
    fk_lock lock;
    _Atomic uint32_t place;
} fk_user_lock;

/* fk_rlock begins as fk_user_lock. fk_rlock.holder: owner word (high half) and thread id (low half) of
 * who holds `lock`; 0: nobody, or one that is just about to say so. Only the holder finds itself here:
 * a thread of another process that has the same id has another owner word. `count` means something to
 * the holder. */
typedef struct fk_rlock {
    fk_user_lock user;
    _Atomic uint64_t holder;
    _Atomic uint32_t count;
} fk_rlock;

/* fk_sema.state: low 32 bits: value; high 32 bits: ticket.
 * A permit that goes into no entry is a step of the value, (t, v) -> (t, v +- 1), by anybody. A change with an
 * entry is (t, v) -> (t + 1, v +- n), which commits it; `lock` is held for it. */
typedef struct fk_sema {
    fk_lock lock;
    fk_ec ec;
    _Atomic uint64_t state;
    _Atomic uint64_t txn; /* where the hold entry of the change under way is; 0: none */
    uint32_t max;
    _Atomic uint32_t returned; /* permits given back for processes that died */
} fk_sema;

/* fk_event.word
 *   bit 0       set
 *   bit 1       somebody may sleep
 *   bits 2..31  epoch: how often it was set; a sleeper that was woken and finds the event
 *               cleared again knows by it that it was set in between */
typedef struct fk_event {
    _Atomic uint32_t word;
} fk_event;

/* fk_node.owner: whose the node is, taken by CAS from 0 or from a dead process, given up by its
 * owner. fk_node.state: FREE -> WAITING and back by the owner; WAITING -> NOTIFIED by a notifier
 * (who holds the condition's lock; CAS); NOTIFIED -> FREE by the owner. A dead owner's state
 * means nothing. */
enum { FK_NODE_FREE, FK_NODE_WAITING, FK_NODE_NOTIFIED };

typedef struct fk_node {
    _Atomic uint32_t state;
    _Atomic uint32_t owner;
    _Atomic uint64_t ticket; /* order of arrival */
} fk_node;

#define FK_NODES_PER_CHUNK 60

typedef struct fk_node_chunk {
    _Atomic uint64_t next;
    fk_node node[FK_NODES_PER_CHUNK];
} fk_node_chunk;

typedef struct fk_cond {
    _Atomic uint64_t next_ticket;
    _Atomic uint64_t chunks; /* further fk_node_chunk blocks */
    fk_node node[6];
} fk_cond;

/* A queue: a chain of segments of messages, in the order put.
 *
 * Each end has a lock and two cursors; `version & 1` selects the valid one. A change writes the
 * other cursor and then stores version + 1: that store is the commit. Who only looks (a consumer
 * at the tail, a producer at the head) reads version, cursor, version again.
 * tail.seq - head.seq is the length. */
typedef struct fk_cursor {
    _Atomic uint64_t seq; /* messages that have passed this end */
    _Atomic uint64_t seg; /* segment of the next message */
    _Atomic uint64_t pos; /* and where in it */
} fk_cursor;

typedef struct fk_end {
    fk_lock lock FK_ALIGNED;
    /* What the change under way does beside its commit. Valid if `log_seq` is not 0: the change
     * has committed if the cursor's seq has reached it. At the head: give up, once committed, the
     * drained segment and the queue's claim to the large block. At the tail: give up the claim to
     * the large block unless committed. Each is struck out before it is done: one that dies in
     * between leaves a block unused, and nobody ever does it to the block's next user. */
    _Atomic uint64_t log_seq;
    _Atomic uint64_t log_segment;
    _Atomic uint64_t log_block;
    _Atomic uint64_t version FK_ALIGNED;
    fk_cursor cursor[2];
    /* The seq of the other end as it was once, hence never more than it is: as long as that is enough, the
     * line in which the other end writes its own all the time stays with it. */
    _Atomic uint64_t other;
    /* Who waits at this end sleeps here: consumers at the head, producers at the tail. The other end
     * reads it each time, so nothing that changes each time is in its line. */
    fk_ec ec FK_ALIGNED;
} fk_end;

typedef struct fk_segment {
    _Atomic uint64_t next;
    uint64_t size; /* bytes of data[] */
    uint32_t _pad[12];
    uint8_t data[];
} fk_segment;

enum { FK_MSG_INLINE = 1, FK_MSG_BLOCK, FK_MSG_JUMP };

/* A message in a segment: head, then `size` bytes, padded to 16. FK_MSG_BLOCK: the bytes are an
 * fk_msg_block. FK_MSG_JUMP: go on in the next segment. `meta` is the sender's. */
typedef struct fk_msg {
    uint32_t size;
    uint32_t kind;
    uint64_t meta;
} fk_msg;

typedef struct fk_msg_block {
    uint64_t off;
    uint64_t tag;
} fk_msg_block;

/* What became of the items taken from a joinable queue. */
typedef struct fk_tally {
    _Atomic uint64_t done; /* reported as done, or reported as lost */
    _Atomic uint64_t lost; /* in the hands of processes that died, not yet reported */
} fk_tally;

/* An item of a redelivering queue that was taken and is not done (hands.c). Its block stays the
 * queue's (FK_REF_QUEUED). All but `taker` and `tid` stay as they are until the place is free again.
 *
 * fk_hand.taker
 *   bits 0..31   owner word of who has it. Of a dead one: it may be given to another
 *   bits 32..63  how often it was taken
 * head.lock guards the table. A take of a message counts if the head's seq is beyond `seq`; giving it
 * to another commits with the store of `taker`; it is done with the store of 0 in `block`.
 * fk_queue.txn is where the hand is that is being filled or emptied. */
typedef struct fk_hand {
    _Atomic uint64_t block; /* 0: free */
    _Atomic uint64_t taker;
    _Atomic uint64_t seq;
    _Atomic uint64_t meta;
    _Atomic uint32_t tid; /* which of the taker's threads */
    uint32_t pad;
} fk_hand;

#define FK_HANDS_PER_CHUNK 100

typedef struct fk_hand_chunk {
    _Atomic uint64_t next; /* chunks are added, and go with the queue */
    fk_hand hand[FK_HANDS_PER_CHUNK];
} fk_hand_chunk;

_Static_assert(sizeof(fk_hand_chunk) + FK_BLOCK_HEAD <= 4096, "a chunk is a page");

typedef struct fk_queue {
    uint64_t maxsize;       /* 0: no bound */
    _Atomic uint32_t shut;  /* 0 open, 1 no more puts, 2 no more gets either; tail.lock guards it */
    uint32_t joinable;      /* counts items in hand and unfinished ones */
    _Atomic uint64_t spare; /* a drained segment, kept for the next use */
    _Atomic uint64_t txn;   /* joinable: where the hold entry of the get under way is */
    _Atomic uint64_t hands; /* redelivering: the first fk_hand_chunk */
    uint32_t redeliver;     /* how often an item may be given to another consumer; 0: never */
    uint32_t pad;
    _Atomic uint64_t cut; /* immediate shutdown: 1 + the head's seq from which all was dropped */
    fk_end head;          /* consumers */
    fk_end tail;          /* producers */

    /* `done_lock` guards the rest (of a redelivering queue, head.lock does, and only tally[0].done
     * has a meaning: the head's seq less the items in hand). Which tally is valid and how it is committed: as with cursors. A
     * change may set a hold entry's `finished`: log_version is what the commit will store (0:
     * none), log_hold the entry, log_finished its new value. */
    fk_lock done_lock FK_ALIGNED;
    fk_ec done_ec;
    _Atomic uint64_t done_version;
    fk_tally tally[2];
    _Atomic uint64_t log_version;
    _Atomic uint64_t log_hold;
    _Atomic uint32_t log_finished;
} fk_queue;

/* A table: the rows of a shared dict or list, in their order, and for a dict an index of them.
 *
 * fk_row.item
 *   0            nothing: struck out, or not yet written
 *   an offset    the block of the row's fk_item, which the row owns (FK_REF_QUEUED)
 * The store of this word commits whatever changes one row; the store of fk_table.root commits what
 * replaces all rows at once. All else (index, used, filled, live) follows from the rows.
 *
 * fk_row.hash
 *   bits 0..62   hash of the key; 0 in a list
 *   bit 63       the item goes with its rows, if it is these that are given up: see fk_table.making */
#define FK_ROW_GOES (UINT64_C(1) << 63)

typedef struct fk_row {
    _Atomic uint64_t item;
    _Atomic uint64_t hash;
} fk_row;

/* Behind the rows, from row[capacity]: `slots` words of 32 bits, the index (open addressing).
 *   0            never used
 *   n            row n - 1, which may have been struck out
 *   UINT32_MAX   was a row that is not in use any more */
#define FK_SLOT_LEFT UINT32_MAX

typedef struct fk_rows {
    uint64_t capacity;
    uint64_t slots;        /* a power of two; 0: no index */
    _Atomic uint64_t used; /* rows at and above were never written, or have been taken back */
    uint64_t filled;       /* slots that are not 0 */
    fk_row row[];
} fk_rows;

/* What a row stands for: the key that tells it from others, the key as it was given (pickled; none if
 * the first tells it), the value (pickled). */
typedef struct fk_item {
    _Atomic uint64_t value_block; /* not 0: the value is this block, which the item owns */
    uint32_t key_size;
    uint32_t given_size;
    uint32_t value_size;
    uint32_t odd;    /* 1: the key is equal to another one if == says so, not by its bytes */
    uint8_t bytes[]; /* key, key as given, value */
} fk_item;

/* `lock` guards all of it. Two kinds of change, and what whoever takes the lock over settles:
 *
 * log_word, if not 0: the word of a row that is being changed from log_old to log_new. If it is
 *   log_new, that has happened and log_old is given up; if not, log_new is.
 * making, if not 0: rows that are being written to take the place of `leaving`. If they are the
 *   root, that has happened and `leaving` is given up; if not, they are. With either go the items that
 *   are marked so (FK_ROW_GOES); the others are in both.
 * What is given up is struck out first, and so never given up twice. */
typedef struct fk_table {
    fk_lock lock;
    uint32_t indexed;         /* 1: a dict */
    _Atomic uint64_t root;    /* the rows */
    _Atomic uint64_t live;    /* rows with an item */
    _Atomic uint64_t version; /* changes so far, or more */
    _Atomic uint64_t odd;     /* odd keys added so far, or more */
    _Atomic uint64_t log_word;
    _Atomic uint64_t log_old;
    _Atomic uint64_t log_new;
    _Atomic uint64_t making;
    _Atomic uint64_t leaving;
} fk_table;

#endif
