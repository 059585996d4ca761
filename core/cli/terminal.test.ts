import { Writable } from 'node:stream';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { hasColor, printable, printableJson, sayToPeople, writeLine } from './terminal.js';

const terminal = { isTTY: true } as NodeJS.WriteStream;
const pipe = { isTTY: false } as NodeJS.WriteStream;

describe('colour', () => {
  it.each([
    ['a terminal has it', terminal, {}, true],
    ['a pipe has none', pipe, {}, false],
    ['NO_COLOR takes it away', terminal, { NO_COLOR: '1' }, false],
    ['an empty NO_COLOR says nothing', terminal, { NO_COLOR: '' }, true],
    ['FORCE_COLOR gives it to a pipe', pipe, { FORCE_COLOR: '1' }, true],
    ['an empty FORCE_COLOR does too, as in Node', pipe, { FORCE_COLOR: '' }, true],
    ['FORCE_COLOR=0 takes it away', terminal, { FORCE_COLOR: '0' }, false],
    ['FORCE_COLOR goes before NO_COLOR, as in Node', pipe, { FORCE_COLOR: '1', NO_COLOR: '1' }, true],
    ['a dumb terminal has none', terminal, { TERM: 'dumb' }, false],
  ])('%s', (_, stream, env, expected) => expect(hasColor(stream, env)).toBe(expected));
});

describe('what is said to people', () => {
  const said = (text: string) => {
    const write = vi.spyOn(process.stderr, 'write').mockReturnValue(true);
    sayToPeople(text);
    return write.mock.lastCall?.[0];
  };
  afterEach(() => {
    vi.restoreAllMocks();
    vi.unstubAllEnvs();
    Object.assign(process.stderr, { isTTY: false });
  });

  it('has no secret in it, also where a narrow terminal would break the secret', () => {
    vi.stubEnv('SOME_API_KEY', 'open sesame');
    expect(said('a plugin says "open sesame"')).toBe('a plugin says "[redacted]"\n');
    Object.assign(process.stderr, { isTTY: true, columns: 22 });
    expect(said('a plugin says "open sesame"')).toBe('a plugin says\n  "[redacted]"\n');
  });
});

describe('a written line', () => {
  it('waits for a reader that is slow', async () => {
    let goOn: (() => void) | undefined;
    const slow = new Writable({
      highWaterMark: 1,
      write(_chunk, _encoding, done) {
        goOn = done;
      },
    });
    let isDone = false;
    const written = writeLine('text', slow as unknown as NodeJS.WriteStream).then(() => {
      isDone = true;
    });
    await new Promise(setImmediate);
    expect(isDone).toBe(false);
    goOn?.();
    await written;
    expect(slow.listenerCount('drain')).toBe(0);
  });

  it('does not wait for a reader that has gone', async () => {
    const gone = new Writable({ highWaterMark: 1, write: () => undefined });
    const written = writeLine('text', gone as unknown as NodeJS.WriteStream);
    gone.destroy();
    await written;
    await writeLine('more', gone as unknown as NodeJS.WriteStream);
  });
});

describe('what a terminal would obey', () => {
  const attack = 'a\u001b]0;title\u0007\u001b[2J\u009b31m\r\u007fb';

  it('is not printed, but for our colours', () => {
    expect(printable(`\u001b[1m\u001b[38;5;4m${attack}\u001b[0m\n\tc`)).toBe(
      '\u001b[1m\u001b[38;5;4ma ]0;title  [2J 31m  b\u001b[0m\n\tc',
    );
  });

  it('is escaped in JSON, which says the same', () => {
    expect(printableJson({ attack })).toMatch(/^[\x20-\x7e]+$/);
    expect(JSON.parse(printableJson({ attack }, 2))).toEqual({ attack });
  });
});
