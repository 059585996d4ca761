import type { Contribution } from '../plugin/catalog.js';
import type {
  GraderDefinition,
  LauncherDefinition,
  SinkDefinition,
  StageDefinition,
  TrainerDefinition,
} from '../plugin/definitions.js';

/**
 * The contributions that a run can use, by `plugin/name`. A plugin is loaded when the first of its contributions is
 * asked for.
 * @throws UserError `unknown_plugin`, `unknown_stage` and their like, `plugin_failed_to_load`
 */
export interface Contributions {
  stage(uses: string): Promise<Contribution<StageDefinition>>;
  trainer(uses: string): Promise<Contribution<TrainerDefinition>>;
  launcher(uses: string): Promise<Contribution<LauncherDefinition>>;
  grader(uses: string): Promise<Contribution<GraderDefinition>>;
  sink(uses: string): Promise<Contribution<SinkDefinition>>;
}
