import { join, resolve } from 'node:path';
import type { PythonEnvironment } from 'simmerkit';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { checkPython, root } from '../python/check-python.js';
import { trainerPython } from '../python/trainer-script.js';
import { ClientHarness, examples, four, idOfFour, idOfThree, recipe, run, three } from './client-harness.js';

let harness: ClientHarness;
beforeAll(async () => {
  harness = await ClientHarness.start();
});
afterAll(() => harness[Symbol.asyncDispose]());

describe('the Python client', () => {
  let python: PythonEnvironment;
  beforeAll(async () => {
    const folder = join(root, 'proto/clients/python');
    python = await checkPython('client', join(folder, 'locks/client.txt'), [folder]);
  });
  const example = (name: string, ...args: string[]) =>
    run(python.python, [resolve(examples, name), ...args], {
      env: { ...harness.environment, ...python.env },
      maxBuffer: 2 ** 24,
    });
  type Came = Readonly<Record<'Client' | 'AsyncClient', Readonly<Record<string, unknown>>>>;
  let calls: Promise<Came> | undefined;
  /** What came of the calls of both clients, made once. */
  const everyCall = () => {
    const script = join(root, 'proto/clients/python/tests/every_call.py');
    const { before, after, recipeFile } = harness.attempted;
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
    const lines = (await example('run_recipe.py', harness.withoutParams)).stdout.trim().split('\n');
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
      env: { ...harness.environment, ...python.env, SIMMER_SERVER: `unix:${join(harness.control.folder, 'no.sock')}` },
    });
    await expect(alone).rejects.toMatchObject({ code: 2, stderr: expect.stringContaining('no.sock') });
  });

  it('runs a recipe up to a stage, and tells why a row was dropped there', async () => {
    const { stdout } = await example('explain_row.py', harness.attempted.recipeFile, 'hard', idOfFour);
    expect(stdout.trim().split('\n')).toEqual([
      `${idOfFour} ${four.question}`,
      'sums: seen',
      'hard: dropped',
      '  too_easy: served was right in 1 of 1',
    ]);
  });

  it('tells which answers became right or wrong from one run to another', async () => {
    const { stdout } = await example('compare_runs.py', harness.attempted.before, harness.attempted.after);
    expect(stdout.trim().split('\n')).toEqual([
      'served: 1 became right, 1 wrong, of 2',
      `  ${idOfThree}: 3, then 4; right is 3`,
      `  ${idOfFour}: 3, then 4; right is 4`,
    ]);
  });

  it('fetches a dataset, which pandas reads', async () => {
    const withPandas = await trainerPython();
    const args = [join(examples, 'read_dataset.py'), harness.attempted.after, 'sums.dataset'];
    const { stdout } = await run(withPandas.python, args, { env: { ...harness.environment, ...python.env } });
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
      expect(came.describe_server).toMatchObject({
        home: join(harness.control.folder, 'home'),
        capacity,
        queued_run_ids: [],
      });
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
      const run = {
        id: harness.attempted.after,
        folder: join(harness.control.folder, 'home/runs', harness.attempted.after),
        claim: null,
      };
      expect(came.get_run).toMatchObject({ ...run, status: 'completed' });
      expect(came.get_plan).toMatchObject({ until: 'hard', params: { model: 'four' } });
      expect(came.resume_run).toEqual(came.get_run);
    });

    it('lists runs by recipe, status and time', () => {
      const ids = (runs: unknown) => (runs as readonly { readonly id: string }[]).map(({ id }) => id);
      expect(ids(came.list_runs)).toEqual(expect.arrayContaining([harness.attempted.after, harness.attempted.before]));
      expect(ids(came.list_later_runs)).toContain(harness.attempted.after);
      expect(ids(came.list_later_runs)).not.toContain(harness.attempted.before);
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
        run_id: harness.attempted.after,
        path: expect.stringMatching(/report\.html$/),
      });
      expect(came.read_report).toEqual(['<!doctype html>']);
    });

    it('tells what became of a row by the beginning of its id', () => {
      expect(came.explain_row).toMatchObject({
        run_id: harness.attempted.after,
        id: idOfThree,
        question: three.question,
      });
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
