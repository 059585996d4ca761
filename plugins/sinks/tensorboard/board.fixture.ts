import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { decodeSummary, type Summary } from './event-messages.js';
import { intactRecords } from './records.js';

/** The event files of a folder, in the order in which TensorBoard reads them. */
export async function eventFilesOf(folder: string): Promise<readonly string[]> {
  const names = await readdir(folder, { withFileTypes: true });
  return names
    .filter((entry) => entry.isFile())
    .map(({ name }) => join(folder, name))
    .sort();
}

/** All summaries of a folder, file by file. @throws Error where a file has something else than whole records */
export async function summariesIn(folder: string): Promise<readonly Summary[]> {
  const summaries: Summary[] = [];
  for (const path of await eventFilesOf(folder)) {
    const file = await readFile(path);
    const { records, bytes } = intactRecords(file);
    if (bytes !== file.length) throw new Error(`${path} is torn at byte ${bytes} of ${file.length}.`);
    summaries.push(...records.map(decodeSummary).filter((summary) => summary !== undefined));
  }
  return summaries;
}

/** The figures of a tag: step and value, in the order in which they were written. */
export async function curveIn(folder: string, tag: string): Promise<readonly (readonly [number, number])[]> {
  return (await summariesIn(folder)).flatMap(({ step, values }) =>
    values.flatMap((value) => (value.tag === tag && 'value' in value ? [[step, value.value] as const] : [])),
  );
}
