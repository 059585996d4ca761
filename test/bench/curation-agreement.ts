import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Row } from 'simmerkit';
import { ArtifactStore } from '../../core/artifacts/artifact-store.js';
import type { CurationRun } from './curation-run.js';

/** What each step dropped, by the ids that the pool has. */
type Dropped = Readonly<Record<Step, ReadonlySet<string>>>;
type Step = 'quality' | 'exact' | 'near' | 'decontaminate';

interface Agreement {
  /** Steps that leave no choice: whether both dropped the same rows. Decontamination: of those that both still had. */
  readonly sameQuality: boolean;
  readonly sameExact: boolean;
  readonly sameDecontaminated: boolean;
  /** Near duplicates: dropped by Simmer, by the peer, by both. */
  readonly near: readonly [number, number, number];
}

export function agreement(ours: Dropped, theirs: Dropped): Agreement {
  const stillThere = (ids: ReadonlySet<string>) => without(without(ids, ours.near), theirs.near);
  return {
    sameQuality: isSame(ours.quality, theirs.quality),
    sameExact: isSame(ours.exact, theirs.exact),
    sameDecontaminated: isSame(stillThere(ours.decontaminate), stillThere(theirs.decontaminate)),
    near: [ours.near.size, theirs.near.size, without(ours.near, without(ours.near, theirs.near)).size],
  };
}

function isSame(one: ReadonlySet<string>, other: ReadonlySet<string>): boolean {
  return one.size === other.size && without(one, other).size === 0;
}

function without(one: ReadonlySet<string>, other: ReadonlySet<string>): ReadonlySet<string> {
  return new Set([...one].filter((id) => !other.has(id)));
}

/** By the datasets and decisions of its stages. */
export async function droppedBySimmer({ home, stages }: CurationRun): Promise<Dropped> {
  const store = await ArtifactStore.open(home);
  const rowsOf = async (stage: string, output: string): Promise<readonly Row[]> => {
    const artifact = await store.open(stages[stage]?.outputs[output] ?? '');
    if (!('rows' in artifact)) throw new Error(`${stage}.${output} is no table.`);
    const rows: Row[] = [];
    for await (const { row, kept, rule } of artifact.rows()) rows.push({ row, kept, rule });
    return rows;
  };
  const dropped = async (stage: string, before: string, isMeant: (rule: unknown) => boolean) => {
    const rows = await rowsOf(before, 'dataset');
    const decisions = await rowsOf(stage, 'decisions');
    return new Set(
      rows.flatMap(({ row }, at) => (!decisions[at]?.kept && isMeant(decisions[at]?.rule) ? String(row) : [])),
    );
  };
  return {
    quality: await dropped('sound', 'pool', () => true),
    exact: await dropped('unique', 'sound', (rule) => rule === 'duplicate'),
    near: await dropped('unique', 'sound', (rule) => rule === 'near_duplicate'),
    decontaminate: await dropped('clean', 'unique', () => true),
  };
}

/** By what curation_datatrove.py wrote. */
export async function droppedByDatatrove(folder: string): Promise<Dropped> {
  const ids = await readJson<Record<Step, readonly string[]>>(join(folder, 'dropped.json'));
  return mapSteps((step) => new Set(ids[step]));
}

/** By what curation_plain.py kept after each step. */
export async function droppedByPlain(folder: string): Promise<Dropped> {
  const kept = await readJson<Record<Step | 'load', readonly string[]>>(join(folder, 'kept.json'));
  const before = { quality: 'load', exact: 'quality', near: 'exact', decontaminate: 'near' } as const;
  return mapSteps((step) => without(new Set(kept[before[step]]), new Set(kept[step])));
}

function mapSteps(dropped: (step: Step) => ReadonlySet<string>): Dropped {
  return {
    quality: dropped('quality'),
    exact: dropped('exact'),
    near: dropped('near'),
    decontaminate: dropped('decontaminate'),
  };
}

async function readJson<T>(file: string): Promise<T> {
  return JSON.parse(await readFile(file, 'utf8')) as T;
}
