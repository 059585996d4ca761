import { expect, it } from 'vitest';
import { checkPluginShape } from './check-shape.js';

it('a plugin that does not say which API it is written for is told to', () => {
  expect(() => checkPluginShape({ name: 'acme', version: '1.0.0', stages: {} }, './acme.js')).toThrow(
    expect.objectContaining({
      code: 'invalid_plugin',
      message: 'Plugin ./acme.js: "acme" does not say which plugin API it is written for: it has no `apiVersion`.',
      hint: expect.stringContaining('`apiVersion: 1`'),
    }),
  );
});
