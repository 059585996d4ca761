import { type Artifact, type ReplyJournal, UserError } from 'simmerkit';
import type { Answerer, AskingContext, KeptAnswer } from './answerer.js';
import type { AnswererOptions } from './asking-options.js';
import type { EndpointAnswererOptions } from './endpoint-answerer.js';

interface OptionProblem {
  readonly path: string;
  readonly code: string;
  readonly message: string;
  readonly hint: string;
}

/**
 * What contradicts itself in the options of who answers, or the budget.
 * @param at where they stand, with a dot at its end
 */
export function answererProblems(
  options: AnswererOptions,
  { isUsdLimited = false }: { readonly isUsdLimited?: boolean },
  at = '',
): readonly OptionProblem[] {
  const { url, model, trainer, maxDollars, price } = options;
  const problem = (path: string, code: string, message: string, hint: string) => [
    { path: `${at}${path}`, code, message, hint },
  ];
  if (url !== undefined && trainer !== undefined) {
    return problem(
      'trainer',
      'two_models',
      'Both `url` and `trainer` are given: who answers?',
      'Leave one of them out.',
    );
  }
  if (url === undefined && trainer === undefined) {
    return problem(
      'url',
      'model_missing',
      'Nobody answers: neither `url` nor `trainer` is given.',
      'Add url: and model: of an OpenAI-compatible API, or trainer: and the model that it runs.',
    );
  }
  return [
    ...(url !== undefined && model === undefined
      ? problem('model', 'model_missing', '`url` is given without a `model`.', 'Add what the server calls the model.')
      : []),
    ...(maxDollars === undefined && isUsdLimited && url !== undefined && price === undefined
      ? problem(
          'price',
          'price_missing',
          'The budget limits dollars, and the answers of the API have no price.',
          'Add price: { inputPerMillion: ..., outputPerMillion: ... }, in dollars; zeros for a server of your own.',
        )
      : []),
    ...(maxDollars !== undefined && price === undefined
      ? problem(
          'maxDollars',
          'price_missing',
          '`maxDollars` cannot be kept without a `price`.',
          'Add price: { inputPerMillion: ..., outputPerMillion: ... }, in dollars.',
        )
      : []),
  ];
}

/** What the model is called where it has no label. */
export function nameOf({ model, trainer, label }: AnswererOptions): string {
  return label ?? model ?? trainer ?? 'model';
}

/**
 * Who answers, as the options say; a trainer is started here.
 * @param input the model that a trainer runs, and what the stage calls that input
 * @throws UserError `model_missing`
 */
export async function openAnswerer(
  context: AskingContext,
  options: AnswererOptions,
  journal: ReplyJournal<KeptAnswer>,
  input: { readonly name: string; readonly model: Artifact | undefined },
): Promise<Answerer> {
  const { trainer: name, thinkingFormat } = options;
  if (name === undefined) {
    const { EndpointAnswerer } = await import('./endpoint-answerer.js');
    return new EndpointAnswerer(options as EndpointAnswererOptions, journal, context);
  }
  if (input.model === undefined) {
    throw new UserError('model_missing', `The trainer ${name} has no model to run: \`${input.name}\` is not given.`, {
      hint: `Add ${input.name}: \${{ stages.NAME.model }}, the output of torch-trainer/base-model or sft/train.`,
    });
  }
  const { TrainerAnswerer } = await import('./trainer-answerer.js');
  return new TrainerAnswerer({ trainer: await context.trainer(name), folder: input.model.folder, thinkingFormat });
}
