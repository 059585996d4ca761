import type { Row, TableArtifact } from '../artifacts/artifact.js';
import type { ArtifactStore } from '../artifacts/artifact-store.js';
import { UserError } from '../errors.js';
import { readRunState } from './run-history.js';
import { isDone } from './run-state.js';

/** A graded answer of a run. */
export interface GradedAnswer {
  readonly verdict: string;
  readonly extracted: string | null;
  readonly answer: string | null;
}

/** An item that the two runs answered differently well. */
export interface ChangedItem {
  readonly promptId: string;
  readonly sample: number;
  readonly question: string | null;
  readonly gold: string | null;
  readonly before: GradedAnswer;
  readonly after: GradedAnswer;
}

/** What changed for one model at one point of the sweep. */
export interface PointDiff {
  readonly model: string;
  readonly policy: string;
  /** Items that both runs graded. */
  readonly items: number;
  readonly onlyBefore: number;
  readonly onlyAfter: number;
  readonly rightToWrong: number;
  readonly wrongToRight: number;
  /** Items whose verdict is another one, by id; right to wrong comes first. */
  readonly changed: readonly ChangedItem[];
}

type Item = GradedAnswer & Omit<ChangedItem, 'before' | 'after'>;

interface RunOfHome {
  readonly runId: string;
  readonly runFolder: string;
}

/**
 * Items whose verdict changed from one run to another, by model and policy. Reads every table that has `prompt_id` and
 * `verdict`, whichever stage made it.
 *
 * @throws UserError `nothing_graded`, `nothing_in_common`, `artifact_missing`
 */
export async function diffEvaluations(
  before: RunOfHome,
  after: RunOfHome,
  store: ArtifactStore,
): Promise<readonly PointDiff[]> {
  const [first, second] = [await gradedItems(before, store), await gradedItems(after, store)];
  const diffs = [...first].flatMap(([point, items]) => {
    const others = second.get(point);
    return others === undefined ? [] : [diffOf(point, items, others)];
  });
  if (diffs.every(({ items }) => items === 0)) {
    const points = (graded: ReadonlyMap<string, unknown>) => [...graded.keys()].slice(0, 5).map(shownPoint).join(', ');
    throw new UserError(
      'nothing_in_common',
      `${before.runId} and ${after.runId} graded no item of the same model at the same point: ${points(first)} against ${points(second)}.`,
      { hint: 'Both runs need the same dataset, the same points, and the same `label` for what is compared.' },
    );
  }
  return diffs;
}

async function gradedItems(
  { runId, runFolder }: RunOfHome,
  store: ArtifactStore,
): Promise<ReadonlyMap<string, ReadonlyMap<string, Item>>> {
  const state = await readRunState(runFolder);
  const uris = new Set(
    Object.values(state.stages).flatMap((stage) => (isDone(stage) ? Object.values(stage.outputs) : [])),
  );
  const points = new Map<string, Map<string, Item>>();
  for (const uri of uris) {
    const artifact = await store.open(uri);
    if (!('rows' in artifact) || !isGraded(artifact)) continue;
    for await (const row of artifact.rows()) {
      const item = itemOf(row);
      const point = JSON.stringify([row.model ?? '', row.policy ?? '']);
      const items = points.get(point) ?? new Map<string, Item>();
      points.set(point, items.set(JSON.stringify([item.promptId, item.sample]), item));
    }
  }
  if (points.size === 0) {
    throw new UserError('nothing_graded', `${runId} has no graded answers.`, {
      hint: 'Only what eval/grade has finished can be compared; `simmer watch` shows how far the run is.',
    });
  }
  return points;
}

function isGraded({ columns }: TableArtifact): boolean {
  return 'prompt_id' in columns && 'verdict' in columns;
}

function itemOf(row: Row): Item {
  const text = (name: string) => (typeof row[name] === 'string' ? row[name] : null);
  return {
    promptId: String(row.prompt_id),
    sample: typeof row.sample_index === 'number' ? row.sample_index : 0,
    question: text('question'),
    gold: text('gold'),
    verdict: String(row.verdict),
    extracted: text('extracted'),
    answer: text('answer'),
  };
}

function diffOf(point: string, before: ReadonlyMap<string, Item>, after: ReadonlyMap<string, Item>): PointDiff {
  const [model, policy] = JSON.parse(point) as [string, string];
  const changed: ChangedItem[] = [];
  let items = 0;
  for (const [key, was] of before) {
    const is = after.get(key);
    if (is === undefined) continue;
    items += 1;
    if (was.verdict === is.verdict) continue;
    const { promptId, sample, question, gold } = was;
    changed.push({ promptId, sample, question, gold, before: answerOf(was), after: answerOf(is) });
  }
  const isLoss = ({ before: was }: ChangedItem) => was.verdict === 'right';
  return {
    model,
    policy,
    items,
    onlyBefore: before.size - items,
    onlyAfter: after.size - items,
    rightToWrong: changed.filter(isLoss).length,
    wrongToRight: changed.filter(({ after: is }) => is.verdict === 'right').length,
    changed: changed.toSorted(
      (one, other) =>
        Number(isLoss(other)) - Number(isLoss(one)) ||
        one.promptId.localeCompare(other.promptId) ||
        one.sample - other.sample,
    ),
  };
}

function answerOf({ verdict, extracted, answer }: Item): GradedAnswer {
  return { verdict, extracted, answer };
}

function shownPoint(point: string): string {
  return (JSON.parse(point) as [string, string]).join(' at ');
}
