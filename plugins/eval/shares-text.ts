import { formatShare } from 'simmerkit';
import type { GradedRun } from './graded-run.js';

/** How large a share is in each run, what is alike said once: "tuned at 64, 128: 100.0%; tuned at 256: 75.0%". */
export function sharesText(runs: readonly GradedRun[], of: Parameters<GradedRun['share']>[0]): string {
  const places = new Map<string, { readonly model: string; readonly share: string; readonly policies: string[] }>();
  for (const run of runs) {
    const { model, policy } = run;
    const share = formatShare(run.share(of));
    const key = JSON.stringify([model, share]);
    const place = places.get(key) ?? { model, share, policies: [] };
    place.policies.push(policy.id);
    places.set(key, place);
  }
  return [...places.values()]
    .map(({ model, share, policies }) => `${model} at ${policies.join(', ')}: ${share}`)
    .join('; ');
}
