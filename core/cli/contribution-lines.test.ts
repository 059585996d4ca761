import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import picocolors from 'picocolors';
import stringWidth from 'string-width';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { contributionKinds } from '../plugin/check-shape.js';
import { describePlugin } from '../plugin/describe-plugin.js';
import { simmerPackage } from '../plugin/locate.js';
import { contributionsNamed, type NamedContribution } from '../plugin/named-contribution.js';
import { contributionLines } from './contribution-lines.js';
import { catalogOf } from './workspace.js';

const colors = picocolors.createColors(false);

function linesOf(given: Partial<NamedContribution>): readonly string[] {
  const contribution = {
    uses: 'mine/one',
    kind: 'grader',
    source: 'built-in',
    version: '1.0.0',
    description: 'Grades.',
  };
  return contributionLines({ ...contribution, options: {}, ...given }, { width: 60, colors });
}

/** The lines of the options of a schema. */
function optionsOf(shape: z.ZodRawShape): readonly string[] {
  const lines = linesOf({ options: z.toJSONSchema(z.object(shape), { io: 'input' }) });
  return lines.slice(lines.indexOf('options') + 1);
}

describe('a contribution', () => {
  it('is told with its inputs, its outputs and its options, those inside of others further in', () => {
    const options = z.object({
      rules: z
        .record(z.string(), z.object({ most: z.int().positive().default(3), kind: z.enum(['a', 'b']) }))
        .describe('Rules by their names, of which the first one that speaks against a row drops it.'),
    });
    const stage = {
      kind: 'stage',
      source: './mine',
      inputs: { dataset: { types: ['dataset'], optional: false, many: true, description: 'Rows.' } },
      outputs: {},
      options: z.toJSONSchema(options, { io: 'input' }),
    };
    expect(linesOf(stage)).toEqual([
      'mine/one, a stage, ./mine 1.0.0',
      'Grades.',
      '',
      'inputs',
      '  dataset: [dataset], required',
      '      Rows.',
      '',
      'no outputs',
      '',
      'options',
      '  rules: {NAME: {most, kind}}, required',
      '      Rules by their names, of which the first one that',
      '      speaks against a row drops it.',
      '    most: integer above 0, default 3',
      '    kind: a | b, required',
    ]);
  });

  it('without options is said to have none', () => expect(linesOf({}).at(-1)).toBe('no options'));

  it('is told with the limits of numbers', () =>
    expect(
      optionsOf({
        share: z.number().min(0).max(1),
        rate: z.number().gt(0).optional(),
        below: z.number().lt(1).optional(),
      }),
    ).toEqual(['  share: number 0 to 1, required', '  rate: number above 0', '  below: number below 1']));

  it('is told with each form that an option may have, and with defaults as a recipe writes them', () =>
    expect(
      optionsOf({
        format: z.union([z.enum(['s1', 'none']), z.object({ start: z.string() })]).default('s1'),
        files: z.array(z.string()).default(['*']),
        check: z.literal(false).optional(),
      }),
    ).toEqual([
      '  format: s1 | none | {start}, default s1',
      '    start: text, required',
      '  files: [text], default ["*"]',
      '  check: false',
    ]));

  it('whose schema refers to itself is told once', () => {
    const tree: z.ZodType = z.object({
      leaf: z.string(),
      get branches() {
        return z.array(tree).optional();
      },
    });
    expect(optionsOf({ tree })).toEqual([
      '  tree: {leaf, branches}, required',
      '    leaf: text, required',
      '    branches: [any]',
    ]);
  });
});

describe('the built-in contributions', async () => {
  const plugins = await Promise.all((await catalogOf().all()).map(describePlugin));
  const names = plugins.flatMap((plugin) =>
    contributionKinds.flatMap((kind) => Object.keys(plugin[kind]).map((name) => `${plugin.name}/${name}`)),
  );

  it.each(names)('fit into 80 columns: %s', (name) => {
    const lines = contributionsNamed(name, plugins).flatMap((one) => contributionLines(one, { width: 80, colors }));
    expect(lines.filter((line) => stringWidth(line) > 80)).toEqual([]);
  });

  it('are told as docs/recipes.md shows', () => {
    const text = readFileSync(join(simmerPackage.root, 'docs/recipes.md'), 'utf8');
    const [, name, shown] = /\$ simmer plugins (\S+\/\S+)\n([\s\S]*?)\n```/.exec(text)!;
    expect(shown).toBe(contributionLines(contributionsNamed(name!, plugins)[0], { width: 80, colors }).join('\n'));
  });
});
