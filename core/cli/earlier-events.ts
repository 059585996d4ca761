import type { RunSummary } from '../engine/run-outcome.js';
import type { Event } from '../events/catalogue.js';
import type { Workspace } from './workspace.js';

/** What a view counts in without telling it: in brief, since a view draws no more of a training than some hundred points. */
export async function* earlierEvents(
  workspace: Pick<Workspace, 'briefHistory'>,
  run: RunSummary,
  lastSequence: number,
): AsyncIterable<Event> {
  if (lastSequence === 0) return;
  for await (const event of workspace.briefHistory(run)) {
    if (event.sequence > lastSequence) return;
    yield event;
  }
}
