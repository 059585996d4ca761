import { Metadata, type ServiceError, status } from '@grpc/grpc-js';
import { expect, it } from 'vitest';
import { type Problem, UserError } from '../errors.js';
import { fromServiceError, toStatus } from './status-details.js';

const place = (line: number) => ({ file: 'recipe.yaml', line, column: 13 });
const problems = (count: number, message: string): Problem[] =>
  Array.from({ length: count }, (_, index) => ({
    code: 'unknown_key',
    message,
    position: place(index + 1),
    hint: message,
  }));

/** What a client makes of the status of an error, and how many bytes it has. */
function overTheWire(error: UserError) {
  const status = toStatus(error);
  const [value] = status.metadata!.get('grpc-status-details-bin') as Buffer[];
  return { told: fromServiceError(status as ServiceError, 'localhost:7070'), bytes: value!.length };
}

it('an error comes over as it was thrown', () => {
  const given = { kind: 'environment', hint: 'Wait.', problems: problems(3, 'Unknown key "heldut".') } as const;
  const { told } = overTheWire(new UserError('invalid_recipe', 'recipe.yaml has 3 problems.', given));
  expect(told).toMatchObject({ code: 'invalid_recipe', message: 'recipe.yaml has 3 problems.', ...given });
});

it.each(['a'.repeat(479) + '😀'.repeat(60), '模'.repeat(5_000), 'half a character: \ud83d'])(
  'an error is told in whole characters: %s',
  (text) => {
    const { details } = toStatus(new UserError('wrong', text));
    expect(details?.isWellFormed()).toBe(true);
    expect(encodeURI(details ?? '').length).toBeLessThan(1600);
    expect(overTheWire(new UserError('wrong', text)).told.message).toBe(details);
  },
);

it.each([
  [status.CANCELLED, 'Call cancelled'],
  [status.INTERNAL, 'Received RST_STREAM with code 2 (Internal server error)'],
])('a call that ended with its connection (%s) is one that the next server is asked', (code, details) => {
  const error = Object.assign(new Error(details), { code, details, metadata: new Metadata() });
  expect(fromServiceError(error, 'unix:/s').code).toBe('server_unreachable');
});

it('an error may list what there is to choose from', () => {
  const hint = `It has ${'one-recipe '.repeat(100)}.`;
  expect(overTheWire(new UserError('recipe_not_found', 'None.', { hint })).told.hint).toBe(hint);
});

it.each([
  ['many problems', problems(300, 'Unknown key "cuont" in stages.s0.with.')],
  ['a problem that quotes a long text', problems(1, `-p x=${'y'.repeat(100_000)}: no such param.`)],
  ['long texts that are not of ASCII', problems(40, 'ä'.repeat(5_000))],
  ['wide texts', problems(1, '模'.repeat(5_000))],
  [
    'a long path',
    problems(1, 'Unknown key "cuont" in stages.s0.with.').map((one) => ({ ...one, path: 'k'.repeat(50_000) })),
  ],
])('an error with %s fits into what clients take, with the first of them', (_what, given) => {
  const error = new UserError('invalid_recipe', 'recipe.yaml has problems.', { problems: given });
  const { told, bytes } = overTheWire(error);
  expect(bytes).toBeLessThan(4600);
  expect(told.problems[0]).toMatchObject({ position: place(1), message: expect.stringMatching(/^.{30}/) });
  expect(told.message).toBe('recipe.yaml has problems.');
  expect(told.hint).toBe(given.length > 1 ? 'These are the first of them; `simmer validate` lists all.' : undefined);
});
