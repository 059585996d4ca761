import { join } from 'node:path';
import type { AskingContext } from './answerer.js';
import type { AnswererOptions } from './asking-options.js';
import { EarlierReplies } from './earlier-replies.js';
import { ReplyJournal } from './reply-journal.js';

/** The replies of a model, and those of earlier runs that are as good as new ones. */
export interface OpenReplies {
  /** The caller disposes of it. */
  readonly journal: ReplyJournal;
  readonly earlier?: EarlierReplies;
}

/**
 * Opens the journal of a model. What an API was paid for serves the stage's later runs too, whose rows are others; a
 * trainer answers again, since its replies depend a little on what it is asked together.
 * @param sampling what replies depend on besides their question
 * @param place in the scratch folder, for a stage with several models
 */
export async function openReplies(
  context: AskingContext,
  { url, model, label }: AnswererOptions,
  sampling: object,
  place = '',
): Promise<OpenReplies> {
  if (url === undefined) {
    return { journal: await ReplyJournal.open(join(context.scratchFolder, place), context.log) };
  }
  const folder = await context.keptFolder({ model, label, sampling });
  const earlier = await EarlierReplies.beside(folder);
  return { journal: await ReplyJournal.open(folder, context.log), earlier };
}
