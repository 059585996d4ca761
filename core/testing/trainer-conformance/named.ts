import {
  type Hyperparameters,
  learningRateScheduleToJSON,
  methodToJSON,
  precisionToJSON,
} from '../../generated/simmer/trainer/v1/trainer.js';
import { show } from '../verification.js';

type Change = Partial<Hyperparameters>;

/** Hyperparameters by their names on the wire. */
export function named(change: Change): string {
  const given = Object.entries(change).filter(([, value]) => value !== undefined);
  const parts = given.map(([name]) => {
    const field = name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
    return `${field} = ${wordsOf(change, name as keyof Change)}`;
  });
  return parts.join(', ');
}

function wordsOf(change: Change, name: keyof Change): string {
  if (name === 'schedule') return learningRateScheduleToJSON(change.schedule!);
  if (name === 'method') return methodToJSON(change.method!);
  if (name === 'precision') return precisionToJSON(change.precision!);
  return typeof change[name] === 'object' ? show(change[name]) : String(change[name]);
}
