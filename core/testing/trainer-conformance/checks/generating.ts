import { setTimeout as wait } from 'node:timers/promises';
import { status } from '@grpc/grpc-js';
import {
  GenerateRequest,
  type GenerateResponse,
  InterventionKind,
  Prompt,
  type Sample,
  SpendingRule,
  ThinkingEnd,
  type ThinkingPolicy,
} from '../../../generated/simmer/trainer/v1/trainer.js';
import { residentMemoryBytes } from '../../../process/memory.js';
import { demand } from '../../verification.js';
import { demandStatus, type TrainerCheck } from '../check.js';
import { modelIn, type TrainerBench } from '../trainer-bench.js';
import type { TrainerUnderTest } from '../trainer-under-test.js';

const cancelSeconds = 1;
const tries = 3;
/** Of what a reader leaves unread, so much may wait for it in the trainer. */
const bufferedShare = 0.5;

const format = { start: '<think>\n', end: '</think>\n', finalAnswerPrompt: 'Final Answer:' };

function policy(id: string, changes: Partial<ThinkingPolicy> = {}): ThinkingPolicy {
  return {
    id,
    maxThinkingTokens: undefined,
    minThinkingTokens: undefined,
    ignoreEndCount: 0,
    word: 'Wait',
    spendingRule: SpendingRule.SPENDING_RULE_TOTAL,
    ...changes,
  };
}

const policies: readonly ThinkingPolicy[] = [
  policy('short', { maxThinkingTokens: 8 }),
  policy('long', { maxThinkingTokens: 48 }),
  policy('least', { minThinkingTokens: 20, maxThinkingTokens: 64 }),
  policy('twice', { ignoreEndCount: 2, maxThinkingTokens: 64 }),
  policy('rounds', { ignoreEndCount: 1, maxThinkingTokens: 12, spendingRule: SpendingRule.SPENDING_RULE_PER_ROUND }),
];

function prompts(count: number): Prompt[] {
  return Array.from({ length: count }, (_, index) =>
    Prompt.fromPartial({
      id: `prompt-${index}`,
      prompt: { $case: 'text', value: `What is ${index} and one?` },
    }),
  );
}

/** A request for two prompts without thinking, greedy. */
function generation(bench: TrainerBench, changes: Partial<GenerateRequest> = {}): GenerateRequest {
  return {
    ...GenerateRequest.fromPartial({}),
    model: bench.options.model,
    prompts: prompts(2),
    sampling: sampling(),
    ...changes,
  };
}

function sampling(changes: Partial<NonNullable<GenerateRequest['sampling']>> = {}) {
  return {
    temperature: 0,
    topP: undefined,
    topK: undefined,
    maxAnswerTokens: 8,
    stop: [],
    seed: 5n,
    samples: 1,
    ...changes,
  };
}

async function responses(trainer: TrainerUnderTest, request: GenerateRequest): Promise<GenerateResponse['response'][]> {
  const found = [];
  const call = trainer.client.generate(request, trainer.metadata);
  for await (const { response } of trainer.messages(call)) found.push(response);
  return found;
}

async function samples(trainer: TrainerUnderTest, request: GenerateRequest): Promise<readonly Sample[]> {
  const found = await responses(trainer, request);
  return found.flatMap((response) => (response?.$case === 'sample' ? [response.value] : []));
}

const nameOf = (sample: Sample) => `${sample.promptId} ${sample.policyId} ${sample.sampleIndex}`;

/** Generation, its policies and its flow. */
export const generatingChecks: readonly TrainerCheck[] = [
  {
    name: 'generate',
    expects: 'a sample of every prompt, policy and index, once; progress that rises; completed once, and last',
    needs: ['generate'],
    async run(bench) {
      const trainer = await bench.trainer();
      const two = policies.slice(0, 2);
      const request = generation(bench, {
        thinkingFormat: format,
        policies: two,
        sampling: sampling({ samples: 2, temperature: 1 }),
      });
      const found = await responses(trainer, request);
      const names = found.flatMap((response) => (response?.$case === 'sample' ? [nameOf(response.value)] : []));
      const expected = request.prompts.flatMap(({ id }) =>
        two.flatMap((item) => [0, 1].map((index) => `${id} ${item.id} ${index}`)),
      );
      demand(String(names.toSorted()) === String(expected.toSorted()), expected.join(', '), names);
      const last = found.at(-1);
      const isLast = last?.$case === 'completed' && found.filter((one) => one?.$case === 'completed').length === 1;
      demand(
        isLast && last.value.samples === expected.length,
        `completed, last, with ${expected.length} samples`,
        last,
      );
      const progress = found.flatMap((response) => (response?.$case === 'progress' ? [response.value] : []));
      for (const [index, { samplesCompleted, samplesTotal }] of progress.entries()) {
        const before = progress[index - 1]?.samplesCompleted ?? 0;
        const isSound = samplesCompleted >= before && samplesTotal === expected.length;
        demand(isSound, 'samples_completed that never falls, and the right samples_total', progress[index]);
      }
      const empty = await responses(trainer, generation(bench, { prompts: [] }));
      demand(empty.at(-1)?.$case === 'completed', 'completed, for no prompts', empty);
    },
  },
  {
    name: 'generate-policies',
    expects:
      'each sample to keep its policy: maximum, minimum, ignored ends, and interventions where they are said to be',
    needs: ['generate'],
    async run(bench) {
      const trainer = await bench.trainer();
      const found = await samples(trainer, generation(bench, { thinkingFormat: format, policies: [...policies] }));
      demand(found.length === 2 * policies.length, `${2 * policies.length} samples`, found.length);
      for (const sample of found) {
        const rule = policies.find(({ id }) => id === sample.policyId);
        demand(rule !== undefined, 'a policy that was asked for', sample.policyId);
        checkPolicy(sample, rule, found);
      }
    },
  },
  {
    name: 'generate-seeds',
    expects: 'the same samples for the same seed, whatever else is in the batch',
    needs: ['generate'],
    async run(bench) {
      const trainer = await bench.trainer();
      const request = generation(bench, { sampling: sampling({ temperature: 1, samples: 2 }), prompts: prompts(3) });
      const print = (all: readonly Sample[]) =>
        all.map((sample) => `${nameOf(sample)} ${sample.seed}: ${sample.answerTokenIds}`).toSorted();
      const expected = print(await samples(trainer, request));
      for (const [how, again] of Object.entries({
        'asked again': request,
        'one by one, in another order': { ...request, prompts: request.prompts.toReversed(), maxBatchSize: 1 },
      })) {
        const other = print(await samples(trainer, again));
        demand(String(other) === String(expected), `${expected[0]}, …`, `${how}: ${other[0]}, …`);
      }
      const one = await samples(trainer, { ...request, prompts: prompts(1) });
      const isAmong = print(one).every((text) => expected.includes(text));
      demand(isAmong, `${expected[0]}, …`, `a prompt by itself: ${print(one)[0]}`);
    },
  },
  {
    name: 'generate-cancel',
    expects: 'a canceled Generate to stop within a second: the next one does not wait for it',
    needs: ['generate'],
    async run(bench) {
      const trainer = await bench.trainer();
      const small = generation(bench, { sampling: sampling({ maxAnswerTokens: 1 }) });
      const large = generation(bench, {
        prompts: prompts(64),
        sampling: sampling({ maxAnswerTokens: 300, temperature: 1 }),
      });
      const seconds = async () => {
        const asked = performance.now();
        await responses(trainer, small);
        return (performance.now() - asked) / 1000;
      };
      // Once for the model, which may be loaded first.
      await seconds();
      const idle = await seconds();
      let after = Number.POSITIVE_INFINITY;
      for (let attempt = 0; attempt < tries && after > idle + cancelSeconds; attempt++) {
        const call = trainer.client.generate(large, trainer.metadata);
        for await (const _ of trainer.messages(call)) break;
        after = Math.min(after, await seconds());
      }
      const saw = `${after.toFixed(2)} seconds, where it takes ${idle.toFixed(2)} by itself`;
      demand(after <= idle + cancelSeconds, 'the next Generate at most a second later', saw);
    },
  },
  {
    name: 'generate-backpressure',
    expects: 'samples that nobody reads not to pile up in the memory of the trainer, and to come in the end',
    needs: ['generate'],
    async run(bench) {
      const trainer = await bench.trainer();
      // Samples hold the id of their prompt: long ids make many bytes of little work.
      const idBytes = 100_000;
      const many = Array.from({ length: 16 }, (_, index) =>
        Prompt.fromPartial({
          id: `${index}`.padEnd(idBytes, '-'),
          prompt: { $case: 'text', value: `${index}` },
        }),
      );
      const count = 64;
      const total = many.length * count * idBytes;
      const request = generation(bench, {
        prompts: many,
        sampling: sampling({ samples: count, maxAnswerTokens: 1, temperature: 1 }),
        // What is decoded side by side takes memory, too; it shall be little, and the same in both.
        maxBatchSize: 8,
      });
      // Once, for what the first generation of a kind leaves behind.
      await responses(trainer, { ...request, sampling: sampling({ samples: 2, maxAnswerTokens: 1, temperature: 1 }) });
      const before = await residentMemoryBytes([trainer.pid]);
      const call = trainer.client.generate(request, trainer.metadata);
      let received = 0;
      let grown: number | undefined;
      for await (const { response } of trainer.messages(call)) {
        if (response?.$case === 'sample') received += 1;
        grown ??= (await settledMemory(trainer, bench.options.patienceSeconds)) - before;
      }
      const megabytes = (bytes: number) => `${Math.round(bytes / 1e6)} MB`;
      const expected = `less than ${megabytes(bufferedShare * total)} more while ${megabytes(total)} are not read`;
      demand(grown !== undefined && grown < bufferedShare * total, expected, megabytes(grown ?? 0));
      demand(received === many.length * count, `${many.length * count} samples`, received);
    },
  },
  {
    name: 'generate-bad-input',
    expects: 'INVALID_ARGUMENT for a generation that can never succeed',
    needs: ['generate'],
    async run(bench) {
      const trainer = await bench.trainer();
      const twice = prompts(1).concat(prompts(1));
      const cases: Readonly<Record<string, Partial<GenerateRequest>>> = {
        '513 prompts': { prompts: prompts(513) },
        'two prompts of one id': { prompts: twice },
        'a prompt without text': { prompts: [Prompt.fromPartial({ id: 'empty' })] },
        'two policies of one id': { thinkingFormat: format, policies: [policy('one'), policy('one')] },
        'no samples': { sampling: sampling({ samples: 0 }) },
        'a temperature below 0': { sampling: sampling({ temperature: -1 }) },
        'a model that is not there': { model: modelIn(bench.nowhere) },
      };
      for (const [what, change] of Object.entries(cases)) {
        const refusal = await trainer.refusal(responses(trainer, generation(bench, change)));
        demandStatus(refusal, [status.INVALID_ARGUMENT], `INVALID_ARGUMENT for ${what}`);
      }
    },
  },
];

/** @throws Deviation */
function checkPolicy(sample: Sample, rule: ThinkingPolicy, all: readonly Sample[]): void {
  const { thinkingTokenIds: thinking, interventions, thinkingEnd } = sample;
  const what = `policy ${rule.id}`;
  const maximum = rule.maxThinkingTokens ?? Number.POSITIVE_INFINITY;
  const isTotal = rule.spendingRule === SpendingRule.SPENDING_RULE_TOTAL;
  const words = interventions.reduce((sum, { tokenIds }) => sum + tokenIds.length, 0);
  const most = isTotal ? maximum : (1 + rule.ignoreEndCount) * maximum + words;
  demand(thinking.length <= most, `${what}: at most ${most} thinking tokens`, thinking.length);
  const ends = interventions.filter(({ kind }) => kind === InterventionKind.INTERVENTION_KIND_ENDED);
  const extensions = interventions.filter(({ kind }) => kind === InterventionKind.INTERVENTION_KIND_EXTENDED);
  if (thinkingEnd === ThinkingEnd.THINKING_END_FORCED) {
    const isLast = ends.length === 1 && ends[0] === interventions.at(-1) && ends[0]?.position === thinking.length;
    demand(isLast, `${what}: a forced end as the last intervention, at ${thinking.length}`, interventions);
    const offset = ends[0]?.characterOffset;
    demand(offset === [...sample.thinking].length, `${what}: its character_offset at the end of thinking`, offset);
  } else if (thinkingEnd === ThinkingEnd.THINKING_END_NATURAL) {
    const least = rule.minThinkingTokens ?? 0;
    demand(thinking.length >= least, `${what}: at least ${least} thinking tokens`, thinking.length);
    demand(ends.length === 0, `${what}: no forced end where thinking ended by itself`, interventions);
  }
  demand(thinkingEnd !== ThinkingEnd.THINKING_END_UNSPECIFIED, `${what}: how thinking ended`, 'nothing');
  const isCounted = rule.minThinkingTokens !== undefined || extensions.length <= rule.ignoreEndCount;
  demand(isCounted, `${what}: at most ${rule.ignoreEndCount} extensions`, extensions);
  for (const { position, tokenIds, text } of extensions) {
    const there = thinking.slice(position, position + tokenIds.length);
    demand(text === rule.word, `${what}: the word ${rule.word}`, text);
    demand(String(there) === String(tokenIds), `${what}: the tokens ${tokenIds} at ${position}`, there);
  }
  const positions = interventions.map(({ position }) => position);
  const areOrdered = positions.every((position, index) => position >= (positions[index - 1] ?? 0));
  demand(areOrdered, `${what}: interventions in order of position`, positions);
  const shared = thinking.slice(0, sample.sharedThinkingTokens);
  const isShared =
    shared.length === sample.sharedThinkingTokens &&
    (shared.length === 0 ||
      all.some(
        (other) =>
          other !== sample &&
          other.promptId === sample.promptId &&
          other.sampleIndex === sample.sampleIndex &&
          String(other.thinkingTokenIds.slice(0, shared.length)) === String(shared),
      ));
  demand(isShared, `${what}: shared_thinking_tokens that another policy's sample has`, sample.sharedThinkingTokens);
}

/** The memory of a trainer once it grows no more; looked at until it has not for a second. */
async function settledMemory(trainer: TrainerUnderTest, patienceSeconds: number): Promise<number> {
  const started = performance.now();
  let largest = await residentMemoryBytes([trainer.pid]);
  let grewAt = started;
  for (let now = started; now - grewAt < 1000 && now - started < patienceSeconds * 500; now = performance.now()) {
    await wait(100);
    const bytes = await residentMemoryBytes([trainer.pid]);
    if (bytes < largest + 1e6) continue;
    largest = bytes;
    grewAt = performance.now();
  }
  return largest;
}
