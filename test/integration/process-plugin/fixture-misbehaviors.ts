import { hookMisbehaviors } from './fixture-hooks.js';
import { launcherMisbehaviors } from './fixture-launcher.js';
import { planningMisbehaviors } from './fixture-planning.js';
import { trainerMisbehaviors } from './fixture-trainer.js';

/** What goes wrong with the plugin of this program, by the word that it is started with. */
const misbehaviors = [
  'none',
  'wrong-protocol',
  'any-protocol',
  'rubbish-instead',
  'rubbish-around',
  'flood',
  'exit-at-start',
  'not-serving',
  'crash',
  'hang',
  'freeze',
  'hog',
  'child-hog',
  'no-end',
  'two-ends',
  'undeclared-output',
  'made-up-output',
  'ignore-cancel',
  'pays-slowly',
  'ignore-shutdown',
  'ignore-stdin',
  'unknown-stage-runs',
  'grades-shuffled',
  'grades-silent',
  'grades-unasked',
  'fails-unforeseen',
  'fails-foreseen',
  'funnel-wrong',
  'funnel-wrong-to-host',
  'writes-into-input',
  'opens-any-sink',
  'report-relative',
  'describe-changes',
  'bad-schema',
  'bad-name',
  ...planningMisbehaviors,
  ...hookMisbehaviors,
  ...trainerMisbehaviors,
  ...launcherMisbehaviors,
] as const;
export type Misbehavior = (typeof misbehaviors)[number];

/** A limit for what is waited for in vain; what does answer or end has all the time that a busy machine may need. */
export function whereItHangs<Limits extends object>(misbehavior: Misbehavior, limits: Limits): Limits | undefined {
  return misbehavior.includes('hang') ? limits : undefined;
}
