import type { Trainer } from '../core/trainer/trainer.js';

/** A trainer that does as a test says, and refuses all else. */
export function trainerThat(does: Partial<Trainer>): Trainer {
  const refuse = (): never => {
    throw new Error('not asked for here');
  };
  const refuseLater = async () => refuse();
  const all = { describe: refuseLater, train: refuseLater, export: refuseLater, inspect: refuseLater };
  return { name: 'student', ...all, generate: refuse, ...does };
}
