import { describeValue, isMapValue } from '../document/describe-value.js';
import { suggestion } from '../document/nearest-name.js';
import { asSchema, mapsThatKnow } from '../document/option-schema.js';
import { formatPath, type Path, pathKey } from '../document/path.js';
import { StageOutput, unresolved } from '../document/placeholders.js';
import { checkWithSchema } from '../document/schema-problems.js';
import type { Contribution } from '../plugin/catalog.js';
import { checkAnswer } from '../plugin/check-answer.js';
import type { InputDefinition, OptionProblem, StageDefinition, VersionsContext } from '../plugin/definitions.js';
import { type CheckedOptions, checkOptions, codeDigestOf, guardedAnswer } from './checked-options.js';
import { graderVersions } from './grader-versions.js';
import { inParts } from './in-parts.js';
import type { PlannedStage, StageReference } from './plan.js';
import type { PlanScope } from './plan-scope.js';
import { type CheckedTrainer, checkEntryName, namedSecrets, withoutNulls } from './plan-trainers.js';
import { plannedResources, type RecipeResources, stageShape } from './recipe-shape.js';

type Inputs = PlannedStage['inputs'];

/** A stage whose outside is right and whose contribution is found. */
interface FoundStage {
  readonly name: string;
  readonly uses: string;
  readonly found: Contribution<StageDefinition>;
  readonly with: Readonly<Record<string, unknown>>;
  readonly seed: number | undefined;
  readonly resources: RecipeResources;
  readonly expect: PlannedStage['expect'];
}

/** A stage whose every part is right. */
export interface CheckedStage extends FoundStage {
  readonly inputs: Inputs;
  readonly options: CheckedOptions;
}

/** What a stage's inputs and options may name. */
interface Surroundings {
  /** Every stage of the recipe, by name; undefined for one with a problem of its own. */
  readonly stages: ReadonlyMap<string, FoundStage | undefined>;
  readonly trainerNames: readonly string[];
  /** Those of them that have no problem of their own. */
  readonly trainers: readonly CheckedTrainer[];
}

/** Looks at the outside of each stage, and finds what it uses. */
export async function findStages(
  scope: PlanScope,
  stages: Readonly<Record<string, unknown>>,
): Promise<ReadonlyMap<string, FoundStage | undefined>> {
  const find = async ([name, raw]: [string, unknown]) => [name, await findStage(scope, name, raw)] as const;
  return new Map(await inParts(Object.entries(stages), find));
}

async function findStage(scope: PlanScope, name: string, raw: unknown): Promise<FoundStage | undefined> {
  const path: Path = ['stages', name];
  checkEntryName(scope, 'stage', path);
  const uses = isMapValue(raw) && typeof raw.uses === 'string' && raw.uses !== '' ? raw.uses : undefined;
  const found = uses === undefined ? undefined : await scope.find([...path, 'uses'], scope.catalog.stage(uses));
  const shaped = checkWithSchema({
    schema: stageShape,
    value: withoutNulls(raw),
    path,
    writtenAs: scope.writtenAs,
    elsewhere: (key) => found && mapThatKnows(found.definition, key, [...path, 'with']),
    problems: scope.problems,
  });
  // What a stage with a wrong key beside `uses` has in its `with` is worth looking at all the same.
  if (uses === undefined || found === undefined) return undefined;
  const given = isMapValue(raw) && isMapValue(raw.with) ? raw.with : {};
  checkExpected(scope, [...path, 'expect'], shaped?.expect, found);
  return {
    name,
    uses,
    found,
    with: given,
    seed: shaped?.seed,
    resources: shaped?.resources ?? {},
    expect: shaped?.expect as PlannedStage['expect'],
  };
}

/** A map of a stage's `with`, which is at the path, that knows a key. */
function mapThatKnows({ inputs, options }: StageDefinition, key: string, path: Path): Path | undefined {
  if (Object.hasOwn(inputs, key)) return path;
  const [inside] = mapsThatKnow(asSchema(options), key);
  return inside === undefined ? undefined : [...path, ...inside];
}

/** Only of outputs that the stage has can something be expected. */
function checkExpected(
  scope: PlanScope,
  path: Path,
  expect: object | undefined,
  { definition }: Contribution<StageDefinition>,
): void {
  const outputs = Object.keys(definition.outputs);
  for (const name of Object.keys(expect ?? {})) {
    if (outputs.includes(name)) continue;
    scope.problems.add('unknown_output', `It has no output "${name}".`, [...path, name], {
      of: 'key',
      hint: suggestion(name, outputs),
    });
  }
}

/** Checks a stage's options and inputs. @returns undefined after a problem */
export async function checkStage(
  scope: PlanScope,
  stage: FoundStage,
  around: Surroundings,
): Promise<CheckedStage | undefined> {
  const path: Path = ['stages', stage.name, 'with'];
  const { definition } = stage.found;
  const inputNames = Object.keys(definition.inputs);
  const inputs: Record<string, StageReference | readonly StageReference[]> = {};
  let isWhole = true;
  for (const [name, input] of Object.entries(definition.inputs)) {
    const given = Object.hasOwn(stage.with, name) ? stage.with[name] : undefined;
    const read = readInput(scope, [...path, name], input, given, around);
    if (read === 'wrong') isWhole = false;
    else if (read !== undefined) inputs[name] = read;
  }
  const isOption = (key: string): boolean => !inputNames.includes(key);
  // A param that is null takes an option away; a null that is written there is a value.
  const isGiven = ([key, value]: [string, unknown]): boolean =>
    isOption(key) && !(value === null && scope.writtenAs.has(pathKey([...path, key])));
  const given = Object.fromEntries(Object.entries(stage.with).filter(isGiven));
  const options = await checkOptions(scope, {
    uses: stage.uses,
    schema: definition.options,
    value: withoutOutputs(scope, given, path, stage),
    path,
    otherKeys: inputNames,
    trainerNames: around.trainerNames,
    extensionsOf: (trainer) => around.trainers.find(({ name }) => name === trainer)?.found.definition.extensions,
  });
  if (options === undefined) return undefined;
  const counts = Object.fromEntries(inputNames.map((name) => [name, [inputs[name] ?? []].flat().length]));
  const where = {
    recipeFolder: scope.recipeFolder,
    isUsdLimited: scope.isUsdLimited,
    ...(isWhole ? { inputs: counts } : {}),
  };
  const found = await guardedAnswer(stage.uses, async () =>
    checkAnswer(stage.uses, 'check', await definition.check?.(options.output, where)),
  );
  addProblems(scope, stage.name, found);
  return isWhole && (found ?? []).length === 0 ? { ...stage, inputs, options } : undefined;
}

/** @param problems that the plugin of a stage found with its options or inputs */
export function addProblems(scope: PlanScope, stage: string, problems: readonly OptionProblem[] = []): void {
  for (const { code, message, path, hint } of problems) {
    scope.problems.add(code, message, ['stages', stage, 'with', ...(path === '' ? [] : path.split('.'))], { hint });
  }
}

/** What the plan says of a stage. Reads the versions that its graders run with. */
export async function planStage(
  scope: PlanScope,
  stage: CheckedStage,
  { recipeSeed, versions: where }: { readonly recipeSeed: number; readonly versions: VersionsContext },
): Promise<PlannedStage> {
  const { name, uses, found, inputs, options, resources } = stage;
  const named = { uses, options: options.options };
  const versions = await scope.attempt(['stages', name], graderVersions(named, scope.catalog, where));
  return {
    name,
    uses,
    options: options.options,
    semanticOptions: options.semanticOptions,
    inputs,
    trainers: [...new Set(options.trainers.map((trainer) => trainer.name))],
    ...namedSecrets(options.secrets),
    resources: {
      cpus: 1,
      ...(await guardedAnswer(uses, async () =>
        checkAnswer(uses, 'resources', await found.definition.resources?.(options.output)),
      )),
      ...plannedResources(resources),
    },
    codeDigest: await codeDigestOf([found.plugin, ...options.graders.map((grader) => grader.plugin)]),
    ...versions,
    // Not of the stage's name: what is called otherwise is still the same work.
    seed: stage.seed ?? recipeSeed,
    ...(stage.expect === undefined ? {} : { expect: stage.expect }),
  };
}

/** Every stage that a stage's inputs name, whether or not the rest of it is right. */
export function dependenciesOf(given: unknown): readonly string[] {
  if (given instanceof StageOutput) return [given.stage];
  if (Array.isArray(given)) return given.flatMap(dependenciesOf);
  return isMapValue(given) ? Object.values(given).flatMap(dependenciesOf) : [];
}

function readInput(
  scope: PlanScope,
  path: Path,
  input: InputDefinition,
  given: unknown,
  around: Surroundings,
): Inputs[string] | undefined | 'wrong' {
  if (given === unresolved) return 'wrong';
  if (given === undefined || given === null || (Array.isArray(given) && given.length === 0)) {
    if (input.optional) return undefined;
    scope.problems.add('missing_input', `${formatPath(path.slice(0, -1))} needs the input "${path.at(-1)}".`, path, {
      hint: `${input.description} ${offer(input, path, around)}`,
    });
    return 'wrong';
  }
  if (!input.many) return readReference(scope, path, input, given, around) ?? 'wrong';
  const items = Array.isArray(given) ? given : [given];
  const references = items.map((item, index) => {
    const at = Array.isArray(given) ? [...path, index] : path;
    return item === unresolved ? undefined : readReference(scope, at, input, item, around);
  });
  return references.includes(undefined) ? 'wrong' : (references as StageReference[]);
}

function readReference(
  scope: PlanScope,
  path: Path,
  input: InputDefinition,
  given: unknown,
  around: Surroundings,
): StageReference | undefined {
  const refuse = (code: string, message: string, hint: string | undefined): undefined => {
    scope.problems.add(code, message, path, { hint });
    return undefined;
  };
  if (!(given instanceof StageOutput)) {
    const message = `${formatPath(path)} is an input: it must be the output of a stage, not ${describeValue(given)}.`;
    return refuse('wrong_type', message, offer(input, path, around));
  }
  const { stage, output } = given;
  if (!around.stages.has(stage)) {
    return refuse('unknown_stage_name', `There is no stage "${stage}".`, suggestion(stage, around.stages.keys()));
  }
  const source = around.stages.get(stage);
  if (source === undefined) return undefined;
  const { outputs } = source.found.definition;
  if (!Object.hasOwn(outputs, output)) {
    const message = `Stage "${stage}" (${source.uses}) has no output "${output}".`;
    return refuse('unknown_output', message, suggestion(output, Object.keys(outputs)));
  }
  const { type } = outputs[output]!;
  if (!input.types.includes(type)) {
    const message = `${formatPath(path)} takes a ${input.types.join(' or ')}; stages.${stage}.${output} is a ${type}.`;
    return refuse('wrong_artifact_type', message, offer(input, path, around));
  }
  return { stage, output };
}

/** Outputs that would fit the input at a path: of the stages before it, the nearest first, or else of those after it. */
function offer(input: InputDefinition, [, stage, , name]: Path, { stages }: Surroundings): string {
  const names = [...stages.keys()];
  const place = names.indexOf(String(stage));
  const fittingOf = (some: readonly string[]): readonly string[] =>
    some.flatMap((one) => {
      const outputs = Object.entries(stages.get(one)?.found.definition.outputs ?? {});
      const fitting = outputs.filter(([, { type }]) => input.types.includes(type));
      // What a stage makes beside its main output, such as a list of what it dropped, is rarely what is wanted.
      const main = fitting.filter(([output, { type }]) => output === name || output === type);
      return (main.length > 0 ? main : fitting).map(([output]) => `\${{ stages.${one}.${output} }}`);
    });
  const before = fittingOf(names.slice(0, place).reverse());
  const offered = before.length > 0 ? before : fittingOf(names.slice(place + 1));
  const kind = `It takes a ${input.types.join(' or ')}`;
  if (offered.length === 0) return `${kind}; no other stage of the recipe makes one.`;
  return `${kind}, such as ${offered.slice(0, 3).join(', ')}.`;
}

/** Options with outputs of stages in them, which only inputs may be, told and taken out. */
function withoutOutputs(scope: PlanScope, value: unknown, path: Path, stage: FoundStage): unknown {
  if (value instanceof StageOutput) {
    const { options, inputs } = stage.found.definition;
    // An unknown key is told as such.
    if (!Object.hasOwn(options.shape, String(path[3]))) return value;
    const names = Object.keys(inputs);
    const message = `${formatPath(path)} is an option: it takes a value, not the output of a stage.`;
    scope.problems.add('reference_not_allowed', message, path, {
      hint: names.length === 0 ? `${stage.uses} has no inputs.` : `Inputs of ${stage.uses}: ${names.join(', ')}.`,
    });
    return unresolved;
  }
  if (Array.isArray(value)) return value.map((item, index) => withoutOutputs(scope, item, [...path, index], stage));
  if (!isMapValue(value)) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]) => [key, withoutOutputs(scope, inner, [...path, key], stage)]),
  );
}
