import type { Message, OptionProblem, Row } from 'simmerkit';
import type { LoadOptions } from './load-options.js';
import type { FormatOptions } from './options.js';
import { problemId } from './problem-id.js';

/** A message before a question; a reply of weight 0 is never trained. */
export interface FormerMessage extends Message {
  readonly weight?: number | null;
}

/** The messages before the question of a row that `curation/load` made; none where it kept no history. */
export function historyOf(row: Row): readonly FormerMessage[] {
  return Array.isArray(row.history) ? row.history : [];
}

/** The system message as one that opens a history; none where there is no text. */
export function systemMessages(system: unknown): readonly Message[] {
  return typeof system === 'string' && system.trim() !== '' ? [{ role: 'system', content: system }] : [];
}

/**
 * The id of a row's question; with what came before it, where the row has a history; of a whole chat, that of its prompt
 * and tools. One without a question is told from others by all that it has, wherever it comes from.
 */
export function idOfRow(row: Row): string {
  if (Array.isArray(row.prompt)) return problemId(JSON.stringify([row.prompt, row.tools ?? null]));
  if (!hasQuestion(row)) {
    const cells = Object.entries(row).filter(([column, value]) => column !== 'source' && value !== null);
    return problemId(JSON.stringify(cells.sort(([one], [other]) => (one < other ? -1 : 1))));
  }
  const question = String(row.question);
  const history = historyOf(row);
  if (history.length === 0) return problemId(question);
  return problemId(JSON.stringify([...history.map(({ role, content }) => [role, content]), ['user', question]]));
}

/** Whether a row asks something. */
export function hasQuestion({ question }: Row): boolean {
  return typeof question === 'string' && question.trim() !== '';
}

/** Sources that have no history to keep, or a column of its name. */
export function historyProblems({ sources }: LoadOptions): readonly OptionProblem[] {
  const named = Object.entries(sources);
  if (!named.some(([, { history }]) => history)) return [];
  return named.flatMap(([name, { layout, history, fields }]) => [
    ...(history && layout === 'columns'
      ? [
          {
            path: `sources.${name}.history`,
            code: 'no_turns',
            message: 'layout columns has no turns to keep.',
            hint: 'Say which `layout` the source has: messages, sharegpt or alpaca.',
          },
        ]
      : []),
    ...('history' in fields
      ? [
          {
            path: `sources.${name}.fields.history`,
            code: 'column_taken',
            message: 'the column history holds the turns before the question.',
            hint: 'Give this column another name.',
          },
        ]
      : []),
  ]);
}

/** Layouts without a list of turns. */
export function turnsProblems({ sources }: LoadOptions): readonly OptionProblem[] {
  return Object.entries(sources).flatMap(([name, { layout, turns }]) => {
    if (turns === undefined || layout === 'messages' || layout === 'sharegpt' || layout === 'chat') return [];
    const message = `layout ${layout} has no list of turns.`;
    const hint = 'Say `layout: messages`, or `layout: sharegpt` for turns of from and value.';
    return [{ path: `sources.${name}.turns`, code: 'no_turns', message, hint }];
  });
}

/** Replies of a history have no trace to train. */
export function repliesProblems({ preset, replies }: FormatOptions): readonly OptionProblem[] {
  if (replies === 'last' || preset === 'chat') return [];
  const message = `preset ${preset} writes a trace, which the replies of a history do not have.`;
  return [{ path: 'replies', code: 'replies_without_trace', message, hint: 'Set `preset: chat`, or `replies: last`.' }];
}
