import type { GenerationEvent, GenerationRequest, Prompt, Sample } from './trainer.js';
import { TrainerLostError } from './trainer-errors.js';
import type { TrainerProcess } from './trainer-process.js';

/** The most prompts that one request of simmer.trainer.v1 may hold. */
const promptsPerRequest = 512;

/** What generation needs of its supervisor. */
interface GenerationHost {
  /** A living process. @throws UserError `trainer_exited` where none is to be had */
  process(signal: AbortSignal): Promise<TrainerProcess>;
  /** After a call broke off: returns where it may be tried again. @throws UserError */
  recover(process: TrainerProcess, error: TrainerLostError): Promise<void>;
}

/**
 * Generates for any number of prompts, request by request, and pulls no more than is pulled from it. Where the trainer
 * dies, prompts whose samples are not all there are asked again; no sample is given twice.
 */
export async function* superviseGeneration(
  host: GenerationHost,
  request: GenerationRequest,
  signal: AbortSignal,
): AsyncGenerator<GenerationEvent> {
  const policies = Math.max(1, request.thinkingFormat === undefined ? 1 : request.policies.length);
  const { samples } = request.sampling;
  const samplesTotal = request.prompts.reduce((sum, prompt) => sum + policies * indicesOf(prompt, samples).length, 0);
  let samplesCompleted = 0;
  let tokensBefore = 0;
  for (let start = 0; start < request.prompts.length; start += promptsPerRequest) {
    let waiting: readonly Prompt[] = request.prompts.slice(start, start + promptsPerRequest);
    const given = new GivenSamples(waiting, samples, policies);
    let tokens = 0;
    while (waiting.length > 0) {
      const process = await host.process(signal);
      try {
        for await (const event of process.client.generate(request, waiting, signal)) {
          if (event.kind === 'sample') {
            if (!given.take(event.sample)) continue;
            samplesCompleted += 1;
            yield event;
          } else {
            tokens = event.tokensDecoded;
            yield { ...event, samplesCompleted, samplesTotal, tokensDecoded: tokensBefore + tokens };
          }
        }
        const missing = given.unfinished();
        if (missing.length > 0) {
          throw new Error(
            `the trainer ended a generation with ${missing.length} of ${waiting.length} prompts unfinished`,
          );
        }
        waiting = [];
      } catch (error) {
        if (!(error instanceof TrainerLostError)) throw error;
        await host.recover(process, error);
        waiting = given.unfinished();
      }
      tokensBefore += tokens;
      tokens = 0;
    }
  }
}

function indicesOf(prompt: Prompt, samples: number): readonly number[] {
  return prompt.sampleIndices ?? Array.from({ length: Math.max(1, samples) }, (_, index) => index);
}

/** Which samples of some prompts have come. */
class GivenSamples {
  /** By prompt: policies given of each sample that is asked for. */
  private readonly given: ReadonlyMap<string, ReadonlyMap<number, Set<string>>>;

  constructor(
    private readonly prompts: readonly Prompt[],
    samples: number,
    private readonly policies: number,
  ) {
    this.given = new Map(
      prompts.map((prompt) => [prompt.id, new Map(indicesOf(prompt, samples).map((index) => [index, new Set()]))]),
    );
  }

  /** False where the sample was given before, or not asked for. */
  take({ promptId, sampleIndex, policyId }: Sample): boolean {
    const indices = this.given.get(promptId);
    if (indices === undefined) throw new Error(`the trainer answered ${promptId}, which was not asked`);
    const known = indices.get(sampleIndex);
    if (known === undefined || known.has(policyId)) return false;
    known.add(policyId);
    return true;
  }

  /** The prompts that lack samples, asking for those that are not there under every policy. */
  unfinished(): readonly Prompt[] {
    return this.prompts.flatMap((prompt) => {
      const missing = [...(this.given.get(prompt.id) ?? [])]
        .filter(([, policies]) => policies.size < this.policies)
        .map(([index]) => index);
      return missing.length === 0 ? [] : [{ ...prompt, sampleIndices: missing }];
    });
  }
}
