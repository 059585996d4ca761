import { UserError } from '../../errors.js';
import { keepSecret } from '../../secrets.js';

/** What every plugin process has of the host's environment; `LC_*` besides. */
const passed = [
  ...['PATH', 'HOME', 'USER', 'LOGNAME', 'SHELL', 'TMPDIR', 'TZ', 'LANG'],
  ...['SSL_CERT_FILE', 'SSL_CERT_DIR'],
] as const;

/**
 * The environment of a plugin process: a few variables of the host's, and the secrets that the recipe names, which are
 * taken out of what is said from then on.
 * @throws UserError `secret_missing`
 */
export function scrubbedEnvironment(
  host: NodeJS.ProcessEnv,
  secrets: readonly string[],
  plugin: string,
): Readonly<Record<string, string>> {
  const missing = secrets.filter((name) => host[name] === undefined);
  if (missing.length > 0) {
    throw new UserError(
      'secret_missing',
      `The recipe gives the plugin ${plugin} the environment variable ${missing.join(', ')}, which is not set.`,
      { kind: 'environment', hint: 'Set it where Simmer is started, or leave it out of `secrets`.' },
    );
  }
  for (const name of secrets) keepSecret(host[name]!);
  const names = [...passed, ...Object.keys(host).filter((name) => name.startsWith('LC_')), ...secrets];
  return Object.fromEntries(names.flatMap((name) => (host[name] === undefined ? [] : [[name, host[name]]])));
}
