import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, readlink, rename, rm, rmdir, stat, symlink } from 'node:fs/promises';
import { basename, dirname, join, relative, resolve, sep } from 'node:path';
import { from, lastValueFrom, mergeMap, toArray } from 'rxjs';
import type { Artifact } from '../artifacts/artifact.js';
import { jsonDigest } from '../document/canonical-json.js';
import { UserError } from '../errors.js';
import type { EventData } from '../events/catalogue.js';
import { EventBus } from '../events/event-bus.js';
import type { LogFileSystem } from '../events/log-file-system.js';
import { RunLog } from '../events/run-log.js';
import { diskError } from '../files/disk-error.js';
import { syncFolder, writeAndSync, writeFileDurably } from '../files/durable-files.js';
import { isWithin } from '../files/is-within.js';
import { unlessMissing } from '../files/unless-missing.js';
import type { Plan } from '../recipe/plan.js';
import { planDigest } from '../recipe/plan-digest.js';
import type { RunOfHome } from './run-outcome.js';

const recipeFile = 'recipe.yaml';
const planFile = 'plan.json';

/** The run's log, the only truth of it. */
export function eventsFile(runFolder: string): string {
  return join(runFolder, 'events.jsonl');
}

/** `RECIPE-yyyymmdd-hhmmss-XXXX`, in UTC: sorts by time within a recipe, and may be a folder's name anywhere. */
function newRunId(recipe: string, now: Date): string {
  const [day, time] = now.toISOString().split('T') as [string, string];
  return `${runIdBeginning(recipe)}${day.replaceAll('-', '')}-${time.slice(0, 8).replaceAll(':', '')}-${randomBytes(2).toString('hex')}`;
}

/** When a run was made, by its id: in UTC, to the second. Empty where the folder was named by somebody else. */
export function madeAt(runId: string): string {
  return /-(\d{8}-\d{6})-[0-9a-f]{4}$/.exec(runId)?.[1] ?? '';
}

/** Of the ids of a recipe's runs, and perhaps of others'. */
export function runIdBeginning(recipe: string): string {
  const name = recipe
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, '-')
    .slice(0, 60)
    .replaceAll(/^-|-$/g, '');
  return `${name || 'run'}-`;
}

interface NewRun {
  readonly plan: Plan;
  readonly recipeText: string;
  readonly request?: EventData['run.created']['request'];
  readonly fileSystem?: LogFileSystem;
}

/**
 * Makes the folder of a new run: complete, with `run.created` in its log, or not at all.
 * @param runs the folder of the runs of the home
 * @throws UserError `no_disk_space`, `not_writable` and their like, or the log's failure
 */
export async function createRunFolder(runs: string, run: NewRun): Promise<RunOfHome> {
  let runFolder = runs;
  let unfinished: string | undefined;
  try {
    await mkdir(runs, { recursive: true });
    const runId = await takeRunId(runs, run.plan.recipe);
    runFolder = join(runs, runId);
    unfinished = join(runs, `${unfinishedPrefix}${runId}`);
    await mkdir(join(unfinished, 'artifacts'));
    await writeAndSync(join(unfinished, recipeFile), run.recipeText);
    await writeAndSync(join(unfinished, planFile), planText(run.plan));
    await tellCreated(run, runId, eventsFile(unfinished));
    await syncFolder(unfinished);
    await rename(unfinished, runFolder);
    await syncFolder(runs);
  } catch (error) {
    if (unfinished !== undefined) await rm(unfinished, { recursive: true, force: true }).catch(() => undefined);
    throw diskError(error, runFolder);
  }
  await removeLeftovers(runs);
  return { runId: basename(runFolder), runFolder };
}

/** An id that no other run of the home has, not even one that is being made: the folder in which it is made is there. */
async function takeRunId(runs: string, recipe: string): Promise<string> {
  for (;;) {
    const runId = newRunId(recipe, new Date());
    const unfinished = join(runs, `${unfinishedPrefix}${runId}`);
    try {
      await mkdir(unfinished);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EEXIST') continue;
      throw error;
    }
    if (!existsSync(join(runs, runId))) return runId;
    await rmdir(unfinished);
  }
}

/** The recipe that a run was started with, as it was written. */
export function readRecipeText(runFolder: string): Promise<string> {
  return readFile(join(runFolder, recipeFile), 'utf8');
}

/**
 * Has the plan of a run that goes on say what it goes by now. Only whoever has the run's lock may.
 * @throws UserError `no_disk_space`, `not_writable` and their like
 */
export async function keepPlan(runFolder: string, plan: Plan): Promise<void> {
  const file = join(runFolder, planFile);
  const text = planText(plan);
  if ((await readFile(file, 'utf8')) === text) return;
  await writeFileDurably(file, text).catch((error: unknown) => {
    throw diskError(error, runFolder);
  });
}

/** With a checksum: a run goes by what is written there, and its stages are kept under keys of that. */
function planText(plan: Plan): string {
  return `${JSON.stringify({ ...plan, checksum: jsonDigest(plan) }, null, 2)}\n`;
}

/**
 * The plan that a run was started with, or goes by since it was resumed.
 * @param isWhole whether its checksum is looked at, where it has one: it takes a while for a home of runs
 * @throws UserError `run_folder_damaged`, `newer_format`
 */
export async function readPlan(
  runFolder: string,
  { isWhole = false }: { readonly isWhole?: boolean } = {},
): Promise<Plan> {
  const file = join(runFolder, planFile);
  let plan: Plan;
  try {
    const { checksum, ...read } = (JSON.parse(await readFile(file, 'utf8')) ?? {}) as Plan & { checksum?: string };
    plan = read;
    if (typeof plan.format !== 'number') throw new Error('it is no plan.');
    // What a newer Simmer writes is for that to check.
    const isKnown = plan.format === 1;
    if (isKnown && isWhole && checksum !== undefined && checksum !== jsonDigest(plan))
      throw new Error('it is not as it was written.');
    if (isKnown && !Array.isArray(plan.stages)) throw new Error('it has no stages.');
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new UserError('run_folder_damaged', `The plan of the run cannot be read: ${file}: ${reason}`, {
      kind: 'environment',
      hint: 'Start the recipe anew: what its stages made is still in the cache.',
      cause: error,
    });
  }
  if (plan.format !== 1) {
    throw new UserError('newer_format', `${file} has the format ${String(plan.format)}; this Simmer reads format 1.`, {
      kind: 'environment',
      hint: 'Use the Simmer that made the run, or a newer one.',
    });
  }
  return plan;
}

/** Links a stage's artifacts as `artifacts/STAGE.OUTPUT`, for people. May be called again. */
export async function linkOutputs(
  runFolder: string,
  home: string,
  stage: string,
  outputs: ReadonlyMap<string, Artifact>,
): Promise<void> {
  const links = join(runFolder, 'artifacts');
  await mkdir(links, { recursive: true });
  for (const [output, artifact] of outputs) {
    // Within the home the link is relative, so that the home may be moved.
    const target = isWithin(artifact.folder, home) ? relative(links, artifact.folder) : artifact.folder;
    const link = join(links, `${stage}.${output}`);
    const unfinished = `${link}.${process.pid}.new`;
    await rm(unfinished, { force: true });
    await symlink(target, unfinished);
    await rename(unfinished, link);
  }
}

/** The artifacts of the home that `linkOutputs` linked, as URIs. */
export async function linkedOutputs(runFolder: string, home: string): Promise<readonly string[]> {
  const links = join(runFolder, 'artifacts');
  const entries = existsSync(links) ? await readdir(links, { withFileTypes: true }) : [];
  const targets = entries.filter((entry) => entry.isSymbolicLink()).map(({ name }) => readlink(join(links, name)));
  return (await Promise.all(targets)).flatMap((target) => {
    const [type, digest = '', ...rest] = relative(join(home, 'artifacts'), resolve(links, target)).split(sep);
    return /^[0-9a-f]{64}$/.test(digest) && rest.length === 0 ? [`simmer://${type}/sha256-${digest}`] : [];
  });
}

/**
 * Makes of a run one that is being removed: its folder has another name from then on, and is no run's. Its log tells what
 * is still to be removed, also to who comes after this process. Durable when it resolves. What tells nothing goes at once:
 * on a disk that is full, that is the room for what follows.
 * @returns the folder
 */
export async function retireRunFolder(runFolder: string): Promise<string> {
  const runs = dirname(runFolder);
  const retired = join(runs, `${retiredPrefix}${basename(runFolder)}`);
  await rename(runFolder, retired);
  await syncFolder(runs);
  for (const name of [recipeFile, planFile]) await rm(join(retired, name), { force: true });
  return retired;
}

/** The runs whose removal was begun, and has not ended. */
export async function retiredRuns(runs: string): Promise<readonly RunOfHome[]> {
  const names = (await readdir(runs).catch(() => [])).filter((name) => name.startsWith(retiredPrefix));
  return names.map((name) => ({ runId: name.slice(retiredPrefix.length), runFolder: join(runs, name) }));
}

/** Ids of the runs of a home, in no order. */
export async function runIds(runsFolder: string): Promise<readonly string[]> {
  const entries = (await readdir(runsFolder, { withFileTypes: true }).catch(unlessMissing)) ?? [];
  return entries.filter((entry) => entry.isDirectory() && !entry.name.startsWith('.')).map((entry) => entry.name);
}

/** A process may only have so many files open, and a home has thousands of runs. */
const runsAtATime = 16;

/** What is read of many runs, in no order. @throws as the first reading that fails */
export function ofEachRun<T>(ids: readonly string[], read: (runId: string) => Promise<T>): Promise<readonly T[]> {
  return lastValueFrom(from(ids).pipe(mergeMap(read, runsAtATime), toArray()));
}

const unfinishedPrefix = '.new-';
const retiredPrefix = '.removing-';

async function tellCreated(run: NewRun, runId: string, file: string): Promise<void> {
  const { log } = await RunLog.open(file, run.fileSystem === undefined ? {} : { fileSystem: run.fileSystem });
  const bus = new EventBus({ runId, log, lastSequence: 0 });
  try {
    await bus.emit({
      type: 'run.created',
      data: {
        format: 1,
        simmerVersion: run.plan.simmerVersion,
        recipe: run.plan.recipe,
        planDigest: planDigest(run.plan),
        seed: run.plan.seed,
        ...(run.request === undefined ? {} : { request: run.request }),
      },
    });
  } finally {
    await bus.close();
    await log.close();
  }
}

/** Folders of cores that died while they made them. An hour is long enough for any that still works on its own. */
async function removeLeftovers(runs: string): Promise<void> {
  const names = (await readdir(runs)).filter((name) => name.startsWith(unfinishedPrefix));
  for (const name of names) {
    const folder = join(runs, basename(name));
    const made = await stat(folder).catch(() => undefined);
    if (made !== undefined && Date.now() - made.mtimeMs > 3_600_000) await rm(folder, { recursive: true, force: true });
  }
}
