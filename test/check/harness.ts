import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { extractor } from '../../plugins/eval/extraction.js';
import { root } from '../python/check-python.js';
import { runTrainerScript, smolLm2Folder, trainerPackages } from '../python/trainer-script.js';

/** One item, as test/check/harness.py writes it. */
interface Item {
  readonly item: number;
  readonly sameIds: boolean;
  /** Between the two likeliest tokens where the first differs. */
  readonly gap: number | null;
  readonly theirs: string;
  readonly ours: string;
  readonly theirExtracted: string;
}

/** Above it, another token is not explained by rounding. */
const largestGap = 1e-3;
const agreementGoal = 0.99;

/**
 * `npm run check:harness [-- --items N --tokens N]`: lm-evaluation-harness against Generate on GSM8K's test set, and its
 * extraction against ours. Ends in one line of JSON; exits 1 where they differ by more than rounding.
 */
const args = process.argv.slice(2);
const data = join(process.env.SIMMER_DATA ?? '', 'gsm8k_test.jsonl');
if (!existsSync(data)) {
  console.error('SIMMER_DATA names no folder with gsm8k_test.jsonl.');
  process.exit(2);
}
const peer = await trainerPackages(join(root, 'test/check/harness.lock.txt'));
const folder = await mkdtemp(join(tmpdir(), 'simmer-harness-'));
try {
  const output = join(folder, 'items.jsonl');
  const script = ['--model', await smolLm2Folder(), '--data', data, '--output', output, ...args];
  const { code } = await runTrainerScript('test/check/harness.py', script, [peer]);
  if (code !== 0) process.exit(code ?? 1);
  const lines = (await readFile(output, 'utf8')).trim().split('\n');
  const items = lines.map((line) => JSON.parse(line) as Item);
  // The last number, as the harness's flexible extraction has it.
  const extract = extractor({ pattern: '-?[$0-9.,]{2,}|-?[0-9]+', flags: '' }, '');
  const apart = items.filter((item) => (extract(item.ours) ?? '[invalid]') !== item.theirExtracted);
  for (const item of apart) {
    console.log(`item ${item.item}: they extract ${item.theirExtracted}, we ${extract(item.ours)}`);
  }
  const unexplained = items.filter((item) => !item.sameIds && (item.gap ?? 0) > largestGap);
  const agreement = (items.length - apart.length) / items.length;
  console.log(
    JSON.stringify({
      name: 'harness',
      items: items.length,
      sameIds: items.filter((item) => item.sameIds).length,
      unexplained: unexplained.length,
      largestGap: Math.max(0, ...items.map((item) => item.gap ?? 0)),
      extractedAgree: agreement,
      goals: { extractedAgree: agreementGoal, unexplained: 0 },
    }),
  );
  process.exitCode = agreement >= agreementGoal && unexplained.length === 0 ? 0 : 1;
} finally {
  await rm(folder, { recursive: true, force: true });
}
