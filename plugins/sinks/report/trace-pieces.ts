import type { Trace } from './report-data.js';

/** A part of a text, and whether budget forcing put it there. */
export interface TracePiece {
  readonly text: string;
  readonly isForced: boolean;
}

/** The thinking, with each word that was put there as a piece of its own. */
export function thinkingPieces(trace: Trace): readonly TracePiece[] {
  const characters = [...trace.thinking];
  const pieces: TracePiece[] = [];
  let position = 0;
  for (const intervention of trace.interventions.filter((one) => one.kind === 'extended')) {
    const start = Math.min(characters.length, Math.max(position, intervention.characterOffset));
    const end = Math.min(characters.length, start + [...intervention.text].length);
    pieces.push(
      { text: characters.slice(position, start).join(''), isForced: false },
      { text: characters.slice(start, end).join(''), isForced: true },
    );
    position = end;
  }
  pieces.push({ text: characters.slice(position).join(''), isForced: false });
  return pieces.filter(({ text }) => text !== '');
}

/** The answer; where thinking was forced to end, after what was appended to end it. */
export function answerPieces(trace: Trace): readonly TracePiece[] {
  const ended = trace.interventions.find((one) => one.kind === 'ended');
  if (ended === undefined) return [{ text: trace.answer, isForced: false }];
  const shared = sharedLength(ended.text, trace.answer);
  const marker = ended.text.slice(0, ended.text.length - shared).trim();
  return [
    { text: marker, isForced: true },
    { text: '\n', isForced: false },
    { text: trace.answer.slice(0, shared), isForced: true },
    { text: trace.answer.slice(shared), isForced: false },
  ].filter(({ text }) => text !== '');
}

/** Length of the longest end of `forced` that `answer` starts with: the final answer prompt is part of both. */
function sharedLength(forced: string, answer: string): number {
  for (let length = Math.min(forced.length, answer.length); length > 0; length--) {
    if (forced.endsWith(answer.slice(0, length))) return length;
  }
  return 0;
}

/** How long it thought; nothing of a sample that was not to think. */
export function thinkingText({ method, thinkingTokens }: Trace): string {
  return method === 'none' ? '' : `, ${thinkingTokens} thinking tokens`;
}
