import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { z } from 'zod';
import { defineGrader } from '../plugin/define.js';
import type { StartedGrader } from '../plugin/definitions.js';
import { GraderPool } from './grader-pool.js';

let cacheFolder: string;
beforeEach(async () => {
  cacheFolder = await mkdtemp(join(tmpdir(), 'simmer-graders-'));
});
afterEach(async () => {
  vi.useRealTimers();
  await rm(cacheFolder, { recursive: true });
});

/** The graders of a run whose only grader is started so, and the warnings of the run. */
function poolOf(start: () => Promise<StartedGrader>) {
  const definition = defineGrader({ description: 'For this test.', options: z.object({}), start });
  const warnings: string[] = [];
  const parts = [
    { plan: { recipeFolder: cacheFolder } },
    { grader: async () => ({ definition }) },
    { cacheFolder },
    { log: () => ({ warning: (message: string) => warnings.push(message) }) },
    { signal: new AbortController().signal },
    { spendingOf: () => undefined },
  ];
  const pool = new GraderPool(...(parts as unknown as ConstructorParameters<typeof GraderPool>));
  return { pool, warnings, get: () => pool.get('acme/close', {}, { stage: 's', attempt: 1 }) };
}

describe('the graders of a run', () => {
  it('names the plugin of one that does not start, whichever stage asked', async () => {
    const { get } = poolOf(() => Promise.reject(new Error('no key')));
    await expect(get()).rejects.toMatchObject({ plugin: 'acme', cause: new Error('no key') });
  });

  it('refuses one that cannot grade', async () => {
    const { get } = poolOf(async () => undefined as unknown as StartedGrader);
    await expect(get()).rejects.toMatchObject({
      code: 'invalid_grader',
      message: expect.stringContaining('acme/close'),
    });
  });

  it('waits for no end of a grader that does not come', async () => {
    const { pool, warnings, get } = poolOf(async () => ({
      grade: async () => [],
      [Symbol.asyncDispose]: () => new Promise<void>(() => {}),
    }));
    await get();
    vi.useFakeTimers();
    const ended = pool.end();
    await vi.advanceTimersByTimeAsync(30_000);
    await ended;
    expect(warnings).toEqual(['The grader acme/close did not end well: its disposal did not end within 30 s']);
  });

  it('tells of one that throws as it ends, by its name', async () => {
    const { pool, warnings, get } = poolOf(async () => ({
      grade: async () => [],
      async [Symbol.asyncDispose]() {
        throw new Error('still busy');
      },
    }));
    await get();
    await pool.end();
    expect(warnings).toEqual(['The grader acme/close did not end well: still busy']);
  });
});
