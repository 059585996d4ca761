import { createHash } from 'node:crypto';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { UserError } from '../errors.js';
import { keepSecret, makeToken, readSecret } from '../secrets.js';
import { redacted, redactedRecord, redactedValue, redactor } from './redaction.js';

afterEach(() => vi.unstubAllEnvs());

function digest(of: number): string {
  return createHash('sha512').update(String(of)).digest('base64');
}

describe('redaction', () => {
  const redact = redactor({
    OPENAI_API_KEY: 'value-of-mine',
    SIMMER_SERVER_TOKEN: 'with "quotes" and \\',
    SIMMER_SERVER_KEY: '/etc/simmer/client.key',
    SHORT_TOKEN: 'abc',
    HOME: '/home/somebody',
    KEYBOARD: 'qwertyuiop',
  });

  it('takes out values of variables that are named like secrets, and no others', () => {
    expect(redact('it was value-of-mine.')).toBe(`it was ${redacted}.`);
    expect(redact('abc at /home/somebody with qwertyuiop')).toBe('abc at /home/somebody with qwertyuiop');
    expect(redact('cannot read /etc/simmer/client.key')).toBe('cannot read /etc/simmer/client.key');
  });

  it('finds them in JSON, which stays JSON', () => {
    const text = JSON.stringify({ message: 'the token is with "quotes" and \\, is it?' });
    expect(JSON.parse(redact(text))).toEqual({ message: `the token is ${redacted}, is it?` });
  });

  it('leaves numbers alone that have the digits of one in them, and finds it in the texts beside them', () => {
    vi.stubEnv('DOOR_TOKEN', '12345678');
    const value = { seed: 12345678, share: 0.123456789, note: 'my \\ "12345678"', 'at 12345678': ['', null] };
    const expected = {
      seed: 12345678,
      share: 0.123456789,
      note: `my \\ "${redacted}"`,
      [`at ${redacted}`]: ['', null],
    };
    expect(redactedValue(value)).toEqual(expected);
  });

  describe.each(['plain-value-7', 'käse "&" </x+y=\\'])('%j', (secret) => {
    const hides = redactor({ A_KEY: secret });
    const login = (user: string) => Buffer.from(`${user}:${secret}`);

    it.each(['', 'a', 'me', 'you', 'them!'])('is found by base64 behind the user %j, in both alphabets', (user) => {
      for (const encoding of ['base64', 'base64url'] as const) {
        const before = Buffer.from(`${user}:`).toString(encoding).replace(/=+$/, '').slice(0, -1);
        const text = hides(`sent ${login(user).toString(encoding)}, and more`);
        expect(text).toMatch(/^sent [A-Za-z0-9]{0,8}\[redacted\]=*, and more$/);
        expect(text).toContain(`sent ${before}`);
      }
      expect(hides(encodeURIComponent(login(user).toString('base64')))).toMatch(/^[A-Za-z0-9]{0,8}\[redacted\](%3D)*$/);
      expect(hides(Buffer.from(`{"key":"${'x'.repeat(user.length)}${secret}"}`).toString('base64'))).toContain(
        redacted,
      );
    });

    it('is found in URLs, in forms and in HTML', () => {
      const percent = encodeURIComponent(secret);
      expect(hides(`/v1?key=${percent}`)).toBe(`/v1?key=${redacted}`);
      expect(hides(`<a ${percent.replace(/%../g, (code) => code.toLowerCase())}>`)).toBe(`<a ${redacted}>`);
      expect(hides(`it ${new URLSearchParams([['it', secret]])}`)).toBe(`it it=${redacted}`);
      const escaped = secret.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
      expect(hides(`<p>${escaped}</p>`)).toBe(`<p>${redacted}</p>`);
    });

    it('is found in JSON, and in JSON inside of it, which stay JSON', () => {
      for (const around of ['', '"', '\\', '\\"', 'x']) {
        const inner = JSON.stringify({ told: around + secret + around, others: [around] });
        const told = JSON.parse(hides(JSON.stringify({ inner }))) as { inner: string };
        expect(told.inner).toContain(redacted);
        expect((JSON.parse(hides(inner)) as { told: string }).told).toContain(redacted);
      }
    });
  });

  it.each([
    ['of 100 KB', 'k/+"9'.repeat(20_000)],
    ['of 300 lines', Array.from({ length: 300 }, (_, line) => digest(line)).join('\n')],
  ])('takes out a secret %s, and lets other texts through as fast', (_, secret) => {
    const hides = redactor({ DEPLOY_KEY: secret });
    const inner = JSON.stringify({ secret });
    expect(JSON.parse(hides(inner))).toEqual({ secret: redacted });
    expect(JSON.parse(hides(JSON.stringify({ inner })))).toEqual({ inner: JSON.stringify({ secret: redacted }) });
    for (const text of [secret, encodeURIComponent(secret), new URLSearchParams([['it', secret]]).toString().slice(3)])
      expect(hides(`it is ${text}, is it?`)).toBe(`it is ${redacted}, is it?`);
    for (const user of ['', 'a', 'me']) {
      for (const encoding of ['base64', 'base64url'] as const)
        expect(hides(Buffer.from(user + secret).toString(encoding))).toMatch(/^.{0,4}\[redacted\].?=*$/);
    }
    for (let step = 0; step < 2000; step++) expect(hides(`step ${step} of many`)).toBe(`step ${step} of many`);
  });

  it('takes out what was read as a secret, whatever its variable is called, before and after it was made', () => {
    vi.stubEnv('MYAUTH', ' mine-and-mine-alone\n');
    expect(redact('it was mine-and-mine-alone.')).toBe('it was mine-and-mine-alone.');
    expect(readSecret('MYAUTH')).toBe(' mine-and-mine-alone\n');
    expect(redact('it was mine-and-mine-alone.')).toBe(`it was ${redacted}.`);
    expect(redactor({})('it was mine-and-mine-alone.')).toBe(`it was ${redacted}.`);
    keepSecret('short');
    keepSecret('');
    expect(redact('short, or nothing')).toBe('short, or nothing');
    expect(redact(`as value-of-mine, so "mine-and-mine-alone"`)).toBe(`as ${redacted}, so "${redacted}"`);
  });

  it('takes out each line of a secret of several', () => {
    const key = ['-----BEGIN PRIVATE KEY-----', 'MIIEvQIBADANBgkq', 'short', 'hkiG9w0BAQEFAASC', ''].join('\n');
    const lines = redactor({ DEPLOY_KEY: key });
    expect(lines(`read ${key}`)).toBe(`read ${redacted}`);
    expect(lines('1: MIIEvQIBADANBgkq, 2: short, 3: hkiG9w0BAQEFAASC')).toBe(
      `1: ${redacted}, 2: short, 3: ${redacted}`,
    );
  });

  it('is done to errors that are told', () => {
    keepSecret('told-by-a-server');
    const error = new UserError('refused', 'it said told-by-a-server', { hint: 'leave told-by-a-server out' });
    expect(JSON.stringify(redactedRecord(error))).not.toContain('told-by-a-server');
  });

  it('a variable that is not there is told by its name', () => {
    vi.stubEnv('MYAUTH', '');
    expect(() => readSecret('MYAUTH')).toThrow(
      expect.objectContaining({ code: 'secret_missing', message: expect.stringContaining('MYAUTH') }),
    );
  });

  it.each([
    makeToken(),
    `sk-proj-${'a1'.repeat(20)}`,
    `hf_${'Ab'.repeat(17)}`,
    `ghp_${'x'.repeat(36)}`,
    `glpat-${'x1-'.repeat(8)}`,
    `npm_${'x1'.repeat(18)}`,
    `xoxb-${'1'.repeat(12)}-abc`,
    `AKIA${'A'.repeat(16)}`,
    `AIza${'b'.repeat(35)}`,
    `eyJ${'a'.repeat(12)}.eyJ${'b'.repeat(12)}.${'c'.repeat(20)}`,
  ])('knows %s by its shape', (secret) => {
    expect(redact(`before ${secret} after`)).toBe(`before ${redacted} after`);
  });

  it('takes the password out of a URL, and leaves its user and its host', () => {
    expect(redact('GET https://me:pa55:w%40rd@proxy.example:8080/v1 failed')).toBe(
      `GET https://me:${redacted}@proxy.example:8080/v1 failed`,
    );
    expect(redact('{"url":"http://:pass@host"}')).toBe(`{"url":"http://:${redacted}@host"}`);
  });

  it.each([
    '/v1/models?key=a1b2c3d4e5&alt=json',
    'https://bucket.example/x?X-Amz-Credential=AKIAX/2026&X-Amz-Signature=a1b2c3d4e5f6#top',
    'https://host.example/?a=1&amp;access_token=a1b2c3d4e5',
    '?apiKey=a1b2c3d4e5',
  ])('takes what opens or signs the URL %s out of it', (url) => {
    expect(redact(url)).not.toContain('a1b2c3d4e5');
    expect(redact(url)).toContain(`=${redacted}`);
  });

  it('takes the login out of a header of Basic authentication, whoever it is', () => {
    const login = Buffer.from('somebody:with a password').toString('base64');
    expect(redact(`{"authorization":"Basic ${login}"}`)).toBe(`{"authorization":"Basic ${redacted}"}`);
  });

  it('keeps the word before a bearer token', () => {
    expect(redact('authorization: Bearer abcdefghijklmnop1234==')).toBe(`authorization: Bearer ${redacted}`);
  });

  it.each(['eyJ-', 'eyJ-eyJ.', '://a:', 'sk-.', '?a.b_', '&key=', '; basic abcdefghij '])(
    'reads a text of many %j once',
    (part) => {
      const text = part.repeat(600_000 / part.length);
      expect(redact(text)).toBe(text);
    },
  );

  it.each([
    'task-based learning of a very long kind',
    'the disk-and-everything-else-that-is-there',
    'hf_short',
    'Bearer of news',
    'http://localhost:8080/v1, asked by me@example.org',
    'ssh://git@example.org:22/path',
    'Basic understanding of JavaScript4ever and basic responsibilities',
    '/v1?maxTokens=12345678&tokens=12345678&monkey=gorillas',
  ])('leaves %j alone', (text) => {
    expect(redact(text)).toBe(text);
  });
});
