import { readFileSync } from 'node:fs';
import type { PluginDefinition } from 'simmerkit';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import budgetForcing from '../../plugins/budget-forcing/plugin.js';
import curation from '../../plugins/curation/plugin.js';
import evaluation from '../../plugins/eval/plugin.js';
import { taskSchema } from '../../plugins/eval/tasks.js';
import sft from '../../plugins/sft/plugin.js';
import sinks from '../../plugins/sinks/plugin.js';

interface Stages {
  readonly stages: Readonly<
    Record<string, { readonly uses: string; readonly with?: Readonly<Record<string, unknown>> }>
  >;
}

interface Sinks {
  readonly sinks: readonly { readonly uses: string; readonly with?: Readonly<Record<string, unknown>> }[];
}

const fragmentsOf = (plugin: PluginDefinition): readonly unknown[] => {
  const readme = readFileSync(new URL(`../../plugins/${plugin.name}/README.md`, import.meta.url), 'utf8');
  return [...readme.matchAll(/```yaml\n([\s\S]*?)```/g)].map(([, text]) => parse(text ?? ''));
};
const hasStages = (fragment: unknown): fragment is Stages => Object.hasOwn(fragment as object, 'stages');

const plugins: readonly PluginDefinition[] = [curation, sft, budgetForcing, evaluation];

describe.each(plugins)('the README of $name', (plugin) => {
  const readme = readFileSync(new URL(`../../plugins/${plugin.name}/README.md`, import.meta.url), 'utf8');
  const fragments = fragmentsOf(plugin).filter(hasStages);

  it('names every stage and grader', () => {
    for (const name of Object.keys({ ...plugin.stages, ...plugin.graders }))
      expect(readme).toContain(`${plugin.name}/${name}`);
  });

  it('shows options and inputs that stages take', async () => {
    const shown = fragments.flatMap((fragment) => Object.values(fragment.stages));
    expect(shown.length).toBeGreaterThan(0);
    for (const { uses, with: given = {} } of shown) {
      const [owner, name = ''] = uses.split('/');
      const stage = plugins.find((one) => one.name === owner)?.stages?.[name];
      if (stage === undefined) throw new Error(`there is no stage ${uses}`);
      const options = Object.fromEntries(Object.entries(given).filter(([key]) => !(key in stage.inputs)));
      const parsed = stage.options.safeParse(options);
      expect([uses, parsed.error?.message]).toEqual([uses, undefined]);
      expect((await stage.check?.(parsed.data ?? {}, { recipeFolder: '.' })) ?? []).toEqual([]);
      const missing = Object.entries(stage.inputs).filter(([key, { optional }]) => !optional && !(key in given));
      expect([uses, missing.map(([key]) => key)]).toEqual([uses, []]);
    }
  });
});

it('the README of sinks names every sink, and shows options that they take', () => {
  const readme = readFileSync(new URL('../../plugins/sinks/README.md', import.meta.url), 'utf8');
  for (const name of Object.keys(sinks.sinks ?? {})) expect(readme).toContain(`sinks/${name}`);
  const shown = (fragmentsOf(sinks) as readonly Sinks[]).flatMap((fragment) => fragment.sinks);
  expect(shown.length).toBeGreaterThan(0);
  for (const { uses, with: given = {} } of shown)
    expect(sinks.sinks?.[uses.replace('sinks/', '')]?.options.safeParse(given).error).toBeUndefined();
});

it('shows a task as eval/task reads it', () => {
  const tasks = fragmentsOf(evaluation).filter((fragment) => !hasStages(fragment));
  expect(tasks.map((task) => taskSchema.safeParse(task).success)).toEqual([true]);
});
