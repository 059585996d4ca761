import {
  FinishReason,
  type GenerateRequest,
  type Intervention,
  InterventionKind,
  type Prompt,
  type Sample,
  SpendingRule,
  ThinkingEnd,
  type ThinkingFormat,
  type ThinkingPolicy,
} from '../../generated/simmer/trainer/v1/trainer.js';
import { integerHash, unitHash } from './deterministic.js';
import type { FakeModel } from './fake-model.js';

const vocabulary = 'so then first next add the sum of carry two three both sides check again because it follows'.split(
  ' ',
);

/** A word's token id: every word is one token. */
export function tokenOf(word: string): number {
  return 1 + integerHash(30_000, 'token', word);
}

const noPolicy: ThinkingPolicy = {
  id: '',
  maxThinkingTokens: undefined,
  minThinkingTokens: undefined,
  ignoreEndCount: 0,
  word: '',
  spendingRule: SpendingRule.SPENDING_RULE_TOTAL,
};

/** All samples of a request, in order: prompt, sample, policy. */
export function* fakeSamples(request: GenerateRequest, model: FakeModel, words: number): Generator<Sample> {
  const policies =
    request.thinkingFormat === undefined || request.policies.length === 0 ? [noPolicy] : request.policies;
  for (const prompt of request.prompts) {
    for (let index = 0; index < Math.max(1, request.sampling?.samples ?? 1); index++) {
      const samples = policies.map((policy) => fakeSample(request, model, prompt, policy, index, words));
      for (const sample of samples) yield { ...sample, sharedThinkingTokens: sharedPrefix(sample, samples) };
    }
  }
}

function fakeSample(
  request: GenerateRequest,
  model: FakeModel,
  prompt: Prompt,
  policy: ThinkingPolicy,
  sampleIndex: number,
  words: number,
): Sample {
  const greedy = (request.sampling?.temperature ?? 0) === 0;
  const drawn = greedy ? '' : `${request.sampling?.seed ?? 0n}/${sampleIndex}`;
  // A digest, for it is hashed again with every word.
  const source = String(unitHash(model.name, prompt.id, textOf(prompt), drawn));
  const format = request.thinkingFormat;
  const thought = format === undefined ? undefined : think(source, policy, format, words);
  const number = integerHash(100, source, 'answer');
  const answerWords = [
    ...(format === undefined ? wordsOf(source, 0, words) : splitWords(format.finalAnswerPrompt)),
    String(number),
  ].slice(0, request.sampling?.maxAnswerTokens ?? Number.POSITIVE_INFINITY);
  return {
    promptId: prompt.id,
    policyId: policy.id,
    sampleIndex,
    seed: BigInt(integerHash(2 ** 32, 'seed', drawn)),
    promptTokens: splitWords(textOf(prompt)).length,
    thinkingTokenIds: thought?.words.map(tokenOf) ?? [],
    thinking: thought?.words.join(' ') ?? '',
    answerTokenIds: answerWords.map(tokenOf),
    answer: answerWords.join(' '),
    interventions: thought?.interventions ?? [],
    thinkingEnd: thought?.end ?? ThinkingEnd.THINKING_END_UNSPECIFIED,
    finishReason:
      answerWords.at(-1) === String(number) ? FinishReason.FINISH_REASON_STOP : FinishReason.FINISH_REASON_LENGTH,
    sharedThinkingTokens: 0,
  };
}

/** Thinks in rounds: each ends by itself after some words, unless the policy ends it before or makes it go on. */
function think(source: string, policy: ThinkingPolicy, format: ThinkingFormat, words: number) {
  const thought: string[] = [];
  const interventions: Intervention[] = [];
  const maximum = policy.maxThinkingTokens ?? 4096;
  const perRound = policy.spendingRule === SpendingRule.SPENDING_RULE_PER_ROUND;
  let end = ThinkingEnd.THINKING_END_NATURAL;
  let extensions = 0;
  for (let round = 0, roundStart = 0; ; round++, roundStart = thought.length) {
    const budget = perRound ? roundStart + maximum : maximum;
    thought.push(...wordsOf(source, round, words).slice(0, Math.max(0, budget - thought.length)));
    if (thought.length >= budget) {
      end = ThinkingEnd.THINKING_END_FORCED;
      interventions.push(
        forced(InterventionKind.INTERVENTION_KIND_ENDED, thought, format.end + format.finalAnswerPrompt),
      );
      break;
    }
    if (extensions >= policy.ignoreEndCount && thought.length >= (policy.minThinkingTokens ?? 0)) break;
    extensions += 1;
    if (policy.word === '') continue;
    interventions.push(forced(InterventionKind.INTERVENTION_KIND_EXTENDED, thought, policy.word));
    thought.push(...splitWords(policy.word));
  }
  return { words: thought, interventions, end };
}

/** @param before the words thought so far; they are joined by spaces */
function forced(kind: InterventionKind, before: readonly string[], text: string): Intervention {
  const isAppended = kind === InterventionKind.INTERVENTION_KIND_EXTENDED && before.length > 0;
  const characterOffset = before.join(' ').length + (isAppended ? 1 : 0);
  return { kind, position: before.length, tokenIds: splitWords(text).map(tokenOf), text, characterOffset };
}

/** What the model says in one round; later rounds are shorter. */
function wordsOf(source: string, round: number, words: number): string[] {
  const about = round === 0 ? words : Math.max(2, Math.floor(words / 4));
  const length = Math.ceil(about / 2) + integerHash(about, source, 'length', round);
  return Array.from({ length }, (_, index) => vocabulary[integerHash(vocabulary.length, source, round, index)] ?? 'so');
}

/** How much of a sample's thinking is the beginning of a longer one. */
function sharedPrefix(sample: Sample, all: readonly Sample[]): number {
  const own = sample.thinkingTokenIds;
  let longest = 0;
  for (const other of all) {
    if (other === sample || other.thinkingTokenIds.length <= own.length) continue;
    const difference = own.findIndex((token, index) => token !== other.thinkingTokenIds[index]);
    longest = Math.max(longest, difference === -1 ? own.length : difference);
  }
  return longest;
}

function textOf({ prompt }: Prompt): string {
  switch (prompt?.$case) {
    case 'messages':
      return prompt.value.messages.map((message) => `${message.role}: ${message.content}`).join('\n');
    case 'text':
      return prompt.value;
    case 'tokenIds':
      return prompt.value.ids.join(' ');
    case undefined:
      return '';
  }
}

function splitWords(text: string): string[] {
  return text.split(/\s+/).filter((word) => word !== '');
}
