import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface ChatRequest {
  readonly model: string;
  readonly messages: readonly { readonly role: string; readonly content: string }[];
  readonly seed?: number;
}

export interface ChatServer extends AsyncDisposable {
  /** Base of its API. */
  readonly url: string;
}

/**
 * A server that speaks as much of the OpenAI API as a test needs, and misbehaves as it is told.
 * @param answer the body of the response; undefined where it has seen to the response itself, or never answers
 */
export async function startChatServer(
  answer: (request: ChatRequest, response: ServerResponse) => unknown,
): Promise<ChatServer> {
  const server = createServer((request, response) => {
    let body = '';
    request.setEncoding('utf8').on('data', (part: string) => {
      body += part;
    });
    request.on('end', () => {
      const said = answer(JSON.parse(body) as ChatRequest, response);
      if (said !== undefined) response.end(JSON.stringify(said));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
