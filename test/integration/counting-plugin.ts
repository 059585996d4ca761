import {
  type Artifact,
  definePlugin,
  defineStage,
  type Event,
  type EventType,
  input,
  manyInputs,
  type PluginDefinition,
  placement,
  type StageContext,
  UserError,
  z,
} from 'simmerkit';

/** What a test watches and steers in the plugin. */
interface Watched {
  /** Names of the stages whose work was begun, in order. */
  readonly begun: string[];
  /** How many stages work at once, at most. */
  mostAtOnce: number;
  /** Called by stages of `counting/wait`; they go on when it resolves. */
  hold(stage: string, signal: AbortSignal): Promise<void>;
}

export function watched(hold: Watched['hold'] = async () => undefined): Watched {
  return { begun: [], mostAtOnce: 0, hold };
}

/** Two stages that count, and one that adds up what both made. */
export const diamond = `
name: diamond
seed: 7
params: { to: 4 }
stages:
  left: { uses: counting/count, with: { to: "\${{ params.to }}" } }
  right: { uses: counting/count, with: { to: 2 } }
  total: { uses: counting/sum, with: { of: ["\${{ stages.left.numbers }}", "\${{ stages.right.numbers }}"] } }
`;

/** What happened, without the telemetry. */
export function facts(events: readonly Event[]): readonly string[] {
  const quiet: ReadonlySet<EventType> = new Set(['stage.progressed', 'step.logged', 'log.written']);
  return events
    .filter((event) => !quiet.has(event.type))
    .map((event) => (event.stage === undefined ? event.type : `${event.type} ${event.stage}`));
}

const columns = { number: 'BIGINT' } as const;
const numbers = { numbers: { type: 'dataset', description: 'Numbers.' } } as const;

/** Stages small enough to follow by eye: they count, add and wait. */
export function countingPlugin(watch: Watched, version = '1.0.0'): PluginDefinition {
  let atOnce = 0;
  const working = async <T>(stage: string, work: () => Promise<T>): Promise<T> => {
    watch.begun.push(stage);
    atOnce += 1;
    watch.mostAtOnce = Math.max(watch.mostAtOnce, atOnce);
    try {
      return await work();
    } finally {
      atOnce -= 1;
    }
  };
  const write = async (context: Pick<StageContext<unknown, never>, 'artifacts'>, values: readonly number[]) => ({
    numbers: await context.artifacts.writeDataset(
      values.map((number) => ({ number })),
      { columns },
    ),
  });
  const cpus = placement(z.number().default(1)).describe('Cores that it takes.');

  return definePlugin({
    name: 'counting',
    version,
    apiVersion: 1,
    stages: {
      count: defineStage({
        description: 'Writes the numbers up to one.',
        options: z.strictObject({ to: z.int().describe('The last.'), cpus }),
        inputs: {},
        outputs: numbers,
        resources: (options) => ({ cpus: options.cpus }),
        run: (context) =>
          working(context.stage, async () => {
            await watch.hold(context.stage, context.signal);
            await context.emit({
              type: 'funnel.counted',
              data: { step: context.stage, rowsIn: context.options.to, rowsOut: context.options.to, dropped: {} },
            });
            return write(
              context,
              Array.from({ length: context.options.to }, (_, index) => index + 1),
            );
          }),
      }),
      sum: defineStage({
        description: 'Adds up all numbers; an async iterable.',
        options: z.strictObject({}),
        inputs: { of: manyInputs('dataset', 'What to add up.') },
        outputs: numbers,
        async *run(context) {
          const total = await working(context.stage, async () => {
            await watch.hold(context.stage, context.signal);
            let sum = 0;
            for (const table of context.inputs.of) {
              for await (const row of table.rows()) sum += Number(row.number);
            }
            return sum;
          });
          yield { type: 'metric.measured', data: { name: `${context.stage}.total`, value: total } };
          yield { outputs: await write(context, [total]) };
        },
      }),
      fail: defineStage({
        description: 'Fails as it is told.',
        options: z.strictObject({
          how: z.enum(['bug', 'user', 'noOutput', 'wrongType', 'forbiddenEvent', 'atLength']),
        }),
        inputs: { of: input('dataset', 'Anything.') },
        outputs: numbers,
        run: (context) =>
          working(context.stage, async (): Promise<{ numbers: Artifact }> => {
            switch (context.options.how) {
              case 'bug':
                throw new TypeError('cannot read the moon');
              case 'user':
                throw new UserError('moon_missing', 'There is no moon.', { hint: 'Wait for the night.' });
              case 'noOutput':
                return {} as { numbers: Artifact };
              case 'wrongType':
                return { numbers: await context.artifacts.writeReport({}) };
              case 'forbiddenEvent':
                await context.emit({ type: 'run.completed', data: {} } as never);
                return { numbers: context.inputs.of };
              case 'atLength': {
                const message = 'long '.repeat(1_000_000);
                context.log.info(message);
                await context.emit({ type: 'log.written', data: { level: 'info', source: 'counting', message } });
                throw new Error(message);
              }
            }
          }),
      }),
    },
  });
}
