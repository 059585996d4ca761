import type { Row, TableArtifact } from '../../artifacts/artifact.js';
import type { ArtifactStore } from '../../artifacts/artifact-store.js';
import { RowFinder } from '../../artifacts/find-rows.js';
import { nearestName } from '../../document/nearest-name.js';
import { UserError } from '../../errors.js';
import { formatCounted } from '../../figures.js';
import type { Plan, PlannedStage, StageReference } from '../../recipe/plan.js';
import { shortened } from '../../shortened-text.js';
import { readPlan } from '../run-folder.js';
import { readRunState } from '../run-history.js';
import type { RunOfHome } from '../run-outcome.js';
import { isDone } from '../run-state.js';
import { isGraded } from './eval-diff.js';

/** What a stage decided about a row. A row that came twice was decided about twice. */
export interface RowDecision {
  readonly kept: boolean;
  /** The rule that dropped or chose it. Null: no rule spoke against it. */
  readonly rule: string | null;
  readonly evidence: string | null;
  /** Which of several rows with this id: its place in the decisions, from 1, mostly that in the stage's dataset too. */
  readonly row?: number;
}

/** One graded answer of a model to a row's question. */
export interface RowAttempt {
  readonly model: string | null;
  readonly policy: string | null;
  readonly sample: number | null;
  readonly extracted: string | null;
  readonly verdict: string;
}

/** What became of a row in one stage. */
export interface RowStep {
  readonly stage: string;
  readonly uses: string;
  /**
   * seen: it is in an output of a stage that drops nothing by rule. leftOut: it is in the stage's `dataset` and in no
   * output. graded: models answered it, and the stage decided nothing.
   */
  readonly outcome: 'seen' | 'kept' | 'dropped' | 'leftOut' | 'graded';
  readonly decisions: readonly RowDecision[];
  readonly attempts: readonly RowAttempt[];
  /** Outputs that hold it, by name. */
  readonly outputs: readonly string[];
  /** Of those that hold several rows with this id, as of a question that came twice: where these are, from 1. */
  readonly rows?: Readonly<Record<string, readonly number[]>>;
}

/** Where a row of a run came from and what became of it, stage by stage, in the order of the plan. */
export interface RowHistory {
  readonly runId: string;
  readonly id: string;
  readonly question: string | null;
  readonly source: string | null;
  readonly steps: readonly RowStep[];
  /** Stages that are not done: the history may go on there. */
  readonly stagesLeft: readonly string[];
}

type Table = TableArtifact;
type Outputs = ReadonlyMap<string, Table>;

/**
 * Follows one row through the tables that a run's stages made. Knows no stage: it reads tables that have an `id`,
 * decisions (`id`, `kept`, `rule`, `evidence`), and graded answers (`prompt_id`, `verdict`).
 * @param idOrPrefix a row's id, or the beginning of one (from 4 characters on) that no other row shares, or what this row
 * alone has in another column, such as an id of the author's, or words that stand in the question of this row alone; what
 * several have is answered with their ids
 * @throws UserError `row_not_found`, `row_ambiguous`, `artifact_missing`
 */
export async function explainRow(run: RunOfHome, idOrPrefix: string, store: ArtifactStore): Promise<RowHistory> {
  const plan = await readPlan(run.runFolder);
  const { tables, stagesLeft } = await openTables(plan, run.runFolder, store);
  using finder = await RowFinder.open();
  const id = await findId(idOrPrefix, tables, finder, run.runId);
  const where = { column: 'id', value: id };
  const holders = new Set<string>();
  let facts: { question: string | null; source: string | null } = { question: null, source: null };
  const steps: RowStep[] = [];
  for (const stage of plan.stages) {
    const outputs = tables.get(stage.name);
    if (outputs === undefined) continue;
    const decisions: RowDecision[] = [];
    const attempts: RowAttempt[] = [];
    const holding: string[] = [];
    const shared: Record<string, readonly number[]> = {};
    for (const [name, table] of outputs) {
      if (isDecisions(table)) {
        const rows = await finder.rows(table, where, ['kept', 'rule', 'evidence']);
        const places = rows.length > 1 ? await finder.places(table, where) : [];
        decisions.push(...rows.map((row, index) => decisionIn(row, places[index])));
      } else if (isGraded(table)) {
        attempts.push(...(await readAttempts(finder, table, id)));
      } else if ('id' in table.columns) {
        const [row, second] = await finder.rows(table, where, ['id', 'question', 'source']);
        if (row === undefined) continue;
        const places = second === undefined ? [] : await finder.places(table, where);
        if (places.length > 0) shared[name] = places;
        holding.push(name);
        holders.add(`${stage.name}.${name}`);
        facts = {
          question: facts.question ?? (row.question as string | undefined) ?? null,
          source: facts.source ?? (row.source as string | undefined) ?? null,
        };
      }
    }
    const outcome = outcomeOf(stage, outputs, { decisions, attempts, holding, holders });
    if (outcome === undefined) continue;
    const rows = Object.keys(shared).length === 0 ? {} : { rows: shared };
    steps.push({ stage: stage.name, uses: stage.uses, outcome, decisions, attempts, outputs: holding, ...rows });
  }
  return { runId: run.runId, id, ...facts, steps, stagesLeft };
}

async function openTables(plan: Plan, runFolder: string, store: ArtifactStore) {
  const state = await readRunState(runFolder);
  const tables = new Map<string, Outputs>();
  const stagesLeft: string[] = [];
  for (const { name } of plan.stages) {
    const stage = state.stages[name];
    if (!isDone(stage)) {
      stagesLeft.push(name);
      continue;
    }
    const outputs = new Map<string, Table>();
    for (const [output, uri] of Object.entries(stage.outputs)) {
      const artifact = await store.open(uri);
      if ('rows' in artifact) outputs.set(output, artifact);
    }
    tables.set(name, outputs);
  }
  return { tables, stagesLeft };
}

async function findId(
  wanted: string,
  tables: ReadonlyMap<string, Outputs>,
  finder: RowFinder,
  runId: string,
): Promise<string> {
  const made = [...tables.values()].flatMap((outputs) => [...outputs.values()]);
  const withIds = made.filter(({ columns }) => 'id' in columns && !('prompt_id' in columns));
  const read = [...new Map(withIds.map((table) => [table.uri, table])).values()];
  const where = { column: 'id', value: wanted };
  // A whole id, which most are, is looked up; for anything else all ids are looked at, where they are: there may be millions.
  for (const table of read) if ((await finder.rows(table, where, ['id'])).length > 0) return wanted;
  const { ids, total } = await finder.idsBeginning(wanted.length < 4 ? [] : read, wanted, idsShown);
  if (total === 1) return ids[0] as string;
  if (total > 1) {
    throw new UserError('row_ambiguous', `"${wanted}" may be any of ${total} rows.`, {
      hint: `Type more of it: ${ids.join(', ')}.`,
    });
  }
  const named = await findInColumns(wanted, read, finder);
  const questions = await findQuestions(wanted, read, finder);
  const [only, ...others] = new Set([...named.keys(), ...questions.keys()]);
  if (only !== undefined && (others.length === 0 || named.size === 1)) return only;
  const found = [
    ...[...named].map(([id, column]) => `${id}  column ${column}`),
    ...[...questions].map(([id, question]) => `${id}  ${question}`),
  ];
  const nearest = found.length > 0 ? undefined : nearestName(wanted, await finder.idsLike(read, wanted, idsShown));
  const all = await finder.countIds(read);
  const meant = nearest === undefined ? '' : `Did you mean ${nearest}? `;
  throw new UserError(
    'row_not_found',
    `No row of the run has the id "${wanted}"; it has ${formatCounted(all, 'id')}.`,
    {
      hint:
        all === 0
          ? 'None of its stages that are done made a table with a column `id`.'
          : found.length > 0
            ? ['It stands in these rows; give the id of one:', ...found].join('\n  ')
            : `${meant}Words of its question find a row, too, and so does an id of your own that another column has. Or look into the column \`id\` of a table: \`simmer artifacts ${runId}\` lists them (\`--get\` copies one), and \`simmer rows ${runId} STAGE.OUTPUT\` shows rows of one.`,
    },
  );
}

const idsShown = 5;
const questionsShown = 5;

/** Ids of the first rows that have a text as it is in another column, such as an id of their author's, and in which. */
async function findInColumns(
  text: string,
  tables: readonly Table[],
  finder: RowFinder,
): Promise<ReadonlyMap<string, string>> {
  const found = new Map<string, string>();
  for (const table of tables) {
    if (isDecisions(table)) continue;
    const columns = Object.entries(table.columns)
      .filter(([name, type]) => name !== 'id' && name !== 'question' && /^(VARCHAR|\w*INT(EGER)?)$/.test(type))
      .map(([name]) => name);
    if (columns.length === 0) continue;
    for (const { id, column } of await finder.idsWith(table, columns, text, idsShown)) {
      if (!found.has(id) && found.size < idsShown) found.set(id, column);
    }
  }
  return found;
}

/** Ids and beginnings of the questions that a text stands in, of the first such rows. */
async function findQuestions(
  text: string,
  tables: readonly Table[],
  finder: RowFinder,
): Promise<ReadonlyMap<string, string>> {
  const found = new Map<string, string>();
  for (const table of tables) {
    if (table.columns.question !== 'VARCHAR') continue;
    for (const { id, question } of await finder.questionsWith(table, text, questionsShown)) found.set(id, question);
    if (found.size >= questionsShown) break;
  }
  const lines = [...found].map(([id, question]) => [id, shortened(question.replaceAll(/\p{Cc}/gu, ' '), 80)] as const);
  return new Map(lines.slice(0, questionsShown));
}

function decisionIn({ kept, rule, evidence }: Row, place: number | undefined): RowDecision {
  const decision = { kept, rule, evidence } as RowDecision;
  return place === undefined ? decision : { ...decision, row: place };
}

function isDecisions({ columns }: Table): boolean {
  return ['id', 'kept', 'rule', 'evidence'].every((name) => name in columns);
}

async function readAttempts(finder: RowFinder, table: Table, id: string): Promise<RowAttempt[]> {
  const wanted = ['model', 'policy', 'sample_index', 'extracted', 'verdict'];
  const rows = await finder.rows(table, { column: 'prompt_id', value: id }, wanted);
  return rows.map((row) => ({
    model: (row.model as string | null | undefined) ?? null,
    policy: (row.policy as string | null | undefined) ?? null,
    sample: (row.sample_index as number | null | undefined) ?? null,
    extracted: (row.extracted as string | null | undefined) ?? null,
    verdict: String(row.verdict),
  }));
}

interface Found {
  readonly decisions: readonly RowDecision[];
  readonly attempts: readonly RowAttempt[];
  readonly holding: readonly string[];
  /** `stage.output` of earlier stages that hold the row. */
  readonly holders: ReadonlySet<string>;
}

function outcomeOf(stage: PlannedStage, outputs: Outputs, found: Found): RowStep['outcome'] | undefined {
  // A stage that reads files decides about those rows alone that it drops: of two with one id, one may be there.
  const isKept = found.decisions.some(({ kept }) => kept) || found.holding.includes('dataset');
  if (found.decisions.length > 0) return isKept ? 'kept' : 'dropped';
  if (found.attempts.length > 0) return 'graded';
  if (found.holding.length > 0) return 'seen';
  const tables = [...outputs.values()];
  const couldHoldIt = tables.some((table) => 'id' in table.columns && !('prompt_id' in table.columns));
  if (!couldHoldIt || tables.some(isDecisions)) return undefined;
  const { dataset } = stage.inputs;
  const references = dataset === undefined ? [] : [dataset].flat();
  const hadIt = references.some(({ stage: from, output }: StageReference) => found.holders.has(`${from}.${output}`));
  return hadIt ? 'leftOut' : undefined;
}
