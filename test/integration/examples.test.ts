import { readFile, writeFile } from 'node:fs/promises';
import os from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { GraderContext, PluginDefinition } from '../../core/plugin/definitions.js';
import { silentLog } from '../../core/plugin/log.js';
import { fakeTrainerPlugin } from '../../core/testing/fake-trainer-plugin.js';
import { RunHarness } from '../../core/testing/run-harness.js';
import { cacheFolder } from '../python/check-python.js';
import { asking } from './process-plugin/asking-plugin.js';

const folder = join(import.meta.dirname, '../../docs/examples/keep-short');

describe('the examples of docs/writing-a-plugin.md', () => {
  it('stand in the text as they stand in their files', async () => {
    const text = await readFile(join(folder, '../../writing-a-plugin.md'), 'utf8');
    const whole = ['close-enough/plugin.js', 'difficulty/simmer-plugin.yaml'];
    for (const file of ['plugin.js', 'recipe.yaml', ...whole.map((file) => `../${file}`)]) {
      expect(text).toContain((await readFile(join(folder, file), 'utf8')).trim());
    }
    // Of these, what matters: a hook is shown inside of its plugin, which has no file.
    const parts = ['plugin.js', '../close-enough/plugin.js', '../clarity/plugin.js', '../launcher/plugin.js'];
    const javascript = (await Promise.all(parts.map((file) => readFile(join(folder, file), 'utf8')))).join('\n');
    const blocks = [...text.matchAll(/```js\n([\s\S]*?)```/g)].map(([, block]) => block?.trim() ?? '');
    expect(blocks.length).toBeGreaterThan(3);
    for (const block of blocks.filter((one) => !one.startsWith('hooks:'))) expect(javascript).toContain(block);
    const tested = '../../../test/integration/process-plugin';
    const examples = [
      '../difficulty/difficulty.py',
      '../clarity-python/clarity.py',
      '../close-enough-python/close_enough.py',
      '../wandb/wandb_sink.py',
    ];
    const files = [...examples, `${tested}/house/house.py`, `${tested}/trains/trains.py`];
    const python = (await Promise.all(files.map((file) => readFile(join(folder, file), 'utf8')))).join('\n');
    const shown = [...text.matchAll(/```python\n([\s\S]*?)```/g)].map(([, block]) => block?.trim() ?? '');
    expect(shown.length).toBeGreaterThan(2);
    for (const block of shown) expect(python).toContain(block);
  });

  it('keeps the short questions, and counts those that it drops', async () => {
    const { default: keepShort } = (await import(join(folder, 'plugin.js'))) as { default: PluginDefinition };
    await using harness = await RunHarness.create({ plugins: [keepShort], withBuiltIn: true });
    const recipe = (await readFile(join(folder, 'recipe.yaml'), 'utf8')).replace('plugins:\n  - ./plugin.js\n', '');
    const run = await harness.run(recipe);
    const kept = await run.rows('short.dataset');
    const [funnel] = run.eventsOf('funnel.counted').filter((event) => event.data.step === 'keep-short');
    expect(run.outcome.status).toBe('completed');
    expect(kept.length).toBeGreaterThan(0);
    expect(kept.every((row) => String(row.question).split(/\s+/).length <= 30)).toBe(true);
    expect(funnel?.data).toEqual({
      step: 'keep-short',
      rowsIn: 200,
      rowsOut: kept.length,
      dropped: { too_long: 200 - kept.length },
    });
  });

  it('read numbers alike in both languages, and say of what is none that it is none', async () => {
    const gallons = ['3.785', ' 3.8 ', '3785e-3', '4', 'nan', 'NaN', 'inf', '-Infinity', '1e999', 'a few'];
    const verdictsBy = async (plugin: string) => {
      await using harness = await RunHarness.create({
        plugins: [],
        listedPlugins: [join(folder, '..', plugin)],
        withBuiltIn: true,
        cacheFolder,
      });
      const rows = gallons.map((answer, index) => ({ id: `${index}`, question: `${index}?`, answer, gold: '3.785' }));
      await writeFile(join(harness.recipeFolder, 'answers.jsonl'), rows.map((row) => JSON.stringify(row)).join('\n'));
      const run = await harness.run(`
name: gallons
stages:
  answers: { uses: curation/load, with: { sources: { said: { path: answers.jsonl, fields: { gold: gold } } } } }
  graded:
    uses: curation/verify
    with: { dataset: "\${{ stages.answers.dataset }}", grader: { uses: close-enough/close-enough, with: {} } }
`);
      return (await run.rows('graded.decisions')).map(({ rule, evidence }) =>
        String(evidence).endsWith('One is no number.') ? 'unparsed' : rule,
      );
    };
    const verdicts = await verdictsBy('close-enough/plugin.js');
    expect(verdicts).toEqual(['right', 'right', 'right', 'wrong', ...Array(6).fill('unparsed')]);
    expect(await verdictsBy('close-enough-python')).toEqual(verdicts);
    const { default: plugin } = (await import(join(folder, '../close-enough/plugin.js'))) as {
      default: PluginDefinition;
    };
    await using started = await plugin.graders!['close-enough']!.start({ tolerance: 0.01 }, {} as GraderContext);
    expect(await started.grade([{ id: '1', gold: '0', answer: ' ' }])).toMatchObject([{ verdict: 'unparsed' }]);
  });

  it('start a trainer behind all other work, find it again and end it', async () => {
    const { default: plugin } = (await import(join(folder, '../launcher/plugin.js'))) as { default: PluginDefinition };
    await using harness = await RunHarness.create({ plugins: [plugin, asking, fakeTrainerPlugin], withBuiltIn: true });
    const run = await harness.run(`
name: launched
trainers:
  student: { uses: fake-trainer/fake, launcher: { uses: nice/nice, with: { niceness: 5 } } }
stages: { ask: { uses: asking/ask, with: { trainer: student } } }
`);
    expect(run.outcome).toMatchObject({ status: 'completed' });
    const { nice } = plugin.launchers!;
    const files = { stdoutFile: join(harness.recipeFolder, 'out'), stderrFile: join(harness.recipeFolder, 'err') };
    const command = { argv: ['sh', '-c', 'nice; exec sleep 60'], env: {} };
    const launched = await nice!.launch({ command, resources: {}, log: silentLog, ...files }, { niceness: 5 });
    await expect.poll(() => readFile(files.stdoutFile, 'utf8')).toBe(`${os.getPriority() + 5}\n`);
    const again = await nice!.attach(launched.pid, { niceness: 5 });
    await again?.terminate(1000);
    expect(await nice!.attach(launched.pid, { niceness: 5 })).toBeUndefined();
  });

  it.each(['close-enough/plugin.js', 'close-enough-python'])(
    'take what is close for right: %s',
    async (plugin) => {
      const examples = join(folder, '..');
      const written = await readFile(join(examples, 'close-enough/recipe.yaml'), 'utf8');
      const recipe = written
        .replace('plugins:\n  - ./plugin.js\n', '')
        .replace('answers.jsonl', join(examples, 'close-enough/answers.jsonl'));
      await using harness = await RunHarness.create({
        plugins: [],
        listedPlugins: [join(examples, plugin)],
        withBuiltIn: true,
        cacheFolder,
      });
      const run = await harness.run(recipe);
      expect(run.outcome.status).toBe('completed');
      expect((await run.rows('graded.dataset')).map((row) => row.answer)).toEqual(['8850']);
      expect((await run.rows('graded.decisions')).map((row) => row.rule)).toEqual(['right', 'wrong', 'wrong']);
    },
    300_000,
  );
});
