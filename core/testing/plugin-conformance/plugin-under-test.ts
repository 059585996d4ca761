import { randomUUID } from 'node:crypto';
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { credentials, Metadata, type ServiceError } from '@grpc/grpc-js';
import { PluginServiceClient } from '../../generated/simmer/plugin/v1/plugin.js';
import { scrubbedEnvironment } from '../../plugin/process/environment.js';
import { HostServer } from '../../plugin/process/host-server.js';
import { PluginClient } from '../../plugin/process/plugin-client.js';
import type { PluginCommand } from '../../plugin/process/plugin-process.js';
import { describeExit, waitForHandshake } from '../../process/handshake.js';
import { makeSocketFolder, removeSocketFolder } from '../../process/socket-folder.js';
import { spawnAttended } from '../../process/spawn-attended.js';
import type { ProcessExit } from '../../process/spawn-detached.js';
import { endsWithin, signalGroup } from '../../process/terminate.js';
import { demand } from '../verification.js';

/** A process of the plugin that is verified: started as the host does, without the host's patience. */
export class PluginUnderTest {
  readonly requestedAddress: string;
  readonly host: HostServer;
  readonly pid: number;
  readonly exited: Promise<ProcessExit>;
  readonly #child: Awaited<ReturnType<typeof spawnAttended>>;
  readonly #socketFolder: string;
  readonly #files: { readonly stdoutFile: string; readonly stderrFile: string };
  readonly #patience: number;
  /** Set by `connect`. */
  client!: PluginClient;
  raw!: PluginServiceClient;
  address!: string;

  private constructor(
    child: Awaited<ReturnType<typeof spawnAttended>>,
    host: HostServer,
    socketFolder: string,
    files: { readonly stdoutFile: string; readonly stderrFile: string },
    patience: number,
  ) {
    this.#child = child;
    this.host = host;
    this.pid = child.pid;
    this.exited = child.exited;
    this.#socketFolder = socketFolder;
    this.#files = files;
    this.#patience = patience;
    this.requestedAddress = `unix:${join(socketFolder, 'plugin.sock')}`;
  }

  /** Starts a process and waits for nothing. @throws UserError `program_not_found` */
  static async spawn(
    command: PluginCommand,
    options: { readonly folder: string; readonly patience: number; readonly protocols?: string },
  ): Promise<PluginUnderTest> {
    const socketFolder = await makeSocketFolder();
    const outputs = join(options.folder, randomUUID());
    await mkdir(outputs);
    const files = { stdoutFile: join(outputs, 'stdout.log'), stderrFile: join(outputs, 'stderr.log') };
    const host = await HostServer.start(join(socketFolder, 'host.sock'));
    try {
      const child = await spawnAttended({
        argv: command.argv,
        cwd: command.folder,
        env: {
          ...scrubbedEnvironment(process.env, command.secrets, command.plugin),
          ...command.env,
          SIMMER_PLUGIN_ADDRESS: `unix:${join(socketFolder, 'plugin.sock')}`,
          SIMMER_PLUGIN_PROTOCOLS: options.protocols ?? '1',
          SIMMER_HOST_ADDRESS: host.address,
          SIMMER_HOST_TOKEN: host.token,
        },
        ...files,
      });
      return new PluginUnderTest(child, host, socketFolder, files, options.patience);
    } catch (error) {
      host[Symbol.dispose]();
      await removeSocketFolder(join(socketFolder, 'plugin.sock'));
      throw error;
    }
  }

  /** Waits for the handshake line. @throws UserError `handshake_failed` */
  async connect(plugin: string): Promise<this> {
    this.address = await waitForHandshake({
      prefix: 'SIMMER-PLUGIN',
      protocolVersion: 1,
      what: `plugin ${plugin}`,
      ...this.#files,
      exited: this.exited,
      timeoutMilliseconds: this.#patience * 1000,
      signal: new AbortController().signal,
    });
    this.client = new PluginClient(this.address);
    this.raw = new PluginServiceClient(this.address, credentials.createInsecure(), { 'grpc.enable_http_proxy': 0 });
    return this;
  }

  async stdout(): Promise<readonly string[]> {
    return (await readFile(this.#files.stdoutFile, 'utf8')).split('\n').filter((line) => line !== '');
  }

  /** The error of a call that is to be refused; undefined where it is answered. */
  refusal<Request>(
    method: (request: Request, metadata: Metadata, callback: (error: ServiceError | null) => void) => unknown,
    request: Request,
  ): Promise<ServiceError | undefined> {
    return this.within(
      new Promise((resolve) => method.call(this.raw, request, new Metadata(), (error) => resolve(error ?? undefined))),
      'an answer',
    );
  }

  /** @throws Deviation where it takes longer than the patience */
  async within<T>(work: Promise<T>, what: string): Promise<T> {
    demand(await endsWithin(work, this.#patience * 1000), `${what} within ${this.#patience} seconds`, 'none');
    return work;
  }

  /** @throws Deviation where it does not end in time @returns in words */
  async ends(): Promise<string> {
    return describeExit(await this.within(this.exited, 'the end of the process'));
  }

  closeStdin(): void {
    this.#child.closeStdin();
  }

  signal(signal: NodeJS.Signals): void {
    signalGroup(this.pid, signal);
  }

  async close(): Promise<void> {
    this.client?.close();
    this.raw?.close();
    this.signal('SIGKILL');
    await this.exited;
    this.host[Symbol.dispose]();
    await removeSocketFolder(join(this.#socketFolder, 'plugin.sock'));
  }
}
