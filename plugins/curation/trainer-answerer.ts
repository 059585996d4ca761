import { isUserError, type Prompt, type Sample, type Trainer } from 'simmerkit';
import { type Answerer, type Question, type Reply, refused, type Sampling, thinkingIn } from './answerer.js';
import type { AnswererOptions } from './asking-options.js';

const thinkingFormats = {
  s1: { start: '<|im_start|>think\n', end: '<|im_start|>answer\n' },
  r1: { start: '<think>\n', end: '</think>\n\n' },
} as const;

/** Questions of one request. Fixed, so that the same questions are answered in the same company. */
const questionsPerRequest = 512;

interface TrainerModel {
  readonly trainer: Trainer;
  /** A Hugging Face folder. */
  readonly folder: string;
  readonly thinkingFormat: AnswererOptions['thinkingFormat'];
}

/** A model that a trainer of the recipe runs. */
export class TrainerAnswerer implements Answerer {
  constructor(private readonly model: TrainerModel) {}

  async answer(
    questions: AsyncIterable<Question>,
    sampling: Sampling,
    keep: (reply: Reply) => Promise<void>,
  ): Promise<void> {
    let prompts: Prompt[] = [];
    for await (const { id, messages } of questions) {
      prompts.push({ id, prompt: { kind: 'messages', messages } });
      if (prompts.length < questionsPerRequest) continue;
      await this.generate(prompts, sampling, keep);
      prompts = [];
    }
    if (prompts.length > 0) await this.generate(prompts, sampling, keep);
  }

  private async generate(
    prompts: readonly Prompt[],
    sampling: Sampling,
    keep: (reply: Reply) => Promise<void>,
  ): Promise<void> {
    const { trainer, folder } = this.model;
    const thinkingFormat = this.thinkingFormat();
    const { temperature, topP, maxTokens, seed = 0 } = sampling;
    const events = trainer.generate({
      model: { kind: 'folder', folder },
      prompts,
      sampling: {
        temperature,
        ...(topP < 1 ? { topP } : {}),
        maxAnswerTokens: maxTokens,
        stop: [],
        seed,
        samples: 1,
      },
      ...(thinkingFormat === undefined ? {} : { thinkingFormat: { ...thinkingFormat, finalAnswerPrompt: '' } }),
      policies: [
        {
          id: 'whole',
          ignoreEndCount: 0,
          word: '',
          spendingRule: 'total',
          ...(thinkingFormat === undefined ? {} : { maxThinkingTokens: maxTokens }),
        },
      ],
    });
    try {
      for await (const event of events) {
        if (event.kind === 'sample') await keep(replyOf(event.sample));
      }
    } catch (error) {
      if (!isUserError(error) || !error.code.startsWith('prompt_')) throw error;
      // A trainer refuses a request for one prompt that does not fit, before it generates anything: find which.
      const [only, ...others] = prompts;
      if (only === undefined || others.length === 0) return await keep(refused(only?.id ?? '', error.message));
      const half = Math.ceil(prompts.length / 2);
      await this.generate(prompts.slice(0, half), sampling, keep);
      await this.generate(prompts.slice(half), sampling, keep);
    }
  }

  private thinkingFormat() {
    const { thinkingFormat } = this.model;
    if (thinkingFormat === 'none') return undefined;
    return typeof thinkingFormat === 'string' ? thinkingFormats[thinkingFormat] : thinkingFormat;
  }
}

function replyOf(sample: Sample): Reply {
  const isThought = sample.thinkingEnd !== 'none';
  const said = isThought
    ? { reasoning: sample.thinking.trim(), answer: sample.answer.trim() }
    : thinkingIn(sample.answer);
  const isCut = sample.finishReason === 'length' || sample.thinkingEnd === 'forced';
  return {
    id: sample.promptId,
    ...said,
    finish: isCut ? 'length' : 'stop',
    refusal: null,
    inputTokens: sample.promptTokens,
    outputTokens: sample.thinkingTokenIds.length + sample.answerTokenIds.length,
    dollars: 0,
  };
}
