import type { Colors } from 'picocolors/types.js';
import { calibrations } from '../../engine/calibrations.js';
import type { StageForecast } from '../../engine/estimate-plan.js';
import type { LastTime } from '../../engine/last-times.js';
import { missingSecretLine } from '../../engine/missing-secrets.js';
import type { StagePreview } from '../../engine/run-outcome.js';
import { exitCodes, UserError } from '../../errors.js';
import { redactedValue, redactor } from '../../events/redaction.js';
import { formatBytes, formatCount, formatCounted, formatDuration, formatUsd } from '../../figures.js';
import type { Resources } from '../../plugin/resources.js';
import type { BudgetLimits } from '../../recipe/budget.js';
import type { Plan } from '../../recipe/plan.js';
import { planDigest } from '../../recipe/plan-digest.js';
import { wrapLine } from '../../wrap-text.js';
import { openWorkspace, refuseServer, serverOf } from '../open-workspace.js';
import { tableLines } from '../table.js';
import { colorsFor, mostOfChange, visibleText, writeJson, writeLine } from '../terminal.js';
import { catalogOf, givenBy, quickstartRecipe, type RecipeFlags, settingsFrom, shownPath } from '../workspace.js';
import { calibrationLines, estimateLines, namesOf, type Shape } from './estimate-lines.js';

/** `simmer plan`: what a run would do, and what it would take. */
export async function plan(
  file: string | undefined,
  flags: RecipeFlags & { readonly calibration?: boolean },
): Promise<number> {
  if (flags.calibration === true) return await tellCalibration(flags);
  if (file === undefined) {
    const hint = `Name its file; the one that \`simmer run\` takes without a name: simmer plan ${shownPath(quickstartRecipe())}`;
    throw new UserError('recipe_missing', 'Which recipe is to be planned?', { hint });
  }
  await using workspace = await openWorkspace(flags);
  const planned = await workspace.plan(file, givenBy(flags));
  if (flags.json) await writeJson(redactedValue(planned));
  else {
    const colors = colorsFor(process.stdout);
    const shape = { colors, width: process.stdout.columns || undefined };
    const { plan: made, stages, estimates, beyondMachine = [], missingSecrets = [] } = planned;
    const lines = [
      ...planLines(made, stages, shape, estimates),
      ...(beyondMachine.length === 0
        ? []
        : wrapLine(`this machine has too few GPUs for ${namesOf(beyondMachine)}: to be run elsewhere`, shape.width).map(
            colors.yellow,
          )),
      ...missingSecrets.flatMap((secret) => wrapLine(missingSecretLine(secret), shape.width).map(colors.yellow)),
      '',
      ...estimateLines(estimates, made.budget, shape),
    ];
    await writeLine(redactor()(lines.join('\n').trimEnd()));
  }
  return exitCodes.ok;
}

/** Published runs beside what the estimates of each trainer say of them. */
async function tellCalibration(flags: RecipeFlags): Promise<number> {
  refuseServer('plan --calibration', serverOf(flags));
  const trainers = await calibrations(catalogOf(undefined, await settingsFrom(flags)));
  if (flags.json) await writeJson(trainers);
  else await writeLine(calibrationLines(trainers, colorsFor(process.stdout)).join('\n'));
  return exitCodes.ok;
}

/** The plan for people. */
function planLines(
  plan: Plan,
  previews: readonly StagePreview[],
  shape: Shape,
  forecasts: readonly StageForecast[],
): readonly string[] {
  const { colors, width } = shape;
  const cacheOf = new Map(previews.map((preview) => [preview.stage, preview.cache]));
  const lastTook = new Map(
    forecasts.flatMap(({ stage, lastTook: last }) => (last === undefined ? [] : [[stage, last]])),
  );
  const lastColumn = (text: string) => (lastTook.size === 0 ? [] : [text]);
  const heading = ['', 'stage', 'uses', 'cache', ...lastColumn('last took'), 'trainer', 'needs'].map(colors.dim);
  const stages = plan.stages.map((stage, index) => [
    colors.dim(String(index + 1)),
    stage.name,
    stage.uses,
    cacheWord(cacheOf.get(stage.name) ?? 'unknown', colors),
    ...lastColumn(timeText(lastTook.get(stage.name))),
    stage.trainers.join(', '),
    needs(stage.resources),
  ]);
  const trainers = Object.values(plan.trainers).map((trainer) => [
    trainer.name,
    trainer.uses,
    `started by ${trainer.launcher.uses}`,
    needs(trainer.resources),
  ]);
  return [
    `${colors.bold(plan.recipe)}  ${colors.dim(`seed ${plan.seed}, plan ${planDigest(plan).slice(0, 12)}`)}`,
    ...paramLines(plan, colors),
    '',
    ...tableLines([heading, ...stages], {
      indent: ' ',
      right: [0],
      width,
      drop: [heading.length - 1, heading.length - 2, 2],
    }),
    '',
    ...(trainers.length === 0 ? [] : [colors.dim('trainers'), ...tableLines(trainers, { indent: '  ' }), '']),
    ...(plan.budget === undefined ? [] : [`${colors.dim('budget')}  ${budgetText(plan.budget)}`, '']),
    ...wrapLine(
      `${totalLine(previews)}${plan.until === undefined ? '' : `; what "${plan.until}" does not need is left out`}`,
      width,
    ),
    ...lastTimeLines([...lastTook.values()], shape),
  ];
}

/** Marked where the stage had something else to do then, as far as the server says. */
function timeText(last: LastTime | undefined): string {
  return last === undefined ? '' : `${formatDuration(last.seconds)}${last.isSameWork === false ? '*' : ''}`;
}

/** Where the times are from. */
function lastTimeLines(times: readonly LastTime[], { colors, width }: Shape): readonly string[] {
  if (times.length === 0) return [];
  const runs = [...new Set(times.map(({ runId }) => runId))];
  const seconds = times.reduce((sum, time) => sum + time.seconds, 0);
  const others = new Map(
    times.flatMap(({ isSameWork, runId, changes }) => (isSameWork === false ? [[runId, changes]] : [])),
  );
  const told = [...others].map(
    ([runId, changes = []]) => `${runId}${changes.map((change) => ` ${visibleText(change, mostOfChange)}`).join('')}`,
  );
  const lines = [
    `last took: in ${runs.join(', ')}; ${formatDuration(seconds)} one after the other`,
    ...(told.length === 0 ? [] : [`* with other options than now: ${told.join(', ')}`]),
  ];
  return lines.flatMap((line) => wrapLine(line, width).map(colors.dim));
}

function paramLines(plan: Plan, colors: Colors): readonly string[] {
  const params = Object.entries(plan.params);
  if (params.length === 0) return [];
  return ['', colors.dim('params'), ...params.map(([name, value]) => `  ${name}=${JSON.stringify(value)}`)];
}

function cacheWord(cache: StagePreview['cache'], colors: Colors): string {
  switch (cache) {
    case 'hit':
      return colors.green('hit');
    case 'miss':
      return colors.yellow('miss');
    case 'unknown':
      return colors.dim('unknown');
  }
}

function needs({ cpus, memoryBytes, gpus, nodes, hardware }: Resources): string {
  return [
    ...(nodes === undefined || nodes <= 1 ? [] : [`${nodes} nodes`]),
    ...(gpus === undefined || gpus === 0
      ? []
      : [formatCounted(gpus, hardware === undefined ? 'GPU' : `${hardware} GPU`)]),
    ...(cpus === undefined ? [] : [`${cpus} core${cpus === 1 ? '' : 's'}`]),
    ...(memoryBytes === undefined ? [] : [formatBytes(memoryBytes)]),
  ].join(', ');
}

function budgetText({ usd, gpuHours, wallClockSeconds }: BudgetLimits): string {
  return [
    ...(usd === undefined ? [] : [formatUsd(usd)]),
    ...(gpuHours === undefined ? [] : [`${formatCount(gpuHours)} GPU-hours`]),
    ...(wallClockSeconds === undefined ? [] : [`${formatDuration(wallClockSeconds)} from start to end`]),
  ].join(', ');
}

function totalLine(previews: readonly StagePreview[]): string {
  const count = (cache: StagePreview['cache']) => previews.filter((preview) => preview.cache === cache).length;
  const parts = [
    [count('hit'), 'from the cache'],
    [count('miss'), 'to run'],
    [count('unknown'), 'not known until their inputs exist'],
  ].flatMap(([many, what]) => (many === 0 ? [] : [`${many} ${what}`]));
  return `${formatCounted(previews.length, 'stage')}: ${parts.join(', ')}`;
}
