import fc from 'fast-check';
import { expect, it } from 'vitest';
import { characterCount } from './characters.js';

it('characters are those that a text falls apart in, halves among them', () => {
  fc.assert(
    fc.property(
      fc.array(fc.constantFrom('a', 'é', '𝒳', '\ud800', '\udc00')).map((parts) => parts.join('')),
      (text) => {
        expect(characterCount(text)).toBe([...text].length);
      },
    ),
  );
});
