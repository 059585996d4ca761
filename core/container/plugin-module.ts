import { type BindToFluentSyntax, ContainerModule, type ServiceIdentifier } from 'inversify';
import type { Contribution, LoadedPlugin } from '../plugin/catalog.js';
import type {
  GraderDefinition,
  LauncherDefinition,
  SinkDefinition,
  StageDefinition,
  TrainerDefinition,
} from '../plugin/definitions.js';

// What a plugin contributes, each named by its `plugin/name`.

export const StageToken: ServiceIdentifier<Contribution<StageDefinition>> = Symbol('Stage');
export const TrainerToken: ServiceIdentifier<Contribution<TrainerDefinition>> = Symbol('Trainer');
export const LauncherToken: ServiceIdentifier<Contribution<LauncherDefinition>> = Symbol('Launcher');
export const GraderToken: ServiceIdentifier<Contribution<GraderDefinition>> = Symbol('Grader');
export const SinkToken: ServiceIdentifier<Contribution<SinkDefinition>> = Symbol('Sink');

type Bind = <T>(token: ServiceIdentifier<T>) => BindToFluentSyntax<T>;

/** Binds what one plugin contributes, each named by its `uses`. */
export function pluginModule(plugin: LoadedPlugin): ContainerModule {
  const { name, stages, trainers, launchers, graders, sinks } = plugin.definition;
  return new ContainerModule(({ bind }) => {
    const contribute = contributor(bind, plugin, name);
    contribute(StageToken, stages);
    contribute(TrainerToken, trainers);
    contribute(LauncherToken, launchers);
    contribute(GraderToken, graders);
    contribute(SinkToken, sinks);
  });
}

function contributor(bind: Bind, plugin: LoadedPlugin, pluginName: string) {
  return <D>(token: ServiceIdentifier<Contribution<D>>, definitions: Readonly<Record<string, D>> = {}): void => {
    for (const [name, definition] of Object.entries(definitions)) {
      bind(token).toConstantValue({ plugin, definition }).whenNamed(`${pluginName}/${name}`);
    }
  };
}
