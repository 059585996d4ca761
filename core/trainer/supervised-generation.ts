import type { GenerationEvent, GenerationRequest, Prompt, Sample } from './trainer.js';
import { TrainerLostError } from './trainer-errors.js';
import type { TrainerProcess } from './trainer-process.js';

/** The most prompts that one request of simmer.trainer.v1 may hold. */
export const promptsPerRequest = 512;

/** What generation needs of its supervisor. */
export interface GenerationHost {
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
  const perPrompt = policies * Math.max(1, request.sampling.samples);
  const samplesTotal = request.prompts.length * perPrompt;
  let samplesCompleted = 0;
  let tokensBefore = 0;
  for (let start = 0; start < request.prompts.length; start += promptsPerRequest) {
    let waiting: readonly Prompt[] = request.prompts.slice(start, start + promptsPerRequest);
    const given = new Map<string, Set<string>>(waiting.map((prompt) => [prompt.id, new Set()]));
    let tokens = 0;
    while (waiting.length > 0) {
      const process = await host.process(signal);
      try {
        for await (const event of process.client.generate(request, waiting, signal)) {
          if (event.kind === 'sample') {
            if (!take(given, event.sample)) continue;
            samplesCompleted += 1;
            yield event;
          } else {
            tokens = event.tokensDecoded;
            yield { ...event, samplesCompleted, samplesTotal, tokensDecoded: tokensBefore + tokens };
          }
        }
        const missing = unfinished(waiting, given, perPrompt);
        if (missing.length > 0) {
          throw new Error(
            `the trainer ended a generation with ${missing.length} of ${waiting.length} prompts unfinished`,
          );
        }
        waiting = [];
      } catch (error) {
        if (!(error instanceof TrainerLostError)) throw error;
        await host.recover(process, error);
        waiting = unfinished(waiting, given, perPrompt);
      }
      tokensBefore += tokens;
      tokens = 0;
    }
  }
}

/** False where the sample was given before. */
function take(given: Map<string, Set<string>>, sample: Sample): boolean {
  const keys = given.get(sample.promptId);
  if (keys === undefined) throw new Error(`the trainer answered ${sample.promptId}, which was not asked`);
  const key = `${sample.sampleIndex}/${sample.policyId}`;
  if (keys.has(key)) return false;
  keys.add(key);
  return true;
}

function unfinished(
  prompts: readonly Prompt[],
  given: ReadonlyMap<string, ReadonlySet<string>>,
  perPrompt: number,
): readonly Prompt[] {
  return prompts.filter((prompt) => (given.get(prompt.id)?.size ?? 0) < perPrompt);
}
