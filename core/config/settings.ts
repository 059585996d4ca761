import { statSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { z } from 'zod';
import { invalidFile } from '../document/document.js';
import { suggestion } from '../document/nearest-name.js';
import { ProblemList } from '../document/problem-list.js';
import { checkWithSchema } from '../document/schema-problems.js';
import { UserError } from '../errors.js';
import { byteSize } from './byte-size.js';
import { defaultCacheFolder } from './cache-folder.js';
import { findSettingsFile } from './find-settings-file.js';
import { type HardwareTable, hardwareEntry, hardwareTable } from './hardware.js';
import { detectMachine, type MachineResources } from './machine.js';
import { userFolder } from './user-folder.js';

/** Where things are and what may be used: of the machine and its user, never of a recipe. */
export interface Settings {
  /** Runs and artifacts. Default: `.simmer` in the working folder. */
  readonly home: string;
  /** Python environments and fetched models, shared by all projects. */
  readonly cacheFolder: string;
  /** Files of benchmark questions. */
  readonly dataFolder?: string;
  /** The user's own Python, instead of an environment that Simmer makes. */
  readonly python?: string;
  /** What stages that run side by side share. Default: what the machine has. */
  readonly resources: MachineResources;
  /** What hardware of each name costs and can do. Default: the built-in table. */
  readonly hardware?: HardwareTable;
  /** Name of the hardware of this machine, for accelerators, and trainers without any, that do not name their own. */
  readonly machineHardware?: string;
  /** Setting to what set it: `default`, `--home`, `SIMMER_HOME`, or a file. */
  readonly sources: Readonly<Record<string, string>>;
}

/** What may be set, and how, besides by the file. */
export const pathSettings = {
  home: { flag: '--home', variable: 'SIMMER_HOME' },
  cacheFolder: { flag: '--cache', variable: 'SIMMER_CACHE' },
  dataFolder: { flag: '--data', variable: 'SIMMER_DATA' },
  python: { flag: '--python', variable: 'SIMMER_PYTHON' },
} as const;

type PathSetting = keyof typeof pathSettings;

const path = z.string().min(1);
const settingsFile = z.strictObject({
  home: path.optional().describe('Folder of runs and artifacts.'),
  cacheFolder: path.optional().describe('Folder of Python environments and fetched models.'),
  dataFolder: path.optional().describe('Folder with files of benchmark questions.'),
  python: path.optional().describe('A Python of your own for trainers and graders.'),
  resources: z
    .strictObject({
      cpus: z.int().min(1).optional(),
      memory: byteSize.optional(),
      gpus: z.int().min(0).optional(),
      hardware: z
        .string()
        .optional()
        .describe('What its accelerators are, or it is without any: a name of `hardware`.'),
    })
    .optional()
    .describe('What stages that run side by side may take together.'),
  hardware: z
    .record(z.string(), hardwareEntry)
    .optional()
    .describe('Prices and data sheets by name; they go before the built-in ones of the same name.'),
});

interface SettingsOptions {
  readonly cwd: string;
  readonly env: NodeJS.ProcessEnv;
  /** From the command line; `sources` is ignored. */
  readonly flags: Partial<Settings>;
}

/**
 * Finds each setting: a flag goes before the environment, the environment before the file, the file before the default.
 * Paths of flags and of the environment are relative to `cwd`, those of the file to its folder.
 *
 * @throws UserError `invalid_settings` with everything that is wrong in the file; `folder_missing`, `empty_path`,
 * `user_folder_unknown`
 */
export async function loadSettings({ cwd, env, flags }: SettingsOptions): Promise<Settings> {
  const { values: fromFile, file } = await readSettingsFile(cwd);
  const sources: Record<string, string> = {};
  const paths: Partial<Record<PathSetting, string>> = {};
  for (const [name, { flag, variable }] of Object.entries(pathSettings) as [
    PathSetting,
    (typeof pathSettings)[PathSetting],
  ][]) {
    const variableValue = env[variable];
    const inFile = fromFile[name];
    if (flags[name] === '') throw emptyPath(flag);
    if (flags[name] !== undefined) {
      paths[name] = resolve(cwd, flags[name]);
      sources[name] = flag;
    } else if (variableValue !== undefined && variableValue !== '') {
      paths[name] = resolve(cwd, variableValue);
      sources[name] = variable;
    } else if (inFile !== undefined && file !== undefined) {
      paths[name] = resolve(dirname(file), inFile.replace(/^~(?=\/|$)/, userFolder(env)));
      sources[name] = file;
    } else {
      sources[name] = 'default';
    }
  }
  if (paths.dataFolder !== undefined) checkFolder(paths.dataFolder, sources.dataFolder!);
  const { memory, hardware: machineHardware, ...counts } = fromFile.resources ?? {};
  const inFile = definedOf({ ...counts, memoryBytes: memory });
  const given = definedOf({ ...flags.resources });
  const machine = detectMachine(env);
  for (const name of Object.keys(machine)) {
    const source = name in given ? 'flag' : name in inFile ? (file ?? 'default') : 'default';
    sources[`resources.${name}`] = source;
  }
  return {
    home: paths.home ?? join(cwd, '.simmer'),
    cacheFolder: paths.cacheFolder ?? defaultCacheFolder(env),
    ...(paths.dataFolder === undefined ? {} : { dataFolder: paths.dataFolder }),
    ...(paths.python === undefined ? {} : { python: paths.python }),
    resources: { ...machine, ...inFile, ...given },
    hardware: hardwareTable(fromFile.hardware),
    ...(machineHardware === undefined ? {} : { machineHardware }),
    sources,
  };
}

async function readSettingsFile(
  cwd: string,
): Promise<{ readonly values: z.output<typeof settingsFile>; readonly file?: string }> {
  const document = await findSettingsFile(cwd);
  if (document === undefined) return { values: {} };
  const problems = new ProblemList(document);
  const values = checkWithSchema({ schema: settingsFile, value: document.value ?? {}, path: [], problems });
  const named = values?.resources?.hardware;
  const table = hardwareTable(values?.hardware);
  if (named !== undefined && !(named in table)) {
    problems.add('unknown_hardware', `There is no hardware "${named}".`, ['resources', 'hardware'], {
      hint: suggestion(named, Object.keys(table)),
    });
  }
  if (values === undefined || !problems.isEmpty) throw invalidFile(document.file, 'settings', problems.sorted());
  return { values, file: document.file };
}

function definedOf(values: Readonly<Record<string, number | undefined>>): Record<string, number> {
  return Object.fromEntries(
    Object.entries(values).filter((entry): entry is [string, number] => entry[1] !== undefined),
  );
}

/** As of a variable of the shell that is not set. It would mean the working folder. */
function emptyPath(flag: string): UserError {
  return new UserError('empty_path', `${flag} is empty.`, { hint: 'Name a path, or leave it out.' });
}

function checkFolder(folder: string, source: string): void {
  if (statSync(folder, { throwIfNoEntry: false })?.isDirectory()) return;
  throw new UserError('folder_missing', `The data folder ${folder} (from ${source}) is not there.`, {
    kind: 'environment',
    hint: 'Name a folder that exists, or leave it unset.',
  });
}
