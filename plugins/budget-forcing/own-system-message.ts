import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'simmerkit';

const tokenizerConfig = z.object({ chat_template: z.string() });

/**
 * The system message that a model's chat template puts in where none is given, in ChatML: Qwen2.5's and SmolLM2's do.
 * Undefined where it has none, or the folder no template.
 */
export async function ownSystemMessage(modelFolder: string): Promise<string | undefined> {
  const read = (name: string) => readFile(join(modelFolder, name), 'utf8').catch(() => undefined);
  const template = (await read('chat_template.jinja')) ?? templateIn(await read('tokenizer_config.json'));
  return /<\|im_start\|>system(?:\\n|\n)([^{}'"<]+)<\|im_end\|>/.exec(template ?? '')?.[1];
}

function templateIn(config: string | undefined): string | undefined {
  try {
    return tokenizerConfig.safeParse(JSON.parse(config ?? 'null')).data?.chat_template;
  } catch {
    return undefined;
  }
}
