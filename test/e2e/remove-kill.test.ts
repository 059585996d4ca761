import { randomUUID } from 'node:crypto';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { ControlClient } from '../../core/control/control-client.js';
import { curation, recipeText } from '../integration/control-harness.js';
import { startSimmer, workFolder } from './cli-process.js';

async function serve(cwd: string) {
  const server = startSimmer(['serve', '--json'], { cwd });
  const { address } = JSON.parse(await server.printed('\n')) as { readonly address: string };
  const kill = async () => {
    server.child.kill('SIGKILL');
    await server.ended;
  };
  return { client: await ControlClient.open({ address }), kill };
}

/** Looks as often as it can: what is waited for lasts some milliseconds. */
async function until(isSo: () => boolean): Promise<void> {
  for (const end = Date.now() + 60_000; !isSo(); await setImmediate()) expect(Date.now()).toBeLessThan(end);
}

it('a server that is killed while it removes leaves each run whole or gone, and the next one ends what was begun', async () => {
  await using folder = await workFolder();
  const home = join(folder.path, '.simmer');
  const names = (...parts: string[]) => readdirSync(join(home, ...parts));
  const runsLeft = () => names('runs').filter((name) => !name.startsWith('.')).length;
  let { client, kill } = await serve(folder.path);

  const complete = async (count: number) => {
    const recipe = recipeText(curation, { params: { count: String(count) } });
    const { runId } = (await client.createRun({ requestId: randomUUID(), recipe })).run!;
    for await (const _ of client.watch(runId));
    return runId;
  };
  /** Folders of the artifacts of a run. */
  const foldersOf = async (runId: string) => {
    const { artifacts } = await client.listArtifacts(runId);
    return artifacts.flatMap(({ artifactId }) => {
      const [, type, digest] = /^simmer:\/\/(\w+)\/sha256-(\w+)$/.exec(artifactId) ?? [];
      return type === undefined ? [] : [join(home, 'artifacts', type, digest!)];
    });
  };

  const kept = await complete(100);
  const keptFolders = await foldersOf(kept);
  const datasets = keptFolders.length;
  for (const [round, isTime] of [
    () => runsLeft() < 3,
    () => names('artifacts', 'dataset').length < datasets * 3,
  ].entries()) {
    const runIds: string[] = [];
    for (const each of [1, 2]) runIds.push(await complete(100 + round * 10 + each));
    const folders = new Map<string, readonly string[]>();
    for (const runId of runIds) folders.set(runId, await foldersOf(runId));
    const removal = client.removeRuns({ runIds, dryRun: false }).catch(() => undefined);
    await until(isTime);
    await kill();
    client[Symbol.dispose]();
    await removal;

    const left = runIds.filter((runId) => names('runs').includes(runId));
    for (const runId of left) expect(folders.get(runId)!.filter((each) => !existsSync(each))).toEqual([]);
    ({ client, kill } = await serve(folder.path));
    await expect.poll(() => names('runs').toSorted()).toEqual([kept, ...left].toSorted());
    expect(names('artifacts', 'dataset')).toHaveLength(datasets * (1 + left.length));
    for (const runId of [kept, ...left]) {
      expect((await client.getRun(runId)).run!.runId).toBe(runId);
      expect((await foldersOf(runId)).length).toBe(datasets);
    }
    expect((await client.removeRuns({ runIds: left, dryRun: false })).runIds.toSorted()).toEqual(left.toSorted());
    expect(names('artifacts', 'dataset')).toHaveLength(datasets);
  }
  expect(keptFolders.filter((each) => !existsSync(each))).toEqual([]);
  await kill();
  client[Symbol.dispose]();
});
