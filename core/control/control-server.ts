import { chmod, lstat, mkdir, readFile, rm, stat } from 'node:fs/promises';
import type { Server as NetServer } from 'node:net';
import { dirname, join } from 'node:path';
import { BinaryReader } from '@bufbuild/protobuf/wire';
import { Server, ServerCredentials, type ServerInterceptor } from '@grpc/grpc-js';
import { ReflectionService } from '@grpc/reflection';
import type { Settings } from '../config/settings.js';
import { isUserError, UserError } from '../errors.js';
import { nodeLogFileSystem } from '../events/log-file-system.js';
import { writingTo } from '../files/disk-error.js';
import { makeFolder } from '../files/durable-files.js';
import { PluginCatalog } from '../plugin/catalog.js';
import { simmerPackage } from '../plugin/locate.js';
import { processMachine } from '../plugin/process/process-machine.js';
import { isSeenFromHere } from '../process/process-identity.js';
import { KnownTokens } from '../process/require-token.js';
import { acquireRunLock, type RunLock, readRunOwner } from '../process/run-lock.js';
import { endsWithin } from '../process/terminate.js';
import { admitClients, isLoopback } from './access.js';
import { type ServerAddress, shownAddress } from './address.js';
import { parseAllowedSecret } from './allowed-secrets.js';
import { Connections } from './connections.js';
import { controlService, controlServiceDefinition } from './control-service.js';
import { defaultLimits, type ServerLimits } from './limits.js';
import { checkOwnerOptions, missingPlugins } from './owner-options.js';
import { RecipeSource } from './recipe-source.js';
import { ServedHome } from './served-home.js';
import { ServedRuns } from './served-runs.js';
import { serveHealth } from './server-health.js';
import { outOfDate, takeTlsFiles } from './tls-files.js';
import { DurableWrites } from './watching/durable-writes.js';

export const controlServiceName = 'simmer.control.v1.ControlService';

interface ServerTlsFiles {
  /** PEM files: the server's certificate chain, and its key. */
  readonly certificate: string;
  readonly key: string;
  /** PEM file of the authority whose clients may connect; absent: any client with the token. */
  readonly clientAuthority?: string;
}

export interface ControlServerOptions {
  readonly settings: Settings;
  readonly address: ServerAddress;
  /** Any of them lets a client in. Needed for TCP. */
  readonly tokens?: readonly string[];
  /** Needed for TCP, unless only this machine can connect. */
  readonly tls?: ServerTlsFiles;
  /** Folders whose files recipes of clients may name. The first is what their relative paths are relative to. */
  readonly allowedRoots?: readonly string[];
  /** npm names of plugins that recipes of clients may list. */
  readonly allowedPlugins?: readonly string[];
  /** Options that have this machine run or load what they say and that clients may give: PLUGIN/NAME.OPTION. */
  readonly allowedOptions?: readonly string[];
  /** Variables of the environment that recipes of clients may use: NAME, or NAME=URL. */
  readonly allowedSecrets?: readonly string[];
  /** Folders of recipes that clients may name, besides those that come with Simmer. These recipes are trusted. */
  readonly recipeFolders?: readonly string[];
  readonly limits?: Partial<ServerLimits>;
  log?(message: string): void;
}

/** What `simmer serve` is: one process that runs the recipes of clients on this machine. */
export class ControlServer {
  /** As clients are given it. */
  readonly address: string;
  readonly runs: ServedRuns;
  readonly #grpc: Server;
  readonly #connections: Connections;
  readonly #stopping: AbortController;
  readonly #tokens: KnownTokens;
  /**
   * Reads the files for TLS again, for the connections to come.
   * @throws UserError `tls_file_missing`, `tls_file_wrong`: then what was read before holds
   */
  readonly takeTlsFiles: () => Promise<void>;
  readonly #release: () => Promise<void>;

  private constructor(parts: {
    address: string;
    runs: ServedRuns;
    grpc: Server;
    connections: Connections;
    stopping: AbortController;
    tokens: KnownTokens;
    takeTlsFiles: () => Promise<void>;
    release: () => Promise<void>;
  }) {
    this.address = parts.address;
    this.runs = parts.runs;
    this.#grpc = parts.grpc;
    this.#connections = parts.connections;
    this.#stopping = parts.stopping;
    this.#tokens = parts.tokens;
    this.takeTlsFiles = parts.takeTlsFiles;
    this.#release = parts.release;
  }

  /**
   * Listens, then takes up the runs that a former server left.
   * @throws UserError `token_needed`, `tls_needed`, `tls_file_wrong`, `address_in_use`, `folder_missing`,
   * `wrong_option_name`, `wrong_secret`, `home_served` where another server has this home, `no_disk_space`, `not_writable` and their like
   */
  static async start(options: ControlServerOptions): Promise<ControlServer> {
    const { settings, address, log = () => undefined } = options;
    refuseUnsafe(options);
    await checkOwnerOptions(options);
    const limits = { ...defaultLimits, ...options.limits };
    const folder = join(settings.home, 'server');
    const ownFolder = join(folder, 'recipes');
    await writingTo(settings.home, () => makeFolder(ownFolder, 0o700));
    const lock = await lockHome(settings.home, folder);
    try {
      const home = await ServedHome.of(settings.home, folder);
      const writes = new DurableWrites();
      const logFileSystem = writes.over(nodeLogFileSystem);
      const runs = await ServedRuns.open({ settings, limits, logFileSystem, log });
      const roots = [
        ...(options.allowedRoots ?? []),
        ...(settings.dataFolder === undefined ? [] : [settings.dataFolder]),
      ];
      const rules = {
        folder: options.allowedRoots?.[0] ?? ownFolder,
        roots: [...roots, ownFolder],
        plugins: options.allowedPlugins ?? [],
        options: options.allowedOptions ?? [],
        secrets: (options.allowedSecrets ?? []).map(parseAllowedSecret),
      };
      for (const warning of missingPlugins(rules.plugins, rules.folder)) log(warning);
      const recipeFolders = [...(options.recipeFolders ?? []), join(simmerPackage.root, 'recipes')];
      const machine = processMachine(settings, log);
      const recipes = new RecipeSource({ settings, rules, limits, machine, recipeFolders });
      const catalog = new PluginCatalog({ recipePlugins: rules.plugins, baseFolder: rules.folder, machine });
      const stopping = new AbortController();
      const { tokens: given = [] } = options;
      const tokens = new KnownTokens(given);
      const connections = new Connections((socket) => injector.injectConnection(socket), limits);
      const admitted = admitClients(given.length === 0 ? undefined : tokens, limits, (peer) => connections.letIn(peer));
      const grpc = grpcServer(limits, admitted);
      grpc.addService(
        controlServiceDefinition,
        controlService({ settings, home, runs, writes, recipes, limits, stopping: stopping.signal, catalog }),
      );
      serveHealth(grpc, controlServiceName, home, stopping.signal);
      await addReflection(grpc);
      const credentials = () => credentialsOf(options.tls, log);
      let injector = grpc.createConnectionInjector(await credentials());
      const bound = await listen(connections.listener, address);
      void runs.takeUp();
      return new ControlServer({
        address: bound,
        runs,
        grpc,
        connections,
        stopping,
        tokens,
        takeTlsFiles: async () => {
          injector = grpc.createConnectionInjector(await credentials());
        },
        release: async () => lock[Symbol.asyncDispose](),
      });
    } catch (error) {
      await lock[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** How many connections are open now. */
  get connections(): number {
    return this.#connections.size;
  }

  /** From now on clients give one of these, of which a server has some or none from its start; calls under way go on. */
  takeTokens(tokens: readonly string[]): void {
    this.#tokens.replace(tokens);
  }

  /** Interrupts the runs, which go on when a server is started again, ends all calls and closes. */
  async stop(): Promise<void> {
    this.#connections.listener.close();
    await this.runs.stop();
    this.#stopping.abort();
    // Watchers have been sent the end of their runs by now, or it is in the log. On Node 24 and later grpc-js calls
    // back at once, since the connections did not come from a listener of its own.
    this.#grpc.tryShutdown(() => undefined);
    await endsWithin(this.#connections.closed(), 500);
    this.#grpc.forceShutdown();
    this.#connections.closeAll();
    await this.#release();
  }
}

async function lockHome(home: string, folder: string): Promise<RunLock> {
  try {
    return await acquireRunLock(folder);
  } catch (error) {
    const owner = await readRunOwner(folder);
    if (!isUserError(error) || error.code !== 'run_locked' || owner === undefined) throw error;
    const { pid, host, startedAt } = owner;
    throw new UserError('home_served', `Process ${pid} on ${host} serves ${home} already, since ${startedAt}.`, {
      kind: 'environment',
      hint: (await isSeenFromHere(owner))
        ? `Stop it first (kill ${pid}), or give this server a home of its own: --home FOLDER.`
        : `If it is gone, remove ${join(folder, 'owner.json')}; or give this server a home of its own: --home FOLDER.`,
      cause: error,
    });
  }
}

function refuseUnsafe({ address, tokens = [], tls }: ControlServerOptions): void {
  if (address.kind === 'unix') return;
  if (tokens.length === 0) {
    throw new UserError('token_needed', `A server on ${shownAddress(address)} needs a token.`, {
      hint: 'Give it by --token-file FILE, or SIMMER_SERVER_TOKEN; or serve on a unix socket.',
    });
  }
  if (tls === undefined && !isLoopback(address.host)) {
    throw new UserError('tls_needed', `Others can listen in on ${shownAddress(address)}: it needs TLS.`, {
      hint: 'Give --tls-cert and --tls-key, or listen on 127.0.0.1.',
    });
  }
}

function grpcServer(limits: ServerLimits, admits: ServerInterceptor): Server {
  return new Server({
    interceptors: [admits],
    'grpc.max_receive_message_length': limits.messageBytes,
    'grpc.max_concurrent_streams': limits.streams,
    'grpc.keepalive_time_ms': limits.keepaliveMilliseconds,
    'grpc.keepalive_timeout_ms': limits.keepaliveTimeoutMilliseconds,
    'grpc.max_metadata_size': 16 * 1024,
  });
}

/**
 * So that common tools work: they take the files as a compiler describes them, and refuse what proto-loader makes of them,
 * which lacks imports and maps.
 */
async function addReflection(grpc: Server): Promise<void> {
  const sets = ['control', 'health'].map((name) => readFile(new URL(`../generated/${name}.binpb`, import.meta.url)));
  const fileDescriptorProtos = (await Promise.all(sets)).flatMap(filesIn);
  const described = { format: 'Protocol Buffer 3 EnumDescriptorProto', type: {}, fileDescriptorProtos } as const;
  new ReflectionService({ described }).addToServer(grpc);
}

/** google.protobuf.FileDescriptorSet: file = 1. */
function filesIn(set: Uint8Array): Buffer[] {
  const reader = new BinaryReader(set);
  const files: Buffer[] = [];
  while (reader.pos < reader.len) {
    const [field, type] = reader.tag();
    if (field === 1) files.push(Buffer.from(reader.bytes()));
    else reader.skip(type);
  }
  return files;
}

async function credentialsOf(
  tls: ServerTlsFiles | undefined,
  log: (message: string) => void,
): Promise<ServerCredentials> {
  if (tls === undefined) return ServerCredentials.createInsecure();
  const { authority, certificate, key } = await takeTlsFiles({ ...tls, authority: tls.clientAuthority });
  const refused = outOfDate(certificate!, new Date());
  if (refused !== undefined) log(`Clients will refuse the certificate ${tls.certificate}: ${refused}.`);
  return ServerCredentials.createSsl(authority, [{ cert_chain: certificate!, private_key: key! }], authority !== null);
}

async function listen(listener: NetServer, address: ServerAddress): Promise<string> {
  if (address.kind === 'unix') await readySocket(address.path);
  await new Promise<void>((resolve, reject) => {
    listener.once('error', (error: NodeJS.ErrnoException) =>
      reject(
        new UserError('address_in_use', `Cannot listen on ${shownAddress(address)}: ${error.message}.`, {
          kind: 'environment',
          hint: 'Choose another address: --listen HOST:PORT or --listen unix:PATH.',
        }),
      ),
    );
    if (address.kind === 'unix') listener.listen(address.path, resolve);
    else listener.listen(address.port, address.host, resolve);
  });
  if (address.kind === 'unix') {
    await chmod(address.path, 0o600);
    return shownAddress(address);
  }
  const bound = listener.address();
  return shownAddress({ ...address, port: typeof bound === 'object' && bound !== null ? bound.port : address.port });
}

/**
 * The folder is what keeps others away from the socket: it is made with mode 0700, and refused with any other. A socket
 * that a killed server left is removed: this process has the lock of the home.
 */
async function readySocket(path: string): Promise<void> {
  const folder = dirname(path);
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const { mode, uid } = await stat(folder);
  if ((mode & 0o077) !== 0 || (process.getuid !== undefined && uid !== process.getuid())) {
    throw new UserError('socket_folder_unsafe', `Others may enter ${folder}, the folder of the server's socket.`, {
      kind: 'environment',
      hint: `chmod 700 ${folder}, or choose a folder of your own: --listen unix:PATH.`,
    });
  }
  const found = await lstat(path).catch(() => undefined);
  if (found?.isSocket() === false) {
    throw new UserError('address_in_use', `There is something else than a socket at ${path}.`, {
      hint: 'Name a file that is not there yet: --listen unix:PATH.',
    });
  }
  await rm(path, { force: true });
}
