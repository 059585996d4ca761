import { inject, injectable } from 'inversify';
import type { ArtifactStore } from '../artifacts/artifact-store.js';
import { makeCacheFolder } from '../config/cache-folder.js';
import type { Settings } from '../config/settings.js';
import { canonicalJson, jsonDigest } from '../document/canonical-json.js';
import { isUserError, UserError } from '../errors.js';
import type { PluginCatalog } from '../plugin/catalog.js';
import type { GraderContext, GraderDefinition } from '../plugin/definitions.js';
import { owningStrayErrors } from '../plugin/stray-errors.js';
import { thrownText } from '../plugin/thrown-text.js';
import { present } from '../present.js';
import { keptDigest } from '../recipe/stage-key.js';
import type { Grader } from '../trainer/trainer.js';
import { checkGrades } from './check-grades.js';
import { RunEnding } from './run-ending.js';
import { RunRecorder } from './run-recorder.js';
import type { RunInfo, RunResource } from './run-scope.js';
import { BudgetGuard } from './spending/budget-guard.js';
import { ThrownBy } from './stage-error.js';
import { withTimeLimit } from './time-limit.js';
import { ArtifactStoreToken, PluginCatalogToken, RunInfoToken, SettingsToken } from './tokens.js';

/** A grader that ends on its own terms may take this long, in milliseconds. */
const endMilliseconds = 30_000;

type OwnedGrader = Grader & AsyncDisposable & { readonly uses: string };

/** The stage that asks: what is said while a grader is made ready belongs to it. */
interface GraderAsker {
  readonly stage: string;
  readonly attempt: number;
}

interface AskedGrader {
  readonly grader: Promise<OwnedGrader>;
  /** The one that asked first. */
  readonly stage: string;
  readonly making: Making;
}

/** The run's graders: one for each `uses` and options, started when a stage first asks for it, ended with the run. */
@injectable()
export class GraderPool implements RunResource {
  readonly #run: RunInfo;
  readonly #catalog: PluginCatalog;
  readonly #settings: Settings;
  readonly #recorder: RunRecorder;
  readonly #ending: RunEnding;
  readonly #budget: BudgetGuard;
  readonly #store: ArtifactStore;
  readonly #graders = new Map<string, AskedGrader>();

  constructor(
    @inject(RunInfoToken) run: RunInfo,
    @inject(PluginCatalogToken) catalog: PluginCatalog,
    @inject(SettingsToken) settings: Settings,
    @inject(RunRecorder) recorder: RunRecorder,
    @inject(RunEnding) ending: RunEnding,
    @inject(BudgetGuard) budget: BudgetGuard,
    @inject(ArtifactStoreToken) store: ArtifactStore,
  ) {
    this.#run = run;
    this.#catalog = catalog;
    this.#settings = settings;
    this.#recorder = recorder;
    this.#ending = ending;
    this.#budget = budget;
    this.#store = store;
  }

  /** @param whileIdle does what the asker only waits for: a Python environment is made */
  async get(
    uses: string,
    options: Readonly<Record<string, unknown>>,
    asker: GraderAsker,
    whileIdle: (work: Promise<void>) => Promise<void>,
  ): Promise<Grader> {
    const { definition } = await this.#catalog.grader(uses);
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
    let asked = this.#graders.get(id);
    if (asked === undefined) {
      const making = new Making();
      const grader = this.#start(uses, definition, parsed.data, asker, making);
      asked = { grader, stage: asker.stage, making };
      this.#graders.set(id, asked);
      grader.catch(() => this.#graders.delete(id)).finally(() => making.end());
    }
    const { grader, stage, making } = asked;
    await making.begun;
    if (!making.hasEnded) {
      if (stage !== asker.stage)
        this.#recorder
          .log({ source: 'engine', ...asker })
          .info(`Waiting for the Python environment of ${uses}, which ${stage} makes.`);
      await whileIdle(making.ended);
    }
    return grader;
  }

  async end(): Promise<void> {
    const graders = [...this.#graders.values()].map(({ grader }) => grader);
    this.#graders.clear();
    const started = await Promise.allSettled(graders);
    await Promise.all(
      started.map((result) => (result.status === 'fulfilled' ? this.#endOne(result.value) : undefined)),
    );
  }

  async #endOne(grader: OwnedGrader): Promise<void> {
    const hangs = () => new Error(`its disposal did not end within ${endMilliseconds / 1000} s`);
    try {
      const ended = owningStrayErrors(async () => grader[Symbol.asyncDispose]());
      await withTimeLimit(ended, endMilliseconds, hangs);
    } catch (error) {
      this.#recorder
        .log({ source: 'engine' })
        .warning(`The grader ${grader.uses} did not end well: ${thrownText(error)}`);
    }
  }

  async #start(
    uses: string,
    definition: GraderDefinition,
    options: Readonly<Record<string, unknown>>,
    asker: GraderAsker,
    making: Making,
  ): Promise<OwnedGrader> {
    const { cacheFolder, python } = this.#settings;
    const { runId, plan } = this.#run;
    await makeCacheFolder(cacheFolder);
    const plugin = uses.split('/')[0]!;
    const context: GraderContext = {
      log: this.#recorder.log({ source: `plugin ${plugin}`, ...asker }),
      signal: this.#ending.signal,
      cacheFolder,
      recipeFolder: plan.recipeFolder,
      ...present({ python }),
      spending: this.#budget.spendingOf(asker),
      // Graders of one run may differ in what is no matter of `of`: each has a folder of its own.
      keptFolder: async (of) =>
        this.#store.keptFolder(
          keptDigest({ uses, seed: plan.seed }, of),
          `${runId}.${jsonDigest(options).slice(0, 12)}`,
        ),
      emit: async (event) => {
        // Nothing but the making of an environment has progress to tell before there is an environment.
        if (event.type === 'stage.progressed') making.begin();
        else making.end();
        await this.#recorder.emit({ ...event, ...asker });
      },
    };
    const needsGold = await namingPlugin(plugin, async () => definition.needsGold?.(options) ?? true);
    const grader = await namingPlugin(plugin, () => definition.start(options, context));
    if (typeof grader?.grade !== 'function') {
      throw new UserError('invalid_grader', `The grader ${uses} was started and gave nothing that grades.`, {
        kind: 'runFailed',
        hint: 'This is a mistake in its plugin: `start` returns an object with `grade` and `[Symbol.asyncDispose]`.',
      });
    }
    return {
      uses,
      needsGold,
      grade: (items, signal) =>
        namingPlugin(plugin, async () => checkGrades(uses, items, await grader.grade(items, signal))),
      [Symbol.asyncDispose]: () => grader[Symbol.asyncDispose](),
    };
  }
}

/** The making of a grader's environment: it takes no core, and minutes. */
class Making {
  /** Resolves when an environment is being made, or when none is to be. */
  readonly begun: Promise<void>;
  readonly ended: Promise<void>;
  hasEnded = false;
  begin!: () => void;
  #end!: () => void;

  constructor() {
    this.begun = new Promise((resolve) => {
      this.begin = resolve;
    });
    this.ended = new Promise((resolve) => {
      this.#end = resolve;
    });
  }

  end(): void {
    this.hasEnded = true;
    this.begin();
    this.#end();
  }
}

/** What a grader throws is its plugin's, whichever stage asked. */
async function namingPlugin<T>(plugin: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw isUserError(error) ? error : new ThrownBy(plugin, error);
  }
}
