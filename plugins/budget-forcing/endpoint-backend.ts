import { type GenerationEvent, type GenerationRequest, type Prompt, random, type ThinkingPolicy } from 'simmerkit';
import type { Backend } from './answer-problems.js';
import type { KeptSample } from './generation-rows.js';
import type { Posts } from './paid-posts.js';

export type EndpointRequest = Omit<GenerationRequest, 'model'>;

/** Makes one sample of a prompt under every policy, each as it is done. */
export type PromptSampler = (request: EndpointRequest, prompt: Prompt, index: number) => AsyncIterable<KeptSample>;

/**
 * Asks a server for all samples of all prompts, so many at a time. After a failure nothing new is begun; what was under
 * way is still given, and then the first failure is thrown.
 * @param posts what the sampler asks, which ends with the backend
 */
export function endpointBackend(sampler: PromptSampler, concurrency: number, posts: Posts): Backend {
  return {
    async [Symbol.asyncDispose]() {
      await posts[Symbol.asyncDispose]?.();
    },
    async *generate(request) {
      const jobs = request.prompts.flatMap((prompt) =>
        (prompt.sampleIndices ?? Array.from({ length: request.sampling.samples }, (_, index) => index)).map(
          (index) => ({ prompt, index }),
        ),
      );
      const total = jobs.length * Math.max(1, request.policies.length);
      const started = performance.now();
      const ready: KeptSample[] = [];
      let next = 0;
      let working = Math.min(concurrency, jobs.length);
      let completed = 0;
      let tokens = 0;
      let wake = () => {};
      let failure: { readonly error: unknown } | undefined;
      const work = async () => {
        try {
          for (let job = jobs[next++]; job !== undefined && failure === undefined; job = jobs[next++]) {
            for await (const sample of sampler(request, job.prompt, job.index)) {
              ready.push(sample);
              wake();
            }
          }
        } catch (error) {
          failure ??= { error };
        }
        working--;
        wake();
      };
      const workers = Promise.all(Array.from({ length: working }, work));
      try {
        while (ready.length > 0 || working > 0) {
          const sample = ready.shift();
          if (sample === undefined) {
            await new Promise<void>((resolve) => {
              wake = resolve;
            });
            continue;
          }
          completed++;
          tokens += (sample.counts?.thinking ?? 0) - sample.sharedThinkingTokens + (sample.counts?.answer ?? 0);
          yield { kind: 'sample', sample };
          yield progressOf({ completed, total, tokens, seconds: (performance.now() - started) / 1000 });
        }
      } finally {
        // Whoever stops listening wants no more samples; what is under way may be paid for.
        next = jobs.length;
        await workers;
      }
      if (failure !== undefined) throw failure.error;
    },
  };
}

function progressOf(far: {
  readonly completed: number;
  readonly total: number;
  readonly tokens: number;
  readonly seconds: number;
}): GenerationEvent {
  return {
    kind: 'progress',
    samplesCompleted: far.completed,
    samplesTotal: far.total,
    tokensDecoded: far.tokens,
    tokensPerSecond: far.tokens / Math.max(1e-3, far.seconds),
  };
}

/** Of one sample of a prompt, whatever else is asked for. Servers take 31 bits. */
export function sampleSeed(request: EndpointRequest, { id }: Prompt, index: number): number {
  return random(request.sampling.seed, `${index}/${id}`).integer(2 ** 31);
}

/** Of what goes on from another request of the sample, which would else be drawn by the same random numbers again. */
export function continuedSeed(seed: number, part: 'thinking' | 'answer', tokens: number): number {
  return part === 'thinking' && tokens === 0 ? seed : random(seed, `${part}/${tokens}`).integer(2 ** 31);
}

/** Whether a policy makes thinking longer, which no server does by itself. */
export function isExtending(policy: ThinkingPolicy): boolean {
  return policy.ignoreEndCount > 0 || policy.minThinkingTokens !== undefined;
}
