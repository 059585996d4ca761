import { readFile, stat } from 'node:fs/promises';
import { isIP } from 'node:net';
import type { ServerInterceptor } from '@grpc/grpc-js';
import { UserError } from '../errors.js';
import { HealthService } from '../generated/health/v1/health.js';
import { answering, type KnownTokens } from '../process/require-token.js';
import { keepSecret } from '../secrets.js';
import type { ServerLimits } from './limits.js';
import { toStatus } from './status-details.js';

const shortestToken = 16;

/**
 * The token that a client gives: from a file, or from the environment. It is never in an argument, which every user of the
 * machine could read, and never in a message. @throws UserError `token_file_unsafe`, `token_too_short` and the like
 */
export async function readToken(file: string | undefined, env: NodeJS.ProcessEnv): Promise<string | undefined> {
  const token = file === undefined ? env.SIMMER_SERVER_TOKEN : await readTokenFile(file);
  if (token === undefined || token === '') return undefined;
  if (file === undefined || !token.includes('\n')) return checked(token);
  throw new UserError('several_lines', `The token file ${file} has several lines.`, {
    hint: 'A client gives one token: put that into a file of its own.',
  });
}

/**
 * The tokens that a server takes: each line of its file, but for empty ones and comments (`# whose`); or the one of the
 * environment. @throws UserError `token_file_empty`, and as `readToken`
 */
export async function readTokens(file: string | undefined, env: NodeJS.ProcessEnv): Promise<readonly string[]> {
  if (file === undefined) {
    const token = await readToken(file, env);
    return token === undefined ? [] : [token];
  }
  const lines = (await readTokenFile(file)).split('\n').map((line) => line.trim());
  const tokens = lines.flatMap((line, index) =>
    line === '' || line.startsWith('#') ? [] : [tokenIn(line, file, index + 1)],
  );
  if (tokens.length > 0) return tokens;
  throw new UserError('token_file_empty', `The token file ${file} has no token.`, { hint: makeToken });
}

function tokenIn(line: string, file: string, number: number): string {
  const [token = '', ...rest] = line.split(/\s/);
  // Also of a line that is refused, nothing is told.
  keepSecret(token);
  if (rest.length === 0) return checked(token, `in line ${number} of ${file} `);
  throw new UserError('wrong_token_line', `Line ${number} of the token file ${file} has more than a token.`, {
    hint: 'A comment has a line of its own, which begins with #.',
  });
}

const makeToken = 'Make one: openssl rand -hex 32 > token && chmod 600 token';

/** @param where it stands, for a message */
function checked(token: string, where = ''): string {
  keepSecret(token);
  if (token.length >= shortestToken && /^[\x21-\x7e]+$/.test(token)) return token;
  throw new UserError(
    'token_too_short',
    `The token ${where}must have at least ${shortestToken} visible ASCII characters.`,
    {
      hint: makeToken,
    },
  );
}

async function readTokenFile(file: string): Promise<string> {
  const stats = await stat(file).catch((error: Error) => {
    throw new UserError('token_file_missing', `The token file cannot be read: ${error.message}.`);
  });
  if ((stats.mode & 0o077) !== 0) {
    throw new UserError('token_file_unsafe', `Others can read the token file ${file}.`, {
      kind: 'environment',
      hint: `chmod 600 ${file}`,
    });
  }
  return (await readFile(file, 'utf8')).trim();
}

/** Whether only this machine can connect to the host. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'));
}

/**
 * Refuses the calls of an address that makes too many, and those without one of the tokens: with their code in the details.
 * Those without one are counted apart, so that nobody takes from clients that share their address. Whether the server is
 * well is told without a token.
 * @param known absent: the server has no tokens @param letIn told of whom a call was let in
 */
export function admitClients(
  known: KnownTokens | undefined,
  limits: ServerLimits,
  letIn: (peer: string) => void,
): ServerInterceptor {
  const mayCall = rateCheck(limits);
  const [tooOften, unauthenticated] = [toStatus(tooManyCalls), toStatus(noToken)];
  return answering(({ metadata, peer, path }) => {
    const isKnown = known?.has(metadata) ?? true;
    const key = `${isKnown ? 'with' : 'without'} a token from ${peer.replace(/:\d+$/, '')}`;
    if (!mayCall(key)) return tooOften;
    if (isKnown) {
      letIn(peer);
      return undefined;
    }
    return path === HealthService.check.path ? undefined : unauthenticated;
  });
}

const tooManyCalls = new UserError('server_limit', 'There are too many calls from this address.', {
  kind: 'environment',
  hint: 'Call less often, or later.',
});
const noToken = new UserError('unauthenticated', 'The call has no token, or a wrong one.', {
  hint: 'Give one of the server: in SIMMER_SERVER_TOKEN, or as the metadata "authorization: Bearer TOKEN".',
});

/** Whether one more call is within the rate of its key: a bucket of `callBurst`, filled at `callsPerSecond`. */
function rateCheck({ callsPerSecond, callBurst }: ServerLimits): (key: string) => boolean {
  const buckets = new Map<string, { tokens: number; at: number }>();
  return (key) => {
    const time = performance.now();
    const bucket = buckets.get(key) ?? { tokens: callBurst, at: time };
    bucket.tokens = Math.min(callBurst, bucket.tokens + ((time - bucket.at) / 1000) * callsPerSecond);
    bucket.at = time;
    buckets.delete(key);
    buckets.set(key, bucket);
    // The one that called least recently has a full bucket again, or soon will.
    if (buckets.size > 10_000) buckets.delete(buckets.keys().next().value!);
    if (bucket.tokens < 1) return false;
    bucket.tokens -= 1;
    return true;
  };
}
