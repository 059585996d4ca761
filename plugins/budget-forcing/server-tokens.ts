import { EndpointRefusal, type OpenAiEndpoint, z } from 'simmerkit';

const tokenizedSchema = z.object({ tokens: z.array(z.unknown()) });
/** Texts up to so many characters are remembered: the words that are appended come again and again. */
const longestRemembered = 64;

/** Counts tokens as a server does, by its `/tokenize`. */
export class ServerTokens {
  private readonly known = new Map<string, number>();
  private isRefused = false;

  constructor(
    private readonly endpoint: OpenAiEndpoint,
    private readonly model: string,
  ) {}

  /** Tokens of a text, markers in it as markers and nothing added; undefined where the server does not tokenize. */
  async count(text: string): Promise<number | undefined> {
    if (text === '' || this.isRefused) return text === '' ? 0 : undefined;
    const known = this.known.get(text);
    if (known !== undefined) return known;
    const tokens = await this.ask(text);
    if (tokens === undefined) this.isRefused = true;
    else if (text.length <= longestRemembered) this.known.set(text, tokens);
    return tokens;
  }

  private async ask(text: string): Promise<number | undefined> {
    // `prompt` is vLLM's and SGLang's, `content` llama.cpp's; so are the two names for special tokens that are added.
    const body = { model: this.model, prompt: text, content: text, add_special_tokens: false, add_special: false };
    try {
      return tokenizedSchema.safeParse(await this.endpoint.post('/tokenize', body)).data?.tokens.length;
    } catch (error) {
      if (error instanceof EndpointRefusal) return undefined;
      throw error;
    }
  }
}
