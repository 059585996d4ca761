import { describe, expect, it } from 'vitest';
import { redacted, redactor } from './redaction.js';

describe('redaction', () => {
  const redact = redactor({
    OPENAI_API_KEY: 'value-of-mine',
    SIMMER_SERVER_TOKEN: 'with "quotes" and \\',
    SHORT_TOKEN: 'abc',
    HOME: '/home/somebody',
    KEYBOARD: 'qwertyuiop',
  });

  it('takes out values of variables that are named like secrets, and no others', () => {
    expect(redact('it was value-of-mine.')).toBe(`it was ${redacted}.`);
    expect(redact('abc at /home/somebody with qwertyuiop')).toBe('abc at /home/somebody with qwertyuiop');
  });

  it('finds them in JSON, which stays JSON', () => {
    const text = JSON.stringify({ message: 'the token is with "quotes" and \\, is it?' });
    expect(JSON.parse(redact(text))).toEqual({ message: `the token is ${redacted}, is it?` });
  });

  it.each([
    `sk-proj-${'a1'.repeat(20)}`,
    `hf_${'Ab'.repeat(17)}`,
    `ghp_${'x'.repeat(36)}`,
    `xoxb-${'1'.repeat(12)}-abc`,
    `AKIA${'A'.repeat(16)}`,
    `AIza${'b'.repeat(35)}`,
    `eyJ${'a'.repeat(12)}.eyJ${'b'.repeat(12)}.${'c'.repeat(20)}`,
  ])('knows %s by its shape', (secret) => {
    expect(redact(`before ${secret} after`)).toBe(`before ${redacted} after`);
  });

  it('keeps the word before a bearer token', () => {
    expect(redact('authorization: Bearer abcdefghijklmnop1234==')).toBe(`authorization: Bearer ${redacted}`);
  });

  it.each([
    'task-based learning of a very long kind',
    'the disk-and-everything-else-that-is-there',
    'hf_short',
    'Bearer of news',
  ])('leaves %j alone', (text) => {
    expect(redact(text)).toBe(text);
  });
});
