import { join } from 'node:path';
import { readEvents } from '../events/replay.js';
import type { PluginCatalog } from '../plugin/catalog.js';
import type { Sink } from '../plugin/definitions.js';
import { hasColor } from './terminal.js';

export interface RunConsoleOptions {
  readonly catalog: PluginCatalog;
  readonly home: string;
  /** @default 'stdout' */
  readonly stream?: 'stdout' | 'stderr';
  /** Aborted when the run is asked to stop. */
  readonly signal?: AbortSignal;
  /** Events up to this sequence are counted in, but no line is written for them. @default 0 */
  readonly after?: number;
}

/** Shows a run to people, by the same sink that any recipe may name. It is opened at the run's first event. */
export function runConsole(options: RunConsoleOptions): Sink {
  let opened: Promise<Sink> | undefined;
  return {
    async onEvent(event) {
      opened ??= open(options, event.runId);
      await (await opened).onEvent(event);
    },
    async close() {
      const closing = opened;
      opened = undefined;
      await (await closing)?.close?.();
    },
  };
}

async function open(options: RunConsoleOptions, runId: string): Promise<Sink> {
  const { catalog, home, stream = 'stdout', signal, after = 0 } = options;
  const { definition } = await catalog.sink('sinks/console');
  const color = hasColor(process[stream]);
  return definition.open(definition.options.parse({ stream, color, after }), {
    runId,
    runFolder: join(home, 'runs', runId),
    log: silent,
    ...(signal === undefined ? {} : { signal }),
    async openArtifact(uri) {
      const { ArtifactStore } = await import('../artifacts/artifact-store.js');
      return (await ArtifactStore.open(home)).open(uri);
    },
    eventsOf: (otherRun) => readEvents(join(home, 'runs', otherRun, 'events.jsonl')),
  });
}

/** The console is where a log would go. */
const silent = { debug() {}, info() {}, warning() {}, error() {} };
