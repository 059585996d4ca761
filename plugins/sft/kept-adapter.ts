import { existsSync } from 'node:fs';
import { copyFile, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

const config = 'adapter_config.json';
const weights = 'adapter_model.safetensors';

/**
 * Keeps an adapter, as PEFT reads it, in the folder `adapter` of the model that it was merged into. A trainer that has
 * adapters of another kind keeps none.
 * @param baseModel where the model that it belongs to can be fetched, where that is known
 */
export async function keepAdapter(from: string, modelFolder: string, baseModel: string | undefined): Promise<void> {
  const described = await readFile(join(from, config), 'utf8').catch(unlessMissing);
  if (described === undefined || !existsSync(join(from, weights))) return;
  const folder = join(modelFolder, 'adapter');
  await mkdir(folder);
  await copyFile(join(from, weights), join(folder, weights));
  await writeFile(join(folder, config), `${JSON.stringify(sorted(JSON.parse(described), baseModel), null, 2)}\n`);
}

/** PEFT writes the modules in another order each time; the same training gives the same bytes. */
function sorted(described: Readonly<Record<string, unknown>>, baseModel: string | undefined) {
  const { target_modules: modules } = described;
  return {
    ...described,
    // PEFT writes where the base lies on this machine.
    base_model_name_or_path: baseModel ?? null,
    ...(Array.isArray(modules) ? { target_modules: modules.toSorted() } : {}),
  };
}

function unlessMissing(error: NodeJS.ErrnoException): undefined {
  if (error.code !== 'ENOENT') throw error;
}
