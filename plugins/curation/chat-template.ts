import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Template } from '@huggingface/jinja';
import { inTime, UserError } from 'simmerkit';

/** What a model's chat template does around a reply. */
interface ReplyMarks {
  /** What ends a reply, without white space at its end. */
  readonly end: string;
  /** With what a prompt ends, so that the model begins its reply. */
  readonly replyStart: string;
  /** What stands between these and a reply without thinking; undefined where such a reply begins in another way. */
  readonly lead: string | undefined;
}

type Config = Readonly<Record<string, unknown>>;

/** Stands for a reply; no template changes letters. */
const mark = 'SIMMERREPLY';
const question = { role: 'user', content: 'Q' };

/**
 * Renders the chat template of a model folder and looks at what it puts around a reply.
 * @throws UserError `template_missing`, `template_invalid`
 */
export async function readChatTemplate(folder: string): Promise<ReplyMarks> {
  const file = join(folder, 'tokenizer_config.json');
  const config = await readConfig(file);
  const source = await readFile(join(folder, 'chat_template.jinja'), 'utf8').catch(() => templateIn(config));
  if (source === undefined) {
    throw new UserError('template_missing', `The model ${folder} has no chat template.`, {
      kind: 'runFailed',
      hint: 'Leave the input `model` out and set `end`, or use a model that was taught to chat.',
    });
  }
  const tokens = { bos_token: tokenIn(config, 'bos_token'), eos_token: tokenIn(config, 'eos_token') };
  const render = (messages: readonly object[], add_generation_prompt: boolean) => {
    try {
      // Whoever made the model wrote it: it may never come to its end.
      return inTime(
        () => new Template(source).render({ ...tokens, messages, add_generation_prompt }),
        () => new Error('it takes more than a second'),
      );
    } catch (error) {
      throw new UserError('template_invalid', `The chat template of ${folder} fails: ${(error as Error).message}.`, {
        kind: 'runFailed',
        hint: 'Leave the input `model` out and set `end`.',
        cause: error,
      });
    }
  };
  const reply = render([question, { role: 'assistant', content: mark }], false);
  const at = reply.lastIndexOf(mark);
  const end = reply.slice(at + mark.length).trimEnd();
  const replyStart = render([question], true);
  const lead = reply.startsWith(replyStart) ? reply.slice(replyStart.length, at) : undefined;
  return { end: end === '' ? tokens.eos_token : end, replyStart, lead };
}

async function readConfig(file: string): Promise<Config> {
  try {
    return JSON.parse(await readFile(file, 'utf8')) as Config;
  } catch (error) {
    throw new UserError('tokenizer_invalid', `${file} cannot be read: ${(error as Error).message}.`, {
      kind: 'runFailed',
      hint: 'The model folder must have tokenizer_config.json as transformers writes it.',
      cause: error,
    });
  }
}

/** One template, or several with names. */
function templateIn({ chat_template: template }: Config): string | undefined {
  if (typeof template === 'string') return template;
  if (!Array.isArray(template)) return undefined;
  const named = template as readonly { readonly name: string; readonly template: string }[];
  return (named.find(({ name }) => name === 'default') ?? named[0])?.template;
}

/** A special token, as text or as transformers' `AddedToken`. */
function tokenIn(config: Config, name: string): string {
  const token = config[name];
  if (typeof token === 'string') return token;
  return typeof token === 'object' && token !== null && 'content' in token ? String(token.content) : '';
}
