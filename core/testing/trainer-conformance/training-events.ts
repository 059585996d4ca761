import type { StepLogged, TrainerEvent, TrainingStarted } from '../../generated/simmer/trainer/v1/trainer.js';
import { demand } from '../verification.js';

/** What a training told when it began. @throws Deviation */
export function startedOf(events: readonly TrainerEvent[]): TrainingStarted {
  const started = events.find(({ event }) => event?.$case === 'trainingStarted')?.event;
  demand(started?.$case === 'trainingStarted', 'training_started', 'none');
  return started.value;
}

/** The steps that were logged, in their order. */
export function stepsOf(events: readonly TrainerEvent[]): StepLogged[] {
  return events.flatMap(({ event }) => (event?.$case === 'stepLogged' ? [event.value] : []));
}
