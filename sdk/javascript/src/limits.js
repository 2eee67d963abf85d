// Sizes of requests and answers.

/** The page size of a loop over all pages of a list. It keeps each response small. */
export const PAGE = 100;
/** The limit of a page. A response costs a browser more than the entries in it, and the server limits the bytes of a page. */
export const PAGE_LIMIT = 500;
/** The most conversations that the server lets one wait watch. */
export const WATCH = 100;
/** The most people whose presence one wait follows. */
export const FOLLOWED = 100;
/** With more changes than this, reading the conversation again costs less. */
export const RESYNC_CHANGES = 1_000;
/** The most parts of uploads that a user may send at a time, and the most uploads that are begun at a time here. */
export const UPLOADS_PARTS = 2;
export const UPLOADS = 4;
/** The lowest rate of a part, in bytes a ms: a slower one is ended by the server. */
export const SLOWEST = 64;
/** The time after which the server deletes media that no message has. */
export const DAY_MS = 86_400_000;
/** The most links of one request. */
export const LINKS = 100;

// Others see a device offline 45 seconds after its last wait. The times between two waits keep to less, with 5 seconds for the way.

/** The longest time between two waits. */
export const BETWEEN_WAITS_MS = 40_000;
/** The longest pause after a failure, and before a wait that the server puts off. */
export const MAX_PAUSE_MS = 20_000;
/** How long after its time-out the response of a wait may take. */
export const RESPONSE_MS = 10_000;
/** After a wait, no page is asked for later than this: the rest comes with the next wait, which has news immediately. */
export const FETCHING_MS = 10_000;
/** The timeout of other requests, unless the application sets one. */
export const REQUEST_MS = 30_000;
