import type { ServerResponse } from 'node:http';
import { type HttpServer, startHttpServer } from './http-server.js';

interface ChatRequest {
  readonly model: string;
  readonly messages: readonly { readonly role: string; readonly content: string }[];
  readonly seed?: number;
}

/**
 * A server that speaks as much of the OpenAI API as a test needs, and misbehaves as it is told. Its URL is the API's base.
 * @param answer the body of the response; undefined where it has seen to the response itself, or never answers
 */
export async function startChatServer(
  answer: (request: ChatRequest, response: ServerResponse) => unknown,
): Promise<HttpServer> {
  const server = await startHttpServer(async (_, response, body) => {
    const said = await answer(JSON.parse(body) as ChatRequest, response);
    if (said !== undefined) response.end(JSON.stringify(said));
  });
  return { ...server, url: `${server.url}/v1` };
}
