import { isUserError, UserError } from '../../errors.js';
import type { PrepareContext } from '../definitions.js';
import { namedFailure } from './failure.js';
import { PluginProcess } from './plugin-process.js';
import type { ProcessKeeper } from './process-keeper.js';
import { commandOf, type ProcessPlugin } from './process-plugin.js';

/**
 * The process of a plugin that answers short questions: started for the first one, then kept for those that come while the
 * keeper is held. One that was lost stays lost until then, so that its loss is told in one way.
 */
export class KeptProcess {
  #plugin: ProcessPlugin;
  readonly #context: PrepareContext;
  readonly #keeper: ProcessKeeper;
  #process: Promise<PluginProcess> | undefined;

  constructor(plugin: ProcessPlugin, context: PrepareContext, keeper: ProcessKeeper) {
    this.#plugin = plugin;
    this.#context = context;
    this.#keeper = keeper;
  }

  /** What messages call the plugin from now on, also where its process has started. */
  async callIt(called: string): Promise<void> {
    this.#plugin = { ...this.#plugin, called };
    (await this.#process)?.callIt(called);
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
   * @param options.isPlanning whether it is asked for a plan, rather than in a run
   * @param options.extraSeconds that this answer may take besides
   * @throws UserError that names it: about the recipe while it is planned, else about the run
   */
  async ask<T>(
    what: string,
    call: (process: PluginProcess) => Promise<T>,
    { isPlanning = true, extraSeconds = 0 }: { readonly isPlanning?: boolean; readonly extraSeconds?: number } = {},
  ): Promise<T> {
    await using _held = this.#keeper.hold();
    const process = await this.#started();
    try {
      return await process.answer(call(process), extraSeconds);
    } catch (error) {
      throw isPlanning ? aboutRecipe(namedFailure(what, error)) : namedFailure(what, error);
    }
  }

  #started(): Promise<PluginProcess> {
    if (this.#process !== undefined) return this.#process;
    const { called } = this.#plugin;
    const { signal, log } = this.#context;
    const onOutput = (line: string) => log.info(`${called}: ${line}`);
    const starting = commandOf(this.#plugin, this.#context).then((command) =>
      PluginProcess.start(command, { signal, onOutput }),
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

/** A plan that is not made is a matter of the recipe, not of a run. */
function aboutRecipe(error: unknown): unknown {
  if (!isUserError(error)) return error;
  const { code, message, kind, hint, cause } = error;
  const isOwn = hint !== undefined && code !== 'plugin_exited';
  return new UserError(code, message, {
    kind: kind === 'runFailed' ? 'usage' : kind,
    hint: isOwn ? hint : 'This is a mistake in the plugin: tell its author, or leave it out of `plugins`.',
    cause,
  });
}
