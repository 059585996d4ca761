import { expect, it } from 'vitest';
import { redacted, redactor } from '../../events/redaction.js';
import { scrubbedEnvironment } from './environment.js';

it('a plugin process is given what the recipe names, which is taken out of what is said from then on', () => {
  const host = { PATH: '/bin', LC_ALL: 'C', MYAUTH: 'for the plugin alone', OTHER: 'for nobody' };
  const redact = redactor({});
  expect(scrubbedEnvironment(host, ['MYAUTH'], 'p')).toEqual({ PATH: '/bin', LC_ALL: 'C', MYAUTH: host.MYAUTH });
  expect(redact(`${host.MYAUTH}, ${host.OTHER}`)).toBe(`${redacted}, for nobody`);
});
