import type { Settings } from '../config/settings.js';
import { canonicalJson } from '../document/canonical-json.js';
import { isMapValue } from '../document/describe-value.js';
import { invalidFile } from '../document/document.js';
import { suggestion } from '../document/nearest-name.js';
import { ProblemList } from '../document/problem-list.js';
import { checkWithSchema } from '../document/schema-problems.js';
import type { PluginCatalog } from '../plugin/catalog.js';
import { HookDriver } from '../plugin/hook-driver.js';
import type { RecipeTree } from '../plugin/hooks.js';
import { simmerPackage } from '../plugin/locate.js';
import { type PluginReference, pluginReference } from '../plugin/plugin-reference.js';
import { present } from '../present.js';
import { plannedBudget } from './budget.js';
import { checkSources } from './check-sources.js';
import { givenBeside, type RecipeGuard } from './guard.js';
import { inParts } from './in-parts.js';
import type { ParsedRecipe } from './load-recipe.js';
import { type Params, readParams } from './params.js';
import type { Json, Plan } from './plan.js';
import { hardwareOfPlan } from './plan-hardware.js';
import { PlanScope } from './plan-scope.js';
import { checkStage, dependenciesOf, findStages, planStage } from './plan-stages.js';
import { checkSinks, checkTrainers, planTrainer, withoutNulls } from './plan-trainers.js';
import { recipeShape } from './recipe-shape.js';
import { ParamValues, resolveReferences } from './resolve-references.js';
import { neededFor, orderStages } from './stage-order.js';
import { areSecretsNamed } from './variable-names.js';

const cyclesTold = 10;

/** What a caller wants of planning besides. */
interface PlanOptions {
  /** For a recipe that comes from somebody else. */
  readonly guard?: RecipeGuard;
}

/**
 * What a recipe means: every option checked and filled in, every reference followed, the stages in an order that runs.
 * Loads the plugins that the recipe uses and no other; starts and writes nothing.
 *
 * @throws UserError `invalid_recipe` with everything that is wrong; `not_built` and the like for the machine
 */
export async function planRecipe(
  recipe: ParsedRecipe,
  catalog: PluginCatalog,
  settings: Settings,
  { guard }: PlanOptions = {},
): Promise<Plan> {
  const { document, overridden, folder } = recipe;
  const problems = new ProblemList(document, overridden.givenBy);
  for (const problem of overridden.problems) problems.addPlain(problem);
  const refuseIfWrong = (): void => {
    if (!problems.isEmpty) throw invalidFile(recipe.file, 'recipe', problems.sorted());
  };

  const written = withoutNulls(overridden.value) as Record<string, unknown>;
  const foreign = (writtenAs?: ReadonlyMap<string, string>) =>
    guard?.trustsFile ? givenBeside(overridden, writtenAs) : () => true;
  // What is said of plugins shows them.
  if (!areSecretsNamed(written.plugins, problems)) refuseIfWrong();
  guard?.checkTree(written, foreign(), problems);
  if (guard !== undefined) refuseIfWrong();
  await using _kept = catalog.keepProcesses();
  const hooks = await HookDriver.of(catalog);
  const raw = (await hooks.beforePlan(written as RecipeTree)) as Record<string, unknown>;
  const params = readParams(raw.params, overridden.params, settings.dataFolder, problems);
  const values = new ParamValues(params, { dataFolder: settings.dataFolder }, problems);
  const { value, writtenAs } = resolveReferences(raw, values, problems);
  const tooLarge = problems.sorted().filter(({ code }) => code === 'too_large');
  // What else is wrong with such a recipe may be a megabyte of text a stage, and mostly follows from this.
  if (tooLarge.length > 0) throw invalidFile(recipe.file, 'recipe', tooLarge);
  const tree = value as Record<string, unknown>;
  const isForeign = foreign(writtenAs);
  guard?.checkTree(tree, isForeign, problems);
  if (guard !== undefined) refuseIfWrong();
  const scope = new PlanScope({
    catalog,
    problems,
    recipeFolder: folder,
    isUsdLimited: isMapValue(tree.budget) && typeof tree.budget.usd === 'number',
    writtenAs,
    guard,
    isForeign,
  });

  const outside = checkWithSchema({
    schema: recipeShape,
    value: tree,
    path: [],
    writtenAs,
    otherKeys: ['params'],
    problems,
  });
  await Promise.all(
    listedPlugins(raw).map(async ([index, reference]) => {
      const plugin = await scope.attempt(['plugins', index], catalog.recipePlugin(reference));
      if (plugin !== undefined) scope.note(plugin);
    }),
  );
  const trainersGiven = isMapValue(tree.trainers) ? tree.trainers : {};
  const stagesGiven = isMapValue(tree.stages) ? tree.stages : {};
  const [trainers, sinks, stages] = await Promise.all([
    checkTrainers(scope, trainersGiven),
    checkSinks(scope, Array.isArray(tree.sinks) ? tree.sinks : []),
    findStages(scope, stagesGiven),
  ]);
  const around = { stages, trainers, trainerNames: Object.keys(trainersGiven) };
  const checked = await inParts(stages.values(), (stage) => stage && checkStage(scope, stage, around));

  const dependencies = new Map(
    Object.entries(stagesGiven).map(([name, stage]) => [
      name,
      dependenciesOf(isMapValue(stage) ? stage.with : undefined),
    ]),
  );
  const { order, cycles } = orderStages(dependencies);
  for (const cycle of cycles.slice(0, cyclesTold)) {
    const way = [...cycle, cycle[0]!].join(' -> ');
    problems.add('cycle', `Stages take their inputs from each other in a circle: ${way}.`, ['stages', cycle[0]!], {
      of: 'key',
      hint: 'Each arrow is a reference in `with`: one of them must go.',
    });
  }
  const { until } = recipe;
  if (until !== undefined && !dependencies.has(until)) {
    const hint = suggestion(until, dependencies.keys());
    const message =
      until === ''
        ? 'The stage to run up to (--until) has no name: it is empty.'
        : `--until ${until}: there is no stage "${until}".`;
    problems.addPlain({ code: 'unknown_stage_name', message, ...(hint === undefined ? {} : { hint }) }, ['stages']);
  }
  refuseIfWrong();

  const byName = new Map(checked.flatMap((stage) => (stage === undefined ? [] : [[stage.name, stage] as const])));
  const needed = until === undefined ? undefined : neededFor(until, dependencies);
  const wanted = order.flatMap((stage) => (needed?.has(stage) === false ? [] : [byName.get(stage)!]));
  await checkSources(scope, wanted);
  refuseIfWrong();
  const named = new Set(wanted.flatMap(({ options }) => options.trainers.map((trainer) => trainer.name)));
  const wantedTrainers = trainers.filter(({ name }) => needed === undefined || named.has(name));
  const { cacheFolder, python } = settings;
  const versions = { recipeFolder: folder, cacheFolder, ...present({ python }) };
  const plannedTrainers = await Promise.all(wantedTrainers.map((trainer) => planTrainer(scope, trainer, versions)));
  refuseIfWrong();
  const { name, seed, budget } = outside!;
  const plannedStages = await inParts(wanted, (stage) => planStage(scope, stage, { recipeSeed: seed, versions }));
  const placed = hardwareOfPlan(
    { trainers: plannedTrainers.map((trainer) => trainer!), stages: plannedStages, budget },
    settings,
    problems,
  );
  refuseIfWrong();
  const plan: Plan = {
    format: 1,
    recipe: name,
    simmerVersion: simmerPackage.version,
    seed,
    params: plannedParams(params, values),
    recipeFolder: folder,
    plugins: scope.usedPlugins(),
    trainers: Object.fromEntries(placed.trainers.map((trainer) => [trainer.name, trainer])),
    sinks,
    stages: placed.stages,
    ...(recipe.changes.length === 0 ? {} : { changes: recipe.changes }),
    ...(until === undefined ? {} : { until }),
    ...(recipe.inspects === undefined ? {} : { inspects: recipe.inspects }),
    ...(budget === undefined ? {} : { budget: plannedBudget(budget) }),
    ...(Object.keys(placed.hardware).length === 0 ? {} : { hardware: placed.hardware }),
  };
  for (const { plugin, code = 'plan_refused', message, path = '', hint } of await hooks.afterPlan(plan)) {
    const at = path === '' ? [] : path.split('.');
    problems.add(code, `${message} (from the plugin "${plugin}")`, at, { hint });
  }
  refuseIfWrong();
  return plan;
}

/** What can be read of the plugins that a recipe lists, each with its place in the list. */
function listedPlugins(raw: Readonly<Record<string, unknown>>): readonly (readonly [number, PluginReference])[] {
  const listed = Array.isArray(raw.plugins) ? (raw.plugins as unknown[]) : [];
  return listed.flatMap((plugin, index) => {
    const reference = pluginReference(plugin);
    return reference === undefined ? [] : [[index, reference] as const];
  });
}

/** Values of the params that something refers to, and the others as they are written. */
function plannedParams(params: Params, values: ParamValues): Plan['params'] {
  return Object.fromEntries(
    [...params]
      .map(([name, { value }]) => [name, values.used.has(name) ? values.used.get(name) : value] as const)
      .filter(([, value]) => value !== undefined)
      .map(([name, value]) => [name, JSON.parse(canonicalJson(value)) as Json]),
  );
}
