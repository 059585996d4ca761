import { z } from 'zod';
import { UserError } from '../errors.js';

const text = z.string();
const amount = z.number().min(0);

const problems = z.array(z.looseObject({ path: text, code: text, message: text, hint: text.optional() }));

/** What readers of a plan rely on; further fields may be there. */
const answers = {
  check: problems,
  checkInputs: problems,
  reads: z.record(text, z.array(text)),
  columns: z.record(text, z.array(text).optional()),
  resources: z.looseObject({
    cpus: amount.optional(),
    memoryBytes: amount.optional(),
    gpus: amount.optional(),
    nodes: amount.optional(),
    hardware: text.optional(),
  }),
  estimate: z.looseObject({
    seconds: amount.optional(),
    usd: amount.optional(),
    figures: z.record(text, z.number()).optional(),
    notes: z.array(text).optional(),
    outputs: z.record(text, z.record(text, z.unknown())).optional(),
  }),
  afterPlan: z.array(
    z.looseObject({ message: text, code: text.optional(), path: text.optional(), hint: text.optional() }),
  ),
} as const;

/**
 * Checks what a plugin's function gave while a recipe was planned, which plain JavaScript gets wrong easily. Nothing at all
 * is an answer, null too.
 * @param of whose function it is, for messages: "acme/score"
 * @throws UserError `plugin_failed`
 */
export function checkAnswer<T>(of: string, call: keyof typeof answers, answer: T): T {
  if (answer === undefined || answer === null) return answer;
  const { error } = answers[call].safeParse(answer);
  if (error === undefined) return answer;
  const wrong = error.issues.map(({ path, message }) =>
    [path.join('.'), message].filter((part) => part !== '').join(': '),
  );
  throw new UserError('plugin_failed', `What \`${call}\` of ${of} returned does not fit: ${wrong.join('; ')}.`, {
    hint: 'This is a mistake in the plugin: tell its author.',
  });
}
