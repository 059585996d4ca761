import { type Artifact, formatCounted, type Hyperparameters, type TableArtifact, type TrainingResult } from 'simmerkit';

/** What a card tells. */
interface ModelCardFacts {
  readonly model: Artifact;
  readonly dataset: TableArtifact;
  readonly evaluation?: TableArtifact | undefined;
  readonly result: TrainingResult;
  /** With the trainer's `extensions`, where some were given. */
  readonly hyperparameters: Partial<Hyperparameters> & { readonly extensions?: object };
  /** Of what the trainer is built on. */
  readonly versions: Readonly<Record<string, string>>;
}

function sourceOf({ metadata }: Artifact): string | undefined {
  return typeof metadata.source === 'string' ? metadata.source : undefined;
}

/** Its name on Hugging Face, where it is from there. */
export function repositoryOf(model: Artifact): string | undefined {
  return /^hf:\/\/([^@]+)@/.exec(sourceOf(model) ?? '')?.[1];
}

/**
 * The README.md of a fine-tuned model, in the form of Hugging Face's model cards: every figure from the run that made it.
 * The same training has the same card, so that it is the same artifact: no times, no paths.
 */
export function modelCard(facts: ModelCardFacts): string {
  const { model, dataset, evaluation, result, hyperparameters } = facts;
  const source = sourceOf(model);
  const results = [
    `- Optimizer steps: ${result.steps}${result.stoppedEarly ? ', ended by early stopping' : ''}`,
    ...(result.bestStep === undefined
      ? []
      : [`- The weights are those of step ${result.bestStep}, the best evaluation`]),
    ...(result.finalLoss === null ? [] : [`- Training loss, mean of the last steps: ${result.finalLoss.toFixed(4)}`]),
    ...(result.evaluationLoss === undefined
      ? []
      : [`- Loss on the evaluation rows: ${result.evaluationLoss.toFixed(4)}`]),
  ];
  return `${frontMatter(repositoryOf(model))}
# A fine-tuned language model

Made by Simmer's \`sft/train\`: supervised fine-tuning on prompts and completions, of which only the completions are
trained.

- Base model: \`${source ?? 'unnamed'}\` (\`${model.uri}\`)
- Training data: ${formatCounted(dataset.rowCount, 'row')} (\`${dataset.uri}\`)
${evaluation === undefined ? '' : `- Evaluation data: ${formatCounted(evaluation.rowCount, 'row')} (\`${evaluation.uri}\`)\n`}
## Results

${results.join('\n')}

Losses are mean cross-entropies over trained tokens, in nats.

## Hyperparameters

${table(['hyperparameter', 'value'], flat(hyperparameters))}

## Software

${table(['package', 'version'], Object.entries(facts.versions).filter(bearsOnWeights).toSorted(byName))}

## Use

Prompts are written with the chat template in \`tokenizer_config.json\` or \`chat_template.jinja\`, as they were in
training; \`generation_config.json\` says what ends a reply.
`;
}

function frontMatter(repository: string | undefined): string {
  const base = repository === undefined ? '' : `base_model: ${repository}\n`;
  return `---\nlibrary_name: transformers\npipeline_tag: text-generation\n${base}tags:\n- simmer\n- sft\n---\n`;
}

/** What runs the trainer and speaks for it is another thing on another machine, and the weights are the same. */
function bearsOnWeights([name]: readonly [string, string]): boolean {
  return name !== 'python' && name !== 'grpcio';
}

/** Nested ones as "lora.rank". */
function flat(values: object, prefix = ''): (readonly [string, string])[] {
  return Object.entries(values)
    .flatMap(([name, value]: [string, unknown]) =>
      typeof value === 'object' && value !== null && !Array.isArray(value)
        ? flat(value, `${prefix}${name}.`)
        : [[`${prefix}${name}`, Array.isArray(value) ? value.join(', ') || 'all' : String(value)] as const],
    )
    .toSorted(byName);
}

function byName(left: readonly [string, unknown], right: readonly [string, unknown]): number {
  return left[0] < right[0] ? -1 : 1;
}

function table(head: readonly [string, string], rows: readonly (readonly [string, string])[]): string {
  const lines = rows.map(([name, value]) => `| ${name} | ${value.replaceAll('|', '\\|')} |`);
  return [`| ${head.join(' | ')} |`, '| --- | --- |', ...lines].join('\n');
}
