import { type Message, type Row, textIn } from 'simmerkit';
import type { FormerMessage } from './history.js';
import type { FormatOptions } from './options.js';

/** Options with the preset's markers filled in, and the column with the trace; undefined where answers are trained alone. */
type TextFormat = FormatOptions &
  Readonly<Record<'thinkingStart' | 'answerStart' | 'answerPrefix' | 'end', string>> & {
    readonly trace: string | undefined;
  };

const presets = {
  s1: {
    thinkingStart: '<|im_start|>think\n',
    answerStart: '\n<|im_start|>answer\n',
    answerPrefix: 'Answer: ',
    end: '<|im_end|>',
  },
  r1: { thinkingStart: '<think>\n', answerStart: '\n</think>\n\n', answerPrefix: '', end: '<｜end▁of▁sentence｜>' },
  chat: { thinkingStart: '', answerStart: '', answerPrefix: '', end: '<|im_end|>' },
} as const;

/** Of graded samples, which have the trace by the name that generations have for it, `thinking`. */
export function traceColumn(
  { preset }: Pick<FormatOptions, 'preset'>,
  columns: readonly string[],
): TextFormat['trace'] {
  if (preset === 'chat') return undefined;
  return columns.includes('thinking') && !columns.includes('reasoning') ? 'thinking' : 'reasoning';
}

/**
 * @param template what the chat template of the model to train does: how it ends a reply, and with what it has the model
 * begin one. A template that opens the thinking itself (R1's do) has it in the prompt already.
 */
export function textFormat(
  options: FormatOptions,
  trace: TextFormat['trace'],
  template?: { readonly end: string; readonly replyStart: string },
): TextFormat {
  const preset = presets[options.preset];
  const { answerStart = preset.answerStart, answerPrefix = preset.answerPrefix } = options;
  const opening = options.thinkingStart ?? preset.thinkingStart;
  const isOpen = opening.trim() !== '' && template?.replyStart.trimEnd().endsWith(opening.trimEnd()) === true;
  const thinkingStart = isOpen ? '' : opening;
  const end = options.end ?? template?.end ?? preset.end;
  return { ...options, trace, thinkingStart, answerStart, answerPrefix, end };
}

/** Said where the answer alone begins in another way than a reply in the chat template; undefined where it does not. */
export function beginningAdvice(
  { preset, replies, thinkingStart, answerStart }: FormatOptions,
  { lead }: { readonly lead: string | undefined },
): string | undefined {
  const isPlain = preset === 'chat' && replies === 'last' && thinkingStart === undefined && answerStart === undefined;
  if (!isPlain || lead?.trim() === '') return undefined;
  return lead === undefined
    ? "The model's chat template begins a reply in the prompt in another way than it writes one without thinking: the " +
        'answer goes on with what is open there. Set `answerStart` to what closes it, such as "\\n</think>\\n\\n".'
    : `The model's chat template writes ${JSON.stringify(lead)} before a reply without thinking, and what is trained has ` +
        'the answer alone. To train as it writes, set `answerStart` to that.';
}

/** Columns that a row must have for its text. */
export function columnsNeeded(trace: TextFormat['trace']): readonly string[] {
  return ['question', ...(trace === undefined ? [] : [trace]), 'answer'];
}

/** One row to train on. */
interface TrainingText {
  readonly prompt: readonly Message[];
  /** Text, or the messages from the first reply to train on where all replies are trained. */
  readonly completion: string | readonly FormerMessage[];
}

/**
 * The text that s1 trains on (data/, tokenization): the question as the user's message, then the trace and the answer
 * behind their markers; of preset chat the answer alone. Names what is missing where it cannot be written.
 *
 * @param history the messages before the question, which the prompt begins with
 */
export function trainingText(
  row: Row,
  options: TextFormat,
  history: readonly FormerMessage[],
): TrainingText | { readonly missing: string } {
  const textOf = (column: string) => textIn(row, column)?.trim() ?? '';
  const missing = columnsNeeded(options.trace).find((column) => textOf(column) === '');
  if (missing !== undefined) return { missing };
  // Split and joined, not replaced: the texts may hold "$&".
  const content = options.promptTemplate.split('{question}').join(textOf('question'));
  const filled = options.answerTemplate.split('{answer}').join(textOf('answer'));
  const hasPrefix = filled.includes(options.answerPrefix.trimEnd());
  const asked: readonly FormerMessage[] = [
    ...(options.systemMessage === undefined || history[0]?.role === 'system'
      ? []
      : [{ role: 'system', content: options.systemMessage }]),
    ...history,
    { role: 'user', content },
  ];
  if (options.replies === 'all') {
    const first = asked.findIndex(({ role, weight }) => role === 'assistant' && weight !== 0);
    const until = first === -1 ? asked.length : first;
    const reply = { role: 'assistant', content: hasPrefix ? filled : `${options.answerPrefix}${filled}` };
    return { prompt: asked.slice(0, until).map(plain), completion: [...asked.slice(until), reply].map(weighted) };
  }
  return {
    prompt: asked.map(plain),
    completion: [
      options.thinkingStart,
      options.trace === undefined ? '' : textOf(options.trace),
      options.answerStart,
      hasPrefix ? '' : options.answerPrefix,
      filled,
      options.end,
    ].join(''),
  };
}

function plain({ role, content }: FormerMessage): Message {
  return { role, content };
}

function weighted({ role, content, weight = null }: FormerMessage): FormerMessage {
  return { role, content, weight };
}
