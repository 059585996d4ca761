import { spawn } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { Event } from 'simmerkit';
import { root } from '../python/check-python.js';
import type { ProcessReport } from './report-process.js';

/** What is compared, and how: the same on every side. */
export const settings = { similarity: 0.8, shingleWords: 5, hashes: 128, ngramWords: 8, selected: 1000 };

interface CurationOptions {
  /** A folder that is empty, for the recipe and its home. */
  readonly folder: string;
  readonly pool: string;
  /** Files of evaluation questions. */
  readonly against: readonly string[];
  /** Columns that are compared by deduplication and decontamination. */
  readonly columns: readonly string[];
  /** Folder of the tokenizer that counts. Absent: nothing is counted, and traces are as long as their text. */
  readonly tokenizer?: string;
}

/** A run of `simmer run`, to its end. */
export interface CurationRun extends ProcessReport {
  /** From start to exit of the process. */
  readonly seconds: number;
  readonly home: string;
  readonly stages: Readonly<Record<string, StageRun>>;
}

interface StageRun {
  readonly seconds: number;
  readonly rowsIn: number;
  readonly rowsOut: number;
  /** Output to artifact URI. */
  readonly outputs: Readonly<Record<string, string>>;
}

/** Load, quality, exact and near deduplication, decontamination, tokens and selection, as a user runs them. */
export async function runCuration(options: CurationOptions): Promise<CurationRun> {
  const file = join(options.folder, 'recipe.json');
  const home = join(options.folder, 'home');
  const reportFile = join(options.folder, 'report-process.json');
  await writeFile(file, JSON.stringify(recipe(options), null, 2));
  const events: Event[] = [];
  const startedAt = performance.now();
  const child = spawn(
    process.execPath,
    [
      '--import',
      new URL('./report-process.js', import.meta.url).href,
      join(root, 'dist/core/cli/main.js'),
      ...['run', file, '--home', home, '--json'],
    ],
    { stdio: ['ignore', 'pipe', 'inherit'], env: { ...process.env, SIMMER_BENCH_REPORT: reportFile } },
  );
  const ended = new Promise<number | null>((resolve, reject) => child.once('error', reject).once('close', resolve));
  for await (const line of createInterface({ input: child.stdout })) events.push(JSON.parse(line) as Event);
  const code = await ended;
  if (code !== 0) throw new Error(`simmer run ended with ${code}: ${JSON.stringify(events.at(-1))}`);
  return {
    seconds: (performance.now() - startedAt) / 1000,
    ...(JSON.parse(await readFile(reportFile, 'utf8')) as ProcessReport),
    home,
    stages: stagesOf(events),
  };
}

function recipe({ pool, against, columns, tokenizer }: CurationOptions) {
  const { similarity, shingleWords, hashes, ngramWords, selected } = settings;
  const output = (stage: string, name: string) => `\${{ stages.${stage}.${name} }}`;
  const dataset = (stage: string) => output(stage, 'dataset');
  const fields = { row: 'id', source: 'source' };
  const sources = against.map((path, index) => [
    `evaluation-${index}`,
    { path, fields: { question: path.includes('gsm8k') ? 'question' : 'problem' } },
  ]);
  const counting = {
    model: { uses: 'tokenizer/folder', with: { path: tokenizer } },
    counted: { uses: 'curation/tokens', with: { dataset: dataset('clean'), model: output('model', 'model') } },
  };
  return {
    name: 'curation-bench',
    seed: 1,
    ...(tokenizer === undefined
      ? {}
      : { plugins: [fileURLToPath(new URL('./tokenizer-folder.plugin.js', import.meta.url))] }),
    stages: {
      pool: {
        uses: 'curation/load',
        with: { sources: { pool: { path: pool, files: '*.jsonl', format: 'jsonl', fields } } },
      },
      evaluation: { uses: 'curation/load', with: { sources: Object.fromEntries(sources) } },
      sound: { uses: 'curation/quality', with: { dataset: dataset('pool') } },
      unique: {
        uses: 'curation/deduplicate',
        with: { dataset: dataset('sound'), column: columns, near: { similarity, words: shingleWords, hashes } },
      },
      clean: {
        uses: 'curation/decontaminate',
        with: { dataset: dataset('unique'), against: [dataset('evaluation')], column: columns, words: ngramWords },
      },
      ...(tokenizer === undefined ? {} : counting),
      selected: {
        uses: 'curation/select',
        with: {
          dataset: dataset(tokenizer === undefined ? 'clean' : 'counted'),
          count: selected,
          lengthColumn: tokenizer === undefined ? 'reasoning' : 'tokens',
        },
      },
    },
  };
}

function stagesOf(events: readonly Event[]): Readonly<Record<string, StageRun>> {
  const stages: Record<string, StageRun> = {};
  const rows: Record<string, Pick<StageRun, 'rowsIn' | 'rowsOut'>> = {};
  for (const { type, stage = '', data } of events) {
    if (type === 'funnel.counted') rows[stage] = { rowsIn: data.rowsIn, rowsOut: data.rowsOut };
    if (type !== 'stage.completed') continue;
    stages[stage] = { rowsIn: 0, rowsOut: 0, ...rows[stage], seconds: data.seconds, outputs: data.outputs };
  }
  return stages;
}
