import { execFile, execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import {
  Server,
  ServerCredentials,
  type ServerUnaryCall,
  type ServerWritableStream,
  type sendUnaryData,
  status,
} from '@grpc/grpc-js';
import type { PythonEnvironment } from 'simmerkit';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  ControlServiceService,
  type GetRunRequest,
  type GetRunResponse,
  type WatchRunRequest,
  type WatchRunResponse,
} from '../../core/generated/simmer/control/v1/control.js';
import { problemId } from '../../plugins/curation/problem-id.js';
import { startChatServer } from '../chat-server.js';
import type { HttpServer } from '../http-server.js';
import { checkPython, root } from '../python/check-python.js';
import { trainerPython } from '../python/trainer-script.js';
import { ControlHarness, recipeText } from './control-harness.js';

const run = promisify(execFile);
const examples = join(root, 'docs/examples/clients');
const recipe = join(examples, 'recipe.yaml');
const token = 'a-token-that-is-long-enough';

const three = { question: 'What is 1 + 2?', answer: '3' };
const four = { question: 'What is 2 + 2?', answer: '4' };
const [idOfThree, idOfFour] = [problemId(three.question), problemId(four.question)];

/** A model attempts both sums, and what it solves is dropped. */
const attempts = (url: string) => `name: attempted
params: { model: four }
stages:
  sums: { uses: curation/load, with: { sources: { sums: { path: sums.jsonl } } } }
  hard:
    uses: curation/difficulty
    with:
      dataset: \${{ stages.sums.dataset }}
      solvers: [{ label: served, url: "${url}", model: "\${{ params.model }}" }]
      grader: { uses: eval/exact }
  formatted: { uses: curation/format, with: { dataset: "\${{ stages.hard.dataset }}" } }
`;
/** What models say to everything; others say nothing. */
const answers: Readonly<Record<string, string>> = { three: '3', four: '4' };

let harness: ControlHarness;
let models: HttpServer;
/** Ids of runs up to `hard`, of the model three and then of four, and a file with the recipe. */
let attempted: { readonly before: string; readonly after: string; readonly recipeFile: string };
/** The file of a recipe without params. */
let withoutParams: string;
beforeAll(async () => {
  harness = await ControlHarness.start({ address: { kind: 'tcp', host: '127.0.0.1', port: 0 }, token });
  withoutParams = join(harness.folder, 'plain.yaml');
  writeFileSync(
    withoutParams,
    'name: plain\nstages: { few: { uses: curation/generate-problems, with: { count: 9 } } }\n',
  );
  models = await startChatServer(({ model }) => {
    const content = answers[model];
    return content === undefined ? undefined : { choices: [{ finish_reason: 'stop', message: { content } }] };
  });
  const recipe = attempts(models.url);
  const recipeFile = join(harness.folder, 'attempts.yaml');
  writeFileSync(recipeFile, recipe);
  const rows = [three, four].map((row) => `${JSON.stringify(row)}\n`).join('');
  writeFileSync(join(harness.folder, 'home/server/recipes/sums.jsonl'), rows);
  const attempt = async (model: string) => {
    const request = { requestId: model, recipe: recipeText(recipe, { until: 'hard', params: { model } }) };
    const { runId } = (await harness.client.createRun(request)).run!;
    expect((await harness.events(runId)).at(-1)!.type).toBe('run.completed');
    return runId;
  };
  attempted = { before: await attempt('three'), after: await attempt('four'), recipeFile };
});
afterAll(async () => {
  await harness[Symbol.asyncDispose]();
  await models[Symbol.asyncDispose]();
});

const environment = () => ({ ...process.env, SIMMER_SERVER: harness.server.address, SIMMER_SERVER_TOKEN: token });

describe('the Python client', () => {
  let python: PythonEnvironment;
  beforeAll(async () => {
    const folder = join(root, 'proto/clients/python');
    python = await checkPython('client', join(folder, 'locks/client.txt'), [folder]);
  });
  const example = (name: string, ...args: string[]) =>
    run(python.python, [resolve(examples, name), ...args], {
      env: { ...environment(), ...python.env },
      maxBuffer: 2 ** 24,
    });
  type Came = Readonly<Record<'Client' | 'AsyncClient', Readonly<Record<string, unknown>>>>;
  let calls: Promise<Came> | undefined;
  /** What came of the calls of both clients, made once. */
  const everyCall = () => {
    const script = join(root, 'proto/clients/python/tests/every_call.py');
    const { before, after, recipeFile } = attempted;
    calls ??= example(script, recipeFile, 'hard', before, after, idOfThree).then(({ stdout }) => JSON.parse(stdout));
    return calls;
  };

  it('runs a recipe to its end and fetches what it made', async () => {
    const lines = (await example('run_recipe.py', recipe, 'count=50')).stdout.trim().split('\n');
    expect(lines[0]).toBe('1 run.created ');
    expect(lines).toContainEqual(expect.stringMatching(/^\d+ stage.completed formatted$/));
    expect(lines).toContainEqual(expect.stringMatching(/^formatted.dataset data.parquet: [1-9]\d+ bytes$/));
    expect(lines.at(-1)).toBe('completed');
  });

  it('runs a recipe that has no params', async () => {
    const lines = (await example('run_recipe.py', withoutParams)).stdout.trim().split('\n');
    expect(lines.at(-1)).toBe('completed');
  });

  it('follows several runs at once', async () => {
    const lines = (await example('run_many.py', recipe)).stdout.trim().split('\n').toSorted();
    expect(lines).toEqual([1, 2, 3].map((seed) => expect.stringMatching(`^seed ${seed}: \\d+ events, completed$`)));
  });

  it('tells the problems of a recipe with their places and what to do', async () => {
    const wrong = example('run_recipe.py', join(root, 'test/samples/several-problems/recipe.yaml'));
    await expect(wrong).rejects.toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/:\d+:\d+: .*\n {2}hint: /),
    });
  });

  it('tells a param that the recipe has not', async () => {
    const unknown = example('run_recipe.py', recipe, 'counts=5');
    await expect(unknown).rejects.toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/^-p counts=5: .*"counts"/m),
    });
  });

  it('tells where no server is', async () => {
    const alone = run(python.python, [join(examples, 'run_recipe.py'), recipe], {
      env: { ...environment(), ...python.env, SIMMER_SERVER: `unix:${join(harness.folder, 'no.sock')}` },
    });
    await expect(alone).rejects.toMatchObject({ code: 2, stderr: expect.stringContaining('no.sock') });
  });

  it('runs a recipe up to a stage, and tells why a row was dropped there', async () => {
    const { stdout } = await example('explain_row.py', attempted.recipeFile, 'hard', idOfFour);
    expect(stdout.trim().split('\n')).toEqual([
      `${idOfFour} ${four.question}`,
      'sums: seen',
      'hard: dropped',
      '  too_easy: served was right in 1 of 1',
    ]);
  });

  it('tells which answers became right or wrong from one run to another', async () => {
    const { stdout } = await example('compare_runs.py', attempted.before, attempted.after);
    expect(stdout.trim().split('\n')).toEqual([
      'served: 1 became right, 1 wrong, of 2',
      `  ${idOfThree}: 3, then 4; right is 3`,
      `  ${idOfFour}: 3, then 4; right is 4`,
    ]);
  });

  it('fetches a dataset, which pandas reads', async () => {
    const withPandas = await trainerPython();
    const args = [join(examples, 'read_dataset.py'), attempted.after, 'sums.dataset'];
    const { stdout } = await run(withPandas.python, args, { env: { ...environment(), ...python.env } });
    const lines = stdout.trim().split('\n');
    expect(lines.slice(1, 3).map((line) => line.trim().split(/ {2,}| (?=What)/))).toEqual([
      [idOfThree, three.question],
      [idOfFour, four.question],
    ]);
    expect(lines.at(-1)).toMatch(/^2 rows with id, question, .*answer/);
  });

  describe.each(['Client', 'AsyncClient'] as const)('%s', (kind) => {
    let came: Readonly<Record<string, unknown>>;
    beforeAll(async () => {
      came = (await everyCall())[kind];
    });

    it('plans and makes runs up to a stage, which is part of what is asked for', () => {
      expect(came.plan).toMatchObject([{ name: 'sums' }, { name: 'hard' }]);
      expect(came.validate).toMatchObject([{ code: 'unknown_stage_name' }]);
      expect(came.create_run).toMatchObject({ status: 'completed', stages_done: 2, stages_total: 2 });
      expect(came.create_another_run).toEqual({ code: 'request_id_reused' });
    });

    it('checks a recipe of the server with what is given beside it', () => {
      expect(came.validate_named).toMatchObject([{ code: 'wrong_type', message: expect.stringContaining('seed') }]);
    });

    it('tells what the server has, and what recipes may use there', () => {
      const capacity = { cpus: 4, memory_bytes: 4 * 2 ** 30, gpus: 1 };
      expect(came.describe_server).toMatchObject({ home: join(harness.folder, 'home'), capacity, queued_run_ids: [] });
      const load = {
        kind: 'stages',
        name: 'load',
        options_schema: expect.objectContaining({ type: 'object' }),
        inputs: {},
      };
      const contributions = expect.arrayContaining([expect.objectContaining(load)]);
      expect(came.list_plugins).toContainEqual(
        expect.objectContaining({ name: 'curation', api_version: 1, source: 'built-in', contributions }),
      );
      expect(JSON.stringify(came.get_recipe_schema)).toContain('curation/load');
    });

    it('tells how runs stand, and what they do', () => {
      const run = { id: attempted.after, folder: join(harness.folder, 'home/runs', attempted.after), claim: null };
      expect(came.get_run).toMatchObject({ ...run, status: 'completed' });
      expect(came.get_plan).toMatchObject({ until: 'hard', params: { model: 'four' } });
      expect(came.resume_run).toEqual(came.get_run);
    });

    it('lists runs by recipe, status and time', () => {
      const ids = (runs: unknown) => (runs as readonly { readonly id: string }[]).map(({ id }) => id);
      expect(ids(came.list_runs)).toEqual(expect.arrayContaining([attempted.after, attempted.before]));
      expect(ids(came.list_later_runs)).toContain(attempted.after);
      expect(ids(came.list_later_runs)).not.toContain(attempted.before);
      expect(came.list_failed_runs).toEqual([]);
    });

    it('stops a run for a reason that is kept', () => {
      expect(came.cancel_run).toMatchObject({ status: 'interrupted' });
      const ending = { type: 'run.interrupted', data: { reason: 'enough of it' } };
      expect((came.watch as readonly unknown[]).at(-1)).toMatchObject(ending);
    });

    it('removes a run that has ended, once', () => {
      const { id } = came.cancel_run as { readonly id: string };
      const removal = { run_ids: [id], artifact_ids: [], bytes: 0, reused_by: [] };
      expect([came.remove_rehearsed, came.remove_runs]).toEqual([removal, removal]);
      expect(came.remove_again).toEqual({ ...removal, run_ids: [] });
      expect(came.get_removed_run).toEqual({ code: 'run_not_found' });
    });

    it('reads files that a run made, or ranges of them, and its report', () => {
      expect(came.list_artifacts).toContainEqual(expect.objectContaining({ stage: 'hard', output: 'attempts' }));
      expect([came.read_beginning, came.read_end]).toEqual([['PAR1'], ['PAR1']]);
      expect(came.read_beyond).toEqual({ code: 'out_of_range' });
      expect(came.write_report).toMatchObject({
        run_id: attempted.after,
        path: expect.stringMatching(/report\.html$/),
      });
      expect(came.read_report).toEqual(['<!doctype html>']);
    });

    it('tells what became of a row by the beginning of its id', () => {
      expect(came.explain_row).toMatchObject({ run_id: attempted.after, id: idOfThree, question: three.question });
      expect(came.explain_row).toMatchObject({
        steps: [
          { stage: 'sums', uses: 'curation/load', outcome: 'seen', decisions: [], outputs: ['dataset'] },
          {
            stage: 'hard',
            outcome: 'kept',
            decisions: [{ kept: true, rule: null }],
            attempts: [{ model: 'served', policy: null, sample: 0, extracted: '4', verdict: 'wrong' }],
          },
        ],
        stages_left: [],
      });
      expect(came.explain_missing_row).toEqual({ code: 'row_not_found' });
    });

    it('tells how the evaluations of two runs differ', () => {
      const answer = (verdict: string, said: string) => ({ verdict, extracted: said, answer: said });
      const counts = { items: 2, only_before: 0, only_after: 0, right_to_wrong: 1, wrong_to_right: 1 };
      const item = { sample: 0, before: answer('right', '3'), after: answer('wrong', '4') };
      expect(came.diff_evaluations).toMatchObject([
        {
          model: 'served',
          policy: '',
          ...counts,
          changed: [{ ...item, prompt_id: idOfThree, question: three.question, gold: '3' }, { prompt_id: idOfFour }],
        },
      ]);
      expect(came.diff_missing_run).toEqual({ code: 'run_not_found' });
    });
  });
});

const tools = ['g++', 'cmake', 'protoc', 'grpc_cpp_plugin', 'pkg-config'];
const missing = tools.filter((tool) => {
  try {
    execFileSync('which', [tool], { stdio: 'ignore' });
    return false;
  } catch {
    return true;
  }
});

describe(`the C++ client${missing.length === 0 ? '' : ` (not run: ${missing.join(', ')} is not installed)`}`, () => {
  const build = join(root, 'dist/clients-cpp');
  beforeAll(async () => {
    if (missing.length > 0) return;
    mkdirSync(build, { recursive: true });
    await run('cmake', ['-S', join(root, 'proto/clients/cpp'), '-B', build]);
    await run('cmake', ['--build', build, '--parallel', '2'], { maxBuffer: 2 ** 24 });
  }, 600_000);
  const example = (name: string, ...args: string[]) => run(join(build, name), args, { env: environment() });

  it.skipIf(missing.length > 0)(
    'is built with the packages of Debian, runs a recipe to its end, and tells the codes of errors',
    async () => {
      expect((await example('run_recipe', withoutParams)).stdout).toMatch(/\nRUN_STATUS_COMPLETED\n$/);
      const { stdout } = await example('run_recipe', recipe, 'count=50');
      const lines = stdout.trim().split('\n');
      expect(lines[0]).toBe('1 run.created');
      expect(lines).toContainEqual(expect.stringMatching(/^formatted.dataset data.parquet: [1-9]\d+ bytes$/));
      expect(lines.at(-1)).toBe('RUN_STATUS_COMPLETED');
      const wrong = example('run_recipe', join(root, 'package.json'), 'count=50');
      await expect(wrong).rejects.toMatchObject({
        code: 1,
        stderr: expect.stringMatching(/^error\[invalid_recipe\]: .*\n.*"count"\.\n {2}hint: /),
      });
    },
  );

  it.skipIf(missing.length > 0)('runs a recipe up to a stage, and tells why a row was dropped there', async () => {
    const { stdout } = await example('analyze', attempted.recipeFile, 'hard', idOfFour);
    const { id, steps, stagesLeft } = JSON.parse(stdout);
    expect({ id, stagesLeft }).toEqual({ id: idOfFour, stagesLeft: [] });
    expect(steps).toMatchObject([
      { stage: 'sums', outcome: 'seen' },
      { stage: 'hard', outcome: 'dropped', decisions: [{ kept: false, rule: 'too_easy' }] },
    ]);
    const wrong = example('analyze', attempted.recipeFile, 'hard', 'nowhere');
    await expect(wrong).rejects.toMatchObject({ code: 1, stderr: expect.stringContaining('error[row_not_found]') });
  });

  it.skipIf(missing.length > 0)('tells how the evaluations of two runs differ', async () => {
    const { stdout } = await example('analyze', attempted.before, attempted.after);
    expect(JSON.parse(stdout)).toMatchObject([
      { model: 'served', items: 2, changed: [{ promptId: idOfThree }, { promptId: idOfFour }] },
    ]);
    const wrong = example('analyze', attempted.before, 'nowhere');
    await expect(wrong).rejects.toMatchObject({ code: 1, stderr: expect.stringContaining('error[run_not_found]') });
  });

  it.skipIf(missing.length > 0)('speaks TLS with other machines, by the files that the environment names', async () => {
    // Every address of this machine but the loopback ones could be another machine's.
    const other = harness.server.address.replace('127.0.0.1', '0.0.0.0');
    expect((await run(join(build, 'get_run'), [harness.server.address, 'x', '60'])).stdout).toBe('unauthenticated\n');
    expect((await run(join(build, 'get_run'), [other, 'x', '60'])).stdout).toBe('unavailable\n');
    const env = { ...environment(), SIMMER_SERVER_CA: join(harness.folder, 'no.pem') };
    const wrong = run(join(build, 'run_recipe'), [recipe], { env });
    await expect(wrong).rejects.toMatchObject({ code: 1, stderr: expect.stringMatching(/tls_file_missing.*no\.pem/) });
  });

  it.skipIf(missing.length > 0)(
    'waits for a server that is being started, and for no answer longer than it may',
    async () => {
      const server = new Server();
      const attemptedRun = await harness.client.getRun(attempted.after);
      let calls = 0;
      server.addService(ControlServiceService, {
        getRun({ request }: ServerUnaryCall<GetRunRequest, GetRunResponse>, callback: sendUnaryData<GetRunResponse>) {
          calls += 1;
          if (calls <= 2) callback({ code: status.UNAVAILABLE, details: 'starting' });
          else if (request.runId !== 'never') callback(null, attemptedRun);
        },
      });
      const address = `unix:${join(harness.folder, 'unready.sock')}`;
      await promisify(server.bindAsync.bind(server))(address, ServerCredentials.createInsecure());
      try {
        expect((await run(join(build, 'get_run'), [address, 'one', '60'])).stdout).toBe('attempted\n');
        expect((await run(join(build, 'get_run'), [address, 'never', '0.2'])).stdout).toBe('deadline_exceeded\n');
      } finally {
        server.forceShutdown();
      }
    },
  );

  it.skipIf(missing.length > 0)(
    'goes on with the run that it began to watch, also where that is the newest no more',
    async () => {
      const server = new Server();
      let calls = 0;
      server.addService(ControlServiceService, {
        watchRun(call: ServerWritableStream<WatchRunRequest, WatchRunResponse>) {
          calls += 1;
          const { runId: name, fromSequence: sequence } = call.request;
          const runId = name !== 'latest' ? name : calls === 1 ? 'first' : 'second';
          const json = JSON.stringify({ runId, sequence: Number(sequence) });
          call.write({ items: [{ item: { $case: 'event', value: { sequence, type: 'step.logged', json } } }] });
          if (calls === 1) call.emit('error', { code: status.UNAVAILABLE, details: 'stopped' });
          else call.end();
        },
      });
      const address = `unix:${join(harness.folder, 'newest.sock')}`;
      await promisify(server.bindAsync.bind(server))(address, ServerCredentials.createInsecure());
      try {
        const lines = (await run(join(build, 'watch'), [address, 'latest'])).stdout.trim().split('\n');
        expect(lines.map((line) => JSON.parse(line))).toEqual([1, 2].map((sequence) => ({ runId: 'first', sequence })));
      } finally {
        server.forceShutdown();
      }
    },
  );
});
