import { z } from 'zod';
import { byteSize } from '../config/byte-size.js';
import { listedPluginShape } from '../plugin/plugin-reference.js';
import { present } from '../present.js';
import { budgetShape } from './budget.js';

/** Names that references can spell: of stages, trainers, params. */
export const entryName = /^[A-Za-z_][A-Za-z0-9_-]*$/;

const options = z.record(z.string(), z.unknown()).default({});

const contribution = z.strictObject({
  uses: z.string().min(1),
  with: options,
});

const resources = z.strictObject({
  cpus: z.int().min(1).optional().describe('Logical cores.'),
  memory: byteSize.optional().describe('Bytes, or text like "16 GiB".'),
  gpus: z.int().min(0).optional().describe('Accelerators, over all nodes.'),
  nodes: z.int().min(1).optional().describe('Machines.'),
  hardware: z
    .string()
    .min(1)
    .optional()
    .describe('Kind of GPU or machine, e.g. h100-sxm; docs/estimates.md has the names.'),
});

/** The outside of a recipe; its entries are checked one by one, so that one broken stage hides no other. */
export const recipeShape = z.strictObject({
  name: z
    .string()
    .regex(
      /^[A-Za-z0-9][A-Za-z0-9._-]*$/,
      'it is letters, digits, ".", "_" and "-", and starts with a letter or digit.',
    )
    // Every list of runs has it once a run.
    .max(200)
    .describe('Short name of the recipe; part of the ids of its runs.'),
  description: z.string().optional().describe('What the recipe makes.'),
  seed: z.int().min(0).default(0).describe('All randomness is drawn from it.'),
  budget: budgetShape.optional().describe('What a run may spend at most, over all of its attempts.'),
  plugins: z
    .array(listedPluginShape)
    .default([])
    .describe("Plugins besides the built-in ones: npm packages, or ./paths relative to the recipe's folder."),
  trainers: z
    .record(z.string(), z.unknown())
    .default({})
    .describe('Trainers, by the names that options of stages use.'),
  sinks: z.array(z.unknown()).default([]).describe('Consumers of events besides the console and the report.'),
  stages: z
    .record(z.string(), z.unknown())
    .refine((stages) => Object.keys(stages).length > 0, 'a recipe has at least one stage.')
    .describe('The stages, by name; the references between them decide their order.'),
});

/** A trainer of a recipe. `launcher` may be written as its name alone. */
export const trainerShape = z.strictObject({
  uses: z.string().min(1).describe('Which trainer it is: PLUGIN/TRAINER.'),
  description: z.string().optional(),
  with: options.describe("The trainer's options."),
  launcher: contribution.prefault({ uses: 'launchers/local' }).describe('How its process is started.'),
  resources: resources.prefault({}).describe('What it takes of the machine while a stage uses it.'),
});

/** A stage of a recipe; `with` holds its options and its inputs. */
export const stageShape = z.strictObject({
  uses: z.string().min(1).describe('Which stage it is: PLUGIN/STAGE.'),
  description: z.string().optional(),
  with: options.describe("The stage's options and inputs."),
  seed: z.int().min(0).optional().describe("The stage's own seed, instead of the recipe's."),
  resources: resources
    .prefault({})
    .describe('What it takes of the machine while it runs, besides what its trainers take.'),
  expect: z
    .record(z.string(), z.record(z.string(), z.json()))
    .optional()
    .describe(
      'What its outputs will be like, for the estimates of `simmer plan` until they exist: {OUTPUT: {rows: …}}.',
    ),
});

/** A sink of a recipe; may be written as its name alone. */
export const sinkShape = contribution;

export type RecipeResources = z.output<typeof resources>;

/** As the plan has it. */
export function plannedResources({ cpus, memory, gpus, nodes, hardware }: RecipeResources) {
  return present({ cpus, memoryBytes: memory, gpus, nodes, hardware });
}
