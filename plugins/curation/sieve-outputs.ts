import type { Columns } from 'simmerkit';

/** Outputs of every stage that keeps some rows and drops others. */
export const sieveOutputs = {
  dataset: { type: 'dataset', description: 'The rows that were kept, in their order.' },
  decisions: { type: 'dataset', description: 'One row per row: `id`, `kept`, `rule`, `evidence`.' },
} as const;

/** What a step says of each row. */
export const decisionColumns = {
  id: 'VARCHAR',
  kept: 'BOOLEAN',
  rule: 'VARCHAR',
  evidence: 'VARCHAR',
} as const satisfies Columns;

/** The columns of these outputs. @param columns of the rows that are kept; undefined where they are not known */
export function sieveColumns(columns: readonly string[] | undefined, ...added: readonly string[]) {
  return { dataset: columns && [...new Set([...columns, ...added])], decisions: Object.keys(decisionColumns) };
}
