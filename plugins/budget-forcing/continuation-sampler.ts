import { type Intervention, type Prompt, type ThinkingPolicy, UserError } from 'simmerkit';
import type { Completions } from './completions.js';
import {
  continuedSeed,
  type EndpointRequest,
  isExtending,
  type PromptSampler,
  sampleSeed,
} from './endpoint-backend.js';
import type { KeptSample } from './generation-rows.js';
import type { ServerTokens } from './server-tokens.js';

interface Continuation {
  readonly completions: Completions;
  readonly tokens: ServerTokens;
  /** The prompt's text up to where the model begins. */
  readonly render: (prompt: Prompt) => string;
  /** Thinking tokens where a policy has no maximum. */
  readonly longestThinking: number;
}

/** Thinking so far: text, and the tokens that the server counted. */
interface Thought {
  readonly text: string;
  readonly tokens: number;
  readonly interventions: readonly Intervention[];
  readonly disputed: string | undefined;
}

/**
 * Budget forcing on a server by continuation: the prompt with the thinking so far is sent as text, and the server goes
 * on. Ascending maxima go on from each other's thinking, so that a sweep decodes its longest once.
 */
export function continuationSampler(options: Continuation): PromptSampler {
  return (request, prompt, index) => new ContinuedPrompt(request, prompt, index, options).samples();
}

/** One sample of one prompt under all policies. */
class ContinuedPrompt {
  private readonly prompt: string;
  private readonly seed: number;

  constructor(
    private readonly request: EndpointRequest,
    private readonly source: Prompt,
    private readonly index: number,
    private readonly options: Continuation,
  ) {
    this.prompt = withThinkingOpen(options.render(source), request.thinkingFormat?.start ?? '');
    this.seed = sampleSeed(request, source, index);
  }

  async *samples(): AsyncIterable<KeptSample> {
    if (this.request.thinkingFormat === undefined) {
      const none: Thought = { text: '', tokens: 0, interventions: [], disputed: undefined };
      yield await this.answer('none', none, '', 'none', 0);
      return;
    }
    const limitOf = (policy: ThinkingPolicy) => policy.maxThinkingTokens ?? this.options.longestThinking;
    const plain = this.request.policies.filter((policy) => !isExtending(policy));
    // Ascending, each from where the last was cut.
    let thought: Thought = { text: '', tokens: 0, interventions: [], disputed: undefined };
    let ended = false;
    let shared = 0;
    for (const policy of plain.toSorted((one, other) => limitOf(one) - limitOf(other))) {
      const limit = limitOf(policy);
      if (!ended && thought.tokens < limit) ({ thought, ended } = await this.think(thought, limit));
      yield await this.finish(policy.id, thought, ended, shared);
      shared = thought.tokens;
    }
    for (const policy of this.request.policies.filter(isExtending)) yield await this.extend(policy, limitOf(policy));
  }

  /** Ignores the end of thinking as often, and as long, as the policy says. */
  private async extend(policy: ThinkingPolicy, limit: number): Promise<KeptSample> {
    let thought: Thought = { text: '', tokens: 0, interventions: [], disputed: undefined };
    let rounds = 0;
    let roundStart = 0;
    for (;;) {
      const roundLimit = policy.spendingRule === 'perRound' ? roundStart + limit : limit;
      const { thought: after, ended } = await this.think(thought, roundLimit);
      // A round that adds nothing would go on for ever.
      const isStuck = rounds > 0 && after.tokens <= thought.tokens;
      thought = after;
      const wantsMore = rounds < policy.ignoreEndCount || thought.tokens < (policy.minThinkingTokens ?? 0);
      const word = ended && wantsMore && !isStuck ? await this.word(policy.word) : undefined;
      const fits =
        word !== undefined &&
        thought.tokens + word.tokens < (policy.spendingRule === 'perRound' ? thought.tokens + limit : limit);
      if (word === undefined || !fits) return await this.finish(policy.id, thought, ended, 0);
      roundStart = thought.tokens;
      const intervention = interventionAt('extended', thought, word.text);
      thought = {
        text: thought.text + word.text,
        tokens: thought.tokens + word.tokens,
        interventions: [...thought.interventions, intervention],
        disputed: thought.disputed,
      };
      rounds++;
    }
  }

  /** A word costs the tokens that it has; where the server does not count them, one for each of its words. */
  private async word(text: string): Promise<{ readonly text: string; readonly tokens: number }> {
    const words = text.trim() === '' ? 0 : text.trim().split(/\s+/).length;
    return { text, tokens: (await this.options.tokens.count(text)) ?? words };
  }

  private async think(from: Thought, limit: number): Promise<{ readonly thought: Thought; readonly ended: boolean }> {
    const end = this.request.thinkingFormat?.end.trimEnd() ?? '';
    const completion = await this.options.completions.complete({
      prompt: this.prompt + from.text,
      maxTokens: limit - from.tokens,
      stop: [end],
      seed: continuedSeed(this.seed, 'thinking', from.tokens),
      sampling: this.request.sampling,
    });
    const place = completion.text.indexOf(end);
    const text = place < 0 ? completion.text : completion.text.slice(0, place);
    return {
      thought: {
        text: from.text + text,
        tokens: from.tokens + completion.tokens,
        interventions: from.interventions,
        disputed: from.disputed ?? completion.disputed,
      },
      ended: completion.finished || place >= 0,
    };
  }

  private async finish(policyId: string, thought: Thought, ended: boolean, shared: number): Promise<KeptSample> {
    const format = this.request.thinkingFormat;
    if (format === undefined) throw new Error('nothing to end without a thinking format');
    if (ended) return await this.answer(policyId, thought, format.end, 'natural', shared);
    const text = withoutBegun(thought.text, format.end);
    const newline = text.endsWith('\n') || text === '' ? '' : '\n';
    const forced = `${newline}${format.end}${format.finalAnswerPrompt}`;
    const kept = { ...thought, text };
    const cut = { ...kept, interventions: [...thought.interventions, interventionAt('ended', kept, forced)] };
    return await this.answer(policyId, cut, forced, 'forced', shared, format.finalAnswerPrompt);
  }

  private async answer(
    policyId: string,
    thought: Thought,
    between: string,
    thinkingEnd: KeptSample['thinkingEnd'],
    shared: number,
    begun = '',
  ): Promise<KeptSample> {
    const { sampling } = this.request;
    const completion = await this.options.completions.complete({
      prompt: this.prompt + thought.text + between,
      maxTokens: sampling.maxAnswerTokens,
      stop: sampling.stop,
      seed: thinkingEnd === 'none' ? this.seed : continuedSeed(this.seed, 'answer', thought.tokens),
      sampling,
    });
    const disputed = thought.disputed ?? completion.disputed;
    return {
      promptId: this.source.id,
      policyId,
      sampleIndex: this.index,
      seed: BigInt(this.seed),
      promptTokens: completion.promptTokens,
      thinkingTokenIds: [],
      thinking: thought.text,
      answerTokenIds: [],
      answer: begun + completion.text,
      interventions: thought.interventions,
      thinkingEnd,
      finishReason: completion.finished ? 'stop' : 'length',
      sharedThinkingTokens: shared,
      counts: { thinking: thought.tokens, answer: completion.tokens },
      budgetHeldBy: 'continuation',
      ...(disputed === undefined ? {} : { disputed }),
    };
  }
}

/** A chat template that opens the thinking itself has done so already. */
function withThinkingOpen(prompt: string, start: string): string {
  const isOpen = start.trim() !== '' && prompt.trimEnd().endsWith(start.trimEnd());
  return isOpen ? prompt : prompt + start;
}

/** Without a marker of several tokens that the maximum cut in two: it would stand before the whole one. */
function withoutBegun(text: string, marker: string): string {
  // A character alone, as "<", may be thinking.
  for (let length = marker.trimEnd().length - 1; length > 1; length--)
    if (text.endsWith(marker.slice(0, length))) return text.slice(0, -length);
  return text;
}

function interventionAt(kind: Intervention['kind'], thought: Thought, text: string): Intervention {
  return { kind, position: thought.tokens, tokenIds: [], text, characterOffset: [...thought.text].length };
}

/** The prompt as the model's chat template writes it. @throws UserError `prompt_unsupported` */
export function chatRenderer(template: { readonly message: string; readonly assistant: string }) {
  return (prompt: Prompt): string => {
    switch (prompt.prompt.kind) {
      case 'text':
        return prompt.prompt.text;
      case 'messages':
        return (
          prompt.prompt.messages
            .map(({ role, content }) => template.message.split('{role}').join(role).split('{content}').join(content))
            .join('') + template.assistant
        );
      default:
        throw new UserError('prompt_unsupported', `Prompt ${prompt.id} is token ids; a server is asked in text.`);
    }
  };
}
