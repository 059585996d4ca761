import type { Row, TableArtifact } from '../../artifacts/artifact.js';
import type { ArtifactStore } from '../../artifacts/artifact-store.js';
import { UserError } from '../../errors.js';
import { readPlan } from '../run-folder.js';
import { readRunState } from '../run-history.js';
import type { RunOfHome } from '../run-outcome.js';
import { isDone } from '../run-state.js';

/** A graded answer of a run. */
export interface GradedAnswer {
  readonly verdict: string;
  readonly extracted: string | null;
  readonly answer: string | null;
}

/** An item that the two runs answered differently well. */
interface ChangedItem {
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
  /** Which one graded them, where several stages of a run graded the model at this point: on other problems, say. */
  readonly stage?: string;
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

/**
 * Items whose verdict changed from one run to another, by model and policy. Reads every table that has `prompt_id` and
 * `verdict`, whichever stage made it; where several stages of a run graded the same, stages of one name are compared.
 *
 * @throws UserError `nothing_graded`, `nothing_in_common`, `artifact_missing`
 */
export async function diffEvaluations(
  before: RunOfHome,
  after: RunOfHome,
  store: ArtifactStore,
): Promise<readonly PointDiff[]> {
  const [first, second] = [await gradedItems(before, store), await gradedItems(after, store)];
  const diffs = [...first].flatMap(([point, stages]) => pointDiffs(point, stages, second.get(point) ?? new Map()));
  if (diffs.every(({ items }) => items === 0)) {
    const points = (graded: ReadonlyMap<string, unknown>) => [...graded.keys()].slice(0, 5).map(shownPoint).join(', ');
    throw new UserError(
      'nothing_in_common',
      `${before.runId} and ${after.runId} graded no item of the same model at the same point: ${points(first)} against ${points(second)}.`,
      {
        hint:
          'Both runs need the same dataset, the same points, and the same `label` for what is compared; and stages of one ' +
          'name, where several stages of a run graded the same model.',
      },
    );
  }
  return diffs;
}

type Items = ReadonlyMap<string, Item>;

/** Items by the stage that graded them. */
type ItemsByStage = ReadonlyMap<string, Items>;

async function gradedItems(
  { runId, runFolder }: RunOfHome,
  store: ArtifactStore,
): Promise<ReadonlyMap<string, ItemsByStage>> {
  const [plan, { stages }] = await Promise.all([readPlan(runFolder), readRunState(runFolder)]);
  const points = new Map<string, Map<string, Map<string, Item>>>();
  const read = new Set<string>();
  for (const { name: stage } of plan.stages) {
    const state = stages[stage];
    for (const uri of isDone(state) ? Object.values(state.outputs) : []) {
      if (read.has(uri)) continue;
      read.add(uri);
      const artifact = await store.open(uri);
      if (!('rows' in artifact) || !isGraded(artifact)) continue;
      for await (const row of artifact.rows()) {
        const item = itemOf(row);
        const point = JSON.stringify([row.model ?? '', row.policy ?? '']);
        const byStage = points.get(point) ?? new Map<string, Map<string, Item>>();
        const items = byStage.get(stage) ?? new Map<string, Item>();
        points.set(point, byStage.set(stage, items.set(JSON.stringify([item.promptId, item.sample]), item)));
      }
    }
  }
  if (points.size === 0) {
    throw new UserError('nothing_graded', `${runId} has no graded answers.`, {
      hint: 'Only what eval/grade has finished can be compared; `simmer watch` shows how far the run is.',
    });
  }
  return points;
}

/** Whether a table holds graded answers, whichever stage made it. */
export function isGraded({ columns }: TableArtifact): boolean {
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

/** Where each run has one stage that graded the model at the point, its name does not matter. */
function pointDiffs(point: string, before: ItemsByStage, after: ItemsByStage): readonly PointDiff[] {
  const [[, first] = [], ...moreFirst] = before;
  const [[, second] = [], ...moreSecond] = after;
  if (first === undefined || second === undefined) return [];
  if (moreFirst.length + moreSecond.length === 0) return [diffOf(point, first, second)];
  return [...before].flatMap(([stage, items]) => {
    const others = after.get(stage);
    return others === undefined ? [] : [{ ...diffOf(point, items, others), stage }];
  });
}

function diffOf(point: string, before: Items, after: Items): PointDiff {
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
