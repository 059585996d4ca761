import { createHash, randomUUID } from 'node:crypto';
import { appendFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { eventsFile } from '../../core/engine/run-folder.js';
import { RunStatus } from '../../core/generated/simmer/control/v1/control.js';
import { RunHarness } from '../../core/testing/run-harness.js';
import { ControlHarness, curation, recipeText } from './control-harness.js';

let harness: ControlHarness;
beforeAll(async () => {
  harness = await ControlHarness.start();
});
afterAll(() => harness[Symbol.asyncDispose]());

async function completed(text = curation): Promise<string> {
  const { run } = await harness.client.createRun({ requestId: randomUUID(), recipe: recipeText(text) });
  await harness.events(run!.runId);
  return run!.runId;
}

describe('a run', () => {
  it('is watched from its first event to its last, each once and in order', async () => {
    const { run } = await harness.client.createRun({ requestId: randomUUID(), recipe: recipeText(curation) });
    const events = await harness.events(run!.runId);
    expect(events.map((event) => event.sequence)).toEqual(events.map((_, index) => index + 1));
    expect([events[0]!.type, events.at(-1)!.type]).toEqual(['run.created', 'run.completed']);
    expect(await harness.events(run!.runId, 4)).toEqual(events.slice(3));
  });

  it('is one run however often the same request is made, and another request may not have its id', async () => {
    const requestId = randomUUID();
    const asked = await Promise.all(
      Array.from({ length: 5 }, () => harness.client.createRun({ requestId, recipe: recipeText(curation) })),
    );
    expect(new Set(asked.map(({ run }) => run!.runId)).size).toBe(1);
    expect(asked.filter((answer) => !answer.alreadyCreated)).toHaveLength(1);
    const other = recipeText(curation, { params: { count: '61' } });
    await expect(harness.client.createRun({ requestId, recipe: other })).rejects.toMatchObject({
      code: 'request_id_reused',
    });
  });

  it('is asked for by many clients at the same time, and Node takes nothing of it for a leak', async () => {
    const warned: Error[] = [];
    const listen = (warning: Error) => void warned.push(warning);
    process.on('warning', listen);
    await Promise.all(
      Array.from({ length: 40 }, () => harness.client.validateRecipe({ recipe: recipeText(curation) })),
    );
    await harness.client.validateRecipe({ recipe: recipeText(curation) });
    process.off('warning', listen);
    expect(warned).toEqual([]);
  });

  it('is listed by pages, and found by status and recipe', async () => {
    for (let count = 0; count < 3; count++) await completed(curation.replace('name: small', 'name: listed'));
    const filter = { statuses: [RunStatus.RUN_STATUS_COMPLETED], recipe: 'listed', createdAfter: undefined };
    const ids: string[] = [];
    for (let pageToken = ''; ; ) {
      const page = await harness.client.listRuns({ pageSize: 2, pageToken, filter });
      ids.push(...page.runs.map((run) => run.runId));
      pageToken = page.nextPageToken;
      if (pageToken === '') break;
    }
    expect(new Set(ids).size).toBe(3);
    expect(ids).toHaveLength(3);
    await expect(harness.client.listRuns({ pageSize: 2, pageToken: 'x', filter })).rejects.toMatchObject({
      code: 'invalid_page_token',
    });
  });

  it('goes up to a stage, which is part of what is asked for', async () => {
    const requestId = randomUUID();
    const { run } = await harness.client.createRun({ requestId, recipe: recipeText(curation, { until: 'pool' }) });
    await harness.events(run!.runId);
    const { run: ended, planJson } = await harness.client.getRun(run!.runId);
    expect(ended).toMatchObject({ status: RunStatus.RUN_STATUS_COMPLETED, stagesDone: 1, stagesTotal: 1 });
    expect(JSON.parse(planJson)).toMatchObject({ until: 'pool', stages: [{ name: 'pool' }] });
    await expect(harness.client.createRun({ requestId, recipe: recipeText(curation) })).rejects.toMatchObject({
      code: 'request_id_reused',
    });
  });

  it('is refused up to a stage without a name, and told so', async () => {
    const recipe = recipeText(curation, { until: '' });
    await expect(harness.client.createRun({ requestId: randomUUID(), recipe })).rejects.toMatchObject({
      code: 'invalid_recipe',
      problems: [{ message: expect.stringContaining('it is empty') }],
    });
  });

  it('that is complete is left as it is by cancel and resume', async () => {
    const runId = await completed();
    const { run } = await harness.client.cancelRun({ runId, reason: '' });
    expect(run!.status).toBe(RunStatus.RUN_STATUS_COMPLETED);
    expect((await harness.client.resumeRun(runId)).run!.status).toBe(RunStatus.RUN_STATUS_COMPLETED);
  });

  it('that ends by itself while it is being canceled is left as it ended', async () => {
    const runId = await completed();
    const { runs } = harness.server;
    const running = { ...(await runs.get(runId)), status: 'running' } as const;
    vi.spyOn(runs, 'get').mockResolvedValueOnce(running);
    const { run } = await harness.client.cancelRun({ runId, reason: '' });
    expect(run!.status).toBe(RunStatus.RUN_STATUS_COMPLETED);
  });

  it('that nobody runs is ended once, and all are told so who cancel it at the same moment', async () => {
    const home = join(harness.folder, 'home');
    await using local = await RunHarness.create({ plugins: [], withBuiltIn: true, home });
    const { runId } = await local.manager.create(await local.plan(curation), { recipeText: curation });
    const cancel = async () => (await harness.client.cancelRun({ runId, reason: '' })).run!.status;
    const statuses = await Promise.all(Array.from({ length: 5 }, cancel));
    expect(statuses).toEqual(Array(5).fill(RunStatus.RUN_STATUS_INTERRUPTED));
    expect((await harness.events(runId)).map(({ type }) => type)).toEqual(['run.created', 'run.interrupted']);
  });

  it('that nobody runs, and that has no end, is not watched for ever', async () => {
    await using other = await RunHarness.create({ plugins: [], withBuiltIn: true, home: join(harness.folder, 'home') });
    const { runId } = await other.manager.create(await other.plan(curation), { recipeText: curation });
    const seen: string[] = [];
    const watch = async () => {
      for await (const event of harness.client.watch(runId)) seen.push(event.type);
    };
    await expect(watch()).rejects.toMatchObject({ code: 'run_abandoned', kind: 'runFailed' });
    expect(seen).toEqual(['run.created']);
  });

  it('whose log is damaged hides no other in the list', async () => {
    const [damaged, sound] = [await completed(), await completed()];
    await appendFile(eventsFile(join(harness.folder, 'home/runs', damaged)), 'not an event\n');
    const { runs } = await harness.client.listRuns({ pageSize: 100, pageToken: '', filter: undefined });
    const statuses = new Map(runs.map(({ runId, status }) => [runId, status]));
    expect(statuses.get(damaged)).toBe(RunStatus.RUN_STATUS_CRASHED);
    expect(statuses.get(sound)).toBe(RunStatus.RUN_STATUS_COMPLETED);
    await expect(harness.client.getRun(damaged)).rejects.toMatchObject({ code: 'log_damaged' });
  });

  it('that is not there is NOT_FOUND with our code', async () => {
    await expect(harness.client.getRun('nobody')).rejects.toMatchObject({
      code: 'run_not_found',
      hint: expect.not.stringContaining('this folder'),
    });
    await expect(harness.events('nobody')).rejects.toMatchObject({ code: 'run_not_found' });
  });
});

describe('a recipe', () => {
  it('has its problems told as data, with their places', async () => {
    const wrong = curation.replace('count: "$', 'seeed: 3, count: "$');
    const { problems, error } = await harness.client.validateRecipe({ recipe: recipeText(wrong) });
    expect(problems).toEqual([
      expect.objectContaining({ code: 'unknown_key', position: { file: 'my.yaml', line: 5, column: 53 } }),
    ]);
    expect(error).toMatchObject({ code: 'invalid_recipe' });
    await expect(harness.client.planRecipe({ recipe: recipeText(wrong) })).rejects.toMatchObject({
      code: 'invalid_recipe',
      problems: [expect.objectContaining({ path: 'stages.pool.with.seeed' })],
    });
  });

  it('is planned with params and overrides, and says what the cache has', async () => {
    await completed();
    const { stages } = await harness.client.planRecipe({ recipe: recipeText(curation) });
    expect(stages.map(({ stage, cache }) => [stage, cache])).toEqual([
      ['pool', 1],
      ['formatted', 1],
    ]);
    const changed = recipeText(curation, { params: { count: '77' }, overrides: { seed: '8' } });
    const plan = JSON.parse((await harness.client.planRecipe({ recipe: changed })).planJson);
    expect([plan.seed, plan.params.count]).toEqual([8, 77]);
  });

  it('of the server is named', async () => {
    const recipe = { source: { $case: 'name', value: 'tiny' } as const, fileName: '', params: {}, overrides: {} };
    expect((await harness.client.validateRecipe({ recipe })).recipeName).toBe('tiny');
    const other = { ...recipe, source: { $case: 'name', value: '../package' } as const };
    expect((await harness.client.validateRecipe({ recipe: other })).problems).toMatchObject([
      { code: 'recipe_not_found' },
    ]);
  });
});

describe('artifacts', () => {
  it('are read whole and in parts, as their digests say', async () => {
    const runId = await completed();
    const { artifacts } = await harness.client.listArtifacts(runId);
    const artifact = artifacts.find(({ stage }) => stage === 'formatted')!;
    const file = artifact.files[0]!;
    const read = async (offset: bigint, length?: bigint) => {
      const parts: Buffer[] = [];
      const { artifactId } = artifact;
      for await (const part of harness.client.readArtifact({ artifactId, path: file.path, offset, length })) {
        parts.push(part);
      }
      return Buffer.concat(parts);
    };
    const whole = await read(0n);
    expect(createHash('sha256').update(whole).digest('hex')).toBe(file.sha256);
    expect(await read(10n, 20n)).toEqual(whole.subarray(10, 30));
    await expect(read(file.size + 1n)).rejects.toMatchObject({ code: 'out_of_range' });
  });

  it('hold the report of the run', async () => {
    const { artifactId } = await harness.client.writeReport(await completed());
    const parts: Buffer[] = [];
    const request = { artifactId, path: 'report.html', offset: 0n, length: undefined };
    for await (const part of harness.client.readArtifact(request)) parts.push(part);
    expect(Buffer.concat(parts).toString()).toContain('<html');
  });

  it.each([
    ['simmer://dataset/sha256-../../../etc', 'passwd'],
    ['simmer-report://../../etc', 'report.html'],
    ['simmer-report://x', '../../../etc/passwd'],
    ['/etc', 'passwd'],
  ])('cannot be %s %s', async (artifactId, path) => {
    const read = async () => {
      for await (const part of harness.client.readArtifact({ artifactId, path, offset: 0n, length: undefined })) {
        throw new Error(`It gave ${part.length} bytes.`);
      }
    };
    await expect(read()).rejects.toMatchObject({
      code: expect.stringMatching(/artifact_missing|invalid_artifact_uri/),
    });
  });
});

describe('what a recipe may use', () => {
  it('is told with schemas', async () => {
    const { plugins } = await harness.client.listPlugins();
    const split = plugins.find(({ name }) => name === 'curation')!.contributions.find(({ name }) => name === 'split')!;
    expect(JSON.parse(split.optionsSchemaJson)).toHaveProperty('properties.heldout');
    const schema = JSON.parse((await harness.client.getRecipeSchema()).schemaJson);
    expect(schema).toHaveProperty('properties.stages');
  });
});
