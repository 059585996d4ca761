import { createHash, randomUUID } from 'node:crypto';
import { mkdir, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type ModelSource, type PrepareContext, type Trainer, waitForLock, writingToCache } from 'simmerkit';

/** `ready.json` beside the model's folder: written last, so a model without it is none. */
interface ReadyRecord {
  readonly format: 1;
  readonly files: Readonly<Record<string, number>>;
}

/**
 * A model that a trainer exports from something else, made once for all projects of the user.
 * @param identity what the exported weights depend on
 * @param source makes the model's source ready in a folder of its own, which is removed when the export is done
 * @returns the Hugging Face folder
 */
export async function exportedModel(options: {
  readonly identity: Readonly<Record<string, unknown>>;
  readonly trainer: Trainer;
  readonly context: PrepareContext;
  source(folder: string): Promise<ModelSource>;
}): Promise<string> {
  const { context, trainer } = options;
  const description = await trainer.describe();
  const { torch, transformers } = description.versions;
  // Random weights come from the library's own initialization.
  const made = { ...options.identity, exporter: description.name, version: description.version, torch, transformers };
  const digest = createHash('sha256').update(JSON.stringify(made)).digest('hex').slice(0, 32);
  const folder = join(context.cacheFolder, 'models', digest);
  const model = join(folder, 'model');
  if (await isReady(folder)) return model;
  await writingToCache(context.cacheFolder, () => mkdir(folder, { recursive: true }));
  await using _ = await writingToCache(context.cacheFolder, () =>
    waitForLock(join(context.cacheFolder, 'locks', digest), {
      signal: context.signal,
      onWait: (why) => context.log.info(`Waiting for the model: ${why}`),
    }),
  );
  if (await isReady(folder)) return model;
  await removeLeftovers(folder);
  const sourceFolder = join(folder, 'source');
  const draft = join(folder, `draft-${randomUUID().slice(0, 8)}`);
  await mkdir(sourceFolder);
  await mkdir(draft);
  try {
    const source = await options.source(sourceFolder);
    context.log.info(`Writing the model as a Hugging Face folder, once: ${model}.`);
    await trainer.export({ model: source, outputFolder: draft });
    await rename(draft, model);
    const record: ReadyRecord = { format: 1, files: await sizesIn(model) };
    await writeFile(join(folder, 'ready.json.draft'), JSON.stringify(record), { flush: true });
    await rename(join(folder, 'ready.json.draft'), join(folder, 'ready.json'));
    return model;
  } finally {
    await rm(draft, { recursive: true, force: true });
    await rm(sourceFolder, { recursive: true, force: true });
  }
}

async function isReady(folder: string): Promise<boolean> {
  try {
    const record = JSON.parse(await readFile(join(folder, 'ready.json'), 'utf8')) as ReadyRecord;
    const found = await sizesIn(join(folder, 'model'));
    return record.format === 1 && Object.entries(record.files).every(([name, size]) => found[name] === size);
  } catch {
    return false;
  }
}

/** What exporters left that were killed. Only called with the lock, and where nothing is ready. */
async function removeLeftovers(folder: string): Promise<void> {
  for (const name of await readdir(folder)) {
    await rm(join(folder, name), { recursive: true, force: true });
  }
}

async function sizesIn(folder: string): Promise<Record<string, number>> {
  const sizes: Record<string, number> = {};
  for (const name of (await readdir(folder)).sort()) sizes[name] = (await stat(join(folder, name))).size;
  return sizes;
}
