import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import { expect, it } from 'vitest';
import type { RunArtifact } from '../../engine/past-runs/run-artifacts.js';
import type { RunSummary } from '../../engine/run-outcome.js';
import type { Event } from '../../events/catalogue.js';
import { findOutput, lostOutputs, verifyFiles } from './artifacts.js';

const run = { runId: 'mine-20260101-120000-1a2b' } as RunSummary;
const report: RunArtifact = { id: 'simmer-report://mine', type: 'report', stage: '', output: '', files: [] };
const pool: RunArtifact = {
  id: 'simmer://dataset/sha256-a',
  type: 'dataset',
  stage: 'pool',
  output: 'dataset',
  files: [],
};

const made = { type: 'stage.completed', stage: 'pool', data: { outputs: { dataset: pool.id } } } as unknown as Event;
const workspace = { briefHistory: () => Readable.from([made]), history: () => Readable.from([]) };

it('answers a wrong name of an output with the outputs of stages, not with the report of the run', async () => {
  await expect(findOutput('graded', [pool, report], run, workspace)).rejects.toMatchObject({
    code: 'output_not_found',
    hint: 'There is: pool.dataset.',
  });
  await expect(findOutput('pool', [pool, report], run, workspace)).rejects.toMatchObject({
    hint: 'The stage has made: pool.dataset.',
  });
  await expect(findOutput('.', [report], run, workspace)).rejects.toMatchObject({
    code: 'output_not_found',
    hint: 'None of its stages has made anything yet.',
  });
});

it('tells an output that was made and is damaged or gone from one that there never was', async () => {
  expect(await findOutput('pool.dataset', [pool], run, workspace)).toBe(pool);
  await expect(findOutput('pool.dataset', [report], run, workspace)).rejects.toMatchObject({
    code: 'output_not_whole',
    message: `Run ${run.runId} made "pool.dataset", which is not whole in the store any more.`,
  });
});

it('reads of a run that completed no more than its last event', async () => {
  const completed = { ...run, status: 'completed', events: 1_000_000 } as RunSummary;
  const ended = { type: 'run.completed', data: { outputs: { 'pool.dataset': pool.id } } } as unknown as Event;
  const from: unknown[] = [];
  const watched = {
    ...workspace,
    history: (_: RunSummary, options: object = {}) => {
      from.push(options);
      return Readable.from([ended]);
    },
  };
  await expect(findOutput('pool.dataset', [], completed, watched)).rejects.toMatchObject({ code: 'output_not_whole' });
  expect(from).toEqual([{ from: 1_000_000 }]);
});

it('names the outputs that were made and are damaged or gone, beside those that are there', async () => {
  const outputs = { dataset: pool.id, decisions: 'simmer://dataset/sha256-b' };
  const both = { ...made, data: { ...made.data, outputs } } as Event;
  expect(await lostOutputs([pool, report], Readable.from([both]))).toEqual(['pool.decisions']);
  expect(await lostOutputs([pool], Readable.from([made]))).toEqual([]);
});

it('finds a byte that has changed in a file, be its size as it was, and outputs that are not whole', async () => {
  const files = Object.entries({ 'a.parquet': 'abc', 'b.parquet': 'def' }).map(([path, text]) => ({
    path,
    size: 3,
    sha256: createHash('sha256').update(text).digest('hex'),
  }));
  const verified = (b: string, lost: readonly string[] = []) =>
    verifyFiles({ made: [{ ...pool, files }], lost }, run, ({ path }) =>
      Readable.from([Buffer.from(path.startsWith('a') ? 'abc' : b)]),
    );
  await verified('def');
  await expect(verified('dfe')).rejects.toMatchObject({
    code: 'artifact_damaged',
    message: 'b.parquet of pool.dataset is not the file that was written: the SHA-256 differs.',
  });
  await expect(verified('def', ['pool.decisions'])).rejects.toMatchObject({
    code: 'output_not_whole',
    message: 'pool.decisions was made, and is not whole in the store any more: to make it anew, run the recipe again.',
  });
  await expect(verified('dfe', ['pool.decisions'])).rejects.toMatchObject({
    code: 'artifact_damaged',
    message: expect.stringContaining('differs. pool.decisions was made'),
  });
});
