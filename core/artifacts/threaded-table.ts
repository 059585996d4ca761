import { mkdir, rm } from 'node:fs/promises';
import { doInThreads } from '../threads/do-in-threads.js';
import type { PackedTask, PackSettings, PackTask } from '../threads/packed-rows.work.js';
import type { FileContent, ThreadedRows } from './artifact.js';
import { joinTables } from './join-tables.js';

/**
 * Writes the rows that threads make of tasks as a Parquet file, durably.
 * @param scratchFolder one that is not there yet; removed at the end
 * @throws the error of the first task that failed, or the signal's reason
 */
export async function makeTable<Settings, Task, Told>(
  file: string,
  scratchFolder: string,
  { columns, module, settings, tasks, signal, isLittle = false, onRows = () => {} }: ThreadedRows<Settings, Task>,
): Promise<{ readonly content: FileContent; readonly rowCount: number; readonly told: readonly Told[] }> {
  await mkdir(scratchFolder);
  let rowCount = 0;
  const told: Told[] = [];
  async function* files(): AsyncIterable<string> {
    const made = doInThreads<PackSettings, PackTask, PackedTask>(signal, {
      module: new URL('../threads/packed-rows.work.js', import.meta.url),
      settings: { module: module.href, settings, columns, folder: scratchFolder },
      tasks: numbered(tasks),
      onRows,
      isLittle,
    });
    for await (const packed of made) {
      rowCount += packed.rowCount;
      told.push(packed.told as Told);
      yield* packed.files;
    }
    if (told.length === 0) throw new TypeError('A table that threads make needs a task at least.');
  }
  try {
    const content = await joinTables(file, files(), scratchFolder);
    return { content, rowCount, told };
  } finally {
    await rm(scratchFolder, { recursive: true, force: true });
  }
}

async function* numbered(tasks: AsyncIterable<unknown> | Iterable<unknown>): AsyncIterable<PackTask> {
  let number = 0;
  for await (const task of tasks) yield { number: number++, task };
}
