import { isUserError, UserError } from '../../errors.js';
import type { PrepareContext } from '../definitions.js';
import { PluginProcess } from './plugin-process.js';
import type { ProcessKeeper } from './process-keeper.js';
import { commandOf, type ProcessPlugin } from './process-plugin.js';

/**
 * The process of a plugin that answers short questions: started for the first one, then kept for those that come while the
 * keeper is held. One that was lost stays lost until then, so that its loss is told in one way.
 */
export class KeptProcess {
  readonly #plugin: ProcessPlugin;
  readonly #context: PrepareContext;
  readonly #keeper: ProcessKeeper;
  #process: Promise<PluginProcess> | undefined;

  constructor(plugin: ProcessPlugin, context: PrepareContext, keeper: ProcessKeeper) {
    this.#plugin = plugin;
    this.#context = context;
    this.#keeper = keeper;
  }

  /** @throws UserError as `PluginProcess.start`, and what the call throws */
  async use<T>(call: (process: PluginProcess) => Promise<T>): Promise<T> {
    await using _held = this.#keeper.hold();
    const process = await this.#started();
    return await process.guard(call(process));
  }

  /**
   * Asks what must be answered within `limits.answerSeconds`; a process that takes longer is killed.
   * @param what for messages: `The check of fixture/greet`
   * @throws UserError that names it
   */
  async ask<T>(what: string, call: (process: PluginProcess) => Promise<T>): Promise<T> {
    await using _held = this.#keeper.hold();
    const process = await this.#started();
    const { answerSeconds } = process.limits;
    const late = setTimeout(() => process.end(hung(this.#plugin.called, answerSeconds)), answerSeconds * 1000);
    try {
      return await process.guard(call(process));
    } catch (error) {
      throw told(what, error);
    } finally {
      clearTimeout(late);
    }
  }

  #started(): Promise<PluginProcess> {
    if (this.#process !== undefined) return this.#process;
    const starting = commandOf(this.#plugin, this.#context).then((command) =>
      PluginProcess.start(command, { signal: this.#context.signal }),
    );
    this.#process = starting;
    this.#keeper.keep(async () => {
      this.#process = undefined;
      // Why it did not start was told to whoever asked.
      await starting.then(
        (process) => process[Symbol.asyncDispose](),
        () => {},
      );
    });
    return starting;
  }
}

function hung(plugin: string, seconds: number): UserError {
  return new UserError('plugin_hung', `Plugin ${plugin} has not answered for ${seconds} seconds; it was killed.`, {
    kind: 'runFailed',
  });
}

/** What went wrong, with what was asked. A plan that is not made is a matter of the recipe, not of a run. */
function told(what: string, error: unknown): unknown {
  if (!isUserError(error)) return error;
  const isOwn = error.hint !== undefined && error.code !== 'plugin_exited';
  return new UserError(error.code, `${what} failed: ${error.message}`, {
    kind: error.kind === 'runFailed' ? 'usage' : error.kind,
    hint: isOwn ? error.hint : 'This is a mistake in the plugin: tell its author, or leave it out of `plugins`.',
    cause: error,
  });
}
