import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { isUserError, type UserError } from '../errors.js';
import { parseDocument } from './document.js';

const parse = (text: string) => parseDocument('r.yaml', text, 'recipe');

const failure = (text: string): UserError => {
  try {
    parse(text);
  } catch (error) {
    if (isUserError(error)) return error;
    throw error;
  }
  return expect.unreachable('it was read');
};

describe('positions', () => {
  const document = parse('name: bread\nstages:\n  dough:\n    with: { dataset: x, more: [1, "two"] }\n');

  test.each([
    [['stages', 'dough'], 'key', 3, 3],
    [['stages', 'dough', 'with'], 'value', 4, 11],
    [['stages', 'dough', 'with', 'dataset'], 'value', 4, 22],
    [['stages', 'dough', 'with', 'more', 1], 'value', 4, 35],
    [['name'], 'key', 1, 1],
  ] as const)('of %j, its %s', (path, of, line, column) => {
    expect(document.positionOf(path, of)).toEqual({ file: 'r.yaml', line, column });
  });

  test('of what is not there is the key of what would be around it', () => {
    expect(document.positionOf(['stages', 'dough', 'uses'])).toEqual({ file: 'r.yaml', line: 3, column: 3 });
  });
});

test('values are those of the core schema, whatever a directive says', () => {
  expect(parse('%YAML 1.1\n---\n{a: yes, b: 010, c: 1e-4, d: 0x10, e: ~, f: "1", "<<": 3}\n').value).toEqual({
    a: 'yes',
    b: 10,
    c: 1e-4,
    d: 16,
    e: null,
    f: '1',
    '<<': 3,
  });
});

test('an anchor may be used again', () => {
  expect(parse('a: &a { x: [1] }\nb: *a\n').value).toEqual({ a: { x: [1] }, b: { x: [1] } });
});

describe('a merge key', () => {
  const shared = 'shared: &shared\n  trainer: student\n  sampling: { samples: 4 }\n';

  test('brings the keys of a map, before which those beside it go', () => {
    const document = parse(`${shared}tuned: { label: tuned, sampling: { stop: [x] }, <<: *shared }\n`);
    expect(document.problems).toEqual([]);
    expect(document.value).toMatchObject({ tuned: { label: 'tuned', sampling: { stop: ['x'] }, trainer: 'student' } });
    expect((document.value as { tuned: { sampling: object } }).tuned.sampling).toEqual({ stop: ['x'] });
    expect(document.positionOf(['tuned', 'trainer'], 'key').line).toBe(2);
    expect(document.positionOf(['tuned', 'sampling'], 'key').line).toBe(4);
  });

  test('takes several maps, the first of which goes before the others, and maps that merge others', () => {
    const text = 'a: &a { x: 1, y: 1 }\nb: &b { <<: *a, y: 2, z: 2 }\nc: { <<: [{ z: 3 }, *b], w: 4 }\n';
    expect(parse(text).value).toMatchObject({ b: { x: 1, y: 2, z: 2 }, c: { w: 4, x: 1, y: 2, z: 3 } });
  });

  test('means the anchors that there are where it stands, and those in what it names are there from then on', () => {
    const again = 'base: &d { x: 1 }\nb: { <<: *d, k: &d { x: 9 } }\n';
    expect(parse(again)).toMatchObject({ value: { b: { x: 1, k: { x: 9 } } }, problems: [] });
    expect(parse('b: { <<: &s { x: 1 } }\nc: *s\n')).toMatchObject({
      value: { b: { x: 1 }, c: { x: 1 } },
      problems: [],
    });
  });

  test('is refused where it names no map, or the one that it is in', () => {
    expect(parse('a: { <<: 3, x: 1 }\n')).toMatchObject({
      value: { a: { x: 1 } },
      problems: [{ code: 'wrong_merge', position: { line: 1, column: 10 } }],
    });
    expect(failure('a: &a { <<: *a }\n').problems[0]?.code).toBe('alias_cycle');
    expect(failure('a: { <<: *b }\n').problems[0]?.code).toBe('unknown_alias');
  });
});

test('a tag that is not plain data is refused', () => {
  expect(failure('a: !!js/function "x"').problems[0]).toMatchObject({ code: 'syntax_error', position: { line: 1 } });
});

test('a map with 100,000 keys takes no quadratic time', () => {
  const keys = Array.from({ length: 60_000 }, (_, index) => `k${index}: 1`).join('\n');
  // Of this process alone, however busy the machine is.
  const before = process.cpuUsage();
  expect(Object.keys(parse(keys).value as object)).toHaveLength(60_000);
  expect(process.cpuUsage(before).user / 1e6).toBeLessThan(10);
});

test('the values of any JSON are those of the file', () => {
  const isRead = (value: unknown): boolean => {
    if (typeof value === 'number') return Number.isSafeInteger(value) || !Number.isInteger(value);
    if (typeof value !== 'object' || value === null) return true;
    const refused = ['__proto__', 'constructor', 'prototype'];
    return Object.entries(value).every(([key, inner]) => !refused.includes(key) && isRead(inner));
  };
  const json = fc.jsonValue({ noUnicodeString: false }).filter(isRead);
  fc.assert(
    fc.property(json, (value) => {
      const document = parse(JSON.stringify(value, null, 2));
      expect(document.problems).toEqual([]);
      expect(document.value).toEqual(JSON.parse(JSON.stringify(value)));
    }),
    { numRuns: 300 },
  );
});

test('a long text is not repeated by aliases until it is gigabytes', () => {
  const text = `a: &a ${'x'.repeat(2 ** 20)}\n${Array.from({ length: 20 }, (_, at) => `b${at}: *a\n`).join('')}`;
  expect(failure(text).problems).toMatchObject([{ code: 'too_large', path: 'b15' }]);
});

test('a long key is not repeated in the path of each of its values until it is gigabytes', () => {
  const text = `? ${'k'.repeat(2 ** 17)}\n: [${'1,'.repeat(2_000)}]\n`;
  expect(failure(text).problems).toMatchObject([{ code: 'too_large', position: { line: 2 } }]);
});

test('whatever the text, what is thrown is for the user', () => {
  const pieces = fc.constantFrom(
    ...[
      'a',
      'b: ',
      '- ',
      '? ',
      ': ',
      '\n',
      '  ',
      '[',
      ']',
      '{',
      '}',
      ', ',
      '&x ',
      '*x',
      '!t ',
      '"',
      "'",
      '|',
      '>',
      '#',
      '%',
    ],
    ...[
      '---\n',
      '...\n',
      '<<: ',
      '__proto__: ',
      '${{ ',
      ' }}',
      '.inf',
      '1e999',
      '\t',
      '\u0000',
      '\u2028',
      '\ud800',
      '\ufeff',
    ],
  );
  const text = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.array(pieces, { maxLength: 60 }).map((parts) => parts.join('')),
  );
  fc.assert(
    fc.property(text, (input) => {
      try {
        const { value } = parse(input);
        JSON.stringify(value);
      } catch (error) {
        expect(isUserError(error)).toBe(true);
        expect((error as UserError).problems.length).toBeGreaterThan(0);
      }
    }),
    { numRuns: 3000 },
  );
});
