import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { filePath, runsCode, secretVariable, trainerName } from '../plugin/define.js';
import {
  absentOptions,
  asSchema,
  descend,
  type Marks,
  mapOptions,
  mapsThatKnow,
  schemaAt,
  unknownKeys,
} from './option-schema.js';

/** The marks that are found in a value, by path. */
function marksIn(schema: z.ZodType, value: unknown): Readonly<Record<string, Marks>> {
  const found: Record<string, Marks> = {};
  mapOptions(asSchema(schema), value, ({ trainer, file, runsCode, secret }, _value, path) => {
    const marks = Object.entries({ trainer, file, runsCode, secret }).filter(([, mark]) => mark !== undefined);
    if (marks.length > 0) found[path.join('.')] = Object.fromEntries(marks);
    return descend;
  });
  return found;
}

describe('the marks of options', () => {
  it('are found on both sides of an intersection, in one that has one inside, and on the whole', () => {
    const command = z.object({ command: runsCode(z.array(z.string())), inner: z.object({ a: runsCode(z.string()) }) });
    const server = z.object({ key: secretVariable('url'), inner: z.object({ b: filePath(), a: z.string() }) });
    const schema = z.object({
      both: z.intersection(command, z.intersection(server, z.object({ who: trainerName() }))),
      whole: z.intersection(runsCode(z.string()), z.string()).optional(),
    });
    const both = { command: ['sh'], key: 'KEY', who: 'student', inner: { a: 'a', b: 'b' } };
    const given = { both, whole: 'x' };
    expect(schema.parse(given)).toEqual(given);
    expect(marksIn(schema, given)).toEqual({
      'both.command': { runsCode: true },
      'both.key': { secret: 'url' },
      'both.who': { trainer: true },
      'both.inner.a': { runsCode: true },
      'both.inner.b': { file: true },
      whole: { runsCode: true },
    });
  });

  it('are found in a map that also fits a record', () => {
    const schema = z.intersection(z.looseObject({ a: z.string() }), z.record(z.string(), runsCode(z.string())));
    expect(marksIn(schema, { a: 'x', b: 'y' })).toEqual({ a: { runsCode: true }, b: { runsCode: true } });
  });

  it('are found in the rest of a tuple', () => {
    const schema = z.tuple([z.string()], runsCode(z.string()));
    expect(marksIn(schema, ['a', 'b', 'c'])).toEqual({ 1: { runsCode: true }, 2: { runsCode: true } });
  });
});

it('knows the keys of both sides of an intersection', () => {
  const schema = z.object({
    both: z.intersection(z.object({ a: z.string() }), z.object({ b: z.string().describe('The b.') })),
  });
  const given = { both: { a: 'x', b: 'y', c: 'z' } };
  expect(unknownKeys(asSchema(schema), given)).toEqual([{ path: ['both', 'c'], known: ['a', 'b'] }]);
  expect(schemaAt(asSchema(schema), given, ['both'])?.keys).toEqual(['a', 'b']);
  expect(schemaAt(asSchema(schema), given, ['both', 'b'])?.description).toBe('The b.');
});

it('what is left out is found inside of lists and of intersections too', () => {
  const named = z.object({ who: trainerName().optional(), rows: z.number().optional() });
  const schema = z.object({
    list: z.array(z.intersection(named, z.object({ at: filePath() }))),
    more: named.optional(),
  });
  const absent = absentOptions(asSchema(schema), { list: [{ at: 'a', rows: 1 }, { who: 'student' }] });
  expect(absent.map(({ path, marks }) => [path.join('.'), marks.trainer === true, marks.file === true])).toEqual([
    ['more', false, false],
    ['list.0.who', true, false],
    ['list.1.rows', false, false],
    ['list.1.at', false, true],
  ]);
});

it('a key is found in the maps of a schema, the outermost first, also where the schema contains itself', () => {
  const tree: z.ZodObject = z.object({ left: z.lazy(() => tree.optional()), leaf: z.string() });
  const schema = z.object({
    tree,
    form: z.union([z.string(), z.strictObject({ leaf: z.string() })]).default('none'),
    list: z.array(z.object({ item: z.string() })),
  });
  expect(mapsThatKnow(asSchema(schema), 'leaf').slice(0, 3)).toEqual([['tree'], ['form'], ['tree', 'left']]);
  expect(mapsThatKnow(asSchema(schema), 'item')).toEqual([]);
});
