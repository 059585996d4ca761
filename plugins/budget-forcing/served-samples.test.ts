import { expect, it } from 'vitest';
import { endpointOptions } from './options.js';
import { servedSamples } from './served-samples.js';

it('knows samples by the text that marked their thinking, whatever it is called', () => {
  const of = (thinkingFormat: unknown) => {
    const options = endpointOptions.parse({ url: 'http://localhost/v1', model: 'm', thinkingFormat });
    return servedSamples(options, options).of;
  };
  const written = { start: '<think>\n', end: '</think>\n\n', finalAnswerPrompt: 'Final Answer:' };
  expect(of('r1')).toEqual(of(written));
  expect(of('r1')).not.toEqual(of({ ...written, end: '</think>\n' }));
});
