import fc from 'fast-check';
import { expect, it } from 'vitest';
import { repeatedKey } from './repeated-key.js';

const repeatedIn = (json: string) => repeatedKey(json, JSON.parse(json));

it.each([
  ['{"a":1,"b":2,"a":3}', 'a', 13],
  ['[{"a":{"b":1}},\n{"c":{"a":1, "b":[], "a"\t: 1}}]', 'a', 37],
  ['{"a":"\\\\","\\u0061":":"}', 'a', 10],
  ['{"a\\\\":1,"a\\\\":":"}', 'a\\', 9],
  ['{"__proto__":1,"__proto__":1}', '__proto__', 15],
])('%s has a key twice', (json, key, position) => expect(repeatedIn(json)).toEqual({ key, position }));

it.each([
  '{"a":{"a":{"a":1}},"b":[{"a":1},{"a":2}]}',
  '{"a":":b","c":"{\\"a\\":1,\\"a\\":2}"}',
  '{"a\\\\":1,"b":"\\\\\\": "}',
  '{"a":1,"A":1,"":2}',
])('%s has each key once', (json) => expect(repeatedIn(json)).toBeUndefined());

it('what was written from objects has each key once, and twice where one is written again', () => {
  fc.assert(
    fc.property(fc.dictionary(fc.string(), fc.jsonValue(), { minKeys: 1 }), (object) => {
      const json = JSON.stringify(object);
      expect(repeatedIn(json)).toBeUndefined();
      const [key = ''] = Object.keys(object);
      expect(repeatedIn(`${json.slice(0, -1)},${JSON.stringify(key)}:0}`)).toMatchObject({ key });
    }),
  );
});
