import { describe, expect, it } from 'vitest';
import { asSchema, descend, mapOptions } from '../../document/option-schema.js';
import { optionsFromJsonSchema } from './json-schema-options.js';

const schema = {
  type: 'object',
  required: ['trainer', 'inner'],
  properties: {
    trainer: { type: 'string', 'x-simmer-trainer': true, description: 'Who runs the model.' },
    threads: { type: 'integer', minimum: 1, default: 4, 'x-simmer-placement': true },
    words: { anyOf: [{ type: 'string' }, { type: 'null' }], default: null, 'x-simmer-file': true },
    logs: { type: 'string', default: 'logs', 'x-simmer-folder': true },
    grader: { 'x-simmer-grader': 'eval/exact' },
    inner: { $ref: '#/$defs/Inner' },
    note: { type: 'string' },
    key: { type: 'string', default: 'KEY', 'x-simmer-secret': 'url' },
    program: { type: 'array', items: { type: 'string' }, default: [], 'x-simmer-runs-code': true },
    extensions: { type: 'object', default: {}, 'x-simmer-extensions-for': 'trainer' },
  },
  $defs: { Inner: { type: 'object', properties: { depth: { type: 'number' } }, required: ['depth'] } },
};

describe('the options of a plugin that is a process', () => {
  const options = optionsFromJsonSchema(schema, 'p', 'the options of the stage "s"');

  it('have their defaults, and may leave out what is not required', () => {
    expect(options.parse({ trainer: 'student', inner: { depth: 2 } })).toEqual({
      trainer: 'student',
      threads: 4,
      words: null,
      logs: 'logs',
      grader: { uses: 'eval/exact', with: {} },
      inner: { depth: 2 },
      key: 'KEY',
      program: [],
      extensions: {},
    });
  });

  it('are refused where they do not fit, inside too', () => {
    const paths = (given: object) => options.safeParse(given).error?.issues.map(({ path }) => path.join('.'));
    expect(paths({ trainer: 'student', threads: 0, inner: {} })).toEqual(['threads', 'inner.depth']);
    expect(paths({ inner: { depth: 1 }, words: 3 })).toEqual(['trainer', 'words']);
    expect(options.safeParse({ trainer: 't', inner: { depth: 1 }, other: 1 }).success).toBe(false);
  });

  it('are marked as the plugin says', () => {
    const found: Record<string, object> = {};
    const given = options.parse({ trainer: 'student', words: 'words.txt', inner: { depth: 2 } });
    mapOptions(asSchema(options), given, (marks, _value, path) => {
      const { placement, trainer, file, folder, grader, secret, runsCode, extensionsFor } = marks;
      const known = { placement, trainer, file, folder, grader, secret, runsCode, extensionsFor };
      if (path.length === 1) found[String(path[0])] = JSON.parse(JSON.stringify(known));
      return descend;
    });
    expect(found).toEqual({
      trainer: { trainer: true },
      threads: { placement: true },
      words: { file: true },
      logs: { folder: true, placement: true },
      grader: { grader: true },
      inner: {},
      key: { secret: 'url', placement: true },
      program: { runsCode: true },
      extensions: { extensionsFor: 'trainer' },
    });
  });

  it.each([
    [{ type: 'array' }, 'are no JSON Schema of type "object"'],
    [{ type: 'object', properties: { a: { type: 'colour' } } }, 'have a schema for "a" that cannot be read'],
    [{ type: 'object', properties: { a: true } }, 'have no schema for "a"'],
    [
      { type: 'object', properties: { a: { type: 'string', 'x-simmer-runs-code': 'true' } } },
      'have a schema for "a" that cannot be read: x-simmer-runs-code must be a boolean, not "true"',
    ],
    [
      { type: 'object', properties: { a: { type: 'string', 'x-simmer-secret': true } } },
      'have a schema for "a" that cannot be read: x-simmer-secret must be a string, not true',
    ],
    [
      { type: 'object', properties: { a: { type: 'object', 'x-simmer-extensions-for': 'trainer' } } },
      'have "a" with x-simmer-extensions-for "trainer", and no option "trainer" with x-simmer-trainer',
    ],
    [
      { type: 'object', properties: { a: { type: 'object', 'x-simmer-extensions-for': 'b' }, b: { type: 'string' } } },
      'have "a" with x-simmer-extensions-for "b", and no option "b" with x-simmer-trainer',
    ],
  ])('of the schema %j are the plugin’s mistake', (wrong, why) => {
    const read = () => optionsFromJsonSchema(wrong, 'p', 'the options of the stage "s"');
    expect(read).toThrow(`Plugin p: the options of the stage "s" ${why}`);
  });

  const secret = { type: 'string', 'x-simmer-secret': '' };
  it.each([
    [{ a: { type: 'object', properties: { key: secret } } }, {}, 'a.properties.key.x-simmer-secret'],
    [{ a: { type: 'array', items: { type: 'string', 'x-simmer-runs-code': true } } }, {}, 'a.items.x-simmer-runs-code'],
    [{ a: { anyOf: [{ type: 'null' }, secret] } }, {}, 'a.anyOf.1.x-simmer-secret'],
    [{ a: { $ref: '#/$defs/Key' } }, { Key: secret }, '$defs.Key.x-simmer-secret'],
    [
      { a: { $ref: '#/$defs/Server' } },
      { Server: { type: 'object', properties: { key: secret } } },
      '$defs.Server.properties.key.x-simmer-secret',
    ],
  ])('%j are refused for a mark that would not be heeded', (properties, definitions, place) => {
    const read = () =>
      optionsFromJsonSchema({ type: 'object', properties, $defs: definitions }, 'p', 'the options of the stage "s"');
    const message = `Plugin p: the options of the stage "s" have a mark "${place}", and only an option itself`;
    expect(read).toThrow(
      expect.objectContaining({ code: 'invalid_plugin', message: expect.stringContaining(message) }),
    );
  });

  it('may be none', () => {
    expect(optionsFromJsonSchema(undefined, 'p', 'the options of the grader "g"').safeParse({ a: 1 }).success).toBe(
      false,
    );
  });
});
