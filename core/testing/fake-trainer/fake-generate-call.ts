import { setTimeout as sleep } from 'node:timers/promises';
import { type ServerWritableStream, status } from '@grpc/grpc-js';
import type { GenerateRequest, GenerateResponse, Sample } from '../../generated/simmer/trainer/v1/trainer.js';
import { fakeSamples } from './fake-generation.js';
import { readFakeModel } from './fake-model.js';
import { Refusal, write } from './grpc-calls.js';
import type { Misbehavior } from './misbehavior.js';

const largestRequest = 512;
/** How long a generation goes on that was told to be heedless of its cancellation. */
const heedlessMilliseconds = 3000;

/** What a call to Generate needs of its server. */
interface GenerateHost {
  readonly misbehavior: Misbehavior;
  /** How many samples went out before, over all requests. */
  readonly samplesWritten: number;
  onSample(): void;
}

/** Answers a call to Generate: all samples in order, progress between them, the totals last. */
export class FakeGenerateCall {
  /** Until when the device is busy with what nobody wants any more. */
  private static busyUntil = 0;
  private isDone = false;

  constructor(
    private readonly host: GenerateHost,
    private readonly call: ServerWritableStream<GenerateRequest, GenerateResponse>,
    private readonly signal: AbortSignal,
  ) {
    if (host.misbehavior.breaks !== 'generatesOn') return;
    signal.addEventListener('abort', () => {
      if (!this.isDone) FakeGenerateCall.busyUntil = performance.now() + heedlessMilliseconds;
    });
  }

  async answer(): Promise<void> {
    const { request } = this.call;
    const { misbehavior } = this.host;
    if (misbehavior.breaks !== 'acceptsTooMuch') checkGeneration(request);
    const model = await readFakeModel(request.model);
    const started = performance.now();
    const policies = request.thinkingFormat === undefined ? 1 : Math.max(1, request.policies.length);
    const samplesTotal = request.prompts.length * policies * Math.max(1, request.sampling?.samples ?? 1);
    let samples = 0;
    let tokens = 0;
    for (const sample of fakeSamples(request, model, misbehavior.wordsPerSample)) {
      if (misbehavior.sampleMilliseconds > 0) await sleep(misbehavior.sampleMilliseconds);
      const busyMilliseconds = FakeGenerateCall.busyUntil - performance.now();
      if (busyMilliseconds > 0) await sleep(busyMilliseconds);
      if (this.signal.aborted) return;
      samples += 1;
      tokens += sample.thinkingTokenIds.length - sample.sharedThinkingTokens + sample.answerTokenIds.length;
      await this.send({ $case: 'sample', value: distorted(sample, misbehavior) });
      if (misbehavior.breaks === 'samplesTwice' && samples === 1) await this.send({ $case: 'sample', value: sample });
      this.host.onSample();
      if (samples % 16 === 0) {
        const value = {
          samplesCompleted: samples,
          samplesTotal,
          tokensDecoded: BigInt(tokens),
          tokensPerSecond: tokens / Math.max(0.001, (performance.now() - started) / 1000),
          peakMemoryBytes: BigInt(process.memoryUsage.rss()),
        };
        await this.send({ $case: 'progress', value });
      }
    }
    const value = {
      samples,
      tokensDecoded: BigInt(tokens),
      seconds: (performance.now() - started) / 1000,
      peakMemoryBytes: BigInt(process.memoryUsage.rss()),
    };
    await this.send({ $case: 'completed', value });
    this.isDone = true;
  }

  private async send(response: NonNullable<GenerateResponse['response']>): Promise<void> {
    if (this.host.misbehavior.breaks === 'ignoresBackpressure') this.call.write({ response });
    else await write(this.call, { response }, this.signal);
  }
}

/** A sample as a trainer gives it that breaks the contract in what it draws. */
function distorted(sample: Sample, { breaks }: Misbehavior): Sample {
  if (breaks === 'drawsAnew') {
    const answerTokenIds = sample.answerTokenIds.map(() => 1 + Math.floor(Math.random() * 30_000));
    return { ...sample, answerTokenIds };
  }
  // Bytes of its own, as where a trainer writes its messages before it sends them.
  if (breaks === 'ignoresBackpressure') return { ...sample, promptId: Buffer.from(sample.promptId).toString() };
  if (breaks !== 'overthinks') return sample;
  return { ...sample, thinkingTokenIds: [...sample.thinkingTokenIds, ...Array.from({ length: 200 }, () => 1)] };
}

/** @throws Refusal INVALID_ARGUMENT */
function checkGeneration({ prompts, policies, sampling }: GenerateRequest): void {
  const refuse = (message: string): never => {
    throw new Refusal(status.INVALID_ARGUMENT, message, 'generation_invalid');
  };
  if (prompts.length > largestRequest) refuse(`${prompts.length} prompts are more than ${largestRequest}`);
  for (const ids of [prompts.map(({ id }) => id), policies.map(({ id }) => id)]) {
    if (new Set(ids).size < ids.length) refuse(`the ids ${ids.join(', ')} are not unique`);
  }
  if (prompts.some(({ prompt }) => prompt === undefined)) refuse('a prompt has neither messages, text nor token ids');
  if (sampling === undefined || sampling.samples < 1) refuse('sampling.samples must be at least 1');
  else if (!(sampling.temperature >= 0)) refuse('sampling.temperature must not be below 0');
}
