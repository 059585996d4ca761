import {
  graderChoice,
  placement,
  secretVariable,
  serverUrl,
  type ThinkingFormat,
  tokenPrice,
  trainerName,
  z,
} from 'simmerkit';

/** What marks thinking in the text of known families of models. */
const thinkingFormats = {
  /** s1, README and eval: ChatML roles `think` and `answer`. */
  s1: { start: '<|im_start|>think\n', end: '<|im_start|>answer\n', finalAnswerPrompt: 'Final Answer:' },
  /**
   * DeepSeek-R1 and its distilled models; Qwen3 too. As they are trained, to the white space: in Qwen2.5 and Llama 3, which
   * have no token for the tag, its last token is ">\n\n", and ">\n" is another one.
   */
  r1: { start: '<think>\n', end: '</think>\n\n', finalAnswerPrompt: 'Final Answer:' },
} as const;

const positive = z.int().min(1);

/** Datasets may lack it; a column that a recipe names must be there. */
const defaultGoldColumn = 'answer';

/** What is asked of a model, whoever runs it. */
const askingShape = {
  label: z
    .string()
    .regex(/^[^\s@]+$/, 'a label has no spaces and no @')
    .default('model')
    .describe('What the model is called in metrics and reports, e.g. "tuned".'),
  thinkingFormat: z
    .union([
      z.enum(['s1', 'r1', 'none']),
      z.strictObject({
        start: z.string().describe('Appended to the prompt.'),
        end: z.string().min(1).describe('What ends thinking; appended when thinking is forced to end.'),
        finalAnswerPrompt: z.string().describe('Appended after a forced end.'),
      }),
    ])
    .default('s1')
    .describe('What marks thinking in the text. none: the model just answers, and the sweep is not used.'),
  sweep: z
    .strictObject({
      thinkingTokens: z
        .array(
          z
            .union([positive, z.literal('auto')])
            // The hint of a 0, which means either.
            .describe(
              '1 ends thinking at once. Answers to which nothing is forced come from a stage of their own, with ' +
                '`thinkingFormat: none` and the same `label`.',
            ),
        )
        .default(['auto'])
        .describe('Maxima of thinking in tokens; auto: what the context holds. Empty: only the baselines.'),
      ignore: z
        .array(z.int().min(0))
        .min(1)
        .default([0])
        .describe('How many times the end of thinking is ignored and the word appended.'),
      word: z.array(z.string()).min(1).default(['Wait']).describe('What is appended; may be empty. s1: Wait.'),
      product: z
        .boolean()
        .default(false)
        .describe('Whether every ignore is tried at every maximum, instead of at the largest one only.'),
      tokenConditional: z
        .array(positive)
        .default([])
        .describe('Baseline: the prompt says for how many tokens to think at most; nothing is forced.'),
      stepConditional: z
        .array(positive)
        .default([])
        .describe('Baseline: the prompt says for how many steps to think at most. s1 counts a step as 100 tokens.'),
      classConditional: z
        .array(z.enum(['short', 'long']))
        .default([])
        .describe('Baseline: the prompt asks for a short or a long amount of thinking.'),
      forceConditional: z
        .boolean()
        .default(false)
        .describe('Whether token and step conditions are tried a second time with their limit forced as well.'),
      rejection: z
        .strictObject({
          thinkingTokens: z
            .array(positive)
            .min(1)
            .describe('Limits that thinking has to fit into by itself, in tokens.'),
          attempts: positive.default(16).describe('Draws for each problem and sample before it is given up.'),
        })
        .optional()
        .describe('Baseline: draws again until thinking fits. All limits choose among the same draws.'),
    })
    .prefault({})
    .describe(
      'Thinking budgets to try: each maximum with nothing ignored, and each ignore above 0 with each word at the largest ' +
        'maximum; and the baselines that they are compared with.',
    ),
  minThinkingTokens: positive
    .optional()
    .describe('The end of thinking is ignored as long as thinking is shorter than this.'),
  spendingRule: z
    .enum(['total', 'perRound'])
    .default('total')
    .describe(
      "Whether all rounds share the maximum (s1's README), or each has the whole of it (s1's evaluation fork).",
    ),
  sampling: z
    .strictObject({
      temperature: z.number().min(0).default(0).describe('0 is greedy.'),
      topP: z.number().gt(0).max(1).optional(),
      topK: positive.optional(),
      maxAnswerTokens: positive.default(256).describe('Longest answer, in tokens.'),
      samples: positive.default(1).describe('Samples for each problem and policy.'),
      stop: z.array(z.string().min(1)).default([]).describe('Texts that end the answer before them.'),
    })
    .prefault({})
    .describe('How tokens are drawn.'),
  systemMessage: z
    .string()
    .optional()
    .describe(
      "Of questions whose history has none of its own. Default: the chat template's; none where a server is sent text " +
        '(`chatTemplate`).',
    ),
  promptTemplate: z
    .string()
    .includes('{question}')
    .default('{question}')
    .describe("The user's message; {question} stands for the question."),
  goldColumn: z
    .string()
    .default(defaultGoldColumn)
    .describe('Column of the dataset with the right answer, where there is one.'),
  preview: placement(z.union([z.literal(false), graderChoice('eval/exact')]).default(false)).describe(
    'Grades samples as they come, for those who watch: {} by eval/exact. false: accuracy is known once they are graded.',
  ),
};

/** How known families write a chat; a server that continues text is sent the text. */
export const chatTemplates = {
  /** Qwen, SmolLM2 and s1. */
  chatml: { message: '<|im_start|>{role}\n{content}<|im_end|>\n', assistant: '<|im_start|>assistant\n' },
  none: { message: '{content}', assistant: '' },
} as const;

/** A server, and how it is asked. */
const serverShape = {
  url: placement(serverUrl().describe('Base of an OpenAI-compatible API, e.g. http://localhost:8000/v1.')),
  apiKeyVariable: secretVariable('url').optional().describe('Environment variable with the key. Absent: none is sent.'),
  model: z.string().min(1).describe('What the server calls the model. The stage key covers the name, not the weights.'),
  chatTemplate: z
    .union([
      z.enum(['chatml', 'none']),
      z.strictObject({
        message: z.string().includes('{content}').describe('One message; {role} and {content} stand for its parts.'),
        assistant: z.string().describe('What stands before the answer.'),
      }),
    ])
    .default('chatml')
    .describe("How the model's chat is written as text, up to where its turn begins. Used by continuation only."),
  budgets: z
    .enum(['auto', 'server', 'continuation'])
    .default('auto')
    .describe(
      "Who holds thinking to a maximum: the server by its own parameter, or we by sending text back. auto: the server's own " +
        'where it has one, nothing but maxima is asked for, and the thinking format is a known one.',
    ),
  longestThinking: positive.default(4096).describe('Thinking tokens where the sweep says auto.'),
  concurrency: placement(positive.default(8).describe('Samples under way at a time; a kill loses at most these.')),
  timeoutMilliseconds: placement(z.int().min(100).default(600_000).describe('Limit for one completion.')),
  retries: placement(z.int().min(0).default(4).describe('How often a request is made again after a passing failure.')),
  price: placement(tokenPrice.optional().describe('Counted into what the run spends; a budget in dollars needs it.')),
};

const generateShape = {
  trainer: trainerName()
    .optional()
    .describe('Name of the trainer of the recipe that runs the model. Or name a `server`.'),
  server: z
    .strictObject(serverShape)
    .optional()
    .describe('A server with an OpenAI-compatible API that serves the model and answers in place of the trainer.'),
  ...askingShape,
  precision: z
    .enum(['float32', 'bfloat16'])
    .optional()
    .describe(
      'Precision of the matrix products. Default: bfloat16 where the device is fast at it. In float32 answers hardly depend on ' +
        'what is decoded beside them.',
    ),
  maxBatchSize: placement(positive.optional()).describe(
    'Sequences decoded side by side; how many changes rounding, in bfloat16 often an answer. Default: what memory holds.',
  ),
};

export const generateOptions = z
  .strictObject(generateShape)
  // A stage claims what the trainers that it names take, and beside a server this one has nothing to do.
  .overwrite((options) => (options.server === undefined ? options : { ...options, trainer: undefined }));

export const endpointOptions = z.strictObject({ ...serverShape, ...askingShape });

export type ServerOptions = NonNullable<GenerateOptions['server']>;
export type GenerateOptions = z.output<typeof generateOptions>;
/** The options that say what is asked, for every backend. */
export type AskingOptions = Omit<GenerateOptions, 'trainer' | 'server' | 'precision' | 'maxBatchSize'>;

/** What marks thinking; undefined where the model just answers. */
export function thinkingFormatOf({ thinkingFormat }: AskingOptions): ThinkingFormat | undefined {
  if (thinkingFormat === 'none') return undefined;
  return typeof thinkingFormat === 'string' ? thinkingFormats[thinkingFormat] : thinkingFormat;
}

/** Columns that the problems must have. */
export function problemColumns({ goldColumn }: Pick<AskingOptions, 'goldColumn'>): readonly string[] {
  return ['id', 'question', ...(goldColumn === defaultGoldColumn ? [] : [goldColumn])];
}
