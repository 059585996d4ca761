import { type GenerationRequest, type Sample, type Trainer, UserError } from 'simmerkit';
import { trainerThat } from '../../test/stub-trainer.js';

interface ScriptedTrainer extends Trainer {
  /** Every request, in order. */
  readonly requests: GenerationRequest[];
}

/** What the model says to a question; thinking only where a request has a thinking format. */
interface Said {
  readonly answer: string;
  readonly thinking?: string;
  readonly finishReason?: Sample['finishReason'];
  readonly thinkingEnd?: Sample['thinkingEnd'];
}

/**
 * A trainer that answers as a test says, without a model, and refuses questions of more than 9,000 characters as the torch
 * trainer refuses what its model's context does not hold.
 */
export function scriptedTrainer(say: (question: string, id: string) => Said): ScriptedTrainer {
  const requests: GenerationRequest[] = [];
  const trainer = trainerThat({
    name: 'scripted',
    async *generate(request) {
      requests.push(request);
      const asked = request.prompts.map(({ id, prompt }) => {
        if (prompt.kind !== 'messages') throw new Error('the test expects messages');
        return { id, question: prompt.messages.at(-1)?.content ?? '' };
      });
      const long = asked.find(({ question }) => question.length > 9000);
      if (long !== undefined) throw new UserError('prompt_too_long', `Prompt ${long.id} is too long.`);
      for (const { id, question } of asked) {
        const { answer, thinking = '', finishReason = 'stop', thinkingEnd = 'none' } = say(question, id);
        yield {
          kind: 'sample',
          sample: {
            promptId: id,
            policyId: request.policies[0]?.id ?? '',
            sampleIndex: 0,
            seed: 0n,
            promptTokens: 5,
            thinkingTokenIds: [1, 2],
            thinking,
            answerTokenIds: [3],
            answer,
            interventions: [],
            thinkingEnd,
            finishReason,
            sharedThinkingTokens: 0,
          },
        };
      }
    },
  });
  return { ...trainer, requests };
}
