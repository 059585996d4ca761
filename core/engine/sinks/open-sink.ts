import type { ArtifactStore } from '../../artifacts/artifact-store.js';
import { isUserError } from '../../errors.js';
import { readEvents } from '../../events/replay.js';
import type { Sink, SinkDefinition } from '../../plugin/definitions.js';
import type { Log } from '../../plugin/log.js';
import { eventsFile, readPlan } from '../run-folder.js';

interface SinkRun {
  readonly runId: string;
  readonly runFolder: string;
  readonly log: Log;
  readonly store: ArtifactStore;
  readonly signal?: AbortSignal;
}

/** Opens a plugin's sink for a run. Its options were checked with the recipe; those left out get their defaults here. */
export async function openSink(
  definition: SinkDefinition,
  options: Readonly<Record<string, unknown>>,
  { store, ...run }: SinkRun,
): Promise<Sink> {
  const { recipeFolder } = await readPlan(run.runFolder);
  const sink: Partial<Sink> | undefined = await definition.open(definition.options.parse(options), {
    ...run,
    recipeFolder,
    openArtifact: (uri) => store.open(uri),
    eventsOf: (runId, stageKeys) => eventsIfThere(eventsFile(store.runFolder(runId)), stageKeys),
  });
  if (typeof sink?.onEvent !== 'function') throw new TypeError('its `open` returned nothing with an `onEvent`');
  return sink as Sink;
}

async function* eventsIfThere(file: string, stageKeys: readonly string[] | undefined) {
  try {
    yield* readEvents(file, stageKeys === undefined ? {} : { stageKeys });
  } catch (error) {
    if (!isUserError(error) || error.code !== 'log_missing') throw error;
  }
}
