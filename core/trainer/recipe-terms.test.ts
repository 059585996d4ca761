import { expect, it } from 'vitest';
import { inRecipeTerms } from './recipe-terms.js';

it("names a trainer's hyperparameters as recipes do, and leaves all else as it is", () => {
  const said =
    '3 of 9 rows of train_rows.parquet are longer than max_sequence_length (128); raise max_truncated_share, lower ' +
    'device_batch_size, or use METHOD_LORA with other lora.target_modules (see out_of_memory).';
  expect(inRecipeTerms(said)).toBe(
    '3 of 9 rows of train_rows.parquet are longer than maxSequenceLength (128); raise maxTruncatedShare, lower ' +
      'deviceBatchSize, or use method: lora with other lora.targetModules (see out_of_memory).',
  );
});
