import { UserError } from '../errors.js';
import { isVariableName } from '../recipe/variable-names.js';

/** A variable of the server's environment that recipes of clients may use. */
export interface AllowedSecret {
  readonly name: string;
  /** Where it may be sent, and to what is below; absent: anywhere. */
  readonly url?: URL;
}

/** What is said to the server itself is never a client's. */
export function isOwnVariable(name: string): boolean {
  return /^SIMMER_/i.test(name);
}

/** @param text NAME, or NAME=URL @throws UserError `wrong_secret` */
export function parseAllowedSecret(text: string): AllowedSecret {
  const [, name = '', , url] = /^([^=]*)(=(.*))?$/s.exec(text) ?? [];
  const refuse = (why: string, hint: string) =>
    new UserError('wrong_secret', `--allow-secret ${text}: ${why}.`, { hint });
  if (!isVariableName(name)) {
    // What is given may be the key itself.
    throw new UserError(
      'wrong_secret',
      '--allow-secret takes the name of an environment variable, and got another text.',
      {
        hint: 'It reads NAME, or NAME=https://HOST/PATH.',
      },
    );
  }
  if (isOwnVariable(name)) throw refuse('SIMMER_ variables are for the server alone', 'Give the secret another name.');
  if (url === undefined) return { name };
  if (/^https?:/i.test(url) && URL.canParse(url)) return { name, url: new URL(url) };
  throw refuse(`"${url}" is not the URL of a server`, 'It reads NAME=https://HOST/PATH.');
}

/** @param url where the variable's value goes; undefined where that is not known */
export function isSecretAllowed(allowed: readonly AllowedSecret[], name: string, url: string | undefined): boolean {
  if (isOwnVariable(name)) return false;
  return allowed.some((secret) => secret.name === name && (secret.url === undefined || isBelow(secret.url, url)));
}

/** As `--allow-secret` takes them. */
export function listedSecrets(allowed: readonly AllowedSecret[]): string {
  if (allowed.length === 0) return 'none';
  return allowed.map(({ name, url }) => (url === undefined ? name : `${name}=${url.href}`)).join(', ');
}

/** By whole parts of the path: a text that begins alike may be another server's. */
function isBelow({ origin, pathname }: URL, text: string | undefined): boolean {
  if (text === undefined || !URL.canParse(text)) return false;
  const url = new URL(text);
  return url.origin === origin && `${url.pathname}/`.startsWith(pathname.endsWith('/') ? pathname : `${pathname}/`);
}
