import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { readDataFile } from '../../document/data-file.js';
import { isMapValue } from '../../document/describe-value.js';
import { invalidFile, parseDocument } from '../../document/document.js';
import { ProblemList } from '../../document/problem-list.js';
import { checkWithSchema } from '../../document/schema-problems.js';
import { UserError } from '../../errors.js';
import { apiVersion } from '../definitions.js';
import { manifestFile } from '../locate.js';
import { processLimitsShape } from './limits.js';

const manifestShape = z.strictObject({
  apiVersion: z.literal(apiVersion).describe('Major version of simmer.plugin that it speaks.'),
  command: z
    .array(z.string().min(1))
    .min(1)
    .describe('The words that start the process, in this folder. No shell reads them.'),
  python: z
    .string()
    .min(1)
    .optional()
    .describe(
      'A file of pinned requirements: Simmer makes an environment of them, once, and the word `python` at the start of the command is its Python.',
    ),
  limits: processLimitsShape.prefault({}).describe('What the process may take; a recipe may say otherwise.'),
});

/** `simmer-plugin.yaml`. */
type PluginManifest = z.output<typeof manifestShape>;

/**
 * Reads the manifest of a folder.
 * @throws UserError `invalid_plugin_manifest` with everything that is wrong; `api_version_mismatch`
 */
export async function readManifest(folder: string): Promise<PluginManifest> {
  const file = join(folder, manifestFile);
  const document = parseDocument(file, await readDataFile(file, 'plugin manifest'), 'plugin_manifest');
  const problems = new ProblemList(document);
  const { value } = document;
  const spoken = isMapValue(value) ? value.apiVersion : undefined;
  // Before anything else: a newer manifest may have what this version does not know.
  if (typeof spoken === 'number' && spoken !== apiVersion) {
    throw new UserError(
      'api_version_mismatch',
      `The plugin ${folder} is written for plugin API ${spoken}; this Simmer has API ${apiVersion}.`,
      { hint: `Install a version of the plugin that is made for API ${apiVersion}, or another version of simmerkit.` },
    );
  }
  const manifest = checkWithSchema({ schema: manifestShape, value: value ?? {}, path: [], problems });
  if (manifest?.python !== undefined && !existsSync(join(folder, manifest.python))) {
    problems.add('missing_file', `There is no file ${join(folder, manifest.python)}.`, ['python'], {
      hint: 'It is a list of pinned requirements, relative to the folder of the plugin.',
    });
  }
  if (manifest === undefined || !problems.isEmpty) throw invalidFile(file, 'plugin_manifest', problems.sorted());
  return manifest;
}
