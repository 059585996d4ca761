import { once } from 'node:events';
import { createWriteStream, existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Random, random } from 'simmerkit';

/** What of a pool was planted. The rest is what chance makes of it. */
interface Planted {
  readonly rows: number;
  readonly bytes: number;
  readonly duplicates: number;
  readonly nearDuplicates: number;
  readonly contaminated: number;
  readonly broken: number;
}

interface PoolOptions {
  /** An existing folder; gets `0.jsonl` and so on. */
  readonly folder: string;
  readonly rows: number;
  readonly seed: number;
  /** Rows go into so many files, one after the other: the peers share work by files. */
  readonly files: number;
  /** Words in a trace, on average. @default as s1's */
  readonly traceWords?: number;
  /** Folder with gsm8k_train, gsm8k_test, math500 and aime24 .jsonl. */
  readonly data: string;
}

interface PoolRow {
  readonly id: string;
  readonly source: string;
  readonly domain: string;
  readonly question: string;
  readonly reasoning: string;
  readonly answer: string;
}

/** s1's pool: 16 sources, 51 domains; a question has about 300 characters, a row with its trace 4.8 KB. */
const sources = 16;
const domains = 51;
const questionWords = 55;
const traceWords = 920;
/** Shares of rows. */
const share = { duplicate: 0.02, near: 0.03, contaminated: 0.01, broken: 0.04 };
const evaluations = ['math500.jsonl', 'aime24.jsonl', 'gsm8k_test.jsonl'];

/** The files of evaluation questions. @throws Error where they, or GSM8K's training set, are not there */
export function evaluationFiles(data: string): readonly string[] {
  const missing = [...evaluations, 'gsm8k_train.jsonl'].filter((file) => !existsSync(join(data, file)));
  if (missing.length === 0) return evaluations.map((file) => join(data, file));
  throw new Error(`There is no ${missing.join(', ')} in ${data}: say where with --data FOLDER, or SIMMER_DATA.`);
}

/** How far back a duplicate's original is, at most. */
const memory = 4096;

/**
 * Writes a pool of worked problems that nobody wrote: words follow each other as in GSM8K's training set and MATH's
 * solutions, with numbers and names of their own. Of the rows some repeat another, some nearly, some hold words of an
 * evaluation question, and some are broken as s1's rules know it.
 */
export async function writePool(options: PoolOptions): Promise<Planted> {
  const draw = random(options.seed, 'curation pool');
  const nextWord = await wordChain(options.data);
  const evaluation = await evaluationQuestions(options.data);
  const recent: PoolRow[] = [];
  const planted = { rows: 0, bytes: 0, duplicates: 0, nearDuplicates: 0, contaminated: 0, broken: 0 };
  for (let file = 0; file < options.files; file++) {
    const stream = createWriteStream(join(options.folder, `${file}.jsonl`));
    const last = Math.round((options.rows * (file + 1)) / options.files);
    for (; planted.rows < last; planted.rows++) {
      const row = { ...makeRow(), id: `row-${planted.rows}` };
      recent[draw.integer(Math.min(memory, recent.length + 1))] = row;
      const line = `${JSON.stringify(row)}\n`;
      planted.bytes += Buffer.byteLength(line);
      if (!stream.write(line)) await once(stream, 'drain');
    }
    stream.end();
    await once(stream, 'close');
  }
  return planted;

  function makeRow(): PoolRow {
    const chance = draw.next();
    if (recent.length > 0 && chance < share.duplicate) {
      planted.duplicates++;
      return draw.pick(recent);
    }
    if (recent.length > 0 && chance < share.duplicate + share.near) {
      planted.nearDuplicates++;
      return nearly(draw.pick(recent), draw, nextWord);
    }
    const row = {
      id: '',
      source: `source-${draw.integer(sources)}`,
      domain: `domain ${draw.integer(domains)}`,
      question: text(questionWords, draw, nextWord),
      reasoning: text(options.traceWords ?? traceWords, draw, nextWord),
      answer: String(draw.integer(1000)),
    };
    const kind = draw.next();
    if (kind < share.contaminated) {
      planted.contaminated++;
      return { ...row, question: `${row.question} ${excerpt(draw.pick(evaluation), draw)}` };
    }
    if (kind < share.contaminated + share.broken) {
      planted.broken++;
      return {
        ...row,
        question: `${row.question} ${draw.pick(['[asy] draw', '![Image](a.png)', 'See p3.', '**4**'])}`,
      };
    }
    return row;
  }
}

type NextWord = (word: string, draw: Random) => string;

/** Texts are as long as the field's traces: log-normal, the longest some ten times the middle one. */
function text(words: number, draw: Random, nextWord: NextWord): string {
  const deviation = 0.6;
  const normal = Math.sqrt(-2 * Math.log(1 - draw.next())) * Math.cos(2 * Math.PI * draw.next());
  const length = Math.max(8, Math.round(words * Math.exp(deviation * normal - deviation ** 2 / 2)));
  const made: string[] = [];
  let word = '';
  for (let at = 0; at < length; at++) {
    word = nextWord(word, draw);
    made.push(spelled(word, draw));
  }
  return made.join(' ');
}

/** Another number for a number; now and then a name that no vocabulary has. */
function spelled(word: string, draw: Random): string {
  const own = word.replace(/\d+/g, (digits) => String(draw.integer(10 ** Math.min(9, digits.length))));
  return draw.integer(200) === 0 ? `${own}_${draw.integer(1e6).toString(36)}` : own;
}

/** One word in 15 to 400 is another. */
function nearly(row: PoolRow, draw: Random, nextWord: NextWord): PoolRow {
  const every = 15 + draw.integer(386);
  const change = (given: string) =>
    given
      .split(' ')
      .map((word) => (draw.integer(every) === 0 ? spelled(nextWord('', draw), draw) : word))
      .join(' ');
  return { ...row, question: change(row.question), reasoning: change(row.reasoning) };
}

/** Ten words or more of a question, as it has them. */
function excerpt(question: string, draw: Random): string {
  const words = question.split(/\s+/);
  const length = Math.min(words.length, 10 + draw.integer(10));
  const from = draw.integer(words.length - length + 1);
  return words.slice(from, from + length).join(' ');
}

/** Words that followed a word in what was read. */
async function wordChain(data: string): Promise<NextWord> {
  const following = new Map<string, string[]>();
  const lessons = [
    ...(await jsonLines(data, 'gsm8k_train.jsonl')).map(
      ({ question, answer }) => `${question} ${answer?.replace(/<<.*?>>|####/g, '')}`,
    ),
    ...(await jsonLines(data, 'math500.jsonl')).map(({ solution }) => solution ?? ''),
  ];
  for (const lesson of lessons) {
    let before = '';
    for (const word of lesson.split(/\s+/)) {
      const known = following.get(before);
      if (known === undefined) following.set(before, [word]);
      else known.push(word);
      before = word;
    }
  }
  const starts = following.get('') ?? [];
  return (word, draw) => draw.pick(following.get(word) ?? starts);
}

async function evaluationQuestions(data: string): Promise<readonly string[]> {
  const rows = (await Promise.all(evaluations.map((file) => jsonLines(data, file)))).flat();
  return rows.map(({ problem, question }) => problem ?? question ?? '').filter((text) => text.split(/\s+/).length > 10);
}

async function jsonLines(folder: string, file: string): Promise<readonly Record<string, string>[]> {
  const lines = (await readFile(join(folder, file), 'utf8')).trim().split('\n');
  return lines.map((line) => JSON.parse(line) as Record<string, string>);
}
