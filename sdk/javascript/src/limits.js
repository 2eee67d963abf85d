// Sizes of requests and answers.

/** The page size of a loop over all pages of a list. It keeps each response small. */
export const PAGE = 100;
/** The limit of a page. A response costs a browser more than the entries in it, and the server limits the bytes of a page. */
export const PAGE_LIMIT = 500;
/** The most conversations that the server lets one wait watch. */
export const WATCH = 100;
/** With more changes than this, reading the conversation again costs less. */
export const RESYNC_CHANGES = 1_000;
