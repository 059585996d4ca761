import { createHash } from 'node:crypto';
import type { Colors } from 'picocolors/types.js';
import { suggestion } from '../../document/nearest-name.js';
import type { RunArtifact } from '../../engine/past-runs/run-artifacts.js';
import type { RunSummary } from '../../engine/run-outcome.js';
import { exitCodes, UserError } from '../../errors.js';
import type { Event } from '../../events/catalogue.js';
import { formatBytes, formatCount } from '../../figures.js';
import { fetchArtifact, type ReadBytes } from '../fetch-files.js';
import { openWorkspace } from '../open-workspace.js';
import { tableLines } from '../table.js';
import { colorsFor, sayToPeople, writeJson, writeLine } from '../terminal.js';
import type { Workspace, WorkspaceFlags } from '../workspace.js';

interface ArtifactsFlags extends WorkspaceFlags {
  /** `STAGE.OUTPUT`. */
  readonly get?: string;
  /** A folder. */
  readonly output?: string;
  /** Whether all files are read, and held against their digests. */
  readonly verify?: boolean;
}

/** `simmer artifacts`: what the stages of a run have made, or the files of one of them. */
export async function artifacts(name: string, flags: ArtifactsFlags): Promise<number> {
  if (flags.output !== undefined && flags.get === undefined) {
    throw new UserError('get_missing', 'What is to be copied to --output?', {
      hint: 'Name it with --get STAGE.OUTPUT.',
    });
  }
  await using workspace = await openWorkspace(flags);
  const run = await workspace.find(name);
  const all = await workspace.artifacts(run);
  if (flags.get === undefined) {
    const made = all.filter(isOfStage);
    if (flags.json) await writeJson(made);
    else if (made.length === 0) await writeLine(nothingLine(run));
    else await writeLine(artifactLines(made, colorsFor(process.stdout)).join('\n'));
    const lost = await lostOutputs(made, tellingOutputs(run, workspace));
    if (flags.verify === true) await verifyFiles({ made, lost }, run, (range) => workspace.readArtifact(range));
    else if (made.length > 0 && lost.length > 0) sayToPeople(lostLine(lost));
    return exitCodes.ok;
  }
  const wanted = await findOutput(flags.get, all, run, workspace);
  const folder = flags.output ?? flags.get;
  await fetchArtifact(wanted, folder, (range) => workspace.readArtifact(range));
  if (flags.json) await writeJson({ ...wanted, folder });
  else await writeLine(folder);
  return exitCodes.ok;
}

/**
 * @param lost outputs that were made, and are not whole any more
 * @throws UserError `artifact_damaged`, naming each file that is not the one that was written; `output_not_whole`
 */
export async function verifyFiles(
  { made, lost }: { readonly made: readonly RunArtifact[]; readonly lost: readonly string[] },
  { runId }: RunSummary,
  read: ReadBytes,
): Promise<void> {
  const damaged: string[] = [];
  let files = 0;
  for (const artifact of made) {
    for (const { path, sha256 } of artifact.files) {
      files++;
      if (await hasDigest(read({ id: artifact.id, path, offset: 0 }), sha256)) continue;
      damaged.push(`${path} of ${nameOf(artifact)}`);
    }
  }
  if (damaged.length > 0) {
    const are = damaged.length === 1 ? 'is not the file that was' : 'are not the files that were';
    const message = `${damaged.join(', ')} ${are} written: the SHA-256 differs.`;
    throw new UserError('artifact_damaged', [message, ...(lost.length === 0 ? [] : [lostLine(lost)])].join(' '), {
      kind: 'environment',
      hint: `Remove the folder that artifacts/STAGE.OUTPUT of the run leads to, and run the recipe of ${runId} again: it makes anew what is gone.`,
    });
  }
  if (lost.length > 0) throw new UserError('output_not_whole', lostLine(lost), { kind: 'environment' });
  if (files > 0) sayToPeople(`Each of the ${formatCount(files)} files has the SHA-256 with which it was written.`);
}

async function hasDigest(parts: AsyncIterable<Buffer>, sha256: string): Promise<boolean> {
  const hash = createHash('sha256');
  for await (const part of parts) hash.update(part);
  return hash.digest('hex') === sha256;
}

function nothingLine({ runId, stagesDone }: RunSummary): string {
  if (stagesDone === 0) return `No stage of ${runId} has made anything yet.`;
  return `Nothing that the ${stagesDone} finished stages of ${runId} made is whole in the store.`;
}

/** What was made, for people. */
function artifactLines(made: readonly RunArtifact[], colors: Colors): readonly string[] {
  const heading = ['output', 'type', 'files', 'size'].map((title) => colors.dim(title));
  const rows = made.map((artifact) => [
    nameOf(artifact),
    artifact.type,
    formatCount(artifact.files.length),
    formatBytes(artifact.files.reduce((bytes, { size }) => bytes + size, 0)),
  ]);
  return tableLines([heading, ...rows], { right: [2, 3] });
}

/** The output of a name `STAGE.OUTPUT`. @throws UserError `output_not_found`, `output_not_whole` */
export async function findOutput(
  name: string,
  all: readonly RunArtifact[],
  run: RunSummary,
  workspace: Pick<Workspace, 'briefHistory' | 'history'>,
): Promise<RunArtifact> {
  const { runId } = run;
  const outputs = all.filter(isOfStage);
  const found = outputs.find((artifact) => nameOf(artifact) === name);
  if (found !== undefined) return found;
  if ((await madeOutputs(tellingOutputs(run, workspace))).has(name)) {
    throw new UserError('output_not_whole', `Run ${runId} made "${name}", which is not whole in the store any more.`, {
      kind: 'environment',
      hint: 'Run its recipe again: what is no longer there is made anew.',
    });
  }
  const ofStage = outputs.filter(({ stage }) => stage === name.split('.')[0]).map(nameOf);
  const hint =
    ofStage.length > 0
      ? `The stage has made: ${ofStage.join(', ')}.`
      : (suggestion(name, outputs.map(nameOf)) ?? 'None of its stages has made anything yet.');
  throw new UserError('output_not_found', `Run ${runId} has no output "${name}".`, { hint });
}

/** Outputs that the run has made and that are not whole in the store any more. */
export async function lostOutputs(
  there: readonly RunArtifact[],
  events: AsyncIterable<Event>,
): Promise<readonly string[]> {
  const lost = await madeOutputs(events);
  for (const artifact of there) lost.delete(nameOf(artifact));
  return [...lost];
}

function lostLine(lost: readonly string[]): string {
  const [are, were, them] = lost.length === 1 ? ['is', 'was', 'it'] : ['are', 'were', 'them'];
  return `${lost.join(', ')} ${were} made, and ${are} not whole in the store any more: to make ${them} anew, run the recipe again.`;
}

/** Events that name all that a run made: of one that completed the last one, since a server sends those that are asked for. */
function tellingOutputs(run: RunSummary, workspace: Pick<Workspace, 'briefHistory' | 'history'>): AsyncIterable<Event> {
  return run.status === 'completed' ? workspace.history(run, { from: run.events }) : workspace.briefHistory(run);
}

async function madeOutputs(events: AsyncIterable<Event>): Promise<Set<string>> {
  const names = new Set<string>();
  for await (const event of events) {
    if (event.type === 'run.completed') for (const name of Object.keys(event.data.outputs)) names.add(name);
    if (event.type !== 'stage.completed' && event.type !== 'stage.reused') continue;
    for (const output of Object.keys(event.data.outputs)) names.add(`${event.stage}.${output}`);
  }
  return names;
}

/** The report of a run, of no stage, is `simmer report`'s. */
function isOfStage({ stage }: RunArtifact): boolean {
  return stage !== '';
}

function nameOf({ stage, output }: RunArtifact): string {
  return `${stage}.${output}`;
}
