import { open } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { UserError } from '../errors.js';
import { unlessMissing } from '../files/unless-missing.js';
import { lastLines } from './file-tail.js';
import type { ProcessExit } from './spawn-detached.js';

/** The version of the line itself. */
const handshakeVersion = 1;
const pollMilliseconds = 25;
/** How far into stdout the line is looked for, in bytes. */
const longestPrelude = 64 * 1024;

export interface HandshakeOptions {
  /** What the line starts with, e.g. "SIMMER-TRAINER". */
  readonly prefix: string;
  /** The major version of the protocol that we speak. */
  readonly protocolVersion: number;
  /** For messages: "trainer student". */
  readonly what: string;
  readonly stdoutFile: string;
  readonly stderrFile: string;
  readonly exited: Promise<ProcessExit>;
  readonly timeoutMilliseconds: number;
  readonly signal: AbortSignal;
  /** What to do, where it is known from the end of its stderr. */
  hintOf?(stderr: readonly string[]): string | undefined;
}

/**
 * Waits for `PREFIX|1|PROTOCOL|ADDRESS` on the process's stdout, which is a file, and returns the address. Other lines
 * before it are borne with (libraries print), but named in the error where the line never comes.
 * @throws UserError `handshake_failed`, with the end of stderr; or the signal's reason
 */
export async function waitForHandshake(options: HandshakeOptions): Promise<string> {
  const deadline = performance.now() + options.timeoutMilliseconds;
  let exit: ProcessExit | undefined;
  void options.exited.then((value) => {
    exit = value;
  });
  for (;;) {
    options.signal.throwIfAborted();
    const ended = exit;
    const line = (await completeLines(options.stdoutFile)).find((text) => text.startsWith(`${options.prefix}|`));
    if (line !== undefined) return parseHandshake(line, options);
    if (ended !== undefined) throw await failure(options, `it ended with ${describeExit(ended)} before it served`);
    if (performance.now() > deadline) {
      const seconds = Math.round(options.timeoutMilliseconds / 1000);
      throw await failure(options, `it printed no handshake line within ${seconds} seconds`);
    }
    await Promise.race([sleep(pollMilliseconds), options.exited]);
  }
}

/** How a process ended, in words: "exit code 1", "signal SIGKILL". */
export function describeExit(exit: ProcessExit): string {
  if (exit.signal !== null) return `signal ${exit.signal}`;
  return exit.exitCode === null ? 'an unknown exit code' : `exit code ${exit.exitCode}`;
}

async function parseHandshake(line: string, options: HandshakeOptions): Promise<string> {
  const [, version, protocol, address] = line.split('|');
  if (version !== String(handshakeVersion) || address === undefined || address === '') {
    throw await failure(
      options,
      `its handshake line ${JSON.stringify(line.slice(0, 200))} is not ${options.prefix}|${handshakeVersion}|${options.protocolVersion}|ADDRESS`,
    );
  }
  if (protocol !== String(options.protocolVersion)) {
    throw await failure(
      options,
      `it speaks version ${protocol} of the protocol, this Simmer speaks ${options.protocolVersion}`,
    );
  }
  return address;
}

/** Of the beginning of the file: a process that floods its stdout is not read for ever. */
async function completeLines(file: string): Promise<readonly string[]> {
  await using handle = await open(file, 'r').catch(unlessMissing);
  if (handle === undefined) return [];
  const buffer = Buffer.alloc(longestPrelude);
  const { bytesRead } = await handle.read(buffer, 0, longestPrelude, 0);
  const lines = buffer.toString('utf8', 0, bytesRead).split('\n').slice(0, -1);
  return lines.map((line) => line.trimEnd());
}

async function failure(options: HandshakeOptions, why: string): Promise<UserError> {
  const stdout = (await lastLines(options.stdoutFile, 3)).map((line) => `  stdout: ${line.slice(0, 300)}`);
  const stderr = await lastLines(options.stderrFile, 12);
  const hint = options.hintOf?.(stderr);
  return new UserError(
    'handshake_failed',
    [`The ${options.what} did not start: ${why}.`, ...stdout, ...stderr.map((line) => `  ${line}`)].join('\n'),
    { kind: 'environment', ...(hint === undefined ? {} : { hint }) },
  );
}
