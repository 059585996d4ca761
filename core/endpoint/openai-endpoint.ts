import { UserError } from '../errors.js';

/** Where an OpenAI-compatible server is, and how it is asked. */
export interface EndpointOptions {
  /** With `/v1`, e.g. `http://localhost:8000/v1`. */
  readonly url: string;
  /** Name of the environment variable that holds the key; absent: none is sent. */
  readonly apiKeyVariable?: string | undefined;
  /** For one answer, in milliseconds. */
  readonly timeoutMilliseconds: number;
  /** How often a request is made again after a failure that may pass (no connection, 408, 429, 5xx). */
  readonly retries: number;
  readonly signal: AbortSignal;
}

/** Asks an OpenAI-compatible server for JSON. */
export class OpenAiEndpoint {
  private readonly base: string;

  constructor(private readonly options: EndpointOptions) {
    this.base = options.url.replace(/\/+$/, '');
  }

  /** The answer to GET. @throws UserError `endpoint_*` */
  get(path: string): Promise<unknown> {
    return this.request(path);
  }

  /** The answer to POST. @throws UserError `endpoint_unreachable`, `endpoint_refused`, `endpoint_invalid` */
  post(path: string, body: Readonly<Record<string, unknown>>): Promise<unknown> {
    return this.request(path, body);
  }

  private async request(path: string, body?: Readonly<Record<string, unknown>>): Promise<unknown> {
    for (let attempt = 0; ; attempt++) {
      try {
        return await this.once(path, body);
      } catch (error) {
        this.options.signal.throwIfAborted();
        if (!(error instanceof PassingFailure)) throw error;
        if (attempt >= this.options.retries) throw error.final;
        await pause(Math.min(30_000, 500 * 2 ** attempt), this.options.signal);
      }
    }
  }

  private async once(path: string, body?: Readonly<Record<string, unknown>>): Promise<unknown> {
    const url = path.startsWith('/') ? new URL(path, this.base).href : `${this.base}/${path}`;
    const { signal, timeoutMilliseconds } = this.options;
    let response: Response;
    let text: string;
    try {
      response = await fetch(url, {
        method: body === undefined ? 'GET' : 'POST',
        headers: { ...this.authorization(), ...(body === undefined ? {} : { 'content-type': 'application/json' }) },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        signal: AbortSignal.any([signal, AbortSignal.timeout(timeoutMilliseconds)]),
      });
      text = await response.text();
    } catch (error) {
      const cause = (error as Error).cause;
      const why = cause instanceof Error ? cause.message : (error as Error).message;
      throw new PassingFailure(
        new UserError('endpoint_unreachable', `${url} did not answer: ${why}.`, {
          kind: 'environment',
          hint: 'Start the server, correct `url`, or raise `timeoutMilliseconds`.',
        }),
      );
    }
    if (!response.ok) throw refusal(url, response.status, text);
    try {
      return JSON.parse(text) as unknown;
    } catch {
      throw new UserError('endpoint_invalid', `${url} answered with something that is not JSON: ${shortened(text)}`, {
        kind: 'environment',
        hint: 'Check that `url` is the base of an OpenAI-compatible API; it usually ends in /v1.',
      });
    }
  }

  private authorization(): Record<string, string> {
    const name = this.options.apiKeyVariable;
    if (name === undefined) return {};
    const key = process.env[name];
    if (key !== undefined && key !== '') return { authorization: `Bearer ${key}` };
    throw new UserError('secret_missing', `The environment variable ${name} is not set.`, {
      kind: 'environment',
      hint: `export ${name}=..., or leave out \`apiKeyVariable\`.`,
    });
  }
}

/** A failure that may be over when asked again. */
class PassingFailure extends Error {
  constructor(readonly final: UserError) {
    super(final.message);
  }
}

function refusal(url: string, status: number, text: string): Error {
  const error = new UserError('endpoint_refused', `${url} refused (HTTP ${status}): ${shortened(text)}`, {
    kind: 'environment',
    hint:
      status === 404
        ? 'The server does not have this call: check `url`, or use a server that has it.'
        : "Read the server's own log, and check the model's name and the limits that it was started with.",
  });
  return status === 408 || status === 429 || status >= 500 ? new PassingFailure(error) : error;
}

function shortened(text: string): string {
  const line = text.replace(/\s+/g, ' ').trim();
  return line.length <= 300 ? line : `${line.slice(0, 300)}…`;
}

function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(done, milliseconds);
    function done() {
      signal.removeEventListener('abort', stop);
      resolve();
    }
    function stop() {
      clearTimeout(timer);
      reject(signal.reason as Error);
    }
    signal.addEventListener('abort', stop, { once: true });
  });
}
