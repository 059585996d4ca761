import type { Event } from '../events/catalogue.js';
import { PluginCatalog } from '../plugin/catalog.js';
import type { Sink, SinkContext } from '../plugin/definitions.js';
import { silentLog } from '../plugin/log.js';
import { simmerCall, withCall } from './simmer-call.js';
import { hasColor } from './terminal.js';

/** Where what is shown comes from. */
interface ConsoleSource extends Pick<SinkContext, 'openArtifact' | 'eventsOf'> {
  /** A folder with the `plan.json` of the run. */
  runFolder(runId: string): Promise<string>;
}

export interface RunConsoleOptions {
  readonly source: ConsoleSource;
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
      await (await opened).onEvent(asCalledHere(event));
    },
    async close() {
      const closing = opened;
      opened = undefined;
      await (await closing)?.close?.();
    },
  };
}

/** A warning may name a command. */
function asCalledHere(event: Event): Event {
  if (event.type !== 'log.written') return event;
  return { ...event, data: { ...event.data, message: withCall(event.data.message) } };
}

async function open(options: RunConsoleOptions, runId: string): Promise<Sink> {
  const { source, stream = 'stdout', signal, after = 0 } = options;
  const catalog = new PluginCatalog({ baseFolder: process.cwd() });
  const { definition } = await catalog.sink('sinks/console');
  const color = hasColor(process[stream]);
  return definition.open(definition.options.parse({ stream, color, after, command: simmerCall() }), {
    runId,
    runFolder: await source.runFolder(runId),
    recipeFolder: process.cwd(),
    // It is where a log would go.
    log: silentLog,
    ...(signal === undefined ? {} : { signal }),
    openArtifact: (uri) => source.openArtifact(uri),
    eventsOf: (otherRun) => source.eventsOf(otherRun),
  });
}
