import { randomUUID } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { UserError } from '../../errors.js';
import { lastLines } from '../../process/file-tail.js';
import { describeExit, waitForHandshake } from '../../process/handshake.js';
import { longestTimer } from '../../process/longest-timer.js';
import { makeSocketFolder, removeSocketFolder } from '../../process/socket-folder.js';
import { spawnAttended } from '../../process/spawn-attended.js';
import type { ProcessExit } from '../../process/spawn-detached.js';
import { endsWithin, signalGroup, terminateGroup } from '../../process/terminate.js';
import { apiVersion } from '../definitions.js';
import { pluginPackageFolder } from '../locate.js';
import { scrubbedEnvironment } from './environment.js';
import { HostServer } from './host-server.js';
import type { ProcessLimits } from './limits.js';
import { PluginClient, PluginLostError } from './plugin-client.js';
import { type ToldLines, tellLines } from './process-output.js';
import { type WatchedProcess, watchHealth, watchUse } from './process-watch.js';

const handshakePrefix = 'SIMMER-PLUGIN';

/** How a plugin's process is started, and what it may take. */
export interface PluginCommand {
  /** For messages: what the recipe calls it. */
  readonly plugin: string;
  readonly argv: readonly string[];
  /** Where it starts. */
  readonly folder: string;
  /** Added to the few variables that it has. */
  readonly env: Readonly<Record<string, string>>;
  /** Names of the variables that the recipe gives it. */
  readonly secrets: readonly string[];
  /** Pinned requirements of the Python that starts it. */
  readonly lockFile?: string;
  readonly limits: ProcessLimits;
}

interface StartOptions {
  readonly signal: AbortSignal;
  /** Where its output is kept. Absent: with its sockets, and gone with them. */
  readonly outputFolder?: string;
  /** Is told each line that it writes to stdout and stderr. */
  onOutput?(line: string): void;
}

/**
 * A process that speaks simmer.plugin.v1, with the HostService that is its own. It ends with this one. What it does wrong
 * ends it, and is thrown by whatever waits for it: its end, its silence, too much memory or output.
 */
export class PluginProcess implements AsyncDisposable {
  readonly client: PluginClient;
  readonly host: HostServer;
  readonly pid: number;
  readonly exited: Promise<ProcessExit>;
  readonly limits: ProcessLimits;
  readonly #parts: ProcessParts;

  private constructor(parts: ProcessParts, client: PluginClient) {
    this.#parts = parts;
    this.client = client;
    this.host = parts.host;
    this.pid = parts.child.pid;
    this.exited = parts.child.exited;
    this.limits = parts.command.limits;
  }

  /**
   * Starts a process and waits until it serves.
   * @throws UserError `handshake_failed`, `program_not_found`, `secret_missing`, `plugin_not_serving`
   */
  static async start(command: PluginCommand, options: StartOptions): Promise<PluginProcess> {
    const parts = await ProcessParts.spawn(command, options.outputFolder);
    parts.watch((signal) => watchUse(parts.watched, signal));
    try {
      const address = await parts.guard(
        waitForHandshake({
          prefix: handshakePrefix,
          protocolVersion: apiVersion,
          what: `plugin ${command.plugin}`,
          stdoutFile: parts.stdoutFile,
          stderrFile: parts.stderrFile,
          exited: parts.child.exited,
          timeoutMilliseconds: command.limits.startSeconds * 1000,
          signal: options.signal,
          hintOf: (stderr) => missingModuleHint(stderr, command),
        }),
      );
      const client = new PluginClient(address);
      const process = new PluginProcess(parts, client);
      if (!(await client.isHealthy(command.limits.startSeconds * 1000))) {
        client.close();
        throw await parts.lost('it says that it listens, but does not serve there', 'plugin_not_serving');
      }
      parts.watch((signal) => watchHealth(parts.watched, client, signal));
      parts.tellOutput(options);
      return process;
    } catch (error) {
      await parts.kill();
      throw error;
    }
  }

  /** What messages call it from now on. */
  callIt(called: string): void {
    this.#parts.called = called;
  }

  /** Waits for an answer of the process. Where the process is lost, or was killed for what it did, that is thrown. */
  guard<T>(work: Promise<T>): Promise<T> {
    return this.#parts.guard(work);
  }

  /**
   * The same for what must be answered within `limits.answerSeconds`; a process that takes longer is killed.
   * @param extraSeconds that this answer may take besides
   * @throws UserError `plugin_hung`
   */
  async answer<T>(work: Promise<T>, extraSeconds = 0): Promise<T> {
    const seconds = this.limits.answerSeconds + extraSeconds;
    const end = () => this.end(hung(this.#parts.called, seconds));
    const late = setTimeout(end, Math.min(seconds * 1000, longestTimer));
    try {
      return await this.guard(work);
    } finally {
      clearTimeout(late);
    }
  }

  /** Tells `onOutput` at once what it has written by now. */
  catchUpWithOutput(): Promise<void> {
    return this.#parts.catchUpWithOutput();
  }

  /** Kills it at once, for this reason. */
  end(reason: UserError): void {
    this.#parts.end(reason);
  }

  /** The kill ladder: Shutdown, the end of its stdin, SIGTERM, SIGKILL. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.client.shutdown(this.limits.stopSeconds).catch(() => {});
    this.client.close();
    await this.#parts.stop();
  }
}

/** Of a Python program that imports what is not installed. */
function missingModuleHint(stderr: readonly string[], { lockFile, folder }: PluginCommand): string | undefined {
  const module = /^ModuleNotFoundError: No module named '([^'.]+)/m.exec(stderr.join('\n'))?.[1];
  if (module === undefined) return undefined;
  if (lockFile === undefined) return `Install the package of "${module}" for the Python that starts the plugin.`;
  const requirements = relative(folder, lockFile);
  const importer = stderr.findLast((line) => /^\s*File "/.test(line));
  return importer?.includes(pluginPackageFolder)
    ? `simmer_plugin itself needs "${module}" and more: put all lines of ${join(pluginPackageFolder, 'locks', 'plugin.txt')} into ${requirements} of the plugin, beside its own. Simmer then makes another environment.`
    : `Add the package of "${module}", with its version, to ${requirements} of the plugin: Simmer then makes another environment.`;
}

function hung(plugin: string, seconds: number): UserError {
  return new UserError('plugin_hung', `Plugin ${plugin} has not answered for ${seconds} seconds; it was killed.`, {
    kind: 'runFailed',
    hint: 'It is to answer such a question soon; `limits.answerSeconds` of its entry in the recipe says how soon.',
  });
}

/** A process that runs, before and after anybody can talk with it. */
class ProcessParts {
  readonly #watching = new AbortController();
  /** Rejects when the process is killed for what it did. */
  readonly #ended: Promise<never>;
  #rejectEnded: (reason: UserError) => void = () => {};
  #reason: UserError | undefined;
  readonly #output: ToldLines[] = [];
  /** For messages. */
  called: string;

  private constructor(
    readonly command: PluginCommand,
    readonly folder: string,
    readonly stdoutFile: string,
    readonly stderrFile: string,
    readonly host: HostServer,
    readonly child: Awaited<ReturnType<typeof spawnAttended>>,
  ) {
    this.called = command.plugin;
    this.#ended = new Promise((_, reject) => {
      this.#rejectEnded = reject;
    });
    this.#ended.catch(() => {});
  }

  static async spawn(command: PluginCommand, outputFolder: string | undefined): Promise<ProcessParts> {
    const env = scrubbedEnvironment(process.env, command.secrets, command.plugin);
    const folder = await makeSocketFolder();
    try {
      const place = outputFolder ?? folder;
      await mkdir(place, { recursive: true });
      // Each process has files of its own: a line that a former one left must not be taken for this one's.
      const name = `plugin-${randomUUID().slice(0, 8)}`;
      const stdoutFile = join(place, `${name}.stdout.log`);
      const stderrFile = join(place, `${name}.stderr.log`);
      const host = await HostServer.start(join(folder, 'host.sock'));
      try {
        const child = await spawnAttended({
          argv: command.argv,
          cwd: command.folder,
          env: {
            ...env,
            ...command.env,
            SIMMER_PLUGIN_ADDRESS: `unix:${join(folder, 'plugin.sock')}`,
            SIMMER_PLUGIN_PROTOCOLS: String(apiVersion),
            SIMMER_HOST_ADDRESS: host.address,
            SIMMER_HOST_TOKEN: host.token,
          },
          stdoutFile,
          stderrFile,
        });
        return new ProcessParts(command, folder, stdoutFile, stderrFile, host, child);
      } catch (error) {
        host[Symbol.dispose]();
        throw error;
      }
    } catch (error) {
      await removeSocketFolder(join(folder, 'plugin.sock'));
      throw error;
    }
  }

  get watched(): WatchedProcess {
    const { plugin, limits } = this.command;
    return { pid: this.child.pid, plugin, limits, outputFiles: [this.stdoutFile, this.stderrFile] };
  }

  /** Of a process that served: why another did not start is told with what it wrote. */
  tellOutput({ onOutput }: StartOptions): void {
    if (onOutput === undefined) return;
    const tell = (line: string) => {
      if (!line.startsWith(`${handshakePrefix}|`)) onOutput(line);
    };
    this.#output.push(...[this.stdoutFile, this.stderrFile].map((file) => tellLines(file, tell)));
  }

  async catchUpWithOutput(): Promise<void> {
    await Promise.allSettled(this.#output.map((lines) => lines.catchUp()));
  }

  /** What the watch finds wrong ends the process. */
  watch(look: (signal: AbortSignal) => Promise<UserError | undefined>): void {
    void look(this.#watching.signal).then((wrong) => {
      if (wrong !== undefined) this.end(wrong);
    });
  }

  /** The first reason stands. */
  end(reason: UserError): void {
    if (this.#reason !== undefined) return;
    this.#reason = reason;
    this.#watching.abort();
    signalGroup(this.child.pid, 'SIGKILL');
    this.#rejectEnded(reason);
  }

  async guard<T>(work: Promise<T>): Promise<T> {
    try {
      return await Promise.race([work, this.#ended]);
    } catch (error) {
      if (!(error instanceof PluginLostError)) throw error;
      throw await this.lost(error.message, 'plugin_exited');
    } finally {
      // Of two that fail, nobody waits for the second.
      work.catch(() => {});
    }
  }

  /** Why it does not answer, with the end of its stderr. */
  async lost(how: string, code: string): Promise<UserError> {
    let exit: ProcessExit | undefined;
    const known = this.child.exited.then((value) => {
      exit = value;
    });
    await endsWithin(known, 1_000);
    if (this.#reason !== undefined) return this.#reason;
    const why = exit === undefined ? how : `it ended with ${describeExit(exit)}`;
    const lines = (await lastLines(this.stderrFile, 12)).map((line) => `\n  ${line.slice(0, 500)}`).join('');
    return new UserError(code, `Plugin ${this.called} was lost: ${why}.${lines}`, {
      kind: 'runFailed',
      hint: 'This is an error in the plugin, or in what it was given.',
    });
  }

  async stop(): Promise<void> {
    this.child.closeStdin();
    const { stopSeconds } = this.command.limits;
    if (!(await endsWithin(this.child.exited, stopSeconds * 1000))) {
      await terminateGroup(this.child.pid, this.child.exited, 2_000);
    }
    await this.kill();
  }

  async kill(): Promise<void> {
    this.#watching.abort();
    signalGroup(this.child.pid, 'SIGKILL');
    await this.child.exited;
    await Promise.allSettled(this.#output.map((lines) => lines.end()));
    this.host[Symbol.dispose]();
    await removeSocketFolder(join(this.folder, 'plugin.sock'));
  }
}
