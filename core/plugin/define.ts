import { z } from 'zod';
import type { ArtifactType } from '../artifacts/artifact.js';
import { isUrl } from '../files/is-url.js';
import type {
  GraderDefinition,
  InputDefinition,
  InputDefinitions,
  LauncherDefinition,
  OutputDefinitions,
  PluginDefinition,
  SinkDefinition,
  StageDefinition,
  TrainerDefinition,
} from './definitions.js';

/** Declares a plugin; the module's default export. Returns it as it is: the function is there for its types. */
export function definePlugin(plugin: PluginDefinition): PluginDefinition {
  return plugin;
}

/** Declares a stage; infers the types of `context.options`, `context.inputs` and of what `run` returns. */
export function defineStage<S extends z.ZodObject, const I extends InputDefinitions, const O extends OutputDefinitions>(
  stage: StageDefinition<S, I, O>,
): StageDefinition {
  return stage as unknown as StageDefinition;
}

/** Declares a kind of trainer. */
export function defineTrainer<S extends z.ZodObject>(trainer: TrainerDefinition<S>): TrainerDefinition {
  return trainer as unknown as TrainerDefinition;
}

/** Declares a launcher. */
export function defineLauncher<S extends z.ZodObject>(launcher: LauncherDefinition<S>): LauncherDefinition {
  return launcher as unknown as LauncherDefinition;
}

/** Declares a grader. */
export function defineGrader<S extends z.ZodObject>(grader: GraderDefinition<S>): GraderDefinition {
  return grader as unknown as GraderDefinition;
}

/** Declares a sink. */
export function defineSink<S extends z.ZodObject>(sink: SinkDefinition<S>): SinkDefinition {
  return sink as unknown as SinkDefinition;
}

/** An input that must be there. */
export function input<const T extends ArtifactType>(type: T | readonly T[], description: string) {
  return { types: asList(type), optional: false, many: false, description } as const satisfies InputDefinition;
}

/** An input that may be left out. */
export function optionalInput<const T extends ArtifactType>(type: T | readonly T[], description: string) {
  return { types: asList(type), optional: true, many: false, description } as const satisfies InputDefinition;
}

/** A list of references, possibly empty. */
export function manyInputs<const T extends ArtifactType>(type: T | readonly T[], description: string) {
  return { types: asList(type), optional: true, many: true, description } as const satisfies InputDefinition;
}

function asList<T>(value: T | readonly T[]): readonly T[] {
  return Array.isArray(value) ? (value as readonly T[]) : [value as T];
}

/**
 * Marks an option as placement: where and how fast, never what. It is left out of the stage key, so changing it reuses
 * earlier work.
 */
export function placement<T extends z.ZodType>(schema: T): T {
  return schema.meta({ ...schema.meta(), placement: true });
}

/** An option that names a trainer of the recipe's `trainers`. The stage key covers what the trainer is, not its name. */
export function trainerName(): z.ZodString {
  return z.string().meta({ trainer: true, description: "Name of one of the recipe's trainers." });
}

/**
 * An option with what a trainer's backend adds to hyperparameters: checked against the `extensions` that the trainer
 * declares, and handed to it as it is. @param trainer the option beside it that names the trainer
 */
export function trainerExtensions(trainer: string) {
  return z.record(z.string(), z.unknown()).meta({
    extensionsFor: trainer,
    description: "What the trainer's backend adds; its own schema checks it.",
  });
}

/**
 * An option that is a path, relative to the recipe's folder; the stage key covers the file's content, not its place.
 * @param schemes of the URLs that it takes as well, e.g. `['hf']`; empty: it takes paths alone; absent: what begins with
 * a scheme is passed on as it is
 */
export function filePath({ schemes }: { readonly schemes?: readonly string[] } = {}): z.ZodString {
  const path = schemes === undefined ? z.string() : pathOrUrl(schemes.map((scheme) => `${scheme}://`));
  return path.meta({ file: true, description: "Path of a file, relative to the recipe's folder." });
}

function pathOrUrl(beginnings: readonly string[]): z.ZodString {
  const wanted = ['be a path', ...beginnings.map((beginning) => `begin with ${beginning}`)].join(', or ');
  return z.string().refine((text) => !isUrl(text) || beginnings.some((beginning) => text.startsWith(beginning)), {
    error: ({ input }) => `${JSON.stringify(input)} cannot be fetched: it must ${wanted}.`,
  });
}

/**
 * An option that is a folder to write into, relative to the recipe's folder; made where it is not there, by whoever writes.
 * It is placement. A client of `simmer serve` may name only those below the folders that the server's owner allows.
 */
export function outputFolder(): z.ZodString {
  return z
    .string()
    .min(1)
    .refine((text) => !isUrl(text) && !text.startsWith('~'), {
      error: ({ input }) => `${JSON.stringify(input)} is no path of a folder.`,
      params: { hint: 'Write out the whole path, or one relative to the recipe; not a URL, and not "~".' },
    })
    .meta({ folder: true, placement: true, description: "Path of a folder, relative to the recipe's folder." });
}

/** An option that is the URL of a server, without a user and a password in it. */
export function serverUrl(): z.ZodURL {
  return z
    .url({
      protocol: /^https?$/,
      error: ({ code, input }) =>
        code === 'invalid_format'
          ? `${JSON.stringify(input)} is no URL that begins with http:// or https://.`
          : undefined,
    })
    .refine((text) => !hasLogin(text), {
      error: 'the URL has a user or a password in it. It is not shown.',
      params: {
        isSecret: true,
        hint: 'Leave them out: a secret belongs in an environment variable, which an option such as `apiKeyVariable` names.',
      },
    });
}

function hasLogin(text: string): boolean {
  // A scheme may be missing, or another one.
  const url = `http://${text.replace(/^[a-z][a-z0-9+.-]*:\/\//i, '')}`;
  if (!URL.canParse(url)) return false;
  const { username, password } = new URL(url);
  return username !== '' || password !== '';
}

/**
 * Marks an option that has the machine run or load what it says: a command or arguments of one, a Python, a file of
 * settings that names code. A client of `simmer serve` may give it only where the server's owner allows it.
 */
export function runsCode<T extends z.ZodType>(schema: T): T {
  return schema.meta({ ...schema.meta(), runsCode: true });
}

/**
 * An option that names the environment variable of a secret, to be read with `readSecret`. It is placement. A client of
 * `simmer serve` may name only those that the server's owner allows.
 * @param sentTo the option beside it with the URL that the secret is sent to; absent: only a secret fits that may be sent anywhere
 */
export function secretVariable(sentTo = ''): z.ZodString {
  return z.string().meta({ secret: sentTo, placement: true, description: 'Environment variable with the secret.' });
}

/**
 * An option that chooses a grader: `{uses: plugin/grader, with: {…}}`. What it names is checked before a run, and the
 * stage key covers its code. @param uses the grader where the recipe names none
 */
export function graderChoice(uses: string) {
  return z
    .strictObject({
      uses: z.string().default(uses).describe('`plugin/grader`; `simmer plugins` lists them.'),
      with: z.record(z.string(), z.unknown()).default({}).describe("The grader's options."),
    })
    .prefault({})
    .meta({ grader: true, description: 'Who compares an answer with the right one.' });
}
