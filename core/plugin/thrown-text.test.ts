import { once } from 'node:events';
import { mkdir, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { describe, expect, it } from 'vitest';
import { temporaryFolder } from '../../test/temporary-folder.js';
import { thrownText, withCause } from './thrown-text.js';

describe('what a plugin threw', () => {
  it('is told with its place in the code of the plugin', async () => {
    const folder = join(await temporaryFolder(), 'thrown text');
    const file = join(folder, 'mine.mjs');
    await mkdir(folder);
    await writeFile(file, 'export function call(inside) {\n  inside();\n}\nexport function fail() {\n  null.x;\n}\n');
    const mine = await import(/* @vite-ignore */ pathToFileURL(file).href);
    const thrownBy = (work: () => void) => {
      try {
        work();
      } catch (error) {
        return thrownText(error);
      }
      return undefined;
    };
    expect(thrownBy(() => mine.fail())).toBe("TypeError: Cannot read properties of null (reading 'x') (mine.mjs:5:8)");
    const inSimmer = () => mine.call(() => void new URL('no address'));
    expect(thrownBy(inSimmer)).toBe('TypeError: Invalid URL (mine.mjs:2:3)');
  });

  it('is told with what it was caused by, unless it says so itself', async () => {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    await new Promise((closed) => server.close(closed));
    const refused = await fetch(`http://127.0.0.1:${port}/`).catch((error: Error) => error);
    expect(thrownText(refused)).toMatch(`TypeError: fetch failed: connect ECONNREFUSED 127.0.0.1:${port}`);
    const each = new AggregateError([new Error('connect ECONNREFUSED ::1:9'), new Error('another')]);
    expect(withCause('TypeError: fetch failed', new TypeError('fetch failed', { cause: each }))).toBe(
      'TypeError: fetch failed: connect ECONNREFUSED ::1:9',
    );
    expect(withCause('no row: gone', new Error('no row: gone', { cause: new Error('gone') }))).toBe('no row: gone');
    expect(withCause('no row', new Error('no row', { cause: 'a text' }))).toBe('no row');
  });

  it('is told as it is where it has no place there', () => {
    expect(thrownText('a text')).toBe('a text');
    expect(thrownText(Object.assign(new Error('gone'), { stack: undefined }))).toBe('gone');
    expect(thrownText(new RangeError('ours'))).toBe('RangeError: ours');
  });
});
