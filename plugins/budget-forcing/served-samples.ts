import { formatCount, type PaidEstimate, type StageEstimateContext } from 'simmerkit';
import { samplesOf, serverEstimate } from './most-tokens.js';
import { type AskingOptions, type ServerOptions, thinkingFormatOf } from './options.js';
import { SampleJournal } from './sample-journal.js';

/** The samples of a server. */
export interface ServedSamples {
  /** What they depend on besides the questions, as `context.keptFolder` takes it. */
  readonly of: object;
  /** Whether those of earlier runs are taken over; what is known to be free may have other weights behind the same name. */
  readonly isPaid: boolean;
}

/**
 * What a server's samples depend on, which is neither placement nor how many there are.
 * @param weights URI of the model, where it is known
 */
export function servedSamples(
  options: AskingOptions,
  { model, chatTemplate, budgets, longestThinking, price }: ServerOptions,
  weights?: string,
): ServedSamples {
  const { sweep, minThinkingTokens, spendingRule, systemMessage, promptTemplate } = options;
  const { samples: _, ...drawing } = options.sampling;
  return {
    of: {
      server: { model, chatTemplate, budgets, longestThinking, weights },
      asked: {
        thinkingFormat: thinkingFormatOf(options),
        sweep,
        minThinkingTokens,
        spendingRule,
        systemMessage,
        promptTemplate,
        sampling: drawing,
      },
    },
    isPaid: price === undefined || price.inputPerMillion + price.outputPerMillion > 0,
  };
}

/**
 * What asking a server for the samples that are not there yet takes at most.
 * @param weights as `servedSamples` is given them
 */
export async function servedEstimate(
  options: AskingOptions,
  server: ServerOptions,
  problems: number | undefined,
  kept: StageEstimateContext['kept'],
  weights?: string,
): Promise<PaidEstimate> {
  const { of, isPaid } = servedSamples(options, server, weights);
  const { own, others } = await kept(of);
  // Draws of rejection sampling are no samples.
  const there = own === undefined || options.sweep.rejection !== undefined ? 0 : await SampleJournal.count(own);
  const all = problems === undefined ? undefined : problems * samplesOf(options);
  const left = all === undefined ? problems : ((problems ?? 0) * Math.max(0, all - there)) / all;
  const estimate = serverEstimate(server, options, left);
  const notes = [
    ...(there > 0 && all !== undefined
      ? [`Of ${formatCount(all)} samples ${formatCount(there)} are there already, and are not asked for again.`]
      : []),
    ...(isPaid && others.length > 0 ? ['Samples that earlier runs were paid for are not asked for again.'] : []),
  ];
  return notes.length === 0 ? estimate : { ...estimate, notes: [...notes, ...(estimate.notes ?? [])] };
}
