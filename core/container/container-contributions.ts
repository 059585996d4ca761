import type { Container, ServiceIdentifier } from 'inversify';
import type { Contributions } from '../engine/contributions.js';
import type { Contribution, PluginCatalog } from '../plugin/catalog.js';
import { GraderToken, LauncherToken, pluginModule, SinkToken, StageToken, TrainerToken } from './plugin-module.js';

/** The contributions bound in a container; the module of a plugin is loaded into it when it is first needed. */
export class ContainerContributions implements Contributions {
  readonly #container: Container;
  readonly #catalog: PluginCatalog;
  readonly #loading = new Map<string, Promise<void>>();

  constructor(container: Container, catalog: PluginCatalog) {
    this.#container = container;
    this.#catalog = catalog;
  }

  stage(uses: string) {
    return this.#get(StageToken, uses, () => this.#catalog.stage(uses));
  }

  trainer(uses: string) {
    return this.#get(TrainerToken, uses, () => this.#catalog.trainer(uses));
  }

  launcher(uses: string) {
    return this.#get(LauncherToken, uses, () => this.#catalog.launcher(uses));
  }

  grader(uses: string) {
    return this.#get(GraderToken, uses, () => this.#catalog.grader(uses));
  }

  sink(uses: string) {
    return this.#get(SinkToken, uses, () => this.#catalog.sink(uses));
  }

  /** @param find throws where there is no such contribution, and says what there is */
  async #get<D>(
    token: ServiceIdentifier<Contribution<D>>,
    uses: string,
    find: () => Promise<Contribution<D>>,
  ): Promise<Contribution<D>> {
    const bound = this.#container.get(token, { name: uses, optional: true });
    if (bound !== undefined) return bound;
    const { plugin } = await find();
    const { name } = plugin.definition;
    let loading = this.#loading.get(name);
    if (loading === undefined) {
      loading = this.#container.loadAsync(pluginModule(plugin));
      this.#loading.set(name, loading);
    }
    await loading;
    return this.#container.get(token, { name: uses });
  }
}
