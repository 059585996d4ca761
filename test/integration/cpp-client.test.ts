import { execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import {
  Server,
  ServerCredentials,
  type ServerUnaryCall,
  type ServerWritableStream,
  type sendUnaryData,
  status,
} from '@grpc/grpc-js';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  ControlServiceService,
  type GetRunRequest,
  type GetRunResponse,
  type WatchRunRequest,
  type WatchRunResponse,
} from '../../core/generated/simmer/control/v1/control.js';
import { root } from '../python/check-python.js';
import { ClientHarness, idOfFour, idOfThree, recipe, run } from './client-harness.js';

let harness: ClientHarness;
beforeAll(async () => {
  harness = await ClientHarness.start();
});
afterAll(() => harness[Symbol.asyncDispose]());

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
  const example = (name: string, ...args: string[]) => run(join(build, name), args, { env: harness.environment });

  it.skipIf(missing.length > 0)(
    'is built with the packages of Debian, runs a recipe to its end, and tells the codes of errors',
    async () => {
      expect((await example('run_recipe', harness.withoutParams)).stdout).toMatch(/\nRUN_STATUS_COMPLETED\n$/);
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
    const { stdout } = await example('analyze', harness.attempted.recipeFile, 'hard', idOfFour);
    const { id, steps, stagesLeft } = JSON.parse(stdout);
    expect({ id, stagesLeft }).toEqual({ id: idOfFour, stagesLeft: [] });
    expect(steps).toMatchObject([
      { stage: 'sums', outcome: 'seen' },
      { stage: 'hard', outcome: 'dropped', decisions: [{ kept: false, rule: 'too_easy' }] },
    ]);
    const wrong = example('analyze', harness.attempted.recipeFile, 'hard', 'nowhere');
    await expect(wrong).rejects.toMatchObject({ code: 1, stderr: expect.stringContaining('error[row_not_found]') });
  });

  it.skipIf(missing.length > 0)('tells how the evaluations of two runs differ', async () => {
    const { stdout } = await example('analyze', harness.attempted.before, harness.attempted.after);
    expect(JSON.parse(stdout)).toMatchObject([
      { model: 'served', items: 2, changed: [{ promptId: idOfThree }, { promptId: idOfFour }] },
    ]);
    const wrong = example('analyze', harness.attempted.before, 'nowhere');
    await expect(wrong).rejects.toMatchObject({ code: 1, stderr: expect.stringContaining('error[run_not_found]') });
  });

  it.skipIf(missing.length > 0)('speaks TLS with other machines, by the files that the environment names', async () => {
    // Every address of this machine but the loopback ones could be another machine's.
    const other = harness.control.server.address.replace('127.0.0.1', '0.0.0.0');
    expect((await run(join(build, 'get_run'), [harness.control.server.address, 'x', '60'])).stdout).toBe(
      'unauthenticated\n',
    );
    expect((await run(join(build, 'get_run'), [other, 'x', '60'])).stdout).toBe('unavailable\n');
    const env = { ...harness.environment, SIMMER_SERVER_CA: join(harness.control.folder, 'no.pem') };
    const wrong = run(join(build, 'run_recipe'), [recipe], { env });
    await expect(wrong).rejects.toMatchObject({ code: 1, stderr: expect.stringMatching(/tls_file_missing.*no\.pem/) });
  });

  it.skipIf(missing.length > 0)(
    'waits for a server that is being started, and for no answer longer than it may',
    async () => {
      const server = new Server();
      const attemptedRun = await harness.control.client.getRun(harness.attempted.after);
      let calls = 0;
      server.addService(ControlServiceService, {
        getRun({ request }: ServerUnaryCall<GetRunRequest, GetRunResponse>, callback: sendUnaryData<GetRunResponse>) {
          calls += 1;
          if (calls <= 2) callback({ code: status.UNAVAILABLE, details: 'starting' });
          else if (request.runId !== 'never') callback(null, attemptedRun);
        },
      });
      const address = `unix:${join(harness.control.folder, 'unready.sock')}`;
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
      const address = `unix:${join(harness.control.folder, 'newest.sock')}`;
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
