import type { StartWork } from 'simmerkit';
import type { QualityOptions } from './options.js';
import { qualityJudge } from './quality-rules.js';
import { type FoundDrops, findDrops } from './sieve.js';

export const start: StartWork<QualityOptions, FoundDrops> = (options) => {
  const judge = qualityJudge(options);
  return (rows) => findDrops(rows, judge);
};
