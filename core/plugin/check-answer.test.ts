import { describe, expect, it } from 'vitest';
import { checkAnswer } from './check-answer.js';

describe('what a plugin answers while a recipe is planned', () => {
  it.each([
    ['check', [], []],
    ['check', undefined, undefined],
    ['check', null, null],
    ['resources', { cpus: 2, more: 'things' }, { cpus: 2, more: 'things' }],
    ['estimate', { seconds: 0, outputs: { dataset: { rows: 3 } } }, { seconds: 0, outputs: { dataset: { rows: 3 } } }],
    ['afterPlan', [{ message: 'No.' }], [{ message: 'No.' }]],
  ] as const)('may be for %s %j', (call, answer, taken) => {
    expect(checkAnswer<unknown>('acme/score', call, answer)).toEqual(taken);
  });

  it.each([
    ['check', 'bad', 'Invalid input: expected array, received string.'],
    ['check', [{ mesage: 'x' }], '0.path: Invalid input: expected string, received undefined; 0.code: '],
    ['resources', { cpus: 'many' }, 'cpus: Invalid input: expected number, received string.'],
    ['resources', { cpus: Number.NaN }, 'cpus: Invalid input: expected number, received NaN.'],
    ['estimate', { usd: Number.NaN }, 'usd: Invalid input: expected number, received NaN.'],
    ['estimate', { outputs: { dataset: 3 } }, 'outputs.dataset: '],
    ['afterPlan', [{ msg: 'No.' }], '0.message: '],
  ] as const)('may not be for %s %j', (call, answer, wrong) => {
    expect(() => checkAnswer<unknown>('acme/score', call, answer)).toThrow(
      expect.objectContaining({
        code: 'plugin_failed',
        message: expect.stringContaining(`What \`${call}\` of acme/score returned does not fit: ${wrong}`),
      }),
    );
  });
});
