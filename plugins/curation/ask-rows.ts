import { pace, type Row, type StageContext, type TableArtifact, textIn } from 'simmerkit';
import type { ReplyJournal } from './reply-journal.js';

type AskContext = Pick<StageContext<unknown, Record<string, never>>, 'signal' | 'emit' | 'log'>;

export interface Asking<Reply extends { readonly id: string }> {
  readonly journal: ReplyJournal<Reply>;
  readonly concurrency: number;
  /** Gets the reply to a row; the signal is aborted when another row has failed for good. */
  ask(row: Row, id: string, signal: AbortSignal): Promise<Reply>;
  /** Shown while it runs. */
  figures?(): Readonly<Record<string, number>>;
}

/**
 * Asks for each row of a dataset that has no reply in the journal yet, several at a time, and keeps each reply before the
 * next row is asked for. The first failure ends it; what was being answered then is not waited for.
 */
export async function askRows<Reply extends { readonly id: string }>(
  context: AskContext,
  dataset: TableArtifact,
  { journal, concurrency, ask, figures }: Asking<Reply>,
): Promise<void> {
  if (journal.size > 0) context.log.info(`${journal.size} replies are there from before and are not asked for again.`);
  const steps = pace(context, { unit: 'questions', total: dataset.rowCount });
  const stop = new AbortController();
  const signal = AbortSignal.any([context.signal, stop.signal]);
  const rows = dataset.rows()[Symbol.asyncIterator]();
  const asked = new Set<string>();
  let reading: Promise<unknown> = Promise.resolve();
  const next = () => {
    const result = reading.then(() => rows.next());
    reading = result.catch(() => undefined);
    return result;
  };
  const work = async () => {
    for (let row = await next(); !row.done; row = await next()) {
      const id = textIn(row.value, 'id') ?? '';
      if (journal.get(id) === undefined && !asked.has(id)) {
        asked.add(id);
        await journal.add(await ask(row.value, id, signal));
      }
      await steps.step(figures);
    }
  };
  const workers = Array.from({ length: concurrency }, work);
  try {
    await Promise.all(workers);
  } finally {
    stop.abort();
    await Promise.allSettled(workers);
  }
  await steps.finish(figures?.());
}
