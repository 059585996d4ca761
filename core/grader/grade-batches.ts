import type { GradeItem } from '../trainer/trainer.js';

/** Of one message, in characters: in UTF-8 they take up to three times as many bytes, and a message has 64 MiB at most. */
const charactersPerCall = 8 * 2 ** 20;

/** Items in their order, as many at a time as fit into one message to a grader; one that is longer goes by itself. */
export function* gradeBatches(items: readonly GradeItem[], mostItems: number): Iterable<readonly GradeItem[]> {
  let batch: GradeItem[] = [];
  let characters = 0;
  for (const item of items) {
    const length = item.gold.length + item.answer.length + (item.question?.length ?? 0);
    if (batch.length === mostItems || (batch.length > 0 && characters + length > charactersPerCall)) {
      yield batch;
      batch = [];
      characters = 0;
    }
    batch.push(item);
    characters += length;
  }
  if (batch.length > 0) yield batch;
}
