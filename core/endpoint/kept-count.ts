import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { EarlierReplies } from './earlier-replies.js';
import { journalFile } from './reply-journal.js';

/** What is kept of what a stage is going to ask. */
export interface KeptCount {
  /** Replies that it has itself: an attempt of it did not come to its end. */
  readonly replies: number;
  /** Whether its runs with other inputs have replies. Which of them answer the same questions only its `run` finds out. */
  readonly hasOthers: boolean;
}

/** Counts in folders beside each other. @param own the name of the stage's; undefined where that is not known yet */
export async function countKept(around: string, own: string | undefined): Promise<KeptCount> {
  const names = await readdir(around).catch(() => []);
  const sizes = names
    .filter((name) => name !== own)
    .map(async (name) => (await stat(journalFile(join(around, name))).catch(() => undefined))?.size ?? 0);
  const replies = own === undefined ? 0 : (await EarlierReplies.in(join(around, own))).size;
  return { replies, hasOthers: (await Promise.all(sizes)).some((size) => size > 0) };
}
