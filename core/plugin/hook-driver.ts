import { isMapValue } from '../document/describe-value.js';
import { isUserError, UserError } from '../errors.js';
import type { Event } from '../events/catalogue.js';
import type { Plan } from '../recipe/plan.js';
import type { PluginCatalog } from './catalog.js';
import { checkAnswer } from './check-answer.js';
import type { Sink } from './definitions.js';
import type { HookedStage, PlanObjection, PluginHooks, RecipeTree } from './hooks.js';
import type { Log } from './log.js';
import { owningStrayErrors } from './stray-errors.js';
import { thrownText } from './thrown-text.js';

/** A plugin with hooks. */
interface Hooked {
  readonly plugin: string;
  readonly hooks: PluginHooks;
  /** Its onEvent where that is elsewhere. */
  openEvents?(log: Log): Sink;
}

/** Calls the hooks of the plugins that a recipe lists, each kind in its own way: the one place where hooks are called. */
export class HookDriver {
  readonly #hooked: readonly Hooked[];

  constructor(hooked: readonly Hooked[]) {
    this.#hooked = hooked;
  }

  /** Loads the plugins that the recipe lists. One that does not load has no hooks; who uses it is told why. */
  static async of(catalog: PluginCatalog): Promise<HookDriver> {
    const loaded = await Promise.allSettled(catalog.recipePlugins.map((reference) => catalog.recipePlugin(reference)));
    return new HookDriver(
      loaded.flatMap((result) => {
        if (result.status === 'rejected') return [];
        const { definition, openEvents } = result.value;
        const { name: plugin, hooks } = definition;
        return hooks === undefined ? [] : [{ plugin, hooks, ...(openEvents === undefined ? {} : { openEvents }) }];
      }),
    );
  }

  /** Sequential. @throws UserError `hook_failed` */
  async beforePlan(tree: RecipeTree): Promise<RecipeTree> {
    let here = tree;
    for (const { plugin, hooks } of this.#hooked) {
      const { beforePlan } = hooks;
      if (beforePlan === undefined) continue;
      const changed = await named(plugin, 'beforePlan', async () => beforePlan(structuredClone(here)));
      if (changed === undefined) continue;
      if (!isMapValue(changed)) throw failed(plugin, 'beforePlan', 'it returned something that is no recipe');
      here = { ...changed, ...(tree.plugins === undefined ? {} : { plugins: tree.plugins }) };
    }
    return here;
  }

  /** Parallel; objections in the order of the plugins. @throws UserError `hook_failed` */
  async afterPlan(plan: Plan): Promise<readonly (PlanObjection & { readonly plugin: string })[]> {
    const found = this.#hooked.map(async ({ plugin, hooks }) => {
      const { afterPlan } = hooks;
      if (afterPlan === undefined) return [];
      const objections = await named(plugin, 'afterPlan', async () => afterPlan(structuredClone(plan)));
      const checked = checkAnswer(`the plugin "${plugin}"`, 'afterPlan', objections);
      return (checked ?? []).map((objection) => ({ ...objection, plugin }));
    });
    return (await Promise.all(found)).flat();
  }

  /** Nested, the first plugin outermost. @throws what the work throws; UserError `hook_failed` */
  async aroundStage<T>(stage: HookedStage, work: () => Promise<T>): Promise<T> {
    let outcome: { readonly value: T } | { readonly error: unknown } | undefined;
    const wrapped = this.#hooked.reduceRight<() => Promise<void>>(
      (inside, { plugin, hooks }) => {
        const { aroundStage } = hooks;
        if (aroundStage === undefined) return inside;
        return async () => {
          let calls = 0;
          const around = () =>
            aroundStage(stage, async () => {
              calls += 1;
              if (calls > 1) throw new Error('it ran what is inside of it twice');
              await inside();
            });
          await named(plugin, 'aroundStage', () => owningStrayErrors(around)).catch((error: unknown) => {
            // The stage's own failure is the one to be told, whatever a hook made of it.
            if (outcome !== undefined && 'error' in outcome) throw outcome.error;
            throw error;
          });
          if (calls === 0) throw failed(plugin, 'aroundStage', 'it never ran what is inside of it');
        };
      },
      async () => {
        try {
          outcome = { value: await work() };
        } catch (error) {
          outcome = { error };
          throw error;
        }
      },
    );
    await wrapped();
    if (outcome === undefined || 'error' in outcome) throw outcome?.error ?? new Error('a hook did not wait');
    return outcome.value;
  }

  /** Parallel: each plugin is a sink of its own, which keeps none of the others waiting. */
  eventHooks(): readonly { readonly name: string; readonly plugin: string; open(log: Log): Sink }[] {
    return this.#hooked.flatMap(({ plugin, hooks: { onEvent }, openEvents }) => {
      const about = { name: `hook onEvent of ${plugin}`, plugin };
      if (openEvents !== undefined) return [{ ...about, open: openEvents }];
      if (onEvent === undefined) return [];
      const sink = { onEvent: (event: Event) => named(plugin, 'onEvent', async () => onEvent(event)) };
      return [{ ...about, open: () => sink }];
    });
  }
}

async function named<T>(plugin: string, hook: keyof PluginHooks, call: () => Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (error) {
    if (isUserError(error)) throw error;
    throw failed(plugin, hook, thrownText(error), error);
  }
}

function failed(plugin: string, hook: keyof PluginHooks, why: string, cause?: unknown): UserError {
  return new UserError('hook_failed', `The hook ${hook} of the plugin "${plugin}" failed: ${why}.`, {
    kind: hook === 'aroundStage' ? 'runFailed' : 'usage',
    hint: 'This is a mistake in the plugin: tell its author, or leave it out of `plugins`.',
    cause,
  });
}
