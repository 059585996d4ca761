import type { LoadedPlugin } from './catalog.js';
import { type ContributionKind, contributionKinds } from './check-shape.js';

/** What a contribution is for, and what it takes. */
export interface ContributionDescription {
  readonly description: string;
  /** JSON Schema of its options. */
  readonly options: unknown;
  /** Of a stage, by name; so are the outputs. */
  readonly inputs?: unknown;
  readonly outputs?: unknown;
}

/** A plugin as `simmer plugins --json` tells it. */
export type PluginDescription = {
  readonly name: string;
  readonly version: string;
  readonly apiVersion: number;
  /** `built-in`, or the npm name or path by which the recipe names it. */
  readonly source: string;
} & { readonly [K in ContributionKind]: Readonly<Record<string, ContributionDescription>> };

/** A plugin with the schemas of its options, as plain JSON. */
export async function describePlugin({ definition, source }: LoadedPlugin): Promise<PluginDescription> {
  const { z } = await import('zod');
  const { name, version, apiVersion } = definition;
  const contributions = contributionKinds.map((kind) => [
    kind,
    Object.fromEntries(
      Object.entries(definition[kind] ?? {}).map(([contribution, given]) => [
        contribution,
        {
          description: given.description,
          options: z.toJSONSchema(given.options, { io: 'input', unrepresentable: 'any' }),
          ...('inputs' in given ? { inputs: given.inputs, outputs: given.outputs } : {}),
        },
      ]),
    ),
  ]);
  return { name, version, apiVersion, source, ...Object.fromEntries(contributions) } as PluginDescription;
}
