import { randomBytes } from 'node:crypto';
import { UserError } from './errors.js';

const registry: unique symbol = Symbol.for('simmerkit.secrets');

/**
 * Of this process, which has one environment for all of its runs: each is taken out of whatever any of them says. A plugin
 * may bring a copy of simmerkit of its own, and what is read there is a secret here, too.
 */
const known = (globalThis as { [registry]?: Set<string> })[registry] ?? new Set<string>();
Object.assign(globalThis, { [registry]: known });

/** Has a value that was read as a secret taken out of events, reports and errors from now on (see `redactor`). */
export function keepSecret(value: string): void {
  known.add(value.trim());
}

/** What `keepSecret` was told so far; grows. */
export function knownSecrets(): ReadonlySet<string> {
  return known;
}

/**
 * The secret in an environment variable that an option names (`secretVariable`). It is taken out of events, reports and
 * errors from then on, whatever the variable is called. @throws UserError `secret_missing`
 */
export function readSecret(name: string): string {
  const value = process.env[name];
  if (value === undefined || value === '') {
    throw new UserError('secret_missing', `The environment variable ${name} is not set.`, {
      kind: 'environment',
      hint: `export ${name}=... where Simmer is started, or leave out the option that names it.`,
    });
  }
  keepSecret(value);
  return value;
}

/** A new token, of a form by which it is known wherever it turns up. */
export function makeToken(): string {
  return `simmer_${randomBytes(32).toString('hex')}`;
}
