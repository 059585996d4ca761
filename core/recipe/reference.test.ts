// biome-ignore-all lint/suspicious/noTemplateCurlyInString: references are written like that
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { BadReference, formatReference, parseTemplate, type Reference } from './reference.js';

const name = fc.stringMatching(/^[A-Za-z_][A-Za-z0-9_-]{0,8}$/);
const reference: fc.Arbitrary<Reference> = fc.oneof(
  fc.record({ root: fc.constant('params' as const), param: name }),
  fc.record({ root: fc.constant('settings' as const), setting: name }),
  fc.record({ root: fc.constant('stages' as const), stage: name, output: name }),
);

/** The text that `parseTemplate` takes apart into these pieces. */
function formatTemplate(template: readonly (string | Reference)[]): string {
  return template
    .map((piece) => (typeof piece === 'string' ? piece.replaceAll('${{', () => '$${{') : formatReference(piece)))
    .join('');
}

test('text is taken apart at its references', () => {
  expect(parseTemplate('a ${{params.x}} b ${{  stages.pool.dataset  }}')).toEqual([
    'a ',
    { root: 'params', param: 'x' },
    ' b ',
    { root: 'stages', stage: 'pool', output: 'dataset' },
  ]);
});

test('a doubled dollar stands for the text itself', () => {
  expect(parseTemplate('$${{ params.x }}')).toEqual(['${{ params.x }}']);
});

test('a template written out is read as the same template', () => {
  // A plain piece that ends in a dollar before a reference cannot be spelled, and is never read.
  const plain = fc.string({ minLength: 1 }).map((text) => `${text}.`);
  const template = fc.array(fc.tuple(plain, reference)).map((pairs) => pairs.flat());
  fc.assert(
    fc.property(template, (pieces) => {
      expect(parseTemplate(formatTemplate(pieces))).toEqual(pieces);
    }),
  );
});

test('text that is read and written out is read as the same', () => {
  const pieces = fc.constantFrom('$', '{', '}', '${{', '}}', '$${{', ' params.x ', 'stages.a.b', '.', 'a');
  fc.assert(
    fc.property(
      fc.array(pieces).map((parts) => parts.join('')),
      (text) => {
        try {
          const template = parseTemplate(text);
          expect(parseTemplate(formatTemplate(template))).toEqual(template);
        } catch (error) {
          expect(error).toBeInstanceOf(BadReference);
        }
      },
    ),
    { numRuns: 2000 },
  );
});

describe('what is no reference is refused', () => {
  test.each(['${{ }}', '${{ params }}', '${{ params.a.b }}', '${{ stages.a }}', '${{ params.a + 1 }}', '${{ params.x'])(
    '%s',
    (text) => expect(() => parseTemplate(text)).toThrow(BadReference),
  );
});
