import { join } from 'node:path';
import { EarlierReplies, ReplyJournal } from 'simmerkit';
import type { AskingContext, KeptAnswer } from './answerer.js';
import type { AnswererOptions } from './asking-options.js';

/** The replies of a model, and those of earlier runs that are as good as new ones. */
export interface OpenReplies {
  /** The caller disposes of it. */
  readonly journal: ReplyJournal<KeptAnswer>;
  readonly earlier?: EarlierReplies<KeptAnswer>;
}

/** What the replies of an API depend on besides their questions: whose they are, and how they are drawn. */
export function keptOf({ model, label }: AnswererOptions, sampling: object): object {
  return { model, label, sampling };
}

/**
 * Opens the journal of a model. What an API was paid for serves the stage's later runs too, whose rows are others; a
 * trainer answers again, since its replies depend a little on what it is asked together.
 * @param sampling what replies depend on besides their question
 * @param place in the scratch folder, for a stage with several models
 */
export async function openReplies(
  context: AskingContext,
  options: AnswererOptions,
  sampling: object,
  place = '',
): Promise<OpenReplies> {
  if (options.url === undefined) {
    return { journal: await ReplyJournal.open<KeptAnswer>(join(context.scratchFolder, place), context.log) };
  }
  const folder = await context.keptFolder(keptOf(options, sampling));
  const earlier = await EarlierReplies.beside<KeptAnswer>(folder);
  return { journal: await ReplyJournal.open<KeptAnswer>(folder, context.log), earlier };
}
