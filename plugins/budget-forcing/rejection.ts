import { random, type ThinkingPolicy } from 'simmerkit';
import { type KeptSample, thinkingTokens } from './generation-rows.js';
import type { Point } from './points.js';
import type { SampleJournal } from './sample-journal.js';

/** Under this id the journal keeps the draws that rejection sampling chooses from. */
const drawId = 'rejection-draw';

/** What a limit chose. */
interface Choice {
  readonly sample: KeptSample;
  /** Draws looked at, the chosen one included. */
  readonly attempts: number;
  /** Thinking tokens of all of these. */
  readonly drawnThinkingTokens: number;
}

/**
 * Rejection sampling: problem by problem and sample by sample, attempt after attempt, each with a seed of its own, until
 * one ends its thinking by itself within the limit. Every draw is kept under its problem, sample and attempt, and chosen
 * by them alone, so that no output can stand in another's place. The limits share the draws, made under the largest.
 */
export class RejectionSampler {
  constructor(
    private readonly points: readonly Point[],
    private readonly attempts: number,
    private readonly samples: number,
    private readonly journal: SampleJournal,
  ) {}

  /** Under which draws are made. */
  get policy(): ThinkingPolicy {
    const largest = this.points.at(-1);
    if (largest === undefined) throw new Error('rejection sampling without a limit');
    return { ...largest.policy, id: drawId };
  }

  /** Seed of an attempt's request: the attempt makes the seed, the backend adds problem and sample. */
  seedOf(stageSeed: number, attempt: number): number {
    return random(stageSeed, `rejection/${attempt}`).integer(2 ** 31);
  }

  /** Of these problems, the samples that need this attempt and do not have it. Call for the attempts from 0 on, in order. */
  async missing(problemIds: readonly string[], attempt: number): Promise<ReadonlyMap<string, readonly number[]>> {
    const found = new Map<string, number[]>();
    for (const id of problemIds) {
      for (let index = 0; index < this.samples; index++) {
        const hasDraw = this.journal.has(id, drawId, this.indexOf(index, attempt));
        if (!hasDraw && (await this.needs(id, index, attempt))) found.set(id, [...(found.get(id) ?? []), index]);
      }
    }
    return found;
  }

  /** A draw as the journal keeps it. */
  kept(sample: KeptSample, attempt: number): KeptSample {
    return { ...sample, policyId: drawId, sampleIndex: this.indexOf(sample.sampleIndex, attempt) };
  }

  /**
   * The first draw that fits. Where none does, the shortest without its answer and with `fits` false: it counts as not
   * answered, and what was spent on it is on record.
   */
  async choose(problemId: string, index: number, limit: number): Promise<Choice & { readonly fits: boolean }> {
    let drawnThinkingTokens = 0;
    let shortest: KeptSample | undefined;
    for (let attempt = 0; attempt < this.attempts; attempt++) {
      if (!this.journal.has(problemId, drawId, this.indexOf(index, attempt))) break;
      const draw = await this.journal.read(problemId, drawId, this.indexOf(index, attempt));
      const sample = { ...draw, sampleIndex: index };
      drawnThinkingTokens += thinkingTokens(sample);
      if (fits(sample, limit)) return { sample, attempts: attempt + 1, drawnThinkingTokens, fits: true };
      if (shortest === undefined || thinkingTokens(sample) < thinkingTokens(shortest)) shortest = sample;
    }
    if (shortest === undefined) throw new Error(`no draw of ${problemId}`);
    const sample = { ...shortest, answer: '', answerTokenIds: [] };
    return { sample, attempts: this.attempts, drawnThinkingTokens, fits: false };
  }

  private async needs(problemId: string, index: number, attempt: number): Promise<boolean> {
    if (attempt >= this.attempts) return false;
    const smallest = this.points[0]?.limit ?? 0;
    // What fits into the smallest limit fits into all.
    for (let earlier = 0; earlier < attempt; earlier++) {
      const place = this.indexOf(index, earlier);
      if (!this.journal.has(problemId, drawId, place)) continue;
      if (fits(await this.journal.read(problemId, drawId, place), smallest)) return false;
    }
    return true;
  }

  private indexOf(index: number, attempt: number): number {
    return index * this.attempts + attempt;
  }
}

/** The index of a sample, also where it is a draw of one. */
export function sampleIndexOf(
  { policyId, sampleIndex }: KeptSample,
  rejection: { readonly attempts: number } | undefined,
): number {
  return policyId === drawId ? Math.floor(sampleIndex / (rejection?.attempts ?? 1)) : sampleIndex;
}

function fits(sample: KeptSample, limit: number): boolean {
  return sample.thinkingEnd === 'natural' && thinkingTokens(sample) <= limit;
}
