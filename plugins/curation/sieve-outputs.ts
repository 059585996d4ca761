/** Outputs of every stage that keeps some rows and drops others. */
export const sieveOutputs = {
  dataset: { type: 'dataset', description: 'The rows that were kept, in their order.' },
  decisions: { type: 'dataset', description: 'One row per row: `id`, `kept`, `rule`, `evidence`.' },
} as const;
