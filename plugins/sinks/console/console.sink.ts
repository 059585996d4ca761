import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { WriteStream } from 'node:tty';
import picocolors from 'picocolors';
import { defineSink, type Event, type Plan, type Sink, type SinkContext, wrapLine, z } from 'simmerkit';
import { type ConsoleState, foldEvent, initialState, viewTime } from './console-state.js';
import { finalSummary } from './final-summary.js';
import { liveView, stageLines } from './live-view.js';
import { lastingLine, PlainLines } from './plain-lines.js';
import { openScreen } from './screen.js';

const options = z.strictObject({
  stream: z.enum(['stdout', 'stderr']).default('stdout').describe('Where it is written.'),
  live: z
    .boolean()
    .optional()
    .describe('A view that is drawn again and again, or plain lines. Default: a view on a terminal.'),
  color: z.boolean().optional().describe('Default: on a terminal that has colours, as NO_COLOR and FORCE_COLOR say.'),
  after: z
    .int()
    .min(0)
    .default(0)
    .describe('Events up to this sequence are counted in, but no line is written for them: the reader knows them.'),
  command: z
    .string()
    .default('simmer')
    .describe('How Simmer is called in the commands that are shown: with --home or --server, where it needs them.'),
});

type ConsoleOptions = z.output<typeof options>;

/** How often the view is drawn while nothing happens: the clock and the spinner go on. */
const redrawMilliseconds = 120;
/** Nobody breaks the lines of a file. */
const plainColumns = 200;

/** Shows a run to people: a live view on a terminal, plain lines elsewhere, and at the end what came of it. */
export const consoleSink = defineSink({
  description: 'Shows the run to people: a live view on a terminal, plain lines elsewhere.',
  options,
  async open(given, context) {
    const stream = process[given.stream];
    const live = given.live ?? (stream.isTTY === true && process.env.TERM !== 'dumb');
    return live ? openLive(stream, given, context) : openPlain(stream, given, context);
  },
});

async function openPlain(stream: WriteStream, given: ConsoleOptions, context: SinkContext): Promise<Sink> {
  const colors = picocolors.createColors(wantsColor(stream, given));
  const lines = new PlainLines();
  let state = initialState(await readPlan(context.runFolder));
  const write = (text: readonly string[]) => {
    if (text.length > 0) stream.write(`${text.join('\n')}\n`);
  };
  onStop(context, (reason) => write([`${reason}: stopping, what is paid for is kept. Once more ends it at once.`]));
  return {
    onEvent(event) {
      state = foldEvent(state, event);
      const text = lines.tell(event, state);
      if (event.sequence <= given.after) return;
      write(text);
      if (isEnd(event))
        write(
          finalSummary(state, {
            now: Date.parse(event.time),
            colors,
            links: false,
            columns: plainColumns,
            command: given.command,
          }),
        );
    },
  };
}

async function openLive(stream: WriteStream, given: ConsoleOptions, context: SinkContext): Promise<Sink> {
  const colors = picocolors.createColors(wantsColor(stream, given));
  const screen = openScreen(stream);
  let state = initialState(await readPlan(context.runFolder));
  let eventAt = performance.now();
  let stopping: string | undefined;
  const view = () => ({
    now: viewTime(state, Date.now(), performance.now() - eventAt),
    // 0 where a terminal was opened without a size.
    columns: stream.columns || 80,
    rows: stream.rows || 24,
    colors,
    ...(stopping === undefined ? {} : { stopping }),
  });
  const draw = () => screen.draw(liveView(state, view()));
  const timer = setInterval(draw, redrawMilliseconds);
  onStop(context, (reason) => {
    stopping = reason;
    draw();
  });
  const end = () => {
    clearInterval(timer);
    const { runId } = state;
    if (runId !== '')
      screen.leave([
        ...endedStages(state, view()),
        ...finalSummary(state, { ...view(), links: colors.isColorSupported, command: given.command }),
      ]);
    else screen.leave([]);
  };
  return {
    onEvent(event) {
      state = foldEvent(state, event);
      eventAt = performance.now();
      const line = event.sequence > given.after ? lastingLine(event) : undefined;
      if (line !== undefined) screen.keep(wrapLine(line, view().columns).map(colors.yellow));
    },
    close: end,
  };
}

/** The stages once more, in full: a view that had to fit a small terminal left some out. */
function endedStages(state: ConsoleState, view: Parameters<typeof stageLines>[1]): readonly string[] {
  return state.stages.size === 0 ? [] : ['', ...stageLines(state, view)];
}

function isEnd(event: Event): boolean {
  return event.type === 'run.completed' || event.type === 'run.failed' || event.type === 'run.interrupted';
}

function onStop({ signal }: SinkContext, tell: (reason: string) => void): void {
  signal?.addEventListener('abort', () => tell(stopReason(signal.reason)), { once: true });
}

function stopReason(reason: unknown): string {
  return reason instanceof Error ? reason.message : String(reason);
}

/** `hasColors` reads NO_COLOR, FORCE_COLOR and TERM. */
function wantsColor(stream: WriteStream, { color }: ConsoleOptions): boolean {
  return color ?? (stream.isTTY === true && stream.hasColors());
}

/** The stages to come are in the run folder's plan; a run that has none yet shows its stages as they start. */
async function readPlan(runFolder: string): Promise<Plan | undefined> {
  try {
    return JSON.parse(await readFile(join(runFolder, 'plan.json'), 'utf8')) as Plan;
  } catch {
    return undefined;
  }
}
