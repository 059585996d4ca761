import { isMapValue } from '../document/describe-value.js';
import type { Path } from '../document/path.js';
import { checkAnswer } from '../plugin/check-answer.js';
import { columnProblem } from '../plugin/columns.js';
import type { ColumnsOf, KnownColumns, StageSource } from '../plugin/definitions.js';
import { guardedAnswer } from './checked-options.js';
import type { PlanScope } from './plan-scope.js';
import { addProblems, type CheckedStage } from './plan-stages.js';

/**
 * Asks stages what they have against those that their inputs come from, and which columns these lack.
 * @param stages each after its inputs
 */
export async function checkSources(scope: PlanScope, stages: readonly CheckedStage[]): Promise<void> {
  const sources = new Map<string, StageSource>();
  const known = new Map<string, KnownColumns>();
  for (const stage of stages) {
    const { name, uses, found, inputs, options } = stage;
    const named = Object.entries(inputs).map(([input, references]) => {
      return [input, [references].flat().map(({ stage }) => sources.get(stage)!)] as const;
    });
    const source = { uses, options: options.output, inputs: Object.fromEntries(named) };
    sources.set(name, source);
    const problems = await guardedAnswer(uses, async () =>
      checkAnswer(uses, 'checkInputs', found.definition.checkInputs?.(source.inputs)),
    );
    addProblems(scope, name, problems);
    const columnsOf = columnsFrom(inputs, known);
    await checkColumns(scope, stage, known, columnsOf);
    const { columns } = found.definition;
    const made = await guardedAnswer(uses, async () =>
      checkAnswer(uses, 'columns', await columns?.(options.output, columnsOf)),
    );
    known.set(name, made ?? {});
  }
}

/** What is known of the columns of a stage's inputs. */
function columnsFrom(inputs: CheckedStage['inputs'], known: ReadonlyMap<string, KnownColumns>): ColumnsOf {
  return (input) => {
    const tables = [inputs[input] ?? []].flat().map(({ stage, output }) => known.get(stage)?.[output]);
    if (tables.length === 0 || tables.includes(undefined)) return undefined;
    return [...new Set(tables.flatMap((columns) => columns ?? []))];
  };
}

/** Tells where an input will lack a column that the stage reads, at the option that names it. */
async function checkColumns(
  scope: PlanScope,
  { name, uses, found, inputs, options, with: given }: CheckedStage,
  known: ReadonlyMap<string, KnownColumns>,
  columnsOf: ColumnsOf,
): Promise<void> {
  const { reads } = found.definition;
  const needed = await guardedAnswer(uses, async () => checkAnswer(uses, 'reads', reads?.(options.output, columnsOf)));
  for (const [input, names] of Object.entries(needed ?? {})) {
    for (const { stage, output } of [inputs[input] ?? []].flat()) {
      const columns = known.get(stage)?.[output];
      const problem = columns && columnProblem(columns, names, `stages.${stage}.${output}`);
      if (!problem) continue;
      const { code, message, hint, missing } = problem;
      scope.problems.add(code, message, ['stages', name, 'with', ...(pathNaming(given, missing) ?? [input])], { hint });
    }
  }
}

/** Where a name stands, as a text or as a key. */
function pathNaming(given: unknown, name: string): Path | undefined {
  if (given === name) return [];
  if (!Array.isArray(given) && !isMapValue(given)) return undefined;
  for (const [key, value] of Object.entries(given)) {
    const inside = key === name ? [] : pathNaming(value, name);
    if (inside !== undefined) return [Array.isArray(given) ? Number(key) : key, ...inside];
  }
  return undefined;
}
