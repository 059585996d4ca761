import { expect, it } from 'vitest';
import type { RunArtifact } from '../../engine/run-artifacts.js';
import type { RunSummary } from '../../engine/run-outcome.js';
import { findOutput } from './artifacts.js';

const run = { runId: 'mine-20260101-120000-1a2b' } as RunSummary;
const report: RunArtifact = { id: 'simmer-report://mine', type: 'report', stage: '', output: '', files: [] };
const pool: RunArtifact = {
  id: 'simmer://dataset/sha256-a',
  type: 'dataset',
  stage: 'pool',
  output: 'dataset',
  files: [],
};

it('answers a wrong name of an output with the outputs of stages, not with the report of the run', () => {
  expect(() => findOutput('graded', [pool, report], run)).toThrow(
    expect.objectContaining({ code: 'output_not_found', hint: 'There is: pool.dataset.' }),
  );
  expect(() => findOutput('.', [report], run)).toThrow(
    expect.objectContaining({ code: 'output_not_found', hint: 'None of its stages has made anything yet.' }),
  );
});
