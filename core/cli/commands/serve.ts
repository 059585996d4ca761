import { resolve } from 'node:path';
import { readTokens } from '../../control/access.js';
import { defaultAddress, parseAddress } from '../../control/address.js';
import { onFilesChanged } from '../../control/changed-files.js';
import { ControlServer, type ControlServerOptions } from '../../control/control-server.js';
import { exitCodes, UserError } from '../../errors.js';
import { onInterrupt, passOverCancel } from '../interrupts.js';
import { sayToPeople, writeJson, writeLine } from '../terminal.js';
import { settingsFrom, type WorkspaceFlags } from '../workspace.js';

interface ServeFlags extends WorkspaceFlags {
  /** `unix:PATH` or `HOST:PORT`. */
  readonly listen?: string;
  readonly tokenFile?: string;
  readonly tlsCert?: string;
  readonly tlsKey?: string;
  readonly tlsClientCa?: string;
  readonly allowRoot: readonly string[];
  readonly allowPlugin: readonly string[];
  readonly allowOption: readonly string[];
  readonly allowSecret: readonly string[];
  readonly recipes: readonly string[];
}

/** `simmer serve`: runs the recipes of clients until it is stopped. */
export async function serve(flags: ServeFlags): Promise<number> {
  const settings = await settingsFrom(flags);
  const address = flags.listen === undefined ? await defaultAddress(settings.home) : parseAddress(flags.listen);
  const tokens = await readTokens(flags.tokenFile, process.env);
  const tls = tlsOf(flags);
  // Its runs are canceled by its clients, one at a time.
  passOverCancel();
  const server = await ControlServer.start({
    settings,
    address,
    tokens,
    ...(tls === undefined ? {} : { tls }),
    allowedRoots: flags.allowRoot.map((folder) => resolve(folder)),
    allowedPlugins: flags.allowPlugin,
    allowedOptions: flags.allowOption,
    allowedSecrets: flags.allowSecret,
    recipeFolders: flags.recipes.map((folder) => resolve(folder)),
    log: sayToPeople,
  });
  const stopped = new Promise<string>((stop) => {
    onInterrupt(stop);
  });
  if (flags.json) await writeJson({ address: server.address, pid: process.pid, home: settings.home });
  else await writeLine(`Serving ${settings.home} on ${server.address}`);
  const { tokenFile, tlsCert, tlsKey, tlsClientCa } = flags;
  using _tokens = onChange([tokenFile], async () => {
    const now = await readTokens(tokenFile, process.env);
    server.takeTokens(now);
    return `The token file was read again: it has ${now.length} now.`;
  });
  using _tls = onChange([tlsCert, tlsKey, tlsClientCa], async () => {
    await server.takeTlsFiles();
    return 'The files for TLS were read again.';
  });
  const reason = await stopped;
  sayToPeople(`${reason}: stopping. Its runs go on when the server is started again.`);
  await server.stop();
  return exitCodes.ok;
}

/** Takes what the files hold when they are changed while it serves; what is wrong leaves what there was. */
function onChange(files: readonly (string | undefined)[], take: () => Promise<string>): Disposable {
  const given = files.filter((file) => file !== undefined);
  return onFilesChanged(given, async () => {
    const told = await take().catch(
      (error: Error) => `Not taken: ${error.message} What ${given.join(', ')} held before is used on.`,
    );
    sayToPeople(told);
  });
}

function tlsOf({ tlsCert, tlsKey, tlsClientCa }: ServeFlags): ControlServerOptions['tls'] {
  if (tlsCert === undefined && tlsKey === undefined && tlsClientCa === undefined) return undefined;
  if (tlsCert !== undefined && tlsKey !== undefined) {
    return {
      certificate: tlsCert,
      key: tlsKey,
      ...(tlsClientCa === undefined ? {} : { clientAuthority: tlsClientCa }),
    };
  }
  throw new UserError('tls_incomplete', 'TLS needs a certificate and its key.', {
    hint: 'Give both --tls-cert FILE and --tls-key FILE.',
  });
}
