import { asSchema, descend, mapOptions } from '../document/option-schema.js';
import type { PluginCatalog } from '../plugin/catalog.js';
import type { VersionsContext } from '../plugin/definitions.js';
import { guardedAnswer } from './checked-options.js';
import type { Json, PlannedStage } from './plan.js';

/** A grader as a stage's options name it. */
interface NamedGrader {
  readonly uses: string;
  /** As the recipe has them, without defaults. */
  readonly with: { readonly [key: string]: Json };
}

type StageOptions = Pick<PlannedStage, 'uses' | 'options'>;

/** The graders that a stage's options name, in their order there. */
export async function gradersOf(
  { uses, options }: StageOptions,
  catalog: PluginCatalog,
): Promise<readonly NamedGrader[]> {
  const { definition } = await catalog.stage(uses);
  const graders: NamedGrader[] = [];
  mapOptions(asSchema(definition.options), options, (marks, value) => {
    if (marks.grader) graders.push(value as unknown as NamedGrader);
    return descend;
  });
  return graders;
}

/** What the plan says of the versions that a stage's graders run with: nothing where none tells of any. */
export async function graderVersions(
  stage: StageOptions,
  catalog: PluginCatalog,
  where: VersionsContext,
): Promise<Pick<PlannedStage, 'graderVersions'>> {
  const told: { uses: string; versions: Readonly<Record<string, string>> }[] = [];
  for (const { uses, with: options } of await gradersOf(stage, catalog)) {
    const { definition } = await catalog.grader(uses);
    const versions = await guardedAnswer(
      uses,
      async () => (await definition.relevantVersions?.(definition.options.parse(options), where)) ?? {},
      'its versions were read',
    );
    if (Object.keys(versions).length > 0) told.push({ uses, versions });
  }
  return told.length === 0 ? {} : { graderVersions: told };
}
