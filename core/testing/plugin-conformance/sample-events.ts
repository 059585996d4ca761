import type { Event } from '../../events/catalogue.js';

/** The beginning of a run that there never was. */
export const sampleEvents: readonly Event[] = [
  {
    runId: 'verify',
    sequence: 1,
    time: '2026-01-01T00:00:00.000Z',
    type: 'run.started',
    data: { pid: 1, host: 'here', resumed: false },
  },
  {
    runId: 'verify',
    sequence: 2,
    time: '2026-01-01T00:00:00.001Z',
    type: 'stage.progressed',
    stage: 'greet',
    attempt: 1,
    data: { done: 1, total: null, unit: 'rows' },
  },
];
