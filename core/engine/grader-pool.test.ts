import { basename, dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { z } from 'zod';
import { temporaryFolder } from '../../test/temporary-folder.js';
import { defineGrader } from '../plugin/define.js';
import type { GraderContext, StartedGrader } from '../plugin/definitions.js';
import { GraderPool } from './grader-pool.js';

let cacheFolder: string;
beforeEach(async () => {
  cacheFolder = await temporaryFolder();
});
afterEach(async () => {
  vi.useRealTimers();
});

/** The graders of a run whose only grader is started so, and the warnings of the run. */
function poolOf(start: (context: GraderContext) => Promise<StartedGrader>, runId = 'run', needsGold = () => true) {
  const options = z.object({ url: z.string().default('') });
  const description = 'For this test.';
  const definition = defineGrader({ description, options, needsGold, start: (_, context) => start(context) });
  const warnings: string[] = [];
  const parts = [
    { runId, plan: { recipeFolder: cacheFolder, seed: 1 } },
    { grader: async () => ({ definition }) },
    { cacheFolder },
    { log: () => ({ warning: (message: string) => warnings.push(message) }) },
    { signal: new AbortController().signal },
    { spendingOf: () => undefined },
    { keptFolder: async (digest: string, keeper: string) => join(digest, keeper) },
  ];
  const pool = new GraderPool(...(parts as unknown as ConstructorParameters<typeof GraderPool>));
  return {
    pool,
    warnings,
    get: (options = {}) => pool.get('acme/close', options, { stage: 's', attempt: 1 }, (work) => work),
  };
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

  it('names the plugin of one that fails to say whether it needs gold answers, and does not start it', async () => {
    let starts = 0;
    const start = async () => {
      starts++;
      return { grade: async () => [], [Symbol.asyncDispose]: async () => {} };
    };
    const { get } = poolOf(start, 'run', () => {
      throw new Error('no prompt');
    });
    await expect(get()).rejects.toMatchObject({ plugin: 'acme', cause: new Error('no prompt') });
    expect(starts).toBe(0);
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

  it('has each keep in a folder of its own, beside those of other runs', async () => {
    const folders: string[] = [];
    const start = async (context: GraderContext) => {
      folders.push(await context.keptFolder({ model: 'm' }));
      return { grade: async () => [], [Symbol.asyncDispose]: async () => {} };
    };
    const first = poolOf(start);
    await first.get({ url: 'a' });
    await first.get({ url: 'b' });
    await poolOf(start, 'later').get({ url: 'a' });
    const [a = '', b = '', later = ''] = folders;
    expect(new Set(folders.map((folder) => dirname(folder))).size).toBe(1);
    expect(basename(a)).toMatch(/^run\.[0-9a-f]+$/);
    expect(basename(b)).not.toBe(basename(a));
    expect(basename(later)).toBe(basename(a).replace('run', 'later'));
  });
});
