import { status } from '@grpc/grpc-js';
import { demand } from '../../verification.js';
import { demandStatus, type TrainerCheck } from '../check.js';
import { rowCount } from '../trainer-bench.js';
import { startedOf } from '../training-events.js';

/** Tokens and masks, and models on disk. */
export const inspectingChecks: readonly TrainerCheck[] = [
  {
    name: 'inspect',
    expects: 'Inspect to give the rows asked for, in that order, their tokens, and a mask of the completion alone',
    needs: ['inspect'],
    async run(bench) {
      const trainer = await bench.trainer();
      const { model, trainingData, hyperparameters } = await bench.training();
      const inspect = (rows: number[], maxSequenceLength: number) =>
        trainer.call(trainer.client.inspect, {
          model,
          trainingData,
          rows,
          hyperparameters: hyperparameters && { ...hyperparameters, maxSequenceLength },
        });
      const { rows } = await inspect([3, 0], 256);
      demand(String(rows.map(({ row }) => row)) === '3,0', 'the rows 3 and 0', rows);
      for (const { tokenIds, tokens, trained, truncated } of rows) {
        const areParallel = tokenIds.length === tokens.length && tokenIds.length === trained.length;
        demand(areParallel && tokenIds.length > 1, 'three lists of one length', { tokenIds, tokens, trained });
        const first = trained.indexOf(true);
        const isTail = first > 0 && trained.slice(first).every(Boolean);
        demand(isTail && !truncated, 'the prompt not trained, the completion trained', { tokens, trained });
      }
      const length = rows[0]?.tokenIds.length ?? 0;
      const [cut] = (await inspect([3], length - 1)).rows;
      const isCut = cut?.truncated === true && cut.tokenIds.length === length - 1;
      demand(isCut, `row 3 cut to ${length - 1} tokens, and truncated = true`, cut);
      const refusal = await trainer.refusal(inspect([rowCount + 7], 256));
      const codes = [status.INVALID_ARGUMENT, status.OUT_OF_RANGE];
      demandStatus(refusal, codes, 'INVALID_ARGUMENT for a row that is not there');
    },
  },
  {
    name: 'inspect-trains',
    expects: 'tokens and masks of Inspect to add up to what training_started counts',
    needs: ['inspect', 'train'],
    async run(bench) {
      const trainer = await bench.trainer();
      const { request, events } = await bench.whole();
      const { model, trainingData, hyperparameters } = request;
      const asked = { model, trainingData, rows: Array.from({ length: rowCount }, (_, row) => row), hyperparameters };
      const { rows } = await trainer.call(trainer.client.inspect, asked);
      const started = startedOf(events);
      const tokens = rows.reduce((sum, row) => sum + row.tokenIds.length, 0);
      const trained = rows.reduce((sum, row) => sum + row.trained.filter(Boolean).length, 0);
      const counted = { tokens: Number(started.tokens), trained: Number(started.trainedTokens) };
      demand(tokens === counted.tokens && trained === counted.trained, JSON.stringify(counted), { tokens, trained });
    },
  },
];
