import { createHash } from 'node:crypto';

/** What a problem is called everywhere: the first 16 hex digits of the SHA-256 of its question, as in s1's data. */
export function problemId(question: string): string {
  return createHash('sha256').update(question).digest('hex').slice(0, 16);
}
