import type { GradedRun } from './graded-run.js';
import type { Extraction } from './options.js';
import { sharesText } from './shares-text.js';

/** Why answers were not read: for how many the extraction found nothing, and what the grader said of the first of the others. */
export interface Unread {
  readonly notFound: number;
  readonly explanation: string | undefined;
}

/**
 * What is to be said where most answers of a run were not read. They count as wrong, and may be right: the extraction or
 * the grader then looks for what this model, or this dataset, does not have.
 */
export function unreadWarning(
  runs: readonly GradedRun[],
  unread: ReadonlyMap<GradedRun, Unread>,
  extraction: Extraction,
): string | undefined {
  const mostly = runs.filter((run) => run.share('unparsed') > 0.5);
  if (mostly.length === 0) return undefined;
  const notFound = mostly.reduce((sum, run) => sum + (unread.get(run)?.notFound ?? 0), 0);
  const samples = mostly.reduce((sum, run) => sum + run.samples, 0);
  const said = mostly.map((run) => unread.get(run)?.explanation).find((explanation) => explanation !== undefined);
  return [
    `More than half of the answers could not be read, and count as not right (${sharesText(mostly, 'unparsed')}).`,
    ...(notFound === 0 ? [] : [`In ${notFound} of ${samples} ${remedies(extraction)}`]),
    ...(said === undefined
      ? []
      : [`${notFound === 0 ? 'The grader says' : 'Of others the grader says'}, e.g.: ${said}`]),
  ].join(' ');
}

function remedies(extraction: Extraction): string {
  if (extraction === 'whole') return 'there is no text.';
  if (extraction !== 's1') return `the pattern of \`extraction\` matches nothing: ${extraction.pattern}`;
  return (
    'no final answer was found: extraction s1 looks for \\boxed{} and "Answer:". Where the whole reply is the answer, set ' +
    '`extraction: whole`.'
  );
}
