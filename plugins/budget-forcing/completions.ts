import { type GenerationRequest, isUserError, type OpenAiEndpoint, UserError, z } from 'simmerkit';
import type { Posts } from './paid-posts.js';

/** What is asked of `/v1/completions`. */
interface CompletionRequest {
  readonly prompt: string;
  readonly maxTokens: number;
  readonly stop: readonly string[];
  readonly seed: number;
  readonly sampling: GenerationRequest['sampling'];
}

/** What a server answered, and what of it can be believed. */
interface Completion {
  readonly text: string;
  /** As the server counts them. */
  readonly tokens: number;
  readonly promptTokens: number;
  /** Whether the model ended by itself, or at a stop text; otherwise it was cut at `maxTokens`. */
  readonly finished: boolean;
  /** Where what the server says of the end cannot be true: what it said. */
  readonly disputed?: string;
}

export type ServerKind = 'vllm' | 'sglang' | 'llama.cpp' | 'other';

/** Sampling as every server takes it. */
export function samplingFields({ temperature, topP, topK }: GenerationRequest['sampling']): Record<string, unknown> {
  return {
    temperature,
    ...(topP === undefined ? {} : { top_p: topP }),
    ...(topK === undefined ? {} : { top_k: topK }),
  };
}

const completionSchema = z.object({
  choices: z.array(z.object({ text: z.string(), finish_reason: z.string().nullish() })).min(1),
  usage: z.object({ completion_tokens: z.int().min(0), prompt_tokens: z.int().min(0) }),
});

/** Continues text on a server. */
export class Completions {
  constructor(
    private readonly endpoint: Posts,
    private readonly model: string,
    private readonly kind: ServerKind,
  ) {}

  /** @throws UserError `endpoint_cannot` where the server does not continue text or count tokens */
  async complete(request: CompletionRequest): Promise<Completion> {
    const response = await this.endpoint
      .post('completions', {
        model: this.model,
        prompt: request.prompt,
        max_tokens: request.maxTokens,
        ...(request.stop.length === 0 ? {} : { stop: request.stop }),
        ...samplingFields(request.sampling),
        seed: request.seed,
        ...this.extras(),
      })
      .catch((error: unknown) => {
        throw cannotContinue(error) ?? error;
      });
    const parsed = completionSchema.safeParse(response);
    if (!parsed.success) {
      throw new UserError(
        'endpoint_cannot',
        `The server's completion has no ${parsed.error.issues[0]?.path.join('.')}: thinking cannot be counted in tokens.`,
        { kind: 'environment', hint: 'Use a server that reports `usage`: vLLM, SGLang or llama.cpp do.' },
      );
    }
    return read(parsed.data, request);
  }

  /** Delimiters are special tokens in some models: the servers leave these out of the text unless told otherwise. */
  private extras(): Record<string, unknown> {
    if (this.kind === 'vllm' || this.kind === 'sglang') return { skip_special_tokens: false };
    return this.kind === 'llama.cpp' ? { cache_prompt: true } : {};
  }
}

function read(data: z.output<typeof completionSchema>, { maxTokens }: CompletionRequest): Completion {
  const [choice] = data.choices;
  const reason = choice?.finish_reason ?? null;
  const tokens = data.usage.completion_tokens;
  const said = `finish_reason ${reason} after ${tokens} of ${maxTokens} tokens`;
  // Half a character at the cut would become another one when it is sent back. Each is looked at once, however many there are.
  const text = (choice?.text ?? '').replace(/(?<!\uFFFD)\uFFFD+$/, '');
  const base = { text, tokens: Math.min(tokens, maxTokens), promptTokens: data.usage.prompt_tokens };
  if (tokens > maxTokens) return { ...base, finished: false, disputed: said };
  if (reason === 'length') return { ...base, finished: false, ...(tokens < maxTokens ? { disputed: said } : {}) };
  if (reason !== 'stop') return { ...base, finished: tokens < maxTokens, disputed: said };
  return { ...base, finished: true };
}

function cannotContinue(error: unknown): UserError | undefined {
  if (!isUserError(error) || error.code !== 'endpoint_refused') return undefined;
  if (!/HTTP (404|405|501)/.test(error.message)) return undefined;
  return new UserError(
    'endpoint_cannot',
    `The server cannot continue text, which a thinking budget needs. ${error.message}`,
    {
      kind: 'environment',
      hint: 'Use a server with /v1/completions (vLLM, SGLang, llama.cpp), or correct the name of the model.',
    },
  );
}

/** What the server is, by what it says of its models; `other` where it does not say. */
export async function serverKind(endpoint: OpenAiEndpoint): Promise<ServerKind> {
  const models = await endpoint.get('models');
  const owner = z.object({ data: z.array(z.object({ owned_by: z.string().nullish() })).min(1) }).safeParse(models).data
    ?.data[0]?.owned_by;
  if (owner === 'vllm' || owner === 'sglang') return owner;
  return owner === 'llamacpp' ? 'llama.cpp' : 'other';
}
