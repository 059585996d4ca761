import { describe, expect, it } from 'vitest';
import { suggestion } from './nearest-name.js';

const hardware = ['a10g', 'a100-80gb', 'a100-40gb', 'h100-sxm'];

describe('a name that is not known', () => {
  it('is answered with those that it is the first words of', () => {
    expect(suggestion('a100', hardware)).toBe('Did you mean "a100-80gb" or "a100-40gb"?');
    expect(suggestion('H100', hardware)).toBe('Did you mean "h100-sxm"?');
  });

  it('is answered with the nearest one where it is part of a word', () => {
    expect(suggestion('a10', hardware)).toBe('Did you mean "a10g"?');
    expect(suggestion('epoch', ['epochs-left', 'epochs'])).toBe('Did you mean "epochs"?');
  });

  it('is answered with one that says its words and more, as another tool calls it', () => {
    const options = ['learningRate', 'maxSteps', 'evaluateEverySteps', 'logEverySteps', 'maxSequenceLength'];
    expect(suggestion('eval_steps', options)).toBe('Did you mean "evaluateEverySteps"?');
    expect(suggestion('logging_steps', options)).toBe('Did you mean "logEverySteps"?');
    expect(suggestion('max_length', options)).toBe('Did you mean "maxSequenceLength"?');
    expect(suggestion('save_steps', options)).toMatch(/^There is: /);
    expect(suggestion('steps', options)).toMatch(/^There is: /);
  });

  it('is answered with all where none is near', () => {
    expect(suggestion('tpu', hardware)).toBe('There is: a10g, a100-80gb, a100-40gb, h100-sxm.');
  });
});
