/** A small plugin for the recipes of this folder. Its stages are planned, never run. */
import {
  defineGrader,
  defineLauncher,
  definePlugin,
  defineSink,
  defineStage,
  defineTrainer,
  filePath,
  graderChoice,
  input,
  manyInputs,
  optionalInput,
  placement,
  serverUrl,
  trainerExtensions,
  trainerName,
  z,
} from 'simmerkit';

const neverRun = () => Promise.reject(new Error('samples are planned, never run'));

export default definePlugin({
  name: 'kitchen',
  version: '1.2.3',
  apiVersion: 1,
  stages: {
    gather: defineStage({
      description: 'Gathers ingredients.',
      options: z.object({
        count: z.int().min(1).default(10).describe('How many.'),
        kind: z.enum(['fruit', 'vegetable', 'grain']).default('fruit').describe('What of.'),
        list: filePath().optional(),
        crate: filePath({ schemes: ['market'] }).optional(),
        jar: filePath({ schemes: [] }).optional(),
        delivery: serverUrl().optional(),
        labels: z.record(z.string().regex(/^[a-z]+$/, 'a label is in lower-case letters'), z.string()).optional(),
        label: z.string().includes('{name}').optional().describe('On the jar; {name} stands for what is in it.'),
        weights: z.record(z.string().min(3), z.number()).optional(),
        from: z
          .union([
            z.string().min(1),
            z.strictObject({ garden: z.string(), rows: z.int().optional() }),
            z.strictObject({ shop: z.string() }),
          ])
          .optional(),
        nested: z.object({ depth: z.number().max(3).default(1), deeper: z.object({ ripe: z.boolean() }).optional() }).prefault({}),
      }),
      inputs: {},
      outputs: {
        dataset: { type: 'dataset', description: 'The ingredients.' },
        rest: { type: 'dataset', description: 'What was left.' },
      },
      check: (options) =>
        options.count === 13
          ? [{ path: 'count', code: 'unlucky', message: '13 brings bad luck.', hint: 'Take 12 or 14.' }]
          : [],
      run: neverRun,
    }),
    mix: defineStage({
      description: 'Mixes datasets.',
      options: z.strictObject({
        speed: placement(z.number().positive().default(1)).describe('Placement: how fast.'),
        spices: z.array(z.union([z.string(), z.number()])).default([]),
      }),
      inputs: {
        dataset: input('dataset', 'What is mixed.'),
        more: manyInputs('dataset', 'What is mixed in.'),
      },
      outputs: { dataset: { type: 'dataset', description: 'The mixture.' } },
      run: neverRun,
    }),
    bake: defineStage({
      description: 'Bakes a model.',
      options: z.strictObject({
        trainer: trainerName(),
        minutes: z.number().positive().describe('How long it bakes.'),
        note: z
          .string()
          .refine((note) => note !== 'burnt', { message: 'it says "burnt".', params: { hint: 'Bake another one.' } })
          .optional(),
        extras: z.record(z.string(), z.json()).optional(),
        extensions: trainerExtensions('trainer').optional(),
      }),
      inputs: { dataset: input('dataset', 'The dough.'), model: optionalInput('model', 'A starter.') },
      outputs: { model: { type: 'model', description: 'The bread.' } },
      run: neverRun,
    }),
    taste: defineStage({
      description: 'Tastes a model.',
      options: z.strictObject({ grader: graderChoice('kitchen/palate') }),
      inputs: { model: input('model', 'What is tasted.') },
      outputs: { report: { type: 'report', description: 'The verdict.' } },
      run: neverRun,
    }),
  },
  trainers: {
    oven: defineTrainer({
      description: 'An oven.',
      options: z.strictObject({
        degrees: z.int().min(50).max(300).default(180).describe('Its heat.'),
        rack: placement(z.int().default(2)),
      }),
      extensions: z.strictObject({
        fan: z.boolean().optional(),
        light: z.enum(['warm', 'cold']).optional().describe('Of the lamp.'),
      }),
      relevantVersions: async () => ({ oven: '4.0' }),
      prepare: neverRun,
    }),
    kiln: defineTrainer({
      description: 'An oven that wants its fuel to be named.',
      options: z.strictObject({}),
      extensions: z.strictObject({ fuel: z.enum(['wood', 'gas']).describe('What it burns.'), fan: z.boolean().optional() }),
      relevantVersions: async () => ({ kiln: '1.0' }),
      prepare: neverRun,
    }),
  },
  launchers: {
    hand: defineLauncher({
      description: 'By hand.',
      options: z.strictObject({ gloves: z.boolean().default(true) }),
      launch: neverRun,
      attach: async () => undefined,
    }),
  },
  graders: {
    palate: defineGrader({
      description: 'A palate.',
      options: z.strictObject({ salt: z.number().min(0).default(1) }),
      start: neverRun,
    }),
  },
  sinks: {
    plate: defineSink({ description: 'A plate.', options: z.strictObject({ size: z.int().default(20) }), open: neverRun }),
  },
});
