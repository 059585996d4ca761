import { inject, injectable } from 'inversify';
import { makeCacheFolder } from '../config/cache-folder.js';
import type { Settings } from '../config/settings.js';
import { ContributionsToken, RunInfoToken, SettingsToken } from '../container/tokens.js';
import { isUserError, UserError } from '../errors.js';
import type { GraderDefinition } from '../plugin/definitions.js';
import { canonicalJson } from '../recipe/canonical-json.js';
import type { Grader } from '../trainer/trainer.js';
import { BudgetGuard } from './budget-guard.js';
import { checkGrades } from './check-grades.js';
import type { Contributions } from './contributions.js';
import { RunEnding } from './run-ending.js';
import { RunRecorder } from './run-recorder.js';
import type { RunInfo, RunResource } from './run-scope.js';
import { ThrownBy } from './stage-error.js';

type OwnedGrader = Grader & AsyncDisposable;

/** The run's graders: one for each `uses` and options, started when a stage first asks for it, ended with the run. */
@injectable()
export class GraderPool implements RunResource {
  readonly #run: RunInfo;
  readonly #contributions: Contributions;
  readonly #settings: Settings;
  readonly #recorder: RunRecorder;
  readonly #ending: RunEnding;
  readonly #budget: BudgetGuard;
  readonly #graders = new Map<string, Promise<OwnedGrader>>();

  constructor(
    @inject(RunInfoToken) run: RunInfo,
    @inject(ContributionsToken) contributions: Contributions,
    @inject(SettingsToken) settings: Settings,
    @inject(RunRecorder) recorder: RunRecorder,
    @inject(RunEnding) ending: RunEnding,
    @inject(BudgetGuard) budget: BudgetGuard,
  ) {
    this.#run = run;
    this.#contributions = contributions;
    this.#settings = settings;
    this.#recorder = recorder;
    this.#ending = ending;
    this.#budget = budget;
  }

  /** @param asker the stage that asks: what is said while the grader is made ready belongs to it */
  async get(
    uses: string,
    options: Readonly<Record<string, unknown>>,
    asker: { readonly stage: string; readonly attempt: number },
  ): Promise<Grader> {
    const { definition } = await this.#contributions.grader(uses);
    const parsed = definition.options.safeParse(options);
    if (!parsed.success) {
      throw new UserError('invalid_grader_options', `The options of the grader ${uses} do not fit its schema.`, {
        problems: parsed.error.issues.map((issue) => ({
          code: issue.code,
          message: issue.message,
          path: issue.path.join('.'),
        })),
      });
    }
    const id = `${uses} ${canonicalJson(parsed.data)}`;
    let grader = this.#graders.get(id);
    if (grader === undefined) {
      grader = this.#start(uses, definition, parsed.data, asker);
      this.#graders.set(id, grader);
      grader.catch(() => this.#graders.delete(id));
    }
    return grader;
  }

  async end(): Promise<void> {
    const graders = [...this.#graders.values()];
    this.#graders.clear();
    for (const result of await Promise.allSettled(graders)) {
      if (result.status === 'rejected') continue;
      try {
        await result.value[Symbol.asyncDispose]();
      } catch (error) {
        this.#recorder
          .log({ source: 'engine' })
          .warning(`A grader did not end well: ${error instanceof Error ? error.message : String(error)}`);
      }
    }
  }

  async #start(
    uses: string,
    definition: GraderDefinition,
    options: Readonly<Record<string, unknown>>,
    asker: { readonly stage: string; readonly attempt: number },
  ): Promise<OwnedGrader> {
    const { cacheFolder, python } = this.#settings;
    await makeCacheFolder(cacheFolder);
    const plugin = uses.split('/')[0]!;
    const grader = await definition.start(options, {
      log: this.#recorder.log({ source: `plugin ${plugin}`, ...asker }),
      signal: this.#ending.signal,
      cacheFolder,
      recipeFolder: this.#run.plan.recipeFolder,
      ...(python === undefined ? {} : { python }),
      spending: this.#budget.spendingOf(asker),
      emit: async (event) => {
        await this.#recorder.emit({ ...event, ...asker });
      },
    });
    return {
      async grade(items, signal) {
        try {
          return checkGrades(uses, items, await grader.grade(items, signal));
        } catch (error) {
          throw isUserError(error) ? error : new ThrownBy(plugin, error);
        }
      },
      [Symbol.asyncDispose]: () => grader[Symbol.asyncDispose](),
    };
  }
}
