/** The longest that a timer of Node can wait, in milliseconds, 24.8 days: one for longer is over at once. */
export const longestTimer = 2 ** 31 - 1;
