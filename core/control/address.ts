import { existsSync } from 'node:fs';
import { readFile, realpath, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { UserError } from '../errors.js';
import { writingTo } from '../files/disk-error.js';
import { makeFolder } from '../files/durable-files.js';
import { makeSocketFolder } from '../process/socket-folder.js';

/** Where a server is. */
export type ServerAddress =
  | { readonly kind: 'unix'; readonly path: string }
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number };

/** sun_path holds 104 bytes on macOS, 108 on Linux, with the final zero. */
const longestSocketPath = 103;

/** @param text `unix:PATH` or `HOST:PORT` @throws UserError `invalid_address` */
export function parseAddress(text: string): ServerAddress {
  if (text.startsWith('unix:')) {
    const path = resolve(text.slice('unix:'.length).replace(/^\/\/(?=\/)/, ''));
    if (Buffer.byteLength(path) <= longestSocketPath) return { kind: 'unix', path };
    throw new UserError(
      'invalid_address',
      `The path of the socket is longer than ${longestSocketPath} bytes: ${path}.`,
      {
        hint: 'Choose a shorter one; this is a limit of the system.',
      },
    );
  }
  const match = /^(?:\[([0-9A-Fa-f:]+)\]|([^\s:/]+)):(\d{1,5})$/.exec(text);
  const port = Number(match?.[3]);
  if (match === null || port > 65_535) {
    throw new UserError('invalid_address', `${JSON.stringify(text)} is no address of a server.`, {
      hint: 'It reads unix:PATH, HOST:PORT or [IPV6]:PORT.',
    });
  }
  return { kind: 'tcp', host: match[1] ?? match[2]!, port };
}

/** As `parseAddress` takes it, and gRPC, too. */
export function shownAddress(address: ServerAddress): string {
  if (address.kind === 'unix') return `unix:${address.path}`;
  return address.host.includes(':') ? `[${address.host}]:${address.port}` : `${address.host}:${address.port}`;
}

/**
 * The socket of a home's server: always the same one, so that clients find it after a restart. In the home, or where the
 * home's path is too long for a socket, in a folder of its own whose place is written down in the home.
 * @throws UserError `no_disk_space`, `not_writable` and their like
 */
export async function defaultAddress(home: string): Promise<ServerAddress> {
  const folder = join(home, 'server', 'socket');
  await writingTo(home, () => makeFolder(folder, 0o700));
  const path = join(await realpath(folder), 'control.sock');
  if (Buffer.byteLength(path) <= longestSocketPath) return { kind: 'unix', path };
  const note = join(home, 'server', 'socket-folder');
  const noted = await readFile(note, 'utf8').catch(() => '');
  const elsewhere = noted !== '' && existsSync(noted) ? noted : await makeSocketFolder();
  if (elsewhere !== noted) await writingTo(home, () => writeFile(note, elsewhere));
  return { kind: 'unix', path: join(elsewhere, 'control.sock') };
}
