import { Server, ServerCredentials } from '@grpc/grpc-js';
import { HostServiceService } from '../../generated/simmer/plugin/v1/host.js';
import { requireToken } from '../../process/require-token.js';
import { makeToken } from '../../secrets.js';
import { hostService } from './host-service.js';
import type { HostedCall } from './hosted-call.js';
import { messageBytes } from './plugin-client.js';

/** The HostService of one plugin process: on a socket of its own, with a token of its own. */
export class HostServer implements Disposable {
  readonly address: string;
  readonly token: string;
  readonly #server: Server;
  readonly #calls: Map<string, HostedCall>;

  private constructor(address: string, token: string, server: Server, calls: Map<string, HostedCall>) {
    this.address = address;
    this.token = token;
    this.#server = server;
    this.#calls = calls;
  }

  /** @param socket inside a folder that only this user may enter */
  static async start(socket: string): Promise<HostServer> {
    const token = makeToken();
    const calls = new Map<string, HostedCall>();
    const server = new Server({
      interceptors: [requireToken(token)],
      'grpc.max_receive_message_length': messageBytes,
      'grpc.max_send_message_length': messageBytes,
    });
    server.addService(HostServiceService, hostService(calls));
    const address = `unix:${socket}`;
    await new Promise<void>((resolve, reject) =>
      server.bindAsync(address, ServerCredentials.createInsecure(), (error) => (error ? reject(error) : resolve())),
    );
    return new HostServer(address, token, server, calls);
  }

  /** The plugin may ask for the call until what is returned is disposed of. */
  serve(call: HostedCall): Disposable {
    this.#calls.set(call.id, call);
    return { [Symbol.dispose]: () => void this.#calls.delete(call.id) };
  }

  [Symbol.dispose](): void {
    this.#server.forceShutdown();
  }
}
