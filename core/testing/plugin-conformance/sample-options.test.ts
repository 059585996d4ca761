import { expect, it } from 'vitest';
import { optionsFromJsonSchema } from '../../plugin/process/json-schema-options.js';
import { sampleOptions } from './sample-options.js';

const sampled = (properties: Readonly<Record<string, object>>) =>
  sampleOptions(
    optionsFromJsonSchema({ type: 'object', properties, required: Object.keys(properties) }, 'trial', 'the options'),
    'student',
  );

it('makes up what a recipe would have to give, of any form that has a name', () => {
  const text = (format: string) => ({ type: 'string', format });
  expect(
    sampled({
      name: { type: 'string', minLength: 8 },
      url: { ...text('uri'), minLength: 1, maxLength: 2083 },
      server: { ...text('uri'), pattern: '^https?://' },
      mail: text('email'),
      at: text('date-time'),
      day: text('date'),
      time: text('time'),
      wait: text('duration'),
      id: text('uuid'),
      address: text('ipv4'),
      share: { type: 'number', exclusiveMinimum: 0, maximum: 1 },
      trainer: { type: 'string', 'x-simmer-trainer': true },
    }),
  ).toMatchObject({ name: 'samplexx', server: 'http://127.0.0.1:9/', day: '2026-01-01', trainer: 'student' });
});

it('takes an example where a schema has one, and asks for one where nothing fits', () => {
  const code = { type: 'string', pattern: '^[A-Z]{3}-[0-9]$' };
  expect(sampled({ code: { ...code, examples: ['ABC-7'] } })).toEqual({ code: 'ABC-7' });
  expect(() => sampled({ code })).toThrow('Nothing is known that fits the option "code", which has no default.');
  expect(() => sampled({ code: { ...code, examples: ['none'] } })).toThrow('the option "code"');
});
