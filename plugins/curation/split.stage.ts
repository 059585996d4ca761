import {
  defineStage,
  formatCounted,
  historyIn,
  input,
  pace,
  type Row,
  random,
  type TableArtifact,
  textIn,
  UserError,
} from 'simmerkit';
import { splitOptions } from './options.js';
import { factsOf, rowsOf } from './row-facts.js';
import { hasWholeChats } from './whole-chats.js';

export const split = defineStage({
  description: 'Splits rows into training and held-out ones; a question, or a chat, is never on both sides.',
  options: splitOptions,
  inputs: { dataset: input('dataset', 'Rows with at least `id` and `question`.') },
  outputs: {
    train: { type: 'dataset', description: 'Rows to train on, in their order.' },
    heldout: { type: 'dataset', description: 'Rows to evaluate on, in their order.' },
  },
  reads: () => ({ dataset: ['id', 'question'] }),
  columns: (_, columnsOf) => ({ train: columnsOf('dataset'), heldout: columnsOf('dataset') }),
  estimate: (options, { inputs }) => {
    const rows = rowsOf(inputs.dataset);
    if (rows === undefined) return { outputs: {} };
    const facts = factsOf(inputs.dataset);
    const heldout = heldoutOf(rows, options.heldout);
    const train = Math.min(options.train ?? rows, rows - heldout);
    return { outputs: { train: { ...facts, rows: train }, heldout: { ...facts, rows: heldout } } };
  },
  async run(context) {
    const { options, inputs } = context;
    const steps = pace(context, { unit: 'rows', total: 3 * inputs.dataset.rowCount });
    const questionOf = questionIn(inputs.dataset);
    const questions = new Set<string>();
    for await (const row of inputs.dataset.rows()) {
      questions.add(questionOf(row));
      await steps.step();
    }
    const turn = () => steps.step(undefined, 0);
    const sides = await splitQuestions([...questions], { ...options, seed: context.seed }, turn);
    async function* rowsOn(side: ReadonlySet<string>): AsyncIterable<Row> {
      for await (const row of inputs.dataset.rows()) {
        if (side.has(questionOf(row))) yield row;
        await steps.step();
      }
    }
    const { columns, metadata } = inputs.dataset;
    const train = await context.artifacts.writeDataset(rowsOn(sides.train), { columns, metadata });
    const heldout = await context.artifacts.writeDataset(rowsOn(sides.heldout), { columns, metadata });
    await steps.finish();
    if (heldout.rowCount > sides.heldout.size) {
      const counts = `${formatCounted(sides.heldout.size, 'question')} in ${formatCounted(heldout.rowCount, 'row')}`;
      context.log.warning(
        `Held out are ${counts}, and stages that have a model answer them refuse a question that comes twice: put ` +
          'curation/deduplicate before this one.',
      );
    }
    const unused = inputs.dataset.rowCount - train.rowCount - heldout.rowCount;
    await context.emit({
      type: 'funnel.counted',
      data: {
        step: context.stage,
        rowsIn: inputs.dataset.rowCount,
        rowsOut: train.rowCount,
        dropped: { held_out: heldout.rowCount, ...(unused === 0 ? {} : { unused }) },
      },
    });
    return { train, heldout };
  },
});

/**
 * What is on one side: a question, or a whole chat, since many chats end with the same question, or a row that has no
 * question.
 */
function questionIn(dataset: TableArtifact): (row: Row) => string {
  const historyOf = historyIn(dataset);
  const chats = hasWholeChats(dataset);
  return (row) => {
    const id = textIn(row, 'id') ?? '';
    const question = textIn(row, 'question') ?? '';
    const isChat = historyOf(row).length > 0 || (chats && Array.isArray(row.prompt));
    return isChat || question.trim() === '' ? id : question;
  };
}

function heldoutOf(questions: number, heldout: number): number {
  return Math.round(heldout < 1 ? heldout * questions : heldout);
}

/**
 * Draws which questions are on which side: the held-out ones first, so that more or fewer to train on changes nothing
 * about the evaluation.
 * @param turn awaited again and again: others may go on meanwhile @throws UserError `too_few_rows`
 */
export async function splitQuestions(
  questions: readonly string[],
  options: {
    readonly heldout: number;
    readonly train?: number | undefined;
    readonly stable?: boolean;
    readonly seed: number;
  },
  turn: () => Promise<void>,
): Promise<{ readonly train: ReadonlySet<string>; readonly heldout: ReadonlySet<string> }> {
  const heldout = heldoutOf(questions.length, options.heldout);
  if (heldout === 0) {
    const message = `\`heldout: ${options.heldout}\` of ${formatCounted(questions.length, 'question')} is none.`;
    throw new UserError('too_few_rows', message, { kind: 'runFailed', hint: 'Raise `heldout`, or load more.' });
  }
  const train = options.train ?? questions.length - heldout;
  if (heldout + train > questions.length || train <= 0) {
    throw new UserError(
      'too_few_rows',
      `Asked for ${options.train ?? 'some'} questions to train on and ${heldout} held out; there are ${questions.length}.`,
      { kind: 'runFailed', hint: 'Lower `train` or `heldout`, or load more.' },
    );
  }
  // By text, so that the draw does not depend on the order of rows.
  const drawn =
    options.stable === true
      ? await drawnAlone(questions, options.seed, turn)
      : await random(options.seed, 'split').shuffleInTurns(await sorted(questions, turn), turn);
  const sides = { heldout: new Set<string>(), train: new Set<string>() };
  for (const [index, question] of drawn.slice(0, heldout + train).entries()) {
    sides[index < heldout ? 'heldout' : 'train'].add(question);
    await turn();
  }
  return sides;
}

/** Questions that are sorted at once: a moment's work. */
const sortedAtOnce = 1000;

/** As `sort` does it. */
async function sorted(questions: readonly string[], turn: () => Promise<void>): Promise<readonly string[]> {
  const borders = questions.filter((_, index) => index % sortedAtOnce === 0).sort();
  const parts = Array.from({ length: borders.length + 1 }, (): string[] => []);
  for (const question of questions) {
    let part = 0;
    for (let end = borders.length; part < end; ) {
      const middle = (part + end) >>> 1;
      if ((borders[middle] as string) <= question) part = middle + 1;
      else end = middle;
    }
    parts[part]?.push(question);
    await turn();
  }
  return joined(parts, (one, other) => (one < other ? -1 : 1), turn);
}

/** In an order in which a question stands before or behind another one whichever else there are. */
async function drawnAlone(
  questions: readonly string[],
  seed: number,
  turn: () => Promise<void>,
): Promise<readonly string[]> {
  const parts = Array.from({ length: Math.ceil(questions.length / sortedAtOnce) }, (): Placed[] => []);
  for (const question of questions) {
    const place = random(seed, `split ${question}`).next();
    parts[Math.floor(place * parts.length)]?.push({ question, place });
    await turn();
  }
  const byPlace = (one: Placed, other: Placed) => one.place - other.place || (one.question < other.question ? -1 : 1);
  return (await joined(parts, byPlace, turn)).map(({ question }) => question);
}

/** Sorts the parts, each at once, of which every one stands whole before the next. */
async function joined<T>(
  parts: readonly T[][],
  compare: (one: T, other: T) => number,
  turn: () => Promise<void>,
): Promise<readonly T[]> {
  const all: T[] = [];
  for (const part of parts) {
    for (const each of part.sort(compare)) all.push(each);
    await turn();
  }
  return all;
}

interface Placed {
  readonly question: string;
  /** From 0 to below 1. */
  readonly place: number;
}
