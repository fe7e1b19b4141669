"""All limits of the package: sizes, counts and times, by layer, each with its unit.

Elsewhere: of records and messages (`msgpack`), output (`runs.layout`, `runs.line_times`), ids (`runs.ids`), scalars
and metrics (`artifacts.scalar`, `runs.metrics`), the index of runs (`runs.lookup`) and gangs (`flow.transition`).
"""

# ---- Names, and what settings say where nobody has set them ----
MAX_REF_COMPONENT = 250
"""Bytes of a part of a ref's name: a file name has 255, and a lock's suffix comes on top."""
MAX_STEP_NAME = 200
"""Characters of a step's name, which directories in a run's tree have, with files below them."""
MAX_ARTIFACT_NAME = 200
"""Bytes of an artifact's name as a file is called by it in `data/`; the codec's suffix comes on top."""
MAX_TAG_LENGTH = 500
"""Characters of a tag; Metaflow's limit."""
MAX_USER_TAGS = 50
"""Tags that users give one run; Metaflow's limit."""
MAX_FILE_SIZE = 50 << 20
"""Bytes of the largest untracked file that a snapshot takes (`runs.snapshot.maxFileSize`)."""
MAX_LOG_SIZE = 10 << 20
"""Bytes of a task's output that are kept (`runs.maxLogSize`)."""
LONGEST_VERSION_NUMBER = 1_000
"""Digits of a number in a tag that is a version; Python converts no more than 4,300."""
PICKLED_DEPTH = 40_000
"""Recursion limit with which pickle, in C, fits on a stack of 8 MB: 13,000 objects, each in the one before it."""
CALLS_ON_STACK = 8_000
"""Calls of Python functions that fit there with Python 3.10; later ones keep them elsewhere."""
KEPT_CODE_COMMITS = 256
"""Commits of code that are not parsed again: many runs of a list have the same."""
KEPT_FLOW_NAMES = 16
"""Names of flows that are not checked again: each task's record has one."""
KEPT_TASK_NAMES = 256
"""Names of tasks that are not parsed again."""
SKIPPED_IN_C = 32 << 10
"""Bytes of a record that msgpack's own parser looks through before it is decoded: the parser copies them."""

# Values as text.
PRINT_SIZE = 4 << 20
"""Characters of a value that are printed."""
PRINT_NODES = 200_000
"""Parts of a value up to which Python itself is asked for its text; larger ones are written piece by piece."""
PRINT_DEPTH = 200
"""How deep they may lie in one another; Python gives up at a thousand."""
PRETTY_SIZE = 256 << 10
"""Characters of a value up to which `pprint` lays it out: it takes seconds for a megabyte."""
PRINT_SECONDS = 10.0
"""For which code of the user may go on to say what a value is."""

# ---- Git: objects, packs, refs, remotes ----
MINIMUM_GIT = (2, 34)
"""The oldest git that works: before 2.33.1 `git update-ref --stdin` answers when it ends, and not before."""
WALKS_BESIDE = 200
"""How often git is asked which refs lead to what is lost, of which many may be; each time for half of those before."""
GIT_ALLOCATION = 32 << 20
"""Bytes that git may take at once where it reads objects that may be anybody's."""
FETCH_ALLOCATION = 64 << 20
"""The same where it receives them: a list of 700,000 objects."""
FETCH_STREAMED = 8 << 20
"""Bytes of a file from which on git does not hold it when it receives it."""
MAX_MESSAGES = 1 << 20
"""Bytes of git's messages that are looked at."""
LISTED = 16 << 20
LISTED_SHARE = 40
"""Bytes that git may list of refs and their commits, and as many times the bytes of the packed refs."""
LOOSE_REF = 8 << 10
"""Bytes of the file of a ref, which may name another one."""
PACKED_REFS = 1 << 30
"""Bytes of `packed-refs`: ten million refs."""
LISTED_COMMIT = 32 << 10
"""Bytes of the commit of a run; ours have a few hundred, and a signature."""
INFO_ROUNDS = 20
"""How often git is asked on where it has ended at a tree that it can't read."""
REFS_A_COMMAND = 1_000
"""Names of refs in one argument list."""
FEW_LOOSE = 200
"""Loose refs that are read one by one: git, which needs a process for it, takes less for more of them."""
FEW_REFS = 8
"""Up to so many refs of a transaction are synced one by one, more by one sync of their file system."""
SYNCFS_TELLS = (5, 8)
"""The first Linux whose `syncfs` tells of errors."""
REFS_A_PUSH = 100
"""Refs that one push names: some hosts refuse more."""
MAX_NAMESAKES = 64
"""Refs of one number that a remote may have before only those are looked at that may be the run in question."""
LOST_A_FETCH = 100
"""Runs that may turn out not to be had, each after ten fetches of halves; what is left then is not tried."""
LOST_AGAIN = 3
"""Runs that could not be had before and are asked for again by one fetch, in turns."""
LOST_KEPT = 100_000
"""Runs that are noted as such."""
REFS_LISTED = 512 << 20
"""Bytes of memory that git gets to list the refs of a remote, which may never end: a million and a half of them."""
REFS_A_FETCH = 1_000
"""Objects that one fetch names."""
CUT_DEPTH = 1_000
"""Commits back from a branch's tip at which a fetch of runs says that our history begins."""
PLACE_DIGITS = 20
"""Hexadecimal digits of the digest of a remote's URL that its tracking copies lie under."""
SYMBOLIC_DEPTH = 5
"""Symbolic refs that are followed to one ref, as git follows them."""
LOCK_PATIENCE = 30.0
"""Seconds to wait for the lock of a ref."""
LOCK_PAUSES = (0.001, 0.1)
"""Seconds between two attempts to lock a ref: at first, and at most."""
LOCK_OURS = 0.25
"""Seconds that a lock must stay as it is that a killed process of ours was about to take; git holds it for less."""
GC_PID_SIZE = 1_000
"""Bytes that are read of the file in which a `git gc` says who it is."""
MAX_JOURNAL = 16 << 20
"""Bytes of a journal of locks that is read: it has a line of about 100 for each ref of a transaction."""
LOCK_STALE = 10.0
"""Seconds after which a lock that does not change has no owner any more; git holds one for milliseconds."""
LOCK_ABANDONED = 3_600.0
"""The same for locks that nobody waits for."""
TRANSACTION_GRACE = 5.0
"""Seconds that git gets to end the transaction it has begun when we are interrupted."""
TRANSACTIONS_A_PROCESS = 500
"""Transactions after which another git goes on: it maps the packs it has met, and keeps those that are gone."""
SNAPSHOT_IN_MEMORY = 16 << 20
"""Bytes of new objects that a snapshot holds in memory; more lie in a file until they are written."""
SNAPSHOT_RELEASED = 4 << 20
"""Bytes of that file that are in memory at a time."""
SNAPSHOT_TRIES = 5
"""Times that git is asked again when it ends because somebody has written a file that it was reading."""
SNAPSHOT_FEW_CHANGES = 1_000
"""Changes up to which the trees of a snapshot are made by us and not from an index of all files."""
CODE_IS_YOUNG = 1.0
"""Seconds before its snapshot from which on a change of a file of code is looked at: clocks of disks are coarse."""
SNAPSHOT_ABANDONED = 86_400.0
"""Seconds after which the files of a snapshot are those of a process that was killed."""

GC_PID_VALID = 12 * 3_600.0
"""Seconds after which git itself takes `gc.pid` for a dead process's."""
MAINTENANCE_LOCK_VALID = 6 * 3_600.0
"""The same for `maintenance.lock`, which git believes for ever; a killed one would stop us for ever."""

FOLD_BEYOND = 16
"""Small packs that may gather before they are folded."""
LARGE_PACK = 128 << 20
"""Packs of this many bytes are never folded."""
LARGE_INDEX = 2 << 20
"""Packs whose index has this many bytes (75,000 objects) are never folded: their ids are compared in memory."""
FOLD_PACKS = 500
"""Packs that one fold takes at most; of their bytes, and of their indexes', it takes twice the above."""
FOLD_SECONDS = 120.0
"""A fold that takes longer is given up."""

# Packs. Where nothing else is said, bytes.
KEEP_GRACE = 3_600.0
"""Seconds for which the packs of dead owners stay kept: the scheduler may be about to publish them."""
FOREIGN_KEEP_GRACE = 7 * 86_400.0
"""The same for owners on other machines, whose processes can't be asked."""
WRITE_TRIES = 3
"""Times that a pack is written while somebody removes the place for it."""
PACK_BY_THREADS = 1 << 20
"""Packs from this size on are written by several threads, if the objects are not tiny."""
OBJECTS_BY_THREADS = 32 << 10
"""The average size from which on they are not tiny."""
PACK_AHEAD = 16 << 20
"""Objects whose entries are made before there is space for them."""
PACK_BUFFER = 1 << 20
"""Below the size of a huge page, which a forked task would fill with zeros for a few bytes."""
LARGE_PACK_BUFFER = 8 << 20
"""The same where threads write: half of it takes 10 % longer, for each direct write has its price."""
PACK_BUFFERS = 3
"""How many there are: one is filled while others are hashed and written."""
DIRECT_FROM = 16 << 20
"""Packs expected to be at least this large are written past the page cache. Measured: from 4 MiB on, direct writes
take half the time of buffered ones, a third from 64 MiB; the first read afterwards comes from the disk. At 16 MiB,
writing and one reading together are faster than buffered."""
WRITE_BACK = 32 << 20
"""What others write is sent to the disk in such steps, so that the last fsync finds little to do."""
DEFLATE_FROM, SMALL_TREE = 128, 512
"""Smaller data, and trees, are stored: deflate rarely beats the 11 bytes of its frame, and can't shrink ids."""
ESTIMATE_UP_TO = 4 << 10
"""For data up to this size deflate with fixed codes is a cheap estimate: 3 us instead of 30 for noise."""
SAMPLE, SAMPLES = 4 << 10, 8
"""How many samples of larger data are deflated before the whole is."""
DEFLATE_BY_STEPS = 4 << 20
"""Larger data is not held a second time while it is deflated."""
DEFLATE_STEP = 4 << 20
CHECKSUM_BY_VECTORS = 32 << 10
"""From here on the checksums of zlib-ng pay for its import."""
OPEN_PACKS = 100
"""Packs of a process that are kept open, at most: packs may be thousands."""
READ_INDEX_UP_TO = 1 << 20
"""Larger indexes are mapped."""
READ_FILE_UP_TO = 64 << 10
"""Smaller packs and loose objects are read when they are opened: an open file takes a descriptor."""
INFLATE_AT_ONCE = 64 << 10
INFLATE_FEED = 256 << 10
"""Read from a file for one step of inflating."""
INFLATE_STEP = 1 << 20
"""What comes out of one step, at most."""
HASHED_ALONE = 8 << 10
"""Bytes of an object up to which it is hashed without OpenSSL."""
HASHED_IN_ALL = 256 << 10
"""Bytes that a process hashes so: after them loading OpenSSL pays."""
ROWS_AT_A_GLANCE = 128
"""Rows of a pack's index that are searched as bytes and narrowed down no more."""
ROWS_A_FIND = 30
"""Rows of a pack's index that are gone through in the time in which one id is found."""
SMALL_ENTRY = 4096
"""Bytes of a pack that are read at once where an entry begins, and of an object that may lie in them."""
NEIGHBOURS = 64 << 10
"""Bytes of a pack that are read at once where many small objects are read in their order."""
DELTA_BASES = 256
"""Small objects of a pack that are kept for the deltas of others: git makes chains of 50."""
STREAM_HEAD = 4096
"""Read where only the beginning of a stream is wanted."""
BEST_RATIO = 1040
"""How many times its size a zlib stream can hold, and a little more: deflate shrinks 1,032 times at best."""
VIEWS_A_CALL = 1024
"""Buffers that Linux fills in one `preadv`."""
MAX_PACK_NAMES = 16 << 20
"""Names of packs in a multi-pack-index; more is taken for damage."""
ALTERNATES_DEPTH = 5
"""Object directories that borrow from one another, as in git."""
MAX_ALTERNATES = 1_000
"""Of them in all."""
MAX_ALTERNATES_FILE = 1 << 20
"""Bytes that are read where one says from which it borrows."""
DELTA_DEPTH = 4_095
"""Deltas between an object and what it is made from: git makes no longer chains."""
BASE_RATIO = 4
"""How many times the size of what it is read for an object may have that it is made from by deltas."""
SMALL_BASE = 1 << 20
"""The same in bytes, where that is more."""
DELTA_WORK = 1 << 30
DELTA_SHARE = 64
"""To apply the deltas of one object so many bytes are copied, half a second's, and as many times its own limit."""
INSTRUCTION_COST = 2 << 10
"""What an instruction of a delta counts among them."""
READ_ATTEMPTS = 5
"""Times that an object is looked for while packs come and go."""
RACY = 100_000_000
"""Nanoseconds within which a directory may change and keep its time: such a listing is not relied on."""

MAX_SIGNATURE = 16 << 10
"""Bytes of a commit's signature: by ssh 300, by gpg 1,000, with a chain of certificates 10,000; see LISTED_COMMIT."""
MAX_ADDRESS = 1_000
"""Characters of a committer's address that a program is asked about."""
SIGNED_STATES = 1_000
"""Commits of an unsigned run among which is looked for one that is signed."""
SIGNATURE_SECONDS = 60.0
"""For which a program that makes or checks signatures may go on: it may wait for a passphrase or a touch."""

MAX_DIFF_LINES = 20_000
"""Changed lines of a file that a difference holds as values; of more it holds how many there are."""
MAX_DIFF_LINES_IN_ALL = 100_000
"""The same of all files of a difference."""
DIFFED_FILES = 200_000
"""Files that may differ between two trees that are compared."""
DIFFED_FILE = 32 << 20
"""Bytes of a file that differs; where one is larger, it is said which files differ, and of none in which lines."""
DIFFED_IN_ALL = 64 << 20
"""The same of all files that differ, on both sides: one blob may have thousands of names."""
DIFF_WORK = 500_000_000
"""Steps of comparing the lines of all files of a difference; libgit2 makes a quarter of a billion in a second."""
DIFF_WORK_UNSEEN = 10_000_000
"""Steps that a file may take before its lines are looked at to see whether it does."""
DIFF_LINES_SEEN = 2_000_000
"""Lines of both sides of a file that are looked at; of one with more it is said that it differs."""
CODE_DIFF_SECONDS = 4
CODE_LOG_SECONDS = 30
"""Seconds of processor time that git gets for two trees of code, and for those of all runs."""
MAX_RENAMES = 1_000
"""Files among which renames are looked for, as in git."""

USABLE_CPUS = 4
"""Threads that are worth starting: beyond that memory is the limit."""

# Objects that may be anybody's: bytes of the largest that is read. What we write is far smaller.
RECORD_SIZE = 8 << 20
"""An INFO or TASK: the chunks of 140 GB are listed in as much."""
TREE_SIZE = 8 << 20
"""A directory of 200,000 files or tasks."""
RUN_TREE_SIZE = 4 << 20
"""A directory of a run: 120,000 tasks of a step."""
COMMIT_SIZE = 1 << 20
TIMES_SIZE = 5 << 20
"""The times of the lines of a task's output."""
OUTPUT_NOTES = 1 << 20
"""Output of a task beyond `runs.maxLogSize`, where it is wanted whole: what was left out is said in it."""
CODE_TEXT = 8 << 20
"""A flow's file as text."""
LINK_SIZE = 4_096
"""Where a symbolic link leads to; Linux ends paths there."""
OWN_FILE = 1 << 50
"""A file of the user's own work tree, whatever it has."""
MAX_DELTA_BLOB = 100 << 20
"""A file that git has made from others by deltas and that is therefore read whole; hosts refuse larger ones."""

# ---- Artifacts: payloads, chunks, values ----
INLINE_LIMIT = 64 << 10
"""Payloads of a task that are, together, sent to the scheduler instead of being written as a pack."""

# Chunks: far below the 100 MB that hosts of repositories accept for a blob, far above what a tree entry costs.
WHOLE = 1 << 20
"""A payload, and a part of one, of up to this size is not cut."""
MIN_CHUNK = 256 << 10
AVERAGE_CHUNK = 1 << 20
MAX_CHUNK = 4 << 20
CREDIBLE_CHUNK = 64 << 20
"""The largest chunk that a manifest may list: memory is set aside by what it says."""
PICTURE_SIZE = WHOLE
"""Bytes of the picture of a figure: one blob."""
PICTURE_PIXELS = 4_000_000
"""Larger figures are drawn smaller."""
PICTURE_TRIES = 3
"""Times that a picture is drawn, each time half as wide and high, until it is small enough."""
PICTURE_SECONDS = 10.0
"""For which the figures of one task may be drawn, all together."""
PREVIEW_SIZE = 4 << 10
"""Bytes of a preview in a manifest."""
PREVIEW_TEXT = 2_400
"""Characters, and bytes, of a preview's text."""
PREVIEW_FACTS = 1_400
"""Bytes of a preview's facts."""
PREVIEW_ITEMS = 100
"""Items of a container, and of a small array, that a preview shows."""
PREVIEW_STRING = 400
"""Characters of a text, and bytes of a string of bytes, that a preview shows."""
PREVIEW_HEAD = 8
"""Rows and columns of a table, and items of a long array, that a preview shows."""
PREVIEW_DEPTH = 12
"""How deep a preview looks into a value."""
REPR_UP_TO = 1 << 20
"""Bytes of a stored value whose classes are asked for a text: some take seconds for a large one."""
STATISTICS_UP_TO = 32 << 20
"""Bytes of an array whose least, greatest and mean value a preview has: 10 ms."""
TINY_PART = 64 << 10
"""Parts below this share a chunk with their neighbours."""
MAX_JOINED = 32 << 20
"""Tiny parts of a payload that are joined; more would be a copy of the whole."""

# From these sizes on, threads pay for being started.
CUT_BY_THREADS = 64 << 20
"""Bytes a thread that looks for boundaries."""
HASH_BY_THREADS = 4 << 20
THREAD_START = 5.0  # seconds in which a thread that the system gave has begun, unless it died
READ_BY_THREADS = 8 << 20
READ_AT_A_TIME = 4
"""Chunks that a thread reads before the next thread's are waited for."""
COPIES_AT_A_TIME = 8
"""Chunks of which stable copies are hashed together; each takes up to `MAX_CHUNK`."""
COPY_BY_NUMPY = 64 << 10
"""Copying by numpy lets other threads go on, but takes longer to begin."""

# Parts of payloads.
OUT_OF_BAND = 4096
"""A buffer from this size on is a part of its own and not copied."""
LONE_BUFFER = 256 << 10
"""An Arrow buffer from this size on is a part of its own; smaller neighbours are joined."""
ARROW_ROWS = 1 << 16
"""Rows that are looked at, or rewritten, at a time."""
SMALL_FILE = 1 << 20
"""A file up to this size is read: nobody can change it while it is being stored. Larger ones are mapped."""
COPY_PIECE = 4 << 20
"""Bytes of a file that are copied at a time."""

# Python's values.
MAX_DEPTH = 64
"""Levels of values within one another; deeper ones are pickled."""
MAX_COPIES = 1_000_000
"""Parts that may be written again because an immutable object is met again; beyond, the value is pickled."""
WIDE_FRAME = 16
"""Columns of one dtype from which on they are stored together, if they are short."""
WIDE_COLUMN = LONE_BUFFER
"""Bytes up to which a column is short: it would be no part of its own."""
ROWS_TURNED = 256
"""Rows that are made columns at a time: as many as the processor's cache holds."""
MAX_OBJECTS_IN_A_COLUMN = 100_000
"""Python objects in a column of a frame that are stored one by one; frames with more are pickled."""
CANONICAL_PICKLE = 1 << 20
"""A pickle up to this size, without its large buffers, is made canonical: ten times the work of writing it."""
CANONICAL_VARYING_PICKLE = 16 << 20
"""The same for one that would differ between two processes: it holds a set or a class."""
CANONICAL_WORK = 8
"""How many times its size may be written to put the sets of a pickle in order."""
MERGE_PLAIN = 16 << 20
"""Bytes of two plain values up to which a join that merges them looks whether they are equal: seconds at worst."""
READ_PLAIN = 128 << 10
"""Bytes of a plain value that has changed up to which is looked whether it was only read: 40 ms at worst."""
PARTS_COMPARED = 100_000
"""Objects within a value in which is looked for what reading has left there, where a pickle has changed."""
PARTS_TRIED = 10_000
"""Parts that are looked at to find the one for which a value can't be stored."""
PATH_KEY = 40
"""Characters of a key in the path to it."""
GC_PAUSE = 1 << 20
"""Payloads from which the collector would look at the growing value again and again."""
MEASURED_UP_TO = 64 << 10
"""Bytes of a stored value from which on it is first asked whether it is trusted: to bound a stranger's takes longer."""
MAX_SHARED_CHAIN = 256
"""Objects in a stranger's value that each are shared and part of the next: Python frees some by recursion."""
STRANGERS_MEMORY = 48 << 20
"""Bytes of memory that a stranger's plain value may take, besides a multiple of its payload."""
STRANGERS_RATIO = 2
"""That multiple."""
STRANGERS_PARTS = 50_000
"""Tuples, dates and the like that it may hold, besides one for every few bytes of its payload: 5 us each."""
STRANGERS_PART = 12
"""Those few bytes."""
FEW_KEYS = 16
"""Keys of a stranger's dict or set up to which it does not matter whether their hashes are equal."""
COLLISIONS_A_KEY = 4
"""Pairs of keys, for each key, that may have one hash: -1 and -2 have, and so have tuples of them."""
STRANGERS_INTEGER = 4 << 10
"""Bytes of an integer in a stranger's value: to divide two takes time that grows with their square."""
STRANGERS_DECIMAL = 16 << 10
"""Digits of a Decimal in it."""
MAX_STRANGERS_DTYPE = 64 << 10
"""Characters in which the dtype of a stranger's array is described; a field takes twelve, and of memory 500 bytes."""
MAX_STRANGERS_ELEMENT = 1 << 20
"""Bytes of an element of such an array."""
MAX_STRANGERS_ROWS = 1_000_000
"""Rows that it may have without having bytes."""
MAX_DIMENSIONS = 64
"""Dimensions of an array; numpy's limit."""
MAX_NPY_HEADER = 1 << 20

# The index of what is stored.
PATIENCE = 0.5
"""Seconds to wait for another process; storing something twice is cheaper than waiting longer."""
COPIED_AT_ONCE = 64 << 20
"""Bytes of objects, and up to as many more, that are in memory while they are copied into a pack."""
DIGESTS_AT_A_TIME = 500
"""Digests in a query; SQLite allows 999 variables at least."""

# ---- Runs: trust ----
MAX_MARK = 4096
"""Bytes of the file that holds the last number given."""
NUMBERS_AHEAD = 1_000_000
"""How far above the last number given one may be that somebody else's run has, to count and to be its id here."""
RUNS_ASKED_FOR_THEIR_MAKER = 1_000
"""Of the runs with the highest numbers, where the last number given is lost."""
MAX_VOUCHED = 64 << 20
"""Bytes of all that users of a repository vouched for; 300,000 runs."""
MAX_STATES = 50_000
"""Commits of a run that are looked through for an earlier state of it."""
STATES_A_RUN = 1_000
"""The same for many runs together, on average."""
ANSWER = 100
"""Bytes of a line in which git names an object."""

# ---- Client: what is shown, kept and written ----
TAGS_FRESH = 1.0
"""Seconds for which the tags of a listing hold before they are read again."""
NAMES_IN_A_HINT = 8
CANDIDATES = 20
"""Names that the hint of a "no such" error lists, and runs that the error of an ambiguous address lists."""
HINT_WORK = 4_000_000
HINT_FIXED_WORK = 200
"""To find the nearest, names are compared for half a second: a pair counts this and the product of both lengths."""
ROWS_SHOWN = 20
"""Rows of a notebook's table that may have thousands."""
CELL_BYTES = 4096
"""Stored bytes of an artifact that becomes a cell of a data frame."""
MAX_TIME = 253_370_764_800
"""The latest time of a record, in seconds since 1970: the year 9999 begins, which every zone and function can show."""

CLOCK_AHEAD = 3_600.0
"""Seconds by which another machine's clock may be ahead of ours: a run that started later is not the newest."""
MAX_START_TIMES = 64 << 20
"""Bytes of the cache of start times: 70 a run."""

MAX_CODE_FILES = 1_000_000
"""Entries of a code tree that is written to disk or to an archive."""
MAX_CODE_BYTES = 4 << 30
"""Bytes of such a tree of somebody who is not trusted."""
MAX_CODE_DEPTH = 256
"""Directories inside each other in such a tree."""
MAX_INFO_FILE = RECORD_SIZE
"""Bytes of an INFO file beside a script."""

# ---- Verbs over runs ----
MAX_PREVIEW = 256
"""Bytes of a stored value, and characters of its text, that are shown in a list."""
COMPARE_UP_TO = 8 << 20
"""Bytes of two stored values that `git runs diff` loads to say in what they differ."""
COMPARE_APART_UP_TO = 64 << 20
"""The same for values that a process of their own loads."""
COMPARE_SECONDS = 10.0
"""For which one such process may go on."""
COMPARE_ALL_SECONDS = 30.0
"""After which no other is started for the same two runs."""
COMPARE_MEMORY = 4 << 30
"""Bytes of memory that it may address."""
CHANGES_SHOWN = 10
"""Differences of one value that it lists; of a text four times as many lines."""
CHANGE_LINES = 5_000
"""Lines of two texts that it compares."""
CHANGE_WORK = 50_000_000
"""Steps of that, as many as take three seconds: they grow with the cube of the lines where few are repeated often."""
CHANGE_PARTS = 100_000
"""Parts of two values that it looks at; numbers and texts that are equal in two lists count not."""
CHANGES_SECONDS = 2.0
"""Of the processor, after which it looks into no more values in its own process."""
COMPARED_TEXT = 1 << 20
"""Characters of the text of a value without parts that it compares."""
CHANGE_WIDTH = 120
"""Characters of either side of a difference."""
EXPORT_PARTS = 200_000
"""Parts that a value may be written as in a format that can't share them, besides one for each stored byte."""
EXPORT_CHARACTERS = 4 << 20
"""Characters of them, besides a multiple of what is stored."""
EXPORT_RATIO = 64
"""That multiple."""
EXPORT_TRIED_UP_TO = 8 << 20
"""Bytes of a stored value of which a hint says, after trying, in which formats it can be written."""
TASKS_COUNTED = 10_000
"""Tasks of a run whose records `git runs show` reads, of each large step the first and the last ones: 0.1 ms each."""
TASKS_SECONDS = 3.0
"""Of the processor, after which it reads no more of them: a stranger's records may be large."""
TASKS_SHOWN = 1_000
TASK_ARTIFACTS_SHOWN = 5_000
"""Tasks of a step that it shows, as long as they have no more artifacts than that."""
FAILURES_SHOWN = 100
"""Failed tasks of a run that it names."""
TRASH_EXPIRE, SPIN_EXPIRE = 30 * 86_400.0, 14 * 86_400.0
"""Seconds for which removed runs stay in the trash, and spun tasks."""
NOTES_TRIES, NOTES_PATIENCE, MAX_NOTE = 8, 10.0, 1 << 20
"""Times that git notes on runs are changed beside others, seconds that one waits for these; bytes of a note."""
MAX_REMOVED, MAX_SENDING = 64 << 20, 64 << 20
"""Bytes of the list of runs that were removed for good, 150 for each and each copy of it; and of tags being sent."""
MAX_CANDIDATES = 512 << 20
"""Bytes of the list of objects that are to be freed: ten million."""
REMOVAL_LOOK = 3.0
"""Seconds for which `git runs rm` looks what else reaches the objects of a run, to say what removing it will free."""
FREEING_PATIENCE = 10.0
"""Seconds to wait for a fold of packs to end before space is freed."""
FREEING_LOOKS = 3
"""Times that all refs are looked at, while they change meanwhile, before others wait for the last look."""
PSEUDO_REF = 1 << 20
"""Bytes that are read of a file such as ORIG_HEAD, or of a rebase's."""
RECENT_RUNS = 20
"""Runs whose code the post-commit hook compares with a new commit."""
SCAN_FILE = 16 << 20
"""Bytes from which on a file of a run is not searched for secrets before a push."""
SCAN_PUSH = 256 << 20
"""Bytes that one push searches: seconds."""
SCAN_SECONDS = 120.0
"""For which it searches; a stranger's files may be made so that it takes long."""
SCAN_HISTORY = 16 << 20
"""Bytes in which git says what earlier states of runs hold: 50,000 commits of a run take less."""
SCAN_NUMBERS = 1 << 20
"""Bytes from which on a value of which most bytes are no text is not searched: arrays of numbers."""
SCAN_SAMPLE = 4 << 10
"""Bytes of each sample that tells so; of a value that is searched for its name; and of a line around a secret."""
SCAN_TREES = 100_000
"""Directories that one run's search enters."""
SECRET_FINDINGS = 100
"""Secrets of one file that are looked at."""
SECRETS_SHOWN = 20
"""Secrets that are shown of one run."""
RUNS_COMPARED = 4
"""Runs before it with whose code, where a remote has them, a run's code is compared."""
BRANCHES_COMPARED = 8
"""Branches of a remote with which code is compared whose commit it does not have."""
PUSH_ROUNDS = 6
"""Times that a push is tried while others are faster; then it says so."""
SENDING_QUIET, SENDING_PATIENCE, SENDING_PAUSE = 2.0, 60.0, 0.02
"""Seconds to wait for another push or fetch that merges tags until that is said, and until it is an error; between two
looks."""
NOTE_ATTEMPTS = 10
"""Times that the copies of a remote's refs are written while another push or fetch writes them."""
MAX_NOTICES = 20
"""Strange refs of a remote that are named, and lines of what it says that are passed on; others are counted."""
MAX_NAMED = 5
"""Runs that a remote does not have, or not whole, named with the reason in one line; others are counted."""
MAX_REFUSALS = 8
"""Times that a batch of refs is pushed without those that a hook named: ours names `MAX_NOTICES` each time."""
MAX_WORDS = 500
"""Characters of such a line."""
UID_DIGITS = 7
"""Digits of its uid in the id of a run whose number was taken; more where they are taken, too."""

# ---- Runtime: processes, messages, output ----
ORIGINS_NAMED = 3
"""Runs of others that `resume` names where it finds none of the user's own."""

# Messages between processes (`ipc`).
INLINE_MESSAGE = 60 << 10
"""A larger message travels as a memory file; with its head it must fit into MESSAGE_BUFFER."""
MESSAGE_BUFFER = 64 << 10
HIGH_DESCRIPTOR = 1_000
"""The least descriptor of a task's socket: the system's usual limit is 1,024."""
MOST_DESCRIPTORS = 1 << 16
"""How many are tried one by one where /proc does not list those that are open."""
MESSAGE_FILES = 8
"""Descriptors that one message may carry."""

# A run as asked for, where the command line says nothing.
MAX_WORKERS = 16
"""Tasks that run at the same time."""
MAX_NUM_SPLITS = 100
"""Items that a foreach may have."""
MOST_SPLITS = 100_000
"""Tasks of a step, and so items of a foreach, whatever is asked for: one directory, of at most `RUN_TREE_SIZE`."""
PARAMETER_TEXT = 1_000
"""Characters that INFO keeps of a parameter's value."""

# Processes.
ORPHANS_TIME = 2.0
"""After a killed scheduler its orphans are killed for that long: longer ones fork faster than they die."""
ORPHANS_PAUSE = 0.01
FILES_PER_TASK = 4
"""Descriptors that a task takes of the scheduler: two pipes, a socket, and one of a message on its way."""
SCHEDULER_FILES = 64
"""Descriptors that the scheduler may need for itself: packs it reads and writes, git, channels."""
LOST_PROCESSES = 3
"""How often a task is launched again when its process was lost through no fault of its own."""
RELAUNCH_DELAY = 0.1
"""Before the first new try when no process can be made; doubled each time."""

# The end of a task's process.
THREAD_PATIENCE = 10.0
"""After that the task's log names the threads that its process waits for."""
EXIT_PATIENCE = 30.0
"""An exit handler that takes longer is interrupted."""
LEFT_BEHIND_GRACE = 1.0
"""Processes that a task has left behind may end by themselves that long; then they are killed."""
LEFT_BEHIND_PAUSE = 0.02
"""Between two looks whether they have."""
LEFT_BEHIND_NAMED = 8
"""So many of them are named."""

# Commits of the scheduler.
COMMIT_INTERVAL, COMMIT_SHARE = 0.2, 20
"""Between commits that let nothing follow, and so many times what a commit costs: they take at most 5 % of a run."""
UNCOMMITTED_OUTPUT, TASK_MEMORY = 32 << 20, 10 << 10
"""More output and payloads are not kept for a later commit; what a task takes until then besides, with its objects."""
LEAST_GROUP, GROUP_SHARE = 2_000, 8
"""So many finished tasks, or such a part of those that are published, make a commit whatever the last one cost."""

# The end of a run.
GRACE = 5.0
"""Running tasks have that long to end by themselves once the run is over."""
LAST_GRACE = 1.0
"""Between asking a task to end and killing it."""

# What is shown, and logs.
PROGRESS_INTERVAL = 0.2
HEARTBEAT = 10.0
"""Between reports of progress when nothing changes."""
FOLLOWED_AFTER, LIVE_AFTER = 0.01, 0.25
"""Of a task that runs for longer, the output is read as it comes; and, that much later, can be while it runs."""
FOLLOW_PAUSE, WATCH_SILENCE = 0.2, 60.0
"""Seconds between two looks of `logs -f` and `watch`; for which `watch` says nothing in a pipe."""
WATCH_LINES, OUTPUT_TAIL, WATCHED_OUTPUTS, RATE_TASKS = 5, 4_096, 200, 200
"""Of `watch`: lines and bytes of output, running tasks whose output it looks at, ends of tasks that make a rate."""
LIVE_KEPT = 7 * 86_400.0
"""The live state of killed runs is removed after that."""
LINES_AT_ONCE = 4096
"""Lines of output that are put together before they are written: one by one takes three times as long."""
LONGEST_LINE, REPORT_SHOWN = 64 << 10, 32 << 10
"""A longer line is shown in pieces; characters that the run log shows of what a failed task says of its error."""
TERMINAL_OUTPUT = 16 << 20
"""Characters of a stream that a terminal is shown; into a pipe or a file goes all of it."""
PIPE_READ = 64 << 10
LINGERING_OUTPUT = 1 << 20
"""Read from a pipe after its task's end: more can only come from processes that the task left behind."""

# Tasks.
CLONED_BY_NAME = 20
"""Tasks of a step that is taken over whole which are named one by one."""
KEPT_RECORDS = 64
"""Task records that a zygote keeps for the next fork."""
PRELOADED_VALUE = 2 << 20
"""A larger parameter or foreach item is not loaded before the fork."""
ERROR_TEXT = 2_000
"""Characters of an error that a record keeps."""
WARM_UP_ROUNDS = 12
"""Runs of the warm-up for a foreach: the interpreter adapts a function when it has run eight times."""

# ---- Integrity ----
FSCK_REMEMBERED = 200_000
"""Objects found whole that are not looked at again: of many runs, the newest; about 40 MB of memory at most."""
FSCK_FAULTS = 100
"""Faults of one run, and of what lies below one tree, that are told one by one."""
REUSE_READ = 8 << 30
"""Bytes of artifacts that a resumed run reads of its origin, to see whether they are whole: 8 s or so."""
TASKS_AT_ONCE = 4_000
"""Tasks of an origin whose small objects are read together."""
FSCK_PRODUCERS = 1_000
"""Tasks of a run whose chunks are remembered while those of later tasks are compared with them."""

# ---- Secrets ----
SHORTEST_SECRET = 6
"""Bytes of a secret that is looked for in output and values: a shorter one would be found everywhere."""
LONGEST_SECRET = 16 << 10
"""Bytes of a secret parameter's value."""
MOST_SECRETS = 100
"""Texts that the secret parameters of one run consist of: output is searched for each."""
SEARCHED_PAYLOAD = 16 << 20
"""Bytes at the beginning of an artifact that are searched for secrets."""
SEARCHED_PIECE = 1 << 20
"""Bytes that are searched at a time."""
