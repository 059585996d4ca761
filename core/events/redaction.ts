import { type ErrorRecord, toErrorRecord } from '../errors.js';
import { knownSecrets } from '../secrets.js';

/** Stands in the place of a secret in events, logs and reports. */
export const redacted = '[redacted]';

/** Environment variables with such names hold secrets. */
const secretName = /(?:^|_)(?:KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIALS?)$/i;
/** Of a client of a server: the path of its key, which errors name. */
const pathVariable = 'SIMMER_SERVER_KEY';
/** A shorter value may be a word that means something else where it stands. */
const leastLength = 8;

/**
 * What keys and tokens look like, each by its issuer's prefix: OpenAI and its like, Hugging Face, GitHub, GitLab, npm,
 * Slack, AWS, Google, JSON web tokens, what follows `Bearer`, and Simmer's own.
 */
const shapes = [
  String.raw`\bsk-[A-Za-z0-9_-]{20,}`,
  String.raw`\bhf_[A-Za-z0-9]{30,}`,
  String.raw`\bgh[pousr]_[A-Za-z0-9]{36,}`,
  String.raw`\bgithub_pat_[A-Za-z0-9_]{50,}`,
  String.raw`\bglpat-[A-Za-z0-9_-]{20,}`,
  String.raw`\bnpm_[A-Za-z0-9]{36,}`,
  String.raw`\bxox[abprs]-[A-Za-z0-9-]{10,}`,
  String.raw`\bAKIA[0-9A-Z]{16}\b`,
  String.raw`\bAIza[0-9A-Za-z_-]{35}`,
  // Begun at each of its "-", a text of many would be read from each to its end.
  String.raw`(?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}`,
  String.raw`\bsimmer_[0-9a-f]{64}`,
  String.raw`(?<=\bBearer )[A-Za-z0-9._~+/-]{16,}=*`,
];

/** Of a URL that names its user: `https://user:password@host`. */
const urlPassword = /(:\/\/[^\s/@:"]*:)[^\s/@"]+(?=@)/g;

/** Takes secrets out of text. */
export type Redact = (text: string) => string;

/**
 * Takes out the values of environment variables that are named like secrets, what was read as a secret in this process,
 * also after this call, and whatever is shaped like a key or token. In JSON text too: a value is found as it stands there.
 */
export function redactor(env: NodeJS.ProcessEnv = process.env): Redact {
  const isSecret = (name: string) => secretName.test(name) && name !== pathVariable;
  const named = Object.entries(env).flatMap(([name, value]) => (isSecret(name) ? [value ?? ''] : []));
  const read = knownSecrets();
  let pattern = patternOf([...named, ...read]);
  let count = read.size;
  return (text) => {
    if (read.size > count) {
      pattern = patternOf([...named, ...read]);
      count = read.size;
    }
    const known = text.replace(pattern, redacted);
    return known.includes('@') ? known.replace(urlPassword, `$1${redacted}`) : known;
  };
}

/** An error as it may be told: to a client of a server, or to a program. */
export function redactedRecord(error: unknown): ErrorRecord {
  return JSON.parse(redactor()(JSON.stringify(toErrorRecord(error)))) as ErrorRecord;
}

function patternOf(secrets: readonly string[]): RegExp {
  // A private key has several lines, and programs print them one by one.
  const values = secrets
    .filter(isLong)
    .flatMap((value) => [value, inJson(value), ...value.split(/\r?\n/).filter(isLong).map(inJson)]);
  const longestFirst = [...new Set(values)].sort((one, other) => other.length - one.length);
  return new RegExp([...longestFirst.map(literal), ...shapes].join('|'), 'g');
}

function isLong(text: string): boolean {
  return text.length >= leastLength;
}

function inJson(text: string): string {
  return JSON.stringify(text).slice(1, -1);
}

function literal(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|/-]/g, String.raw`\$&`);
}
