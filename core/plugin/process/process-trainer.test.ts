import { expect, it } from 'vitest';
import { TrainerDescription } from '../../generated/simmer/plugin/v1/trainer.js';
import type { KeptProcess } from './kept-process.js';
import type { ProcessPlugin } from './process-plugin.js';
import { processTrainer } from './process-trainer.js';

/** Whether what a plugin's trainer declares takes extensions; it is described without its process. */
function takes(extensionsSchema: Readonly<Record<string, unknown>> | undefined, given: object): boolean | undefined {
  const described = TrainerDescription.fromPartial({ name: 'own', description: 'Trains.', extensionsSchema });
  const plugin = { called: 'theirs' } as ProcessPlugin;
  return processTrainer(plugin, described, 'theirs/own', {} as KeptProcess).extensions?.safeParse(given).success;
}

it('reads the extensions of a trainer as JSON Schema has them: closed only where it says so', () => {
  const open = { type: 'object', properties: { fused: { type: 'boolean' } } };
  expect(takes(open, { fused: true, other: 1 })).toBe(true);
  expect(takes(open, { fused: 'yes' })).toBe(false);
  expect(takes({ ...open, additionalProperties: false }, { fused: true, other: 1 })).toBe(false);
  expect(takes(undefined, { other: 1 })).toBeUndefined();
});
