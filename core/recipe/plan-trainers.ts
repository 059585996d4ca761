import { isMapValue } from '../document/describe-value.js';
import type { Path } from '../document/path.js';
import { checkWithSchema } from '../document/schema-problems.js';
import { formatCounted } from '../figures.js';
import type { Contribution } from '../plugin/catalog.js';
import { checkAnswer } from '../plugin/check-answer.js';
import type { LauncherDefinition, TrainerDefinition, VersionsContext } from '../plugin/definitions.js';
import type { Resources } from '../plugin/resources.js';
import { type CheckedOptions, checkUsed, guardedAnswer } from './checked-options.js';
import type { PlannedSink, PlannedTrainer } from './plan.js';
import type { PlanScope } from './plan-scope.js';
import { entryName, plannedResources, type RecipeResources, sinkShape, trainerShape } from './recipe-shape.js';

/** A trainer whose every part is right. */
export interface CheckedTrainer {
  readonly name: string;
  readonly uses: string;
  readonly found: Contribution<TrainerDefinition>;
  readonly options: CheckedOptions;
  readonly launcher: PlannedTrainer['launcher'];
  /** Environment variables of secrets that it and its launcher name. */
  readonly secrets: readonly string[];
  readonly resources: RecipeResources;
}

/** Checks each trainer of a recipe. Those with a problem are left out. */
export async function checkTrainers(
  scope: PlanScope,
  trainers: Readonly<Record<string, unknown>>,
): Promise<readonly CheckedTrainer[]> {
  const checked = await Promise.all(Object.entries(trainers).map(([name, raw]) => checkTrainer(scope, name, raw)));
  return checked.filter((trainer) => trainer !== undefined);
}

async function checkTrainer(scope: PlanScope, name: string, raw: unknown): Promise<CheckedTrainer | undefined> {
  const path: Path = ['trainers', name];
  checkEntryName(scope, 'trainer', path);
  const value = isMapValue(raw) ? { ...raw, launcher: longForm(raw.launcher) } : raw;
  const shaped = checkWithSchema({
    schema: trainerShape,
    value: withoutNulls(value),
    path,
    writtenAs: scope.writtenAs,
    problems: scope.problems,
  });
  if (shaped === undefined) {
    await checkInside(scope, path, value);
    return undefined;
  }
  const { uses, launcher: start } = shaped;
  const from: Path = [...path, 'launcher'];
  const [trainer, launcher] = await Promise.all([
    checkUsed(scope, scope.catalog.trainer(uses), shaped, path),
    checkUsed(scope, scope.catalog.launcher(start.uses), start, from, from),
  ]);
  if (trainer === undefined || launcher === undefined) return undefined;
  const starter = { uses: start.uses, definition: launcher.found.definition, options: launcher.options };
  await checkGpusAreUsed(scope, name, trainer.found.definition, starter, plannedResources(shaped.resources));
  return {
    name,
    uses,
    ...trainer,
    launcher: { uses: start.uses, options: launcher.options.options },
    secrets: [...new Set([...trainer.options.secrets, ...launcher.options.secrets])],
    resources: shaped.resources,
  };
}

/** GPUs cost money whether they are used or not. */
async function checkGpusAreUsed(
  scope: PlanScope,
  name: string,
  { gpusPerProcess }: TrainerDefinition,
  launcher: { readonly uses: string; readonly definition: LauncherDefinition; readonly options: CheckedOptions },
  resources: Resources,
): Promise<void> {
  const { uses, definition, options } = launcher;
  const { gpus = 0 } = resources;
  if (gpus === 0 || gpusPerProcess === undefined || definition.processes === undefined) return;
  const processes = await guardedAnswer(uses, async () => definition.processes?.(options.output, resources));
  if (processes === undefined || processes * gpusPerProcess === gpus) return;
  const started = processes === 1 ? 'one process' : `${processes} processes`;
  scope.problems.add(
    'gpus_unused',
    `Trainer "${name}" holds ${formatCounted(gpus, 'GPU')}, and ${uses} starts ${started}, which can use ` +
      `${processes * gpusPerProcess}.`,
    ['trainers', name, 'resources', 'gpus'],
    {
      hint:
        processes === 1 && uses !== 'launchers/torchrun'
          ? `Set \`launcher: launchers/torchrun\`, which starts one process a GPU, or \`gpus: ${gpusPerProcess}\`.`
          : `Set \`gpus: ${processes * gpusPerProcess}\`, or change how many processes ${uses} starts: see its options and \`nodes\`.`,
    },
  );
}

/** Of a trainer with a wrong key beside `uses`, its options are worth looking at all the same. */
async function checkInside(scope: PlanScope, path: Path, value: unknown): Promise<void> {
  if (!isMapValue(value) || typeof value.uses !== 'string') return;
  const { uses, with: given } = value;
  const lookUp = scope.catalog.trainer(uses);
  if (isMapValue(given)) await checkUsed(scope, lookUp, { uses, with: given }, path);
  else await scope.find([...path, 'uses'], lookUp);
}

/** What the plan says of a trainer. Reads the versions that its results depend on. */
export async function planTrainer(
  scope: PlanScope,
  trainer: CheckedTrainer,
  where: VersionsContext,
): Promise<PlannedTrainer | undefined> {
  const { name, uses, found, options, launcher, secrets, resources } = trainer;
  const relevantVersions = await scope.attempt(
    ['trainers', name],
    guardedAnswer(uses, () => found.definition.relevantVersions(options.output, where)),
  );
  if (relevantVersions === undefined) return undefined;
  return {
    name,
    uses,
    options: options.options,
    semanticOptions: options.semanticOptions,
    launcher,
    ...namedSecrets(secrets),
    resources: {
      ...(await guardedAnswer(uses, async () =>
        checkAnswer(uses, 'resources', await found.definition.resources?.(options.output)),
      )),
      ...plannedResources(resources),
    },
    relevantVersions,
    codeDigest: await found.plugin.codeDigest(),
  };
}

/** Checks the sinks of a recipe. Those with a problem are left out. */
export async function checkSinks(scope: PlanScope, sinks: readonly unknown[]): Promise<readonly PlannedSink[]> {
  const checked = await Promise.all(
    sinks.map(async (raw, index) => {
      const path: Path = ['sinks', index];
      const value = withoutNulls(longForm(raw));
      const shaped = checkWithSchema({
        schema: sinkShape,
        value,
        path,
        writtenAs: scope.writtenAs,
        problems: scope.problems,
      });
      if (shaped === undefined) return undefined;
      const sink = await checkUsed(scope, scope.catalog.sink(shaped.uses), shaped, path);
      return sink && { uses: shaped.uses, options: sink.options.options, ...namedSecrets(sink.options.secrets) };
    }),
  );
  return checked.filter((sink) => sink !== undefined);
}

/** As the plan has them: not at all where there are none. */
export function namedSecrets(secrets: readonly string[]): { readonly secrets?: readonly string[] } {
  return secrets.length === 0 ? {} : { secrets };
}

/** Adds a problem for a name that no reference could spell. */
export function checkEntryName(scope: PlanScope, word: string, path: Path): void {
  const name = String(path.at(-1));
  if (entryName.test(name)) return;
  scope.problems.add('wrong_name', `"${name}" cannot be the name of a ${word}.`, path, {
    of: 'key',
    hint: 'Names are letters, digits, "_" and "-", and start with a letter or "_".',
  });
}

/** Keys with nothing after them count as left out. */
export function withoutNulls(value: unknown): unknown {
  if (!isMapValue(value)) return value;
  return Object.fromEntries(Object.entries(value).filter(([, inner]) => inner !== null && inner !== undefined));
}

/** `uses` alone may stand for `{uses}`. */
function longForm(value: unknown): unknown {
  return typeof value === 'string' ? { uses: value } : value;
}
