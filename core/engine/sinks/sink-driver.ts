import { inject, injectable, multiInject } from 'inversify';
import type { Subscription } from 'rxjs';
import type { ArtifactStore } from '../../artifacts/artifact-store.js';
import { isUserError, toErrorRecord } from '../../errors.js';
import type { Event, EventData } from '../../events/catalogue.js';
import { EventBus } from '../../events/event-bus.js';
import { frozen } from '../../events/frozen.js';
import { readEvents } from '../../events/replay.js';
import { formatDuration } from '../../figures.js';
import type { PluginCatalog } from '../../plugin/catalog.js';
import type { Sink } from '../../plugin/definitions.js';
import { thrownText } from '../../plugin/thrown-text.js';
import { RunEnding } from '../run-ending.js';
import { eventsFile } from '../run-folder.js';
import { RunRecorder } from '../run-recorder.js';
import type { RunInfo, SinkSource } from '../run-scope.js';
import { ArtifactStoreToken, PluginCatalogToken, RunInfoToken, SinkSourceToken } from '../tokens.js';
import { openSink } from './open-sink.js';
import { SinkFeed } from './sink-feed.js';
import { reportSink } from './write-report.js';

/** A report of a long run may take its time; a sink that hangs may not take the run's. */
const beforeCompletedMilliseconds = 180_000;
const closeMilliseconds = 15_000;

/**
 * Feeds a run's events to its sinks. A sink that a plugin opens sees the run from its first event, also when the run was
 * resumed; one that the caller gave sees what this core does. One bad sink ends neither the bus nor the run.
 */
@injectable()
export class SinkDriver {
  readonly #run: RunInfo;
  readonly #bus: EventBus;
  readonly #recorder: RunRecorder;
  readonly #store: ArtifactStore;
  readonly #catalog: PluginCatalog;
  readonly #ending: RunEnding;
  readonly #sources: readonly SinkSource[];
  readonly #feeds: SinkFeed[] = [];
  #subscription: Subscription | undefined;

  constructor(
    @inject(RunInfoToken) run: RunInfo,
    @inject(EventBus) bus: EventBus,
    @inject(RunRecorder) recorder: RunRecorder,
    @inject(ArtifactStoreToken) store: ArtifactStore,
    @inject(PluginCatalogToken) catalog: PluginCatalog,
    @inject(RunEnding) ending: RunEnding,
    @multiInject(SinkSourceToken, { chained: true }) sources: readonly SinkSource[],
  ) {
    this.#run = run;
    this.#bus = bus;
    this.#recorder = recorder;
    this.#store = store;
    this.#catalog = catalog;
    this.#ending = ending;
    this.#sources = sources;
  }

  /** Opens the sinks, without waiting for them. @param upTo sequence of a durable event: what is later comes live */
  start(upTo: number): void {
    this.#subscription = this.#bus.batches$.subscribe((events) => {
      for (const event of events) for (const feed of this.#feeds) feed.offer(event);
    });
    for (const source of this.#sources) {
      const feed = this.#feed(source.kind === 'plugin' ? source.uses : source.name, wouldBeAnswered(source));
      const fromSequence = source.kind === 'plugin' ? 1 : this.#run.isResumed ? this.#run.state.events + 1 : 1;
      feed.begin(
        () => this.#open(source),
        (after, last = upTo) => eventsBetween(eventsFile(this.#run.runFolder), Math.max(fromSequence, after + 1), last),
      );
    }
  }

  /**
   * Every stage is done: the sinks' last word, once each got all that was said. Returns where the report is: that of
   * Simmer's own sink, or else the first. The log tells of the others.
   */
  async beforeCompleted(): Promise<string | null> {
    await this.#recorder.flushed();
    const answers = await Promise.all(
      this.#feeds.map(async (feed) => {
        const { reportPath } = await feed.beforeCompleted(beforeCompletedMilliseconds);
        return { sink: feed.name, reportPath };
      }),
    );
    const written = answers.filter(({ reportPath }) => reportPath !== undefined);
    const first = written.find(({ sink }) => sink === reportSink) ?? written[0];
    for (const { sink, reportPath } of written) {
      if (reportPath !== first?.reportPath)
        this.#recorder.log({ source: 'engine' }).info(`The sink ${sink} wrote ${reportPath}.`);
    }
    return first?.reportPath ?? null;
  }

  /** Delivers what is left, the run's last event too, and closes the sinks. */
  async close(): Promise<void> {
    await this.#recorder.flushed();
    this.#subscription?.unsubscribe();
    await Promise.all(this.#feeds.map((feed) => feed.close(closeMilliseconds)));
  }

  #feed(name: string, isLeftOut: (event: Event) => boolean): SinkFeed {
    const feed = new SinkFeed({
      name,
      isLeftOut,
      onFailure: (error) => this.#failed(name, error),
      onWaitedFor: (milliseconds) =>
        this.#recorder
          .log({ source: 'engine' })
          .info(
            `All stages are done. The run waits for the sink ${name}, at most ${formatDuration(milliseconds / 1000)}.`,
          ),
      onTelemetryDropped: () =>
        this.#recorder
          .log({ source: 'engine' })
          .warning(`The sink ${name} is too slow: it misses steps, progress and lines of log. The log has them all.`),
    });
    this.#feeds.push(feed);
    return feed;
  }

  /** A sink that fails over the run's last event can no longer be told of in the log. */
  #failed(sink: string, error: unknown): void {
    const record = isUserError(error) ? toErrorRecord(error) : { ...toErrorRecord(error), message: thrownText(error) };
    if (this.#recorder.isConcluded) process.emitWarning(`The sink ${sink} failed at the end: ${record.message}`);
    else this.#recorder.tell({ type: 'sink.failed', data: { sink, error: record } });
  }

  async #open(source: SinkSource): Promise<Sink> {
    if (source.kind === 'given') return source.sink;
    if (source.kind === 'hook') return source.open(this.#recorder.log({ source: logSource(source) }));
    const { definition } = await this.#catalog.sink(source.uses);
    return openSink(definition, source.options, {
      runId: this.#run.runId,
      runFolder: this.#run.runFolder,
      log: this.#recorder.log({ source: logSource(source) }),
      store: this.#store,
      signal: this.#ending.signal,
    });
  }
}

type PluginSource = Exclude<SinkSource, { readonly kind: 'given' }>;

/** Whose lines of log those of a plugin's sink are. */
function logSource(source: PluginSource): string {
  return `plugin ${source.kind === 'hook' ? source.plugin : source.uses.split('/')[0]}`;
}

/**
 * Lines that a plugin's sink does not get: those of its own plugin, and what others say of no stage but their warnings. Sinks
 * that write a line for each event would answer themselves, and each other, for ever.
 */
function wouldBeAnswered(source: SinkSource): (event: Event) => boolean {
  if (source.kind === 'given') return () => false;
  const own = logSource(source);
  return ({ type, stage, data }) => {
    if (type !== 'log.written') return false;
    const isChatter = stage === undefined && data.source.startsWith('plugin ') && !warnings.has(data.level);
    return data.source === own || isChatter;
  };
}

const warnings: ReadonlySet<EventData['log.written']['level']> = new Set(['warning', 'error']);

async function* eventsBetween(file: string, fromSequence: number, upTo: number): AsyncIterable<Event> {
  for await (const event of readEvents(file, { fromSequence })) {
    if (event.sequence > upTo) return;
    // As what comes live.
    yield frozen(event);
  }
}
