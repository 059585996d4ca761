import { z } from 'zod';
import { describeValue, isMapValue } from '../document/describe-value.js';
import { UserError } from '../errors.js';
import type { StageEventType } from '../events/catalogue.js';
import type { StageEvent } from '../plugin/definitions.js';

const count = z.int().min(0);
/** A speed of nothing in no time is no reason to end a stage. */
const liveFigure = z.custom<number>((value) => typeof value === 'number', 'Invalid input: expected number');

/** What readers of the log rely on, the console and the report among them; further fields may be there. */
const dataSchemas: Readonly<Record<StageEventType, z.ZodObject>> = {
  'stage.progressed': z.object({
    done: z.number(),
    total: z.number().nullable(),
    unit: z.string(),
    secondsLeft: liveFigure.optional(),
    perSecond: liveFigure.optional(),
    figures: z.record(z.string(), liveFigure).optional(),
  }),
  'funnel.counted': z
    .object({ step: z.string(), rowsIn: count, rowsOut: count, dropped: z.record(z.string(), count) })
    .superRefine(({ rowsIn, rowsOut, dropped }, context) => {
      const lost = Object.values(dropped).reduce((sum, rows) => sum + rows, 0);
      // A step may repeat rows: more may go on than were not dropped, never fewer.
      if (lost > rowsIn || rowsOut < rowsIn - lost) {
        const message = `rowsIn ${rowsIn}, rowsOut ${rowsOut} and ${lost} dropped do not add up`;
        context.addIssue({ code: 'custom', path: ['dropped'], message });
      }
    }),
  'metric.measured': z.object({
    name: z.string().min(1),
    value: z.number(),
    interval: z.tuple([z.number(), z.number()]).optional(),
    count: z.number().optional(),
    unit: z.string().optional(),
    labels: z.record(z.string(), z.union([z.string(), z.number()])).optional(),
  }),
  'log.written': z.object({
    level: z.enum(['debug', 'info', 'warning', 'error']),
    source: z.string(),
    message: z.string(),
  }),
  'environment.prepared': z.object({
    name: z.string(),
    path: z.string(),
    reused: z.boolean(),
    seconds: z.number(),
    versions: z.record(z.string(), z.string()),
  }),
};

/**
 * Checks what a stage wants to have in the log for good, which plain JavaScript gets wrong easily.
 * @throws UserError `stage_event_not_allowed`, `invalid_stage_event`
 */
export function checkStageEvent(event: StageEvent): void {
  if (!isMapValue(event)) {
    throw new UserError('invalid_stage_event', `It emitted ${describeValue(event)}, which is no event.`, {
      kind: 'runFailed',
      hint: 'An event is { type, data }.',
    });
  }
  const schema: z.ZodObject | undefined = dataSchemas[event.type];
  if (schema === undefined) {
    throw new UserError('stage_event_not_allowed', `A stage may not emit ${event.type}.`, {
      kind: 'runFailed',
      hint: `It may emit ${Object.keys(dataSchemas).join(', ')}.`,
    });
  }
  const { error } = schema.safeParse(event.data);
  if (error === undefined) return;
  const wrong = error.issues.map(({ path, message }) => `${['data', ...path].join('.')}: ${message}`);
  throw new UserError('invalid_stage_event', `It emitted ${event.type} with what does not fit. ${wrong.join('; ')}.`, {
    kind: 'runFailed',
    hint: `The data of ${event.type} has ${Object.keys(schema.shape).join(', ')}; core/events/catalogue.ts says what each is.`,
  });
}
