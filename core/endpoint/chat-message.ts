import { z } from 'zod';

/** Values of `finish_reason` that are no end of the model's: DeepSeek's without room, vLLM's, and those of gateways. */
export const brokenOffReasons: readonly string[] = ['insufficient_system_resource', 'abort', 'error'];

/** Mistral sends the text of its thinking in parts again. */
const textParts = z.union([z.string(), z.array(z.object({ text: z.string().nullish() }))]);

/** Of a content that is a list; of other types, as references, nothing is read. */
const contentPart = z.object({ type: z.string(), text: z.string().nullish(), thinking: textParts.nullish() });
type ContentPart = z.infer<typeof contentPart>;

/**
 * What a model said in a chat completion of an OpenAI-compatible server: `content` is its text, `thinking` what the server
 * tells apart from it, undefined where it tells nothing apart. Servers send these as text or as a list of parts.
 */
export const chatMessage = z
  .object({
    content: z.union([z.string(), z.array(contentPart)]).nullish(),
    reasoning_content: z.string().nullish(),
    // vLLM's name for it.
    reasoning: z.string().nullish(),
    refusal: z.string().nullish(),
  })
  .transform(({ content, reasoning_content, reasoning, refusal }) => {
    const parts: readonly ContentPart[] =
      typeof content === 'string' ? [{ type: 'text', text: content }] : (content ?? []);
    const thoughts = parts.filter(({ type }) => type === 'thinking');
    const told = thoughts.length === 0 ? undefined : thoughts.map(({ thinking }) => joined(thinking ?? '')).join('');
    return {
      content: joined(parts.filter(({ type }) => type === 'text')),
      // Some servers send all names of it, the ones that they do not use empty.
      thinking: reasoning_content || reasoning || told || (reasoning_content ?? reasoning ?? told),
      refusal,
    };
  });

function joined(parts: z.infer<typeof textParts>): string {
  return typeof parts === 'string' ? parts : parts.map(({ text }) => text ?? '').join('');
}
