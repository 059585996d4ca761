import { type ErrorRecord, toErrorRecord } from '../errors.js';
import { knownSecrets } from '../secrets.js';
import { keyShapes } from './key-shapes.js';
import { secretPattern, secretTexts } from './secret-pattern.js';

/** Stands in the place of a secret in events, logs and reports. */
export const redacted = '[redacted]';

/** Environment variables with such names hold secrets. */
const secretName = /(?:^|_)(?:KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIALS?)$/i;
/** Of a client of a server: the path of its key, which errors name. */
const pathVariable = 'SIMMER_SERVER_KEY';
/** A shorter value may be a word that means something else where it stands. */
const leastLength = 8;
/**
 * Characters of all secrets in the pattern, where each takes six or more: V8 optimizes no pattern above 20 KB, and throws at
 * some hundred KB.
 */
const mostInPattern = 2000;

/** What is known by what stands around it, and looked for only where its sign is in the text. */
const surrounded = [
  // Of a URL that names its user: `https://user:password@host`.
  { sign: '@', pattern: /(:\/\/[^\s/@:"]*:)[^\s/@"]+(?=@)/g, isSecret: () => true },
  // Of a URL: `?key=`, and what signs it.
  {
    sign: '=',
    pattern:
      /([?&;](?:[\w.~-]{0,40}[_.-])?(?:api)?(?:key|token|secret|password|passwd|signature|sig|credentials?)=)[^\s&;"'<>\\#]{8,}/gi,
    isSecret: () => true,
  },
  // `USER:PASSWORD`, by base64.
  { sign: 'asic ', pattern: /(\b[Bb]asic )[A-Za-z0-9+/]{8,}={0,2}/g, isSecret: isLogin },
];

/** Takes secrets out of text. */
export type Redact = (text: string) => string;

/**
 * Takes out the values of environment variables that are named like secrets, what was read as a secret in this process,
 * also after this call, and whatever is shaped like a key or token. A value is found as JSON, HTML and
 * URLs write it, too, and by base64, as a header of Basic authentication has it.
 */
export function redactor(env: NodeJS.ProcessEnv = process.env): Redact {
  const isSecret = (name: string) => secretName.test(name) && name !== pathVariable;
  const named = Object.entries(env).flatMap(([name, value]) => (isSecret(name) ? [value ?? ''] : []));
  const read = knownSecrets();
  let secrets = sought([...named, ...read]);
  let count = read.size;
  return (text) => {
    if (read.size > count) {
      secrets = sought([...named, ...read]);
      count = read.size;
    }
    const rest = secrets.texts.reduce((left, secret) => left.replaceAll(secret, redacted), text);
    return surrounded.reduce(takeOut, rest.replace(secrets.pattern, redacted));
  };
}

/** An error as it may be told: to a client of a server, or to a program. */
export function redactedRecord(error: unknown): ErrorRecord {
  return redactedValue(toErrorRecord(error));
}

/** A value as JSON has it, without its secrets. */
export function redactedValue<T>(value: T): T {
  return JSON.parse(redactJsonText(redactor(), JSON.stringify(value))) as T;
}

/** JSON without its secrets. Its numbers stay as they are: one with the digits of a secret in it is no text of anybody's. */
export function redactJsonText(redact: Redact, json: string): string {
  const text = redact(json);
  return text === json || isJson(text) ? text : json.replace(jsonText, (part) => redact(part));
}

const jsonText = /"[^"\\]*(?:\\.[^"\\]*)*"/g;

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

function takeOut(text: string, { sign, pattern, isSecret }: (typeof surrounded)[number]): string {
  if (!text.includes(sign)) return text;
  return text.replace(pattern, (whole, before: string) =>
    isSecret(whole.slice(before.length)) ? before + redacted : whole,
  );
}

/** Words that follow `Basic` are mostly no text by base64. */
function isLogin(encoded: string): boolean {
  return /^[ -~]*:[ -~]*$/.test(Buffer.from(encoded, 'base64').toString('latin1'));
}

interface Sought {
  /** The longest first. */
  readonly texts: readonly string[];
  readonly pattern: RegExp;
}

/** Short secrets by a pattern, which knows more ways to write them; those that are too much for one as texts. */
function sought(secrets: readonly string[]): Sought {
  // A private key has several lines, and programs print them one by one.
  const values = secrets.flatMap((value) => [value, value.trim(), ...value.split(/\r?\n/)]);
  const longestFirst = [...new Set(values.filter(isLong))].sort(byLength);
  let characters = longestFirst.reduce((sum, { length }) => sum + length, 0);
  const tooMuch: string[] = [];
  for (; characters > mostInPattern; characters -= tooMuch.at(-1)!.length) tooMuch.push(longestFirst.shift()!);
  return {
    texts: [...new Set(tooMuch.flatMap(secretTexts))].sort(byLength),
    pattern: new RegExp([...longestFirst.map(secretPattern), ...keyShapes].join('|'), 'g'),
  };
}

function byLength(one: string, other: string): number {
  return other.length - one.length;
}

function isLong(text: string): boolean {
  return text.length >= leastLength;
}
